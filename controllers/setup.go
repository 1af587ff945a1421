// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/metrics"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// SetupWithManager registers the reconciler. It is woken by a change of a resource and by everything
// that a decision reads: the pods that leave are what growth waits for. Its own write of a status
// wakes it as well, since no decision is made before the cache shows that write; and so does what is learned of its
// broker, of what its pods use and of its other metrics.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	collector, err := registered(r.metrics)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	r.metrics = collector
	byLabel := handler.EnqueueRequestsFromMapFunc(resourceOf)
	builder := ctrl.NewControllerManagedBy(mgr).Named("memorybudget").For(&v1alpha1.MemoryBudget{})
	for _, object := range []client.Object{
		&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{}, &corev1.Service{}, &corev1.ConfigMap{}, &policyv1.PodDisruptionBudget{},
	} {
		// The informers start with the manager, so there is nothing to wait for.
		if err := mgr.GetFieldIndexer().IndexField(context.Background(), object, observe.ResourceIndex, observe.ResourceOf); err != nil {
			return fmt.Errorf("indexing %T by resource: %w", object, err)
		}
		builder.Watches(object, byLabel)
	}
	return builder.
		WatchesRawSource(source.Channel(r.brokers.Events(), &handler.EnqueueRequestForObject{})).
		WatchesRawSource(source.Channel(r.usage.Events(), &handler.EnqueueRequestForObject{})).
		WatchesRawSource(source.Channel(r.readings.Events(), &handler.EnqueueRequestForObject{})).
		Complete(r)
}

// registered is the collector that the process serves: there is one, however many managers it has.
func registered(collector *metrics.Collector) (*metrics.Collector, error) {
	err := ctrlmetrics.Registry.Register(collector)
	if already := (prometheus.AlreadyRegisteredError{}); errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(*metrics.Collector); ok {
			return existing, nil
		}
	}
	return collector, err
}

// resourceOf is the resource that an object says it belongs to.
func resourceOf(_ context.Context, object client.Object) []reconcile.Request {
	var all []reconcile.Request
	for _, name := range observe.ResourceOf(object) {
		all = append(all, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}})
	}
	return all
}
