// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func quantity(text string) *resource.Quantity { return new(resource.MustParse(text)) }

func shop(status v1alpha1.MemoryBudgetStatus) *v1alpha1.MemoryBudget {
	mb := &v1alpha1.MemoryBudget{Status: status}
	mb.Name, mb.Namespace, mb.Generation = "shop", "prod", 3
	mb.Spec.Memory = resource.MustParse("2Gi")
	return mb
}

func running() v1alpha1.MemoryBudgetStatus {
	return v1alpha1.MemoryBudgetStatus{
		ObservedGeneration: 3,
		Reserve:            quantity("512Mi"), Allocated: quantity("1Gi"), Exposure: quantity("1536Mi"), Unallocated: quantity("214748365"),
		LimitedBy: v1alpha1.LimitedByReserve,
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonReplicasNotReady, Message: "Tier web has 0 of 1 pods ready"},
			{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWaitingForPods, Message: "Tier web has 0 of 1 pods ready"},
			{Type: v1alpha1.ConditionWithinBudget, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonWithinBudget, Message: "Within"},
		},
		Tiers: []v1alpha1.TierStatus{
			{
				Name: "web", Desired: new(int32(2)), Granted: new(int32(1)), Ready: new(int32(0)), MemoryPerPod: quantity("512Mi"),
				Allocated: quantity("512Mi"), Processes: new(int32(2)), LimitedBy: v1alpha1.LimitedByReserve,
				Decision: "wanted 2, granted 1: a further pod of 512Mi would take 512Mi of the reserve of 512Mi",
				Runtime: &v1alpha1.RuntimeReport{
					Python: "3.13.5", Django: "5.2.1", Gunicorn: "23.0.0", BaselineMemory: quantity("68157440"),
					Imports: []string{"numpy", "torch"}, Problems: []string{"SettingsModuleOverridden"},
				},
			},
			{Name: "worker"},
		},
	}
}

func pod(name string, age time.Duration, change func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{}
	p.Name, p.Labels = name, map[string]string{v1alpha1.TierLabel: "worker"}
	p.CreationTimestamp = metav1.NewTime(now.Add(-age))
	change(&p)
	return p
}

func gate(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: name}} }
}

func TestView(t *testing.T) {
	stale := shop(running())
	stale.Generation = 4
	stale.Spec.Policy, stale.Spec.Pause = v1alpha1.PolicyRecommend, v1alpha1.PauseDrain
	hostile := running()
	hostile.Conditions[0].Message = "one\ntwo\x1b[31mred\x9b1m\x7f"
	hostile.Tiers[0].Runtime.Python = "3\t13\r\n\x1b]0;title\x07"
	tests := map[string]view{
		"running":    {mb: shop(running())},
		"stale":      {mb: stale},
		"unreported": {mb: shop(v1alpha1.MemoryBudgetStatus{})},
		"hostile":    {mb: shop(hostile)},
		"waiting": {mb: shop(v1alpha1.MemoryBudgetStatus{}), pods: []corev1.Pod{
			pod("young-gated", time.Second, gate(v1alpha1.MemoryGate)),
			pod("old-gated", 3*time.Hour, gate(v1alpha1.MemoryGate)),
			pod("foreign-gate", time.Minute, gate("example.com/quota")),
			pod("leaving", 2*time.Minute, func(p *corev1.Pod) { p.DeletionTimestamp = new(metav1.NewTime(now)) }),
			pod("leaving-gated", 2*time.Minute, func(p *corev1.Pod) {
				gate(v1alpha1.MemoryGate)(p)
				p.DeletionTimestamp = new(metav1.NewTime(now))
			}),
			pod("no-node", 4*time.Minute, func(p *corev1.Pod) {
				p.Status.Phase = corev1.PodPending
				p.Status.Conditions = []corev1.PodCondition{{
					Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available",
				}}
			}),
			pod("not-looked-at", 4*time.Minute, func(p *corev1.Pod) { p.Status.Phase, p.Labels = corev1.PodPending, nil }),
			pod("starting", time.Minute, func(p *corev1.Pod) { p.Status.Phase, p.Spec.NodeName = corev1.PodPending, "node" }),
			pod("running", time.Minute, func(p *corev1.Pod) { p.Status.Phase, p.Spec.NodeName = corev1.PodRunning, "node" }),
		}},
	}
	for name, v := range tests {
		t.Run(name, func(t *testing.T) {
			v.now = now
			var out bytes.Buffer
			if err := v.write(&out); err != nil {
				t.Fatal(err)
			}
			checkGolden(t, name, out.String())
		})
	}
}

// checkGolden compares with a file under testdata, or writes it.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("unexpected output, run with -update if it is right (-want +got):\n%s", diff)
	}
}
