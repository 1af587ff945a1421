// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"testing"

	"pgregory.net/rapid"
)

// A reading comes from three caches, of Deployments, ReplicaSets and pods, each of
// which goes forward only and is behind by so many events at most, and so many
// seconds. What the operator wrote itself is in them, for that is waited for.
const (
	lagEvents  = 15
	lagSeconds = 10
)

// lagging is a world whose operator reads from such caches.
type lagging struct {
	*world
	// past is everything there was, pods, sets and deployments are how far the
	// caches have come in it.
	past                    []Input
	pods, sets, deployments int
	// over: what may follow is not promised.
	over bool
}

func newLagging(rt *rapid.T) *lagging {
	l := &lagging{world: newWorld(rt)}
	l.remember()
	return l
}

// remember adds the present to the past, and checks that the budget is kept.
func (l *lagging) remember() {
	l.past = append(l.past, l.input())
	if c := l.charge(); c > l.budget && !l.over {
		l.rt.Fatalf("charge %d above the budget %d: %s", c, l.budget, dump(l.input()))
	}
	l.ceiling = 1 << 40 // What the exposure may be is checked at each write.
}

// cached lets a cache go forward, and returns the tiers as it has them.
func (l *lagging) cached(at *int) map[string]*Tier {
	last := len(l.past) - 1
	oldest := max(*at, last-lagEvents)
	for oldest < last && l.now-l.past[oldest].Now > lagSeconds {
		oldest++
	}
	*at = pick(l.world, oldest, last, l.between(oldest, last))
	tiers := map[string]*Tier{}
	for i := range l.past[*at].Tiers {
		t := &l.past[*at].Tiers[i]
		tiers[t.Name] = t
		if t.Live == nil {
			t.Live = &Deployment{}
		}
	}
	return tiers
}

// reading is what the caches have.
func (l *lagging) reading() Input {
	pods, sets, deployments := l.cached(&l.pods), l.cached(&l.sets), l.cached(&l.deployments)
	in := l.input()
	for i := range in.Tiers {
		t := &in.Tiers[i]
		t.Pods = nil
		if old := pods[t.Name]; old != nil {
			t.Pods = old.Pods
		}
		if t.Live == nil {
			continue
		}
		t.Live.Observed = deployments[t.Name].Live.Observed
		t.Live.ReplicaSets = nil
		if old := sets[t.Name]; old != nil {
			t.Live.ReplicaSets = currents(old.Live.ReplicaSets, t.Live.TemplateHash)
		}
	}
	return in
}

// currents are the ReplicaSets as they are beside a Deployment of that template.
func currents(sets []ReplicaSet, hash string) (out []ReplicaSet) {
	for _, rs := range sets {
		rs.Current = rs.TemplateHash == hash
		out = append(out, rs)
	}
	return out
}

// pass is the operator's, as in world.
func (l *lagging) pass() {
	in := l.reading()
	plan := l.decide(in)
	n := len(plan.Steps)
	if n > 0 {
		n = l.between(0, n)
	}
	for _, step := range plan.Steps[:n] {
		truth := l.input()
		was := measureUnready(truth)
		l.over = l.over || notPromised(truth, step)
		l.write(step)
		if is := measureUnready(l.input()); is > was && is > l.budget && !l.over {
			l.rt.Fatalf("step %s raised the exposure from %d to %d, budget %d\nread %s\nplan %s\ntruth %s",
				dump(step), was, is, l.budget, dump(in), dump(plan), dump(truth))
		}
		l.remember()
		if step.Kind == ReleaseGate {
			l.pods = len(l.past) - 1
		} else {
			l.deployments = len(l.past) - 1
		}
		if l.choose(3) == 0 {
			l.controller()
			l.remember()
		}
	}
}

// measureUnready measures without the pods that have become ready. The planner
// takes them for available soon; but that they will be only when their pacing is
// over, which is longer than the caches are behind.
func measureUnready(in Input) int64 {
	for i := range in.Tiers {
		for k := range in.Tiers[i].Pods {
			in.Tiers[i].Pods[k].Ready = false
		}
	}
	return Measure(in).Total()
}

// notPromised: the step is one of those after which pods may be missed, as the
// documentation says: it lowers the replicas of a tier that is rolling out, or makes
// a gated tier a paced one.
func notPromised(in Input, step Step) bool {
	for i, t := range sorted(in.Tiers) {
		if t.Name == step.Tier && step.Kind == Apply {
			paced := step.Shape.Template == TemplateNew && t.Enforcement == Paced
			return step.Cause == CauseShrink && newPlanner(in).rolling(i) || paced && t.Live != nil && t.Live.Gated
		}
	}
	return false
}

