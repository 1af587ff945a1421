// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// strategies are the ways to roll, by the names the documentation has for them.
var strategies = map[string]Strategy{
	"1/0": {MaxSurge: 1}, "0/1": {MaxUnavailable: 1}, "Recreate": {Recreate: true},
}

// rolled is a simulated tier at rest with so many replicas of old bytes, and the
// shape that rolls it to new bytes.
func rolled(replicas int32, old, next int64, strategy Strategy) (*sim, Shape) {
	s := newSim(func(n int) int { return n - 1 })
	s.budget = 1 << 40
	s.tiers["web"] = &simTier{spec: Tier{
		Name: "web", Weight: 1, Desired: replicas, Max: replicas, PodBytes: old, Enforcement: Paced,
		TemplateHash: "old", GracePeriodSeconds: 30,
	}}
	s.settle(func(Plan) {})
	web := &s.tiers["web"].spec
	web.PodBytes, web.TemplateHash = next, "new"
	return s, Shape{Replicas: replicas, Template: TemplateNew, Strategy: strategy, MinReadySeconds: MinReadySeconds(30)}
}

// need is what the planner takes a rollout to need.
func need(s *sim, shape Shape) int64 {
	in := s.input()
	v := newView(&in.Tiers[0], in.Now)
	return v.need(shape)
}

// TestRolloutNeedsAreExact plays every rollout with pods that go as slowly as they
// can: the most memory in use is what the planner says, no more and no less.
func TestRolloutNeedsAreExact(t *testing.T) {
	for name, strategy := range strategies {
		for replicas := int32(1); replicas <= 6; replicas++ {
			for _, size := range [][2]int64{{1, 1}, {1, 3}, {3, 1}, {2, 5}} {
				t.Run(fmt.Sprintf("%s/%dx%d-%d", name, replicas, size[0], size[1]), func(t *testing.T) {
					s, shape := rolled(replicas, size[0], size[1], strategy)
					want, most := need(s, shape), int64(0)
					s.write(Step{Kind: Apply, Tier: "web", Shape: shape})
					for range 1000 {
						s.controllers()
						most = max(most, s.charge())
						s.kubelet()
						s.advance(1)
					}
					if most != want {
						t.Errorf("at most %d in use, planned with %d", most, want)
					}
					if e := Measure(s.input()).Total(); e != int64(replicas)*size[1] {
						t.Errorf("exposure %d after the rollout", e)
					}
				})
			}
		}
	}
}

// TestDocumentedNeeds checks the table in the documentation.
func TestDocumentedNeeds(t *testing.T) {
	text, err := os.ReadFile("../../docs/budget.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.SplitSeq(string(text), "\n") {
		var replicas int32
		var old, next, surge, less, recreate int64
		n, err := fmt.Sscanf(line, "| %d x %dMi to %dMi | %dMi | %dMi | %dMi |",
			&replicas, &old, &next, &surge, &less, &recreate)
		if err != nil || n != 6 {
			continue
		}
		rows++
		for name, want := range map[string]int64{"1/0": surge, "0/1": less, "Recreate": recreate} {
			s, shape := rolled(replicas, old*mi, next*mi, strategies[name])
			if got := need(s, shape) / mi; got != want {
				t.Errorf("%s: %s needs %dMi", line, name, got)
			}
		}
	}
	if rows < 5 {
		t.Errorf("%d rows in the table", rows)
	}
}
