// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"

	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// hashDigits is how much of a hash goes into the name of a ConfigMap.
const hashDigits = 10

// ChildName is the name of a tier's Deployment, Service and PodDisruptionBudget.
func ChildName(mb *v1alpha1.MemoryBudget, tierName string) string { return mb.Name + "-" + tierName }

// ConfigMapName is the name of the ConfigMap with the current settings; empty where no tier needs one.
func ConfigMapName(mb *v1alpha1.MemoryBudget) string {
	if !needsConfigMap(mb) {
		return ""
	}
	_, hash := settings.Overlay(mb)
	return configMapName(mb, hash)
}

func configMapName(mb *v1alpha1.MemoryBudget, hash string) string {
	return mb.Name + "-settings-" + hash[:hashDigits]
}

func needsConfigMap(mb *v1alpha1.MemoryBudget) bool {
	for i := range mb.Spec.Tiers {
		if settings.HasOverlay(&mb.Spec.Tiers[i]) {
			return true
		}
	}
	return false
}

// ResourceLabels are the labels of everything that is made for a MemoryBudget.
func ResourceLabels(mb *v1alpha1.MemoryBudget) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":       mb.Name,
		"app.kubernetes.io/instance":   mb.Name,
		"app.kubernetes.io/part-of":    mb.Name,
		"app.kubernetes.io/managed-by": "memorybudget",
		v1alpha1.NameLabel:             mb.Name,
	}
}

// TierLabels are the labels of everything that is made for a tier.
func TierLabels(mb *v1alpha1.MemoryBudget, tierName string) map[string]string {
	labels := ResourceLabels(mb)
	labels["app.kubernetes.io/component"] = tierName
	labels[v1alpha1.TierLabel] = tierName
	return labels
}

// SelectorLabels select the pods of a tier. They can never change, so there are no more than needed.
func SelectorLabels(mb *v1alpha1.MemoryBudget, tierName string) map[string]string {
	return map[string]string{v1alpha1.NameLabel: mb.Name, v1alpha1.TierLabel: tierName}
}

// owner is the reference by which the garbage collector removes what was made for a MemoryBudget,
// and by which it is known to be ours. There is none for a resource that is not in a cluster.
func owner(mb *v1alpha1.MemoryBudget) []*metav1ac.OwnerReferenceApplyConfiguration {
	if mb.UID == "" {
		return nil
	}
	return []*metav1ac.OwnerReferenceApplyConfiguration{metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.SchemeGroupVersion.String()).WithKind("MemoryBudget").
		WithName(mb.Name).WithUID(mb.UID).
		WithController(true).WithBlockOwnerDeletion(true)}
}

// tierOf is the tier of a name, nil where there is none.
func tierOf(mb *v1alpha1.MemoryBudget, name string) *v1alpha1.Tier {
	for i := range mb.Spec.Tiers {
		if mb.Spec.Tiers[i].Name == name {
			return &mb.Spec.Tiers[i]
		}
	}
	return nil
}

// IsGated tells whether the pods of a tier carry the scheduling gate: as the tier says, else by role.
func IsGated(tier *v1alpha1.Tier) bool {
	if tier.Enforcement != "" {
		return tier.Enforcement == v1alpha1.EnforcementGated
	}
	return tier.Role == v1alpha1.RoleWorker || tier.Role == v1alpha1.RoleML
}

// over is the union of maps; of two values for a key the later wins.
func over[K comparable, V any](layers ...map[K]V) map[K]V {
	union := map[K]V{}
	for _, layer := range layers {
		maps.Copy(union, layer)
	}
	return union
}
