// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"math"
	"testing"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

var orders = observe.ConsumerGroup{Stream: "orders", Name: "billing"}

// consuming is a shop with a process tier that scales between 0 and 8 by these metrics, alone in a large budget.
func consuming(metrics ...v1alpha1.Metric) *v1alpha1.MemoryBudget {
	tier := testutil.MakeTier("billing", v1alpha1.RoleWorker).Replicas(0, 1, 8).Process("consume").Obj()
	tier.Replicas.Desired, tier.Scaling = nil, &v1alpha1.Scaling{Metrics: metrics}
	return testutil.MakeMemoryBudget("shop", "default").UID("u").Memory("8Gi").Reserve("0").Redis("broker", "url").Tier(tier).Obj()
}

func byStream(target *int32) v1alpha1.Metric {
	return v1alpha1.Metric{RedisStream: &v1alpha1.RedisStreamMetric{Stream: "orders", ConsumerGroup: "billing", TargetEntriesPerReplica: target}}
}

func byList(target *int32) v1alpha1.Metric {
	return v1alpha1.Metric{RedisList: &v1alpha1.RedisListMetric{List: "images", TargetLengthPerReplica: target}}
}

// streamed is a broker that was read and told this of the stream.
func streamed(s observe.Stream) observe.Broker {
	s.ConsumerGroup = orders
	return observe.Broker{State: observe.BrokerRead, Streams: []observe.Stream{s}}
}

func listed(l observe.List) observe.Broker {
	l.Name = "images"
	return observe.Broker{State: observe.BrokerRead, Lists: []observe.List{l}}
}

// TestDemandByRedis is what a process tier asks for by a stream, a list or both. It has so many replicas before.
func TestDemandByRedis(t *testing.T) {
	failing := func(b observe.Broker) observe.Broker {
		b.FailingSince = noon
		return b
	}
	both := streamed(observe.Stream{Undelivered: 11})
	both.Lists = listed(observe.List{Length: 30}).Lists
	cases := map[string]struct {
		metrics  []v1alpha1.Metric
		broker   observe.Broker
		replicas int32
		asked    int32
		desired  int32
		limit    demand.Limit
		// measure is the one that asks for the most, none where none is known.
		measure decision.Measure
	}{
		"five entries for each replica by default": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{Undelivered: 16}),
			asked: 4, desired: 4, measure: decision.MeasureStream,
		},
		"entries that nobody acknowledged count: their consumers may be dead": {
			metrics: []v1alpha1.Metric{byStream(new(int32(2)))}, broker: streamed(observe.Stream{Undelivered: 1, Pending: 4}),
			asked: 3, desired: 3, measure: decision.MeasureStream,
		},
		"a pending entry brings a tier back from zero": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{Pending: 1}),
			asked: 1, desired: 1, measure: decision.MeasureStream,
		},
		"nothing to do": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{}), measure: decision.MeasureStream,
		},
		"nothing to do any more goes through one": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{}), replicas: 3,
			desired: 3, limit: demand.LimitStabilization, measure: decision.MeasureStream,
		},
		"a lag that is not told is not zero": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{AtLeast: true}), replicas: 3,
			desired: 3, limit: demand.LimitUnknown, measure: decision.MeasureStream,
		},
		"what is at least there brings a tier back from zero": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{Undelivered: 1000, AtLeast: true}),
			asked: 200, desired: 4, limit: demand.LimitPolicy, measure: decision.MeasureStream,
		},
		"what is pending does so without a lag": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{AtLeast: true, Pending: 7}),
			asked: 2, desired: 2, measure: decision.MeasureStream,
		},
		"a key that is no stream": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{Invalid: true}), replicas: 3, asked: 3, desired: 3,
		},
		"a stream that was not counted yet": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: observe.Broker{State: observe.BrokerRead}, replicas: 3, asked: 3, desired: 3,
		},
		"another group's entries": {
			metrics: []v1alpha1.Metric{byStream(nil)}, replicas: 3, asked: 3, desired: 3,
			broker: observe.Broker{State: observe.BrokerRead, Streams: []observe.Stream{{ConsumerGroup: observe.ConsumerGroup{Stream: "orders", Name: "x"}}}},
		},
		"while the broker cannot be read": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: failing(streamed(observe.Stream{})), replicas: 3, asked: 3, desired: 3,
		},
		"absurdly many": {
			metrics: []v1alpha1.Metric{byStream(nil)}, broker: streamed(observe.Stream{Undelivered: math.MaxInt64, Pending: math.MaxInt64}),
			asked: math.MaxInt32, desired: 4, limit: demand.LimitPolicy, measure: decision.MeasureStream,
		},
		"five elements of a list for each replica by default": {
			metrics: []v1alpha1.Metric{byList(nil)}, broker: listed(observe.List{Length: 6}), asked: 2, desired: 2, measure: decision.MeasureList,
		},
		"another target": {
			metrics: []v1alpha1.Metric{byList(new(int32(3)))}, broker: listed(observe.List{Length: 6}),
			asked: 2, desired: 2, measure: decision.MeasureList,
		},
		"a key that is no list": {
			metrics: []v1alpha1.Metric{byList(nil)}, broker: listed(observe.List{Invalid: true}), replicas: 2, asked: 2, desired: 2,
		},
		"of a stream and a list the larger number": {
			metrics: []v1alpha1.Metric{byStream(nil), byList(nil)}, broker: both, asked: 6, desired: 4, limit: demand.LimitPolicy,
			measure: decision.MeasureList,
		},
		"a stream that is empty beside a list that is unknown": {
			metrics: []v1alpha1.Metric{byStream(nil), byList(nil)}, broker: streamed(observe.Stream{}), replicas: 3,
			desired: 3, limit: demand.LimitUnknown, measure: decision.MeasureStream,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &observe.Snapshot{Now: noon, MemoryBudget: consuming(tc.metrics...), Broker: tc.broker}
			if tc.replicas > 0 {
				s.Histories = map[string]demand.History{"billing": {
					Replicas: tc.replicas, Desired: tc.replicas, Asked: []demand.Asked{{Since: noon, Replicas: tc.replicas}},
				}}
				s.MemoryBudget.Spec.Policy = v1alpha1.PolicyRecommend
			}
			d := decision.Decide(s).Tiers[0].Demand
			measure := decision.Measure("")
			if d.By >= 0 {
				measure = d.Measures[d.By]
			}
			if d.Asked != tc.asked || d.Desired != tc.desired || d.Limit != tc.limit || measure != tc.measure {
				t.Errorf("asked %d, desired %d, limit %q, by %q; want %d, %d, %q, %q",
					d.Asked, d.Desired, d.Limit, measure, tc.asked, tc.desired, tc.limit, tc.measure)
			}
		})
	}
}
