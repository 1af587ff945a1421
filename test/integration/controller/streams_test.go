// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// consumer is a process tier that scales from zero by a metric.
func consumer(name string, metric v1alpha1.Metric) v1alpha1.Tier {
	t := testutil.MakeTier(name, v1alpha1.RoleWorker).Replicas(0, 0, 4).Process("consume").Obj()
	t.Replicas.Desired, t.Scaling = nil, quick()
	t.Scaling.Metrics = []v1alpha1.Metric{metric}
	return t
}

// TestScalingByRedis: process tiers follow a stream and a list from zero and back. Entries that a dead consumer left keep a replica, and
// a key that holds something else changes nothing.
func TestScalingByRedis(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	redis := s.reading("secret")
	redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "$", "MKSTREAM")
	s.create(application("2Gi").Reserve("0").Tier(
		consumer("billing", v1alpha1.Metric{RedisStream: &v1alpha1.RedisStreamMetric{Stream: "orders", ConsumerGroup: "billing"}}),
		consumer("resizer", v1alpha1.Metric{RedisList: &v1alpha1.RedisListMetric{List: "images", TargetLengthPerReplica: new(int32(10))}}),
	).Obj())
	s.awaitReplicas(map[string]int{"billing": 0, "resizer": 0})
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionTrue, v1alpha1.ReasonAllFresh)
	s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionTrue, v1alpha1.ReasonNoBroker)
	s.settle()
	s.quiet()

	// All at once, so that the demand does not jump while a reading is made.
	redis.Do(t, "EVAL", "for i = 1, 12 do redis.call('XADD', 'orders', i .. '-0', 'order', i) end return 'added'", "0")
	elements := []any{"LPUSH", "images"}
	for i := range 25 {
		elements = append(elements, i)
	}
	redis.Do(t, elements...)
	s.awaitReplicas(map[string]int{"billing": 3, "resizer": 3})
	says := func(tier, decision string, holds func(*v1alpha1.DemandStatus) bool) {
		t.Helper()
		s.awaitDemand(tier, decision, func(t v1alpha1.TierStatus) bool { return holds(t.Demand) && strings.HasPrefix(t.Decision, decision) })
	}
	says("billing", "12 entries of stream orders undelivered, 0 pending at a target of 5 per pod ask for 3; wanted 3, granted 3",
		func(d *v1alpha1.DemandStatus) bool { return *d.UndeliveredEntries == 12 && *d.PendingEntries == 0 })
	says("resizer", "25 elements in list images at a target of 10 per pod ask for 3; wanted 3, granted 3",
		func(d *v1alpha1.DemandStatus) bool { return *d.ListLength == 25 })

	// A consumer takes all and works off all but one.
	redis.Do(t, "XREADGROUP", "GROUP", "billing", "first", "STREAMS", "orders", ">")
	says("billing", "0 entries of stream orders undelivered, 12 pending", func(*v1alpha1.DemandStatus) bool { return true })
	done := []any{"XACK", "orders", "billing"}
	for i := range 11 {
		done = append(done, fmt.Sprintf("%d-0", i+1))
	}
	redis.Do(t, done...)
	redis.Do(t, "DEL", "images")
	s.awaitReplicas(map[string]int{"billing": 1, "resizer": 0})
	s.settle()
	s.quiet()

	redis.Do(t, "SET", "images", "text")
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionFalse, v1alpha1.ReasonRedisKeyInvalid)
	redis.Do(t, "DEL", "images")
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionTrue, v1alpha1.ReasonAllFresh)
	redis.Do(t, "XACK", "orders", "billing", "12-0")
	s.awaitReplicas(map[string]int{"billing": 0, "resizer": 0})
	s.settle()
	s.quiet()
	s.verdict()
}
