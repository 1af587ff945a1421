// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package testutil

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// TierWrapper builds a Tier.
type TierWrapper struct{ v1alpha1.Tier }

// MakeTier starts a tier with pods of 256Mi and no runtime.
func MakeTier(name string, role v1alpha1.Role) *TierWrapper {
	return &TierWrapper{v1alpha1.Tier{
		Name:   name,
		Role:   role,
		Memory: v1alpha1.TierMemory{PerPod: resource.MustParse("256Mi")},
	}}
}

// Obj returns the tier.
func (w *TierWrapper) Obj() v1alpha1.Tier { return w.Tier }

// Clone returns a builder that goes on from here without changing this one.
func (w *TierWrapper) Clone() *TierWrapper { return &TierWrapper{*w.DeepCopy()} }

// Memory sets the size of a pod.
func (w *TierWrapper) Memory(perPod string) *TierWrapper {
	w.Tier.Memory.PerPod = resource.MustParse(perPod)
	return w
}

// Replicas sets the least, the wanted and the largest number of pods.
func (w *TierWrapper) Replicas(least, desired, most int32) *TierWrapper {
	w.Tier.Replicas = &v1alpha1.Replicas{Min: &least, Desired: &desired, Max: &most}
	return w
}

// ScalesByQueue lets the tier ask for a process for each so many tasks in its queues. Options change what else is said
// about it; call it beside Celery and Replicas.
func (w *TierWrapper) ScalesByQueue(depthPerProcess int32, options ...func(*v1alpha1.Scaling)) *TierWrapper {
	w.Scaling = &v1alpha1.Scaling{
		Metrics: []v1alpha1.Metric{{Queue: &v1alpha1.QueueMetric{TargetDepthPerProcess: &depthPerProcess}}},
	}
	apply(w.Scaling, options)
	return w
}

// Weight sets the weight.
func (w *TierWrapper) Weight(weight int32) *TierWrapper {
	w.Tier.Weight = &weight
	return w
}

// Enforcement sets how the budget is kept.
func (w *TierWrapper) Enforcement(enforcement v1alpha1.Enforcement) *TierWrapper {
	w.Tier.Enforcement = enforcement
	return w
}

// CPU sets request and limit of a pod; an empty one is left out.
func (w *TierWrapper) CPU(request, limit string) *TierWrapper {
	w.Tier.CPU = &v1alpha1.CPU{Request: optional(request), Limit: optional(limit)}
	return w
}

func optional(quantity string) *resource.Quantity {
	if quantity == "" {
		return nil
	}
	return new(resource.MustParse(quantity))
}

// Image sets the tier's own image.
func (w *TierWrapper) Image(image string) *TierWrapper {
	w.Tier.Image = image
	return w
}

// Env adds a variable.
func (w *TierWrapper) Env(name, value string) *TierWrapper {
	w.Tier.Env = append(w.Tier.Env, corev1.EnvVar{Name: name, Value: value})
	return w
}

// Gunicorn runs an application under gunicorn. Options change what else is said about it.
func (w *TierWrapper) Gunicorn(application string, options ...func(*v1alpha1.Gunicorn)) *TierWrapper {
	w.Tier.Gunicorn = &v1alpha1.Gunicorn{Application: application}
	apply(w.Tier.Gunicorn, options)
	return w
}

// Celery runs a worker for queues.
func (w *TierWrapper) Celery(queues ...string) *TierWrapper {
	w.Tier.Celery = &v1alpha1.Celery{Queues: queues}
	return w
}

// CeleryOptions changes what is said about the worker; call it after Celery.
func (w *TierWrapper) CeleryOptions(options ...func(*v1alpha1.Celery)) *TierWrapper {
	apply(w.Tier.Celery, options)
	return w
}

// Beat runs Celery's scheduler.
func (w *TierWrapper) Beat() *TierWrapper {
	w.Tier.Beat = &v1alpha1.Beat{}
	return w
}

// Server runs a model server, with a model named "model" unless the preset is Custom.
func (w *TierWrapper) Server(preset v1alpha1.ServerPreset, options ...func(*v1alpha1.Server)) *TierWrapper {
	w.Tier.Server = &v1alpha1.Server{Preset: preset}
	if preset != v1alpha1.PresetCustom {
		w.Tier.Server.Model = &v1alpha1.Model{Name: "model"}
	}
	apply(w.Tier.Server, options)
	return w
}

// Process runs a command.
func (w *TierWrapper) Process(command ...string) *TierWrapper {
	w.Tier.Process = &v1alpha1.Process{Command: command}
	return w
}

// ProcessOptions changes what is said about the process; call it after Process.
func (w *TierWrapper) ProcessOptions(options ...func(*v1alpha1.Process)) *TierWrapper {
	apply(w.Tier.Process, options)
	return w
}

func apply[T any](runtime *T, options []func(*T)) {
	for _, option := range options {
		option(runtime)
	}
}

// ModelCache gives the tier a directory for models on the node's disk.
func (w *TierWrapper) ModelCache(sizeLimit string) *TierWrapper {
	w.Tier.ModelCache = &v1alpha1.ModelCache{SizeLimit: optional(sizeLimit)}
	return w
}

// Pod sets what the pods get.
func (w *TierWrapper) Pod(pod *v1alpha1.Pod) *TierWrapper {
	w.Tier.Pod = pod
	return w
}
