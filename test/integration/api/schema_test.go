// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	kjson "sigs.k8s.io/json"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// TestSchemaIsBounded walks the whole schema: nothing in an object may be arbitrarily large, and the owner of every list is known.
func TestSchemaIsBounded(t *testing.T) {
	root := rootSchema(loadDefinition(t))
	walk(root, "", func(path string, s *apiextensionsv1.JSONSchemaProps) {
		for _, problem := range unbounded(path, s) {
			t.Errorf("%s: %s", path, problem)
		}
	})
}

func walk(s *apiextensionsv1.JSONSchemaProps, path string, visit func(string, *apiextensionsv1.JSONSchemaProps)) {
	visit(path, s)
	eachChild(s, func(name string, child *apiextensionsv1.JSONSchemaProps) { walk(child, path+name, visit) })
}

// unbounded says what is missing. The API server itself bounds what is above and in metadata.
func unbounded(path string, s *apiextensionsv1.JSONSchemaProps) []string {
	switch path {
	case "", ".apiVersion", ".kind", ".metadata", ".metadata.name":
		return nil
	}
	problems := unboundedValue(s)
	if s.XPreserveUnknownFields != nil || s.Type == "number" {
		problems = append(problems, "anything goes")
	}
	if s.Description == "" && !isEntry(path) && !insideForeign(path) {
		problems = append(problems, "no description")
	}
	return problems
}

// unboundedValue says which bounds a value of this type lacks.
func unboundedValue(s *apiextensionsv1.JSONSchemaProps) []string {
	var missing []string
	require := func(name string, has bool) {
		if !has {
			missing = append(missing, "no "+name)
		}
	}
	switch {
	case s.XIntOrString, s.Type == "string" && len(s.Enum) == 0:
		require("maxLength", s.MaxLength != nil)
	case s.Type == "integer":
		require("bounds", s.Minimum != nil && s.Maximum != nil)
	case s.Type == "array":
		require("maxItems", s.MaxItems != nil)
		require("listType", s.XListType != nil)
	case s.AdditionalProperties != nil:
		require("maxProperties", s.MaxProperties != nil)
	case s.Type == "object":
		require("fields", len(s.Properties) > 0)
	}
	return missing
}

// isEntry tells whether a path ends with an entry of a list or map, which the list or map describes.
func isEntry(path string) bool { return strings.HasSuffix(path, "[]") || strings.HasSuffix(path, "{}") }

// foreign are the fields with types of Kubernetes, which has the descriptions.
var foreign = []string{".env", ".envFrom", ".affinity", ".tolerations", ".topologySpreadConstraints"}

func insideForeign(path string) bool {
	for _, field := range foreign {
		if strings.Contains(path, field+".") || strings.Contains(path, field+"[]") {
			return true
		}
	}
	return false
}

// TestWhatIsAcceptedCanBeRead makes objects with every field of the schema at either end of its bounds. The Go types must
// read them: a client that cannot read one object of a list reads none.
func TestWhatIsAcceptedCanBeRead(t *testing.T) {
	root := rootSchema(loadDefinition(t))
	tests := map[string]func(*apiextensionsv1.JSONSchemaProps) float64{
		"the largest numbers":  func(s *apiextensionsv1.JSONSchemaProps) float64 { return *s.Maximum },
		"the smallest numbers": func(s *apiextensionsv1.JSONSchemaProps) float64 { return *s.Minimum },
	}
	for name, number := range tests {
		t.Run(name, func(t *testing.T) {
			object := instance(root, number).(map[string]any)
			object["metadata"] = map[string]any{"name": "bunoraa"}
			data, err := json.Marshal(object)
			if err != nil {
				t.Fatal(err)
			}
			strict, err := kjson.UnmarshalStrict(data, &v1alpha1.MemoryBudget{})
			if err != nil {
				t.Error(err)
			}
			for _, err := range strict {
				t.Error(err)
			}
		})
	}
}

// instance is a value with every field of a schema.
func instance(s *apiextensionsv1.JSONSchemaProps, number func(*apiextensionsv1.JSONSchemaProps) float64) any {
	switch {
	case s.XIntOrString:
		return strings.Repeat("9", int(*s.MaxLength)-3) + "e99"
	case s.Type == "integer":
		return int64(number(s))
	case s.Type == "boolean":
		return true
	case s.Type == "array":
		return []any{instance(s.Items.Schema, number)}
	case s.Type != "object" && s.Format == "date-time":
		return "2026-01-01T00:00:00Z"
	case s.Type != "object":
		return "a"
	}
	object := map[string]any{}
	eachChild(s, func(name string, child *apiextensionsv1.JSONSchemaProps) {
		object[strings.TrimPrefix(name, ".")] = instance(child, number)
	})
	return object
}

// TestExampleHasEveryField keeps testdata/full.yaml complete, with what cannot stand beside the rest named here.
func TestExampleHasEveryField(t *testing.T) {
	absent := map[string]string{
		".spec.broker.rabbitmq":                    "there is one broker",
		".spec.tiers[].server.command":             "only a Custom server has one",
		".spec.tiers[].pod.volumeMounts[].subPath": "set in the application's",
	}
	root := rootSchema(loadDefinition(t))
	have := map[string]bool{}
	collect(example(nil).Object, "", have)
	walk(root, "", func(path string, _ *apiextensionsv1.JSONSchemaProps) {
		if !strings.HasPrefix(path, ".spec") || insideForeign(path) || strings.HasSuffix(path, "{}") || within(path, absent) {
			return
		}
		if !have[path] && !have[twin(path)] {
			t.Errorf("testdata/full.yaml has no %s", path)
		}
	})
}

// twin is the path of the same field where application and tiers share a type.
func twin(path string) string {
	if rest, ok := strings.CutPrefix(path, ".spec.tiers[]"); ok {
		return ".spec.application" + rest
	}
	if rest, ok := strings.CutPrefix(path, ".spec.application"); ok {
		return ".spec.tiers[]" + rest
	}
	return path
}

func within(path string, absent map[string]string) bool {
	for prefix := range absent {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// collect adds the paths of all fields below a value.
func collect(value any, path string, have map[string]bool) {
	have[path] = true
	switch v := value.(type) {
	case map[string]any:
		for name, child := range v {
			collect(child, path+"."+name, have)
		}
	case []any:
		for _, child := range v {
			collect(child, path+"[]", have)
		}
	}
}
