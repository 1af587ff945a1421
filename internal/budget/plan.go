// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

// Decide plans one pass: what each tier is granted, and the writes that bring
// the cluster nearer to it and that the memory which is free now allows.
func Decide(in Input) Plan {
	p := newPlanner(in)
	if p.frozen() {
		p.reportFrozen()
	} else {
		p.shrink()
		p.rollOut()
		p.unwedge()
		p.grow()
	}
	p.release()
	if !p.frozen() {
		p.relieve()
		p.remove()
		p.shapes()
	}
	return p.plan
}

// Measure is the exposure of what is there.
func Measure(in Input) Exposure {
	return newPlanner(in).plan.Exposure
}

// planner carries a plan through its stages. Tiers are numbered in the order of
// their names throughout.
type planner struct {
	in    Input
	plan  Plan
	views []view
	// targets and exposures are those after the steps so far; total is their sum.
	targets   []target
	exposures []int64
	total     int64
	// written tiers have their one Apply of the pass.
	written []bool
	// blind tiers have been reported as waiting for their controller.
	blind []bool
	// rollouts are the names of the tiers whose rollout each tier waits for.
	rollouts []string
	// hold is memory kept for the next rollout: nothing grows into it.
	hold        int64
	terminating int32
}

func newPlanner(in Input) *planner {
	tiers := sorted(in.Tiers)
	n := len(tiers)
	p := &planner{
		in: in, plan: Arbitrate(in), views: make([]view, n), targets: make([]target, n),
		exposures: make([]int64, n), written: make([]bool, n), blind: make([]bool, n), rollouts: make([]string, n),
	}
	p.plan.Exposure.Tiers = make([]TierExposure, n)
	for i, t := range tiers {
		p.views[i] = newView(t, in.Now)
		p.targets[i] = p.views[i].live()
		p.exposures[i] = p.views[i].exposure(p.targets[i])
		p.total = add(p.total, p.exposures[i])
		p.terminating += int32(p.views[i].terminating)
		p.expose(i)
	}
	p.plan.ForeignExcess = positive(sub(p.total, in.Budget))
	return p
}

func (p *planner) expose(i int) {
	v := &p.views[i]
	e := TierExposure{
		Name: v.t.Name, Charge: v.charge, Potential: sub(p.exposures[i], v.charge),
		GatedPods: int32(v.gated), TerminatingPods: int32(v.terminating), Rolling: p.rolling(i),
	}
	p.plan.Exposure.Tiers[i] = e
	p.plan.Exposure.Charge = add(p.plan.Exposure.Charge, e.Charge)
	p.plan.Exposure.Potential = add(p.plan.Exposure.Potential, e.Potential)
}

// frozen: only gates are released.
func (p *planner) frozen() bool {
	return p.in.Pause == PauseHold || p.plan.Problem != nil
}

// reportFrozen names the tiers that would be written to.
func (p *planner) reportFrozen() {
	for i := range p.views {
		v := &p.views[i]
		changes := v.t.Live == nil || v.pending() || v.t.Live.Replicas != p.plan.Tiers[i].Granted
		if p.in.Pause == PauseHold && changes {
			p.wait(i, Wait{For: WaitPaused})
		}
	}
}

// rolling: a rollout is under way, by the tier's target.
func (p *planner) rolling(i int) bool {
	v := &p.views[i]
	if v.t.Live == nil {
		return false
	}
	s := v.sum(&p.targets[i])
	return s.rolling() || s.recreating(&p.targets[i])
}

// granted is the number of replicas the tier is to have.
func (p *planner) granted(i int) int32 { return p.plan.Tiers[i].Granted }

// after is the whole exposure once tier i has the target, and whether a write of
// it is allowed: the exposure is within the budget or the write does not raise
// it. A write frees nothing in its own pass: until the controller has seen it, it
// acts on the one before.
func (p *planner) after(i int, g target) (exposure, total int64, allowed bool) {
	e := max(p.views[i].exposure(g), p.exposures[i])
	total = add(sub(p.total, p.exposures[i]), e)
	return e, total, total <= p.in.Budget || e <= p.exposures[i]
}

// unstuck is the shape with a strategy with which the controller does not get stuck.
func (v *view) unstuck(s Shape) Shape {
	if v.wedged(v.with(s)) {
		s.Strategy, s.MinReadySeconds = Strategy{MaxUnavailable: 1}, v.pace()
	}
	return s
}

// apply issues the tier's Apply if it is allowed, and reports whether it was.
func (p *planner) apply(i int, s Step) bool {
	s.Shape = p.views[i].unstuck(s.Shape)
	g := p.views[i].with(s.Shape)
	e, total, allowed := p.after(i, g)
	if !allowed {
		return false
	}
	p.targets[i], p.exposures[i], p.total, p.written[i] = g, e, total, true
	s.Kind, s.Tier, s.ExposureAfter = Apply, p.views[i].t.Name, total
	s.Create = p.views[i].t.Live == nil
	p.plan.Steps = append(p.plan.Steps, s)
	return true
}

func (p *planner) wait(i int, w Wait) {
	w.Tier = p.views[i].t.Name
	if w.For == WaitMemory || w.For == WaitRolloutRoom {
		w.Pods = p.terminating
	}
	p.plan.Waits = append(p.plan.Waits, w)
}

// missing is how many bytes too many a change of tier i by that much would be.
func (p *planner) missing(bytes int64) int64 {
	return positive(sub(add(add(p.total, p.hold), bytes), p.in.Budget))
}

