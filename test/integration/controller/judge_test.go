// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/ledger"
)

// judge plays a history back.
type judge struct {
	t *testing.T
	// ours are the operator's writes by the resource version that they made.
	ours map[uint64]request
	// foreign are the spans of resource versions in which a test did something to the tiers behind the operator's back.
	foreign []ledger.Span
}

// within checks the budget at every version of a history.
func (j *judge) within(history []ledger.Change) {
	j.t.Helper()
	budget := ledger.Judge{Foreign: j.foreign, Ours: func(c ledger.Change) (string, bool) {
		write, isOurs := j.ours[c.Version]
		return write.String(), isOurs
	}}
	for _, violation := range budget.Within(history).Violations {
		j.t.Error(violation)
	}
}

// writesByVersion files the operator's successful writes by what they made.
func writesByVersion(taps []*tap) map[uint64]request {
	byVersion := map[uint64]request{}
	for _, tap := range taps {
		for _, q := range tap.all(kindWrite) {
			if version, err := strconv.ParseUint(q.resourceVersion, 10, 64); err == nil {
				byVersion[version] = q
			}
		}
	}
	return byVersion
}

// told checks every status that was ever written.
func (j *judge) told(history []ledger.Change) {
	j.t.Helper()
	var last *v1alpha1.MemoryBudget
	for _, c := range history {
		mb, ok := c.Object.(*v1alpha1.MemoryBudget)
		if !ok || c.Kind == watch.Deleted {
			continue
		}
		if last != nil && last.UID != mb.UID {
			last = nil
		}
		if len(mb.Status.Conditions) > 0 {
			j.conditions(mb)
			j.agrees(mb)
		}
		if last != nil {
			j.moved(last, mb)
		}
		last = mb
	}
}

// conditions are all set, each with a reason, for a generation that does not go back.
func (j *judge) conditions(mb *v1alpha1.MemoryBudget) {
	j.t.Helper()
	var types []string
	for _, c := range mb.Status.Conditions {
		types = append(types, c.Type)
		if c.Reason == "" || c.Message == "" {
			j.t.Errorf("version %s: condition %s lacks a reason or a message", mb.ResourceVersion, c.Type)
		}
		if c.ObservedGeneration != mb.Status.ObservedGeneration {
			j.t.Errorf("version %s: condition %s is for generation %d, the status for %d",
				mb.ResourceVersion, c.Type, c.ObservedGeneration, mb.Status.ObservedGeneration)
		}
	}
	slices.Sort(types)
	want := []string{"QueuesOwned", "Ready", "Reconciling", "SettingsApplied", "SignalsFresh", "Stalled", "WithinBudget"}
	if diff := cmp.Diff(want, types); diff != "" {
		j.t.Errorf("version %s: conditions (-want +got):\n%s", mb.ResourceVersion, diff)
	}
}

// agrees: what kstatus makes of the status is what Ready says.
func (j *judge) agrees(mb *v1alpha1.MemoryBudget) {
	j.t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(mb)
	if err != nil {
		j.t.Fatal(err)
	}
	result, err := kstatus.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		j.t.Errorf("version %s: kstatus: %v", mb.ResourceVersion, err)
		return
	}
	if mb.DeletionTimestamp != nil || mb.Status.ObservedGeneration != mb.Generation {
		return // kstatus says Terminating or InProgress, whatever the conditions say.
	}
	is := func(kind string) bool { return meta.IsStatusConditionTrue(mb.Status.Conditions, kind) }
	want := kstatus.InProgressStatus
	switch {
	case is(v1alpha1.ConditionStalled):
		want = kstatus.FailedStatus
	case is(v1alpha1.ConditionReady):
		want = kstatus.CurrentStatus
	}
	if result.Status != want {
		j.t.Errorf("version %s: kstatus says %s (%s), conditions say %s: %v",
			mb.ResourceVersion, result.Status, result.Message, want, mb.Status.Conditions)
	}
	if is(v1alpha1.ConditionReady) && (is(v1alpha1.ConditionReconciling) || is(v1alpha1.ConditionStalled)) {
		j.t.Errorf("version %s: Ready beside Reconciling or Stalled: %v", mb.ResourceVersion, mb.Status.Conditions)
	}
}

// moved: a condition's time changes with its status and only then; generations do not go back.
func (j *judge) moved(from, to *v1alpha1.MemoryBudget) {
	j.t.Helper()
	if to.Status.ObservedGeneration < from.Status.ObservedGeneration {
		j.t.Errorf("version %s: observedGeneration went back from %d to %d",
			to.ResourceVersion, from.Status.ObservedGeneration, to.Status.ObservedGeneration)
	}
	for _, is := range to.Status.Conditions {
		was := meta.FindStatusCondition(from.Status.Conditions, is.Type)
		if was != nil && was.Status == is.Status && !was.LastTransitionTime.Equal(&is.LastTransitionTime) {
			j.t.Errorf("version %s: condition %s is %s as before, but moved from %s to %s",
				to.ResourceVersion, is.Type, is.Status, was.LastTransitionTime, is.LastTransitionTime)
		}
	}
}

// behaved checks where the operator wrote and what the API server thought of it.
func (j *judge) behaved(taps []*tap, namespace string, refusals []string) {
	j.t.Helper()
	for _, tap := range taps {
		for _, q := range tap.all(kindWrite) {
			if q.namespace != namespace {
				j.t.Errorf("%s in namespace %q", &q, q.namespace)
			}
			forbidden := q.code == http.StatusForbidden || q.code == http.StatusUnauthorized ||
				q.code == http.StatusUnprocessableEntity || q.code == http.StatusBadRequest
			if forbidden && !slices.Contains(refusals, q.resource) {
				j.t.Errorf("%s was refused: %s", &q, q.message)
			}
		}
	}
}
