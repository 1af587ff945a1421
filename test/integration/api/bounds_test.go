// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestBounds breaks each bound of the schema once, wherever the full example has the field: largest and smallest
// number, length, choice, and each required field. testdata/bounds.golden has what the API server says.
func TestBounds(t *testing.T) {
	root := rootSchema(loadDefinition(t))
	spec := root.Properties["spec"]
	full := example(nil)
	b := &breaker{objects: map[string]*unstructured.Unstructured{}, seen: map[string]bool{}, full: full}
	b.visit(&spec, full.Object["spec"], []string{"spec"})
	checkAnswers(t, "testdata/bounds.golden", b.objects)
}

// breaker collects objects that break one bound each.
type breaker struct {
	objects map[string]*unstructured.Unstructured
	seen    map[string]bool
	full    *unstructured.Unstructured
}

// visit breaks the bounds of a field and of those below it. Of a list it visits what is new in each entry.
func (b *breaker) visit(s *apiextensionsv1.JSONSchemaProps, value any, path []string) {
	place := general(path)
	if !b.seen[place] {
		b.seen[place] = true
		b.breakValue(s, value, path, place)
	}
	switch v := value.(type) {
	case map[string]any:
		for name, property := range s.Properties {
			if child, ok := v[name]; ok {
				b.visit(&property, child, append(slices.Clone(path), name))
			}
		}
	case []any:
		for i, child := range v {
			b.visit(s.Items.Schema, child, append(slices.Clone(path), strconv.Itoa(i)))
		}
	}
}

func (b *breaker) breakValue(s *apiextensionsv1.JSONSchemaProps, value any, path []string, place string) {
	for reason, broken := range breaks(s, value) {
		b.add(place+": "+reason, path, broken)
	}
	for _, name := range s.Required {
		b.add(place+": without "+name, append(slices.Clone(path), name), nil)
	}
}

func (b *breaker) add(name string, path []string, value any) {
	object := clone(b.full)
	set(object.Object, path, value)
	b.objects[name] = object
}

// breaks are values that are just beyond the bounds of a schema.
func breaks(s *apiextensionsv1.JSONSchemaProps, value any) map[string]any {
	broken := map[string]any{}
	if s.Maximum != nil {
		broken["too large"] = int64(*s.Maximum) + 1
	}
	if s.Minimum != nil {
		broken["too small"] = int64(*s.Minimum) - 1
	}
	if len(s.Enum) > 0 {
		broken["no choice"] = "Nonsense"
	}
	if s.MaxLength != nil {
		broken["too long"] = strings.Repeat("a", int(*s.MaxLength)+1)
	}
	if s.MinLength != nil {
		broken["empty"] = ""
	}
	if s.MinItems != nil {
		broken["no entries"] = []any{}
	}
	if s.MaxItems != nil {
		broken["too many entries"] = entries(value, int(*s.MaxItems)+1)
	}
	if s.MaxProperties != nil {
		broken["too many keys"] = keys(int(*s.MaxProperties) + 1)
	}
	return broken
}

// entries is a list like value with n entries that differ.
func entries(value any, n int) []any {
	list, _ := value.([]any)
	var many []any
	for i := range n {
		var entry any = fmt.Sprintf("a%d", i)
		if len(list) > 0 {
			if object, ok := list[0].(map[string]any); ok {
				entry = renamed(object, i)
			}
		}
		many = append(many, entry)
	}
	return many
}

func renamed(object map[string]any, i int) map[string]any {
	named := (&unstructured.Unstructured{Object: object}).DeepCopy().Object
	for _, key := range []string{"name", "mountPath"} {
		if _, ok := named[key]; ok {
			named[key] = fmt.Sprintf("/a%d", i)[1-strings.Count(key, "Path"):]
		}
	}
	return named
}

func keys(n int) map[string]any {
	many := map[string]any{}
	for i := range n {
		many[fmt.Sprintf("a%d", i)] = "a"
	}
	return many
}

// general is a path with [] for each index.
func general(path []string) string {
	var text strings.Builder
	for _, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			text.WriteString("[]")
		} else {
			text.WriteString("." + step)
		}
	}
	return strings.TrimPrefix(text.String(), ".")
}
