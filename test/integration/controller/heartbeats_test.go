// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// busyPod is that of some pods which Kubernetes would take first: the one that was made last.
func busyPod(pods []*corev1.Pod) string {
	return slices.MaxFunc(pods, func(a, b *corev1.Pod) int {
		if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
			return order
		}
		return strings.Compare(a.Name, b.Name)
	}).Name
}

// TestIdlePodsGoFirst: where tasks are acknowledged early, no broker tells which run. A tier of which nothing is heard is not made
// smaller; once its pods are heard, the idle ones go, by a cost that is written before the replicas are, and the busy one stays until
// its task has ended.
func TestIdlePodsGoFirst(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	redis := s.scaling("secret")
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { tier(mb, "worker").Celery.Acks = v1alpha1.AcksEarly })
	publish(t, redis, "emails", 6)
	s.awaitReplicas(map[string]int{"web": 1, "worker": 3})
	redis.Do(t, "DEL", "emails")
	s.awaitDemand("worker", "the silent pods", func(t v1alpha1.TierStatus) bool {
		return *t.Demand.Replicas == 3 && strings.HasPrefix(t.Decision, "0 tasks waiting, 0 taken; 3 pods of which no heartbeat is heard may run some, and ask for 3")
	})
	s.settle()
	s.awaitReplicas(map[string]int{"web": 1, "worker": 3})

	pods := s.recorder.PodsOf("worker")
	busy := busyPod(pods)
	var running atomic.Int64
	running.Store(1)
	redis.Heartbeats(t, func() map[string]int {
		tasks := map[string]int{busy: int(running.Load())}
		for _, pod := range pods {
			tasks[pod.Name] += 0
		}
		return tasks
	})
	s.awaitReplicas(map[string]int{"web": 1, "worker": 1})
	s.awaitDemand("worker", "the task that runs", func(t v1alpha1.TierStatus) bool {
		return *t.Demand.Replicas == 1 && *t.Demand.RunningTasks == 1 && strings.HasPrefix(t.Decision, "0 tasks waiting, 0 taken, 1 more running at a target of 2 per pod ask for 1")
	})
	if left := s.recorder.PodsOf("worker"); len(left) != 1 || left[0].Name != busy {
		t.Errorf("%s was busy, left are %v", busy, left)
	}
	s.costsComeFirst(busy)
	s.settle()

	running.Store(0)
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0})
	s.verdict()
}

// costsComeFirst checks with which costs the pods of worker were when it was made smaller, each time but to zero.
func (s *scene) costsComeFirst(busy string) {
	s.t.Helper()
	costs, replicas := map[string]string{}, int32(0)
	var shrinks []string
	for _, change := range s.history() {
		switch o := change.Object.(type) {
		case *corev1.Pod:
			if o.Labels[v1alpha1.TierLabel] == "worker" {
				costs[o.Name] = o.Annotations[corev1.PodDeletionCost]
			}
		case *appsv1.Deployment:
			if o.Name != "shop-worker" {
				continue
			}
			if *o.Spec.Replicas < replicas && *o.Spec.Replicas > 0 {
				shrinks = append(shrinks, fmt.Sprintf("%d to %d: %v", replicas, *o.Spec.Replicas, s.first(costs, busy)))
			}
			replicas = *o.Spec.Replicas
		}
	}
	if diff := cmp.Diff([]string{"3 to 1: [-1 -1]"}, shrinks); diff != "" {
		s.t.Errorf("shrinks and the costs then (-want +got):\n%s", diff)
	}
}

// first are the costs of the pods that are to go before others, which the busy one is not.
func (s *scene) first(costs map[string]string, busy string) []string {
	s.t.Helper()
	if costs[busy] != "" {
		s.t.Errorf("the busy pod was to go first")
	}
	return slices.DeleteFunc(slices.Collect(maps.Values(costs)), func(cost string) bool { return cost == "" })
}
