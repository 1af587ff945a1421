// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWaitsSayHowMuch: what a rollout lacks is what the best way to roll lacks that
// the budget will ever have room for, as it would be written.
func TestWaitsSayHowMuch(t *testing.T) {
	for name, tc := range map[string]struct {
		in   Input
		want Wait
	}{
		"no way fits": {
			in: Input{Budget: 45, Tiers: []Tier{
				change(rollingTier("a", 1, 0), func(t *Tier) { t.TemplateHash, t.PodBytes = "2", 30 }),
				change(running("b", 2, 10, Paced), func(t *Tier) { t.TemplateHash, t.PodBytes = "2", 5 }),
			}},
			want: Wait{Tier: "a", For: WaitRolloutImpossible, Bytes: 5},
		},
		"the memory is still in use": {
			in: Input{Budget: 45, Tiers: []Tier{
				change(running("a", 2, 10, Paced), func(t *Tier) {
					leaving := Pod{Name: "leaving", Bytes: 10, Terminating: true, Deleted: 1}
					t.TemplateHash, t.Pods = "2", append(t.Pods, leaving, leaving)
				}),
			}},
			want: Wait{Tier: "a", For: WaitRolloutRoom, Bytes: 5, Pods: 2},
		},
		"all at once, which would get stuck and so is written as one less": {
			in: Input{Budget: 60, Tiers: []Tier{
				change(rollingTier("a", 3, 0), func(t *Tier) {
					t.TemplateHash, t.PodBytes = "2", 15
					t.Live.ReplicaSets[0].Available = 0
					t.Live.ReplicaSets[0].Desired, t.Live.ReplicaSets[1].Desired = 0, 0
				}),
			}},
			want: Wait{Tier: "a", For: WaitRolloutRoom, Bytes: 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff([]Wait{tc.want}, Decide(tc.in).Waits); d != "" {
				t.Errorf("waits (-want +got):\n%s", d)
			}
		})
	}
}
