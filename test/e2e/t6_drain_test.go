// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// longTask is how long a task runs in these proofs, in seconds.
const longTask = 20

// graces are how long a pod has, in seconds: enough to finish such a task, and too little. Of the second, all but 15 s are for tasks.
var graces = map[v1alpha1.Drain]int64{v1alpha1.DrainFinish: 60, v1alpha1.DrainRequeue: 22}

// Test6Drain takes pods away from running tasks, in each way that there is.
func Test6Drain(t *testing.T) {
	for _, drain := range []v1alpha1.Drain{v1alpha1.DrainFinish, v1alpha1.DrainRequeue} {
		t.Run(string(drain), func(t *testing.T) { testDrain(t, drain) })
	}
}

func testDrain(t *testing.T, drain v1alpha1.Drain) {
	s := newScene(t)
	s.create(s.budget(twoWorkers, func(mb *v1alpha1.MemoryBudget) {
		worker := tier(mb, "worker")
		worker.Celery.Drain = drain
		worker.Pod = &v1alpha1.Pod{TerminationGracePeriodSeconds: new(graces[drain])}
	}))
	s.awaitReady()
	if drain == v1alpha1.DrainRequeue {
		// How a worker is told to requeue depends on its version, which is known now: the next template says it right.
		s.change(func(mb *v1alpha1.MemoryBudget) {
			tier(mb, "worker").Env = []corev1.EnvVar{{Name: "SHOP_ROUND", Value: "1"}}
		})
		s.awaitReady()
	}
	for _, act := range []struct {
		name string
		do   func()
	}{
		{"ScaleIn", func() { s.desire("worker", 1) }},
		{"Rollout", func() {
			s.change(func(mb *v1alpha1.MemoryBudget) {
				tier(mb, "worker").Env = []corev1.EnvVar{{Name: "SHOP_ROUND", Value: "2"}}
			})
		}},
		{"Eviction", func() { s.behindItsBack(func() { s.evict("worker") }) }},
	} {
		t.Run(act.name, func(t *testing.T) {
			s.desire("worker", 2)
			s.awaitPods("worker", 2)
			s.taskSurvives(t, act.name, drain, act.do)
		})
	}
	s.verdict()
}

// taskSurvives starts a task in every process of the worker tier, and some that wait behind them, and then acts.
func (s *scene) taskSurvives(t *testing.T, batch string, drain v1alpha1.Drain, act func()) {
	t.Helper()
	w := s.site().of(t)
	running := len(s.pods("worker")) * planned(s.awaitReady(), "worker")
	w.publish(publication{Task: slowTask, Count: running, Args: []any{longTask}, Batch: batch})
	w.awaitStarted(batch, slowTask, running)
	w.publish(publication{Task: mailTask, Count: running, Args: []any{1}, Batch: batch + "-waiting"})
	act()
	once(t, w.awaitDone(long, batch+"-waiting"))
	of := w.awaitDone(long, batch)[slowTask]
	if of.Finished != of.Published || of.FinishedMoreThanOnce > 0 {
		t.Errorf("of %d tasks %d were finished, %d more than once", of.Published, of.Finished, of.FinishedMoreThanOnce)
	}
	t.Logf("%d tasks, %d runs, %d started more than once", of.Published, of.Runs, of.StartedMoreThanOnce)
	switch drain {
	case v1alpha1.DrainFinish:
		if of.StartedMoreThanOnce > 0 || of.Runs != of.Published {
			t.Errorf("%d tasks were started more than once, in %d runs of %d tasks", of.StartedMoreThanOnce, of.Runs, of.Published)
		}
	case v1alpha1.DrainRequeue:
		if of.StartedMoreThanOnce == 0 || of.StartedMoreThanOnce > running {
			t.Errorf("%d tasks were repeated, want some, and of the %d that were running when they were interrupted", of.StartedMoreThanOnce, running)
		}
	}
}

// twoWorkers leaves room for a second worker.
func twoWorkers(mb *v1alpha1.MemoryBudget) {
	mb.Spec.Memory = resource.MustParse("1792Mi")
	mb.Spec.Reserve = new(v1alpha1.Reserve("0"))
	tier(mb, "web").Replicas.Desired = new(int32(1))
	tier(mb, "worker").Memory.PerPod = resource.MustParse("384Mi")
	tier(mb, "worker").Replicas.Desired = new(int32(2))
	tier(mb, "ml").Replicas.Desired = new(int32(0))
}

// desire sets how many replicas a tier asks for.
func (s *scene) desire(name string, replicas int32) {
	s.t.Helper()
	s.change(func(mb *v1alpha1.MemoryBudget) { tier(mb, name).Replicas.Desired = &replicas })
}

// awaitPods waits until a tier has so many pods, all of them ready and none on its way out.
func (s *scene) awaitPods(tier string, number int) {
	s.t.Helper()
	eventually(s.t, patience, fmt.Sprintf("%d ready pods of %s", number, tier), func(context.Context) error {
		ready := 0
		pods := s.pods(tier)
		for _, pod := range pods {
			if pod.DeletionTimestamp == nil && isReady(pod) {
				ready++
			}
		}
		if ready != number || len(pods) != number {
			return fmt.Errorf("%d of %d are ready", ready, len(pods))
		}
		return nil
	})
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// evict asks for the eviction of each pod of a tier until its disruption budget lets it go, as `kubectl drain` does.
func (s *scene) evict(tier string) {
	s.t.Helper()
	for _, pod := range s.pods(tier) {
		s.evictPod(pod)
	}
}

func (s *scene) evictPod(pod *corev1.Pod) {
	s.t.Helper()
	eventually(s.t, patience, "the eviction of "+pod.Name, func(ctx context.Context) error {
		err := clientset.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{
			ObjectMeta:    metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace},
			DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
		})
		switch {
		case apierrors.IsNotFound(err), apierrors.IsConflict(err):
			return nil
		case apierrors.IsTooManyRequests(err):
			return errors.New("the disruption budget does not let it go yet")
		}
		return err
	})
}
