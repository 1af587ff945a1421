// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

func external(target, average string) v1alpha1.Scaling {
	m := &v1alpha1.ExternalMetric{Name: "orders"}
	m.TargetValue, m.TargetAverageValue = targets(target, average)
	return v1alpha1.Scaling{Metrics: []v1alpha1.Metric{{External: m}}}
}

func query(target, average string) v1alpha1.Scaling {
	m := &v1alpha1.PrometheusMetric{Address: "http://prometheus:9090", Query: "orders"}
	m.TargetValue, m.TargetAverageValue = targets(target, average)
	return v1alpha1.Scaling{Metrics: []v1alpha1.Metric{{Prometheus: m}}}
}

func targets(target, average string) (value, perReplica *resource.Quantity) {
	if average != "" {
		return nil, new(resource.MustParse(average))
	}
	return new(resource.MustParse(target)), nil
}

// TestValues is what external metrics and queries ask for: what an External metric of a HorizontalPodAutoscaler does.
func TestValues(t *testing.T) {
	cases := map[string]struct {
		scaling v1alpha1.Scaling
		value   string
		ready   int
		// replicas are what the tier has.
		replicas, want int32
	}{
		"an average":                     {external("", "30"), "100", 2, 2, 4},
		"an average of a query":          {query("", "30"), "100", 2, 2, 4},
		"less than one":                  {query("", "500m"), "1200m", 2, 2, 3},
		"within the tolerance":           {query("", "30"), "63", 2, 2, 2},
		"a value":                        {external("30", ""), "60", 2, 2, 4},
		"a value of a query":             {query("30", ""), "45", 2, 2, 3},
		"half of it":                     {query("30", ""), "15", 4, 4, 2},
		"a pod that is not ready":        {query("30", ""), "60", 1, 3, 3},
		"nothing for a value":            {query("30", ""), "0", 2, 2, 0},
		"nothing on average":             {query("", "30"), "0", 2, 2, 0},
		"from zero, by a value":          {query("30", ""), "1m", 0, 0, 1},
		"from zero, several by a value":  {external("30", ""), "61", 0, 0, 3},
		"from zero, on average":          {external("", "30"), "31", 0, 0, 2},
		"from zero, nothing":             {query("30", ""), "0", 0, 0, 0},
		"from zero, nothing on average":  {external("", "30"), "0", 0, 0, 0},
		"little of much":                 {query("", "1P"), "1m", 1, 1, 1},
		"bytes":                          {query("", "5Gi"), "20Gi", 2, 2, 4},
		"more than can be counted":       {query("", "1m"), "9P", 2, 2, 2147483647},
		"more than that for each of two": {query("", "1P"), "3P", 2, 2, 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mb := served(tc.scaling)
			mb.Spec.Tiers[0].Replicas.Min = new(int32(0))
			d := decision.Decide(&observe.Snapshot{Now: noon, MemoryBudget: mb, Readings: []observe.Reading{
				{Tier: "web", State: observe.ReadingRead, Milli: new(resource.MustParse(tc.value)).MilliValue()},
			}})
			in := d.Tiers[0].Demand.Input
			in.Replicas, in.Ready = tc.replicas, int32(tc.ready)
			if got := demand.Decide(in); got.Asked != tc.want {
				t.Errorf("asked for %d, want %d (%+v)", got.Asked, tc.want, in.Metrics)
			}
		})
	}
}

// TestValuesMissing: what is not known is not zero, and makes nothing smaller.
func TestValuesMissing(t *testing.T) {
	for name, reading := range map[string]observe.Reading{
		"never read":      {},
		"not read yet":    {Tier: "web", State: observe.ReadingNotReadYet},
		"no number":       {Tier: "web", State: observe.ReadingNotANumber, FailingSince: noon},
		"failing":         {Tier: "web", State: observe.ReadingUnreachable, FailingSince: noon, Milli: 1},
		"of another tier": {Tier: "worker", State: observe.ReadingRead, Milli: 1},
		"of another":      {Tier: "web", Metric: 1, State: observe.ReadingRead, Milli: 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := decision.Decide(&observe.Snapshot{Now: noon, MemoryBudget: served(query("", "30")), Readings: []observe.Reading{reading}})
			in := d.Tiers[0].Demand.Input
			in.Replicas, in.Ready = 3, 3
			if got := demand.Decide(in); in.Known() || got.By >= 0 || got.Desired != 3 {
				t.Errorf("known %t, by %d, desired %d", in.Known(), got.By, got.Desired)
			}
		})
	}
}

// TestValuesBesideOthers: the largest counts, and while one is missing nothing is made smaller.
func TestValuesBesideOthers(t *testing.T) {
	scaling := query("", "30")
	scaling.Metrics = append(scaling.Metrics, external("", "10").Metrics...)
	decide := func(second observe.ReadingState) demand.Decision {
		d := decision.Decide(&observe.Snapshot{Now: noon, MemoryBudget: served(scaling), Readings: []observe.Reading{
			{Tier: "web", Metric: 0, State: observe.ReadingRead, Milli: 60000},
			{Tier: "web", Metric: 1, State: second, Milli: 60000},
		}})
		in := d.Tiers[0].Demand.Input
		in.Replicas, in.Ready = 4, 4
		return demand.Decide(in)
	}
	if got := decide(observe.ReadingRead); got.Asked != 6 || got.By != 1 {
		t.Errorf("asked for %d by %d", got.Asked, got.By)
	}
	if got := decide(observe.ReadingNotANumber); got.Asked != 2 || got.Desired != 4 || got.Limit != demand.LimitUnknown {
		t.Errorf("asked for %d, desired %d, limited by %q", got.Asked, got.Desired, got.Limit)
	}
}
