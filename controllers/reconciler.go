// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientevents "k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/metrics"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/recording"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/internal/status"
)

// FieldOwner is the operator's field manager.
const FieldOwner = "memorybudget"

const (
	// firstBackOff and longestBackOff bound how often what others keep changing is put back.
	firstBackOff, longestBackOff = time.Second, time.Minute
	// behindCache is when to look again for a write that the cache does not show; its event comes first as a rule.
	behindCache = time.Second
	// foreignInterval is how often to look whether an object of somebody else is still in the way: one
	// without our label is not watched.
	foreignInterval = 10 * time.Second
	// progressInterval is how often figures are written while nothing but figures changes.
	progressInterval = 10 * time.Second
	// refusedInterval is how often a write is tried again that the API server refused: a quota or a policy may have
	// changed, which nobody tells.
	refusedInterval = 30 * time.Second
)

// Reconciler reconciles MemoryBudgets.
type Reconciler struct {
	client       client.Client
	reader       observe.Reader
	recorder     clientevents.EventRecorder
	clock        clock.PassiveClock
	expectations *expectations
	putBacks     *putBacks
	refusals     *refusals
	reports      *reports
	histories    *histories
	metrics      *metrics.Collector
	brokers      *signals.Brokers
	usage        *signals.Usage
	readings     *signals.Metrics
	recording    *recording.Recorder
}

var _ reconcile.Reconciler = (*Reconciler)(nil)

// New makes the reconciler of a manager, with what reads brokers, the metrics API and other metrics, and what records decisions, nil
// where nothing does.
func New(
	mgr ctrl.Manager, brokers *signals.Brokers, usage *signals.Usage, readings *signals.Metrics, recorder *recording.Recorder,
) *Reconciler {
	return &Reconciler{
		client: mgr.GetClient(),
		reader: observe.Reader{
			Cache: mgr.GetClient(), Live: mgr.GetAPIReader(), Brokers: brokers, Usage: usage, Metrics: readings, Clock: clock.RealClock{},
		},
		recorder:     mgr.GetEventRecorder("memorybudget"),
		clock:        clock.RealClock{},
		expectations: newExpectations(),
		putBacks:     newPutBacks(flowcontrol.NewBackOff(firstBackOff, longestBackOff)),
		refusals:     newRefusals(),
		reports:      newReports(),
		histories:    newHistories(),
		metrics:      metrics.NewCollector(),
		brokers:      brokers,
		usage:        usage,
		readings:     readings,
		recording:    recorder,
	}
}

// +kubebuilder:rbac:groups=memorybudget.dev,resources=memorybudgets,verbs=get;list;watch
// +kubebuilder:rbac:groups=memorybudget.dev,resources=memorybudgets/status,verbs=patch
// +kubebuilder:rbac:groups=memorybudget.dev,resources=memorybudgets/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=deployments,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=apps,resources=replicasets,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=configmaps;services,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;patch;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=create;delete;get;list;patch;watch
// +kubebuilder:rbac:groups=metrics.k8s.io,resources=pods,verbs=list
// +kubebuilder:rbac:groups=external.metrics.k8s.io,resources=*,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile works towards the spec of one resource.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	// Before the resource is read: its own status is among what the cache has to show.
	current, err := r.expectations.met(ctx, r.reader.Cache, r.reader.Live, request.NamespacedName, r.clock.Now())
	if err != nil || !current {
		return ctrl.Result{RequeueAfter: behindCache}, err
	}
	mb := &v1alpha1.MemoryBudget{}
	if err := r.client.Get(ctx, request.NamespacedName, mb); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(request.NamespacedName)
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, fmt.Errorf("reading the resource: %w", err)
	}
	if mb.DeletionTimestamp != nil {
		r.histories.record(request.NamespacedName, nil)
		return ctrl.Result{}, nil // The garbage collector takes what the resource owns.
	}
	return r.reconcile(ctx, mb)
}

func (r *Reconciler) reconcile(ctx context.Context, mb *v1alpha1.MemoryBudget) (ctrl.Result, error) {
	snapshot, err := r.reader.Gather(ctx, mb, decision.Children(mb))
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	key := client.ObjectKeyFromObject(mb)
	// Without the reading of the monotonic clock, which cannot be recorded.
	snapshot.Now, snapshot.Histories = r.clock.Now().Round(0), r.histories.of(key)
	entry := r.recording.Begin(&snapshot)
	changed := r.brokers.TakeChange(key)
	decided := decision.Decide(&snapshot)
	entry.Decided(&decided)
	r.histories.record(key, decided.Histories())
	done := r.execute(ctx, mb, &decided)
	for _, at := range done.scaled {
		if !changed.IsZero() {
			r.metrics.Wrote(at.Sub(changed))
		}
	}
	if len(snapshot.Foreign) > 0 {
		done.retryAfter = earlier(done.retryAfter, foreignInterval)
	}
	done.retryAfter = earlier(done.retryAfter, untilNext(&snapshot, &decided))
	now := metav1.NewTime(r.clock.Now())
	next := status.Compute(mb.Status, status.Input{Snapshot: &snapshot, Decision: &decided, Rejected: done.rejected, Now: now})
	entry.Reported(done.rejected, now, next)
	r.metrics.Observe(key, figuresOf(&snapshot, &decided, &next))
	r.tell(mb, done.events)
	wrote, wait, err := r.report(ctx, mb, next)
	if wrote {
		r.tell(mb, stalled(&mb.Status, &next))
	}
	return outcome(ctx, done, wait, err)
}

// untilNext is how long until time alone changes what is decided or told, 0 where it does not.
func untilNext(s *observe.Snapshot, d *decision.Decision) time.Duration {
	wait := time.Duration(0)
	for _, at := range []time.Time{d.Next(), status.NextChange(s)} {
		if at.After(s.Now) {
			wait = earlier(wait, at.Sub(s.Now))
		}
	}
	return wait
}

// outcome is the one place that says when to come back. Everything that a decision depends on is
// watched, or wakes the resource as brokers do, so as a rule there is nothing to come back for.
func outcome(ctx context.Context, done result, wait time.Duration, statusErr error) (ctrl.Result, error) {
	for _, err := range []error{done.err, statusErr} {
		switch {
		case err == nil:
		case apierrors.IsConflict(err), apierrors.IsNotFound(err):
			logr.FromContextOrDiscard(ctx).V(1).Info("Trying again after a change by others", "reason", err.Error())
			return ctrl.Result{RequeueAfter: behindCache}, nil
		default:
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{RequeueAfter: earlier(done.retryAfter, wait)}, nil
}

// earlier is the lesser of two waits, where 0 is no wait at all.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}

func (r *Reconciler) forget(key client.ObjectKey) {
	r.expectations.forget(key)
	r.refusals.forget(key)
	r.reports.forget(key)
	r.histories.record(key, nil)
	r.metrics.Forget(key)
	r.brokers.Forget(key)
	r.usage.Forget(key)
	r.readings.Forget(key)
}
