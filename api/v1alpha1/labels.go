// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Labels, annotations and the scheduling gate that the operator puts on what it makes.
const (
	// NameLabel carries the name of the MemoryBudget on every object made for it.
	NameLabel = "memorybudget.dev/name"
	// TierLabel carries the name of the tier on every object and pod of a tier.
	TierLabel = "memorybudget.dev/tier"
	// RoleLabel carries the role of the tier (Web, Worker, ML, Beat) on its pods.
	RoleLabel = "memorybudget.dev/role"

	// MemoryGate is the scheduling gate of pods in gated tiers. A pod with it uses no memory;
	// the operator removes it when the memory is physically free.
	MemoryGate = "memorybudget.dev/memory"

	// InputHashAnnotation on a Deployment is the hash of the part of the resource that its pod
	// template was rendered from. While it stays the same, the template is not rendered anew.
	InputHashAnnotation = "memorybudget.dev/input-hash"
	// TemplateAnnotation on a Deployment is the pod template as it was rendered, as JSON.
	TemplateAnnotation = "memorybudget.dev/rendered-template"
	// ReplicasAnnotation on a Deployment is the number of replicas that the operator last wrote; another
	// value in spec.replicas was written by somebody else.
	ReplicasAnnotation = "memorybudget.dev/replicas"
	// TemplateHashAnnotation on a pod template is the hash of the rendered template.
	TemplateHashAnnotation = "memorybudget.dev/template-hash"
	// ContainerAnnotation is kubectl's own annotation for the container that logs and exec choose.
	ContainerAnnotation = "kubectl.kubernetes.io/default-container"
)
