// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/test/ledger"
	"github.com/memorybudget/memorybudget/test/localcluster"
)

// slowly is for pods that take a while to die: the whole time they hold their memory.
func slowly() *v1alpha1.Pod {
	pod := pods(localcluster.DeleteDelayAnnotation, "2s")
	pod.TerminationGracePeriodSeconds = new(int64(3))
	return pod
}

// TestGatedRollout: with no memory to spare, new pods wait at their gates for the old ones to die.
func TestGatedRollout(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(application("768Mi").Reserve("0").Pod(slowly()).Tier(worker(3, 3, 3)).Obj())
	s.awaitReady()
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/shop:2" })
	s.awaitReady()
	s.awaitImage("worker", "registry.example/shop:2", 3)
	s.verdict()
	if least := s.leastReady("worker"); least < 2 {
		t.Errorf("%d of 3 replicas were ready during the rollout", least)
	}
}

// TestPacedRollout: a paced tier rolls out in the best way that there is room for.
func TestPacedRollout(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		memory       string
		replicas     int32
		wantLeast    int
		wantDowntime bool
	}{
		"OnePodMore":          {memory: "512Mi", replicas: 1, wantLeast: 1},
		"OnePodMoreOfTwo":     {memory: "1Gi", replicas: 2, wantLeast: 2},
		"OnePodLess":          {memory: "768Mi", replicas: 2, wantLeast: 1},
		"OneReplicaGivenUp":   {memory: "512Mi", replicas: 2, wantLeast: 1},
		"NoRoomForAnotherPod": {memory: "256Mi", replicas: 1, wantLeast: 0, wantDowntime: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.start(fault{})
			s.create(application(tc.memory).Reserve("0").Pod(slowly()).Tier(web(1, tc.replicas, 4)).Obj())
			s.awaitReady()
			s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/shop:2" })
			s.awaitReady()
			s.awaitImage("web", "registry.example/shop:2", int(tc.replicas))
			s.verdict()
			if least := s.leastReady("web"); least != tc.wantLeast {
				t.Errorf("%d of %d replicas were ready during the rollout, want %d", least, tc.replicas, tc.wantLeast)
			}
			if got := s.told(v1alpha1.EventRolloutDowntime); (got > 0) != tc.wantDowntime {
				t.Errorf("%d events of downtime, want any: %v", got, tc.wantDowntime)
			}
		})
	}
}

// TestBudgetMoves: a lowered budget shrinks the tiers, a raised one lets them grow into what is free.
func TestBudgetMoves(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(application("2Gi").Reserve("0").Pod(slowly()).Tier(web(1, 2, 4), worker(0, 3, 8), ml(0, 1, 1)).Obj())
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 2, "worker": 3, "ml": 1})

	s.patch(`{"spec":{"memory":"1Gi"}}`)
	mb := s.awaitReady()
	if !s.everSaid(v1alpha1.ConditionWithinBudget, v1alpha1.ReasonBudgetLowered) {
		t.Error("the status never said that the tiers shrink into a smaller budget")
	}
	if s.everSaid(v1alpha1.ConditionWithinBudget, v1alpha1.ReasonForeignPods) {
		t.Error("the status blamed others for it")
	}
	if mb.Status.LimitedBy != v1alpha1.LimitedByBudget {
		t.Errorf("limited by %q", mb.Status.LimitedBy)
	}
	s.awaitCondition(v1alpha1.ConditionWithinBudget, metav1.ConditionTrue, v1alpha1.ReasonWithinBudget)

	s.patch(`{"spec":{"memory":"2Gi"}}`)
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 2, "worker": 3, "ml": 1})
	s.verdict()
}

