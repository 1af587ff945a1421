// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// desiredReplicas is the annotation by which the Deployment controller marks its ReplicaSets.
const desiredReplicas = "deployment.kubernetes.io/desired-replicas"

// reserveOf resolves spec.reserve; a percentage is rounded up to whole bytes.
func reserveOf(spec *v1alpha1.MemoryBudgetSpec) budget.Reserve {
	if spec.Reserve == nil || spec.Reserve.String() == v1alpha1.ReserveAuto {
		return budget.Reserve{Auto: true}
	}
	text := spec.Reserve.String()
	if strings.HasSuffix(text, "%") {
		percent := intstr.FromString(text)
		share, err := intstr.GetScaledValueFromIntOrPercent(&percent, 100, true)
		if err != nil {
			return budget.Reserve{Auto: true}
		}
		return budget.Reserve{Bytes: budget.PercentOf(spec.Memory.Value(), int64(share)), Percent: int64(share)}
	}
	quantity, err := resource.ParseQuantity(text)
	if err != nil {
		return budget.Reserve{Auto: true}
	}
	return budget.Reserve{Bytes: quantity.Value()}
}

// ReplicasOf resolves the floor, the demand and the most of a tier.
func ReplicasOf(tier *v1alpha1.Tier) (floor, desired, most int32) {
	floor = 1
	if tier.Replicas == nil {
		return 1, 1, 1
	}
	if tier.Replicas.Min != nil {
		floor = *tier.Replicas.Min
	}
	desired = floor
	if tier.Replicas.Desired != nil {
		desired = *tier.Replicas.Desired
	}
	most = max(floor, desired)
	if tier.Replicas.Max != nil {
		most = *tier.Replicas.Max
	}
	return floor, desired, most
}

// weightOf resolves the weight of a tier.
func weightOf(tier *v1alpha1.Tier) int64 {
	if tier.Weight == nil {
		return 1
	}
	return int64(*tier.Weight)
}

// podsByTier files the pods by their tier label.
func podsByTier(pods []corev1.Pod) map[string][]budget.Pod {
	byTier := map[string][]budget.Pod{}
	for i := range pods {
		tier := pods[i].Labels[v1alpha1.TierLabel]
		byTier[tier] = append(byTier[tier], podOf(&pods[i]))
	}
	return byTier
}

func podOf(pod *corev1.Pod) budget.Pod {
	p := budget.Pod{
		Name:        pod.Name,
		UID:         string(pod.UID),
		Bytes:       chargeOf(pod),
		Gated:       hasGate(pod.Spec.SchedulingGates),
		Terminating: pod.DeletionTimestamp != nil,
		Finished:    pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed,
		Ready:       isReady(pod),
		Created:     pod.CreationTimestamp.Unix(),
		Deleted:     deletedAt(pod),
	}
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "ReplicaSet" {
		p.ReplicaSet = owner.Name
	}
	return p
}

// deletedAt is when a pod began to terminate, in Unix seconds; 0 where it has not. The deletion
// timestamp is the end of its grace period.
func deletedAt(pod *corev1.Pod) int64 {
	if pod.DeletionTimestamp == nil {
		return 0
	}
	grace := int64(0)
	if pod.DeletionGracePeriodSeconds != nil {
		grace = *pod.DeletionGracePeriodSeconds
	}
	return pod.DeletionTimestamp.Unix() - grace
}

// chargeOf is the largest of the desired, the allocated and the actual memory limit of a pod, init
// containers and overhead included, as Kubernetes computes it. A container without a limit counts
// with its request.
func chargeOf(pod *corev1.Pod) int64 {
	limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true})
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true})
	return max(limits.Memory().Value(), requests.Memory().Value())
}

