// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"slices"
)

func (p *simPod) alive() bool { return p.deleted == 0 && !p.finished }

// syncSet is one syncReplicaSet: its status is of the pods before its own acts.
// A further pod counts as available only once the tier's other ReplicaSets have
// deleted what they are to delete and have said so: that they take longer over it
// than a pod takes to become available is excluded.
func (s *sim) syncSet(t *simTier, rs *simSet) bool {
	for _, other := range t.sets {
		if other != rs && (other.late || other.available > other.replicas) {
			s.syncOne(t, other)
		}
	}
	return s.syncOne(t, rs)
}

func (s *sim) syncOne(t *simTier, rs *simSet) bool {
	was := *rs
	pods := s.count(t, rs)
	rs.late, rs.failing = false, t.refused && rs.alive < rs.replicas
	for n := rs.alive; n < rs.replicas && !rs.failing; n++ {
		s.create(t, rs)
	}
	slices.SortStableFunc(pods, func(a, b *simPod) int {
		if r := a.rank() - b.rank(); r != 0 {
			return r
		}
		return int(b.created - a.created)
	})
	for n := rs.alive; n > rs.replicas; n-- {
		s.deletePod(t, pods[rs.alive-n])
	}
	was.late = false
	return was != *rs || rs.alive != rs.replicas && !rs.failing
}

// count writes the status of the ReplicaSet, and returns its living pods.
func (s *sim) count(t *simTier, rs *simSet) (pods []*simPod) {
	rs.alive, rs.ready, rs.available = 0, 0, 0
	for _, p := range t.pods {
		if p.set != rs.name || !p.alive() {
			continue
		}
		pods = append(pods, p)
		rs.alive++
		if p.readyAt > 0 {
			rs.ready++
			if s.now-p.readyAt >= int64(rs.minReady) {
				rs.available++
			}
		}
	}
	return pods
}

// rank is the order in which a ReplicaSet deletes.
func (p *simPod) rank() int {
	switch {
	case p.gated:
		return 0
	case p.readyAt == 0:
		return 1
	}
	return 2
}

func (s *sim) create(t *simTier, rs *simSet) {
	s.serial++
	t.pods = append(t.pods, &simPod{
		name: fmt.Sprintf("%s-%d", rs.name, s.serial), set: rs.name, bytes: rs.template.bytes,
		gated: rs.template.gated, created: s.now, broken: t.broken[rs.template.hash],
	})
}

// deletePod begins termination; a pod that never ran goes at once.
func (s *sim) deletePod(t *simTier, p *simPod) {
	if p.gated || p.finished {
		t.pods = slices.DeleteFunc(t.pods, func(q *simPod) bool { return q == p })
		return
	}
	p.deleted = s.now
	grace := int64(0)
	for _, rs := range t.sets {
		if rs.name == p.set {
			grace = rs.template.grace
		}
	}
	p.goneAt = s.now + int64(s.choose(int(grace)+kubeletSeconds+1))
}

// ready lets a pod become ready. By the time that matters, minReadySeconds later,
// the Deployment controller has seen the last write, and ReplicaSets have deleted
// what they had to.
func (s *sim) ready(t *simTier, p *simPod) bool {
	if t.live != nil && t.live.observed != t.live.generation {
		s.syncDeployment(t)
	}
	s.catchUp(t)
	if p.gated || !p.alive() || p.readyAt > 0 || p.broken {
		return false
	}
	p.readyAt = s.now
	return true
}

// advance lets time pass. Pods are deleted in the second in which their
// ReplicaSet was lowered.
func (s *sim) advance(seconds int64) {
	for _, name := range s.names() {
		s.catchUp(s.tiers[name])
	}
	s.now += seconds
	for _, t := range s.tiers {
		t.pods = slices.DeleteFunc(t.pods, func(p *simPod) bool { return p.deleted > 0 && p.goneAt <= s.now })
	}
}

// catchUp lets the ReplicaSets do what they were last told.
func (s *sim) catchUp(t *simTier) {
	for _, rs := range t.sets {
		if rs.late {
			s.syncOne(t, rs)
		}
	}
}

// controllers runs all controllers until nothing changes.
func (s *sim) controllers() {
	for changed, n := true, 0; changed && n < 10000; n++ {
		changed = false
		for _, name := range s.names() {
			t := s.tiers[name]
			changed = s.syncDeployment(t) || changed
			for _, rs := range slices.Clone(t.sets) {
				changed = s.syncSet(t, rs) || changed
			}
		}
	}
}

// kubelet makes every pod ready that can be.
func (s *sim) kubelet() {
	for _, name := range s.names() {
		for _, p := range slices.Clone(s.tiers[name].pods) {
			s.ready(s.tiers[name], p)
		}
	}
}

// operate is one whole pass of the operator.
func (s *sim) operate() Plan {
	plan := Decide(s.input())
	for _, step := range plan.Steps {
		s.write(step)
	}
	return plan
}

// settle runs everything, without faults, until nothing has changed for ten
// minutes; it reports whether that came to pass. Each plan is shown to watch.
func (s *sim) settle(watch func(Plan)) bool {
	quiet := 0
	for range 3000 {
		plan := s.operate()
		watch(plan)
		s.controllers()
		s.kubelet()
		s.advance(30)
		if len(plan.Steps) > 0 || s.leaving() {
			quiet = 0
		} else if quiet++; quiet > 20 {
			return true
		}
	}
	return false
}

func (s *sim) leaving() bool {
	for _, t := range s.tiers {
		for _, p := range t.pods {
			if p.deleted > 0 {
				return true
			}
		}
	}
	return false
}
