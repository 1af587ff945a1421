// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// queued is a shop whose worker tier scales by its queues, with a status of that tier.
func queued(change func(*v1alpha1.MemoryBudget, *v1alpha1.TierStatus)) *v1alpha1.MemoryBudget {
	mb := shop(running())
	mb.Spec.Tiers = []v1alpha1.Tier{{Name: "web"}, {
		Name: "worker", Replicas: &v1alpha1.Replicas{Min: new(int32(0)), Max: new(int32(8))},
		Celery: &v1alpha1.Celery{Queues: []string{"celery", "emails"}}, Scaling: &v1alpha1.Scaling{},
	}}
	worker := v1alpha1.TierStatus{
		Name: "worker", Desired: new(int32(2)), Granted: new(int32(2)), Ready: new(int32(1)), MemoryPerPod: quantity("256Mi"),
		Processes: new(int32(2)), LimitedBy: v1alpha1.LimitedByNone, Demand: &v1alpha1.DemandStatus{
			Replicas: new(int32(2)), LimitedBy: v1alpha1.DemandLimitedByNone,
			ReadyTasks: new(int64(2)), ReservedTasks: new(int64(1)), LaterTasks: new(int64(0)),
		},
	}
	change(mb, &worker)
	mb.Status.Tiers[1] = worker
	return mb
}

// wants sets what the metrics ask for, what the tier wants of it and is granted, and the limits.
func wants(t *v1alpha1.TierStatus, asked, desired, granted int32, demandLimit, limit string) {
	t.Demand.Replicas, t.Desired, t.Granted, t.Demand.LimitedBy, t.LimitedBy = &asked, &desired, &granted, demandLimit, limit
	t.Demand.ReadyTasks, t.Demand.LaterTasks = new(2*int64(asked)-1), new(int64(5))
}

// consumes makes the tier a process that scales by these metrics.
func consumes(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus, metrics ...v1alpha1.Metric) {
	wants(s, 4, 4, 4, v1alpha1.DemandLimitedByNone, v1alpha1.LimitedByNone)
	tier := &mb.Spec.Tiers[1]
	tier.Celery, tier.Process, tier.Scaling.Metrics = nil, &v1alpha1.Process{}, metrics
	d := s.Demand
	d.ReadyTasks, d.ReservedTasks, d.LaterTasks = nil, nil, nil
	d.UndeliveredEntries, d.PendingEntries, d.ListLength = new(int64(12)), new(int64(5)), new(int64(7))
}

func TestExplanations(t *testing.T) {
	cases := map[string]func(*v1alpha1.MemoryBudget, *v1alpha1.TierStatus){
		"content": func(*v1alpha1.MemoryBudget, *v1alpha1.TierStatus) {},
		"budget": func(_ *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 53, 8, 5, v1alpha1.DemandLimitedByMax, v1alpha1.LimitedByBudget)
		},
		"reserve": func(_ *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 12, 4, 3, v1alpha1.DemandLimitedByPolicy, v1alpha1.LimitedByReserve)
		},
		"stabilized": func(_ *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 1, 4, 4, v1alpha1.DemandLimitedByStabilization, v1alpha1.LimitedByNone)
		},
		"held": func(_ *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 4, 4, 1, v1alpha1.DemandLimitedByNone, v1alpha1.LimitedByPause)
		},
		"unknown": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 1, 4, 4, v1alpha1.DemandLimitedByUnknown, v1alpha1.LimitedByNone)
			mb.Status.Conditions = append(mb.Status.Conditions, metav1.Condition{
				Type: v1alpha1.ConditionSignalsFresh, Status: metav1.ConditionFalse, Message: "The broker at redis:6379 cannot be\nconnected to",
			})
		},
		"recommend": func(_ *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 4, 4, 4, v1alpha1.DemandLimitedByNone, v1alpha1.LimitedByPolicy)
		},
		"wait": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 3, 3, 3, v1alpha1.DemandLimitedByNone, v1alpha1.LimitedByNone)
			s.Demand.RunningTasks = new(int64(1))
			mb.Spec.Tiers[1].Scaling.Metrics = []v1alpha1.Metric{{Queue: &v1alpha1.QueueMetric{TargetWaitSeconds: new(int32(30))}}}
		},
		"usage": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 4, 4, 4, v1alpha1.DemandLimitedByNone, v1alpha1.LimitedByNone)
			s.Demand.ReadyTasks, s.Demand.ReservedTasks, s.Demand.LaterTasks, s.Demand.PercentOfTarget = nil, nil, nil, new(int32(160))
			mb.Spec.Tiers[1].Scaling.Metrics = []v1alpha1.Metric{{Resource: &v1alpha1.ResourceMetric{
				Name: v1alpha1.ResourceMetricCPU, TargetAverageUtilization: new(int32(70)),
			}}}
		},
		"stream": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			consumes(mb, s, v1alpha1.Metric{RedisStream: &v1alpha1.RedisStreamMetric{Stream: "shop:orders", ConsumerGroup: "billing"}})
			s.Demand.ListLength = nil
		},
		"backlogs": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			consumes(mb, s, v1alpha1.Metric{RedisStream: &v1alpha1.RedisStreamMetric{Stream: "shop:orders", ConsumerGroup: "billing"}},
				v1alpha1.Metric{RedisList: &v1alpha1.RedisListMetric{List: "shop:images"}})
		},
		"values": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 4, 4, 4, v1alpha1.DemandLimitedByNone, v1alpha1.LimitedByNone)
			s.Demand.ReadyTasks, s.Demand.ReservedTasks, s.Demand.LaterTasks = nil, nil, nil
			mb.Spec.Tiers[1].Scaling.Metrics = []v1alpha1.Metric{
				{External: &v1alpha1.ExternalMetric{Name: "orders", TargetValue: quantity("100")}},
				{Prometheus: &v1alpha1.PrometheusMetric{Address: "http://prometheus", Query: "up", TargetAverageValue: quantity("500m")}},
			}
		},
		"query": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			wants(s, 4, 4, 4, v1alpha1.DemandLimitedByNone, v1alpha1.LimitedByNone)
			s.Demand.ReadyTasks, s.Demand.ReservedTasks, s.Demand.LaterTasks = nil, nil, nil
			mb.Spec.Tiers[1].Scaling.Metrics = []v1alpha1.Metric{
				{Prometheus: &v1alpha1.PrometheusMetric{Address: "http://prometheus", Query: "up", TargetAverageValue: quantity("500m")}},
			}
		},
		"unreported": func(mb *v1alpha1.MemoryBudget, s *v1alpha1.TierStatus) {
			*s = v1alpha1.TierStatus{Name: "other"}
			mb.Generation++
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := writeExplanations(&out, queued(change), nil); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "explain-"+name+".golden")
			if *update {
				if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("unexpected explanation, run with -update if it is right (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExplainOneTier: a tier can be named, and one that does not exist is said to.
func TestExplainOneTier(t *testing.T) {
	mb := queued(func(*v1alpha1.MemoryBudget, *v1alpha1.TierStatus) {})
	var out bytes.Buffer
	if err := writeExplanations(&out, mb, []string{"worker"}); err != nil || strings.Contains(out.String(), "Tier web") {
		t.Errorf("%v:\n%s", err, &out)
	}
	if err := writeExplanations(&out, mb, []string{"wrk"}); err == nil || err.Error() != `MemoryBudget prod/shop has no tier "wrk"` {
		t.Errorf("got %v", err)
	}
}
