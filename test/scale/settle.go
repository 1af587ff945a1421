// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

const (
	// measured is the namespace of the operator's resources.
	measured = "measured"
	// quiet is how long nothing may be written where all are settled: longer than figures of a status may wait.
	quiet = 15 * time.Second
	// longest bounds the time until all are settled.
	longest = 20 * time.Minute
)

// settle measures how long the operator takes for many new resources, and what it does when nothing happens. A bare client
// writes the same before and after.
func settle(ctx context.Context, settings *settings) (err error) {
	s, err := open(ctx, settings, settings.brokers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	s.say("%d resources of 3 tiers, %d brokers, %d workers, kube-controller-manager %v, no nodes, GOMEMLIMIT=%s",
		s.resources, len(s.brokers), s.workers, s.controllers, s.memoryLimit)
	before, err := s.timeBare(ctx, "bare-before")
	if err != nil {
		return err
	}
	took, err := s.timeOperator(ctx)
	if err != nil {
		return err
	}
	if err := s.watchIdle(ctx); err != nil {
		return err
	}
	if err := s.cluster.StopProcess("operator"); err != nil {
		return err
	}
	after, err := s.timeBare(ctx, "bare-after")
	if err != nil {
		return err
	}
	s.say("operator / bare client: %.2f (before %.2f, after %.2f)", took.Seconds()/((before+after).Seconds()/2),
		took.Seconds()/before.Seconds(), took.Seconds()/after.Seconds())
	return nil
}

func (s *scene) timeBare(ctx context.Context, namespace string) (time.Duration, error) {
	took, n, err := s.bare(ctx, namespace)
	if err == nil {
		s.say("%s: %d writes in %.1fs, %.0f/s", namespace, n, took.Seconds(), float64(n)/took.Seconds())
	}
	return took, err
}

// timeOperator starts the operator on new resources and returns the time to its last write.
func (s *scene) timeOperator(ctx context.Context) (time.Duration, error) {
	if err := s.namespace(ctx, measured); err != nil {
		return 0, err
	}
	if _, err := s.create(ctx, measured, s.resources); err != nil {
		return 0, err
	}
	log, err := s.since()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := s.startOperator(ctx, measured); err != nil {
		return 0, err
	}
	all, err := s.untilQuiet(ctx, log, began)
	if err != nil {
		return 0, err
	}
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	wrote := writes(all)
	took := wrote[len(wrote)-1].StageTimestamp.Sub(began)
	cpu, err := s.operator.cpu()
	if err != nil {
		return 0, err
	}
	decisions, err := s.operator.histogram(ctx, "controller_runtime_reconcile_time_seconds")
	if err != nil {
		return 0, err
	}
	s.say("operator: settled after %.1fs; %d writes, %.1f a resource; %d requests; %d reconciliations; %.1fs of CPU",
		took.Seconds(), len(wrote), float64(len(wrote))/float64(s.resources), len(all), decisions.GetSampleCount(), cpu.Seconds())
	when := func(share float64) float64 {
		return wrote[int(share*float64(len(wrote)-1))].StageTimestamp.Sub(began).Seconds()
	}
	s.say("  of its writes the first after %.1fs, half after %.1fs, nine tenths after %.1fs, 99 of 100 after %.1fs",
		when(0), when(0.5), when(0.9), when(0.99))
	s.tell(all)
	return took, s.sayMemory("settling")
}

// untilQuiet returns the operator's requests until it has written nothing for a while.
func (s *scene) untilQuiet(ctx context.Context, log *requests, began time.Time) ([]request, error) {
	profiled := s.profiles == ""
	var all []request
	for last := time.Now(); time.Since(began) < longest; {
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
		more, err := log.read()
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
		switch {
		case len(writes(more)) > 0:
			last = time.Now()
		case len(writes(all)) > 0 && time.Since(last) > quiet:
			return all, nil
		}
		if !profiled && time.Since(began) > 5*time.Second {
			profiled = true
			if err := s.profile(ctx, "/debug/pprof/profile?seconds=15", "settling.prof"); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("not settled after %s, %d requests", longest, len(all))
}

// check tells whether all resources have what they need.
func (s *scene) check(ctx context.Context) error {
	var deployments appsv1.DeploymentList
	if err := s.admin.List(ctx, &deployments, client.InNamespace(measured)); err != nil {
		return err
	}
	var all v1alpha1.MemoryBudgetList
	if err := s.admin.List(ctx, &all, client.InNamespace(measured)); err != nil {
		return err
	}
	told := 0
	for i := range all.Items {
		if all.Items[i].Status.ObservedGeneration == all.Items[i].Generation {
			told++
		}
	}
	if len(deployments.Items) != 3*s.resources || told != s.resources {
		return fmt.Errorf("%d of %d Deployments, %d of %d statuses", len(deployments.Items), 3*s.resources, told, s.resources)
	}
	return nil
}

// watchIdle tells what the operator does while nothing happens.
func (s *scene) watchIdle(ctx context.Context) error {
	log, err := s.since()
	if err != nil {
		return err
	}
	before, err := s.operator.cpu()
	if err != nil {
		return err
	}
	if err := sleep(ctx, s.idle); err != nil {
		return err
	}
	after, err := s.operator.cpu()
	if err != nil {
		return err
	}
	all, err := log.read()
	if err != nil {
		return err
	}
	s.say("idle for %s: %d requests, %d of them writes; %.2fs of CPU", s.idle, len(all), len(writes(all)), (after - before).Seconds())
	s.tell(all)
	if err := s.sayConnections(ctx); err != nil {
		return err
	}
	if err := s.profile(ctx, "/debug/pprof/heap?gc=1", "idle-heap.prof"); err != nil {
		return err
	}
	return s.sayMemory("idle")
}

func (s *scene) tell(all []request) {
	counts := byKind(all)
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		s.say("  %6d %s", counts[kind], kind)
	}
}

func (s *scene) sayMemory(when string) error {
	figures, err := s.operator.memory()
	if err == nil {
		s.say("memory, %s: resident %d MiB, of it %d MiB not of files; peak %d MiB", when,
			figures["VmRSS"]>>10, figures["RssAnon"]>>10, figures["VmHWM"]>>10)
	}
	return err
}

// sayConnections counts those of the operator: each broker has one of this program, too.
func (s *scene) sayConnections(ctx context.Context) error {
	reading, hearing := 0, 0
	for _, broker := range s.brokers {
		for kind, sum := range map[string]*int{"normal": &reading, "pubsub": &hearing} {
			clients, err := broker.Do(ctx, "CLIENT", "LIST", "TYPE", kind).Text()
			if err != nil {
				return err
			}
			*sum += strings.Count(clients, "\n")
		}
	}
	s.say("connections to %d brokers: %d that read queues, %d that hear heartbeats", len(s.brokers), reading-len(s.brokers), hearing)
	return nil
}
