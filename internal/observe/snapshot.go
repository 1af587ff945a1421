// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/demand"
)

// Snapshot is one consistent reading of everything that a decision about one MemoryBudget depends
// on. It is plain data and can be recorded and replayed.
type Snapshot struct {
	// Now is when it was read.
	Now time.Time
	// MemoryBudget is the resource itself, as last read.
	MemoryBudget *v1alpha1.MemoryBudget
	// Deployments, Services, PodDisruptionBudgets and ConfigMaps are those that the resource controls.
	Deployments          []appsv1.Deployment
	Services             []corev1.Service
	PodDisruptionBudgets []policyv1.PodDisruptionBudget
	ConfigMaps           []corev1.ConfigMap
	// ReplicaSets and Pods are those with the resource's label, whoever owns them.
	ReplicaSets []appsv1.ReplicaSet
	Pods        []corev1.Pod
	// Foreign are objects with a name that the resource needs and that belong to somebody else.
	Foreign []Foreign
	// Histories are what was recorded of the tiers' demand, by tier.
	Histories map[string]demand.History
	// Broker is what is known of the queues in the broker.
	Broker Broker
	// Usage is what is known of what the pods use, where a tier scales by it.
	Usage Usage
	// Readings are what is known of the external metrics and Prometheus queries that tiers scale by, in the order of the spec.
	Readings []Reading
}

// Foreign is an object of somebody else with a name that the resource needs.
type Foreign struct {
	// Kind is Deployment, Service, PodDisruptionBudget or ConfigMap.
	Kind string
	// Name of the object, in the namespace of the resource.
	Name string
	// Owner is the kind and name of its controller, empty where it has none.
	Owner string
}

// Deployment returns the Deployment of that name, or nil.
func (s *Snapshot) Deployment(name string) *appsv1.Deployment {
	for i := range s.Deployments {
		if s.Deployments[i].Name == name {
			return &s.Deployments[i]
		}
	}
	return nil
}
