// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"math"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// podBytes is the effective memory of a pod: the larger of the sum of its containers and the largest
// init container.
func podBytes(spec *corev1ac.PodSpecApplyConfiguration) int64 {
	sum, largest := int64(0), int64(0)
	for i := range spec.Containers {
		sum += memoryOf(&spec.Containers[i])
	}
	for i := range spec.InitContainers {
		largest = max(largest, memoryOf(&spec.InitContainers[i]))
	}
	return max(sum, largest)
}

func memoryOf(c *corev1ac.ContainerApplyConfiguration) int64 {
	if c.Resources == nil || c.Resources.Limits == nil {
		return 0
	}
	memory := (*c.Resources.Limits)[corev1.ResourceMemory]
	return memory.Value()
}

// startupSeconds is how long a pod may take until its startup probe gives up, the verify container
// included.
func startupSeconds(spec *corev1ac.PodSpecApplyConfiguration) int64 {
	seconds := int64(0)
	for i := range spec.InitContainers {
		seconds += verifySeconds(&spec.InitContainers[i])
	}
	for i := range spec.Containers {
		if p := spec.Containers[i].StartupProbe; p != nil {
			seconds += max(0, int64(deref(p.PeriodSeconds))*int64(deref(p.FailureThreshold)))
		}
	}
	return seconds
}

// verifySeconds is how long the verify container may take: what the user states, or the default, also
// where that is a reference, whose value cannot be seen from here.
func verifySeconds(c *corev1ac.ContainerApplyConfiguration) int64 {
	for i := range c.Env {
		if deref(c.Env[i].Name) != settings.VerifyTimeout {
			continue
		}
		stated, err := strconv.ParseFloat(deref(c.Env[i].Value), 64)
		if err == nil && stated > 0 {
			return int64(math.Ceil(min(stated, math.MaxInt32)))
		}
	}
	return settings.VerifyTimeoutSeconds
}

func isGated(spec *corev1ac.PodSpecApplyConfiguration) bool {
	for i := range spec.SchedulingGates {
		if deref(spec.SchedulingGates[i].Name) == v1alpha1.MemoryGate {
			return true
		}
	}
	return false
}

func mountedConfigMap(spec *corev1ac.PodSpecApplyConfiguration) string {
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; deref(v.Name) == settingsVolume && v.ConfigMap != nil {
			return deref(v.ConfigMap.Name)
		}
	}
	return ""
}
