// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"testing"
)

// of is a ReplicaSet with its pods, the first of them terminating.
func of(name string, rs ReplicaSet, pods, terminating int, ready bool) (ReplicaSet, []Pod) {
	rs.Name, rs.TemplateHash = name, name
	var out []Pod
	for i := range pods {
		p := Pod{Name: fmt.Sprint(name, i), ReplicaSet: name, Bytes: rs.PodBytes, Gated: rs.Gated, Ready: ready, Created: 100}
		if i < terminating {
			p.Terminating, p.Deleted = true, 200
		}
		out = append(out, p)
	}
	return rs, out
}

// paced is a paced tier with an old and a current ReplicaSet of 10 and 7 bytes.
type paced struct {
	replicas                                   int32
	strategy                                   Strategy
	minReady                                   int32
	old, current                               ReplicaSet
	oldPods, oldTerminating                    int
	currentPods, currentTerminating, currentOK int
	currentCreated                             int64
	extra                                      []ReplicaSet
	orphans                                    []Pod
}

func (p paced) input() Input {
	p.current.PodBytes, p.current.Current = 7, true
	if p.old.PodBytes == 0 {
		p.old.PodBytes = 10
	}
	for _, rs := range []*ReplicaSet{&p.old, &p.current} {
		if rs.Desired == 0 {
			rs.Desired = p.replicas
		}
	}
	old, oldPods := of("old", p.old, p.oldPods, p.oldTerminating, true)
	cur, curPods := of("current", p.current, p.currentPods, p.currentTerminating, p.currentOK > 0)
	for i := range curPods {
		curPods[i].Created = max(curPods[i].Created, p.currentCreated)
	}
	d := &Deployment{
		Replicas: p.replicas, TemplateHash: "current", PodBytes: 7, Strategy: p.strategy, Observed: true,
		MinReadySeconds: p.minReady, ReplicaSets: append([]ReplicaSet{old, cur}, p.extra...),
	}
	t := Tier{Name: "web", Max: p.replicas, Desired: p.replicas, PodBytes: 7, TemplateHash: "current", Enforcement: Paced, Live: d}
	t.Pods = append(append(oldPods, curPods...), p.orphans...)
	return Input{Now: 300, Budget: 1 << 30, Tiers: []Tier{t}}
}

