// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// testCase is an entry of the files in testdata. That Kubernetes refuses the same is tested in test/integration/api.
type testCase struct {
	// Value is what is checked.
	Value json.RawMessage `json:"value"`
	// Want is what is wrong, each with its path below what is checked.
	Want []string `json:"want"`
}

func readCases(t *testing.T, file string) map[string]testCase {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]testCase
	if err := yaml.UnmarshalStrict(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// mustRead reads YAML into a value.
func mustRead[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	if err := yaml.UnmarshalStrict([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func messages(mb *v1alpha1.MemoryBudget) []string {
	var got []string
	for _, err := range Validate(mb) {
		got = append(got, err.Error())
	}
	return got
}

func TestValidateExample(t *testing.T) {
	if got := messages(testutil.MakeExample("shop", "default").Obj()); got != nil {
		t.Errorf("the example is refused: %v", got)
	}
}

func TestValidateModelCache(t *testing.T) {
	pod := mustRead[v1alpha1.Pod](t, `{volumes: [{name: m, emptyDir: {}}], volumeMounts: [{name: m, mountPath: /models}]}`)
	mb := testutil.MakeExample("shop", "default").Pod(&pod).Obj()
	want := []string{"spec.tiers[2].modelCache: Forbidden: application.pod.volumeMounts has a mount at /models already: leave out one of the two"}
	if diff := cmp.Diff(want, messages(mb)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestValidatePod(t *testing.T) {
	for name, tc := range readCases(t, "testdata/pods.yaml") {
		t.Run(name, func(t *testing.T) {
			pod := mustRead[v1alpha1.Pod](t, string(tc.Value))
			tier := testutil.MakeTier("web", v1alpha1.RoleWeb).Gunicorn("core.wsgi").Pod(&pod).Obj()
			mb := testutil.MakeMemoryBudget("shop", "default").Pod(&pod).Tier(tier).Obj()
			if diff := cmp.Diff(twice(tc.Want, "pod."), messages(mb)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateEnv(t *testing.T) {
	for name, tc := range readCases(t, "testdata/env.yaml") {
		t.Run(name, func(t *testing.T) {
			from := mustRead[corev1.EnvVarSource](t, string(tc.Value))
			env := []corev1.EnvVar{{Name: "A", Value: "a"}, {Name: "B", ValueFrom: &from}}
			tier := testutil.MakeTier("web", v1alpha1.RoleWeb).Gunicorn("core.wsgi")
			tier.Tier.Env = env
			mb := testutil.MakeMemoryBudget("shop", "default").Tier(tier.Obj())
			mb.Spec.Application.Env = env
			if diff := cmp.Diff(twice(tc.Want, "env[1].valueFrom."), messages(mb.Obj())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// twice is what is said when the application and its only tier have the same fault.
func twice(want []string, prefix string) []string {
	var all []string
	for _, place := range []string{"spec.application.", "spec.tiers[0]."} {
		for _, message := range want {
			all = append(all, place+prefix+message)
		}
	}
	return all
}
