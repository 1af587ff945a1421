// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/google/go-cmp/cmp"
)

// decide decides, and checks what holds of every decision.
func (w *world) decide(in Input) Plan {
	plan := Decide(in)
	w.checkOrder(in, plan)
	w.checkGrants(in, plan)
	w.checkWaits(in, plan)
	w.checkSteps(in, plan)
	w.earlier = append(w.earlier, in)
	return plan
}

// checkOrder: neither the order of anything in the input nor anything else but the
// input matters.
func (w *world) checkOrder(in Input, plan Plan) {
	if again := Decide(shuffled(in, rand.New(rand.NewPCG(uint64(w.choose(1<<10)), 0)))); !reflect.DeepEqual(plan, again) {
		w.rt.Fatalf("depends on the order of tiers, pods or ReplicaSets: %s\n%s", cmp.Diff(plan, again), dump(in))
	}
}

func shuffled(in Input, r *rand.Rand) Input {
	in.Tiers = shuffle(in.Tiers, r)
	for i := range in.Tiers {
		t := &in.Tiers[i]
		t.Pods = shuffle(t.Pods, r)
		if t.Live != nil {
			live := *t.Live
			live.ReplicaSets = shuffle(live.ReplicaSets, r)
			t.Live = &live
		}
	}
	return in
}

func shuffle[T any](from []T, r *rand.Rand) []T {
	out := slices.Clone(from)
	r.Shuffle(len(out), func(i, k int) { out[i], out[k] = out[k], out[i] })
	return out
}

// checkGrants: grants are the same whatever runs, so that no two tiers can take
// memory from each other in turn. Floors that do not fit leave all as it is, but
// that they do not fit depends on the spec alone, too.
func (w *world) checkGrants(in Input, plan Plan) {
	states := []Input{{}}
	if n := len(w.earlier); n > 0 {
		states = append(states, w.earlier[w.choose(n)])
	}
	for _, state := range states {
		other := in
		other.Tiers = transplanted(in.Tiers, state.Tiers)
		got := Decide(other)
		if !reflect.DeepEqual(plan.Problem, got.Problem) {
			w.rt.Fatalf("problem: %s\nof %s\nand %s", cmp.Diff(plan.Problem, got.Problem), dump(in), dump(other))
		}
		if plan.Problem != nil {
			continue
		}
		if a, b := grantsIn(plan, in), grantsIn(got, in); !reflect.DeepEqual(a, b) {
			w.rt.Fatalf("grants depend on what runs: %s\nof %s\nand %s", cmp.Diff(a, b), dump(in), dump(other))
		}
		if plan.Unallocated != got.Unallocated || plan.ReserveBytes != got.ReserveBytes {
			w.rt.Fatalf("%d and %d left of %s and %s", plan.Unallocated, got.Unallocated, dump(in), dump(other))
		}
	}
}

// transplanted are the tiers with what runs in the others of the same name.
func transplanted(tiers, from []Tier) (out []Tier) {
	for _, t := range tiers {
		i := slices.IndexFunc(from, func(f Tier) bool { return f.Name == t.Name })
		t.Live, t.Pods = nil, nil
		if i >= 0 {
			t.Live, t.Pods = from[i].Live, from[i].Pods
		}
		out = append(out, t)
	}
	return out
}

// grantsIn are what a plan gives to the tiers of the spec, and why not more.
func grantsIn(plan Plan, in Input) map[string]TierPlan {
	out := map[string]TierPlan{}
	for _, t := range in.Tiers {
		if !t.Removed {
			g := *(&planner{plan: plan}).tier(t.Name)
			g.Shape = nil
			out[t.Name] = g
		}
	}
	return out
}

// checkWaits: a wait for memory says for how much.
func (w *world) checkWaits(in Input, plan Plan) {
	memory := []WaitFor{WaitMemory, WaitRolloutRoom, WaitRolloutImpossible}
	for _, wait := range plan.Waits {
		if slices.Contains(memory, wait.For) && wait.Bytes <= 0 {
			w.rt.Fatalf("%s\nof %s\nplan %s", dump(wait), dump(in), dump(plan))
		}
	}
}

// checkSteps: the steps keep the invariant, whichever of them are written.
func (w *world) checkSteps(in Input, plan Plan) {
	some := slices.DeleteFunc(slices.Clone(plan.Steps), func(Step) bool { return w.choose(3) == 0 })
	for _, steps := range [][]Step{plan.Steps, some} {
		if err := Verify(in, steps); err != nil {
			w.rt.Fatalf("%v\nbefore %s\nplan %s\nwritten %s", err, dump(in), dump(plan), dump(steps))
		}
	}
}

// calm checks the plans that follow each other while nobody changes the spec: grants
// stay as they are, and no tier's replicas go up and down again and again.
func (w *world) calm() func(Plan) {
	grants, tiers := grantsIn(Decide(w.input()), w.input()), map[string]*turns{}
	for name, t := range w.tiers {
		tiers[name] = &turns{}
		if t.live != nil {
			tiers[name].replicas = t.live.replicas
		}
	}
	return func(plan Plan) {
		if g := grantsIn(plan, w.input()); plan.Problem == nil && !reflect.DeepEqual(grants, g) {
			w.rt.Fatalf("grants change by themselves: %s\n%s", cmp.Diff(grants, g), dump(w.input()))
		}
		for _, step := range plan.Steps {
			if step.Kind == Apply && tiers[step.Tier].to(step.Shape.Replicas) > mostTurns(len(tiers)) {
				w.rt.Fatalf("tier %s goes up and down: %s", step.Tier, dump(w.input()))
			}
		}
	}
}

// mostTurns: a tier may grow with its old template, give up replicas to roll, and
// get them back; and once more for each tier whose rollout comes in between.
func mostTurns(tiers int) int { return 2 * tiers }

// turns counts how often replicas are raised after they were lowered, or lowered
// after they were raised.
type turns struct {
	replicas, way int32
	n             int
}

func (t *turns) to(replicas int32) int {
	way := max(-1, min(1, replicas-t.replicas))
	if way*t.way < 0 {
		t.n++
	}
	if way != 0 {
		t.way = way
	}
	t.replicas = replicas
	return t.n
}
