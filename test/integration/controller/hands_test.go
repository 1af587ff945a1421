// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/ledger"
	"github.com/memorybudget/memorybudget/test/localcluster"
)

// TestScaledByHand: what somebody else scales is put back each time, at most once per edit, ever more slowly, and said.
func TestScaledByHand(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(shop().Obj())
	s.awaitReady()
	before := s.operator.tap.count()
	const edits = 3
	for range edits {
		s.behindItsBack(func() { s.scale("shop-web", 4) })
		s.awaitScale("shop-web", 2)
	}
	// Gated pods take no memory, however many somebody asks for: no excuse is needed.
	s.scale("shop-worker", 7)
	s.awaitScale("shop-worker", 2)
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 2, "worker": 2, "ml": 1})
	s.awaitTold(v1alpha1.EventScalerConflict)
	s.awaitFigures()
	s.quiet()
	var puts []time.Time
	for _, q := range s.operator.tap.all(kindWrite)[before:] {
		if q.String() == "apply deployments shop-web" {
			puts = append(puts, q.sent)
		}
	}
	if len(puts) != edits {
		t.Fatalf("%d writes for %d edits", len(puts), edits)
	}
	if wait := puts[2].Sub(puts[1]); wait < 2*time.Second {
		t.Errorf("put back again after %s", wait)
	}
	s.verdict()
}

// TestTemplateEditedByHand: a template that somebody edits is put back, and the pods with it.
func TestTemplateEditedByHand(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	mb := s.awaitReady()
	s.behindItsBack(func() {
		for _, name := range []string{"shop-web", "shop-worker"} {
			edit(s, name, &appsv1.Deployment{}, func(d *appsv1.Deployment) {
				c := &d.Spec.Template.Spec.Containers[0]
				c.Image = "registry.example/other:1"
				c.Env = append(c.Env, corev1.EnvVar{Name: "OTHER", Value: "1"})
			})
		}
	})
	s.awaitImageOf("shop-web", mb.Spec.Application.Image)
	s.awaitImageOf("shop-worker", mb.Spec.Application.Image)
	s.awaitReady()
	s.awaitImage("web", mb.Spec.Application.Image, 1)
	s.awaitImage("worker", mb.Spec.Application.Image, 2)
	s.awaitFigures()
	s.quiet()
	s.verdict()
}

// TestRolloutPausedByHand: `kubectl rollout pause` is undone, and what was to be rolled out is.
func TestRolloutPausedByHand(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	s.behindItsBack(func() {
		for _, name := range []string{"shop-web", "shop-worker"} {
			edit(s, name, &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Spec.Paused = true })
		}
	})
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/shop:2" })
	s.awaitReady()
	s.awaitImage("web", "registry.example/shop:2", 1)
	s.awaitImage("worker", "registry.example/shop:2", 2)
	s.awaitFigures()
	s.quiet()
	s.verdict()
}

// TestPodsDeletedByHand: in a gated tier the replacement of a dying pod waits for its memory.
func TestPodsDeletedByHand(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(application("1Gi").Reserve("0").Pod(slowly()).Tier(web(1, 1, 1), worker(0, 3, 3)).Obj())
	s.awaitReady()
	for _, pod := range s.recorder.PodsOf("worker") {
		s.deletePod(pod)
	}
	s.awaitReplicas(map[string]int{"web": 1, "worker": 3})
	dying := s.recorder.PodsOf("web")[0]
	s.annotatePod(dying, localcluster.DeleteDelayAnnotation, "1h")
	s.behindItsBack(func() { s.deletePod(dying) })
	s.awaitCondition(v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, v1alpha1.ReasonForeignPods)
	s.annotatePod(dying, localcluster.DeleteDelayAnnotation, "0s")
	s.awaitReplicas(map[string]int{"web": 1, "worker": 3})
	s.awaitCondition(v1alpha1.ConditionWithinBudget, metav1.ConditionTrue, v1alpha1.ReasonWithinBudget)
	s.awaitReady()
	s.verdict()
}

// TestDrain: Drain takes all tiers to zero and keeps their objects; None brings them back.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	objects := s.history()
	s.patch(`{"spec":{"pause":"Drain"}}`)
	s.awaitReplicas(map[string]int{"web": 0, "worker": 0, "ml": 0})
	mb := s.awaitReady()
	if mb.Status.LimitedBy != v1alpha1.LimitedByPause {
		t.Errorf("limited by %q", mb.Status.LimitedBy)
	}
	for key, counts := range ledger.Births(s.history()) {
		if counts[1] != ledger.Births(objects)[key][1] {
			t.Errorf("%s was deleted", key)
		}
	}
	s.awaitFigures()
	s.quiet()
	s.patch(`{"spec":{"pause":"None"}}`)
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 1, "worker": 2, "ml": 1})
	s.verdict()
}

