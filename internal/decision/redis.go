// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// DefaultPerReplica is how many entries or elements there may be for each replica, unless the spec says otherwise.
const DefaultPerReplica = 5

// Backlog is what a metric shows of a Redis stream or list: one of both is set.
type Backlog struct {
	// Metric is its index among the Input.Metrics of the demand.
	Metric int
	// Stream and List are those of the metric. They hold what was last read, also while the broker cannot be read.
	Stream *observe.Stream
	List   *observe.List
	// Counted: it was read at least once, and is a stream or list that may be read.
	Counted bool
}

// Backlog is what a metric of the demand shows of a Redis stream or list, nil where that is not what it measures.
func (d *Demand) Backlog(metric int) *Backlog {
	for i := range d.Backlogs {
		if d.Backlogs[i].Metric == metric {
			return &d.Backlogs[i]
		}
	}
	return nil
}

// measureRedis adds what there is in the Redis streams and lists of a tier.
func (d *Demand) measureRedis(tier *v1alpha1.Tier, broker *observe.Broker) {
	for _, m := range tier.Scaling.Metrics {
		switch {
		case m.RedisStream != nil:
			d.measureStream(m.RedisStream, broker)
		case m.RedisList != nil:
			d.measureList(m.RedisList, broker)
		}
	}
}

// measureStream counts what waits and what is pending: a consumer that died leaves its entries to others. Where there may be more than
// was counted, the tier asks for what was, and is not made smaller.
func (d *Demand) measureStream(m *v1alpha1.RedisStreamMetric, broker *observe.Broker) {
	s := broker.Stream(observe.GroupOf(m))
	b := Backlog{Stream: s, Counted: s != nil && !s.Invalid && !s.Refused}
	if s == nil {
		b.Stream = &observe.Stream{ConsumerGroup: observe.GroupOf(m)}
	}
	target := int64(valueOr(m.TargetEntriesPerReplica, DefaultPerReplica))
	d.measureBacklog(b, MeasureStream, plus(plus(0, b.Stream.Undelivered), b.Stream.Pending), target, broker)
	if b.Stream.AtLeast {
		d.Measures = append(d.Measures, MeasureUncounted)
		d.Input.Metrics = append(d.Input.Metrics, demand.Metric{Kind: demand.PerReplica, Target: target})
	}
}

func (d *Demand) measureList(m *v1alpha1.RedisListMetric, broker *observe.Broker) {
	l := broker.List(m.List)
	b := Backlog{List: l, Counted: l != nil && !l.Invalid && !l.Refused}
	if l == nil {
		b.List = &observe.List{Name: m.List}
	}
	d.measureBacklog(b, MeasureList, plus(0, b.List.Length), int64(valueOr(m.TargetLengthPerReplica, DefaultPerReplica)), broker)
}

func (d *Demand) measureBacklog(b Backlog, what Measure, value, target int64, broker *observe.Broker) {
	b.Metric = len(d.Input.Metrics)
	d.Backlogs, d.Measures = append(d.Backlogs, b), append(d.Measures, what)
	d.Input.Metrics = append(d.Input.Metrics, demand.Metric{
		Kind: demand.PerReplica, Known: b.Counted && broker.Fresh(), Value: value, Target: target,
	})
}

// Entries sums up what the streams of a tier show, and the elements of its lists: nil where it has none, or one was never read.
func (d *Demand) Entries() (entries *observe.Stream, length *int64) {
	streams, lists := observe.Stream{}, int64(0)
	counted, listed := true, true
	for i := range d.Backlogs {
		switch b := &d.Backlogs[i]; {
		case b.Stream != nil:
			entries = &streams
			streams.Undelivered, streams.Pending = plus(streams.Undelivered, b.Stream.Undelivered), plus(streams.Pending, b.Stream.Pending)
			counted = counted && b.Counted
		default:
			length = &lists
			lists = plus(lists, b.List.Length)
			listed = listed && b.Counted
		}
	}
	if !counted {
		entries = nil
	}
	if !listed {
		length = nil
	}
	return entries, length
}
