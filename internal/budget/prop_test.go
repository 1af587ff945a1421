// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// world is a simulated cluster with its operator, under random events. ceiling
// is the most the exposure may be: the budget, or what others' last act left.
type world struct {
	*sim
	rt      *rapid.T
	ceiling int64
	version int
	// earlier are what former passes read.
	earlier []Input
}

func newWorld(rt *rapid.T) *world {
	w := &world{rt: rt}
	w.sim = newSim(func(n int) int { return uniform(rt, n) })
	w.budget = int64(w.between(4, 40))
	w.reserve = pick(w, Reserve{}, Reserve{Auto: true}, Reserve{Bytes: 3})
	for i := range w.between(1, 3) {
		w.addTier(fmt.Sprintf("t%d", i))
	}
	w.ceiling = w.budget
	return w
}

// uniform is a number below n. rapid's own ranges prefer small numbers, with
// which little would ever happen.
func uniform(rt *rapid.T, n int) int {
	return int(rapid.Custom(func(rt *rapid.T) uint16 {
		var x uint16
		for range 12 {
			x <<= 1
			if rapid.Bool().Draw(rt, "bit") {
				x |= 1
			}
		}
		return x
	}).Draw(rt, "uniform")) % n
}

// between is a number from low to high, pick one of several values.
func (w *world) between(low, high int) int { return low + w.choose(high-low+1) }

func pick[T any](w *world, from ...T) T { return from[w.choose(len(from))] }

func (w *world) addTier(name string) {
	spec := Tier{Name: name}
	spec.Weight = int64(w.between(1, 3))
	spec.Enforcement = pick(w, Paced, Gated)
	w.tiers[name] = &simTier{spec: spec, broken: map[string]bool{}}
	w.resizeTier(w.tiers[name])
	w.retemplate(w.tiers[name])
	w.tiers[name].broken = map[string]bool{}
}

func (w *world) resizeTier(t *simTier) {
	t.spec.Max = int32(w.between(1, 5))
	t.spec.Min = int32(w.between(0, int(min(2, t.spec.Max))))
	t.spec.Desired = int32(w.between(0, 6))
	if t.spec.Recreate {
		t.spec.Min, t.spec.Max, t.spec.Desired = 1, 1, 1
	}
}

func (w *world) retemplate(t *simTier) {
	w.version++
	t.spec.PodBytes = int64(w.between(1, 6))
	t.spec.GracePeriodSeconds = pick[int64](w, 0, 10, 60)
	t.spec.TemplateHash = fmt.Sprintf("v%d-%s", w.version, t.spec.Enforcement)
}

func (w *world) anyTier() *simTier {
	return w.tiers[pick(w, w.names()...)]
}

func (w *world) anyPod() (*simTier, *simPod) {
	t := w.anyTier()
	if len(t.pods) == 0 {
		return t, nil
	}
	return t, pick(w, t.pods...)
}

// event lets the cluster act: the exposure must not rise.
func (w *world) event(what string, f func()) {
	before := w.input()
	was := Measure(before)
	f()
	after := w.input()
	is := Measure(after)
	if is.Total() > was.Total() {
		w.rt.Fatalf("%s raised the exposure from %d to %d\nbefore %s\nafter %s", what, was.Total(), is.Total(), dump(before), dump(after))
	}
	w.check(what)
}

// act lets a user or somebody else act: the exposure may rise.
func (w *world) act(f func()) func() {
	return func() {
		f()
		w.ceiling = max(w.budget, Measure(w.input()).Total())
	}
}

func (w *world) check(what string) {
	e := Measure(w.input()).Total()
	if e > w.ceiling {
		w.rt.Fatalf("exposure %d above %d (budget %d) after %s", e, w.ceiling, w.budget, what)
	}
	if c := w.charge(); c > e {
		w.rt.Fatalf("charge %d above the exposure %d after %s", c, e, what)
	}
	w.ceiling = max(w.budget, e)
}

