// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/events"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// result is what became of the writes of a decision.
type result struct {
	// events tell what was written.
	events []events.Event
	// scaled are when writes were answered that follow the demand of a tier.
	scaled []time.Time
	// rejected is what the API server said about a write that it will not take.
	rejected string
	// retryAfter is when what was held back or refused may be tried, 0 where nothing was.
	retryAfter time.Duration
	// err is the first error that may pass by itself.
	err error
}

// execute makes the writes of a decision in their order. What the API server said about a write stays said while the
// write is wanted and not tried. A write that was to lower the exposure and
// was not made holds back all that were planned on it, and a failure that says nothing about what was
// written holds back all that take memory.
func (r *Reconciler) execute(ctx context.Context, mb *v1alpha1.MemoryBudget, d *decision.Decision) result {
	var done result
	held, exposure := false, d.Plan.Exposure.Total()
	key, refused := client.ObjectKeyFromObject(mb), map[observe.Child]string{}
	for i := range d.Writes {
		w := &d.Writes[i]
		lowers := w.Step != nil && w.Step.ExposureAfter < exposure
		if w.Step != nil {
			exposure = w.Step.ExposureAfter
		}
		if held && !w.Frees() {
			done.refuse(refused, w, r.refusals.of(key, w))
			continue
		}
		if wait := r.holdOff(mb, w); wait > 0 {
			done.refuse(refused, w, r.refusals.of(key, w))
			done.retryAfter, held = earlier(done.retryAfter, wait), held || lowers
			continue
		}
		err := r.write(ctx, mb, w)
		if err == nil {
			done.events = append(done.events, eventsOf(w)...)
			if followsDemand(d, w) {
				done.scaled = append(done.scaled, r.clock.Now())
			}
			continue
		}
		held = held || lowers || !final(err)
		done.fail(ctx, refused, w, err)
	}
	r.refusals.are(key, refused)
	return done
}

// followsDemand: a write gives other replicas to a Deployment whose tier scales by its metrics.
func followsDemand(d *decision.Decision, w *decision.Write) bool {
	if w.Step == nil || w.Step.Kind != budget.Apply || w.Step.Create || w.ScaledTo != nil || w.Step.Shape.Replicas == w.From {
		return false
	}
	return slices.ContainsFunc(d.Tiers, func(t decision.Tier) bool { return t.Spec.Name == w.Tier && t.Demand != nil })
}

// final: the API server looked at what was written and will not have it.
func final(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err)
}

func (d *result) fail(ctx context.Context, refused map[observe.Child]string, w *decision.Write, err error) {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
	case final(err):
		logr.FromContextOrDiscard(ctx).Info("The API server refuses a write", "kind", w.Kind, "name", w.Name, "reason", err.Error())
		d.refuse(refused, w, fmt.Sprintf("%s %s was refused by the API server: %v", w.Kind, w.Name, err))
	case d.err == nil:
		d.err = fmt.Errorf("writing %s %s: %w", w.Kind, w.Name, err)
	}
}

// refuse notes what the API server said about a write, if it said anything.
func (d *result) refuse(refused map[observe.Child]string, w *decision.Write, said string) {
	if said == "" {
		return
	}
	refused[observe.Child{Kind: w.Kind, Name: w.Name}] = said
	d.retryAfter = earlier(d.retryAfter, refusedInterval)
	if d.rejected == "" {
		d.rejected = said
	}
}

// holdOff is how long a write that puts back what others changed has to wait.
func (r *Reconciler) holdOff(mb *v1alpha1.MemoryBudget, w *decision.Write) time.Duration {
	if !w.PutsBack {
		return 0
	}
	return r.putBacks.wait(string(mb.UID)+"/"+w.Kind+"/"+w.Name, r.clock.Now())
}

func (r *Reconciler) write(ctx context.Context, mb *v1alpha1.MemoryBudget, w *decision.Write) error {
	log := logr.FromContextOrDiscard(ctx).WithValues("kind", w.Kind, "name", w.Name)
	child := observe.Child{Kind: w.Kind, Name: w.Name}
	want := expectation{since: r.clock.Now()}
	var err error
	switch w.Verb {
	case decision.VerbApply:
		log.V(1).Info("Applying")
		err = r.client.Apply(ctx, w.Object, client.ForceOwnership)
		want.resourceVersion = resourceVersionOf(w.Object)
	case decision.VerbDelete:
		log.V(1).Info("Deleting")
		err = client.IgnoreNotFound(r.client.Delete(ctx, named(mb, w),
			client.Preconditions{UID: &w.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground)))
		want.goneUID = w.UID
	case decision.VerbReleaseGate:
		log.V(1).Info("Releasing the gate")
		pod := named(mb, w)
		err = r.client.Patch(ctx, pod, client.RawPatch(types.JSONPatchType, w.Patch))
		want.resourceVersion = pod.GetResourceVersion()
		if apierrors.IsInvalid(err) && r.changed(ctx, mb, w) {
			err = apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, w.Name, err)
		}
	case decision.VerbDeletionCost:
		log.V(1).Info("Saying which pod goes first")
		pod := named(mb, w)
		err = client.IgnoreNotFound(r.client.Patch(ctx, pod, client.RawPatch(types.MergePatchType, w.Patch)))
		want.resourceVersion, want.goneUID = pod.GetResourceVersion(), w.UID
	}
	if want.unknown = unanswered(err); err == nil || want.unknown {
		r.expectations.add(client.ObjectKeyFromObject(mb), child, want)
	}
	return err
}

// changed: the pod is not the one that the cache showed, or has lost its gate. That the gate cannot be taken from it then
// says nothing about the spec. Where this cannot be found out either, it is taken to be so, and tried again.
func (r *Reconciler) changed(ctx context.Context, mb *v1alpha1.MemoryBudget, w *decision.Write) bool {
	pod := &corev1.Pod{}
	if err := r.reader.Live.Get(ctx, client.ObjectKey{Namespace: mb.Namespace, Name: w.Name}, pod); err != nil {
		return true
	}
	return pod.UID != w.UID || !slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool {
		return g.Name == v1alpha1.MemoryGate
	})
}

// unanswered: the write may have been made all the same.
func unanswered(err error) bool {
	if err == nil {
		return false
	}
	status := apierrors.APIStatus(nil)
	return !errors.As(err, &status) || status.Status().Code >= http.StatusInternalServerError
}

// named is an empty object with the name of what is written.
func named(mb *v1alpha1.MemoryBudget, w *decision.Write) client.Object {
	object := observe.NewObject(w.Kind)
	object.SetNamespace(mb.Namespace)
	object.SetName(w.Name)
	return object
}

func eventsOf(w *decision.Write) []events.Event {
	var all []events.Event
	if w.ScaledTo != nil && w.Step != nil {
		all = append(all, events.ScalerConflict(w.Tier, *w.ScaledTo, w.Step.Shape.Replicas))
	}
	if w.Step == nil {
		return all
	}
	switch {
	case w.Step.Kind == budget.Delete && w.Kind == "Deployment":
		all = append(all, events.TierRemoved(w.Tier))
	case w.Step.Kind != budget.Apply:
	case w.Step.Create:
		all = append(all, events.Created(w.Tier, w.Step.Shape.Replicas))
	case w.Step.Cause == budget.CauseRollout:
		all = append(all, events.Rollout(w.Tier))
	case w.ScaledTo == nil && w.Step.Shape.Replicas != w.From:
		all = append(all, events.Scaled(w.Tier, w.From, w.Step.Shape.Replicas))
	}
	if w.Step.Downtime {
		all = append(all, events.RolloutDowntime(w.Tier))
	}
	return all
}