func hasGate(gates []corev1.PodSchedulingGate) bool {
	return slices.ContainsFunc(gates, func(g corev1.PodSchedulingGate) bool { return g.Name == v1alpha1.MemoryGate })
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// deploymentOf is what the planner needs of a live Deployment.
func deploymentOf(d *appsv1.Deployment, templateHash string, s *observe.Snapshot) *budget.Deployment {
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	return &budget.Deployment{
		Replicas:        replicas,
		TemplateHash:    templateHash,
		PodBytes:        templateBytes(&d.Spec.Template),
		Gated:           hasGate(d.Spec.Template.Spec.SchedulingGates),
		Strategy:        strategyOf(d, replicas),
		MinReadySeconds: d.Spec.MinReadySeconds,
		Observed:        d.Status.ObservedGeneration >= d.Generation,
		Terminating:     d.DeletionTimestamp != nil,
		ReplicaSets:     replicaSetsOf(d, templateHash, s),
	}
}

func templateBytes(template *corev1.PodTemplateSpec) int64 {
	return chargeOf(&corev1.Pod{Spec: template.Spec})
}

// strategyOf resolves a strategy as the Deployment controller does: surge is rounded up, what may
// be unavailable is rounded down.
func strategyOf(d *appsv1.Deployment, replicas int32) budget.Strategy {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return budget.Strategy{Recreate: true}
	}
	rolling := d.Spec.Strategy.RollingUpdate
	if rolling == nil {
		rolling = &appsv1.RollingUpdateDeployment{}
	}
	return budget.Strategy{
		MaxSurge:       scaled(rolling.MaxSurge, replicas, true),
		MaxUnavailable: scaled(rolling.MaxUnavailable, replicas, false),
	}
}

// scaled resolves a number or a percentage; Kubernetes' default for both is 25%.
func scaled(value *intstr.IntOrString, replicas int32, roundUp bool) int32 {
	v, err := intstr.GetScaledValueFromIntOrPercent(
		intstr.ValueOrDefault(value, intstr.FromString("25%")), int(replicas), roundUp)
	if err != nil {
		return replicas
	}
	return int32(min(v, 1<<30))
}

func replicaSetsOf(d *appsv1.Deployment, templateHash string, s *observe.Snapshot) []budget.ReplicaSet {
	var sets []budget.ReplicaSet
	for i := range s.ReplicaSets {
		rs := &s.ReplicaSets[i]
		if !metav1.IsControlledBy(rs, d) {
			continue
		}
		set := budget.ReplicaSet{
			Name:      rs.Name,
			Replicas:  1,
			Available: rs.Status.AvailableReplicas,
			Failing:   failing(rs),
			PodBytes:  templateBytes(&rs.Spec.Template),
			Gated:     hasGate(rs.Spec.Template.Spec.SchedulingGates),
			Current:   sameTemplate(&rs.Spec.Template, &d.Spec.Template),

			Desired:      desiredOf(rs),
			TemplateHash: rs.Spec.Template.Annotations[v1alpha1.TemplateHashAnnotation],
		}
		if set.Current {
			set.TemplateHash = templateHash // Which tells an edited one from ours.
		}
		if rs.Spec.Replicas != nil {
			set.Replicas = *rs.Spec.Replicas
		}
		if grace := rs.Spec.Template.Spec.TerminationGracePeriodSeconds; grace != nil {
			set.GracePeriodSeconds = *grace
		}
		sets = append(sets, set)
	}
	return sets
}

// failing: the ReplicaSet's pods cannot be created or deleted, for want of quota, say.
func failing(rs *appsv1.ReplicaSet) bool {
	return slices.ContainsFunc(rs.Status.Conditions, func(c appsv1.ReplicaSetCondition) bool {
		return c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue
	})
}

// desiredOf is the size of the Deployment that the ReplicaSet was last scaled for, 0 where it does
// not say so.
func desiredOf(rs *appsv1.ReplicaSet) int32 {
	n, err := strconv.ParseInt(rs.Annotations[desiredReplicas], 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

// sameTemplate compares as the Deployment controller does: all but the hash that it adds itself.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	if !equality.Semantic.DeepEqual(a.Spec, b.Spec) || !maps.Equal(a.Annotations, b.Annotations) {
		return false
	}
	labels := maps.Clone(a.Labels)
	delete(labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return maps.Equal(labels, b.Labels)
}
