// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// running is a tier at rest with so many replicas.
func running(name string, replicas int32, bytes int64, e Enforcement) Tier {
	in := converged(2, max(replicas, 1))
	t := in.Tiers[0]
	if e == Gated {
		t = in.Tiers[1]
	}
	t.Name, t.PodBytes, t.Live.PodBytes = name, bytes, bytes
	t.Live.Replicas, t.Live.ReplicaSets[0].Replicas = replicas, replicas
	t.Live.ReplicaSets[0].Desired, t.Live.ReplicaSets[0].Available = replicas, replicas
	t.Live.ReplicaSets[0].PodBytes = bytes
	t.Pods = t.Pods[:replicas]
	for i := range t.Pods {
		t.Pods[i].Bytes = bytes
	}
	v := view{t: &t}
	rest := v.atRest(replicas, TemplateNew)
	t.Live.Strategy, t.Live.MinReadySeconds = rest.Strategy, rest.MinReadySeconds
	t.Min, t.Desired, t.Max = 0, replicas, 10
	return t
}

func change(t Tier, f func(*Tier)) Tier { f(&t); return t }

// rollingTier is half-way through a 1/0 rollout: one new pod, ready or not, beside
// all old ones.
func rollingTier(name string, replicas, ready int32) Tier {
	t := running(name, replicas, 10, Paced)
	t.Live.Strategy = Strategy{MaxSurge: 1}
	old := &t.Live.ReplicaSets[0]
	old.Current, old.TemplateHash = false, "0"
	t.Live.ReplicaSets = append(t.Live.ReplicaSets, ReplicaSet{
		Name: "new", Replicas: 1, Desired: replicas, TemplateHash: "1", PodBytes: 10, GracePeriodSeconds: 30, Current: true,
	})
	t.Pods = append(t.Pods, Pod{Name: "new", Bytes: 10, Ready: ready > 0, ReplicaSet: "new", Created: 2})
	return t
}

// steps and waits in a few words.
func steps(p Plan) (out []string) {
	for _, s := range p.Steps {
		text := fmt.Sprint(s.Kind, " ", s.Tier)
		if s.Kind == Apply {
			text += fmt.Sprint(" ", s.Cause, " ", s.Shape.Replicas, " ", s.Shape.Template)
		}
		if s.Kind == ReleaseGate {
			text += " " + s.Pod
		}
		out = append(out, text)
	}
	return out
}

func waits(p Plan) (out []string) {
	for _, w := range p.Waits {
		out = append(out, fmt.Sprint(w.Tier, " ", w.For))
	}
	return out
}

// decision is an input and what is made of it.
type decision struct {
	in        Input
	wantSteps []string
	wantWaits []string
}

func (d decision) check(t *testing.T) {
	t.Helper()
	plan := Decide(d.in)
	if d := cmp.Diff(d.wantSteps, steps(plan)); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
	if d := cmp.Diff(d.wantWaits, waits(plan)); d != "" {
		t.Errorf("waits (-want +got):\n%s", d)
	}
	if err := Verify(d.in, plan.Steps); err != nil {
		t.Error(err)
	}
	for _, step := range plan.Steps {
		if s := step.Shape; step.Kind == Apply && s.Strategy.Recreate {
			t.Errorf("written with strategy Recreate: %s", dump(step))
		}
	}
}

