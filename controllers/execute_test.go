// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/util/flowcontrol"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// scripted is a reconciler whose client notes writes and answers them as told, by name.
func scripted(answers map[string]error) (*Reconciler, *clocktesting.FakeClock, *[]string) {
	var made []string
	note := func(name string) error {
		made = append(made, name)
		return answers[name]
	}
	writes := interceptor.Funcs{
		Apply: func(_ context.Context, _ client.WithWatch, object runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
			return note(*object.(*corev1ac.ConfigMapApplyConfiguration).Name)
		},
		Delete: func(_ context.Context, _ client.WithWatch, object client.Object, _ ...client.DeleteOption) error {
			return note(object.GetName())
		},
		Patch: func(_ context.Context, _ client.WithWatch, object client.Object, _ client.Patch, _ ...client.PatchOption) error {
			return note(object.GetName())
		},
	}
	clock := clocktesting.NewFakeClock(time.Unix(1000, 0))
	return &Reconciler{
		client: fake.NewClientBuilder().WithInterceptorFuncs(writes).Build(), clock: clock,
		reader:       observe.Reader{Live: fake.NewClientBuilder().WithObjects(gated("pod")).Build()},
		expectations: newExpectations(), refusals: newRefusals(),
		putBacks: newPutBacks(flowcontrol.NewFakeBackOff(firstBackOff, longestBackOff, clock)),
	}, clock, &made
}

// write is an apply for a step of the plan, after which the exposure is so high; which kind of object is applied makes no
// difference here.
func write(name string, cause budget.Cause, exposure int64) decision.Write {
	w := support(name)
	w.Step = &budget.Step{Kind: budget.Apply, Cause: cause, ExposureAfter: exposure}
	return w
}

// support is an apply that no step of the plan asks for.
func support(name string) decision.Write {
	return decision.Write{Verb: decision.VerbApply, Kind: "ConfigMap", Name: name, Object: corev1ac.ConfigMap(name, key.Namespace)}
}

func putBack(w decision.Write) decision.Write {
	w.PutsBack = true
	return w
}

// gated is a pod behind our gate.
func gated(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: name},
		Spec:       corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: v1alpha1.MemoryGate}}},
	}
}

func release(pod string) decision.Write {
	return decision.Write{
		Verb: decision.VerbReleaseGate, Kind: "Pod", Name: pod, Patch: []byte("[]"),
		Step: &budget.Step{Kind: budget.ReleaseGate, Cause: budget.CauseRelease, ExposureAfter: 9},
	}
}

var (
	errInvalid   = apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "d", nil)
	errForbidden = apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "d", errors.New("quota"))
	errEtcd      = apierrors.NewInternalError(errors.New("etcd"))
	errLost      = errors.New("connection reset by peer")
)

