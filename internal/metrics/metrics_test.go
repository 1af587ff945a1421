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
		Figures{BudgetBytes: 2048, AllocatedBytes: 1024, ExposureBytes: 1536, GatedPods: 2, OldestGatedSeconds: 7})
	c.Observe(client.ObjectKey{Namespace: "shop", Name: "gone"}, Figures{BudgetBytes: 1})
	c.Forget(client.ObjectKey{Namespace: "shop", Name: "gone"})
	want := `
# HELP memorybudget_gated_pods Pods that wait at the scheduling gate for memory.
# TYPE memorybudget_gated_pods gauge
memorybudget_gated_pods{name="bunoraa",namespace="shop"} 2
# HELP memorybudget_budget_bytes The ceiling on the memory limits of all pods (spec.memory).
# TYPE memorybudget_budget_bytes gauge
memorybudget_budget_bytes{name="bunoraa",namespace="shop"} 2048
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "memorybudget_gated_pods", "memorybudget_budget_bytes"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Errorf("CollectAndLint() = %v, %v", problems, err)
	}
}