func dump(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// pass is the operator's pass, which may die after any of its writes, with the
// controllers at work in between.
func (w *world) pass() {
	before := w.input()
	plan := w.decide(before)
	n := len(plan.Steps)
	if n > 0 {
		n = w.between(0, n)
	}
	for _, step := range plan.Steps[:n] {
		was := Measure(w.input()).Total()
		w.write(step)
		is := Measure(w.input()).Total()
		if is > was && is > w.budget {
			w.rt.Fatalf("step %s raised the exposure from %d to %d, budget %d\nbefore %s\nplan %s", dump(step), was, is, w.budget, dump(before), dump(plan))
		}
		if is > step.ExposureAfter {
			w.rt.Fatalf("step %s left exposure %d, was %d\nbefore %s\nplan %s\nafter %s", dump(step), is, was, dump(before), dump(plan), dump(w.input()))
		}
		w.ceiling = max(w.ceiling, min(is, w.budget))
		if w.choose(3) == 0 {
			w.controller()
		}
	}
}

func (w *world) controller() {
	t := w.anyTier()
	if w.choose(2) == 0 || len(t.sets) == 0 {
		w.event("deployment "+t.spec.Name, func() { w.syncDeployment(t) })
		return
	}
	rs := pick(w, t.sets...)
	w.event("set "+rs.name, func() { w.syncSet(t, rs) })
}

// action is something that happens, so many times in a hundred.
type action struct {
	weight int
	do     func()
}

// nature are the events of the cluster itself, and the operator's passes.
func (w *world) nature(pass func()) []action {
	return []action{
		{30, w.controller},
		{6, func() { w.event("controllers", w.controllers) }},
		{20, pass},
		{10, func() {
			if t, p := w.anyPod(); p != nil {
				w.event("ready", func() { w.ready(t, p) })
			}
		}},
		{10, func() { w.event("kubelet", w.kubelet) }},
		{3, func() {
			if _, p := w.anyPod(); p != nil {
				w.event("unready", func() { p.readyAt = 0 })
			}
		}},
		{12, func() {
			n := int64(w.between(1, 100))
			w.event("advance", func() { w.advance(n) })
		}},
	}
}

// scarcity is what makes memory or pods scarce.
func (w *world) scarcity() []action {
	return []action{
		{1, w.act(func() { w.budget = int64(w.between(4, 40)) })},
		{1, w.act(func() { t := w.anyTier(); t.refused = !t.refused })},
	}
}

// users are the acts of users on the resource.
func (w *world) users() []action {
	return []action{
		{3, w.act(func() { w.resizeTier(w.anyTier()) })},
		{3, w.act(func() { w.retemplate(w.anyTier()) })},
		{1, w.act(func() {
			w.pause = pick(w, PauseNone, PauseNone, PauseNone, PauseHold, PauseDrain)
		})},
		{1, w.act(func() {
			t := w.anyTier()
			t.spec.Enforcement = pick(w, Paced, Gated)
			w.retemplate(t)
		})},
		{1, w.act(w.removeTier)},
		{1, w.act(func() { w.revert(w.anyTier()) })},
		{1, w.act(func() { t := w.anyTier(); t.broken[t.spec.TemplateHash] = true })},
	}
}

// removeTier takes a tier out of the spec and perhaps puts another in.
func (w *world) removeTier() {
	t := w.anyTier()
	t.spec.Removed = t.live != nil || len(t.pods) > 0
	if !t.spec.Removed {
		delete(w.tiers, t.spec.Name)
	}
	w.addTier(fmt.Sprintf("t%d", w.version+10))
}

// revert goes back to a template that the tier had before.
func (w *world) revert(t *simTier) {
	if len(t.sets) == 0 || t.spec.Removed {
		return
	}
	old := pick(w, t.sets...).template
	t.spec.PodBytes, t.spec.TemplateHash, t.spec.GracePeriodSeconds = old.bytes, old.hash, old.grace
	t.spec.Enforcement = Paced
	if old.gated {
		t.spec.Enforcement = Gated
	}
}

// usual is everything but acts of others on our objects.
func (w *world) usual() []action {
	return slices.Concat(w.nature(w.pass), w.users(), w.scarcity())
}

// run lets things happen.
func (w *world) run(actions ...action) {
	sum := 0
	for _, a := range actions {
		sum += a.weight
	}
	for range w.between(10, 150) {
		n := w.between(0, sum-1)
		for _, a := range actions {
			if n -= a.weight; n < 0 {
				a.do()
				break
			}
		}
	}
}

func TestExposureIsKept(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		w.run(w.usual()...)
	})
}

// TestConverges: once faults stop, everything granted runs, of the right
// template, and nothing is written any more.
func TestConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		w.run(w.usual()...)
		w.rest()
	})
}

// rest stops all faults and lets the cluster come to rest.
func (w *world) rest() {
	w.pause = pick(w, PauseNone, PauseNone, PauseDrain)
	for _, name := range w.names() {
		w.tiers[name].broken, w.tiers[name].refused = map[string]bool{}, false
		for _, p := range w.tiers[name].pods {
			p.broken = false
		}
	}
	if !w.settle(w.calm()) {
		w.rt.Fatalf("not settled: %s\nplan %s", dump(w.input()), dump(Decide(w.input())))
	}
	w.converged()
}

// converged checks a cluster at rest against the plan.
func (w *world) converged() {
	in := w.input()
	plan := Decide(in)
	if len(plan.Steps) > 0 {
		w.rt.Fatalf("steps at rest: %s", dump(plan))
	}
	if plan.Problem != nil {
		return
	}
	fail := func(what string) { w.rt.Fatalf("%s\nat rest %s\nplan %s", what, dump(in), dump(plan)) }
	if len(plan.Waits) > 0 || plan.ForeignExcess > 0 || plan.Exposure.Potential > 0 {
		fail("waits, excess or potential")
	}
	for i, tier := range plan.Tiers {
		t := w.tiers[tier.Name]
		if t.spec.Removed {
			continue
		}
		if t.running() != tier.Granted || t.live.template != t.template() || plan.Exposure.Tiers[i].Charge != tier.GrantedBytes {
			fail("tier " + tier.Name + " is not what it is granted")
		}
	}
}

// running is the number of ready pods of the live template.
func (t *simTier) running() (n int32) {
	for _, p := range t.pods {
		if p.alive() && p.readyAt > 0 && p.set == t.current().name {
			n++
		}
	}
	return n
}
