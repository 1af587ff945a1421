// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	policyv1ac "k8s.io/client-go/applyconfigurations/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	v1alpha1ac "github.com/memorybudget/memorybudget/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/events"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// reports remember when the status of each resource was last written.
type reports struct {
	mu   sync.Mutex
	last map[client.ObjectKey]time.Time
}

func newReports() *reports { return &reports{last: map[client.ObjectKey]time.Time{}} }

func (r *reports) forget(key client.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, key)
}

// due is how long a status that changes nothing but figures has to wait.
func (r *reports) due(key client.ObjectKey, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(0, r.last[key].Add(progressInterval).Sub(now))
}

func (r *reports) wrote(key client.ObjectKey, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last[key] = now
}

// report writes the status if it changed: at once if a condition did, else so often at most. It
// returns whether it did, and how long a change that was not written has to wait.
func (r *Reconciler) report(
	ctx context.Context, mb *v1alpha1.MemoryBudget, next v1alpha1.MemoryBudgetStatus,
) (wrote bool, wait time.Duration, err error) {
	if equality.Semantic.DeepEqual(mb.Status, next) {
		return false, 0, nil
	}
	key, now := client.ObjectKeyFromObject(mb), r.clock.Now()
	if !urgent(&mb.Status, &next) {
		if wait := r.reports.due(key, now); wait > 0 {
			return false, wait, nil
		}
	}
	want, err := statusConfiguration(mb, next)
	if err != nil {
		return false, 0, err
	}
	err = r.client.Status().Apply(ctx, want, client.ForceOwnership)
	if err == nil || unanswered(err) {
		r.expectations.add(key, observe.Child{Kind: "MemoryBudget", Name: mb.Name},
			expectation{resourceVersion: resourceVersionOf(want), unknown: err != nil, since: now})
	}
	if err != nil {
		return false, 0, fmt.Errorf("writing status: %w", err)
	}
	r.reports.wrote(key, now)
	return true, 0, nil
}

// urgent: more than figures changed.
func urgent(previous, next *v1alpha1.MemoryBudgetStatus) bool {
	if previous.ObservedGeneration != next.ObservedGeneration || len(previous.Conditions) != len(next.Conditions) {
		return true
	}
	for i := range next.Conditions {
		was := meta.FindStatusCondition(previous.Conditions, next.Conditions[i].Type)
		if was == nil || turned(was, &next.Conditions[i]) || learned(was, &next.Conditions[i]) && settled(next) {
			return true
		}
	}
	return false
}

// learned: the broker was read for the first time. While pods are on their way there is a write to come that tells it.
func learned(was, is *metav1.Condition) bool {
	return is.Type == v1alpha1.ConditionQueuesOwned && was.Reason == v1alpha1.ReasonNotReadYet && is.Reason != was.Reason
}

func settled(status *v1alpha1.MemoryBudgetStatus) bool {
	return meta.IsStatusConditionFalse(status.Conditions, v1alpha1.ConditionReconciling)
}

// waits are conditions that can wait with the figures while nothing is wrong: merely not known yet, or any more.
var waits = []string{v1alpha1.ConditionSettingsApplied, v1alpha1.ConditionQueuesOwned, v1alpha1.ConditionSignalsFresh}

// turned: a condition says something else.
func turned(was, is *metav1.Condition) bool {
	if was.Status == is.Status {
		return is.Type == v1alpha1.ConditionStalled && was.Reason != is.Reason
	}
	return !slices.Contains(waits, was.Type) || is.Status == metav1.ConditionFalse ||
		was.Status == metav1.ConditionFalse
}

func statusConfiguration(mb *v1alpha1.MemoryBudget, next v1alpha1.MemoryBudgetStatus) (*v1alpha1ac.MemoryBudgetApplyConfiguration, error) {
	data, err := json.Marshal(next)
	if err != nil {
		return nil, fmt.Errorf("encoding status: %w", err)
	}
	want := v1alpha1ac.MemoryBudgetStatus()
	if err := json.Unmarshal(data, want); err != nil {
		return nil, fmt.Errorf("decoding status: %w", err)
	}
	return v1alpha1ac.MemoryBudget(mb.Name, mb.Namespace).WithUID(mb.UID).WithStatus(want), nil
}

// stalled is the event that tells of a new reason for standing still.
func stalled(previous, next *v1alpha1.MemoryBudgetStatus) []events.Event {
	was := meta.FindStatusCondition(previous.Conditions, v1alpha1.ConditionStalled)
	is := meta.FindStatusCondition(next.Conditions, v1alpha1.ConditionStalled)
	if is == nil || is.Status != metav1.ConditionTrue || (was != nil && was.Status == is.Status && was.Reason == is.Reason) {
		return nil
	}
	return []events.Event{events.Stalled(is.Reason, is.Message)}
}

// tell records events.
func (r *Reconciler) tell(mb *v1alpha1.MemoryBudget, happened []events.Event) {
	for _, e := range events.Joined(happened) {
		r.recorder.Eventf(mb, nil, e.Type, e.Reason, e.Action, "%s", e.Note)
	}
}

// resourceVersionOf is the version that the API server gave what was applied.
func resourceVersionOf(applied runtime.ApplyConfiguration) string {
	var version *string
	switch o := applied.(type) {
	case *appsv1ac.DeploymentApplyConfiguration:
		version = o.ResourceVersion
	case *corev1ac.ServiceApplyConfiguration:
		version = o.ResourceVersion
	case *corev1ac.ConfigMapApplyConfiguration:
		version = o.ResourceVersion
	case *policyv1ac.PodDisruptionBudgetApplyConfiguration:
		version = o.ResourceVersion
	case *v1alpha1ac.MemoryBudgetApplyConfiguration:
		version = o.ResourceVersion
	}
	if version == nil {
		return "1" // Any version will do.
	}
	return *version
}
