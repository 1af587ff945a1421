// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// BrokerState says whether the queues of a broker are known and, where they are not, why.
type BrokerState string

const (
	// BrokerNone is a resource that takes no tasks from a broker.
	BrokerNone BrokerState = ""
	// BrokerNotReadYet is a broker that was not read since the operator started or the spec named it.
	BrokerNotReadYet BrokerState = "NotReadYet"
	// BrokerRead is a broker whose queues are known.
	BrokerRead BrokerState = "Read"
	// BrokerUnreachable is a broker that cannot be connected to, or does not answer in time.
	BrokerUnreachable BrokerState = "Unreachable"
	// BrokerUntrusted is a broker whose certificate the operator does not accept.
	BrokerUntrusted BrokerState = "Untrusted"
	// BrokerRefuses is a broker that refuses the user, the password or what the user asks for.
	BrokerRefuses BrokerState = "Refuses"
	// BrokerForbidden is a broker at an address that the operator does not connect to.
	BrokerForbidden BrokerState = "Forbidden"
	// BrokerAnswerInvalid is a broker that does not answer as such a broker does.
	BrokerAnswerInvalid BrokerState = "AnswerInvalid"
	// BrokerSecretMissing is a Secret that does not exist.
	BrokerSecretMissing BrokerState = "SecretMissing"
	// BrokerSecretKeyMissing is a Secret without the key.
	BrokerSecretKeyMissing BrokerState = "SecretKeyMissing"
	// BrokerSecretForbidden is a Secret that the operator may not get.
	BrokerSecretForbidden BrokerState = "SecretForbidden"
	// BrokerURLInvalid is a Secret whose value is no URL of such a broker.
	BrokerURLInvalid BrokerState = "URLInvalid"
	// BrokerManagementURLMissing is a RabbitMQ broker without a management API to ask.
	BrokerManagementURLMissing BrokerState = "ManagementURLMissing"
)

// Broker is what is known of the queues in the broker of a resource.
type Broker struct {
	// State says whether the rest is known.
	State BrokerState
	// Address is the host and port of a broker that was or was to be read.
	Address string
	// Secret is the one at fault, where one is.
	Secret v1alpha1.SecretKeyReference
	// Fault says what is wrong with a URL. It holds nothing of the URL.
	Fault string
	// Waiting are the queues in which tasks wait, sorted, but for those that the broker shows to have consumers. Their
	// names are what others made them.
	Waiting []string
	// Queues say how much there is to do in the queues of the tiers that scale by them, sorted by name. They are what was
	// last read, also while the broker cannot be read. One that was not counted yet is missing.
	Queues []Queue
	// Streams and Lists say how much there is in those of a Redis that tiers scale by, sorted. They are what was last read, as Queues
	// are. One that was not counted yet is missing.
	Streams []Stream
	Lists   []List
	// FailingSince is when readings began to fail, zero while they succeed.
	FailingSince time.Time
	// Heartbeats says whether the heartbeats of workers are heard and, where they are not, why. It is BrokerNone where nobody
	// listens: no tier scales by queues. It is BrokerNotReadYet, too, where no worker of a RabbitMQ has sent an event yet.
	Heartbeats BrokerState
	// Workers are those of the resource's pods that were heard of lately, sorted. Of the others it is not known what they run.
	Workers []Worker
	// Elsewhere are the queues of other resources of the namespace that name the same Secret.
	Elsewhere []string
}

// Fresh says whether what is known of the queues is what they are now.
func (b *Broker) Fresh() bool { return b.State == BrokerRead && b.FailingSince.IsZero() }

// Queue is how much there is to do in a queue.
type Queue struct {
	// Name of the queue.
	Name string
	// Ready are the tasks that wait in the queue, of all priorities.
	Ready int64
	// Reserved are the tasks that workers have taken and not acknowledged: they are about to run them or, where tasks are
	// acknowledged late, run them.
	Reserved int64
	// Later are the tasks, waiting or taken, whose ETA is still to come. They are part of neither of the above.
	Later int64
	// NextETA is when the first of Later is due, zero where there is none.
	NextETA time.Time
	// Unstamped are those of Ready that were looked at and do not tell when they were published.
	Unstamped int64
	// Oldest is when the task that has waited longest could first be run: when it was published or, if that is later,
	// its ETA. Zero where no task waits or none of those looked at tells.
	Oldest time.Time
}

// BrokerReader knows what was last read from the broker of a resource. It does not read then. Workers may be in pods of others.
type BrokerReader interface {
	Broker(mb *v1alpha1.MemoryBudget) Broker
}

// readBroker takes what is known of the broker, and which of the queues in which tasks wait others take care of.
func (r *Reader) readBroker(ctx context.Context, s *Snapshot) error {
	if r.Brokers == nil {
		return nil
	}
	s.Broker = r.Brokers.Broker(s.MemoryBudget)
	s.Broker.Workers = workersIn(s.Pods, s.Broker.Workers)
	if len(s.Broker.Waiting) == 0 {
		return nil
	}
	// Only names of queues are taken from the copies.
	var all v1alpha1.MemoryBudgetList
	if err := r.Cache.List(ctx, &all, client.InNamespace(s.MemoryBudget.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing %T: %w", all, err)
	}
	for i := range all.Items {
		other := &all.Items[i]
		if other.Name != s.MemoryBudget.Name && SameBroker(other, s.MemoryBudget) {
			s.Broker.Elsewhere = append(s.Broker.Elsewhere, Queues(other)...)
		}
	}
	slices.Sort(s.Broker.Elsewhere)
	return nil
}

// SameBroker says whether both resources name the same key of the same Secret for their broker.
func SameBroker(a, b *v1alpha1.MemoryBudget) bool {
	ofA, ofB := settings.BrokerSecret(a.Spec.Broker), settings.BrokerSecret(b.Spec.Broker)
	return a.Namespace == b.Namespace && ofA != nil && ofB != nil && *ofA == *ofB
}

// Queues are those that the tiers of a resource take tasks from, sorted.
func Queues(mb *v1alpha1.MemoryBudget) []string {
	var queues []string
	for i := range mb.Spec.Tiers {
		if celery := mb.Spec.Tiers[i].Celery; celery != nil {
			queues = append(queues, celery.Queues...)
		}
	}
	slices.Sort(queues)
	return queues
}

// ScaledQueues are those whose tasks say how many replicas a tier needs, sorted.
func ScaledQueues(mb *v1alpha1.MemoryBudget) []string {
	var queues []string
	for i := range mb.Spec.Tiers {
		tier := &mb.Spec.Tiers[i]
		if ScalesByQueue(tier) {
			queues = append(queues, tier.Celery.Queues...)
		}
	}
	slices.Sort(queues)
	return slices.Compact(queues)
}

// ScalesByQueue says whether the queues of a tier are one of its metrics, which they are by default.
func ScalesByQueue(tier *v1alpha1.Tier) bool {
	if tier.Celery == nil || tier.Scaling == nil {
		return false
	}
	return len(tier.Scaling.Metrics) == 0 ||
		slices.ContainsFunc(tier.Scaling.Metrics, func(m v1alpha1.Metric) bool { return m.Queue != nil })
}