func TestExposure(t *testing.T) {
	surge, less, recreate := Strategy{MaxSurge: 1}, Strategy{MaxUnavailable: 1}, Strategy{Recreate: true}
	for name, tc := range map[string]struct {
		in   paced
		want int64
	}{
		"at rest": {
			paced{replicas: 3, strategy: less, minReady: 15, current: ReplicaSet{Replicas: 3}, currentPods: 3}, 21,
		},
		"a pod is missing and one is terminating": {
			paced{replicas: 3, strategy: less, minReady: 15, current: ReplicaSet{Replicas: 3}, currentPods: 3, currentTerminating: 1}, 28,
		},
		"lowered, but the ReplicaSet may still create": {
			paced{replicas: 1, strategy: less, minReady: 15, current: ReplicaSet{Replicas: 3}, currentPods: 2}, 21,
		},
		"raised again before the ReplicaSet has deleted": {
			paced{replicas: 3, strategy: less, minReady: 15, current: ReplicaSet{Replicas: 2}, currentPods: 3}, 28,
		},
		"rolling 1/0": {
			paced{replicas: 3, strategy: surge, minReady: 15, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 3}, 44,
		},
		"rolling 0/1": {
			paced{replicas: 3, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 3}, 37,
		},
		"rolling 0/1 while a pod is terminating": {
			paced{replicas: 3, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 4, oldTerminating: 1}, 47,
		},
		"rolling 1/0 while a pod is terminating: it is gone before the next is taken": {
			paced{replicas: 3, strategy: surge, minReady: 15, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 4, oldTerminating: 1}, 47,
		},
		"half-way, the last step's pod terminating": {
			paced{
				replicas: 3, strategy: surge, minReady: 15, old: ReplicaSet{Replicas: 2, Available: 2}, oldPods: 3, oldTerminating: 1,
				current: ReplicaSet{Replicas: 1, Available: 1}, currentPods: 1, currentOK: 1,
			}, 44,
		},
		"half-way, a pod deleted by others terminating": {
			paced{
				replicas: 3, strategy: surge, minReady: 15, old: ReplicaSet{Replicas: 2, Available: 2}, oldPods: 3, oldTerminating: 1,
				current: ReplicaSet{Replicas: 2, Available: 1}, currentPods: 2, currentOK: 1,
			}, 51,
		},
		"a pod deleted by others counts at the next taking only": {
			paced{
				replicas: 4, strategy: surge, minReady: 15, old: ReplicaSet{PodBytes: 2, Replicas: 3, Available: 3}, oldPods: 4, oldTerminating: 1,
				current: ReplicaSet{Replicas: 2, Available: 1}, currentPods: 2, currentOK: 1,
			}, 32,
		},
		"rolling beside an orphan": {
			paced{replicas: 3, strategy: surge, minReady: 15, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 3, orphans: []Pod{{Name: "o", Bytes: 5}}}, 49,
		},
		"back to a template whose pod is yet to be deleted: it may pass for available": {
			paced{
				replicas: 2, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 2, Available: 2}, oldPods: 2,
				currentPods: 1, currentOK: 1,
			}, 41,
		},
		"raised when the current ReplicaSet, at zero, still reports a pod as available: two are taken": {
			paced{
				replicas: 2, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 1, Desired: 1}, oldPods: 1,
				current: ReplicaSet{Available: 1},
			}, 34,
		},
		"more pods than the strategy allows: two may be taken in a row": {
			paced{
				replicas: 4, strategy: less, minReady: 15, old: ReplicaSet{PodBytes: 2, Replicas: 4, Available: 4}, oldPods: 4,
				current: ReplicaSet{Replicas: 1}, currentPods: 1,
			}, 32,
		},
		"more pods than the strategy allows: what is terminating does not belong to the last step": {
			paced{
				replicas: 2, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 2, Available: 2}, oldPods: 3, oldTerminating: 1,
				current: ReplicaSet{Replicas: 1}, currentPods: 1, currentCreated: 198,
			}, 44,
		},
		"lowered, and which of the current pods stay is not known": {
			paced{
				replicas: 3, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 2, Available: 2}, oldPods: 3, oldTerminating: 1,
				current: ReplicaSet{Replicas: 1}, currentPods: 2, currentCreated: 198,
			}, 51,
		},
		"without pacing all old pods may be terminating": {
			paced{replicas: 3, strategy: surge, minReady: 14, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 3}, 51,
		},
		"paced for the new grace period only": {
			paced{
				replicas: 3, strategy: surge, minReady: 15,
				old: ReplicaSet{Replicas: 3, Available: 3, GracePeriodSeconds: 30}, oldPods: 3,
			}, 51,
		},
		"two at a time": {
			paced{replicas: 3, strategy: Strategy{MaxSurge: 1, MaxUnavailable: 1}, minReady: 15, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 3}, 51,
		},
		"recreating": {
			paced{replicas: 3, strategy: recreate, old: ReplicaSet{Replicas: 3, Available: 3}, oldPods: 3}, 30,
		},
		"recreating, back to a template whose pods are terminating: they are not waited for": {
			paced{
				replicas: 3, strategy: recreate, old: ReplicaSet{Replicas: 1, Available: 1}, oldPods: 1,
				currentPods: 2, currentTerminating: 2,
			}, 35,
		},
		"recreating beside an orphan: it is not waited for": {
			paced{replicas: 3, strategy: recreate, old: ReplicaSet{Replicas: 1}, oldPods: 1, orphans: []Pod{{Name: "o", Bytes: 5}}}, 26,
		},
		"recreated pods wait for those that are terminating": {
			paced{replicas: 3, strategy: recreate, oldPods: 3, oldTerminating: 3}, 30,
		},
		"raised during a rollout: old templates grow too": {
			paced{
				replicas: 5, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 2, Available: 2, Desired: 3}, oldPods: 2,
				current: ReplicaSet{Replicas: 1, Desired: 3}, currentPods: 1,
			}, 54,
		},
		"to zero": {
			paced{
				replicas: 0, strategy: less, minReady: 15, old: ReplicaSet{Replicas: 2, Available: 2, Desired: 3}, oldPods: 1,
				current: ReplicaSet{Replicas: 1, Desired: 3}, currentPods: 1,
			}, 27,
		},
		"one too many reported available by a ReplicaSet at zero: two are taken": {
			paced{
				replicas: 3, strategy: surge, minReady: 15, old: ReplicaSet{Replicas: 4, Available: 4}, oldPods: 4,
				extra: []ReplicaSet{{Name: "older", PodBytes: 10, Available: 1, Desired: 3}},
			}, 54,
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := tc.in.input()
			if got := Measure(in).Total(); got != tc.want {
				t.Errorf("exposure %d, want %d: %s", got, tc.want, dump(in.Tiers[0].Live))
			}
		})
	}
}
