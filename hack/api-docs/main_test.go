// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func TestReferenceIsLinked(t *testing.T) {
	text, err := reference("../../api/v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(text, -1) {
		if anchors[anchor(heading[1])] {
			t.Errorf("two headings %s", heading[1])
		}
		anchors[anchor(heading[1])] = true
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !anchors[link[1]] {
			t.Errorf("a link to #%s, which is no heading", link[1])
		}
	}
	for _, want := range []string{"`memory` *required* | quantity", "| `BudgetTooSmall` |", "`metadata.name`: must be", "| `memorybudget.dev/memory` |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestWriteObject(t *testing.T) {
	var s apiextensionsv1.JSONSchemaProps
	err := yaml.UnmarshalStrict([]byte(`
description: a thing named <name>
type: object
required: [name]
x-kubernetes-validations: [{rule: "true", message: must be <good>, fieldPath: .list}]
properties:
  name: {type: string, maxLength: 8, description: "name | of it"}
  reserve: {x-kubernetes-int-or-string: true, description: reserve}
  size: {x-kubernetes-int-or-string: true, description: size}
  user: {type: integer, minimum: 1, maximum: 2147483647, description: user}
  wide: {type: integer, minimum: 0, maximum: 2147483647, description: wide}
  count: {type: integer, minimum: 1, maximum: 9, default: 2, description: count}
  mode: {type: string, enum: [A, B], description: mode}
  labels: {type: object, additionalProperties: {type: string}, maxProperties: 3, description: labels}
  env: {type: array, description: env, maxItems: 4, items: {type: object, properties: {name: {type: string}}}}
  list: {type: array, maxItems: 2, description: list, items: {type: object, properties: {a: {type: string, description: a}}}}
`), &s)
	if err != nil {
		t.Fatal(err)
	}
	var w strings.Builder
	writeObject(&w, "spec", &s)
	want := `
## spec

a thing named \<name>

| field | type | meaning |
|---|---|---|
| ` + "`count`" + ` | integer | count Default: ` + "`2`" + `. From 1 to 9. |
| ` + "`env`" + ` | list of Kubernetes' EnvVar | env At most 4 entries. |
| ` + "`labels`" + ` | map of strings | labels At most 3 entries. |
| ` + "`list`" + ` | list of [object](#speclist) | list At most 2 entries. |
| ` + "`mode`" + ` | string | mode One of ` + "`A`, `B`" + `. |
| ` + "`name`" + ` *required* | string | name \| of it At most 8 characters. |
| ` + "`reserve`" + ` | ` + "`Auto`" + `, percentage or quantity | reserve |
| ` + "`size`" + ` | quantity | size |
| ` + "`user`" + ` | integer | user From 1 to 2147483647. |
| ` + "`wide`" + ` | integer | wide |

Rules:

- ` + "`list`" + `: must be \<good>

## spec.list[]

list

| field | type | meaning |
|---|---|---|
| ` + "`a`" + ` | string | a |
`
	if diff := cmp.Diff(want, w.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCell(t *testing.T) {
	got := cell("a <b>, not `<c>`, or | and `d | e`")
	if want := "a \\<b>, not `<c>`, or \\| and `d \\| e`"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestRun(t *testing.T) {
	if err := run([]string{"a"}); err == nil {
		t.Error("one argument is enough")
	}
	if err := run([]string{t.TempDir(), "out.md"}); err == nil {
		t.Error("a directory without the API package is enough")
	}
	file := filepath.Join(t.TempDir(), "reference.md")
	if err := run([]string{"../../api/v1alpha1", file}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
