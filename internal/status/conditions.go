// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
)

// conditions computes all conditions, in the order in which people read them.
func (f *facts) conditions() []metav1.Condition {
	stalled := f.stalled()
	reconciling := f.reconciling(stalled)
	return []metav1.Condition{
		f.ready(stalled, reconciling), reconciling, stalled, f.withinBudget(), f.settingsApplied(), f.queuesOwned(),
		f.signalsFresh(),
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// stalled: the operator cannot go on without a change by somebody.
func (f *facts) stalled() metav1.Condition {
	yes := func(reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionStalled, metav1.ConditionTrue, reason, "%s", message)
	}
	if p := f.Decision.Plan.Problem; p != nil {
		return yes(v1alpha1.ReasonBudgetTooSmall, ExplainProblem(p))
	}
	if len(f.Decision.Problems) > 0 {
		var messages []string
		for _, p := range f.Decision.Problems {
			messages = append(messages, p.Message)
		}
		return yes(f.Decision.Problems[0].Reason, strings.Join(messages, "; "))
	}
	if f.Rejected != "" {
		return yes(v1alpha1.ReasonRejected, f.Rejected)
	}
	for _, w := range f.Decision.Plan.Waits {
		if w.For == budget.WaitRolloutImpossible {
			return yes(v1alpha1.ReasonBudgetTooSmall, ExplainWait(w))
		}
	}
	return condition(v1alpha1.ConditionStalled, metav1.ConditionFalse, v1alpha1.ReasonNotStalled, "Nothing stands in the way")
}

// reconciling: there is something left to do, and it is being done.
func (f *facts) reconciling(stalled metav1.Condition) metav1.Condition {
	yes := func(reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, reason, "%s", message)
	}
	no := condition(v1alpha1.ConditionReconciling, metav1.ConditionFalse, v1alpha1.ReasonSettled, "Nothing is left to do")
	if stalled.Status == metav1.ConditionTrue || f.neverEnforced() {
		return no
	}
	var waits []string
	for _, w := range f.Decision.Plan.Waits {
		if w.For != budget.WaitPaused {
			waits = append(waits, ExplainWait(w))
		}
	}
	if len(waits) > 0 {
		return yes(v1alpha1.ReasonWaitingForMemory, strings.Join(waits, "; "))
	}
	if tier := f.unready(); tier != nil {
		return yes(v1alpha1.ReasonWaitingForPods, f.unreadyMessage(tier))
	}
	if slices.ContainsFunc(f.Decision.Writes, movesPods) {
		return yes(v1alpha1.ReasonWaitingForPods, "Objects were written that the pods follow")
	}
	return no
}

// movesPods: pods come or go after such a write. A Service that is put back, say, leaves them alone.
func movesPods(w decision.Write) bool {
	return w.Verb == decision.VerbReleaseGate || w.Step != nil || w.Kind == "Deployment"
}

// neverEnforced: the policy is Recommend and there is nothing that could become ready.
func (f *facts) neverEnforced() bool {
	return f.mb.Spec.Policy == v1alpha1.PolicyRecommend && len(f.Snapshot.Deployments) == 0
}

// unready is the first tier that does not have what it is granted.
func (f *facts) unready() *tierFacts {
	for i := range f.tiers {
		t := &f.tiers[i]
		if t.Failed && t.Live == nil {
			continue
		}
		if t.ready != t.plan.Granted || t.rolling || t.behind() {
			return t
		}
	}
	return nil
}

// behind: the Deployment is not what the plan says yet, or its controller has not caught up.
func (t *tierFacts) behind() bool {
	if t.Live == nil {
		return t.plan.Shape != nil
	}
	return t.Live.Status.ObservedGeneration < t.Live.Generation ||
		(t.Live.Spec.Replicas != nil && *t.Live.Spec.Replicas != t.plan.Granted)
}

func (f *facts) unreadyMessage(t *tierFacts) string {
	switch {
	case t.failing != "":
		return fmt.Sprintf("Tier %s has %d of %d pods ready: %s", t.Spec.Name, t.ready, t.plan.Granted, t.failing)
	case t.rolling:
		return fmt.Sprintf("Tier %s is rolling out", t.Spec.Name)
	case t.ready == t.plan.Granted:
		return fmt.Sprintf("Tier %s waits for the Deployment controller", t.Spec.Name)
	}
	return fmt.Sprintf("Tier %s has %d of %d pods ready", t.Spec.Name, t.ready, t.plan.Granted)
}

// ready: all that is granted is ready, and neither Reconciling nor Stalled is True.
func (f *facts) ready(stalled, reconciling metav1.Condition) metav1.Condition {
	no := func(reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, "%s", message)
	}
	switch {
	case stalled.Status == metav1.ConditionTrue:
		return no(v1alpha1.ReasonStalled, stalled.Message)
	case f.neverEnforced():
		return condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonRecommendOnly,
			"The policy is Recommend: nothing is made, status shows what would be")
	case reconciling.Status == metav1.ConditionTrue:
		return f.notReady(reconciling)
	}
	return condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonAllReady, "All that is granted is ready")
}

