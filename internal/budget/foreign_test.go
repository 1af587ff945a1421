// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"testing"

	"pgregory.net/rapid"
)

// others are the acts of others on our objects.
func (w *world) others() []action {
	return []action{
		{4, w.act(func() {
			if t, p := w.anyPod(); p != nil && p.alive() {
				w.deletePod(t, p)
			}
		})},
		{2, w.act(func() {
			if _, p := w.anyPod(); p != nil && p.alive() && !p.gated {
				p.finished = true
			}
		})},
		{2, w.act(func() {
			if t := w.anyTier(); t.live != nil {
				t.live.replicas = int32(w.between(0, 6))
				t.live.generation++
			}
		})},
		{1, w.act(func() {
			// One edit is seen by the controller before the next one comes.
			if t := w.anyTier(); t.live != nil {
				w.syncDeployment(t)
				t.live.strategy = pick(w, Strategy{MaxSurge: 1}, Strategy{MaxUnavailable: 1}, Strategy{Recreate: true},
					Strategy{MaxSurge: 2}, Strategy{MaxSurge: 1, MaxUnavailable: 1}, Strategy{MaxUnavailable: 3})
				t.live.generation++
				w.syncDeployment(t)
			}
		})},
	}
}

// TestForeignActs: what others do may raise the exposure, but neither the
// cluster's reaction to it nor anything of ours raises it any further.
func TestForeignActs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		w.run(append(w.usual(), w.others()...)...)
	})
}

// TestForeignActsConverge: when others stop, their acts are undone.
func TestForeignActsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		w.run(append(w.usual(), w.others()...)...)
		w.rest()
	})
}

// TestGatedNeverExceeds: where all tiers are gated, the memory in use never goes
// above the budget, whatever others do.
func TestGatedNeverExceeds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		for _, name := range w.names() {
			w.tiers[name].spec.Enforcement = Gated
		}
		least := w.budget
		check := func() {
			if c := w.charge(); c > least {
				rt.Fatalf("charge %d above the budget %d: %s", c, least, dump(w.input()))
			}
		}
		actions := append(w.nature(w.pass), w.others()...)
		actions = append(actions, action{2, w.act(func() { w.resizeTier(w.anyTier()) })},
			action{2, w.act(func() { w.retemplate(w.anyTier()) })}, action{30, check})
		w.run(actions...)
		check()
	})
}
