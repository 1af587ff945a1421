// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

// Input is everything a plan depends on: the resource's spec and one reading of
// the cluster. ReplicaSets and pods may each be read from an earlier moment than
// Deployments, of which our own writes must be in it. It holds no clock and no client.
type Input struct {
	// Now is when the cluster was read (Unix seconds). It only tells whether pods
	// that a ReplicaSet is about to delete are part of a rollout's last step; 0
	// takes them for that.
	Now int64
	// Budget is the ceiling in bytes.
	Budget int64
	// Reserve is the part of the budget that grants do not use.
	Reserve Reserve
	// Pause stops or drains all tiers. A resource that only recommends is
	// planned as PauseHold.
	Pause Pause
	// Tiers are those of the spec and those still in the cluster, in any order.
	// Names are unique.
	Tiers []Tier
}

// Reserve says how much of the budget is kept free: Auto, or so many bytes.
// A percentage is resolved to bytes by the caller (see PercentOf).
type Reserve struct {
	Auto  bool
	Bytes int64
	// Percent is the percentage Bytes was resolved from, 0 where it was not one.
	// It only serves to say how large a budget would have to be.
	Percent int64
}

// Pause is the resource's pause mode.
type Pause string

const (
	// PauseNone plans normally. The empty string means the same.
	PauseNone Pause = "None"
	// PauseHold writes no Deployment; gates are still released up to the
	// current replicas, so that no pod is stranded.
	PauseHold Pause = "Hold"
	// PauseDrain takes every tier to zero, floors and Web too.
	PauseDrain Pause = "Drain"
)

// Enforcement says how a tier's Deployment is kept inside the budget.
type Enforcement string

const (
	// Gated pods carry a scheduling gate and use no memory until released.
	Gated Enforcement = "Gated"
	// Paced Deployments start pods by themselves; their rollouts are bounded.
	Paced Enforcement = "Paced"
)

// Tier is one Deployment as it is asked for and as it is.
type Tier struct {
	Name string
	// Weight is the tier's share against the others; below 1 counts as 1.
	Weight int64
	// Min, Desired and Max are replicas. Min is the floor; what is wanted is
	// Desired between Min and Max.
	Min, Desired, Max int32
	// PodBytes is the charge of one pod of the desired template.
	PodBytes int64
	// Enforcement of the desired template.
	Enforcement Enforcement
	// Recreate asks for the Recreate strategy at all times (Celery's beat: two
	// at once are never right).
	Recreate bool
	// TemplateHash names the desired pod template. It covers everything that
	// makes a new ReplicaSet, the gate included.
	TemplateHash string
	// GracePeriodSeconds is the termination grace period of the desired template.
	GracePeriodSeconds int64
	// Removed: in the cluster, no longer in the spec.
	Removed bool
	// Live is the Deployment, nil where there is none.
	Live *Deployment
	// Pods are all pods of the tier by its labels, whoever owns them. They may
	// outlive the Deployment.
	Pods []Pod
}

// Deployment is what the planner needs of a live one.
type Deployment struct {
	// Replicas is spec.replicas.
	Replicas int32
	// TemplateHash, PodBytes and Gated describe the pod template in its spec.
	TemplateHash string
	PodBytes     int64
	Gated        bool
	// Strategy is the live one, percentages resolved against Replicas.
	Strategy Strategy
	// MinReadySeconds is spec.minReadySeconds.
	MinReadySeconds int32
	// Observed: status.observedGeneration is the current generation.
	Observed bool
	// Terminating: the Deployment has a deletion timestamp. Nothing is written
	// to it; its tier's pods are charged until they are gone.
	Terminating bool
	// ReplicaSets of the Deployment, those at zero may be left out.
	ReplicaSets []ReplicaSet
}

// Strategy is a Deployment's update strategy in whole pods.
type Strategy struct {
	// Recreate is strategy type Recreate; the other two fields are zero then.
	Recreate       bool
	MaxSurge       int32
	MaxUnavailable int32
}

