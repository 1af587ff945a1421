// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

type schema = apiextensionsv1.JSONSchemaProps

// kubernetes are the fields whose types Kubernetes documents, with the name of the type.
var kubernetes = map[string]string{
	"env": "EnvVar", "envFrom": "EnvFromSource", "affinity": "Affinity", "tolerations": "Toleration",
	"topologySpreadConstraints": "TopologySpreadConstraint", "conditions": "Condition",
}

// written are the fields that can be written in more ways than their schema tells.
var written = map[string]string{"spec.reserve": "`Auto`, percentage or quantity"}

// shared are objects that are described once, at the first of two places.
var shared = map[string]string{"spec.tiers[].pod": "spec.application.pod"}

// writeObject describes an object: a table of its fields, its rules, then the objects below it.
func writeObject(w *strings.Builder, path string, s *schema) {
	fmt.Fprintf(w, "\n## %s\n\n%s\n", path, escape(flat(s.Description)))
	if first, ok := shared[path]; ok {
		fmt.Fprintf(w, "\nThe fields are those of [%s](#%s).\n", first, anchor(first))
		return
	}
	if len(s.Properties) > 0 {
		w.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
	}
	names := slices.Sorted(maps.Keys(s.Properties))
	for _, name := range names {
		property := s.Properties[name]
		fmt.Fprintf(w, "| `%s`%s | %s | %s |\n", name, requiredMark(s, name), typeOf(path+"."+name, name, &property), meaning(&property))
	}
	writeRules(w, s, path)
	for _, name := range names {
		property := s.Properties[name]
		if below, suffix := objectIn(&property); below != nil && kubernetes[name] == "" {
			below = described(below, property.Description)
			writeObject(w, path+"."+name+suffix, below)
		}
	}
}

// described is an object with the description of the field that holds it, where it has none.
func described(s *schema, description string) *schema {
	if s.Description != "" {
		return s
	}
	with := *s
	with.Description = description
	return &with
}

func requiredMark(s *schema, name string) string {
	if slices.Contains(s.Required, name) {
		return " *required*"
	}
	return ""
}

// objectIn is the object that a field holds, itself or as entries of a list.
func objectIn(s *schema) (*schema, string) {
	switch {
	case len(s.Properties) > 0:
		return s, ""
	case s.Items != nil && len(s.Items.Schema.Properties) > 0:
		return s.Items.Schema, "[]"
	}
	return nil, ""
}

func typeOf(path, name string, s *schema) string {
	list := ""
	if s.Type == "array" {
		list = "list of "
	}
	if kind, ok := kubernetes[name]; ok {
		return list + "Kubernetes' " + kind
	}
	if ways, ok := written[path]; ok {
		return ways
	}
	if below, suffix := objectIn(s); below != nil {
		return fmt.Sprintf("%s[object](#%s)", list, anchor(path+suffix))
	}
	switch {
	case s.XIntOrString:
		return "quantity"
	case s.Items != nil:
		return list + s.Items.Schema.Type + "s"
	case s.AdditionalProperties != nil:
		return "map of strings"
	}
	return s.Type
}

// meaning is the description with what the schema says of values.
func meaning(s *schema) string {
	parts := []string{flat(s.Description)}
	if len(s.Enum) > 0 {
		var values []string
		for _, value := range s.Enum {
			values = append(values, "`"+strings.Trim(string(value.Raw), `"`)+"`")
		}
		parts = append(parts, "One of "+strings.Join(values, ", ")+".")
	}
	if s.Default != nil && s.Type != "object" {
		parts = append(parts, "Default: `"+strings.Trim(string(s.Default.Raw), `"`)+"`.")
	}
	if bounds := boundsOf(s); bounds != "" {
		parts = append(parts, bounds)
	}
	return cell(strings.Join(parts, " "))
}

// cell escapes what would end a cell of a table or start a tag.
func cell(text string) string { return strings.ReplaceAll(escape(text), "|", `\|`) }

// escape escapes what would start a tag. Text in backticks is shown as it is.
func escape(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], "<", `\<`)
	}
	return strings.Join(parts, "`")
}

// unbounded are numbers that bound a Go type rather than a value, unless the least value is above 0.
var unbounded = map[float64]bool{math.MaxInt32: true, math.MinInt32: true, 1<<53 - 1: true, -(1<<53 - 1): true}

func boundsOf(s *schema) string {
	switch {
	case s.Minimum != nil && s.Maximum != nil && (*s.Minimum > 0 || !unbounded[*s.Maximum]):
		return fmt.Sprintf("From %s to %s.", number(*s.Minimum), number(*s.Maximum))
	case s.MaxItems != nil:
		return fmt.Sprintf("At most %d entries.", *s.MaxItems)
	case s.MaxProperties != nil:
		return fmt.Sprintf("At most %d entries.", *s.MaxProperties)
	case s.MaxLength != nil && s.Type == "string" && len(s.Enum) == 0:
		return fmt.Sprintf("At most %d characters.", *s.MaxLength)
	}
	return ""
}

func number(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// writeRules lists the rules of an object and of the fields and list entries right below it.
func writeRules(w *strings.Builder, s *schema, path string) {
	lines := rules(s, "")
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		if below, _ := objectIn(&property); below != nil && kubernetes[name] == "" {
			continue
		}
		lines = append(lines, rules(&property, name)...)
		if property.Items != nil {
			lines = append(lines, rules(property.Items.Schema, name+"[]")...)
		}
	}
	if len(lines) == 0 {
		return
	}
	if path == "" {
		w.WriteString("\nRules of the API server:\n\n")
	} else {
		w.WriteString("\nRules:\n\n")
	}
	for _, line := range lines {
		w.WriteString("- " + line + "\n")
	}
}

func rules(s *schema, name string) []string {
	var lines []string
	for _, rule := range s.XValidations {
		field := strings.TrimPrefix(name+rule.FieldPath, ".")
		line := escape(rule.Message)
		if field != "" {
			line = "`" + field + "`: " + line
		}
		lines = append(lines, line)
	}
	return lines
}

func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// anchor is the link target that GitHub makes of a heading.
func anchor(heading string) string {
	return strings.NewReplacer(".", "", "[", "", "]", "").Replace(strings.ToLower(heading))
}
