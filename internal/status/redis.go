// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
)

// byRedis are the tiers that scale by Redis streams or lists.
func (f *facts) byRedis() []*tierFacts {
	return f.scaling(func(t *tierFacts) bool { return len(t.Demand.Backlogs) > 0 })
}

// backlogsStale is what is wrong with the Redis streams and lists of tiers while the broker can be read, nil where nothing is.
func backlogsStale(tiers []*tierFacts) *metav1.Condition {
	for _, t := range tiers {
		for i := range t.Demand.Backlogs {
			if reason, message := uncounted(&t.Demand.Backlogs[i]); reason != "" {
				status := metav1.ConditionUnknown
				if reason != v1alpha1.ReasonEntriesNotCounted {
					status = metav1.ConditionFalse
				}
				return new(fresh(status, reason, fmt.Sprintf("Tier %s: %s; the tier is not made smaller meanwhile", t.Spec.Name, message)))
			}
		}
	}
	return nil
}

// uncounted is why it is not known how much there is, empty where it is.
func uncounted(b *decision.Backlog) (reason, message string) {
	switch {
	case b.Stream != nil && b.Stream.Invalid, b.List != nil && b.List.Invalid:
		return v1alpha1.ReasonRedisKeyInvalid, fmt.Sprintf("the key of %s holds something else", nameOf(b))
	case b.Stream != nil && b.Stream.Refused:
		return v1alpha1.ReasonRedisKeyForbidden, forbidden(b, "XINFO GROUPS, XLEN and XRANGE")
	case b.List != nil && b.List.Refused:
		return v1alpha1.ReasonRedisKeyForbidden, forbidden(b, "LLEN")
	case !b.Counted:
		return v1alpha1.ReasonEntriesNotCounted, fmt.Sprintf("the broker does not tell how much there is in %s", nameOf(b))
	case b.Stream != nil && b.Stream.AtLeast:
		return v1alpha1.ReasonEntriesNotCounted, fmt.Sprintf("the broker does not tell how many entries of %s are to be delivered to group %s",
			nameOf(b), plain(b.Stream.Name, longestName))
	}
	return "", ""
}

func forbidden(b *decision.Backlog, commands string) string {
	return fmt.Sprintf("the user of the broker's URL may not read %s: let it use %s on this key", nameOf(b), commands)
}

func nameOf(b *decision.Backlog) string {
	if b.List != nil {
		return "list " + plain(b.List.Name, longestName)
	}
	return "stream " + plain(b.Stream.Stream, longestName)
}

// backlog is how much there is in a Redis stream or list.
func backlog(b *decision.Backlog) string {
	if b.List != nil {
		return fmt.Sprintf("%d elements in %s", b.List.Length, nameOf(b))
	}
	atLeast := ""
	if b.Stream.AtLeast {
		atLeast = "at least "
	}
	return fmt.Sprintf("%s%d entries of %s undelivered, %d pending", atLeast, b.Stream.Undelivered, nameOf(b), b.Stream.Pending)
}

// addBacklogs tells how much there is in the streams and in the lists of a tier, as far as it was ever read.
func addBacklogs(s *v1alpha1.DemandStatus, d *decision.Demand) {
	entries, length := d.Entries()
	if entries != nil {
		s.UndeliveredEntries, s.PendingEntries = new(entries.Undelivered), new(entries.Pending)
	}
	s.ListLength = length
}

// unknownBacklog is what is said of a tier that scales by Redis alone while nothing of it is known.
func unknownBacklog(d *decision.Demand) string {
	b := &d.Backlogs[0]
	const standing = ", so the tier goes on asking for what it did"
	if _, message := uncounted(b); message != "" && !d.Unread {
		return message + standing
	}
	if !b.Counted {
		return "the broker was not read yet" + standing
	}
	return "the broker cannot be read" + standing + "; last seen: " + backlog(b)
}
