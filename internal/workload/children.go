// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// Kinds of what is made for a MemoryBudget.
const (
	KindConfigMap           = "ConfigMap"
	KindService             = "Service"
	KindPodDisruptionBudget = "PodDisruptionBudget"
	KindDeployment          = "Deployment"
)

// Children are the kinds of what is made for a tier, in the order in which they are applied. The
// ConfigMap is the resource's, not the tier's, and comes before all of them.
func Children(_ *v1alpha1.MemoryBudget, tier *v1alpha1.Tier) []string {
	var kinds []string
	if hasService(tier) {
		kinds = append(kinds, KindService)
	}
	if hasBudget(tier) {
		kinds = append(kinds, KindPodDisruptionBudget)
	}
	return append(kinds, KindDeployment)
}

// ConfigMap is the ConfigMap that the Python tiers of a resource share, nil where there are none. It
// is immutable and named by its content.
func ConfigMap(mb *v1alpha1.MemoryBudget) *corev1ac.ConfigMapApplyConfiguration {
	if !needsConfigMap(mb) {
		return nil
	}
	files, hash := settings.Overlay(mb)
	return corev1ac.ConfigMap(configMapName(mb, hash), mb.Namespace).
		WithLabels(ResourceLabels(mb)).
		WithOwnerReferences(owner(mb)...).
		WithImmutable(true).
		WithData(files)
}

// hasService tells whether others call the tier: web tiers and model servers.
func hasService(tier *v1alpha1.Tier) bool {
	return tier.Role == v1alpha1.RoleWeb || tier.Server != nil
}

// Service is the Service of a tier, nil where it has none.
func Service(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier) *corev1ac.ServiceApplyConfiguration {
	ports := settings.PortsOf(tier)
	if !hasService(tier) || len(ports) == 0 {
		return nil
	}
	spec := corev1ac.ServiceSpec().WithType(corev1.ServiceTypeClusterIP).WithSelector(SelectorLabels(mb, tier.Name))
	for _, port := range ports {
		spec.WithPorts(corev1ac.ServicePort().WithName(port.Name).WithPort(port.Number).
			WithTargetPort(intstr.FromString(port.Name)).WithProtocol(corev1.ProtocolTCP))
	}
	return corev1ac.Service(ChildName(mb, tier.Name), mb.Namespace).
		WithLabels(TierLabels(mb, tier.Name)).
		WithOwnerReferences(owner(mb)...).
		WithSpec(spec)
}

// hasBudget tells whether a tier may ever have more than one pod. It does not depend on how many it
// has now, so that scaling does not make and remove the object.
func hasBudget(tier *v1alpha1.Tier) bool {
	r := tier.Replicas
	if r == nil {
		return false
	}
	if r.Max != nil {
		return *r.Max > 1
	}
	return deref(r.Min) > 1 || deref(r.Desired) > 1
}

// PodDisruptionBudget lets drains of nodes take one pod of a tier at a time, and any that is not
// healthy; nil where the tier has none.
func PodDisruptionBudget(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier) *policyv1ac.PodDisruptionBudgetApplyConfiguration {
	if !hasBudget(tier) {
		return nil
	}
	return policyv1ac.PodDisruptionBudget(ChildName(mb, tier.Name), mb.Namespace).
		WithLabels(TierLabels(mb, tier.Name)).
		WithOwnerReferences(owner(mb)...).
		WithSpec(policyv1ac.PodDisruptionBudgetSpec().
			WithMaxUnavailable(intstr.FromInt32(1)).
			WithUnhealthyPodEvictionPolicy(policyv1.AlwaysAllow).
			WithSelector(metav1ac.LabelSelector().WithMatchLabels(SelectorLabels(mb, tier.Name))))
}
