// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// story is a history of one paced Deployment with pods of 256Mi and a budget for four of them.
type story struct{ history []Change }

// happens adds a change, which makes the next version.
func (s *story) happens(kind watch.EventType, object client.Object) uint64 {
	version := uint64(len(s.history) + 1)
	s.history = append(s.history, Change{Version: version, Kind: kind, Object: object})
	return version
}

// sized says what the Deployment asks for; its controller has seen it.
func (s *story) sized(n int32) uint64 {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "web"}}
	d.Spec.Replicas, d.Spec.Template.Spec = &n, quarter()
	return s.happens(watch.Modified, d)
}

// replicaSet says what the ReplicaSet is for, and whether its controller has acted upon that.
func (s *story) replicaSet(n int32, generation, observed int64) {
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web-1", UID: "web-1", Generation: generation}}
	set.OwnerReferences = []metav1.OwnerReference{{UID: "web", Controller: new(true)}}
	set.Spec.Replicas, set.Spec.Template.Spec, set.Status.ObservedGeneration = &n, quarter(), observed
	s.happens(watch.Modified, set)
}

func (s *story) pod(kind watch.EventType, name string, stopping bool) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{v1alpha1.NameLabel: "shop"}}}
	pod.OwnerReferences = []metav1.OwnerReference{{UID: "web-1", Controller: new(true)}}
	pod.Spec = quarter()
	if stopping {
		pod.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	}
	s.happens(kind, pod)
}

func quarter() corev1.PodSpec {
	limits := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}
	return corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{Limits: limits}}}}
}

// begins with four pods of a Deployment that was lowered to two: its ReplicaSet is, but none of its pods is deleted yet.
func begins() *story {
	s := &story{}
	mb := &v1alpha1.MemoryBudget{}
	mb.Spec.Memory = resource.MustParse("1Gi")
	s.happens(watch.Added, mb)
	s.replicaSet(4, 1, 1)
	for _, name := range []string{"a", "b", "c", "d"} {
		s.pod(watch.Added, name, false)
	}
	s.sized(2)
	s.replicaSet(2, 2, 1)
	return s
}

// raised goes on with four replicas, and with the two deletions that were decided before.
func raised() (s *story, by uint64) {
	s = begins()
	by = s.sized(4)
	s.replicaSet(4, 3, 1)
	s.pod(watch.Modified, "a", true)
	s.pod(watch.Modified, "b", true)
	s.replicaSet(4, 3, 2)
	s.pod(watch.Added, "e", false)
	s.pod(watch.Added, "f", false)
	s.replicaSet(4, 3, 3)
	return s, by
}

// settled ends with the four pods that the budget is for.
func (s *story) settled() *story {
	s.pod(watch.Deleted, "a", true)
	s.pod(watch.Deleted, "b", true)
	return s
}

// TestWithin: what others did excuses all that comes of it, and nothing that comes after.
func TestWithin(t *testing.T) {
	tests := map[string]struct {
		tell      func() (*story, []Span)
		excessive bool
	}{
		"NothingRaised": {tell: func() (*story, []Span) { return begins(), nil }},
		"RaisedByNobodyElse": {excessive: true, tell: func() (*story, []Span) {
			s, _ := raised()
			return s, nil
		}},
		"RaisedByOthersBeforeTheControllersWereDone": {tell: func() (*story, []Span) {
			s, by := raised()
			return s.settled(), []Span{{From: by - 1, To: by}}
		}},
		"OnceMoreAfterAllWasSettled": {excessive: true, tell: func() (*story, []Span) {
			s, by := raised()
			s.settled().pod(watch.Modified, "c", true)
			return s, []Span{{From: by - 1, To: by}}
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, foreign := tc.tell()
			j := Judge{Foreign: foreign, Ours: func(Change) (string, bool) { return "", false }}
			v := j.Within(s.history)
			if (len(v.Violations) > 0) != tc.excessive {
				t.Errorf("violations: %q", v.Violations)
			}
		})
	}
}