func TestDecide(t *testing.T) {
	leaving := Pod{Name: "leaving", Bytes: 10, Terminating: true, Deleted: 1}
	for name, tc := range map[string]decision{
		"a tier below its floor grows first": {
			in: Input{Budget: 30, Tiers: []Tier{
				change(running("a", 0, 10, Paced), func(t *Tier) { t.Desired, t.Pods = 1, []Pod{leaving} }),
				change(running("b", 0, 10, Paced), func(t *Tier) { t.Min, t.Desired, t.Weight, t.Pods = 1, 1, 1, []Pod{leaving} }),
			}},
			wantSteps: []string{"Apply b Grow 1 New"},
			wantWaits: []string{"a Memory"},
		},
		"a growth as far as memory is free": {
			in: Input{Budget: 50, Tiers: []Tier{
				change(running("a", 1, 10, Paced), func(t *Tier) { t.Desired = 4; t.Pods = append(t.Pods, leaving, leaving) }),
			}},
			wantSteps: []string{"Apply a Grow 3 New"},
			wantWaits: []string{"a Memory"},
		},
		"no second write before the first is observed": {
			in: Input{Budget: 50, Tiers: []Tier{
				change(running("a", 1, 10, Paced), func(t *Tier) { t.Desired = 4; t.Live.Observed = false }),
			}},
			wantWaits: []string{"a Observed"},
		},
		"a gate is not released into what a write of the same pass frees": {
			in: Input{Budget: 25, Tiers: []Tier{
				change(running("a", 1, 10, Paced), func(t *Tier) {
					t.TemplateHash, t.Enforcement, t.PodBytes, t.Desired, t.Max = "2", Gated, 5, 3, 3
					t.Live.Replicas, t.Live.TemplateHash, t.Live.Gated, t.Live.PodBytes = 4, "2", true, 5
					old := &t.Live.ReplicaSets[0]
					old.Current, old.Desired = false, 3
					t.Live.ReplicaSets = append(t.Live.ReplicaSets, ReplicaSet{
						Name: "new", Replicas: 2, Desired: 3, TemplateHash: "2", PodBytes: 5, Gated: true, Current: true,
					})
					for i := range 2 {
						t.Pods = append(t.Pods, Pod{Name: fmt.Sprint("new", i), Bytes: 5, Gated: true, ReplicaSet: "new", Created: 2})
					}
				}),
			}},
			wantSteps: []string{"Apply a Settle 4 New"},
			wantWaits: []string{"a Rollout", "a Memory"},
		},
		"no template while the ReplicaSet is yet to be scaled": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 3, 10, Paced), func(t *Tier) { t.TemplateHash = "2"; t.Live.ReplicaSets[0].Replicas = 2 }),
			}},
			wantWaits: []string{"a Rollout"},
		},
		"gated tiers are written at once": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 3, 10, Gated), func(t *Tier) { t.TemplateHash, t.Desired = "2", 5; t.Live.Observed = false }),
			}},
			wantSteps: []string{"Apply a Rollout 5 New"},
		},
		"gates: the current template first, then the newest": {
			in: Input{Budget: 30, Tiers: []Tier{
				change(running("a", 4, 10, Gated), func(t *Tier) {
					t.Desired = 3
					t.Live.Replicas, t.Live.ReplicaSets[0].Replicas, t.Live.ReplicaSets[0].Desired = 3, 1, 3
					t.Live.ReplicaSets = append(t.Live.ReplicaSets, ReplicaSet{Name: "old", Replicas: 2, Desired: 3, PodBytes: 10, Gated: true})
					t.Pods = []Pod{
						{Name: "old1", ReplicaSet: "old", Created: 5, Bytes: 10, Gated: true},
						{Name: "old2", ReplicaSet: "old", Created: 6, Bytes: 10, Gated: true},
						{Name: "new", ReplicaSet: "tier01", Created: 4, Bytes: 10, Gated: true},
						{Name: "gone", ReplicaSet: "tier01", Created: 9, Bytes: 10, Gated: true, Terminating: true},
						{Name: "lost", ReplicaSet: "older", Bytes: 10, Terminating: true},
					}
				}),
			}},
			wantSteps: []string{"ReleaseGate a new", "ReleaseGate a old2"},
			wantWaits: []string{"a Memory"},
		},
		"held: gates up to the present replicas, nothing created": {
			in: Input{Budget: 500, Pause: PauseHold, Tiers: []Tier{
				change(running("a", 2, 10, Gated), func(t *Tier) {
					t.Desired, t.TemplateHash = 9, "2"
					for i := range t.Pods {
						t.Pods[i].Gated = true
					}
				}),
				{Name: "b", Desired: 1, Max: 1, PodBytes: 10, Enforcement: Paced},
			}},
			wantSteps: []string{"ReleaseGate a 0", "ReleaseGate a 1"},
			wantWaits: []string{"a Paused", "b Paused"},
		},
		"floors too large: gates up to the present replicas": {
			in: Input{Budget: 30, Tiers: []Tier{
				change(running("a", 2, 10, Gated), func(t *Tier) { t.Min, t.Desired = 5, 5; t.Pods[0].Gated = true }),
			}},
			wantSteps: []string{"ReleaseGate a 0"},
		},
		"a removed tier goes once its pods have": {
			in: Input{Budget: 50, Tiers: []Tier{
				change(running("a", 0, 10, Paced), func(t *Tier) { t.Removed = true; t.Pods = []Pod{{Name: "f", Finished: true, Bytes: 10}} }),
				change(running("b", 0, 10, Paced), func(t *Tier) { t.Removed = true; t.Pods = []Pod{leaving} }),
				change(running("c", 0, 10, Gated), func(t *Tier) { t.Removed, t.Live.Terminating = true, true }),
				{Name: "d", Removed: true, Pods: []Pod{leaving}},
			}},
			wantSteps: []string{"Delete a"},
			wantWaits: []string{"b Pods"},
		},
		"over the budget, shrinks go on and nothing grows": {
			in: Input{Budget: 40, Tiers: []Tier{
				change(running("a", 5, 10, Paced), func(t *Tier) { t.Desired = 1 }),
				change(running("b", 1, 10, Paced), func(t *Tier) { t.Desired = 2 }),
			}},
			wantSteps: []string{"Apply a Shrink 1 Keep"},
			wantWaits: []string{"b Memory"},
		},
		"a rollout that cannot start yet keeps its memory from those that grow": {
			in: Input{Budget: 52, Tiers: []Tier{
				change(running("a", 2, 10, Paced), func(t *Tier) { t.TemplateHash = "2"; t.Pods = append(t.Pods, leaving, leaving) }),
				change(running("b", 1, 5, Paced), func(t *Tier) { t.Desired = 2 }),
			}},
			wantWaits: []string{"a RolloutRoom", "b Memory"},
		},
		"a tier may grow with its old template while another rolls": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 2, 10, Paced), func(t *Tier) { t.TemplateHash = "2" }),
				change(running("b", 1, 10, Paced), func(t *Tier) { t.TemplateHash, t.Desired, t.PodBytes = "2", 4, 5 }),
			}},
			wantSteps: []string{"Apply a Rollout 2 New", "Apply b Grow 2 Keep"},
			wantWaits: []string{"b Rollout"},
		},
		"a removed tier with a gated pod": {
			in: Input{Budget: 50, Tiers: []Tier{
				change(running("a", 0, 10, Gated), func(t *Tier) { t.Removed, t.Pods = true, []Pod{{Name: "g", Gated: true, Bytes: 10}} }),
			}},
			wantWaits: []string{"a Pods"},
		},
		"what a shrink frees is not used in the same pass": {
			in: Input{Budget: 60, Pause: PauseNone, Tiers: []Tier{
				change(rollingTier("a", 2, 0), func(t *Tier) { t.Desired = 0 }),
				change(running("b", 1, 10, Paced), func(t *Tier) { t.Desired = 3 }),
			}},
			wantSteps: []string{"Apply a Shrink 0 Keep", "Apply b Grow 2 New"},
			wantWaits: []string{"b Memory"},
		},
		"no shrink during a rollout while the controller may be about to act": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(rollingTier("a", 3, 1), func(t *Tier) { t.Desired = 2 }),
			}},
			wantWaits: []string{"a Rollout"},
		},
		"a shrink during a rollout that waits for a pod to be ready": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(rollingTier("a", 3, 0), func(t *Tier) { t.Desired = 2 }),
			}},
			wantSteps: []string{"Apply a Shrink 2 Keep"},
		},
		"a Deployment that is stuck is helped on": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(rollingTier("a", 3, 0), func(t *Tier) {
					t.Desired, t.Live.Replicas = 2, 2
					t.Live.Strategy = Strategy{Recreate: true}
				}),
			}},
			wantSteps: []string{"Apply a Settle 2 Keep"},
		},
		"a Deployment that is stuck, and no room": {
			in: Input{Budget: 35, Tiers: []Tier{
				change(rollingTier("a", 3, 0), func(t *Tier) {
					t.Desired, t.Live.Replicas = 2, 2
					t.Live.Strategy = Strategy{Recreate: true}
				}),
			}},
			wantSteps: []string{"Apply a Shrink 0 Keep"},
		},
		"old pods of a gated rollout that leave the new ones nothing": {
			in: Input{Budget: 40, Tiers: []Tier{
				change(running("a", 3, 20, Gated), func(t *Tier) {
					t.TemplateHash, t.PodBytes, t.Desired, t.Max = "2", 5, 3, 3
					t.Live.TemplateHash, t.Live.PodBytes = "2", 5
					old := &t.Live.ReplicaSets[0]
					old.Current, old.TemplateHash, old.Replicas, old.Available = false, "1", 2, 2
					t.Live.ReplicaSets = append(t.Live.ReplicaSets, ReplicaSet{
						Name: "new", Replicas: 1, Desired: 3, TemplateHash: "2", PodBytes: 5, Gated: true, Current: true,
					})
					t.Pods = append(t.Pods[:2], Pod{Name: "new", Bytes: 5, Gated: true, ReplicaSet: "new", Created: 2})
				}),
			}},
			wantSteps: []string{"Apply a Settle 3 New"},
			wantWaits: []string{"a Memory"},
		},
		"a Deployment is not brought to where it is stuck": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(rollingTier("a", 3, 0), func(t *Tier) { t.Removed, t.Live.Strategy = true, Strategy{Recreate: true} }),
			}},
			wantSteps: []string{"Apply a Shrink 0 Keep"},
			wantWaits: []string{"a Pods"},
		},
		"a rollout that cannot go on does not keep back another that frees memory": {
			in: Input{Budget: 45, Tiers: []Tier{
				change(rollingTier("a", 1, 0), func(t *Tier) { t.TemplateHash, t.PodBytes = "2", 30 }),
				change(running("b", 2, 10, Paced), func(t *Tier) { t.TemplateHash, t.PodBytes = "2", 5 }),
			}},
			wantSteps: []string{"Apply b Rollout 2 New"},
			wantWaits: []string{"a RolloutImpossible"},
		},
		"a strategy that others edit during a rollout is put back": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(rollingTier("a", 3, 0), func(t *Tier) { t.Live.Strategy.MaxSurge = 3 }),
				change(rollingTier("b", 3, 0), func(t *Tier) { t.Live.MinReadySeconds = 0 }),
				rollingTier("c", 3, 0),
			}},
			wantSteps: []string{"Apply a Settle 3 New", "Apply b Settle 3 New"},
		},
		"a gated template replaces an ungated one: replicas stay": {
			in: Input{Budget: 500, Tiers: []Tier{
				change(running("a", 2, 10, Paced), func(t *Tier) { t.TemplateHash, t.Desired, t.Enforcement = "2", 4, Gated }),
			}},
			wantSteps: []string{"Apply a Rollout 2 New"},
		},
	} {
		t.Run(name, tc.check)
	}
}

