// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"math"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

const (
	// revisionHistory is how many old ReplicaSets are kept to go back to, each with its ConfigMap.
	revisionHistory = 3
	// progressMargin is added to all that a paced rollout has to wait for, in seconds.
	progressMargin = 600
	// noProgressDeadline is the value by which Kubernetes knows that there is none. Pods that wait at
	// a gate make no progress, and that is no failure.
	noProgressDeadline = math.MaxInt32
)

// Deployment is the Deployment of a tier, also of one that is no longer in the resource: it depends
// on the resource's name only. It shares the template with what it is made from: see CopyTemplate.
//
// In a paced tier the progress deadline is above all that one pod may take: starting, being ready for
// long enough, and the old one's end.
func Deployment(mb *v1alpha1.MemoryBudget, tierName string, in DeploymentInput) *appsv1ac.DeploymentApplyConfiguration {
	spec := appsv1ac.DeploymentSpec().
		WithReplicas(in.Replicas).
		WithSelector(metav1ac.LabelSelector().WithMatchLabels(SelectorLabels(mb, tierName))).
		WithStrategy(strategy(in.Strategy)).
		WithMinReadySeconds(in.MinReadySeconds).
		WithProgressDeadlineSeconds(progressDeadline(&in)).
		WithRevisionHistoryLimit(revisionHistory).
		WithTemplate(in.Rendered.Template)
	return appsv1ac.Deployment(ChildName(mb, tierName), mb.Namespace).
		WithLabels(TierLabels(mb, tierName)).
		WithAnnotations(map[string]string{
			v1alpha1.InputHashAnnotation: in.InputHash,
			v1alpha1.TemplateAnnotation:  in.Rendered.Record,
		}).
		WithOwnerReferences(owner(mb)...).
		WithSpec(spec)
}

func progressDeadline(in *DeploymentInput) int32 {
	if in.Rendered.Gated {
		return noProgressDeadline
	}
	const most = noProgressDeadline / 4 // Years: a sum of such terms does not overflow.
	sum := min(in.MinReadySeconds, most) + int32(min(in.Rendered.GracePeriodSeconds, most)) +
		int32(min(in.Rendered.StartupSeconds, most)) + progressMargin
	return max(sum, min(in.MinReadySeconds, noProgressDeadline-2)+1)
}

func strategy(s Strategy) *appsv1ac.DeploymentStrategyApplyConfiguration {
	if s.Recreate {
		return appsv1ac.DeploymentStrategy().WithType(appsv1.RecreateDeploymentStrategyType)
	}
	return appsv1ac.DeploymentStrategy().WithType(appsv1.RollingUpdateDeploymentStrategyType).
		WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
			WithMaxSurge(intstr.FromInt32(s.MaxSurge)).
			WithMaxUnavailable(intstr.FromInt32(s.MaxUnavailable)))
}
