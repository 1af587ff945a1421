// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"regexp"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Bounds for what has none of its own: generous for a name, a path or a value of a pod.
const (
	maxLength         int64 = 4096
	maxItems          int64 = 64
	maxProperties     int64 = 64
	maxQuantityLength int64 = 32
	// maxSafeInteger is the largest whole number that every reader of JSON keeps exactly.
	maxSafeInteger float64 = 1<<53 - 1
)

// quantityPattern matches only what resource.ParseQuantity reads; controller-gen's own also matches 1e1.5.
const quantityPattern = `^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$`

// isQuantity is how the rules ask whether a text can be read as a quantity. Reading 1E-2147483648 takes minutes, so
// exponents of more than two digits are looked for first; no amount of memory needs them.
var (
	isQuantity = regexp.MustCompile(`isQuantity\((string\([A-Za-z.]+\))\)`)
	exponent   = `[eE][+-]?[0-9]{3}`
)

// guard puts that look in front of each question; a second time it changes nothing.
func guard(rule string) string {
	if strings.Contains(rule, exponent) {
		return rule
	}
	return isQuantity.ReplaceAllString(rule, "(!$1.matches('"+exponent+"') && isQuantity($1))")
}

// foreign are the fields whose types are Kubernetes' own.
var foreign = map[string]bool{
	"env": true, "envFrom": true, "affinity": true, "tolerations": true, "topologySpreadConstraints": true,
}

// lengths are bounds of strings that no marker can reach: in foreign types, and the values of maps.
var lengths = map[string]int64{
	"env.name":                  256,
	"env.value":                 32768,
	"envFrom.prefix":            256,
	"envFrom.configMapRef.name": 253,
	"envFrom.secretRef.name":    253,
	"labels":                    63,
	"matchLabels":               63,
	"nodeSelector":              63,
}

// withheld are fields of foreign types that this API does not offer, by their path inside the type:
// fileKeyRef reads files of other containers, which the pods of this API do not have.
var withheld = map[string]string{
	"env.valueFrom": "fileKeyRef",
}

// bound sets the missing bounds of a schema and of all below it. The path is that of the field, from the outermost
// foreign type on; of a field outside of one it is the name alone.
func bound(s *apiextensionsv1.JSONSchemaProps, path string, isForeign bool) {
	if isForeign {
		s.Description = ""
	}
	for i := range s.XValidations {
		rule := &s.XValidations[i]
		rule.Rule, rule.MessageExpression = guard(rule.Rule), guard(rule.MessageExpression)
	}
	if s.XIntOrString {
		boundQuantity(s)
		return
	}
	switch s.Type {
	case "string":
		boundString(s, path)
	case "integer":
		boundInteger(s)
	case "array":
		boundList(s, path, isForeign)
	case "object":
		boundObject(s, path, isForeign)
	}
}

// boundQuantity bounds a quantity. One with rules of its own needs no pattern: their messages are better. The marker
// for an integer or a string implies what anyOf repeats, with one message for a wrong type instead of four.
func boundQuantity(s *apiextensionsv1.JSONSchemaProps) {
	s.Type = ""
	s.AnyOf = nil
	s.Pattern = ""
	if len(s.XValidations) == 0 {
		s.Pattern = quantityPattern
	}
	setDefault(&s.MaxLength, maxQuantityLength)
}

func boundString(s *apiextensionsv1.JSONSchemaProps, path string) {
	if length, ok := lengths[path]; ok {
		s.MaxLength = &length
	}
	if len(s.Enum) == 0 {
		setDefault(&s.MaxLength, maxLength)
	}
}

// boundInteger bounds a number; the bounds say all that the format does, which would add a message without a field.
func boundInteger(s *apiextensionsv1.JSONSchemaProps) {
	least, most := -maxSafeInteger, maxSafeInteger
	if s.Format == "int32" {
		least, most = math.MinInt32, math.MaxInt32
	}
	setDefault(&s.Minimum, least)
	setDefault(&s.Maximum, most)
	s.Format = ""
}

func boundList(s *apiextensionsv1.JSONSchemaProps, path string, isForeign bool) {
	setDefault(&s.MaxItems, maxItems)
	if isForeign {
		setDefault(&s.XListType, "atomic")
	}
	bound(s.Items.Schema, path, isForeign)
}

func boundObject(s *apiextensionsv1.JSONSchemaProps, path string, isForeign bool) {
	if s.AdditionalProperties != nil {
		setDefault(&s.MaxProperties, maxProperties)
		bound(s.AdditionalProperties.Schema, path, isForeign)
	}
	if field, ok := withheld[path]; ok {
		delete(s.Properties, field)
	}
	for name, property := range s.Properties {
		boundProperty(&property, name, path, isForeign)
		s.Properties[name] = property
	}
}

// boundProperty bounds a field; the description of a field that has a foreign type is our own and stays.
func boundProperty(s *apiextensionsv1.JSONSchemaProps, name, path string, isForeign bool) {
	if isForeign {
		bound(s, path+"."+name, true)
		return
	}
	if !foreign[name] {
		bound(s, name, false)
		return
	}
	description := s.Description
	bound(s, name, true)
	s.Description = description
}

func setDefault[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}
