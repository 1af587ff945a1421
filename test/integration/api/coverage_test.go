// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/config/crd"
	"github.com/memorybudget/memorybudget/internal/validation/offline"
)

// TestEveryRuleHasACase gives each CEL rule a message of its own and finds the rules that no refused example breaks.
// The rules of spec.application.pod and of a tier's pod are the same.
func TestEveryRuleHasACase(t *testing.T) {
	definition := loadDefinition(t)
	rules := markRules(rootSchema(definition), "")
	schema := compile(t, definition)
	for _, edits := range refused() {
		for _, line := range refusal(t, schema, edits) {
			for marker := range rules {
				if strings.Contains(line, marker) {
					delete(rules, marker)
				}
			}
		}
	}
	for _, rule := range rules {
		t.Errorf("no case breaks the rule %s", rule)
	}
}

// markRules gives each rule of the schema at a path a message that tells it from others, and returns them by message.
func markRules(s *apiextensionsv1.JSONSchemaProps, path string) map[string]string {
	rules := map[string]string{}
	for i := range s.XValidations {
		rule := &s.XValidations[i]
		place := strings.NewReplacer(".spec.application.pod", "pod", ".spec.tiers[].pod", "pod").Replace(path)
		marker := fmt.Sprintf("<%s rule %d>", place, i)
		rules[marker] = marker + " " + rule.Rule
		rule.Message, rule.MessageExpression = marker, ""
	}
	eachChild(s, func(name string, child *apiextensionsv1.JSONSchemaProps) {
		maps.Copy(rules, markRules(child, path+name))
	})
	return rules
}

// eachChild calls f with the schemas right below s and changes s where f changes them.
func eachChild(s *apiextensionsv1.JSONSchemaProps, f func(name string, child *apiextensionsv1.JSONSchemaProps)) {
	for name, property := range s.Properties {
		f("."+name, &property)
		s.Properties[name] = property
	}
	if s.Items != nil {
		f("[]", s.Items.Schema)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		f("{}", s.AdditionalProperties.Schema)
	}
}

func loadDefinition(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(crd.MemoryBudgets, definition); err != nil {
		t.Fatal(err)
	}
	return definition
}

func rootSchema(definition *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.JSONSchemaProps {
	return definition.Spec.Versions[0].Schema.OpenAPIV3Schema
}

func compile(t *testing.T, definition *apiextensionsv1.CustomResourceDefinition) *offline.Schema {
	t.Helper()
	data, err := yaml.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := offline.New(data)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// refusal is what a schema says of an example.
func refusal(t *testing.T, schema *offline.Schema, edits []edit) []string {
	t.Helper()
	data, err := example(edits).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = schema.Decode(data, namespace); err == nil {
		return nil
	}
	return offline.Problems(err)
}