// ReplicaSet is one of a Deployment's.
type ReplicaSet struct {
	Name string
	// Replicas is spec.replicas, Available is status.availableReplicas.
	Replicas  int32
	Available int32
	// Failing is the condition ReplicaFailure: its pods cannot be created or deleted,
	// so that nothing is waited for from it.
	Failing bool
	// Desired is the annotation deployment.kubernetes.io/desired-replicas, by
	// which the Deployment controller knows that it has yet to scale; 0 where it
	// is missing.
	Desired int32
	// TemplateHash is that of its pod template, as in Tier; it may be empty. By it
	// a return to an earlier template is known before it is written.
	TemplateHash string
	// PodBytes, Gated and GracePeriodSeconds describe its pod template.
	PodBytes           int64
	Gated              bool
	GracePeriodSeconds int64
	// Current: its template is the one in the Deployment's spec.
	Current bool
}

// Pod is one pod of a tier.
type Pod struct {
	Name string
	UID  string
	// Bytes is the charge: the largest of the desired, allocated and actual
	// effective memory limit, init containers included.
	Bytes int64
	// Gated: our scheduling gate is still on it.
	Gated bool
	// Terminating: it has a deletion timestamp.
	Terminating bool
	// Finished: its phase is Succeeded or Failed.
	Finished bool
	// Ready is the pod's Ready condition.
	Ready bool
	// ReplicaSet is the name of the owning ReplicaSet, empty for an orphan.
	ReplicaSet string
	// Created is the creation time; Deleted is when termination began (deletion
	// timestamp less deletion grace period), 0 where it has not. Unix seconds.
	Created, Deleted int64
}

// Plan is the decision for one pass.
type Plan struct {
	// ReserveBytes is the resolved reserve.
	ReserveBytes int64
	// Tiers are sorted by name.
	Tiers []TierPlan
	// Unallocated is budget - reserve - granted bytes, never below zero.
	Unallocated int64
	// Exposure is the exposure now, before the steps.
	Exposure Exposure
	// Problem is nil unless the spec cannot be planned.
	Problem *Problem
	// Steps are the writes of this pass, in order.
	Steps []Step
	// Waits are the writes that cannot be made yet, and what each waits for.
	Waits []Wait
	// ForeignExcess is how many bytes the exposure is above the budget now. Only
	// what others did, or a lowered budget, can make it positive.
	ForeignExcess int64
}

// TierPlan is what is decided for one tier.
type TierPlan struct {
	Name string
	// Wanted is Desired between Min and Max; Granted is what the budget allows.
	Wanted, Granted int32
	// GrantedBytes is Granted x PodBytes.
	GrantedBytes int64
	// LimitedBy says why Granted is below Wanted, or LimitedByNothing.
	LimitedBy LimitedBy
	// Reason holds the figures behind LimitedBy.
	Reason Reason
	// Shape is what the Deployment should be once this pass's step for the tier,
	// if any, is written; nil where there is, and is to be, no Deployment, or
	// where nothing may be written to it (paused).
	Shape *Shape
}

// LimitedBy is why a tier gets less than it wants.
type LimitedBy string

const (
	// LimitedByNothing means granted is wanted.
	LimitedByNothing LimitedBy = ""
	// LimitedByMax means Desired is above the tier's own Max.
	LimitedByMax LimitedBy = "MaxReplicas"
	// LimitedByBudget means there is no room for a further pod.
	LimitedByBudget LimitedBy = "Budget"
	// LimitedByReserve means a further pod would fit, were it not for the reserve.
	LimitedByReserve LimitedBy = "Reserve"
	// LimitedByDrain means the resource is drained.
	LimitedByDrain LimitedBy = "Drain"
	// LimitedByProblem means the spec cannot be planned; Granted is what the tier has.
	LimitedByProblem LimitedBy = "BudgetTooSmall"
)

// Reason is the structured explanation of a grant.
type Reason struct {
	// MissingBytes is how much more free memory one further pod needs.
	MissingBytes int64
	// Holders are the tiers that hold memory above their floor, most first.
	Holders []Holder
	// FloorBytes is the sum of the floors of all tiers.
	FloorBytes int64
	// ReserveBytes is the reserve.
	ReserveBytes int64
}

// Holder is a tier and the bytes it is granted above its floor.
type Holder struct {
	Tier       string
	AboveFloor int64
}

// Exposure is what the pods hold and what may still come, in bytes.
type Exposure struct {
	// Charge is the sum of the charges, Potential what may come on top of it.
	Charge, Potential int64
	// Tiers in the order of the input's names, sorted.
	Tiers []TierExposure
}

// Total is charge and potential together.
func (e Exposure) Total() int64 { return add(e.Charge, e.Potential) }

