// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"cmp"
	"slices"
	"strings"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// ConsumerGroup is one of a Redis stream.
type ConsumerGroup struct {
	// Stream is the key of the stream, Name the name of the group.
	Stream, Name string
}

// Stream is how much a consumer group has to do in a Redis stream.
type Stream struct {
	ConsumerGroup
	// Undelivered are the entries that were not delivered to the group yet. While nobody has made the group, that is all entries.
	Undelivered int64
	// AtLeast: there may be more such entries than were counted, since the Redis does not tell how many.
	AtLeast bool
	// Pending are the entries that consumers were delivered and have not acknowledged. Some may be deleted by now.
	Pending int64
	// Invalid: the key holds something else than a stream, so nothing is known.
	Invalid bool
	// Refused: the user may not read it, so nothing is known.
	Refused bool
}

// List is how much there is in a Redis list.
type List struct {
	// Name is its key.
	Name string
	// Length is how many elements it has.
	Length int64
	// Invalid: the key holds something else than a list, so nothing is known.
	Invalid bool
	// Refused: the user may not read it, so nothing is known.
	Refused bool
}

// Stream is what is known of a stream, nil where it was not counted yet.
func (b *Broker) Stream(of ConsumerGroup) *Stream {
	i := slices.IndexFunc(b.Streams, func(s Stream) bool { return s.ConsumerGroup == of })
	if i < 0 {
		return nil
	}
	return &b.Streams[i]
}

// List is what is known of a list, nil where it was not counted yet.
func (b *Broker) List(name string) *List {
	i := slices.IndexFunc(b.Lists, func(l List) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &b.Lists[i]
}

// GroupOf is the consumer group whose entries a metric counts.
func GroupOf(m *v1alpha1.RedisStreamMetric) ConsumerGroup {
	return ConsumerGroup{Stream: m.Stream, Name: m.ConsumerGroup}
}

// ScaledStreams are the consumer groups whose entries say how many replicas a tier needs, sorted.
func ScaledStreams(mb *v1alpha1.MemoryBudget) []ConsumerGroup {
	var groups []ConsumerGroup
	for _, m := range metricsOf(mb) {
		if m.RedisStream != nil {
			groups = append(groups, GroupOf(m.RedisStream))
		}
	}
	return DistinctGroups(groups)
}

// ScaledLists are the lists whose length says how many replicas a tier needs, sorted.
func ScaledLists(mb *v1alpha1.MemoryBudget) []string {
	var lists []string
	for _, m := range metricsOf(mb) {
		if m.RedisList != nil {
			lists = append(lists, m.RedisList.List)
		}
	}
	slices.Sort(lists)
	return slices.Compact(lists)
}

// DistinctGroups sorts groups and takes out those that stand there twice.
func DistinctGroups(groups []ConsumerGroup) []ConsumerGroup {
	slices.SortFunc(groups, func(a, b ConsumerGroup) int {
		return cmp.Or(strings.Compare(a.Stream, b.Stream), strings.Compare(a.Name, b.Name))
	})
	return slices.Compact(groups)
}

// metricsOf are those of all tiers.
func metricsOf(mb *v1alpha1.MemoryBudget) []v1alpha1.Metric {
	var all []v1alpha1.Metric
	for i := range mb.Spec.Tiers {
		if scaling := mb.Spec.Tiers[i].Scaling; scaling != nil {
			all = append(all, scaling.Metrics...)
		}
	}
	return all
}
