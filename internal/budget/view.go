// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

// view is one tier's reading, counted once.
type view struct {
	t    *Tier
	now  int64
	sets []set
	// charge of all pods; orphans is the part of living pods of no ReplicaSet.
	charge, orphans int64
	// charged: living pods that are charged. unfinished: all but Finished ones.
	charged, gated, terminating, unfinished int64
}

// set is one ReplicaSet with its pods. A pod is alive when the ReplicaSet
// controller counts it: neither terminating nor finished.
type set struct {
	name, hash                     string
	spec, alive, available, wanted int64
	ready                          int64
	bytes, grace                   int64
	gated, current, failing        bool
	// left out of the reading: at zero, or not seen yet.
	left bool
	// charged pods among the living, the bytes of all of them, and of the largest.
	charged, aliveBytes, largest int64
	// held is the charge of all its pods, terminating ones included.
	held int64
	// newest is the latest creation of a living pod.
	newest int64
}

func newView(t *Tier, now int64) view {
	v := view{t: t, now: now}
	if t.Live != nil {
		v.sets = make([]set, 0, len(t.Live.ReplicaSets)+1)
		for _, rs := range t.Live.ReplicaSets {
			v.sets = append(v.sets, newSet(rs))
		}
	}
	for i := range t.Pods {
		v.count(&t.Pods[i])
	}
	return v
}

func newSet(rs ReplicaSet) set {
	return set{
		name: rs.Name, hash: rs.TemplateHash, current: rs.Current, gated: rs.Gated, failing: rs.Failing,
		spec: int64(max(rs.Replicas, 0)), wanted: int64(rs.Desired),
		available: int64(max(rs.Available, 0)),
		bytes:     positive(rs.PodBytes), grace: rs.GracePeriodSeconds,
	}
}

func (v *view) count(p *Pod) {
	if p.Finished {
		return
	}
	v.unfinished++
	bytes := chargeOf(p)
	v.charge = add(v.charge, bytes)
	s := v.setOf(p)
	if s != nil {
		s.held = add(s.held, bytes)
	}
	if p.Terminating {
		v.terminating++
		return
	}
	if p.Gated {
		v.gated++
	} else {
		v.charged++
	}
	if s == nil {
		v.orphans = add(v.orphans, bytes)
		return
	}
	s.countAlive(p, bytes)
}

func (s *set) countAlive(p *Pod, bytes int64) {
	s.alive++
	s.newest = max(s.newest, p.Created)
	if p.Ready {
		s.ready++
	}
	if !p.Gated {
		s.charged++
		s.aliveBytes = add(s.aliveBytes, bytes)
		s.largest = max(s.largest, bytes)
	}
}

// chargeOf is what one pod counts. A gated pod that is already leaving never
// ran and is still gated.
func chargeOf(p *Pod) int64 {
	if p.Gated || p.Finished {
		return 0
	}
	return positive(p.Bytes)
}

// setOf finds the pod's ReplicaSet; of one that is not in the reading, its pods tell
// what they can. It returns nil for an orphan.
func (v *view) setOf(p *Pod) *set {
	if p.ReplicaSet == "" {
		return nil
	}
	for i := range v.sets {
		if s := &v.sets[i]; s.name == p.ReplicaSet {
			s.learn(p)
			return s
		}
	}
	v.sets = append(v.sets, set{name: p.ReplicaSet, left: true})
	s := &v.sets[len(v.sets)-1]
	s.learn(p)
	return s
}

// learn takes the template of a ReplicaSet that is not in the reading from its pods:
// one that is still gated shows that all of them were.
func (s *set) learn(p *Pod) {
	if s.left {
		s.bytes, s.gated = max(s.bytes, p.Bytes), s.gated || p.Gated
	}
}

// writable: there is a Deployment that can be written to.
func (v *view) writable() bool { return v.t.Live != nil && !v.t.Live.Terminating }

// pending: the live template is not the desired one.
func (v *view) pending() bool {
	return v.writable() && !v.t.Removed && v.t.Live.TemplateHash != v.t.TemplateHash
}

// free: the Deployment cannot start a pod by itself, neither under its present
// spec nor under the desired one.
func (v *view) free() bool {
	d := v.t.Live
	return (v.t.Enforcement == Gated || v.t.Removed) && (d == nil || d.Gated) && !v.ungated()
}

// allGated: the Deployment cannot start a pod by itself under its present spec.
func (v *view) allGated() bool { return v.t.Live.Gated && !v.ungated() }

// ungated: a ReplicaSet without the gate has replicas or living pods.
func (v *view) ungated() bool {
	for i := range v.sets {
		if s := &v.sets[i]; !s.gated && (s.spec > 0 || s.alive > 0) {
			return true
		}
	}
	return false
}
