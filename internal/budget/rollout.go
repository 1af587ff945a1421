// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import "math"

// rollOut writes new templates: at once where pods are gated, and one rollout at
// a time where they start by themselves.
func (p *planner) rollOut() {
	var pending []int
	underway := ""
	for i := range p.views {
		v := &p.views[i]
		switch {
		case v.t.Removed || !v.writable():
		case v.t.Enforcement == Gated:
			p.rollGated(i)
		case p.rolling(i) && !v.allGated():
			if p.rollAnew(i) {
				underway = v.t.Name
			}
		case v.pending() && !p.written[i] && !p.rollIdle(i):
			pending = append(pending, i)
		}
	}
	p.rollNext(pending, underway)
}

// rollGated needs no room. Where the former template was not gated, its
// ReplicaSet must not be scaled up, which is what raising the replicas in the
// same write would do.
func (p *planner) rollGated(i int) {
	v := &p.views[i]
	if !v.pending() || p.written[i] || p.unseen(i) || p.unsettled(i) {
		return
	}
	n := p.granted(i)
	if !v.free() {
		n = min(n, v.t.Live.Replicas)
	}
	s := v.atRest(n, TemplateNew)
	if !p.apply(i, Step{Cause: CauseRollout, Shape: s}) {
		p.wait(i, Wait{For: WaitRolloutRoom, Bytes: p.excess(i, s)})
	}
}

// rollIdle writes the template of a tier with neither replicas nor pods to roll.
func (p *planner) rollIdle(i int) bool {
	v := &p.views[i]
	if v.t.Live.Replicas > 0 {
		return false
	}
	return p.unseen(i) || p.apply(i, Step{Cause: CauseRollout, Shape: v.atRest(0, TemplateNew)})
}

// rollAnew is for a tier whose rollout is under way: another template replaces
// the one that is being rolled out, so that a bad one can be corrected. Other
// tiers wait for it, unless it waits for their memory: that they may have to roll
// to free.
func (p *planner) rollAnew(i int) (underway bool) {
	v := &p.views[i]
	switch {
	case p.written[i]:
	case !v.pending():
		p.pace(i)
	case !p.unseen(i):
		return p.try(i, false) != impossible
	}
	return true
}

// pace repairs a strategy that others have edited while the rollout is under way.
func (p *planner) pace(i int) {
	v := &p.views[i]
	d := v.t.Live
	one := d.Strategy.MaxSurge+d.Strategy.MaxUnavailable == 1 && d.MinReadySeconds >= v.pace()
	if !one && !d.Strategy.Recreate && d.Observed {
		p.apply(i, Step{Cause: CauseSettle, Shape: v.atRest(d.Replicas, TemplateNew)})
	}
}

// rollNext starts the first rollout there is room for. If none can start, the
// first that can once memory is free has that memory kept for it.
func (p *planner) rollNext(pending []int, underway string) {
	queued := false
	for _, i := range pending {
		if underway != "" {
			p.queueBehind(i, underway)
			continue
		}
		if p.unseen(i) {
			continue
		}
		switch p.try(i, queued) {
		case started:
			underway = p.views[i].t.Name
		case waiting:
			queued = true
		case impossible:
		}
	}
}

func (p *planner) queueBehind(i int, name string) {
	p.rollouts[i] = name
	p.wait(i, Wait{For: WaitRollout, Rollout: name})
}

// verdict on a rollout.
type verdict int

const (
	impossible verdict = iota
	waiting
	started
)

// option is one way to roll.
type option struct {
	replicas int32
	strategy Strategy
	downtime bool
}

// try starts tier i's rollout in the best way that there is, or will be, room
// for. A way for which memory must first become free is waited for in preference
// to a worse one. With queued, another rollout has memory kept for it already.
func (p *planner) try(i int, queued bool) verdict {
	v := &p.views[i]
	if v.busy() {
		p.wait(i, Wait{For: WaitRollout, Rollout: v.t.Name})
		return waiting
	}
	room, least := p.room(i), int64(math.MaxInt64)
	for _, o := range p.options(i) {
		s := Shape{Replicas: o.replicas, Template: TemplateNew, Strategy: o.strategy, MinReadySeconds: v.pace()}
		if o.strategy.Recreate {
			s.MinReadySeconds = v.atRest(o.replicas, TemplateNew).MinReadySeconds
		}
		fewer := o.replicas < v.t.Live.Replicas
		if !fewer && p.apply(i, Step{Cause: CauseRollout, Shape: s, Downtime: o.downtime}) {
			return started
		}
		need := v.need(s)
		switch {
		case need > room:
			least = min(least, need)
		case fewer:
			return p.giveUp(i, o.replicas)
		default:
			return p.await(i, s, queued)
		}
	}
	p.wait(i, Wait{For: WaitRolloutImpossible, Bytes: sub(least, room)})
	return impossible
}

