// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
)

// Scaling is what a tier's demand is measured by and how fast it may change. Meaning and defaults are those of a
// HorizontalPodAutoscaler (autoscaling/v2); what the tier gets of it, the budget decides.
type Scaling struct {
	// metrics say how many replicas the tier needs: of several the largest number counts. While one cannot be read, the
	// tier is not shrunk. Defaults to queue with a targetDepthPerProcess of 1 for celery tiers, and to resource cpu with a
	// targetAverageUtilization of 80 for the others.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Metrics []Metric `json:"metrics,omitempty"`

	// behavior says how fast the demand may rise and fall.
	// +optional
	Behavior *ScalingBehavior `json:"behavior,omitempty"`
}

// Metric is one measure of a tier's demand.
//
// +kubebuilder:validation:ExactlyOneOf=queue;resource;redisStream;redisList;external;prometheus
type Metric struct {
	// queue counts the tasks in the queues that the tier takes them from. Only for celery tiers.
	// +optional
	Queue *QueueMetric `json:"queue,omitempty"`

	// resource is what the pods use of the CPU or memory, as the metrics API (metrics.k8s.io) tells it.
	// +optional
	Resource *ResourceMetric `json:"resource,omitempty"`

	// redisStream counts the entries of a stream in the broker's Redis that a consumer group still has to work off. Only for
	// process tiers.
	// +optional
	RedisStream *RedisStreamMetric `json:"redisStream,omitempty"`

	// redisList counts the elements of a list in the broker's Redis. Only for process tiers.
	// +optional
	RedisList *RedisListMetric `json:"redisList,omitempty"`

	// external is a metric of the external metrics API (external.metrics.k8s.io), which an adapter in the cluster serves.
	// +optional
	External *ExternalMetric `json:"external,omitempty"`

	// prometheus is what a Prometheus, or what speaks its API, answers to a query.
	// +optional
	Prometheus *PrometheusMetric `json:"prometheus,omitempty"`
}

// ResourceMetricName is a resource whose use is measured.
// +kubebuilder:validation:Enum=cpu;memory
type ResourceMetricName string

const (
	// ResourceMetricCPU is the CPU time that pods use.
	ResourceMetricCPU ResourceMetricName = "cpu"
	// ResourceMetricMemory is the working set of pods.
	ResourceMetricMemory ResourceMetricName = "memory"
)

// ResourceMetric compares what the tier's container uses, on average over the pods, with a target. Pods that are not ready yet, and
// those that the metrics API does not tell about, count as in a HorizontalPodAutoscaler.
//
// +kubebuilder:validation:ExactlyOneOf=targetAverageUtilization;targetAverageValue
type ResourceMetric struct {
	// name is cpu or memory.
	// +required
	Name ResourceMetricName `json:"name,omitempty"`

	// targetAverageUtilization is what a pod is meant to use, in percent of what it requests: of cpu.request (cpu.limit where
	// that is left out), or of memory.perPod.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	TargetAverageUtilization *int32 `json:"targetAverageUtilization,omitempty"`

	// targetAverageValue is what a pod is meant to use: a quantity of CPUs, such as 250m, or of bytes, such as 300Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity, such as 250m for cpu or 300Mi for memory"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('1m')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')))",message="must be at least 1m and at most 16Ti"
	TargetAverageValue *resource.Quantity `json:"targetAverageValue,omitempty"`
}

// QueueMetric counts the tasks of all queues of a tier: those that wait, of whatever priority, and those that workers have
// taken and not acknowledged. Tasks whose ETA is still to come do not count.
type QueueMetric struct {
	// targetDepthPerProcess is how many tasks there may be for each worker process: the tier asks for so many
	// replicas that there are no more. Defaults to 1 unless targetWaitSeconds is set.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	TargetDepthPerProcess *int32 `json:"targetDepthPerProcess,omitempty"`

	// targetWaitSeconds is how long the oldest task in a queue may wait, in seconds: while it waits twice as long, the tier
	// asks for twice as many replicas. Needs a Redis broker, and tasks that are published with the operator's settings.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TargetWaitSeconds *int32 `json:"targetWaitSeconds,omitempty"`
}

// ScalingBehavior says how fast the demand of a tier may rise and fall.
type ScalingBehavior struct {
	// scaleUp is for a rising demand. Defaults to no stabilization, and the larger of 4 pods and 100 percent in 15 seconds.
	// +optional
	ScaleUp *ScalingRules `json:"scaleUp,omitempty"`

	// scaleDown is for a falling demand. Defaults to a stabilization of 300 seconds, and 100 percent in 15 seconds.
	// +optional
	ScaleDown *ScalingRules `json:"scaleDown,omitempty"`
}

// ScalingRules are the rules for one direction. What is left out is as it is by default.
type ScalingRules struct {
	// stabilizationWindowSeconds is for how long demands are remembered, in seconds: for scaling up the smallest of them counts,
	// for scaling down the largest.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	StabilizationWindowSeconds *int32 `json:"stabilizationWindowSeconds,omitempty"`

	// selectPolicy is Max (of several policies the one that allows the largest change), Min (the smallest) or Disabled (no
	// change in this direction). Defaults to Max.
	// +optional
	SelectPolicy ScalingPolicySelect `json:"selectPolicy,omitempty"`

	// policies bound the change in a period of time. Where they are left out, those that the direction has by default do.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Policies []ScalingPolicy `json:"policies,omitempty"`

	// tolerance is how far the measure may be from its target without a change, as a part of the target: a quantity from 0 to
	// 1, such as 50m for five percent (0.05 needs quotes). Defaults to 100m.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity, such as 100m for ten percent"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('1')))",message="must be at least 0 and at most 1, which is 100 percent"
	Tolerance *resource.Quantity `json:"tolerance,omitempty"`
}

// ScalingPolicySelect says which of several policies counts.
// +kubebuilder:validation:Enum=Max;Min;Disabled
type ScalingPolicySelect string

const (
	// ScalingPolicySelectMax is the policy that allows the largest change.
	ScalingPolicySelectMax ScalingPolicySelect = "Max"
	// ScalingPolicySelectMin is the policy that allows the smallest change.
	ScalingPolicySelectMin ScalingPolicySelect = "Min"
	// ScalingPolicySelectDisabled allows no change.
	ScalingPolicySelectDisabled ScalingPolicySelect = "Disabled"
)

// ScalingPolicyType is what a policy counts in.
// +kubebuilder:validation:Enum=Pods;Percent
type ScalingPolicyType string

const (
	// ScalingPolicyPods counts pods.
	ScalingPolicyPods ScalingPolicyType = "Pods"
	// ScalingPolicyPercent counts percent of the replicas at the start of the period.
	ScalingPolicyPercent ScalingPolicyType = "Percent"
)

// ScalingPolicy bounds the change in a period of time.
type ScalingPolicy struct {
	// type is Pods or Percent (of the replicas at the start of the period).
	// +required
	Type ScalingPolicyType `json:"type,omitempty"`

	// value is how many pods or percent.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Value int32 `json:"value,omitempty"`

	// periodSeconds is the period, in seconds.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1800
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`
}
