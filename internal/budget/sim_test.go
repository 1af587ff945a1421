// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"maps"
	"slices"
)

// The simulation below is a model of the parts of Kubernetes that the budget
// depends on, after k8s.io/kubernetes v1.37: the Deployment controller
// (pkg/controller/deployment), the ReplicaSet controller and the kubelet. Each
// method is one event; tests choose their order.

// kubeletSeconds is the most by which a pod outlives its grace period.
const kubeletSeconds = 10

type simTemplate struct {
	hash  string
	bytes int64
	gated bool
	grace int64
}

type simDeployment struct {
	generation, observed int64
	replicas             int32
	template             simTemplate
	strategy             Strategy
	minReady             int32
}

type simSet struct {
	name                    string
	template                simTemplate
	replicas, desired, most int32
	minReady                int32
	alive, ready, available int32
	revision                int64
	late, failing           bool
}

type simPod struct {
	name, set string
	bytes     int64
	gated     bool
	finished  bool
	created   int64
	readyAt   int64
	deleted   int64
	goneAt    int64
	broken    bool
}

type simTier struct {
	spec Tier
	live *simDeployment
	sets []*simSet
	pods []*simPod
	// broken templates never get ready.
	broken map[string]bool
	// refused: no pod can be created, for want of quota, say.
	refused bool
}

// sim is the cluster. choose(n) picks a number below n.
type sim struct {
	now     int64
	budget  int64
	reserve Reserve
	pause   Pause
	tiers   map[string]*simTier
	choose  func(n int) int
	serial  int
}

func newSim(choose func(int) int) *sim {
	return &sim{now: 1000, tiers: map[string]*simTier{}, choose: choose}
}

func (s *sim) names() []string { return slices.Sorted(maps.Keys(s.tiers)) }

func (t *simTier) template() simTemplate {
	return simTemplate{
		hash: t.spec.TemplateHash, bytes: t.spec.PodBytes,
		gated: t.spec.Enforcement == Gated, grace: t.spec.GracePeriodSeconds,
	}
}

// input is what the operator reads.
func (s *sim) input() Input {
	in := Input{Now: s.now, Budget: s.budget, Reserve: s.reserve, Pause: s.pause}
	for _, name := range s.names() {
		t := s.tiers[name]
		tier := t.spec
		tier.Live, tier.Pods = t.reading(), nil
		for _, p := range t.pods {
			tier.Pods = append(tier.Pods, Pod{
				Name: p.name, UID: p.name, Bytes: p.bytes, Gated: p.gated, Terminating: p.deleted > 0,
				Finished: p.finished, Ready: p.readyAt > 0, ReplicaSet: p.set, Created: p.created, Deleted: p.deleted,
			})
		}
		in.Tiers = append(in.Tiers, tier)
	}
	return in
}

func (t *simTier) reading() *Deployment {
	if t.live == nil {
		return nil
	}
	d := &Deployment{
		Replicas: t.live.replicas, TemplateHash: t.live.template.hash, PodBytes: t.live.template.bytes,
		Gated: t.live.template.gated, Strategy: t.live.strategy, MinReadySeconds: t.live.minReady,
		Observed: t.live.observed == t.live.generation,
	}
	for _, rs := range t.sets {
		d.ReplicaSets = append(d.ReplicaSets, ReplicaSet{
			Name: rs.name, Replicas: rs.replicas, Available: rs.available, Failing: rs.failing, Desired: rs.desired,
			TemplateHash: rs.template.hash, PodBytes: rs.template.bytes, Gated: rs.template.gated,
			GracePeriodSeconds: rs.template.grace, Current: rs.template == t.live.template,
		})
	}
	return d
}

// charge is the memory in use.
func (s *sim) charge() (sum int64) {
	for _, t := range s.tiers {
		sum += t.charge()
	}
	return sum
}

func (t *simTier) charge() (sum int64) {
	for _, p := range t.pods {
		if !p.gated && !p.finished {
			sum += p.bytes
		}
	}
	return sum
}

// write applies one step of a plan.
func (s *sim) write(step Step) {
	t := s.tiers[step.Tier]
	switch step.Kind {
	case Apply:
		if t.live == nil {
			t.live = &simDeployment{}
		}
		d := t.live
		d.generation++
		d.replicas, d.strategy, d.minReady = step.Shape.Replicas, step.Shape.Strategy, step.Shape.MinReadySeconds
		if step.Shape.Template == TemplateNew {
			d.template = t.template()
		}
	case ReleaseGate:
		for _, p := range t.pods {
			if p.name == step.Pod {
				p.gated = false
			}
		}
	case Delete:
		s.remove(t)
	}
}

// remove deletes the Deployment, and lets go of the pods it may have after all.
func (s *sim) remove(t *simTier) {
	for _, p := range slices.Clone(t.pods) {
		if p.alive() {
			s.deletePod(t, p)
		}
	}
	t.live, t.sets = nil, nil
	if len(s.tiers) > 1 && len(t.pods) == 0 {
		delete(s.tiers, t.spec.Name)
	}
}
