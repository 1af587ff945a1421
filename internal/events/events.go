// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package events holds what is told to people as Kubernetes events. An event is a value made by one
// of the constructors here; whoever records it needs no words of its own.
package events

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// maxNote bounds a note, as the API server does, in bytes.
const maxNote = 1024

// Event is one thing to tell.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason is one of the Event constants of the API.
	Reason string
	// Action is what was done or tried, in one word.
	Action string
	// Note says it in a sentence.
	Note string
}

func newEvent(kind, reason, action, format string, args ...any) Event {
	note := fmt.Sprintf(format, args...)
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote-3], "") + "..."
	}
	return Event{Type: kind, Reason: reason, Action: action, Note: note}
}

// Joined makes one event of those that the API server would take for one: it counts events of an object that differ in nothing
// but their notes, and keeps the first note.
func Joined(happened []Event) []Event {
	var joined []Event
	for _, e := range happened {
		same := slices.IndexFunc(joined, func(o Event) bool { return o.Type == e.Type && o.Reason == e.Reason && o.Action == e.Action })
		if same < 0 {
			joined = append(joined, e)
			continue
		}
		joined[same] = newEvent(e.Type, e.Reason, e.Action, "%s; %s", joined[same].Note, e.Note)
	}
	return joined
}

// Created tells that the Deployment of a tier was made.
func Created(tier string, replicas int32) Event {
	return newEvent(corev1.EventTypeNormal, v1alpha1.EventScaled, "Create",
		"Created tier %s with %d replicas", tier, replicas)
}

// Scaled tells that replicas of a tier were changed.
func Scaled(tier string, from, to int32) Event {
	return newEvent(corev1.EventTypeNormal, v1alpha1.EventScaled, "Scale",
		"Scaled tier %s from %d to %d replicas", tier, from, to)
}

// Rollout tells that a tier gets a new pod template.
func Rollout(tier string) Event {
	return newEvent(corev1.EventTypeNormal, v1alpha1.EventRollout, "Rollout",
		"Rolling out a new pod template to tier %s", tier)
}

// RolloutDowntime tells that a tier is down while it rolls out, for want of room.
func RolloutDowntime(tier string) Event {
	return newEvent(corev1.EventTypeWarning, v1alpha1.EventRolloutDowntime, "Rollout",
		"Tier %s has no replica while it rolls out, since neither reserve nor unallocated memory has room for an "+
			"old and a new pod: raise spec.reserve or spec.memory to roll it out without downtime", tier)
}

// ScalerConflict tells that somebody else changed replicas of a tier and that they were put back.
func ScalerConflict(tier string, theirs, ours int32) Event {
	return newEvent(corev1.EventTypeWarning, v1alpha1.EventScalerConflict, "Scale",
		"Somebody else set tier %s to %d replicas; put back to %d: set spec.tiers[].replicas of the MemoryBudget instead, "+
			"and remove any autoscaler of its Deployment", tier, theirs, ours)
}

// TierRemoved tells that a tier that is no longer in the spec is gone.
func TierRemoved(tier string) Event {
	return newEvent(corev1.EventTypeNormal, v1alpha1.EventTierRemoved, "Delete", "Removed tier %s", tier)
}

// Stalled tells that the operator cannot go on without a change by somebody.
func Stalled(reason, message string) Event {
	return newEvent(corev1.EventTypeWarning, v1alpha1.EventStalled, "Reconcile", "%s: %s", reason, message)
}