func TestExecute(t *testing.T) {
	shrink, grow := write("shrink", budget.CauseShrink, 4), write("grow", budget.CauseGrow, 8)
	other := write("other", budget.CauseShrink, 7)
	cases := map[string]struct {
		writes       []decision.Write
		answers      map[string]error
		want         []string
		wantRejected string
		wantErr      error
		wantUnknown  int
	}{
		"in order": {writes: []decision.Write{shrink, grow, release("pod")}, want: []string{"shrink", "grow", "pod"}},
		"what was not freed is not given away": {
			writes: []decision.Write{shrink, grow, other, release("pod")}, answers: map[string]error{"shrink": errForbidden},
			want: []string{"shrink", "other"}, wantRejected: "ConfigMap shrink was refused by the API server",
		},
		"a Service that is refused stands in nobody's way": {
			writes: []decision.Write{support("service"), grow}, answers: map[string]error{"service": errForbidden},
			want: []string{"service", "grow"}, wantRejected: "ConfigMap service was refused by the API server",
		},
		"what one tier is refused stands in nobody else's way": {
			writes: []decision.Write{grow, release("pod")}, answers: map[string]error{"grow": errInvalid},
			want: []string{"grow", "pod"}, wantRejected: "ConfigMap grow was refused by the API server",
		},
		"a write without an answer may have been made": {
			writes: []decision.Write{grow, release("pod"), other}, answers: map[string]error{"grow": errLost},
			want: []string{"grow", "other"}, wantErr: errLost, wantUnknown: 1,
		},
		"so may one that failed inside the API server": {
			writes: []decision.Write{grow, release("pod")}, answers: map[string]error{"grow": errEtcd},
			want: []string{"grow"}, wantErr: errEtcd, wantUnknown: 1,
		},
		"a gate that cannot be taken any more says nothing about the spec": {
			writes: []decision.Write{release("gone"), release("next")}, answers: map[string]error{"gone": errInvalid},
			want: []string{"gone"}, wantErr: errInvalid,
		},
		"a gate that a policy keeps on its pod is told": {
			writes: []decision.Write{release("pod"), grow}, answers: map[string]error{"pod": errInvalid},
			want: []string{"pod", "grow"}, wantRejected: "Pod pod was refused by the API server",
		},
		"one that fails beside one that is refused": {
			writes: []decision.Write{support("service"), shrink}, answers: map[string]error{"service": errInvalid, "shrink": errEtcd},
			want: []string{"service", "shrink"}, wantRejected: "ConfigMap service was refused by the API server", wantErr: errEtcd,
			wantUnknown: 1,
		},
		"a namespace that goes is no error": {
			writes: []decision.Write{shrink}, answers: map[string]error{"shrink": terminating()}, want: []string{"shrink"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, _, made := scripted(tc.answers)
			done := r.execute(t.Context(), testutil.MakeMemoryBudget(key.Name, key.Namespace).Obj(), plan(tc.writes))
			if diff := cmp.Diff(tc.want, *made); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
			if !strings.HasPrefix(done.rejected, tc.wantRejected) || (tc.wantRejected == "") != (done.rejected == "") {
				t.Errorf("rejected: %q", done.rejected)
			}
			if (done.err == nil) != (tc.wantErr == nil) || tc.wantErr != nil && !strings.Contains(done.err.Error(), tc.wantErr.Error()) {
				t.Errorf("error: %v, want %v", done.err, tc.wantErr)
			}
			unknown := 0
			for _, want := range r.expectations.of(key) {
				if want.unknown {
					unknown++
				}
			}
			if unknown != tc.wantUnknown {
				t.Errorf("%d writes have to be asked about, want %d", unknown, tc.wantUnknown)
			}
		})
	}
}

// plan is a decision with an exposure of 5 to begin with.
func plan(writes []decision.Write) *decision.Decision {
	return &decision.Decision{Writes: writes, Plan: budget.Plan{Exposure: budget.Exposure{Charge: 5}}}
}

func terminating() error {
	err := apierrors.NewForbidden(schema.GroupResource{}, "d", errors.New("going"))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	return err
}

