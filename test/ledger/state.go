// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// state is a namespace at one resource version.
type state struct {
	budget      *v1alpha1.MemoryBudget
	deployments map[types.UID]*appsv1.Deployment
	sets        map[types.UID]*appsv1.ReplicaSet
	pods        map[types.UID]*corev1.Pod
}

func newState() *state {
	return &state{
		deployments: map[types.UID]*appsv1.Deployment{},
		sets:        map[types.UID]*appsv1.ReplicaSet{},
		pods:        map[types.UID]*corev1.Pod{},
	}
}

// apply moves the state to the next version.
func (s *state) apply(c Change) {
	gone := c.Kind == watch.Deleted
	switch o := c.Object.(type) {
	case *v1alpha1.MemoryBudget:
		if s.budget = o; gone {
			s.budget = nil
		}
	case *appsv1.Deployment:
		put(s.deployments, o.UID, o, gone)
	case *appsv1.ReplicaSet:
		put(s.sets, o.UID, o, gone)
	case *corev1.Pod:
		put(s.pods, o.UID, o, gone)
	}
}

func put[T any](all map[types.UID]T, uid types.UID, object T, gone bool) {
	if all[uid] = object; gone {
		delete(all, uid)
	}
}

// charge is what the pods hold, in bytes: every pod from the release of its gate until it is gone or has ended.
func (s *state) charge() (sum int64) {
	for _, pod := range s.pods {
		sum += Charge(pod)
	}
	return sum
}

// gatedCharge is what the pods hold whose template has the gate.
func (s *state) gatedCharge() (sum int64) {
	for _, pod := range s.pods {
		if owner := metav1.GetControllerOf(pod); owner != nil && s.sets[owner.UID] != nil && Gated(&s.sets[owner.UID].Spec.Template.Spec) {
			sum += Charge(pod)
		}
	}
	return sum
}

// Charge is what a pod holds, in bytes.
func Charge(pod *corev1.Pod) int64 {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if pod.Labels[v1alpha1.NameLabel] == "" || Gated(&pod.Spec) || ended {
		return 0
	}
	return specBytes(&pod.Spec)
}

// Gated reports whether a pod waits for the operator.
func Gated(spec *corev1.PodSpec) bool {
	for _, gate := range spec.SchedulingGates {
		if gate.Name == "memorybudget.dev/memory" {
			return true
		}
	}
	return false
}

// specBytes is the effective limit of a pod: its containers together, or the largest of its init containers.
func specBytes(spec *corev1.PodSpec) int64 {
	var together, largest int64
	for i := range spec.Containers {
		together += spec.Containers[i].Resources.Limits.Memory().Value()
	}
	for i := range spec.InitContainers {
		largest = max(largest, spec.InitContainers[i].Resources.Limits.Memory().Value())
	}
	return max(together, largest)
}

// exposure is the charge, and what the controllers of Kubernetes may add to it without another write by anybody.
func (s *state) exposure() int64 {
	sum := s.charge()
	for _, set := range s.sets {
		if set.DeletionTimestamp == nil {
			sum += s.shortfall(set)
		}
	}
	for _, d := range s.deployments {
		if d.DeletionTimestamp == nil {
			sum += s.potential(d)
		}
	}
	return sum
}

// String lists of what the exposure consists.
func (s *state) String() string {
	var parts []string
	add := func(kind, name string, bytes int64) {
		if bytes > 0 {
			parts = append(parts, fmt.Sprintf("%s %s %s", kind, name, mebibytes(bytes)))
		}
	}
	for _, pod := range s.pods {
		name := pod.Name
		if pod.DeletionTimestamp != nil {
			name += " (stopping)"
		}
		add("pod", name, Charge(pod))
	}
	for _, set := range s.sets {
		if set.DeletionTimestamp == nil {
			add("ReplicaSet", set.Name, s.shortfall(set))
		}
	}
	for _, d := range s.deployments {
		if d.DeletionTimestamp == nil {
			add("Deployment", d.Name, s.potential(d))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// settled: no controller of Kubernetes has anything left to do.
func (s *state) settled() bool {
	sized := map[types.UID]int64{}
	for _, set := range s.sets {
		if s.alive(set) != replicas(set.Spec.Replicas) || set.Status.ObservedGeneration != set.Generation {
			return false
		}
		if owner := metav1.GetControllerOf(set); owner != nil {
			sized[owner.UID] += replicas(set.Spec.Replicas)
		}
	}
	for _, pod := range s.pods {
		if pod.DeletionTimestamp != nil {
			return false
		}
	}
	for uid, d := range s.deployments {
		if sized[uid] != replicas(d.Spec.Replicas) || d.Status.ObservedGeneration != d.Generation {
			return false
		}
	}
	return true
}

// shortfall is what a ReplicaSet may still create by itself.
func (s *state) shortfall(set *appsv1.ReplicaSet) int64 {
	if Gated(&set.Spec.Template.Spec) {
		return 0
	}
	return max(0, replicas(set.Spec.Replicas)-s.alive(set)) * specBytes(&set.Spec.Template.Spec)
}

// alive counts the pods that a ReplicaSet counts.
func (s *state) alive(set *appsv1.ReplicaSet) (n int64) {
	for _, pod := range s.pods {
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if metav1.IsControlledBy(pod, set) && pod.DeletionTimestamp == nil && !ended {
			n++
		}
	}
	return n
}

// potential is what a Deployment may have its ReplicaSets create beyond what they are sized for.
func (s *state) potential(d *appsv1.Deployment) int64 {
	bytes := specBytes(&d.Spec.Template.Spec)
	if Gated(&d.Spec.Template.Spec) {
		bytes = 0
	}
	var sized, newest, others int64
	for _, set := range s.sets {
		if !metav1.IsControlledBy(set, d) {
			continue
		}
		n := max(replicas(set.Spec.Replicas), s.alive(set))
		sized += n
		if sameTemplate(set, d) {
			newest += n
		} else {
			others += n
		}
	}
	wanted := replicas(d.Spec.Replicas)
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return max(0, (wanted-newest)*bytes-s.chargeOfOthers(d))
	}
	if others > 0 {
		wanted += surge(d)
	}
	return max(0, wanted-sized) * bytes
}

// chargeOfOthers is the charge of a Deployment's pods of earlier templates: Recreate waits until they are gone.
func (s *state) chargeOfOthers(d *appsv1.Deployment) (sum int64) {
	for _, pod := range s.pods {
		owner := metav1.GetControllerOf(pod)
		if owner == nil {
			continue
		}
		if set := s.sets[owner.UID]; set != nil && metav1.IsControlledBy(set, d) && !sameTemplate(set, d) {
			sum += Charge(pod)
		}
	}
	return sum
}

func replicas(n *int32) int64 {
	if n == nil {
		return 1
	}
	return int64(*n)
}

func surge(d *appsv1.Deployment) int64 {
	if d.Spec.Strategy.RollingUpdate == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(d.Spec.Strategy.RollingUpdate.MaxSurge, int(replicas(d.Spec.Replicas)), true)
	if err != nil {
		return 0
	}
	return int64(n)
}

func sameTemplate(set *appsv1.ReplicaSet, d *appsv1.Deployment) bool {
	template := set.Spec.Template.DeepCopy()
	delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return equality.Semantic.DeepEqual(*template, d.Spec.Template)
}
