// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	appsv1 "k8s.io/api/apps/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// task is a message as Celery 5 publishes it.
const task = `{"body": "W1tdLCB7fSwgeyJjYWxsYmFja3MiOiBudWxsLCAiZXJyYmFja3MiOiBudWxsLCAiY2hhaW4iOiBudWxsLCAiY2hvcmQiOiBudWxsfV0=", ` +
	`"content-encoding": "utf-8", "content-type": "application/json", "headers": {"lang": "py", "task": "shop.tasks.mail", ` +
	`"id": "7c1c9a2e-4a0b-4c5e-9d0a-000000000000", "eta": null, "expires": null, "retries": 0, "timelimit": [null, null]}, ` +
	`"properties": {"correlation_id": "7c1c9a2e-4a0b-4c5e-9d0a-000000000000", "delivery_mode": 2, "delivery_info": ` +
	`{"exchange": "", "routing_key": "%[1]s"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "1"}}`

func publish(ctx context.Context, broker *redis.Client, queue string) error {
	return broker.LPush(ctx, queue, fmt.Sprintf(task, queue)).Err()
}

// climber asks for one replica more with each task.
func climber(namespace, name, broker, queue string, most int32) *v1alpha1.MemoryBudget {
	eager := func(s *v1alpha1.Scaling) {
		s.Behavior = &v1alpha1.ScalingBehavior{ScaleUp: &v1alpha1.ScalingRules{
			Policies:  []v1alpha1.ScalingPolicy{{Type: v1alpha1.ScalingPolicyPods, Value: 100, PeriodSeconds: 1}},
			Tolerance: new(apiresource.MustParse("0")),
		}}
	}
	mb := testutil.MakeMemoryBudget(name, namespace).Memory("1Ti").CeleryApp("core").Redis(broker, "url").
		Tier(testutil.MakeTier("worker", v1alpha1.RoleWorker).Replicas(0, 0, most).Celery(queue).ScalesByQueue(1, eager).Obj()).Obj()
	mb.Spec.Tiers[0].Celery.Concurrency = new(int32(1))
	return mb
}

// latency measures from a task in the queue to the write that it brings.
func latency(ctx context.Context, settings *settings) (err error) {
	s, err := open(ctx, settings, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.namespace(ctx, measured); err != nil {
		return err
	}
	if err := s.startOperator(ctx, measured); err != nil {
		return err
	}
	if err := s.admin.Create(ctx, climber(measured, "shop", brokerName(0), "celery", int32(s.steps))); err != nil {
		return err
	}
	watcher, err := s.admin.Watch(ctx, &appsv1.DeploymentList{}, client.InNamespace(measured))
	if err != nil {
		return err
	}
	defer watcher.Stop()
	if err := reached(ctx, watcher, 0); err != nil {
		return err
	}
	took, err := s.climb(ctx, watcher)
	if err != nil {
		return err
	}
	after, err := s.operator.histogram(ctx, "memorybudget_signal_to_write_seconds")
	if err != nil {
		return err
	}
	interval := "10s"
	if s.interval > 0 {
		interval = s.interval.String()
	}
	s.say("poll interval %s (plus up to a tenth): task to write, %d steps: median %.0f ms, p95 %.0f ms; reading to write: mean %.1f ms of %d",
		interval, len(took), percentile(took, 50), percentile(took, 95), after.GetSampleSum()/float64(max(1, after.GetSampleCount()))*1000,
		after.GetSampleCount())
	for _, bucket := range after.GetBucket() {
		s.say("  reading to write within %.3f s: %d", bucket.GetUpperBound(), bucket.GetCumulativeCount())
	}
	return nil
}

// climb publishes one task after the other, each at any moment between two readings.
func (s *scene) climb(ctx context.Context, watcher watch.Interface) ([]time.Duration, error) {
	interval := s.interval
	if interval == 0 {
		interval = 10 * time.Second
	}
	var took []time.Duration
	for step := range s.steps {
		if err := sleep(ctx, rand.N(interval)); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := publish(ctx, s.brokers[0], "celery"); err != nil {
			return nil, err
		}
		if err := reached(ctx, watcher, int32(step+1)); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}

// reached waits until the Deployment has so many replicas.
func reached(ctx context.Context, watcher watch.Interface, replicas int32) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %d replicas: %w", replicas, ctx.Err())
		case event, open := <-watcher.ResultChan():
			if !open {
				return errors.New("the watch of Deployments ended")
			}
			if d, ok := event.Object.(*appsv1.Deployment); ok && d.Spec.Replicas != nil && *d.Spec.Replicas == replicas {
				return nil
			}
		}
	}
}

// percentile is the smallest of the values that so many percent do not exceed, in milliseconds.
func percentile(values []time.Duration, percent int) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return float64(sorted[(len(sorted)*percent+99)/100-1].Microseconds()) / 1000
}
