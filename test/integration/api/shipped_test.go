// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/memorybudget/memorybudget/internal/validation"
)

// TestShippedResources: the examples, and the resources that golden files of Deployments are made from, are valid.
func TestShippedResources(t *testing.T) {
	for _, pattern := range []string{"../../../examples/*/memorybudget.yaml", "../../../internal/workload/testdata/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			t.Run(file, func(t *testing.T) { checkShipped(t, file) })
		}
	}
}

func checkShipped(t *testing.T, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{Object: parse(string(data)).(map[string]any)}
	object.SetNamespace(namespace)
	if err := create(t.Context(), object); err != nil {
		t.Error(err)
	}
	if errs := validation.Validate(decode(t, object)); len(errs) > 0 {
		t.Errorf("the controller's validation: %v", errs)
	}
}
