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
	return ctrl.NewControllerManagedBy(mgr).
		Named("memorybudget").
		For(&v1alpha1.MemoryBudget{}).
		Watches(&appsv1.Deployment{}, byLabel).
		Watches(&appsv1.ReplicaSet{}, byLabel).
		Watches(&corev1.Pod{}, byLabel).
		Watches(&corev1.Service{}, byLabel).
		Watches(&corev1.ConfigMap{}, byLabel).
		Watches(&policyv1.PodDisruptionBudget{}, byLabel).
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

// resourceOf is the resource that an object says it belongs to. Memory is counted by label, whoever
// owns the pod.
func resourceOf(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[v1alpha1.NameLabel]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}
