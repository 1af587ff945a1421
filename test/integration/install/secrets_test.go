// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/config/crd"
)

// TestSecretPlaces checks that secretPlaces, and so the policy, knows every field of the API that names a Secret. It is
// found by the name of the field that holds it.
func TestSecretPlaces(t *testing.T) {
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(crd.MemoryBudgets, &definition); err != nil {
		t.Fatal(err)
	}
	spec := definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	got := secretNames("", spec)
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(secretPlaces)), got); diff != "" {
		t.Errorf("places where Secrets are named, tested (-) and in the CRD (+):\n%s", diff)
	}
}

// secretNames are the paths of the fields called name or secretName below one whose own name speaks of a Secret.
func secretNames(path string, schema apiextensionsv1.JSONSchemaProps) []string {
	var found []string
	for name, property := range schema.Properties {
		below := strings.TrimPrefix(path+"."+name, ".")
		if slices.Contains([]string{"name", "secretName"}, name) && strings.Contains(strings.ToLower(path), "secret") {
			found = append(found, below)
		}
		found = append(found, secretNames(below, property)...)
	}
	if schema.Items != nil {
		found = append(found, secretNames(path+"[]", *schema.Items.Schema)...)
	}
	return found
}