// unseen: the Deployment may start pods and its controller has not seen the last
// write. What it may still do under the one before is not known, so it is not
// written to again before.
func (p *planner) unseen(i int) bool {
	v := &p.views[i]
	if v.free() || v.t.Live.Observed {
		return false
	}
	p.waitObserved(i)
	return true
}

// unsettled: the Deployment may start pods, and what came of the last write is not in
// the reading yet. Another write now could hide it for as long as the reading lags.
func (p *planner) unsettled(i int) bool {
	v := &p.views[i]
	if v.free() || !v.trailing() {
		return false
	}
	p.waitObserved(i)
	return true
}

func (p *planner) waitObserved(i int) {
	if !p.blind[i] {
		p.blind[i] = true
		p.wait(i, Wait{For: WaitObserved})
	}
}

// atRest is the shape of a tier's Deployment while it does not roll.
func (v *view) atRest(replicas int32, template Template) Shape {
	s := Shape{Replicas: replicas, Template: template}
	switch {
	case v.t.Recreate:
		s.Strategy.Recreate = true
	case v.t.Enforcement == Paced && replicas <= 1:
		s.Strategy.MaxSurge = 1
	default:
		s.Strategy.MaxUnavailable = 1
	}
	if v.t.Enforcement == Paced && !v.t.Recreate {
		s.MinReadySeconds = v.pace()
	}
	return s
}

// pace is for the pods that a rollout takes, as much as for those it brings.
func (v *view) pace() int32 {
	g := v.live()
	s := v.sum(&g)
	return MinReadySeconds(max(v.t.GracePeriodSeconds, s.grace))
}

// keep is the live shape with other replicas.
func (v *view) keep(replicas int32) Shape {
	d := v.t.Live
	return Shape{
		Replicas: replicas, Template: TemplateKeep,
		Strategy: d.Strategy, MinReadySeconds: d.MinReadySeconds,
	}
}

// shrink lowers every tier that has more than it is granted. What others have
// started beyond the budget is stopped without waiting to see all of it.
func (p *planner) shrink() {
	for i := range p.views {
		v := &p.views[i]
		if !v.writable() || v.t.Live.Replicas <= p.granted(i) || p.unseen(i) {
			continue
		}
		if p.plan.ForeignExcess == 0 && p.unsettled(i) {
			continue
		}
		moving := p.rolling(i) && p.granted(i) > 0 && !v.free() && v.busy()
		if moving || !p.apply(i, Step{Cause: CauseShrink, Shape: p.shrunk(i)}) {
			p.wait(i, Wait{
				For: WaitRollout, Rollout: v.t.Name,
				Replicas: v.t.Live.Replicas - p.granted(i),
			})
		}
	}
}

// unwedge gives a Deployment whose controller is stuck a strategy with which it
// can go on; where there is no room for that, it starts again from zero, which
// needs none. Others can bring one there, by a strategy edited during a rollout.
func (p *planner) unwedge() {
	for i := range p.views {
		v := &p.views[i]
		if !v.writable() || p.written[i] || !v.wedged(v.live()) {
			continue
		}
		if !p.apply(i, Step{Cause: CauseSettle, Shape: v.keep(v.t.Live.Replicas)}) {
			p.apply(i, Step{Cause: CauseShrink, Shape: v.keep(0), Downtime: true})
		}
	}
}

func (p *planner) shrunk(i int) Shape {
	v, n := &p.views[i], p.granted(i)
	switch {
	case v.t.Removed:
		return v.rollingShrunk(n)
	case v.t.Enforcement == Gated:
		return v.atRest(n, TemplateNew)
	case p.rolling(i):
		return v.rollingShrunk(n)
	}
	return v.atRest(n, TemplateKeep)
}

// rollingShrunk keeps the strategy of the rollout that is under way. A surge that
// others have raised must not be kept: with replicas lowered at the same time, the
// controller's proportions come out above the present sizes.
func (v *view) rollingShrunk(replicas int32) Shape {
	s := v.keep(replicas)
	if s.Strategy.MaxSurge > 1 {
		s.Strategy, s.MinReadySeconds = Strategy{MaxUnavailable: 1}, v.pace()
	}
	return s
}

// remove deletes the removed tiers that have no pods left.
func (p *planner) remove() {
	for i := range p.views {
		v := &p.views[i]
		if !v.t.Removed || !v.writable() {
			continue
		}
		seen := v.t.Live.Observed || v.t.Live.Gated
		if p.written[i] || !seen || v.t.Live.Replicas > 0 || v.unfinished > 0 || p.exposures[i] > 0 {
			p.wait(i, Wait{For: WaitPods, Pods: int32(v.unfinished)})
			continue
		}
		p.plan.Steps = append(p.plan.Steps, Step{
			Kind: Delete, Tier: v.t.Name, Cause: CauseDelete, ExposureAfter: p.total,
		})
	}
}

// shapes tells of each tier what its Deployment should be after this pass.
func (p *planner) shapes() {
	for i := range p.views {
		v := &p.views[i]
		if !v.writable() {
			continue
		}
		s := v.keep(v.t.Live.Replicas)
		if !v.t.Removed && !v.pending() {
			s.Template = TemplateNew
		}
		p.plan.Tiers[i].Shape = &s
	}
	for k := range p.plan.Steps {
		if s := &p.plan.Steps[k]; s.Kind == Apply {
			p.tier(s.Tier).Shape = &s.Shape
		}
	}
}

func (p *planner) tier(name string) *TierPlan {
	for i := range p.plan.Tiers {
		if p.plan.Tiers[i].Name == name {
			return &p.plan.Tiers[i]
		}
	}
	return nil
}
