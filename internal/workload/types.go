// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/internal/settings"
)

// Rendered is the pod template of a tier, and what follows from it.
type Rendered struct {
	// Template is the pod template to apply. Treat it as read-only: an apply reads its answer into
	// the Deployment that Deployment makes, never into this.
	Template *corev1ac.PodTemplateSpecApplyConfiguration
	// Hash is the hash of the template's JSON. It is also in its annotation TemplateHashAnnotation.
	Hash string
	// Record is the value of the annotation TemplateAnnotation: what Restore reads.
	Record string
	// PodBytes is the effective memory of a pod as Kubernetes computes it: the larger of the sum of
	// the containers and the largest init container.
	PodBytes int64
	// GracePeriodSeconds is the termination grace period.
	GracePeriodSeconds int64
	// StartupSeconds is how long a pod may take to start before it is restarted.
	StartupSeconds int64
	// Gated tells whether the pods carry the scheduling gate.
	Gated bool
	// ConfigMapName is the ConfigMap that the pods mount; empty where there is none. A restored
	// template may name an older one than ConfigMap makes: it is in the cluster as long as a
	// ReplicaSet refers to it, and where it is gone all the same, the tier has to be rendered anew.
	ConfigMapName string
	// Processes, Threads, Recycle and NotApplied are those of settings.Tier.
	Processes, Threads int32
	Recycle            settings.Recycle
	NotApplied         []string
}

// DeploymentInput is what a Deployment depends on besides the resource.
type DeploymentInput struct {
	// Replicas of the Deployment.
	Replicas int32
	// Strategy of its rollouts.
	Strategy Strategy
	// MinReadySeconds is how long a pod has to be ready before the next is replaced, 0 in gated tiers. It
	// covers the grace period of the pods that a rollout takes, which may be longer than that of the new ones.
	MinReadySeconds int32
	// Rendered is its pod template, fresh or restored.
	Rendered Rendered
	// InputHash is the hash that belongs to Rendered: the one recorded where it was restored.
	InputHash string
}

// Strategy is how a Deployment rolls out, in whole pods.
type Strategy struct {
	// Recreate ends all old pods before new ones start. The other two fields are not used then.
	Recreate bool
	// MaxSurge and MaxUnavailable of a rolling update. Not both may be 0.
	MaxSurge, MaxUnavailable int32
}
