// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import "math"

const (
	// PacingSlackSeconds is added to the grace period to get minReadySeconds: a
	// pod outlives its grace period by what the kubelet needs to take down its
	// containers and volumes, and the two ReplicaSets of a rollout are worked on
	// independently.
	PacingSlackSeconds = 15
	// skewSeconds is how much earlier than the deletion before it a pod may have
	// been created by a rollout: two controllers' workers and timestamps in whole
	// seconds. It must be well below PacingSlackSeconds.
	skewSeconds = 5
)

// MinReadySeconds is the pacing that a termination grace period needs.
func MinReadySeconds(gracePeriodSeconds int64) int32 {
	return int32(min(positive(gracePeriodSeconds)+PacingSlackSeconds, math.MaxInt32))
}

// target is a Deployment's spec as it is or might be.
type target struct {
	exists, terminating bool
	replicas            int64
	// bytes of a pod of the template, 0 where the template is gated.
	bytes int64
	// current is the place of the template's ReplicaSet, or -1.
	current  int
	strategy Strategy
	minReady int32
	observed bool
}

// live is the Deployment as it is.
func (v *view) live() target {
	d := v.t.Live
	if d == nil {
		return target{current: -1}
	}
	g := target{
		exists: true, terminating: d.Terminating, replicas: int64(max(d.Replicas, 0)), current: -1,
		strategy: d.Strategy, minReady: d.MinReadySeconds, observed: d.Observed,
	}
	if !d.Gated {
		g.bytes = positive(d.PodBytes)
	}
	for i := range v.sets {
		if v.sets[i].current {
			g.current = i
			break
		}
	}
	return g
}

// with is the Deployment after a write.
func (v *view) with(s Shape) target {
	g := v.live()
	if s.Template == TemplateNew && (v.t.Live == nil || v.pending()) {
		g.bytes, g.current = 0, v.find(v.t.TemplateHash)
		if v.t.Enforcement == Paced {
			g.bytes = positive(v.t.PodBytes)
		}
	}
	g.exists, g.observed = true, false
	g.replicas, g.strategy, g.minReady = int64(s.Replicas), s.Strategy, s.MinReadySeconds
	return g
}

func (v *view) find(hash string) int {
	for i := range v.sets {
		if hash != "" && v.sets[i].hash == hash {
			return i
		}
	}
	return -1
}

// exposure is what the tier's pods hold and may come to hold while nobody but
// the cluster's controllers acts on the target. The controllers never raise it.
func (v *view) exposure(g target) int64 {
	if !g.exists {
		return v.charge
	}
	s := v.sum(&g)
	switch {
	case g.terminating || g.replicas == 0:
		return add(v.charge, s.shortfall)
	case g.strategy.Recreate:
		return v.recreating(&g, &s)
	case !s.rolling():
		return add(v.charge, mul(max(g.replicas, s.size)-s.alive, g.bytes))
	}
	return v.rollingUpdate(&g, &s)
}

// sums are the figures of a Deployment's ReplicaSets: the current one's size
// and pods, and the old ones' together.
type sums struct {
	size, available, alive int64
	ready                  int64
	aliveBytes, held       int64
	newest                 int64

	// active ReplicaSets have a size above 0.
	active                   int64
	old, oldAlive, oldActive int64
	oldHeld, oldCharged      int64
	// surplus is what old ReplicaSets of size 0, and of other sizes, still report as
	// available beyond their size. The controller gives up, and tries again later,
	// when it comes across one of the latter (cleanupUnhealthyReplicas); it may not
	// come across it where there are several.
	surplus, surplusActive int64
	oldLargest             int64
	grace                  int64

	// shortfall is what the ReplicaSet controller may create without any further
	// act of the Deployment controller.
	shortfall int64
	// scaling: the Deployment controller has yet to scale, and does so before
	// anything else, old templates too (isScalingEvent in its syncDeployment).
	scaling bool
}

// rolling: old pods are to be replaced.
func (s *sums) rolling() bool { return s.old > 0 || s.oldAlive > 0 }

// recreating: new pods wait for old ones to be gone.
func (s *sums) recreating(g *target) bool {
	return g.strategy.Recreate && g.replicas > 0 && (s.rolling() || s.oldHeld > 0)
}

func (v *view) sum(g *target) (s sums) {
	size, unknown := int64(0), false
	for i := range v.sets {
		r := &v.sets[i]
		s.addAny(r, g)
		size += r.spec
		unknown = unknown || (r.spec > 0 && r.wanted <= 0)
		if i == g.current {
			s.addCurrent(r)
		} else {
			s.addOld(r)
		}
	}
	s.scaling = s.scaling || (unknown && !g.observed && size != g.replicas)
	return s
}

