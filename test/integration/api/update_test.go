// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// keep makes an object from the full example that lives as long as the test.
func keep(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	kept, err := budgets.Create(t.Context(), example([]edit{{"metadata.name", name}}), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := budgets.Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return kept
}

// change applies edits to an object.
func change(object *unstructured.Unstructured, edits ...edit) *unstructured.Unstructured {
	changed := clone(object)
	for _, e := range edits {
		set(changed.Object, steps(e.path), parse(e.value))
	}
	return changed
}

// unseen is the status of a resource that no operator has seen.
var unseen any = map[string]any{"observedGeneration": int64(-1)}

// TestUpdate: an update is held to the same rules as a creation, and counts as a generation where the spec changes.
func TestUpdate(t *testing.T) {
	kept := keep(t, "update")
	tests := map[string]struct {
		edits          []edit
		wantError      string
		wantGeneration int64
	}{
		"a lower budget that still fits": {
			edits:          []edit{{"spec.memory", "1536Mi"}},
			wantGeneration: 2,
		},
		"the budget in another spelling": {
			edits:          []edit{{"spec.memory", "2048Mi"}},
			wantGeneration: 2,
		},
		"a label": {
			edits:          []edit{{"metadata.labels.team", "shop"}},
			wantGeneration: 1,
		},
		"tiers in another order": {
			edits:          []edit{{"spec.tiers[beat]", ""}, {"spec.tiers[5]", "{name: beat, role: Beat, memory: {perPod: 128Mi}, beat: {}}"}},
			wantGeneration: 2,
		},
		"a lower budget than the floors": {
			edits: []edit{{"spec.memory", "1Gi"}},
			wantError: `MemoryBudget.memorybudget.dev "update" is invalid: spec.memory: Invalid value: the floors (replicas.min x memory.perPod of every tier) ` +
				`and the reserve need 1063Mi, and memory is 1Gi: raise memory, or lower reserve, replicas.min or perPod`,
		},
		"a status in the spec's place": {
			edits:          []edit{{"status.limitedBy", "Budget"}},
			wantGeneration: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := budgets.Update(t.Context(), change(kept, tc.edits...), metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			if tc.wantError != "" {
				if !apierrors.IsInvalid(err) || err.Error() != tc.wantError {
					t.Errorf("got  %v\nwant %s", err, tc.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.GetGeneration() != tc.wantGeneration {
				t.Errorf("generation %d, want %d", got.GetGeneration(), tc.wantGeneration)
			}
			if diff := cmp.Diff(unseen, got.Object["status"]); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

// TestApplyMergesTiers: two appliers can each own a tier.
func TestApplyMergesTiers(t *testing.T) {
	kept := keep(t, "apply")
	patch := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.GroupVersion().String(),
		"kind":       "MemoryBudget",
		"metadata":   map[string]any{"name": "apply"},
		"spec": map[string]any{"tiers": []any{
			map[string]any{"name": "bot", "weight": int64(2)},
		}},
	}}
	got, err := budgets.Apply(t.Context(), "apply", patch, metav1.ApplyOptions{FieldManager: "scaler"})
	if err != nil {
		t.Fatal(err)
	}
	want := change(kept, edit{"spec.tiers[bot].weight", "2"})
	if diff := diffSpecs(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestStatus: the status is written by itself and kept within its bounds.
func TestStatus(t *testing.T) {
	kept := keep(t, "status")
	status := change(kept, edit{"status", statusYAML}, edit{"spec.memory", "1Gi"})
	got, err := budgets.UpdateStatus(t.Context(), status, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffSpecs(kept, got); diff != "" {
		t.Errorf("a status update changed the spec (-want +got):\n%s", diff)
	}
	broken := change(got, edit{"status.tiers[web].desired", "-1"})
	if _, err := budgets.UpdateStatus(t.Context(), broken, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("desired -1 in the status: %v", err)
	}
}
