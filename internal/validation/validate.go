// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// Validate returns what is wrong with a resource that the API server has accepted, in the order of its fields.
func Validate(mb *v1alpha1.MemoryBudget) field.ErrorList {
	path := field.NewPath("spec", "application")
	application := &mb.Spec.Application
	errs := validateEnv(application.Env, path.Child("env"))
	errs = append(errs, validatePod(application.Pod, path.Child("pod"))...)
	for i := range mb.Spec.Tiers {
		errs = append(errs, validateTier(mb, &mb.Spec.Tiers[i], field.NewPath("spec", "tiers").Index(i))...)
	}
	return errs
}

func validateTier(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, path *field.Path) field.ErrorList {
	errs := validateEnv(tier.Env, path.Child("env"))
	errs = append(errs, validateModelCache(mb, tier, path.Child("modelCache"))...)
	return append(errs, validatePod(tier.Pod, path.Child("pod"))...)
}

// validateModelCache refuses a mount for all tiers where a tier has its modelCache.
func validateModelCache(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, path *field.Path) field.ErrorList {
	pod := mb.Spec.Application.Pod
	if tier.ModelCache == nil || pod == nil {
		return nil
	}
	for i := range pod.VolumeMounts {
		if pod.VolumeMounts[i].MountPath == settings.ModelsDirectory {
			return field.ErrorList{field.Forbidden(path, "application.pod.volumeMounts has a mount at /models already: leave out one of the two")}
		}
	}
	return nil
}

// validatePod checks what decides where a pod runs.
func validatePod(pod *v1alpha1.Pod, path *field.Path) field.ErrorList {
	if pod == nil {
		return nil
	}
	errs := validateTolerations(pod.Tolerations, path.Child("tolerations"))
	errs = append(errs, validateAffinity(pod.Affinity, path.Child("affinity"))...)
	return append(errs, validateSpread(pod.TopologySpreadConstraints, path.Child("topologySpreadConstraints"))...)
}
