// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/workload"
)

// cpuInitialization is how long the CPU that a pod uses may be that of its start, and readinessDelay how long it takes at most until
// a pod is first said not to be ready: --horizontal-pod-autoscaler-cpu-initialization-period and
// --horizontal-pod-autoscaler-initial-readiness-delay of kube-controller-manager, by default.
const cpuInitialization, readinessDelay = 5 * time.Minute, 30 * time.Second

// measureUsage adds what the pods of a tier use.
func (d *Demand) measureUsage(tier *v1alpha1.Tier, m v1alpha1.ResourceMetric, s *observe.Snapshot) {
	metric := demand.Metric{Kind: demand.Usage, Known: s.Usage.Fresh()}
	for i := range s.Pods {
		pod := &s.Pods[i]
		if pod.Labels[v1alpha1.TierLabel] == tier.Name && lives(pod) {
			metric.Pods = append(metric.Pods, podUse(tier, pod, m, s))
		}
	}
	measure := MeasureCPU
	if m.Name == v1alpha1.ResourceMetricMemory {
		measure = MeasureMemory
	}
	d.Measures = append(d.Measures, measure)
	d.Input.Metrics = append(d.Input.Metrics, metric)
}

func lives(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded
}

// podUse is what a pod uses of a resource, and what it is meant to.
func podUse(tier *v1alpha1.Tier, pod *corev1.Pod, m v1alpha1.ResourceMetric, s *observe.Snapshot) demand.Pod {
	requested := requestedBy(tier, pod, m.Name)
	p := demand.Pod{Target: observe.UsageTarget(tier, m), Assumed: requested}
	switch {
	case m.TargetAverageUtilization != nil:
		p.Target = observe.PercentOf(requested, *m.TargetAverageUtilization)
		p.Assumed = max(p.Assumed, p.Target)
	default:
		p.Assumed = p.Target
	}
	used := s.Usage.Of(pod.Name)
	p.Starting = pod.Status.Phase == corev1.PodPending || used != nil && starting(pod, m.Name, used, s.Now)
	switch {
	case used == nil:
		p.Missing = !p.Starting
	case m.Name == v1alpha1.ResourceMetricMemory:
		p.Value = used.MemoryBytes
	default:
		p.Value = used.MilliCPU
	}
	return p
}

// starting: what a pod uses is not yet what its work takes. The rules are those of groupPods of the HorizontalPodAutoscaler.
func starting(pod *corev1.Pod, name v1alpha1.ResourceMetricName, used *observe.PodUsage, now time.Time) bool {
	if name != v1alpha1.ResourceMetricCPU {
		return false
	}
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady })
	if i < 0 || pod.Status.StartTime == nil {
		return true
	}
	ready, started := pod.Status.Conditions[i], pod.Status.StartTime.Time
	if started.Add(cpuInitialization).After(now) {
		return ready.Status == corev1.ConditionFalse || used.At.Before(ready.LastTransitionTime.Add(used.Window))
	}
	// It has never been ready.
	return ready.Status == corev1.ConditionFalse && started.Add(readinessDelay).After(ready.LastTransitionTime.Time)
}

// requestedBy is what the tier's container in a pod requests; where that is nothing, what it would now.
func requestedBy(tier *v1alpha1.Tier, pod *corev1.Pod, name v1alpha1.ResourceMetricName) int64 {
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.Name != workload.AppContainer {
			continue
		}
		requests := c.Resources.Requests
		if name == v1alpha1.ResourceMetricMemory && !requests.Memory().IsZero() {
			return requests.Memory().Value()
		}
		if name == v1alpha1.ResourceMetricCPU && !requests.Cpu().IsZero() {
			return requests.Cpu().MilliValue()
		}
	}
	return observe.RequestOf(tier, name)
}
