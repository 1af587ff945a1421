// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"cmp"
	"slices"
)

// release removes gates, fairly between the tiers, while a tier has fewer
// charged pods than it may and the next pod fits.
func (p *planner) release() {
	q, waiting := p.gated()
	q.init()
	for len(q) > 0 {
		c := &q[0]
		pods := waiting[c.tier]
		if c.have >= c.want || !p.releaseOne(c.tier, pods[0]) {
			p.holdBack(c, pods)
			q.pop()
			continue
		}
		waiting[c.tier] = pods[1:]
		c.have++
		q.down(0)
	}
}

// gated are the claims of the tiers with gated pods, and those pods.
func (p *planner) gated() (queue, [][]*Pod) {
	var q queue
	var waiting [][]*Pod
	for i := range p.views {
		v := &p.views[i]
		limit := p.gateLimit(i)
		if v.gated == 0 || v.charged >= limit {
			continue
		}
		if waiting == nil {
			waiting = make([][]*Pod, len(p.views))
		}
		waiting[i] = v.gatedPods()
		q = append(q, claim{
			tier: i, bytes: positive(v.t.PodBytes), weight: max(v.t.Weight, 1), floor: int64(floor(v.t)),
			have: v.charged, want: min(limit, v.charged+int64(len(waiting[i]))),
		})
	}
	return q, waiting
}

// gateLimit is how many living pods without a gate the tier may have.
func (p *planner) gateLimit(i int) int64 {
	v := &p.views[i]
	switch {
	case !v.writable():
		return 0
	case p.frozen():
		return int64(v.t.Live.Replicas)
	}
	return int64(p.granted(i))
}

// gatedPods are the pods to release: those of the current ReplicaSet, then the
// newest first.
func (v *view) gatedPods() []*Pod {
	pods := make([]*Pod, 0, v.gated)
	for i := range v.t.Pods {
		if p := &v.t.Pods[i]; p.Gated && !p.Terminating && !p.Finished {
			pods = append(pods, p)
		}
	}
	current := ""
	if g := v.live(); g.current >= 0 {
		current = v.sets[g.current].name
	}
	slices.SortFunc(pods, func(a, b *Pod) int {
		return cmp.Or(
			-compareBool(a.ReplicaSet == current, b.ReplicaSet == current),
			cmp.Compare(b.Created, a.Created),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return pods
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// releaseOne releases the pod's gate if its memory is free.
func (p *planner) releaseOne(i int, pod *Pod) bool {
	v := &p.views[i]
	s := v.setOf(pod)
	if s == nil {
		s = &set{}
	}
	view, of := *v, *s
	v.ungate(s, pod)
	e := p.ungated(i)
	total := add(sub(p.total, p.exposures[i]), e)
	if total > p.in.Budget {
		*v, *s = view, of
		return false
	}
	p.exposures[i], p.total = e, total
	p.plan.Steps = append(p.plan.Steps, Step{
		Kind: ReleaseGate, Tier: v.t.Name, Cause: CauseRelease,
		Pod: pod.Name, UID: pod.UID, ExposureAfter: total,
	})
	return true
}

// ungated is the exposure of tier i with a gate less. What this pass has written to
// the tier frees nothing for it: it counts as it was, too.
func (p *planner) ungated(i int) int64 {
	v := &p.views[i]
	e := max(v.exposure(p.targets[i]), p.exposures[i])
	if p.written[i] {
		e = max(e, v.exposure(v.live()))
	}
	return e
}

func (v *view) ungate(s *set, p *Pod) {
	bytes := positive(p.Bytes)
	v.charge = add(v.charge, bytes)
	v.gated--
	v.charged++
	if p.ReplicaSet == "" {
		v.orphans = add(v.orphans, bytes)
	}
	s.charged++
	s.held = add(s.held, bytes)
	s.aliveBytes = add(s.aliveBytes, bytes)
	s.largest = max(s.largest, bytes)
}

// holdBack reports the pods that stay gated although the tier may have them.
func (p *planner) holdBack(c *claim, pods []*Pod) {
	if n := c.want - c.have; n > 0 {
		need := positive(pods[0].Bytes)
		p.wait(c.tier, Wait{
			For: WaitMemory, Replicas: int32(n),
			Bytes: positive(sub(add(p.total, need), p.in.Budget)),
		})
	}
}

// relieve lets go of old pods of gated tiers whose rollout cannot go on: where
// they are larger than new ones and something waits for memory, new pods may get
// none while the old ones wait for the new to be available.
func (p *planner) relieve() {
	if !p.starved() {
		return
	}
	for i := range p.views {
		v := &p.views[i]
		if !p.written[i] && v.stuck() && p.rolling(i) && v.living() > mul(v.charged, v.t.PodBytes) {
			p.takeOld(i)
		}
	}
}

// starved: something waits for memory.
func (p *planner) starved() bool {
	return slices.ContainsFunc(p.plan.Waits, func(w Wait) bool {
		return w.For == WaitMemory || w.For == WaitRolloutRoom
	})
}

// stuck: nothing of a gated tier is on its way out.
func (v *view) stuck() bool {
	return v.t.Enforcement == Gated && !v.t.Removed && !v.t.Recreate && v.writable() &&
		v.t.Live.Gated && !v.pending() && v.terminating == 0
}

// takeOld raises the number of pods that may be unavailable until one old pod
// more is taken; those that are still gated are taken first.
func (p *planner) takeOld(i int) {
	v := &p.views[i]
	g := v.live()
	s := v.sum(&g)
	n := min(g.replicas, g.replicas-s.available-s.oldCharged+1)
	if n <= int64(g.strategy.MaxUnavailable) {
		return
	}
	shape := v.keep(int32(g.replicas))
	shape.Template, shape.Strategy = TemplateNew, Strategy{MaxUnavailable: int32(n)}
	p.apply(i, Step{Cause: CauseSettle, Shape: shape})
}