// TestHold: Hold changes nothing; pods that wait at a gate are let through up to the replicas that there are.
func TestHold(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	before := s.operator.tap.count()
	s.update("shop", func(mb *v1alpha1.MemoryBudget) {
		mb.Spec.Pause = v1alpha1.PauseHold
		mb.Spec.Application.Image = "registry.example/shop:2"
		tier(mb, "worker").Replicas.Desired = new(int32(4))
		mb.Spec.Tiers = append(mb.Spec.Tiers, mailer())
	})
	s.awaitStatus("a status", func(*v1alpha1.MemoryBudget) error { return nil })
	s.deletePod(s.recorder.PodsOf("worker")[0])
	s.awaitReplicas(map[string]int{"web": 1, "worker": 2, "ml": 1})
	s.settle()
	held := s.awaitReady()
	s.onlyStatusAndGates(before)
	if got := held.Status.Tiers[1]; got.LimitedBy != v1alpha1.LimitedByPause || got.Decision != "wanted 4, granted 2: spec.pause is Hold" {
		t.Errorf("limited by %s: %s", got.LimitedBy, got.Decision)
	}
	s.patch(`{"spec":{"pause":"None"}}`)
	s.awaitReady()
	s.awaitImage("worker", "registry.example/shop:2", 4)
	s.awaitReplicas(map[string]int{"mailer": 1})
	s.verdict()
}

// TestRecommend: Recommend writes nothing but status, and strands no pod at its gate.
func TestRecommend(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Policy(v1alpha1.PolicyRecommend).Obj())
	mb := s.awaitReady()
	s.awaitBrokerTried()
	s.quiet()
	// The second write tells what became of reading the broker.
	lines := s.operator.tap.lines(0)
	if len(lines) > 2 || lines[len(lines)-1] != lines[0] || lines[0] != "apply memorybudgets/status shop" {
		t.Errorf("writes: %v", lines)
	}
	if got := *mb.Status.Tiers[1].Granted; got != 2 {
		t.Errorf("recommends %d workers", got)
	}
	s.patch(`{"spec":{"policy":"Enforce"}}`)
	s.awaitReady()
	// In the middle of a rollout, with pods at their gates.
	s.update("shop", func(mb *v1alpha1.MemoryBudget) {
		mb.Spec.Application.Image = "registry.example/shop:2"
		mb.Spec.Application.Pod = slowly()
	})
	s.awaitReady()
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/shop:3" })
	s.awaitImageOf("shop-worker", "registry.example/shop:3")
	s.patch(`{"spec":{"policy":"Recommend"}}`)
	s.awaitStatus("a status", func(*v1alpha1.MemoryBudget) error { return nil })
	before := s.operator.tap.count()
	s.awaitImage("worker", "registry.example/shop:3", 2)
	s.onlyStatusAndGates(before)
	s.verdict()
}

// onlyStatusAndGates checks the writes after the first so many.
func (s *scene) onlyStatusAndGates(after int) {
	s.t.Helper()
	for _, line := range slices.Compact(s.operator.tap.lines(after)) {
		if line != "apply memorybudgets/status shop" && line != "patch pods any" {
			s.t.Errorf("wrote: %s", line)
		}
	}
}

func (s *scene) deletePod(pod *corev1.Pod) {
	s.t.Helper()
	if err := admin.Delete(s.t.Context(), pod.DeepCopy()); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the deletion to be seen", func(context.Context) error {
		if seen := s.recorder.Seen(ledger.KeyOf(pod), 0); seen != nil && seen.GetDeletionTimestamp() == nil {
			return errors.New("it is there")
		}
		return nil
	})
}

func (s *scene) annotatePod(pod *corev1.Pod, key, value string) {
	s.t.Helper()
	edit(s, pod.Name, &corev1.Pod{}, func(pod *corev1.Pod) { metav1.SetMetaDataAnnotation(&pod.ObjectMeta, key, value) })
}

// scale does what `kubectl scale` does.
func (s *scene) scale(name string, replicas int32) {
	s.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	body := &autoscalingv1.Scale{ObjectMeta: d.ObjectMeta, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
	if err := admin.SubResource("scale").Update(s.t.Context(), d, client.WithSubResourceBody(body)); err != nil {
		s.t.Fatal(err)
	}
}

// awaitScale waits until a Deployment is put back to so many replicas.
func (s *scene) awaitScale(name string, replicas int32) {
	s.t.Helper()
	s.awaitDeployment(name, fmt.Sprintf("%d replicas", replicas), func(d *appsv1.Deployment) bool { return *d.Spec.Replicas == replicas })
}

// awaitImageOf waits until the template of a Deployment has an image.
func (s *scene) awaitImageOf(name, image string) {
	s.t.Helper()
	s.awaitDeployment(name, image, func(d *appsv1.Deployment) bool { return d.Spec.Template.Spec.Containers[0].Image == image })
}

func (s *scene) awaitDeployment(name, what string, check func(*appsv1.Deployment) bool) {
	s.t.Helper()
	eventually(s.t, name+" to have "+what, func(context.Context) error {
		d := get(s, name, &appsv1.Deployment{})
		if !check(d) {
			return fmt.Errorf("it has %d replicas of %s", *d.Spec.Replicas, d.Spec.Template.Spec.Containers[0].Image)
		}
		if s.recorder.Seen(ledger.KeyOf(d), ledger.VersionOf(d)) == nil {
			return errors.New("not recorded yet")
		}
		return nil
	})
	history, err := s.recorder.History()
	if err != nil {
		s.t.Fatal(err)
	}
	// A status before the write that brought it there does not tell of it.
	held := false
	for _, c := range history {
		if d, ok := c.Object.(*appsv1.Deployment); ok && d.Name == name {
			holds := check(d)
			if holds && !held {
				s.edited = max(s.edited, c.Version)
			}
			held = holds
		}
	}
}