func (f *facts) notReady(reconciling metav1.Condition) metav1.Condition {
	reason := v1alpha1.ReasonReplicasNotReady
	if t := f.unready(); t != nil {
		switch {
		case t.failing != "":
			reason = v1alpha1.ReasonPodsFailing
		case t.rolling:
			reason = v1alpha1.ReasonRollingOut
		}
	}
	return condition(v1alpha1.ConditionReady, metav1.ConditionFalse, reason, "%s", reconciling.Message)
}

// withinBudget: the exposure is at most the budget.
func (f *facts) withinBudget() metav1.Condition {
	plan, limit := &f.Decision.Plan, f.Decision.Input.Budget
	if plan.ForeignExcess <= 0 {
		return condition(v1alpha1.ConditionWithinBudget, metav1.ConditionTrue, v1alpha1.ReasonWithinBudget,
			"What the pods hold and may still take is within %s", bytes(limit))
	}
	reason, why := v1alpha1.ReasonForeignPods, "others made or changed pods that the tiers were not granted"
	if f.lowered() {
		reason, why = v1alpha1.ReasonBudgetLowered, "tiers are shrinking into a smaller budget"
	}
	return condition(v1alpha1.ConditionWithinBudget, metav1.ConditionFalse, reason,
		"What the pods hold and may still take is %s, %s above the budget of %s: %s",
		bytes(plan.Exposure.Total()), bytes(plan.ForeignExcess), bytes(limit), why)
}

// lowered: what the operator itself last wrote would not fit the budget of today, or did not when the excess began: the
// pods that shrinking ends hold their memory for a while.
func (f *facts) lowered() bool {
	for i := range f.Decision.Writes {
		if f.Decision.Writes[i].ScaledTo != nil {
			return false
		}
	}
	was := meta.FindStatusCondition(f.previous, v1alpha1.ConditionWithinBudget)
	if was != nil && was.Status == metav1.ConditionFalse {
		return was.Reason == v1alpha1.ReasonBudgetLowered
	}
	var total int64
	for _, t := range f.Decision.Input.Tiers {
		if t.Live != nil {
			total += int64(t.Live.Replicas) * t.Live.PodBytes
		}
	}
	return total > f.Decision.Input.Budget
}

// risks are codes of the verify container that name a risk in the application, not a setting that is
// not in force.
var risks = []string{
	"AllowedHostsEmpty", "CacheBackendUnknown", "DatabaseTimeoutUnknown", "MiddlewareOfDisabledApp", "QueueSetInCode",
	"RejectOnWorkerLost", "TaskAcksEarly", "VisibilityTimeoutTooShort",
}

// settingsApplied: the settings were seen to reach the application. It also tells what never reaches it.
func (f *facts) settingsApplied() metav1.Condition {
	seen := f.settingsSeen()
	var missing []string
	for i := range f.tiers {
		missing = append(missing, f.tiers[i].Rendered.NotApplied...)
	}
	if len(missing) > 0 {
		seen.Message += "; not applied: " + strings.Join(missing, "; ")
	}
	return seen
}

func (f *facts) settingsSeen() metav1.Condition {
	is := func(status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.ConditionSettingsApplied, status, reason, format, args...)
	}
	overlays := slices.ContainsFunc(f.tiers, func(t tierFacts) bool { return t.overlay })
	problems := f.reported(func(code string) bool { return !slices.Contains(risks, code) })
	switch silent := f.silent(); {
	case !overlays:
		return is(metav1.ConditionTrue, v1alpha1.ReasonNothingToVerify, "No tier takes settings from this resource")
	case f.mb.Spec.Verification == v1alpha1.VerificationDisabled:
		return is(metav1.ConditionUnknown, v1alpha1.ReasonVerificationDisabled,
			"spec.verification is Disabled: whether the settings reach the application is not known")
	case len(problems) > 0:
		return is(metav1.ConditionFalse, v1alpha1.ReasonSettingsNotEffective, "%s", strings.Join(problems, "; "))
	case len(silent) > 0:
		return is(metav1.ConditionUnknown, v1alpha1.ReasonNotReported,
			"No pod of the current template has reported yet: %s", strings.Join(silent, ", "))
	}
	message := "The settings were seen in every tier that runs"
	if found := f.reported(func(code string) bool { return slices.Contains(risks, code) }); len(found) > 0 {
		message += "; risks in the application: " + strings.Join(found, "; ")
	}
	return is(metav1.ConditionTrue, v1alpha1.ReasonVerified, "%s", message)
}

// reported are the codes of a kind that each tier reported.
func (f *facts) reported(kind func(code string) bool) []string {
	var found []string
	for i := range f.tiers {
		t := &f.tiers[i]
		codes := slices.DeleteFunc(slices.Clone(t.Report.Problems), func(code string) bool { return !kind(code) })
		if t.overlay && t.Reported && len(codes) > 0 {
			told := fmt.Sprintf("tier %s: %s", t.Spec.Name, strings.Join(codes, ", "))
			if slices.Contains(codes, "SettingLost") && len(t.Report.Lost) > 0 {
				told += fmt.Sprintf(" (%s)", strings.Join(t.Report.Lost, ", "))
			}
			found = append(found, told)
		}
	}
	return found
}

// silent are the tiers that should have reported and have not.
func (f *facts) silent() []string {
	var names []string
	for i := range f.tiers {
		if t := &f.tiers[i]; t.overlay && !t.Reported && t.plan.Granted > 0 {
			names = append(names, t.Spec.Name)
		}
	}
	return names
}
