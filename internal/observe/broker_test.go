// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

func TestScaledQueues(t *testing.T) {
	tier := func(scaling *v1alpha1.Scaling, queues ...string) v1alpha1.Tier {
		return v1alpha1.Tier{Celery: &v1alpha1.Celery{Queues: queues}, Scaling: scaling}
	}
	mb := &v1alpha1.MemoryBudget{Spec: v1alpha1.MemoryBudgetSpec{Tiers: []v1alpha1.Tier{
		tier(nil, "plain"),
		tier(&v1alpha1.Scaling{}, "z", "shared"),
		tier(&v1alpha1.Scaling{Metrics: []v1alpha1.Metric{{}, {Queue: &v1alpha1.QueueMetric{}}}}, "a", "shared"),
		tier(&v1alpha1.Scaling{Metrics: []v1alpha1.Metric{{}}}, "other"),
		{Scaling: &v1alpha1.Scaling{}},
	}}}
	if diff := cmp.Diff([]string{"a", "shared", "z"}, ScaledQueues(mb)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
