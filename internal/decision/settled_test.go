// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"encoding/json"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// BenchmarkDecide measures a whole decision, from a snapshot to writes: of a new resource, where all
// objects are built, and of a settled one, where each is also compared with what is there.
func BenchmarkDecide(b *testing.B) {
	for _, tiers := range []int{3, 16} {
		mb := withTiers(tiers)
		fresh := observe.Snapshot{MemoryBudget: mb}
		settled := afterWriting(b, mb)
		for name, snapshot := range map[string]*observe.Snapshot{"new": &fresh, "settled": settled} {
			b.Run(fmt.Sprintf("%s/tiers=%d", name, tiers), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					decision.Decide(snapshot)
				}
			})
		}
	}
}

func withTiers(n int) *v1alpha1.MemoryBudget {
	mb := testutil.MakeMemoryBudget("bench", "default").UID("u").Memory("64Gi").
		Image("registry.example/app:1").Django("core.settings").CeleryApp("core").Redis("broker", "url")
	mb = mb.Tier(testutil.MakeTier("web", v1alpha1.RoleWeb).Memory("512Mi").Replicas(1, 2, 4).
		Gunicorn("core.wsgi:application").Obj())
	for i := 1; i < n; i++ {
		mb = mb.Tier(testutil.MakeTier(fmt.Sprintf("worker-%d", i), v1alpha1.RoleWorker).Memory("512Mi").
			Replicas(0, 2, 8).Celery(fmt.Sprintf("queue-%d", i)).Obj())
	}
	return mb.Obj()
}

// afterWriting is the snapshot in which all that is decided for a new resource has been applied.
func afterWriting(tb testing.TB, mb *v1alpha1.MemoryBudget) *observe.Snapshot {
	tb.Helper()
	return written(tb, mb, decision.Decide(&observe.Snapshot{MemoryBudget: mb}).Writes)
}

// written is the cluster in which nothing but these writes was made.
func written(tb testing.TB, mb *v1alpha1.MemoryBudget, writes []decision.Write) *observe.Snapshot {
	tb.Helper()
	s := &observe.Snapshot{MemoryBudget: mb}
	for _, w := range writes {
		data, err := json.Marshal(w.Object)
		if err != nil {
			tb.Fatalf("encoding %s %s: %v", w.Kind, w.Name, err)
		}
		switch w.Kind {
		case "Deployment":
			s.Deployments = append(s.Deployments, decode[appsv1.Deployment](tb, data))
		case "Service":
			s.Services = append(s.Services, decode[corev1.Service](tb, data))
		case "PodDisruptionBudget":
			s.PodDisruptionBudgets = append(s.PodDisruptionBudgets, decode[policyv1.PodDisruptionBudget](tb, data))
		case "ConfigMap":
			s.ConfigMaps = append(s.ConfigMaps, decode[corev1.ConfigMap](tb, data))
		}
	}
	return s
}

func decode[T any](tb testing.TB, data []byte) T {
	tb.Helper()
	var object T
	if err := json.Unmarshal(data, &object); err != nil {
		tb.Fatalf("decoding: %v", err)
	}
	return object
}

func TestASettledResourceCausesNoWrite(t *testing.T) {
	for _, tiers := range []int{1, 3, 16} {
		if writes := decision.Decide(afterWriting(t, withTiers(tiers))).Writes; len(writes) > 0 {
			t.Errorf("%d tiers: %d writes after all were made, first %s %s %s",
				tiers, len(writes), writes[0].Verb, writes[0].Kind, writes[0].Name)
		}
	}
}

// TestWritesShareNothing: what an apply answers is read into the object that was sent. What was decided must not change by it.
func TestWritesShareNothing(t *testing.T) {
	decided := decision.Decide(&observe.Snapshot{MemoryBudget: withTiers(2)})
	for _, w := range decided.Writes {
		if d, ok := w.Object.(*appsv1ac.DeploymentApplyConfiguration); ok {
			d.Spec.Template.Labels["added"] = "by the API server"
		}
	}
	for _, tier := range decided.Tiers {
		if tier.Rendered.Template.Labels["added"] != "" {
			t.Errorf("tier %s has the answer in its template", tier.Spec.Name)
		}
	}
}