// TestTiersComeAndGo: the memory of a tier that is taken out of the spec is only used once its pods are gone, and then
// all that was made for the tier goes.
func TestTiersComeAndGo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(application("1Gi").Reserve("0").Pod(slowly()).Tier(web(1, 2, 2), ml(1, 1, 2)).Obj())
	s.awaitReady()
	s.update("shop", func(mb *v1alpha1.MemoryBudget) {
		mb.Spec.Tiers = []v1alpha1.Tier{worker(1, 2, 4), testutil.MakeTier("api", v1alpha1.RoleWeb).Replicas(1, 2, 2).
			Gunicorn("core.asgi:application").Obj()}
	})
	s.awaitReady()
	s.awaitReplicas(map[string]int{"worker": 2, "api": 2, "web": 0, "ml": 0})
	s.awaitGone("shop-web", &appsv1.Deployment{})
	s.awaitGone("shop-web", &corev1.Service{})
	s.awaitGone("shop-web", &policyv1.PodDisruptionBudget{})
	s.awaitGone("shop-ml", &appsv1.Deployment{})
	s.awaitGone("shop-ml", &policyv1.PodDisruptionBudget{})
	s.awaitTold(v1alpha1.EventTierRemoved)
	s.verdict()
}

// TestEnforcementSwitched: changing how a tier is kept in the budget is a rollout like any other.
func TestEnforcementSwitched(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(application("1Gi").Reserve("0").Pod(slowly()).Tier(web(1, 2, 2), worker(1, 2, 2)).Obj())
	s.awaitReady()
	s.update("shop", func(mb *v1alpha1.MemoryBudget) {
		tier(mb, "web").Enforcement = v1alpha1.EnforcementGated
		tier(mb, "worker").Enforcement = v1alpha1.EnforcementPaced
	})
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 2, "worker": 2})
	for name, want := range map[string]bool{"shop-web": true, "shop-worker": false} {
		if got := ledger.Gated(&get(s, name, &appsv1.Deployment{}).Spec.Template.Spec); got != want {
			t.Errorf("%s is gated: %v, want %v", name, got, want)
		}
	}
	s.verdict()
}

// awaitImage waits until a tier has so many ready pods of an image and no others.
func (s *scene) awaitImage(tier, image string, n int) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d ready pods of %s", n, image), func(context.Context) error {
		all := s.recorder.PodsOf(tier)
		for _, pod := range all {
			if got := pod.Spec.Containers[0].Image; got != image || !isReady(pod) {
				return fmt.Errorf("one of %d has the image %s, ready %v", len(all), got, isReady(pod))
			}
		}
		if len(all) != n {
			return fmt.Errorf("there are %d", len(all))
		}
		return nil
	})
}

// leastReady is the least number of ready pods that a tier has had since it first had all.
func (s *scene) leastReady(tier string) int {
	s.t.Helper()
	history, err := s.recorder.History()
	if err != nil {
		s.t.Fatal(err)
	}
	ready := map[string]bool{}
	most, least := 0, 0
	for _, c := range history {
		pod, ok := c.Object.(*corev1.Pod)
		if !ok || pod.Labels[v1alpha1.TierLabel] != tier {
			continue
		}
		if ready[pod.Name] = true; c.Kind == watch.Deleted || pod.DeletionTimestamp != nil || !isReady(pod) {
			delete(ready, pod.Name)
		}
		if least = min(least, len(ready)); len(ready) > most {
			most, least = len(ready), len(ready)
		}
	}
	return least
}

// everSaid reports whether a condition ever had a reason.
func (s *scene) everSaid(kind, reason string) bool {
	s.t.Helper()
	return slices.ContainsFunc(s.history(), func(c ledger.Change) bool {
		mb, ok := c.Object.(*v1alpha1.MemoryBudget)
		if !ok {
			return false
		}
		is := meta.FindStatusCondition(mb.Status.Conditions, kind)
		return is != nil && is.Reason == reason
	})
}

// told counts the events with a reason.
func (s *scene) told(reason string) int {
	s.t.Helper()
	n := 0
	for _, e := range list(s, &eventsv1.EventList{}, "").Items {
		if e.Reason == reason && e.Regarding.Kind == "MemoryBudget" {
			n++
		}
	}
	return n
}

func (s *scene) awaitTold(reason string) {
	s.t.Helper()
	eventually(s.t, "an event "+reason, func(context.Context) error {
		if s.told(reason) == 0 {
			return errors.New("there is none")
		}
		return nil
	})
}
