// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/memorybudget/memorybudget/internal/validation/offline"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestRefused holds what the API server says of each broken rule. testdata/refused.golden has the text.
func TestRefused(t *testing.T) {
	cases := refused()
	objects := map[string]*unstructured.Unstructured{}
	for name, edits := range cases {
		objects[name] = example(edits)
	}
	checkAnswers(t, "testdata/refused.golden", objects)
}

// checkAnswers creates each object, all of which must be refused, and compares what the API server answers with the
// offline validation, word for word, and with a golden file.
func checkAnswers(t *testing.T, golden string, objects map[string]*unstructured.Unstructured) {
	t.Helper()
	var got strings.Builder
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		answer := create(t.Context(), objects[name])
		if answer == nil {
			t.Errorf("%s: the API server accepts it", name)
			continue
		}
		if diff := cmp.Diff(answer.Error(), offlineAnswer(t, objects[name])); diff != "" {
			t.Errorf("%s: offline validation does not say what the API server says (-server +offline):\n%s", name, diff)
		}
		fmt.Fprintf(&got, "# %s\n%s\n\n", name, strings.Join(offline.Problems(answer), "\n"))
	}
	checkGolden(t, golden, got.String())
}

// offlineAnswer is what the offline validation says, with what only a server says added.
func offlineAnswer(t *testing.T, object *unstructured.Unstructured) string {
	t.Helper()
	data, err := object.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = offline.Decode(data, namespace); err == nil {
		return ""
	}
	return err.Error()
}

func checkGolden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; -update writes it anew (-want +got):\n%s", path, diff)
	}
}
