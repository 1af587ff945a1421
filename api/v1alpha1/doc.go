// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the API of MemoryBudget: one resource that declares how
// much memory an application may use and how that memory is split into tiers.
//
// Fields left out of a resource have defaults. A default that is a plain value
// stands in the schema; one that is computed (from the memory of a pod, from a
// role) is resolved when a pod template is rendered and is recorded with it, so
// that an upgrade of the operator never restarts an application.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +kubebuilder:ac:output:package="applyconfiguration"
// +groupName=memorybudget.dev
package v1alpha1
