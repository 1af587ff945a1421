// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/internal/decision"
)

// Objects are what the operator would apply, in that order.
func (p *Plan) Objects() ([]map[string]any, error) {
	var objects []map[string]any
	for i := range p.decision.Writes {
		write := &p.decision.Writes[i]
		if write.Verb != decision.VerbApply {
			continue
		}
		data, err := json.Marshal(write.Object)
		if err != nil {
			return nil, fmt.Errorf("encoding %s %s: %w", write.Kind, write.Name, err)
		}
		object := map[string]any{}
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil {
			return nil, fmt.Errorf("encoding %s %s: %w", write.Kind, write.Name, err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// writeYAML prints objects separated by lines of dashes.
func writeYAML(w io.Writer, objects []map[string]any) error {
	for i, object := range objects {
		if i > 0 {
			if _, err := fmt.Fprintln(w, "---"); err != nil {
				return fmt.Errorf("printing YAML: %w", err)
			}
		}
		if err := writeObject(w, object); err != nil {
			return err
		}
	}
	return nil
}

// writeObject prints what an object is first and what it holds after that.
func writeObject(w io.Writer, object map[string]any) error {
	first := []string{"apiVersion", "kind", "metadata"}
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(object)), func(k string) bool { return slices.Contains(first, k) })
	for _, key := range append(first, rest...) {
		data, err := yaml.Marshal(map[string]any{key: object[key]})
		if err != nil {
			return fmt.Errorf("encoding YAML: %w", err)
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("printing YAML: %w", err)
		}
	}
	return nil
}

// writeJSON prints objects as one List.
func writeJSON(w io.Writer, objects []map[string]any) error {
	if objects == nil {
		objects = []map[string]any{}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	list := map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{}, "items": objects}
	if err := encoder.Encode(list); err != nil {
		return fmt.Errorf("printing JSON: %w", err)
	}
	return nil
}
