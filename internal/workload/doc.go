// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package workload builds what the operator applies for a tier: Deployment, Service,
// PodDisruptionBudget, and the ConfigMap that the tiers share. It is pure and deterministic, down to
// the bytes of the JSON.
//
// The invariant: a pod template changes only when the part of the resource that it depends on
// changes. Render makes a template; InputHash names the part of the resource that went into it. Both
// are recorded on the Deployment, and as long as the hash is the same, Restore gives back the
// template as it was recorded, whatever this version of the operator or newer measurements would
// make of the resource. So neither an upgrade of the operator nor a new measurement restarts pods.
//
// Who wins: the operator over the user for everything that keeps the budget or that the resource
// states elsewhere; a tier over the application; the user for the rest.
package workload
