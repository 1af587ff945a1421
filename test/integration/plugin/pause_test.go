// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const prefix = "memorybudget.memorybudget.dev/"

// check compares spec.pause, and the fields that the plugin owns.
func check(t *testing.T, namespace, name, want, wantOwned string) *unstructured.Unstructured {
	t.Helper()
	object, err := budgets(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := unstructured.NestedString(object.Object, "spec", "pause"); got != want {
		t.Errorf("spec.pause is %q, want %q", got, want)
	}
	owned := ""
	for _, entry := range object.GetManagedFields() {
		if entry.Manager == "kubectl-memorybudget" {
			owned += entry.FieldsV1.GetRawString()
		}
	}
	if diff := cmp.Diff(wantOwned, owned); diff != "" {
		t.Errorf("unexpected fields of the plugin (-want +got):\n%s", diff)
	}
	return object
}

func TestPauseAndResume(t *testing.T) {
	const ns, pauseOnly = "pause", `{"f:spec":{"f:pause":{}}}`
	namespace(t, ns)
	created := create(t, ns, "shop")
	create(t, ns, "other")

	kubectl(t, "", "memorybudget", "resume", "shop", "-n", ns).expect(t, 0, prefix+"shop unchanged\n", "")
	if got := check(t, ns, "shop", "None", ""); got.GetResourceVersion() != created.GetResourceVersion() {
		t.Error("it was written to though nothing was to be changed")
	}

	kubectl(t, "", "memorybudget", "pause", "shop", "-n", ns).expect(t, 0, prefix+"shop paused (Hold)\n", "")
	held := check(t, ns, "shop", "Hold", pauseOnly)
	kubectl(t, "", "memorybudget", "pause", "shop", "-n", ns).expect(t, 0, prefix+"shop unchanged\n", "")
	if got := check(t, ns, "shop", "Hold", pauseOnly); got.GetResourceVersion() != held.GetResourceVersion() {
		t.Error("it was written to though it was paused already")
	}

	kubectl(t, "", "memorybudget", "pause", "--drain", prefix+"shop", "mb/other", "-n", ns).
		expect(t, 0, prefix+"shop paused (Drain)\n"+prefix+"other paused (Drain)\n", "")
	check(t, ns, "other", "Drain", pauseOnly)

	kubectl(t, "", "memorybudget", "resume", "shop", "missing", "other", "-n", ns).
		expect(t, 1, prefix+"shop resumed\n"+prefix+"other resumed\n",
			`Error from server (NotFound): memorybudgets.memorybudget.dev "missing" not found`+"\n")
	check(t, ns, "shop", "None", pauseOnly)
	check(t, ns, "other", "None", pauseOnly)
}

func TestPauseForbidden(t *testing.T) {
	const ns = "pause-forbidden"
	namespace(t, ns)
	create(t, ns, "shop")
	kubectl(t, "", "memorybudget", "pause", "shop", "-n", ns, "--as", "stranger").
		expect(t, 1, "", `Error from server (Forbidden): memorybudgets.memorybudget.dev "shop" is forbidden: User "stranger" `+
			`cannot get resource "memorybudgets" in API group "memorybudget.dev" in the namespace "`+ns+`"`+"\n")
	check(t, ns, "shop", "None", "")
}
