// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestCollector(t *testing.T) {
	c := NewCollector()
	c.Observe(client.ObjectKey{Namespace: "shop", Name: "bunoraa"},
		Figures{BudgetBytes: 2048, AllocatedBytes: 1024, ExposureBytes: 1536, GatedPods: 2, OldestGatedSeconds: 7, Tiers: []Tier{
			{Name: "web", Desired: 3, Granted: 2, Demand: &Demand{Replicas: 3}},
			{Name: "worker", Demand: &Demand{Replicas: 9, Tasks: &Tasks{Ready: 17, Reserved: 1}}},
			{Name: "billing", Demand: &Demand{Entries: &Entries{Undelivered: 3, Pending: 2}, ListLength: new(int64(4))}},
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
memorybudget_tier_desired_replicas{name="bunoraa",namespace="shop",tier="billing"} 0
memorybudget_tier_desired_replicas{name="bunoraa",namespace="shop",tier="web"} 3
memorybudget_tier_desired_replicas{name="bunoraa",namespace="shop",tier="worker"} 0
# HELP memorybudget_tier_ready_tasks Tasks that wait in the queues of the tier.
# TYPE memorybudget_tier_ready_tasks gauge
memorybudget_tier_ready_tasks{name="bunoraa",namespace="shop",tier="worker"} 17
# HELP memorybudget_tier_undelivered_entries Entries of the tier's Redis streams that were not delivered to its consumer groups yet.
# TYPE memorybudget_tier_undelivered_entries gauge
memorybudget_tier_undelivered_entries{name="bunoraa",namespace="shop",tier="billing"} 3
# HELP memorybudget_tier_pending_entries Entries that consumers of the tier's groups were delivered and have not acknowledged.
# TYPE memorybudget_tier_pending_entries gauge
memorybudget_tier_pending_entries{name="bunoraa",namespace="shop",tier="billing"} 2
# HELP memorybudget_tier_list_length Elements of the tier's Redis lists.
# TYPE memorybudget_tier_list_length gauge
memorybudget_tier_list_length{name="bunoraa",namespace="shop",tier="billing"} 4
`
	names := []string{
		"memorybudget_gated_pods", "memorybudget_budget_bytes", "memorybudget_tier_desired_replicas", "memorybudget_tier_ready_tasks",
		"memorybudget_tier_undelivered_entries", "memorybudget_tier_pending_entries", "memorybudget_tier_list_length",
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("CollectAndLint() = %v, %v", problems, err)
	}
}

func TestDecisionsAreCountedWhenTheyChange(t *testing.T) {
	c := NewCollector()
	shop := client.ObjectKey{Namespace: "shop", Name: "bunoraa"}
	decide := func(tiers ...Tier) { c.Observe(shop, Figures{Tiers: tiers}) }
	web, worker := Tier{Name: "web", Desired: 3, Granted: 2, Reason: "Budget"}, Tier{Name: "worker", Reason: "None"}
	decide(web, worker)
	decide(worker, web) // Nothing is other than before.
	web.Granted, web.Reason = 3, "None"
	decide(web, worker)
	worker.Desired, worker.Granted = 1, 1
	decide(web, worker)
	c.Wrote(30 * time.Millisecond)
	want := `
# HELP memorybudget_decisions_total Decisions on tiers that differ from the one before, by what limits the tier (status.tiers[].limitedBy).
# TYPE memorybudget_decisions_total counter
memorybudget_decisions_total{reason="Budget"} 1
memorybudget_decisions_total{reason="None"} 3
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "memorybudget_decisions_total"); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(c, "memorybudget_signal_to_write_seconds"); n != 1 {
		t.Errorf("%d histograms of writes, want 1", n)
	}
}