// TestPutBacksSlowDown: what somebody changes again and again is put back at once first, then ever more slowly, and what
// was planned on it waits too.
func TestPutBacksSlowDown(t *testing.T) {
	cases := map[string]struct {
		putBack decision.Write
		want    []string
	}{
		"a Deployment that is too large": {
			putBack: write("web", budget.CauseShrink, 4), want: []string{"web", "grow", "web", "grow"},
		},
		"a Service": {putBack: support("web"), want: []string{"web", "grow", "grow", "web", "grow"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, clock, made := scripted(nil)
			mb := testutil.MakeMemoryBudget(key.Name, key.Namespace).UID("u").Obj()
			var waits []time.Duration
			for range 3 {
				writes := []decision.Write{putBack(tc.putBack), write("grow", budget.CauseGrow, 8)}
				waits = append(waits, r.execute(t.Context(), mb, plan(writes)).retryAfter)
				clock.Step(firstBackOff * 2 / 3)
			}
			if diff := cmp.Diff([]time.Duration{0, firstBackOff - firstBackOff*2/3, 0}, waits); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, *made); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestARefusedPutBackStaysRefused: what the API server said holds while the put-back waits for its next turn.
func TestARefusedPutBackStaysRefused(t *testing.T) {
	r, clock, made := scripted(map[string]error{"web": errForbidden})
	mb := testutil.MakeMemoryBudget(key.Name, key.Namespace).UID("u").Obj()
	pass := func(writes ...decision.Write) string { return r.execute(t.Context(), mb, plan(writes)).rejected }
	if first := pass(putBack(support("web"))); first == "" || first != pass(putBack(support("web"))) {
		t.Errorf("first %q, then something else", first)
	}
	if len(*made) != 1 {
		t.Errorf("tried %d times", len(*made))
	}
	if said := pass(); said != "" {
		t.Errorf("not wanted any more, and still %q", said)
	}
	clock.Step(firstBackOff)
	if said := pass(putBack(support("other"))); said != "" {
		t.Errorf("of another write it says %q", said)
	}
}

func TestEventsOf(t *testing.T) {
	step := func(kind budget.StepKind, cause budget.Cause, replicas int32) *budget.Step {
		return &budget.Step{Kind: kind, Cause: cause, Shape: budget.Shape{Replicas: replicas}}
	}
	created, down := step(budget.Apply, budget.CauseGrow, 2), step(budget.Apply, budget.CauseRollout, 1)
	created.Create, down.Downtime = true, true
	cases := map[string]struct {
		write decision.Write
		want  []string
	}{
		"support":       {write: decision.Write{Verb: decision.VerbApply, Kind: "Service"}},
		"created":       {write: decision.Write{Step: created}, want: []string{"Normal Scaled: Created tier web with 2 replicas"}},
		"scaled":        {write: decision.Write{Step: step(budget.Apply, budget.CauseGrow, 3), From: 1}, want: []string{"Normal Scaled: Scaled tier web from 1 to 3 replicas"}},
		"only strategy": {write: decision.Write{Step: step(budget.Apply, budget.CauseSettle, 3), From: 3}},
		"rollout":       {write: decision.Write{Step: step(budget.Apply, budget.CauseRollout, 1), From: 1}, want: []string{"Normal Rollout: Rolling out"}},
		"downtime":      {write: decision.Write{Step: down, From: 1}, want: []string{"Normal Rollout: Rolling out", "Warning RolloutDowntime: Tier web has no replica"}},
		"scaled by others": {
			write: decision.Write{Step: step(budget.Apply, budget.CauseShrink, 1), From: 5, ScaledTo: new(int32(5))},
			want:  []string{"Warning ScalerConflict: Somebody else set tier web to 5 replicas; put back to 1"},
		},
		"removed": {
			write: decision.Write{Kind: "Deployment", Step: step(budget.Delete, budget.CauseDelete, 0)},
			want:  []string{"Normal TierRemoved: Removed tier web"},
		},
		"gate": {write: decision.Write{Step: step(budget.ReleaseGate, budget.CauseRelease, 0)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.write.Tier = "web"
			got := eventsOf(&tc.write)
			if len(got) != len(tc.want) {
				t.Fatalf("events: %v, want %v", got, tc.want)
			}
			for i, e := range got {
				if text := fmt.Sprintf("%s %s: %s", e.Type, e.Reason, e.Note); !strings.HasPrefix(text, tc.want[i]) {
					t.Errorf("event: %s, want %s", text, tc.want[i])
				}
			}
		})
	}
}

// TestFollowsDemand: the time from a signal to a write is told of writes that a signal can have brought, and of no others.
func TestFollowsDemand(t *testing.T) {
	scaling := decision.Tier{Spec: &v1alpha1.Tier{Name: "worker"}, Demand: &decision.Demand{}}
	given := decision.Tier{Spec: &v1alpha1.Tier{Name: "web"}}
	d := decision.Decision{Tiers: []decision.Tier{scaling, given}}
	step := func(tier string, from, to int32, change func(*decision.Write)) decision.Write {
		w := decision.Write{Tier: tier, From: from, Step: &budget.Step{Kind: budget.Apply, Shape: budget.Shape{Replicas: to}}}
		if change != nil {
			change(&w)
		}
		return w
	}
	tests := map[string]struct {
		write decision.Write
		want  bool
	}{
		"more replicas":               {step("worker", 1, 2, nil), true},
		"fewer replicas":              {step("worker", 2, 0, nil), true},
		"a tier that does not scale":  {step("web", 1, 2, nil), false},
		"the same replicas":           {step("worker", 2, 2, nil), false},
		"a new Deployment":            {step("worker", 0, 2, func(w *decision.Write) { w.Step.Create = true }), false},
		"what somebody else scaled":   {step("worker", 5, 2, func(w *decision.Write) { w.ScaledTo = new(int32(5)) }), false},
		"a gate that is released":     {step("worker", 0, 2, func(w *decision.Write) { w.Step.Kind = budget.ReleaseGate }), false},
		"what no step of a plan asks": {decision.Write{Tier: "worker"}, false},
	}
	for name, tc := range tests {
		if got := followsDemand(&d, &tc.write); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
