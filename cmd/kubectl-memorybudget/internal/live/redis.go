// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"slices"
	"strings"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
)

// scalesByRedis: streams or lists are among the metrics of the tier.
func (e explanation) scalesByRedis() bool {
	return slices.ContainsFunc(e.spec.Scaling.Metrics, func(m v1alpha1.Metric) bool { return m.RedisStream != nil || m.RedisList != nil })
}

// backlogs are what there is in the Redis streams and lists of the tier.
func (e explanation) backlogs() []string {
	var all, streams, lists []string
	for _, m := range e.spec.Scaling.Metrics {
		switch {
		case m.RedisStream != nil:
			streams = append(streams, fmt.Sprintf("%s (group %s)", m.RedisStream.Stream, m.RedisStream.ConsumerGroup))
		case m.RedisList != nil:
			lists = append(lists, m.RedisList.List)
		}
	}
	d := e.status.Demand
	if len(streams) > 0 && d.UndeliveredEntries != nil && d.PendingEntries != nil {
		all = append(all, fmt.Sprintf("%d entries of %s are to be delivered, and %d are delivered and not acknowledged",
			*d.UndeliveredEntries, strings.Join(streams, ", "), *d.PendingEntries))
	}
	if len(lists) > 0 && d.ListLength != nil {
		all = append(all, fmt.Sprintf("%d elements are in %s", *d.ListLength, strings.Join(lists, ", ")))
	}
	return all
}

// backlogFormula is how a stream or list comes to its number, empty where the tier does not scale by that alone.
func (e explanation) backlogFormula() string {
	if len(e.spec.Scaling.Metrics) != 1 {
		return ""
	}
	d := e.status.Demand
	target := func(set *int32) int32 {
		if set == nil {
			return decision.DefaultPerReplica
		}
		return *set
	}
	switch m := e.spec.Scaling.Metrics[0]; {
	case m.RedisStream != nil && d.UndeliveredEntries != nil && d.PendingEntries != nil:
		return fmt.Sprintf("(%d + %d) entries / %d, rounded up (what there is, within the tolerance): %d replicas.",
			*d.UndeliveredEntries, *d.PendingEntries, target(m.RedisStream.TargetEntriesPerReplica), *d.Replicas)
	case m.RedisList != nil && d.ListLength != nil:
		return fmt.Sprintf("%d elements / %d, rounded up (what there is, within the tolerance): %d replicas.",
			*d.ListLength, target(m.RedisList.TargetLengthPerReplica), *d.Replicas)
	}
	return ""
}