// TestPacing: a rollout waits for the pods that go, whose grace period may be the
// longer one, and afterwards no longer than it must.
func TestPacing(t *testing.T) {
	tier := change(running("a", 2, 10, Paced), func(t *Tier) {
		t.TemplateHash, t.GracePeriodSeconds = "2", 10
		t.Live.MinReadySeconds, t.Live.ReplicaSets[0].GracePeriodSeconds = 75, 60
	})
	plan := Decide(Input{Budget: 500, Tiers: []Tier{tier}})
	if len(plan.Steps) != 1 || plan.Steps[0].Shape.MinReadySeconds != 75 {
		t.Errorf("rollout: %s", dump(plan.Steps))
	}
	tier.Live.TemplateHash = "2"
	tier.Live.ReplicaSets[0].TemplateHash, tier.Live.ReplicaSets[0].GracePeriodSeconds = "2", 10
	plan = Decide(Input{Budget: 500, Tiers: []Tier{tier}})
	if len(plan.Steps) != 1 || plan.Steps[0].Cause != CauseSettle || plan.Steps[0].Shape.MinReadySeconds != 25 {
		t.Errorf("at rest: %s", dump(plan.Steps))
	}
	if MinReadySeconds(1<<40) <= 0 {
		t.Error("pacing overflows")
	}
}

// TestVerify: what Verify is for.
func TestVerify(t *testing.T) {
	in := Input{Budget: 30, Tiers: []Tier{
		running("a", 2, 10, Paced),
		change(running("b", 1, 10, Gated), func(t *Tier) { t.Pods[0].Gated = true }),
	}}
	grown := Step{Kind: Apply, Tier: "a", Shape: Shape{Replicas: 3, Template: TemplateKeep, Strategy: Strategy{MaxUnavailable: 1}, MinReadySeconds: 45}}
	released := Step{Kind: ReleaseGate, Tier: "b", Pod: "0"}
	if err := Verify(in, []Step{released}); err != nil {
		t.Error(err)
	}
	if err := Verify(in, []Step{grown}); err != nil {
		t.Error(err)
	}
	if err := Verify(in, []Step{grown, released}); err == nil {
		t.Error("40 bytes of 30 pass")
	}
	if in.Tiers[0].Live.Replicas != 2 || !in.Tiers[1].Pods[0].Gated {
		t.Error("the input is changed")
	}
	if left := After(in, Step{Kind: Delete, Tier: "a"}).Tiers; len(left) != 1 || left[0].Name != "b" {
		t.Errorf("left: %s", dump(left))
	}
}
