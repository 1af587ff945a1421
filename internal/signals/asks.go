// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"slices"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// asks is what a resource asks of a broker.
type asks struct {
	// queues are those that its tiers take tasks from, scaled those of them that tiers scale by.
	queues, scaled []string
	// streams and lists are those of a Redis that tiers scale by.
	streams []observe.ConsumerGroup
	lists   []string
}

func asksOf(mb *v1alpha1.MemoryBudget) asks {
	return asks{
		queues: observe.Queues(mb), scaled: observe.ScaledQueues(mb),
		streams: observe.ScaledStreams(mb), lists: observe.ScaledLists(mb),
	}
}

// scales: a tier scales by what is read.
func (a *asks) scales() bool { return len(a.scaled) > 0 || len(a.streams) > 0 || len(a.lists) > 0 }

// sees is what is known of a broker, as far as the resource asks.
func (a *asks) sees(known observe.Broker) observe.Broker {
	known.Queues = those(known.Queues, func(q observe.Queue) bool { return slices.Contains(a.scaled, q.Name) })
	known.Streams = those(known.Streams, func(s observe.Stream) bool { return slices.Contains(a.streams, s.ConsumerGroup) })
	known.Lists = those(known.Lists, func(l observe.List) bool { return slices.Contains(a.lists, l.Name) })
	if len(a.queues) == 0 {
		known.Waiting = nil
	}
	return known
}

// those are the elements that are asked for, nil where there are none.
func those[T any](all []T, asked func(T) bool) []T {
	var some []T
	for _, one := range all {
		if asked(one) {
			some = append(some, one)
		}
	}
	return some
}
