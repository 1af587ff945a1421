// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package settings says what gunicorn, Celery, Django, malloc and the model servers of a tier are
// told, computed from the memory that a pod of the tier has. It is pure: the same resource and the
// same facts give the same answer.
//
// The invariant: whatever a tier is told fits its pod. With U = 0.9 x limit (the rest is page cache,
// /dev/shm, probes and one process that overlaps with its successor), the processes that it starts
// fit into U, and each is replaced before it can outgrow its share. Where that cannot be, ForTier
// says so with a TierTooSmallError instead of starting something that ends in OOM kills.
//
// Who wins: the operator over the user for what the resource states, the user for everything else.
// The names of the variables that the operator sets are in env.go, with the reason of each.
package settings