// options are the ways to roll, best first: a pod more, a pod less, fewer
// replicas from the start, and all at once.
func (p *planner) options(i int) []option {
	v := &p.views[i]
	n := v.t.Live.Replicas
	all := option{n, Strategy{Recreate: true}, !v.t.Recreate}
	if v.t.Recreate {
		return []option{all}
	}
	out := []option{{n, Strategy{MaxSurge: 1}, false}}
	if n > 1 {
		out = append(out, option{n, Strategy{MaxUnavailable: 1}, false})
	}
	if p.rolling(i) {
		return append(out, all)
	}
	for r := n - 1; r >= 1; r-- {
		if r > 1 {
			out = append(out, option{r, Strategy{MaxUnavailable: 1}, false})
		} else {
			out = append(out, option{r, Strategy{MaxSurge: 1}, false})
		}
	}
	return append(out, all)
}

// giveUp lowers the replicas so that the rest can roll.
func (p *planner) giveUp(i int, replicas int32) verdict {
	p.apply(i, Step{Cause: CauseShrink, Shape: p.views[i].atRest(replicas, TemplateKeep)})
	return started
}

func (p *planner) await(i int, s Shape, queued bool) verdict {
	excess := p.excess(i, s)
	p.wait(i, Wait{For: WaitRolloutRoom, Bytes: excess})
	if !queued {
		p.hold = positive(sub(add(p.in.Budget, excess), p.total))
	}
	return waiting
}

// excess is how far above the budget a write of the shape would be.
func (p *planner) excess(i int, s Shape) int64 {
	_, total, _ := p.after(i, p.views[i].with(p.views[i].unstuck(s)))
	return positive(sub(total, p.in.Budget))
}

// room is what tier i may use once nothing is terminating: the budget less what
// the other tiers hold then. Paced tiers that have yet to grow can be held back.
func (p *planner) room(i int) int64 {
	left := p.in.Budget
	for k := range p.views {
		if k != i {
			left = sub(left, p.steady(k))
		}
	}
	return left
}

func (p *planner) steady(i int) int64 {
	v, n := &p.views[i], int64(p.granted(i))
	if v.t.Live == nil || v.t.Removed {
		return 0
	}
	bytes, has := v.t.PodBytes, n
	if v.t.Enforcement == Paced {
		has = min(n, int64(v.t.Live.Replicas))
		bytes = v.t.Live.PodBytes
	}
	held := mul(has, bytes)
	if int64(v.t.Live.Replicas) <= n {
		held = max(held, v.living())
	}
	return held
}

// living is the charge without what is terminating.
func (v *view) living() int64 {
	if v.terminating == 0 {
		return v.charge
	}
	sum := int64(0)
	for i := range v.t.Pods {
		if p := &v.t.Pods[i]; !p.Terminating {
			sum = add(sum, chargeOf(p))
		}
	}
	return sum
}

// need is the exposure of a rollout that starts with nothing terminating. With
// fewer replicas than now, the others are gone before it starts.
func (v *view) need(s Shape) int64 {
	q := v.quiet()
	if s.Replicas < v.t.Live.Replicas {
		q = v.reduced(int64(s.Replicas))
	}
	return q.exposure(q.with(s))
}

// quiet is the view without the terminating pods.
func (v *view) quiet() view {
	t := *v.t
	t.Pods = make([]Pod, 0, len(v.t.Pods))
	for _, p := range v.t.Pods {
		if !p.Terminating {
			t.Pods = append(t.Pods, p)
		}
	}
	return newView(&t, v.now)
}

// reduced is a view with so many pods of the live template and nothing else.
func (v *view) reduced(n int64) view {
	d := v.t.Live
	s := set{
		spec: n, alive: n, available: n, wanted: n, bytes: d.PodBytes, gated: d.Gated,
		charged: n, aliveBytes: mul(n, d.PodBytes), largest: d.PodBytes, current: true,
		held: mul(n, d.PodBytes), hash: d.TemplateHash,
	}
	for i := range v.sets {
		s.grace = max(s.grace, v.sets[i].grace)
	}
	return view{t: v.t, sets: []set{s}, charge: s.held, charged: n, unfinished: n}
}
