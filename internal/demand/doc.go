// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package demand says how many replicas a tier needs, from what its metrics show and what was recorded of it before. What it
// gets of that is not decided here: see package budget.
//
// It is what the HorizontalPodAutoscaler does (autoscaling/v2, pkg/controller/podautoscaler of Kubernetes 1.37), step by step:
//
//  1. Each metric asks for a number of replicas; within the tolerance of its target for as many as there are. The largest
//     counts. While one cannot be read, none makes the tier smaller.
//  2. Stabilization: of what was asked for within the window for scaling up the least counts, within that for scaling down
//     the most.
//  3. Policies bound how much replicas may change in a period of time.
//  4. replicas.min and replicas.max.
//
// It differs in five points. What was asked for holds until something else is, so that nothing needs to be computed again
// while nothing changes: Next tells when time alone changes a decision. A tier goes to zero through one replica, and
// from zero by at least one, whatever the policies say. While demand jumps to twice what there is, the tier is not
// made smaller for a minute (as with Knative's panic mode). What a tier asks for while a metric cannot be read, or is within the
// tolerance, is what it asked for before, not what somebody left it. And for the
// policies counts what became of a tier's replicas, which the budget decides, not what it asked for.
//
// All is computed in whole numbers, from the input alone: the same input gives the same decision, bit for bit.
package demand
