// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"fmt"
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
)

// judge plays a history back.
type judge struct {
	t *testing.T
	// ours are the operator's writes by the resource version that they made.
	ours map[uint64]request
	// foreign are the spans of resource versions in which a test did something to the tiers behind the operator's back.
	foreign []span
}

// span is from before an edit to after it.
type span struct{ from, to uint64 }

// within checks the budget at every version of a history.
//
// A write of the operator must leave the exposure within the budget or not raise it. Anything else may take it beyond
// only after a foreign edit or a lowered budget, and until the cluster is settled within the budget again.
func (j *judge) within(history []change) {
	j.t.Helper()
	s, excused := newState(), false
	for _, c := range history {
		before := s.exposure()
		former := s.budget
		s.apply(c)
		if s.budget == nil {
			continue
		}
		after, budget := s.exposure(), s.budget.Spec.Memory.Value()
		lowered := former != nil && budget < former.Spec.Memory.Value()
		touched := slices.ContainsFunc(j.foreign, func(e span) bool { return e.from < c.version && c.version <= e.to })
		excused = lowered || touched || excused && (after > budget || !s.settled())
		if after > budget {
			j.beyond(c, before, after, budget, excused)
		}
	}
}

// beyond judges a change after which the exposure is above the budget.
func (j *judge) beyond(c change, before, after, budget int64, excused bool) {
	j.t.Helper()
	write, isOurs := j.ours[c.version]
	switch {
	case isOurs && after > before:
		j.t.Errorf("version %d: %s raised the exposure from %s to %s, beyond the budget of %s",
			c.version, &write, mebibytes(before), mebibytes(after), mebibytes(budget))
	case !isOurs && !excused:
		j.t.Errorf("version %d: %s of %s took the exposure from %s to %s, beyond the budget of %s",
			c.version, c.kind, c.key(), mebibytes(before), mebibytes(after), mebibytes(budget))
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%dMi", n>>20) }

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
func (j *judge) told(history []change) {
	j.t.Helper()
	var last *v1alpha1.MemoryBudget
	for _, c := range history {
		mb, ok := c.object.(*v1alpha1.MemoryBudget)
		if !ok || c.kind == watch.Deleted {
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
	want := []string{"Ready", "Reconciling", "SettingsApplied", "Stalled", "WithinBudget"}
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
