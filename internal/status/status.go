// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// Input is what a status is computed from.
type Input struct {
	Snapshot *observe.Snapshot
	Decision *decision.Decision
	// Rejected is what the API server said about a write that it will not take, empty where it took all.
	Rejected string
	// Now is when conditions change that change.
	Now metav1.Time
}

// facts are what several conditions are computed from.
type facts struct {
	Input
	mb    *v1alpha1.MemoryBudget
	tiers []tierFacts
	// previous are the conditions until now.
	previous []metav1.Condition
}

// tierFacts are the figures of one tier.
type tierFacts struct {
	*decision.Tier
	plan    budget.TierPlan
	wish    budget.TierPlan
	charge  int64
	ready   int32
	failing string
	rolling bool
	overlay bool
}

// Compute makes the status that follows from a decision. Previous is the status until now.
func Compute(previous v1alpha1.MemoryBudgetStatus, in Input) v1alpha1.MemoryBudgetStatus {
	f := gather(in)
	f.previous = previous.Conditions
	next := v1alpha1.MemoryBudgetStatus{
		Conditions:         slices.Clone(previous.Conditions),
		ObservedGeneration: f.mb.Generation,
		Reserve:            bytes(f.shown().ReserveBytes),
		Allocated:          bytes(in.Decision.Plan.Exposure.Charge),
		Exposure:           bytes(in.Decision.Plan.Exposure.Total()),
		Unallocated:        bytes(f.shown().Unallocated),
		ReadyReplicas:      f.readyReplicas(),
		Settings:           in.Decision.SettingsName,
	}
	for i := range f.tiers {
		next.Tiers = append(next.Tiers, f.tierStatus(&f.tiers[i]))
	}
	next.LimitedBy = limitedByOverall(next.Tiers)
	for _, condition := range f.conditions() {
		condition.ObservedGeneration = f.mb.Generation
		condition.LastTransitionTime = metav1.NewTime(in.Now.Rfc3339Copy().Time)
		condition.Message = cut(condition.Message)
		meta.SetStatusCondition(&next.Conditions, condition)
	}
	return next
}

// shown is the plan that people see: under Recommend what would be done, else what is done.
func (f *facts) shown() *budget.Plan {
	if f.mb.Spec.Policy == v1alpha1.PolicyRecommend {
		return &f.Decision.Wish
	}
	return &f.Decision.Plan
}

func gather(in Input) facts {
	f := facts{Input: in, mb: in.Snapshot.MemoryBudget}
	for i := range in.Decision.Tiers {
		t := &in.Decision.Tiers[i]
		tier := tierFacts{
			Tier: t, plan: f.planOf(t), wish: tierPlan(&in.Decision.Wish, t.Spec.Name),
			overlay: t.Rendered.ConfigMapName != "",
		}
		for _, e := range in.Decision.Plan.Exposure.Tiers {
			if e.Name == t.Spec.Name {
				tier.charge, tier.rolling = e.Charge, e.Rolling
			}
		}
		tier.look(in.Snapshot)
		f.tiers = append(f.tiers, tier)
	}
	return f
}

// look counts the ready pods and finds out what keeps the others from it.
func (t *tierFacts) look(s *observe.Snapshot) {
	for i := range s.Pods {
		pod := &s.Pods[i]
		if pod.Labels[v1alpha1.TierLabel] != t.Spec.Name || pod.DeletionTimestamp != nil {
			continue
		}
		if isReady(pod) {
			t.ready++
		} else {
			t.failing = cmp.Or(t.failing, whyFailing(pod))
		}
	}
	if t.Live == nil {
		return
	}
	for _, c := range t.Live.Status.Conditions {
		if c.Type == "ReplicaFailure" && c.Status == corev1.ConditionTrue {
			t.failing = cmp.Or(t.failing, cut(c.Reason))
		}
	}
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// failures are the reasons of a waiting container that do not pass by themselves.
var failures = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// whyFailing is why a pod is not about to become ready, empty where it may be. Only reasons are told,
// which the kubelet takes from a fixed list, never its messages.
func whyFailing(pod *corev1.Pod) string {
	if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable
	}) {
		return corev1.PodReasonUnschedulable
	}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			waiting, last := statuses[i].State.Waiting, statuses[i].LastTerminationState.Terminated
			if waiting == nil || !slices.Contains(failures, waiting.Reason) {
				continue
			}
			if last != nil && last.Reason == "OOMKilled" {
				return fmt.Sprintf("%s (%s after OOMKilled)", statuses[i].Name, waiting.Reason)
			}
			return fmt.Sprintf("%s (%s)", statuses[i].Name, waiting.Reason)
		}
	}
	return ""
}

// planOf is what a tier is granted. While everything is held, that is what it has.
func (f *facts) planOf(t *decision.Tier) budget.TierPlan {
	plan := tierPlan(&f.Decision.Plan, t.Spec.Name)
	if f.Decision.Input.Pause == budget.PauseHold {
		plan.Granted = 0
		if t.Live != nil && t.Live.Spec.Replicas != nil {
			plan.Granted = *t.Live.Spec.Replicas
		}
	}
	return plan
}

func tierPlan(plan *budget.Plan, tier string) budget.TierPlan {
	i := slices.IndexFunc(plan.Tiers, func(t budget.TierPlan) bool { return t.Name == tier })
	if i < 0 {
		return budget.TierPlan{Name: tier}
	}
	return plan.Tiers[i]
}

