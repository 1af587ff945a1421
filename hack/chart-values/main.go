// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command chart-values writes the table of a chart's values into its README.md, from the comments in values.yaml that
// begin with `# --` (as helm-docs reads them). A value without one is an error.
//
//	chart-values CHART_DIR
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The table stands between these lines of README.md.
const (
	begin = "<!-- values -->"
	end   = "<!-- end of values -->"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chart-values CHART_DIR")
		os.Exit(2)
	}
	if err := update(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart-values:", err)
		os.Exit(1)
	}
}

// update rewrites the table in the README.md of the chart in dir.
func update(dir string) error {
	path := filepath.Join(dir, "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	values, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return err
	}
	updated, err := render(string(readme), values)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(updated), 0o644)
}

// render returns readme with the table of values in it.
func render(readme string, values []byte) (string, error) {
	before, rest, found := strings.Cut(readme, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("README.md lacks the lines %s and %s", begin, end)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(values, &document); err != nil {
		return "", fmt.Errorf("reading values.yaml: %w", err)
	}
	rows, err := rowsOf("", document.Content[0])
	if err != nil {
		return "", err
	}
	table := "\n| value | default | meaning |\n| --- | --- | --- |\n" + strings.Join(rows, "")
	return before + begin + table + end + after, nil
}

// rowsOf are the table's rows for the values below path.
func rowsOf(path string, mapping *yaml.Node) ([]string, error) {
	var rows []string
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		name := strings.TrimPrefix(path+"."+key.Value, ".")
		_, meaning, documented := strings.Cut(key.HeadComment, "# -- ")
		switch {
		case documented:
			row, err := rowOf(name, meaning, value)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			below, err := rowsOf(name, value)
			if err != nil {
				return nil, err
			}
			rows = append(rows, below...)
		default:
			return nil, fmt.Errorf("values.yaml: %s has no comment that begins with `# --`", name)
		}
	}
	return rows, nil
}

// rowOf is the table's row for one value. meaning may go on over several lines of comment.
func rowOf(name, meaning string, value *yaml.Node) (string, error) {
	var content any
	if err := value.Decode(&content); err != nil {
		return "", fmt.Errorf("values.yaml: %s: %w", name, err)
	}
	text, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("values.yaml: %s: %w", name, err)
	}
	meaning = strings.Join(strings.Fields(strings.ReplaceAll(meaning, "\n#", " ")), " ")
	return "| `" + name + "` | `" + string(text) + "` | " + strings.ReplaceAll(meaning, "|", "\\|") + " |\n", nil
}