// remembered are the actions, each an event for the caches.
func (l *lagging) remembered(actions []action) (out []action) {
	for _, a := range actions {
		out = append(out, action{a.weight, func() { a.do(); l.remember() }})
	}
	return out
}

// TestExposureIsKeptWithLaggingCaches: no write raises the true exposure above the
// budget, and what is in use never is, however ReplicaSets and pods are read at
// different times.
func TestExposureIsKeptWithLaggingCaches(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := newLagging(rt)
		l.run(l.remembered(append(l.nature(l.pass), l.users()...))...)
	})
}

// TestUnsettled: no second write to a paced tier before what came of the first is in
// the reading.
func TestUnsettled(t *testing.T) {
	for name, tc := range map[string]decision{
		"no shrink before the pods that were started are seen": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 3, 10, Paced), func(t *Tier) { t.Desired, t.Pods = 1, t.Pods[:1] }),
			}},
			wantWaits: []string{"a Observed"},
		},
		"no shrink before the ReplicaSet is seen to have followed": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 2, 10, Paced), func(t *Tier) { t.Desired, t.Live.Replicas = 1, 3 }),
				change(running("b", 2, 10, Paced), func(t *Tier) { t.Desired, t.Live.ReplicaSets, t.Pods = 0, nil, nil }),
			}},
			wantWaits: []string{"a Observed", "b Observed"},
		},
		"no shrink to zero before the ReplicaSet of a new template is seen": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(rollingTier("a", 3, 0), func(t *Tier) {
					t.Desired, t.Live.ReplicaSets, t.Pods = 0, t.Live.ReplicaSets[:1], t.Pods[:3]
				}),
			}},
			wantWaits: []string{"a Observed"},
		},
		"no growth before the pods that were lowered are seen to go": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 3, 10, Paced), func(t *Tier) {
					t.Live.Replicas, t.Live.ReplicaSets[0].Replicas, t.Live.Strategy = 1, 1, Strategy{MaxSurge: 1}
				}),
			}},
			wantWaits: []string{"a Observed"},
		},
		"no template before the pods that were started are seen": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 3, 10, Paced), func(t *Tier) { t.TemplateHash, t.Pods = "2", t.Pods[:1] }),
				change(running("b", 3, 10, Paced), func(t *Tier) {
					t.TemplateHash, t.Enforcement, t.Pods = "2", Gated, t.Pods[:1]
				}),
			}},
			wantWaits: []string{"b Observed", "a Rollout"},
		},
		"pods that cannot be created are not waited for": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 3, 10, Paced), func(t *Tier) {
					t.Desired, t.Pods, t.Live.ReplicaSets[0].Failing = 1, t.Pods[:1], true
				}),
				change(running("b", 3, 10, Paced), func(t *Tier) {
					t.TemplateHash, t.Pods, t.Live.ReplicaSets[0].Failing = "2", t.Pods[:1], true
				}),
			}},
			wantSteps: []string{"Apply a Shrink 1 Keep", "Apply b Rollout 3 New"},
		},
		"what others start beyond the budget is stopped before all of it is seen": {
			in: Input{Budget: 50, Tiers: []Tier{
				change(running("a", 3, 10, Paced), func(t *Tier) {
					t.Live.Replicas, t.Live.ReplicaSets[0].Replicas = 9, 9
				}),
			}},
			wantSteps: []string{"Apply a Shrink 3 Keep"},
		},
		"pods of a ReplicaSet that the reading lacks do not keep the tier from shrinking": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 2, 10, Paced), func(t *Tier) {
					t.Desired, t.Live.Strategy = 1, Strategy{MaxUnavailable: 1}
					t.Pods = append(t.Pods, Pod{Name: "stray", Bytes: 10, ReplicaSet: "other"})
				}),
			}},
			wantSteps: []string{"Apply a Shrink 1 Keep"},
		},
		"one pod that is still gated tells that its ReplicaSet, which the reading lacks, starts none": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 2, 10, Gated), func(t *Tier) {
					t.Desired, t.Pods[1].Gated, t.Live.ReplicaSets, t.Live.Observed = 0, true, nil, false
				}),
			}},
			wantSteps: []string{"Apply a Shrink 0 New"},
		},
	} {
		t.Run(name, tc.check)
	}
}
