// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

// grow raises replicas and creates Deployments, as far as memory is free, and
// settles the strategy of those that are at rest.
func (p *planner) grow() {
	sizes := make([]int32, len(p.views))
	for i := range p.views {
		sizes[i] = -1
	}
	q := p.growers()
	q.fill(sub(sub(p.in.Budget, p.total), p.hold), func(c claim) { sizes[c.tier] = int32(c.have) })
	for i := range p.views {
		switch {
		case p.written[i] || p.views[i].t.Removed:
		case sizes[i] >= 0:
			p.growPaced(i, sizes[i])
		case p.views[i].free():
			p.growFree(i)
		default:
			p.settle(i)
		}
	}
	for i, size := range sizes {
		if size >= 0 {
			p.waitToGrow(i, size)
		}
	}
}

// growers are the claims of the tiers that wait for memory before they grow.
func (p *planner) growers() queue {
	q := make(queue, 0, len(p.views))
	for i := range p.views {
		v := &p.views[i]
		want, bytes := p.mayGrow(i)
		have := int32(0)
		if v.t.Live != nil {
			have = v.t.Live.Replicas
		}
		if want < 0 {
			continue
		}
		q = append(q, claim{
			tier: i, bytes: bytes, weight: max(v.t.Weight, 1),
			floor: int64(floor(v.t)), have: int64(have), want: int64(want),
		})
	}
	return q
}

// mayGrow is how large a paced tier may be made and what each pod takes, or -1
// where it may not grow now.
func (p *planner) mayGrow(i int) (want int32, bytes int64) {
	v, n := &p.views[i], p.granted(i)
	d := v.t.Live
	switch {
	case p.written[i] || v.t.Removed || v.t.Enforcement == Gated:
		return -1, 0
	case d == nil:
		return n, positive(v.t.PodBytes)
	case d.Terminating || d.Replicas >= n:
		return -1, 0
	case p.unseen(i):
		return -1, 0
	case p.rolling(i):
		p.wait(i, Wait{For: WaitRollout, Rollout: v.t.Name, Replicas: n - d.Replicas})
		return -1, 0
	case p.unsettled(i):
		return -1, 0
	case v.pending():
		return p.mayGrowOld(i)
	}
	return n, positive(d.PodBytes)
}

// mayGrowOld: while other tiers roll, a tier may grow with its old template, as
// far as the bytes it is granted go.
func (p *planner) mayGrowOld(i int) (want int32, bytes int64) {
	d := p.views[i].t.Live
	if p.rollouts[i] == "" || d.Gated || d.PodBytes <= 0 {
		return -1, 0
	}
	n := min(int64(p.granted(i)), p.plan.Tiers[i].GrantedBytes/d.PodBytes)
	if n <= int64(d.Replicas) {
		return -1, 0
	}
	return int32(n), d.PodBytes
}

func (p *planner) growPaced(i int, size int32) {
	v := &p.views[i]
	template, has := TemplateNew, int32(-1)
	if v.t.Live != nil {
		has = v.t.Live.Replicas
		if v.pending() {
			template = TemplateKeep
		}
	}
	if size > has {
		p.apply(i, Step{Cause: CauseGrow, Shape: v.atRest(size, template)})
	} else {
		p.settle(i)
	}
}

// waitToGrow reports the pods for which memory is not free, once all is written for
// which it is.
func (p *planner) waitToGrow(i int, size int32) {
	v := &p.views[i]
	if missing := p.granted(i) - size; missing > 0 && (v.t.Live == nil || !v.pending()) {
		p.wait(i, Wait{For: WaitMemory, Replicas: missing, Bytes: p.missing(v.t.PodBytes)})
	}
}

// growFree writes a tier whose pods are all gated: nothing comes of it before
// gates are released.
func (p *planner) growFree(i int) {
	v := &p.views[i]
	if v.t.Live == nil {
		p.apply(i, Step{Cause: CauseGrow, Shape: v.atRest(p.granted(i), TemplateNew)})
		return
	}
	if v.t.Live.Terminating {
		return
	}
	if v.t.Live.Replicas < p.granted(i) {
		p.apply(i, Step{Cause: CauseGrow, Shape: v.atRest(p.granted(i), TemplateNew)})
		return
	}
	p.settle(i)
}

// settle puts strategy and pacing back to what they are at rest, once no rollout
// needs them otherwise.
func (p *planner) settle(i int) {
	v := &p.views[i]
	if !v.writable() || p.written[i] || v.pending() || p.rolling(i) && !v.surging() {
		return
	}
	d := v.t.Live
	rest := v.atRest(d.Replicas, TemplateNew)
	if rest == (Shape{d.Replicas, TemplateNew, d.Strategy, d.MinReadySeconds}) {
		return
	}
	if v.free() || d.Observed {
		p.apply(i, Step{Cause: CauseSettle, Shape: rest})
	}
}

// surging: a gated Deployment has a strategy that others gave it. How many of its
// pods may be unavailable is ours, see relieve.
func (v *view) surging() bool {
	s := v.t.Live.Strategy
	return v.t.Enforcement == Gated && (s.MaxSurge > 0 || s.Recreate != v.t.Recreate)
}
