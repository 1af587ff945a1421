// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// fullYAML has every field that can stand together, in a valid object.
//
//go:embed testdata/full.yaml
var fullYAML []byte

// edit sets the field at a path such as spec.tiers[web].memory.perPod. In brackets stands an index or the name of
// the entry. The value is YAML; an empty one removes the field or the entry. What is missing on the way is made.
type edit struct{ path, value string }

// example is the full object with edits.
func example(edits []edit) *unstructured.Unstructured {
	object := parse(string(fullYAML)).(map[string]any)
	for _, e := range edits {
		set(object, steps(e.path), parse(e.value))
	}
	return &unstructured.Unstructured{Object: object}
}

// parse reads YAML with whole numbers as int64, as the API server does.
func parse(text string) any {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return normalize(value)
}

func normalize(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = normalize(v[key])
		}
	case []any:
		for i := range v {
			v[i] = normalize(v[i])
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return value
}

// step is a key, or a key or index in brackets.
var step = regexp.MustCompile(`[^.\[\]]+|\[[^\]]*\]`)

// steps splits a path at dots and brackets; a key with dots stands in brackets.
func steps(path string) []string {
	found := step.FindAllString(path, -1)
	for i := range found {
		found[i] = strings.Trim(found[i], "[]")
	}
	return found
}

// set puts a value into a tree of maps and lists and returns the tree; nil removes.
func set(tree any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	if list, ok := tree.([]any); ok {
		return setEntry(list, path, value)
	}
	object, ok := tree.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	if child := set(object[path[0]], path[1:], value); child != nil {
		object[path[0]] = child
	} else {
		delete(object, path[0])
	}
	return object
}

func setEntry(list []any, path []string, value any) any {
	i := indexOf(list, path[0])
	if i == len(list) {
		return append(list, set(nil, path[1:], value))
	}
	child := set(list[i], path[1:], value)
	if child == nil {
		return slices.Delete(list, i, i+1)
	}
	list[i] = child
	return list
}

// indexOf finds an entry by its name or its number.
func indexOf(list []any, key string) int {
	if i := slices.IndexFunc(list, func(entry any) bool {
		object, ok := entry.(map[string]any)
		return ok && object["name"] == key
	}); i >= 0 {
		return i
	}
	i, err := strconv.Atoi(key)
	if err != nil || i > len(list) {
		panic(fmt.Sprintf("no entry %q", key))
	}
	return i
}

// clone copies an object.
func clone(object *unstructured.Unstructured) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: runtime.DeepCopyJSON(object.Object)}
}
