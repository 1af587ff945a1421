// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/metrics"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// figuresOf is what Prometheus is told after a decision, of which the status tells what limits the tiers.
func figuresOf(s *observe.Snapshot, d *decision.Decision, told *v1alpha1.MemoryBudgetStatus) metrics.Figures {
	f := metrics.Figures{
		BudgetBytes:    d.Input.Budget,
		AllocatedBytes: d.Plan.Exposure.Charge,
		ExposureBytes:  d.Plan.Exposure.Total(),
	}
	for i := range d.Tiers {
		f.Tiers = append(f.Tiers, tierFigures(d, &d.Tiers[i], told))
	}
	f.FailingSinceSeconds = failingSince(s, d)
	for i := range s.Pods {
		pod := &s.Pods[i]
		if pod.DeletionTimestamp != nil || !slices.ContainsFunc(pod.Spec.SchedulingGates, isMemoryGate) {
			continue
		}
		f.GatedPods++
		if created := pod.CreationTimestamp.Unix(); f.OldestGatedSeconds == 0 || created < f.OldestGatedSeconds {
			f.OldestGatedSeconds = created
		}
	}
	return f
}

func isMemoryGate(gate corev1.PodSchedulingGate) bool { return gate.Name == v1alpha1.MemoryGate }

func tierFigures(d *decision.Decision, t *decision.Tier, told *v1alpha1.MemoryBudgetStatus) metrics.Tier {
	f := metrics.Tier{Name: t.Spec.Name}
	for i := range told.Tiers {
		if told.Tiers[i].Name == t.Spec.Name {
			f.Reason = told.Tiers[i].LimitedBy
		}
	}
	for _, plan := range d.Plan.Tiers {
		if plan.Name == t.Spec.Name {
			f.Desired, f.Granted = plan.Wanted, plan.Granted
		}
	}
	if t.Demand == nil {
		return f
	}
	f.Demand = &metrics.Demand{Replicas: t.Demand.Asked}
	if tasks := &t.Demand.Tasks; t.Demand.ByQueue {
		f.Demand.Tasks = &metrics.Tasks{Ready: tasks.Ready, Reserved: tasks.Reserved, Later: tasks.Later}
	}
	entries, length := t.Demand.Entries()
	if entries != nil {
		f.Demand.Entries = &metrics.Entries{Undelivered: entries.Undelivered, Pending: entries.Pending}
	}
	f.Demand.ListLength = length
	return f
}

// failingSince is since when something that a tier scales by cannot be read, in seconds since 1970; 0 where nothing fails.
func failingSince(s *observe.Snapshot, d *decision.Decision) (seconds int64) {
	fails := func(since time.Time) {
		if !since.IsZero() && (seconds == 0 || since.Unix() < seconds) {
			seconds = since.Unix()
		}
	}
	for i := range d.Tiers {
		demand := d.Tiers[i].Demand
		if demand != nil && (demand.ByQueue || len(demand.Backlogs) > 0) {
			fails(s.Broker.FailingSince)
		}
		if demand != nil && demand.ByUsage() {
			fails(s.Usage.FailingSince)
		}
	}
	for i := range s.Readings {
		fails(s.Readings[i].FailingSince)
	}
	return seconds
}
