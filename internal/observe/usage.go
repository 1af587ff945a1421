// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"slices"
	"strings"
	"time"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// UsageState says whether the use of pods is known and, where it is not, why.
type UsageState string

const (
	// UsageNone is a resource no tier of which scales by what its pods use.
	UsageNone UsageState = ""
	// UsageNotReadYet is a metrics API that was not asked since the operator started or the spec asked for it.
	UsageNotReadYet UsageState = "NotReadYet"
	// UsageRead is a metrics API that has answered.
	UsageRead UsageState = "Read"
	// UsageUnavailable is a cluster without a metrics API, or one that does not answer.
	UsageUnavailable UsageState = "Unavailable"
	// UsageForbidden is a metrics API that the operator may not ask.
	UsageForbidden UsageState = "Forbidden"
)

// Usage is what is known of what the pods of a resource use.
type Usage struct {
	// State says whether the rest is known.
	State UsageState
	// Pods are those that the metrics API tells about, sorted by name. They are what was last read, also while it cannot be read.
	Pods []PodUsage
	// FailingSince is when readings began to fail, zero while they succeed.
	FailingSince time.Time
}

// PodUsage is what the tier's container in a pod uses.
type PodUsage struct {
	// Name of the pod.
	Name string
	// MilliCPU is the CPU time, in thousandths of a CPU, on average over Window, which ended At.
	MilliCPU int64
	At       time.Time
	Window   time.Duration
	// MemoryBytes is the working set.
	MemoryBytes int64
}

// Fresh says whether what is known is what the pods use now.
func (u *Usage) Fresh() bool { return u.State == UsageRead && u.FailingSince.IsZero() }

// Of is what a pod uses, nil where nothing tells.
func (u *Usage) Of(pod string) *PodUsage {
	i, found := slices.BinarySearchFunc(u.Pods, pod, func(p PodUsage, name string) int { return strings.Compare(p.Name, name) })
	if !found {
		return nil
	}
	return &u.Pods[i]
}

// UsageReader knows what the pods of a resource used when the metrics API was last asked. It does not ask then.
type UsageReader interface {
	Usage(mb *v1alpha1.MemoryBudget) Usage
}

// ResourceMetrics are those of a tier that measure what its pods use. Tiers without queues have one by default.
func ResourceMetrics(tier *v1alpha1.Tier) []v1alpha1.ResourceMetric {
	if tier.Scaling == nil {
		return nil
	}
	if len(tier.Scaling.Metrics) == 0 && tier.Celery == nil {
		return []v1alpha1.ResourceMetric{{Name: v1alpha1.ResourceMetricCPU, TargetAverageUtilization: new(int32(defaultUtilization))}}
	}
	var all []v1alpha1.ResourceMetric
	for _, m := range tier.Scaling.Metrics {
		if m.Resource != nil {
			all = append(all, *m.Resource)
		}
	}
	return all
}

// defaultUtilization is what a HorizontalPodAutoscaler without metrics aims at, in percent of the CPU that pods request.
const defaultUtilization = 80

// UsageTarget is what a pod of the present spec is meant to use, in thousandths of a CPU or in bytes.
func UsageTarget(tier *v1alpha1.Tier, m v1alpha1.ResourceMetric) int64 {
	switch {
	case m.TargetAverageUtilization != nil:
		return PercentOf(RequestOf(tier, m.Name), *m.TargetAverageUtilization)
	case m.TargetAverageValue == nil:
		return 1
	case m.Name == v1alpha1.ResourceMetricCPU:
		return max(1, m.TargetAverageValue.MilliValue())
	}
	return max(1, m.TargetAverageValue.Value())
}

// PercentOf is a part of what is requested, at least 1.
func PercentOf(requested int64, percent int32) int64 {
	return max(1, requested*int64(percent)/wholePercent)
}

// wholePercent is all that is requested.
const wholePercent = 100

// RequestOf is what a pod of the present spec requests.
func RequestOf(tier *v1alpha1.Tier, name v1alpha1.ResourceMetricName) int64 {
	switch {
	case name == v1alpha1.ResourceMetricMemory:
		return tier.Memory.PerPod.Value()
	case tier.CPU == nil:
		return 0
	case tier.CPU.Request != nil:
		return tier.CPU.Request.MilliValue()
	case tier.CPU.Limit != nil:
		return tier.CPU.Limit.MilliValue()
	}
	return 0
}