// TierExposure is one tier's part of the exposure.
type TierExposure struct {
	Name string
	// Charge of its pods, those that are terminating included.
	Charge int64
	// Potential: what its Deployment may still create under its present spec.
	Potential int64
	// Gated, Terminating: pods behind our gate (not charged) and pods leaving.
	GatedPods, TerminatingPods int32
	// Rolling: pods or ReplicaSets of more than one template are present.
	Rolling bool
}

// Problem is why nothing that exists is changed.
type Problem struct {
	Code ProblemCode
	// SmallestBudget is the least budget, in bytes, with which the spec fits.
	SmallestBudget int64
	// FloorBytes and ReserveBytes are what does not fit.
	FloorBytes, ReserveBytes int64
}

// ProblemCode names a problem.
type ProblemCode string

// BudgetTooSmall means the floors and the reserve do not fit in the budget.
const BudgetTooSmall ProblemCode = "BudgetTooSmall"

// StepKind is the kind of a write.
type StepKind string

const (
	// Apply writes one Deployment.
	Apply StepKind = "Apply"
	// ReleaseGate removes our scheduling gate from one pod.
	ReleaseGate StepKind = "ReleaseGate"
	// Delete deletes a removed tier's objects.
	Delete StepKind = "Delete"
)

// Step is one write.
type Step struct {
	Kind StepKind
	Tier string
	// Cause says which part of the order the step belongs to.
	Cause Cause
	// Shape is what to write, for Apply.
	Shape Shape
	// Create: the Deployment does not exist yet.
	Create bool
	// Downtime: this starts a rollout in which the tier has no pod for a while
	// although it is not asked to (event RolloutDowntime).
	Downtime bool
	// Pod and UID name the pod, for ReleaseGate.
	Pod, UID string
	// ExposureAfter is the exposure in bytes once the step is written, before
	// the cluster has acted on it.
	ExposureAfter int64
}

// Cause is why a step is made.
type Cause string

const (
	// CauseShrink lowers replicas.
	CauseShrink Cause = "Shrink"
	// CauseSettle changes strategy or pacing only.
	CauseSettle Cause = "Settle"
	// CauseRollout writes a new template, perhaps with fewer replicas.
	CauseRollout Cause = "Rollout"
	// CauseGrow raises replicas or creates the Deployment.
	CauseGrow Cause = "Grow"
	// CauseRelease releases a gate.
	CauseRelease Cause = "Release"
	// CauseDelete deletes a removed tier.
	CauseDelete Cause = "Delete"
)

// Shape is the part of a Deployment the planner decides.
type Shape struct {
	Replicas int32
	Template Template
	Strategy Strategy
	// MinReadySeconds paces rollouts of ungated templates; 0 for gated ones.
	MinReadySeconds int32
}

// Template says which pod template an Apply carries.
type Template string

const (
	// TemplateKeep keeps the live pod template.
	TemplateKeep Template = "Keep"
	// TemplateNew writes the desired one.
	TemplateNew Template = "New"
)

// Wait is a write that is not made yet.
type Wait struct {
	Tier string
	// For is what is waited for.
	For WaitFor
	// Bytes must become free before it can be made; 0 where that is not it. It is
	// above 0 where memory is what is waited for. With WaitRolloutImpossible it is
	// what the budget lacks.
	Bytes int64
	// Pods are still leaving, of any tier.
	Pods int32
	// Rollout is the tier whose rollout goes first.
	Rollout string
	// Replicas is how many replicas, or gated pods, are held back.
	Replicas int32
}

// WaitFor is what a write waits for.
type WaitFor string

const (
	// WaitMemory means memory granted to the tier is still in use.
	WaitMemory WaitFor = "Memory"
	// WaitRollout means another rollout goes first, or the tier's own has to get on first.
	WaitRollout WaitFor = "Rollout"
	// WaitRolloutRoom means the tier's rollout needs memory that is still in use.
	WaitRolloutRoom WaitFor = "RolloutRoom"
	// WaitRolloutImpossible means no way to roll fits, not even with downtime.
	WaitRolloutImpossible WaitFor = "RolloutImpossible"
	// WaitPods means a removed tier still has pods.
	WaitPods WaitFor = "Pods"
	// WaitObserved means the last write has not come about yet: the Deployment controller
	// has not seen it, or its ReplicaSets and pods do not show it.
	WaitObserved WaitFor = "Observed"
	// WaitPaused means the resource is held.
	WaitPaused WaitFor = "Paused"
)
