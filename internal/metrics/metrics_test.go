// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestCollector(t *testing.T) {
	c := NewCollector()
	c.Observe(client.ObjectKey{Namespace: "shop", Name: "bunoraa"},
		Figures{BudgetBytes: 2048, AllocatedBytes: 1024, ExposureBytes: 1536, GatedPods: 2, OldestGatedSeconds: 7, Tiers: []Tier{
			{Name: "web", Desired: 3, Granted: 2, Demand: &Demand{Replicas: 3}},
			{Name: "worker", Demand: &Demand{Replicas: 9, Tasks: &Tasks{Ready: 17, Reserved: 1}}},
		}})
	c.Observe(client.ObjectKey{Namespace: "shop", Name: "gone"}, Figures{BudgetBytes: 1})
	c.Forget(client.ObjectKey{Namespace: "shop", Name: "gone"})
	want := `
# HELP memorybudget_gated_pods Pods that wait at the scheduling gate for memory.
# TYPE memorybudget_gated_pods gauge
memorybudget_gated_pods{name="bunoraa",namespace="shop"} 2
# HELP memorybudget_budget_bytes The ceiling on the memory limits of all pods (spec.memory).
# TYPE memorybudget_budget_bytes gauge
memorybudget_budget_bytes{name="bunoraa",namespace="shop"} 2048
# HELP memorybudget_tier_desired_replicas Replicas that the tier wants.
# TYPE memorybudget_tier_desired_replicas gauge
memorybudget_tier_desired_replicas{name="bunoraa",namespace="shop",tier="web"} 3
memorybudget_tier_desired_replicas{name="bunoraa",namespace="shop",tier="worker"} 0
# HELP memorybudget_tier_ready_tasks Tasks that wait in the queues of the tier.
# TYPE memorybudget_tier_ready_tasks gauge
memorybudget_tier_ready_tasks{name="bunoraa",namespace="shop",tier="worker"} 17
`
	names := []string{
		"memorybudget_gated_pods", "memorybudget_budget_bytes", "memorybudget_tier_desired_replicas", "memorybudget_tier_ready_tasks",
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("CollectAndLint() = %v, %v", problems, err)
	}
}