func (f *facts) tierStatus(t *tierFacts) v1alpha1.TierStatus {
	shown := t.plan
	if f.mb.Spec.Policy == v1alpha1.PolicyRecommend {
		shown = t.wish
	}
	s := v1alpha1.TierStatus{
		Name:         t.Spec.Name,
		Desired:      new(shown.Wanted),
		Granted:      new(shown.Granted),
		Ready:        new(t.ready),
		MemoryPerPod: bytes(cmp.Or(t.Rendered.PodBytes, t.Spec.Memory.PerPod.Value())),
		Allocated:    bytes(t.charge),
		Processes:    new(t.Rendered.Processes),
		LimitedBy:    f.limitedBy(shown),
		Decision:     cut(f.decision(t, shown)),
	}
	s.Demand = demandStatus(t.Demand)
	if t.Reported {
		s.Runtime = &v1alpha1.RuntimeReport{
			Python: t.Report.Python, Django: t.Report.Django, Celery: t.Report.Celery, Gunicorn: t.Report.Gunicorn,
			Imports: t.Report.Imports, Problems: t.Report.Problems, LostSettings: t.Report.Lost,
		}
		if t.Report.BaselineBytes > 0 {
			s.Runtime.BaselineMemory = bytes(t.Report.BaselineBytes)
		}
	}
	return s
}

// decision says the decision on a tier in words, and what is to be known about it.
func (f *facts) decision(t *tierFacts, shown budget.TierPlan) string {
	text := f.explain(shown, cmp.Or(t.Rendered.PodBytes, t.Spec.Memory.PerPod.Value()))
	if t.Demand != nil {
		text = ExplainDemand(t.Demand) + "; " + text
	}
	if t.Outgrown != "" {
		text += "; " + t.Outgrown
	}
	return text
}

// explain says how a tier came to its grant in words.
func (f *facts) explain(t budget.TierPlan, podBytes int64) string {
	held := f.mb.Spec.Policy != v1alpha1.PolicyRecommend && f.Decision.Input.Pause == budget.PauseHold
	if !held || t.Granted >= t.Wanted {
		return Explain(t, podBytes)
	}
	why := "spec.pause is Hold"
	if f.Decision.Invalid {
		why = "the spec is not valid, so nothing is changed"
	}
	return fmt.Sprintf("wanted %d, granted %d: %s", t.Wanted, t.Granted, why)
}

func (f *facts) limitedBy(t budget.TierPlan) string {
	switch {
	case f.mb.Spec.Policy == v1alpha1.PolicyRecommend:
		return v1alpha1.LimitedByPolicy
	case f.Decision.Invalid && t.Granted < t.Wanted:
		return v1alpha1.LimitedByInvalidSpec
	case f.Decision.Input.Pause != budget.PauseNone && t.Granted < t.Wanted:
		return v1alpha1.LimitedByPause
	}
	switch t.LimitedBy {
	case budget.LimitedByBudget:
		return v1alpha1.LimitedByBudget
	case budget.LimitedByReserve:
		return v1alpha1.LimitedByReserve
	case budget.LimitedByProblem:
		return v1alpha1.LimitedByBudgetTooSmall
	case budget.LimitedByDrain:
		return v1alpha1.LimitedByPause
	case budget.LimitedByNothing, budget.LimitedByMax:
	}
	return v1alpha1.LimitedByNone
}

// limitedByOverall is the gravest of what limits the tiers.
func limitedByOverall(tiers []v1alpha1.TierStatus) string {
	for _, limit := range []string{
		v1alpha1.LimitedByPolicy, v1alpha1.LimitedByInvalidSpec, v1alpha1.LimitedByBudgetTooSmall, v1alpha1.LimitedByPause,
		v1alpha1.LimitedByBudget, v1alpha1.LimitedByReserve,
	} {
		if slices.ContainsFunc(tiers, func(t v1alpha1.TierStatus) bool { return t.LimitedBy == limit }) {
			return limit
		}
	}
	return v1alpha1.LimitedByNone
}

func (f *facts) readyReplicas() *v1alpha1.ReadyReplicas {
	return &v1alpha1.ReadyReplicas{
		Web:    f.readyOf(v1alpha1.RoleWeb),
		Worker: f.readyOf(v1alpha1.RoleWorker),
		ML:     f.readyOf(v1alpha1.RoleML),
	}
}

// readyOf is "ready/granted" over the tiers of a role, empty where there is none.
func (f *facts) readyOf(role v1alpha1.Role) string {
	var ready, granted int64
	found := false
	for i := range f.tiers {
		if f.tiers[i].Spec.Role == role {
			ready, granted, found = ready+int64(f.tiers[i].ready), granted+int64(f.tiers[i].plan.Granted), true
		}
	}
	if !found {
		return ""
	}
	return fmt.Sprintf("%d/%d", ready, granted)
}

func bytes(n int64) *resource.Quantity { return resource.NewQuantity(n, resource.BinarySI) }

// maxMessage bounds what is told in one piece, in bytes.
const maxMessage = 1024

// cut bounds a text, and leaves no part of a character: JSON would store another text than was compared.
func cut(text string) string {
	if len(text) > maxMessage {
		return strings.ToValidUTF8(text[:maxMessage-3], "") + "..."
	}
	return text
}
