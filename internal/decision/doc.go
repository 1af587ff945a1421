// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package decision turns one Snapshot into the writes to make, in order. It is pure: no clock, no
// client, no context; the same snapshot gives the same decision, and a recorded one can be replayed.
//
// It brings the parts together and has no arithmetic of its own: validation says whether the spec
// can be acted on, workload renders the pod templates, budget plans replicas and rollouts within
// the ceiling, and what comes out is compared with what is there, so that nothing is written that
// would change nothing.
package decision
