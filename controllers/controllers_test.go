// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

var key = client.ObjectKey{Namespace: "shop", Name: "bunoraa"}

func configMap(name, resourceVersion, uid string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: key.Namespace, Name: name, ResourceVersion: resourceVersion, UID: types.UID(uid),
		Labels: map[string]string{v1alpha1.NameLabel: key.Name},
	}}
}

func TestExpectations(t *testing.T) {
	written := time.Unix(1000, 0)
	child := observe.Child{Kind: "ConfigMap", Name: "c"}
	cases := map[string]struct {
		want         expectation
		cached, live []client.Object
		after        time.Duration
		met          bool
	}{
		"shown":                       {want: expectation{resourceVersion: "7"}, cached: objects("7", "a"), met: true},
		"a later one is shown":        {want: expectation{resourceVersion: "7"}, cached: objects("12", "a"), met: true},
		"an older one is shown":       {want: expectation{resourceVersion: "7"}, cached: objects("6", "a"), live: objects("7", "a")},
		"not shown":                   {want: expectation{resourceVersion: "7"}, live: objects("7", "a")},
		"not shown for long":          {want: expectation{resourceVersion: "7"}, live: objects("7", "a"), after: time.Minute},
		"somebody took its label":     {want: expectation{resourceVersion: "7"}, live: unlabelled("8", "a"), after: time.Minute, met: true},
		"deleted, and shown for long": {want: expectation{goneUID: "a"}, cached: objects("7", "a"), after: time.Minute},
		"somebody deleted it at once": {want: expectation{resourceVersion: "7"}, after: time.Minute, met: true},
		"deleted and still shown":     {want: expectation{goneUID: "a"}, cached: objects("7", "a"), live: objects("7", "a")},
		"deleted and gone":            {want: expectation{goneUID: "a"}, met: true},
		"deleted and made anew":       {want: expectation{goneUID: "a"}, cached: objects("9", "b"), met: true},
		"not answered, and not made":  {want: expectation{unknown: true}, met: true},
		"not answered, made, not shown": {
			want: expectation{unknown: true}, live: objects("8", "a"),
		},
		"not answered, made, shown": {
			want: expectation{unknown: true}, cached: objects("8", "a"), live: objects("8", "a"), met: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cached := fake.NewClientBuilder().WithObjects(tc.cached...).Build()
			live := fake.NewClientBuilder().WithObjects(tc.live...).Build()
			e := newExpectations()
			tc.want.since = written
			e.add(key, child, tc.want)
			met, err := e.met(t.Context(), cached, live, key, written.Add(tc.after))
			if err != nil || met != tc.met {
				t.Fatalf("met() = %v, %v, want %v", met, err, tc.met)
			}
			if left := len(e.of(key)); (left == 0) != tc.met {
				t.Errorf("%d expectations are left", left)
			}
		})
	}
}

func objects(resourceVersion, uid string) []client.Object {
	return []client.Object{configMap("c", resourceVersion, uid)}
}

func unlabelled(resourceVersion, uid string) []client.Object {
	c := configMap("c", resourceVersion, uid)
	c.Labels = nil
	return []client.Object{c}
}

func TestOutcome(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	cases := map[string]struct {
		done      result
		wait      time.Duration
		statusErr error
		want      ctrl.Result
		wantErr   bool
	}{
		"nothing to come back for": {},
		"the sooner of two waits": {
			done: result{retryAfter: time.Minute}, wait: time.Second, want: ctrl.Result{RequeueAfter: time.Second}},
		"a conflict is no error": {
			done: result{err: apierrors.NewConflict(pods, "p", errors.New("changed"))}, want: ctrl.Result{RequeueAfter: behindCache}},
		"what is refused is tried again later": {
			done: result{rejected: "quota", retryAfter: refusedInterval}, want: ctrl.Result{RequeueAfter: refusedInterval}},
		"an error beside what is refused is tried again": {
			done: result{rejected: "quota", retryAfter: refusedInterval, err: apierrors.NewInternalError(errors.New("etcd"))}, wantErr: true},
		"anything else is tried again": {
			done: result{err: apierrors.NewInternalError(errors.New("etcd"))}, wantErr: true},
		"a status that was not written": {statusErr: errors.New("timeout"), wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := outcome(context.Background(), tc.done, tc.wait, tc.statusErr)
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("outcome() = %+v, %v, want %+v, error %v", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestUrgent(t *testing.T) {
	with := func(conditions ...metav1.Condition) *v1alpha1.MemoryBudgetStatus {
		return &v1alpha1.MemoryBudgetStatus{ObservedGeneration: 1, Conditions: conditions}
	}
	is := func(kind string, status metav1.ConditionStatus, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Message: message}
	}
	queues := func(status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: "QueuesOwned", Status: status, Reason: reason}
	}
	cases := map[string]struct {
		was, is *v1alpha1.MemoryBudgetStatus
		want    bool
	}{
		"a condition turns": {
			was: with(is("Ready", "False", "")), is: with(is("Ready", "True", "")), want: true},
		"only words": {
			was: with(is("Ready", "False", "0 of 2")), is: with(is("Ready", "False", "1 of 2"))},
		"another reason to stand still": {
			was: with(metav1.Condition{Type: "Stalled", Status: "True", Reason: "Rejected"}),
			is:  with(metav1.Condition{Type: "Stalled", Status: "True", Reason: "NameConflict"}), want: true},
		"settings come to be known": {
			was: with(is("SettingsApplied", "Unknown", "")), is: with(is("SettingsApplied", "True", ""))},
		"settings are found missing": {
			was: with(is("SettingsApplied", "Unknown", "")), is: with(is("SettingsApplied", "False", "")), want: true},
		"the broker is read": {
			was: with(queues("Unknown", "NotReadYet"), is("Reconciling", "False", "")),
			is:  with(queues("True", "AllOwned"), is("Reconciling", "False", "")), want: true},
		"the broker is read while pods are on their way": {
			was: with(queues("Unknown", "NotReadYet"), is("Reconciling", "True", "")),
			is:  with(queues("True", "AllOwned"), is("Reconciling", "True", ""))},
		"the broker is away": {
			was: with(queues("True", "AllOwned"), is("Reconciling", "False", "")),
			is:  with(queues("Unknown", "BrokerUnreachable"), is("Reconciling", "False", ""))},
		"a queue that nobody owns": {
			was: with(queues("True", "AllOwned")), is: with(queues("False", "UnownedQueues")), want: true},
		"first status": {was: with(), is: with(is("Ready", "False", "")), want: true},
		"another generation": {
			was: &v1alpha1.MemoryBudgetStatus{}, is: with(), want: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := urgent(tc.was, tc.is); got != tc.want {
				t.Errorf("urgent() = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestReportsAreSpaced(t *testing.T) {
	r, start := newReports(), time.Unix(1000, 0)
	if wait := r.due(key, start); wait != 0 {
		t.Errorf("the first waits %v", wait)
	}
	r.wrote(key, start)
	if wait := r.due(key, start.Add(time.Second)); wait != progressInterval-time.Second {
		t.Errorf("after a second the next waits %v", wait)
	}
	r.forget(key)
	if wait := r.due(key, start); wait != 0 {
		t.Errorf("after the resource was deleted, one of the same name waits %v", wait)
	}
}
