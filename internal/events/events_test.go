// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package events_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/events"
)

// TestJoined: events that the API server would count as one tell of all tiers.
func TestJoined(t *testing.T) {
	happened := []events.Event{
		events.Created("web", 1), events.Created("worker", 0), events.RolloutDowntime("beat"), events.Rollout("beat"), events.Created("ml", 2),
	}
	var got []string
	for _, e := range events.Joined(happened) {
		got = append(got, e.Type+" "+e.Action+" "+e.Note[:min(len(e.Note), 107)])
	}
	want := []string{
		"Normal Create Created tier web with 1 replicas; Created tier worker with 0 replicas; Created tier ml with 2 replicas",
		"Warning Rollout Tier beat has no replica while it rolls out, since neither reserve nor unallocated memory has room for an o",
		"Normal Rollout Rolling out a new pod template to tier beat",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
