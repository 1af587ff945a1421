// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/report"
	"github.com/memorybudget/memorybudget/internal/workload"
)

// Decision is what is to be done about one MemoryBudget, and why.
type Decision struct {
	// Input is what the plan was made from.
	Input budget.Input
	// Plan is what is done now.
	Plan budget.Plan
	// Wish is what would be done if the policy were Enforce and nothing were paused. It is Plan
	// where that is so.
	Wish budget.Plan
	// Tiers are those of the spec, in its order.
	Tiers []Tier
	// Writes in the order in which they are to be made. Those that take memory count on the ones before them.
	Writes []Write
	// Problems are what the API server could not see. One of a tier or of an object stands in no other's way.
	Problems []Problem
	// Invalid: the spec as a whole is not valid, and nothing that exists is changed.
	Invalid bool
	// SettingsName is the ConfigMap that new pods take their settings from, empty where there is none.
	SettingsName string
}

// Tier is one tier of the spec.
type Tier struct {
	// Spec of the tier.
	Spec *v1alpha1.Tier
	// Live is its Deployment, nil where there is none.
	Live *appsv1.Deployment
	// Rendered is the pod template that the tier should have.
	Rendered workload.Rendered
	// InputHash belongs to Rendered.
	InputHash string
	// Report is what the newest pod of this template found out; Reported tells whether there is one.
	Report   report.Report
	Reported bool
	// Demand is what it needs, nil where it has no scaling.
	Demand *Demand
	// Failed: the tier cannot be rendered. It is left as it is.
	Failed bool
	// Outgrown says in words that the application takes more than the template was made for, empty where it does not.
	Outgrown string

	// recorded is the template that the live Deployment was last given, if found.
	recorded workload.Rendered
	found    bool
	// edited: somebody else changed the live template.
	edited bool
}

// Verb is what a write does.
type Verb string

const (
	// VerbApply applies Object with server-side apply.
	VerbApply Verb = "Apply"
	// VerbDelete deletes the object, if it still is the one with UID.
	VerbDelete Verb = "Delete"
	// VerbReleaseGate removes our scheduling gate from the pod, if it still is the one with UID.
	VerbReleaseGate Verb = "ReleaseGate"
	// VerbDeletionCost says whether the pod with UID goes before others when its tier is made smaller.
	VerbDeletionCost Verb = "DeletionCost"
)

// Write is one request to make.
type Write struct {
	Verb Verb
	// Kind and Name of the object, in the namespace of the resource.
	Kind, Name string
	// UID is what must not have changed, for VerbDelete and what is done to pods.
	UID types.UID
	// Object is what to apply. An apply reads the answer into it.
	Object runtime.ApplyConfiguration
	// Patch is a JSON patch for VerbReleaseGate, which tests what it removes, and a merge patch for VerbDeletionCost.
	Patch []byte
	// Tier that it is for, empty for what the tiers share.
	Tier string
	// Step of the plan that it carries out, nil where it is none.
	Step *budget.Step
	// From is how many replicas the Deployment has before.
	From int32
	// PutsBack: it undoes what somebody else did and may have to wait.
	PutsBack bool
	// ScaledTo is what somebody else set replicas to, where that is what it undoes.
	ScaledTo *int32
}

// Frees reports whether a write takes no memory, so that it may be made even if one before it waits.
func (w Write) Frees() bool {
	return w.Step == nil || w.Step.Cause == budget.CauseShrink || w.Step.Cause == budget.CauseDelete
}

// Problem is something that only the operator can see.
type Problem struct {
	// Reason is one of the reasons of the condition Stalled.
	Reason string
	// Tier that it is about, empty where it is about the whole resource.
	Tier string
	// Message says what is wrong and what would be right.
	Message string
}
