// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package budget divides a memory budget between tiers and orders the writes that
// bring a cluster there, so that the memory of all pods together never exceeds it.
//
// # Words
//
// The charge of a pod is its memory limit, from the release of its gate (from its
// creation, if it has none) until it is gone or finished; a pod that is terminating
// is charged. The exposure of a tier is the most that the charges of its pods can
// come to from what is there now, if nobody but the cluster's own controllers acts:
// the pods that the Deployment and ReplicaSet controllers may still create are in
// it, and those that may still be terminating when they do.
//
// # The invariant
//
// Two sentences, each of which the tests check on a simulated cluster:
//
//   - The controllers never raise the exposure. It is computed so (exposure.go,
//     rolling.go), from the code of those controllers.
//   - No write of ours raises the exposure above the budget, whichever of the
//     steps before it were written.
//
// Together: memory in use, which is at most the exposure, stays within the budget
// while nobody else acts. Gated tiers, whose pods use no memory before we release
// them, keep it whatever others do.
//
// # The algorithm
//
// [Arbitrate] gives the floors, then whole pods, one at a time, to the tier with the
// fewest bytes above its floor by weight, of equals to one without a pod. It looks at the spec only, so that grants
// do not depend on how the cluster got to where it is, and cannot take turns.
//
// [Decide] then goes through the stages shrink, roll out, grow, release gates,
// delete. Each step is checked against the exposure that the steps before it leave.
// What cannot be written yet is a [Wait]; memory that leaves wakes the operator,
// which plans again from a new reading. There is no memory of former passes: a
// Deployment that starts pods by itself is written to again only once what came of
// the last write is in the reading, since afterwards nothing would tell of it.
//
// Tiers are independent of each other in all but the sum. Everything is a function
// of the input: no clock, no client, no map order, no floating point.
package budget