func (s *sums) addAny(r *set, g *target) {
	if r.spec > 0 || r.alive > 0 || r.held > 0 {
		s.grace = max(s.grace, r.grace)
	}
	if !r.gated {
		s.shortfall = add(s.shortfall, mul(r.spec-r.alive, r.bytes))
	}
	if r.spec > 0 {
		s.active++
		s.scaling = s.scaling || (r.wanted > 0 && r.wanted != g.replicas)
	}
}

// addCurrent counts no pod that the ReplicaSet controller is about to delete:
// it may do so before it sees a larger size.
func (s *sums) addCurrent(r *set) {
	s.size, s.available, s.alive = r.spec, r.available, min(r.alive, r.spec)
	s.aliveBytes, s.held, s.newest, s.ready = r.aliveBytes, r.held, r.newest, r.ready
	if r.alive > r.spec {
		// Its next status still counts those it is deleting, and which are the
		// newest of those that stay is not known.
		s.available, s.newest = max(s.available, r.ready), 0
		s.aliveBytes = min(s.aliveBytes, mul(r.spec, r.largest))
	}
}

func (s *sums) addOld(r *set) {
	s.old += r.spec
	s.oldAlive += r.alive
	s.oldCharged += r.charged
	s.oldHeld = add(s.oldHeld, r.held)
	reported := r.available
	if r.alive > r.spec {
		reported = max(reported, r.ready)
	}
	if r.spec == 0 {
		s.surplus += reported
	} else {
		s.surplusActive += positive(reported - r.spec)
	}
	if r.spec > 0 {
		s.oldActive++
		if !r.gated {
			s.oldLargest = max(s.oldLargest, r.bytes)
		}
	}
}

// recreating: all pods of old ReplicaSets go, and only then does the current
// one grow (rolloutRecreate, oldPodsRunning). The controller does not wait for
// dying pods of the current ReplicaSet, nor for pods of none.
func (v *view) recreating(g *target, s *sums) int64 {
	before := add(v.charge, s.shortfall)
	if s.scaling {
		before = add(before, mul(g.replicas-s.old-s.size, max(s.oldLargest, g.bytes)))
	}
	after := add(add(s.held, v.orphans), mul(max(g.replicas, s.size)-s.alive, g.bytes))
	return max(before, after)
}

// busy: the Deployment controller may be about to act on the live spec, so that
// a write might find another state than the one it was planned for. It is not
// when, during a rollout, it waits for a pod that is not even ready.
func (v *view) busy() bool {
	g := v.live()
	s := v.sum(&g)
	switch {
	case v.wedged(g):
		return false
	case s.recreating(&g) || v.short():
		return true
	case !s.rolling():
		return s.size != g.replicas || v.surplus()
	}
	r := v.rollout(&g, &s)
	return s.scaling || r.taken > 0 || r.come > 0 || s.ready > s.available
}

// surplus: a ReplicaSet has pods that it is about to delete. They will be gone
// for whatever is planned, and are not terminating yet.
func (v *view) surplus() bool {
	for i := range v.sets {
		if v.sets[i].alive > v.sets[i].spec {
			return true
		}
	}
	return false
}

// short: a ReplicaSet has yet to create pods, or has and the reading does not show
// them. Once it is lowered, nothing in the reading would tell of those.
func (v *view) short() bool {
	for i := range v.sets {
		if s := &v.sets[i]; s.alive < s.spec && !s.gated && !s.failing {
			return true
		}
	}
	return false
}

// over: a ReplicaSet has yet to delete pods, or has and the reading shows them as
// they were. Once it is raised, they would pass for those that come in their place.
func (v *view) over() bool {
	for i := range v.sets {
		if s := &v.sets[i]; s.alive > s.spec && !s.gated && !s.failing && !s.left {
			return true
		}
	}
	return false
}

// trailing: what the Deployment was last told has not come about in the reading, in
// which ReplicaSets and pods may each be older than the Deployment.
func (v *view) trailing() bool {
	g := v.live()
	s := v.sum(&g)
	switch {
	case v.wedged(g):
		return false
	case v.short() || v.over():
		return true
	case s.recreating(&g):
		return false
	case !s.rolling():
		return s.size != g.replicas
	}
	r := v.rollout(&g, &s)
	return s.scaling || r.taken > 0 || r.come > 0
}

// wedged: with strategy Recreate, the Deployment controller does not scale more
// than one active ReplicaSet, and does nothing else before it has scaled (scale in
// its sync.go returns without having done anything).
func (v *view) wedged(g target) bool {
	s := v.sum(&g)
	return g.strategy.Recreate && s.active > 1 && s.scaling
}
