// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MemoryBudgetStatus is what the operator found and did.
type MemoryBudgetStatus struct {
	// conditions are Ready, Reconciling, Stalled, WithinBudget, SignalsFresh, SettingsApplied and QueuesOwned. All are always set.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that the rest of the status speaks of. -1 until
	// the operator has seen the resource, so that nobody takes it for settled.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// reserve is the part of the budget that is kept free, in bytes.
	// +optional
	Reserve *resource.Quantity `json:"reserve,omitempty"`

	// allocated is the sum of what the pods count against the budget: the memory limits of all pods
	// that hold memory, those that shut down included.
	// +optional
	Allocated *resource.Quantity `json:"allocated,omitempty"`

	// exposure is allocated plus what the Deployments may still create under their current specs.
	// It is never raised above the budget by the operator.
	// +optional
	Exposure *resource.Quantity `json:"exposure,omitempty"`

	// unallocated is what is neither granted to a tier nor reserved.
	// +optional
	Unallocated *resource.Quantity `json:"unallocated,omitempty"`

	// limitedBy is what keeps tiers from what they want: None, Budget, Reserve,
	// BudgetTooSmall, InvalidSpec, Pause or Policy.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LimitedBy string `json:"limitedBy,omitempty"`

	// readyReplicas are ready and granted replicas by role, as "ready/granted".
	// +optional
	ReadyReplicas *ReadyReplicas `json:"readyReplicas,omitempty"`

	// settings is the ConfigMap that the current settings are in.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Settings string `json:"settings,omitempty"`

	// tiers is what each tier wanted, got and has.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Tiers []TierStatus `json:"tiers,omitempty"`
}

// ReadyReplicas are ready and granted replicas by role, as "ready/granted".
type ReadyReplicas struct {
	// web counts the pods of the role Web.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Web string `json:"web,omitempty"`
	// worker counts the pods of the role Worker.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Worker string `json:"worker,omitempty"`
	// ml counts the pods of the role ML.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ML string `json:"ml,omitempty"`
}

// TierStatus is what a tier wanted, got and has.
type TierStatus struct {
	// name of the tier.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	Name string `json:"name,omitempty"`
	// desired is how many replicas the tier asks for.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Desired *int32 `json:"desired,omitempty"`
	// granted is how many replicas the budget allows it now.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Granted *int32 `json:"granted,omitempty"`
	// ready is how many of its pods are ready.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Ready *int32 `json:"ready,omitempty"`
	// memoryPerPod is the memory limit of a pod.
	// +optional
	MemoryPerPod *resource.Quantity `json:"memoryPerPod,omitempty"`
	// allocated is what the tier's pods count against the budget.
	// +optional
	Allocated *resource.Quantity `json:"allocated,omitempty"`
	// processes is how many worker processes a pod runs.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Processes *int32 `json:"processes,omitempty"`
	// limitedBy is what keeps the tier from what it wants: None, Budget, Reserve,
	// BudgetTooSmall, InvalidSpec, Pause or Policy.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LimitedBy string `json:"limitedBy,omitempty"`
	// decision is the last decision in words: what the tier wanted, what it got and why not more.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Decision string `json:"decision,omitempty"`
	// demand is what the tier's metrics show and ask for. Only where the tier has scaling.
	// +optional
	Demand *DemandStatus `json:"demand,omitempty"`
	// runtime is what the verify container of the newest pod reported.
	// +optional
	Runtime *RuntimeReport `json:"runtime,omitempty"`
}

// DemandStatus is what the metrics of a tier show and ask for. While they cannot be read the tasks are those that they last showed.
type DemandStatus struct {
	// replicas is how many replicas the metrics ask for, before scaling.behavior, replicas.min and replicas.max. While they
	// cannot be read it is what they asked for before.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`
	// limitedBy is why the tier does not want as many: None, MinReplicas, MaxReplicas, MetricUnknown, Stabilization, Jump,
	// Policy or ThroughOne.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	LimitedBy string `json:"limitedBy,omitempty"`
	// readyTasks is how many tasks wait in the tier's queues, of all priorities.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReadyTasks *int64 `json:"readyTasks,omitempty"`
	// reservedTasks is how many tasks workers have taken and not acknowledged.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReservedTasks *int64 `json:"reservedTasks,omitempty"`
	// runningTasks is how many tasks the tier's pods run, as heartbeats tell, but for pods that terminate. It is left out while no
	// heartbeats can be heard. Tasks that are acknowledged late are among reservedTasks, too.
	// +optional
	// +kubebuilder:validation:Minimum=0
	RunningTasks *int64 `json:"runningTasks,omitempty"`
	// laterTasks is how many tasks have an ETA that is still to come. They ask for no replicas.
	// +optional
	// +kubebuilder:validation:Minimum=0
	LaterTasks *int64 `json:"laterTasks,omitempty"`
	// undeliveredEntries is how many entries of the tier's Redis streams were not delivered to its consumer groups yet.
	// +optional
	// +kubebuilder:validation:Minimum=0
	UndeliveredEntries *int64 `json:"undeliveredEntries,omitempty"`
	// pendingEntries is how many entries the consumers of these groups were delivered and have not acknowledged.
	// +optional
	// +kubebuilder:validation:Minimum=0
	PendingEntries *int64 `json:"pendingEntries,omitempty"`
	// listLength is how many elements the tier's Redis lists have.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ListLength *int64 `json:"listLength,omitempty"`
	// percentOfTarget is what the pods use on average of the resource that asks for the most replicas, in percent of what they are
	// meant to use, in steps of 5.
	// +optional
	// +kubebuilder:validation:Minimum=0
	PercentOfTarget *int32 `json:"percentOfTarget,omitempty"`
}

// RuntimeReport is what the verify container of a pod reported.
type RuntimeReport struct {
	// python is the version of Python.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Python string `json:"python,omitempty"`
	// django is the version of Django.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Django string `json:"django,omitempty"`
	// celery is the version of Celery.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Celery string `json:"celery,omitempty"`
	// gunicorn is the version of gunicorn.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Gunicorn string `json:"gunicorn,omitempty"`
	// baselineMemory is what a process takes once the application is imported.
	// +optional
	BaselineMemory *resource.Quantity `json:"baselineMemory,omitempty"`
	// imports are the memory-hungry libraries that importing the application loads.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	Imports []string `json:"imports,omitempty"`
	// problems are codes of what did not take effect.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	Problems []string `json:"problems,omitempty"`
	// lostSettings are those that run with other values than the resource states, such as django.debug.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=128
	LostSettings []string `json:"lostSettings,omitempty"`
}
