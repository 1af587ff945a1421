// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// TestScaledStreamsAndLists: each is read once, however many tiers scale by it.
func TestScaledStreamsAndLists(t *testing.T) {
	stream := func(name, group string) v1alpha1.Metric {
		return v1alpha1.Metric{RedisStream: &v1alpha1.RedisStreamMetric{Stream: name, ConsumerGroup: group}}
	}
	list := func(name string) v1alpha1.Metric {
		return v1alpha1.Metric{RedisList: &v1alpha1.RedisListMetric{List: name}}
	}
	tier := func(metrics ...v1alpha1.Metric) v1alpha1.Tier {
		return v1alpha1.Tier{Process: &v1alpha1.Process{}, Scaling: &v1alpha1.Scaling{Metrics: metrics}}
	}
	mb := &v1alpha1.MemoryBudget{Spec: v1alpha1.MemoryBudgetSpec{Tiers: []v1alpha1.Tier{
		{Process: &v1alpha1.Process{}},
		tier(),
		tier(stream("orders", "shipping"), list("z"), v1alpha1.Metric{Resource: &v1alpha1.ResourceMetric{}}),
		tier(stream("orders", "billing"), stream("orders", "shipping"), list("a"), list("z")),
	}}}
	if diff := cmp.Diff([]ConsumerGroup{{"orders", "billing"}, {"orders", "shipping"}}, ScaledStreams(mb)); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a", "z"}, ScaledLists(mb)); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
}
