// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// consuming is a shop with a process tier that scales by a stream and a list, of which this is known.
func consuming(t *testing.T, broker observe.Broker) *observe.Snapshot {
	t.Helper()
	tier := testutil.MakeTier("billing", v1alpha1.RoleWorker).Replicas(1, 1, 8).Process("consume").Obj()
	tier.Scaling = &v1alpha1.Scaling{Metrics: []v1alpha1.Metric{
		{RedisStream: &v1alpha1.RedisStreamMetric{Stream: "orders", ConsumerGroup: "billing"}},
		{RedisList: &v1alpha1.RedisListMetric{List: "images"}},
	}}
	mb := testutil.MakeMemoryBudget("shop", "default").UID("u").Memory("4Gi").Reserve("0").Redis("broker", "url").Tier(tier).Obj()
	s := running(t, mb)
	s.Now, s.Broker = noon, broker
	return s
}

func backlog(stream observe.Stream, list observe.List) observe.Broker {
	stream.ConsumerGroup, list.Name = observe.ConsumerGroup{Stream: "orders", Name: "billing"}, "images"
	return observe.Broker{State: observe.BrokerRead, Streams: []observe.Stream{stream}, Lists: []observe.List{list}}
}

// TestRedisStatus is what the status tells of a tier that scales by a stream and a list.
func TestRedisStatus(t *testing.T) {
	some := backlog(observe.Stream{Undelivered: 11, Pending: 2}, observe.List{Length: 4})
	failing := some
	failing.State, failing.FailingSince = observe.BrokerUnreachable, noon.Add(-time.Hour)
	counted := func(undelivered, pending, length int64) *v1alpha1.DemandStatus {
		return &v1alpha1.DemandStatus{UndeliveredEntries: &undelivered, PendingEntries: &pending, ListLength: &length}
	}
	cases := map[string]struct {
		broker observe.Broker
		// fresh is the condition SignalsFresh, decision how the decision begins, counts what the status counts.
		fresh, decision string
		counts          *v1alpha1.DemandStatus
	}{
		"read": {
			some, "True AllFresh", "11 entries of stream orders undelivered, 2 pending at a target of 5 per pod ask for 3; wanted 3", counted(11, 2, 4),
		},
		"the list": {
			backlog(observe.Stream{}, observe.List{Length: 21}), "True AllFresh",
			"21 elements in list images at a target of 5 per pod ask for 5; wanted 5", counted(0, 0, 21),
		},
		"no lag": {
			backlog(observe.Stream{Undelivered: 1, AtLeast: true}, observe.List{}), "Unknown EntriesNotCounted",
			"at least 1 entries of stream orders undelivered, 0 pending at a target of 5 per pod ask for 1", counted(1, 0, 0),
		},
		"no stream": {
			backlog(observe.Stream{Invalid: true}, observe.List{}), "False RedisKeyInvalid",
			"0 elements in list images at a target of 5 per pod ask for 0, and while stream orders cannot be read, the tier is not made smaller",
			&v1alpha1.DemandStatus{ListLength: new(int64(0))},
		},
		"no right to the stream": {
			backlog(observe.Stream{Refused: true}, observe.List{}), "False RedisKeyForbidden",
			"0 elements in list images at a target of 5 per pod ask for 0, and while stream orders cannot be read, the tier is not made smaller",
			&v1alpha1.DemandStatus{ListLength: new(int64(0))},
		},
		"no right to the list": {
			backlog(observe.Stream{}, observe.List{Refused: true}), "False RedisKeyForbidden",
			"0 entries of stream orders undelivered, 0 pending at a target of 5 per pod ask for 0, and while list images cannot be read", &v1alpha1.DemandStatus{UndeliveredEntries: new(int64(0)), PendingEntries: new(int64(0))},
		},
		"neither": {
			backlog(observe.Stream{Invalid: true}, observe.List{Invalid: true}), "False RedisKeyInvalid",
			"the key of stream orders holds something else, so the tier goes on asking for what it did", &v1alpha1.DemandStatus{},
		},
		"not read yet": {
			observe.Broker{State: observe.BrokerNotReadYet}, "Unknown NotReadYet", "the broker was not read yet, so the tier goes on", &v1alpha1.DemandStatus{},
		},
		"not counted": {
			observe.Broker{State: observe.BrokerRead}, "Unknown EntriesNotCounted",
			"the broker does not tell how much there is in stream orders, so the tier", &v1alpha1.DemandStatus{},
		},
		"for an hour": {
			failing, "False BrokerUnreachable",
			"the broker cannot be read, so the tier goes on asking for what it did; last seen: 11 entries of stream orders undelivered, 2 pending", counted(11, 2, 4),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			told := compute(consuming(t, tc.broker), "")
			c := meta.FindStatusCondition(told.Conditions, v1alpha1.ConditionSignalsFresh)
			if got := string(c.Status) + " " + c.Reason; got != tc.fresh {
				t.Errorf("SignalsFresh is %q (%s), want %q", got, c.Message, tc.fresh)
			}
			tier := told.Tiers[0]
			if !strings.HasPrefix(tier.Decision, tc.decision) {
				t.Errorf("decision %q, want %q", tier.Decision, tc.decision)
			}
			tier.Demand.Replicas, tier.Demand.LimitedBy = nil, ""
			if diff := cmp.Diff(tc.counts, tier.Demand); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if owned := meta.FindStatusCondition(told.Conditions, v1alpha1.ConditionQueuesOwned); owned.Reason != v1alpha1.ReasonNoBroker {
				t.Errorf("QueuesOwned: %s", owned.Reason)
			}
		})
	}
}
