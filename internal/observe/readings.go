// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// ReadingState says whether the value of a metric is known and, where it is not, why. What a Prometheus has in common with a broker
// that cannot be read is called as there.
type ReadingState string

const (
	// ReadingNotReadYet is a metric that was not read since the operator started or the spec named it.
	ReadingNotReadYet = ReadingState(BrokerNotReadYet)
	// ReadingRead is a metric whose value is known.
	ReadingRead = ReadingState(BrokerRead)
	// ReadingNotANumber is a metric without a value that is a single number of at least 0.
	ReadingNotANumber ReadingState = "NotANumber"
	// ReadingUnavailable is an external metric that the cluster has no API for, or that its adapter tells nothing about.
	ReadingUnavailable ReadingState = "Unavailable"
	// ReadingDenied is an external metric that the operator may not read.
	ReadingDenied ReadingState = "Denied"
	// ReadingQueryInvalid is a query that the Prometheus does not take, or cannot evaluate.
	ReadingQueryInvalid ReadingState = "QueryInvalid"
	// ReadingUnreachable is a Prometheus that cannot be connected to, or does not answer in time.
	ReadingUnreachable = ReadingState(BrokerUnreachable)
	// ReadingUntrusted is a Prometheus whose certificate the operator does not accept.
	ReadingUntrusted = ReadingState(BrokerUntrusted)
	// ReadingRefuses is a Prometheus that refuses the token, or wants one.
	ReadingRefuses = ReadingState(BrokerRefuses)
	// ReadingForbidden is a Prometheus at an address that the operator does not connect to.
	ReadingForbidden = ReadingState(BrokerForbidden)
	// ReadingAnswerInvalid is one that does not answer as a Prometheus does.
	ReadingAnswerInvalid = ReadingState(BrokerAnswerInvalid)
	// ReadingSecretMissing is a Secret that does not exist.
	ReadingSecretMissing = ReadingState(BrokerSecretMissing)
	// ReadingSecretKeyMissing is a Secret without the key.
	ReadingSecretKeyMissing = ReadingState(BrokerSecretKeyMissing)
	// ReadingSecretForbidden is a Secret that the operator may not get.
	ReadingSecretForbidden = ReadingState(BrokerSecretForbidden)
	// ReadingSecretInvalid is a Secret whose value is no token, or holds no certificate.
	ReadingSecretInvalid ReadingState = "SecretInvalid"
)

// Reading is what is known of an external metric or a query of a Prometheus.
type Reading struct {
	// Tier and Metric, an index of its scaling.metrics, say of which.
	Tier   string
	Metric int
	// State says whether the rest is known.
	State ReadingState
	// Milli is the value in thousandths. It is what was last read, also while it cannot be read.
	Milli int64
	// Secret is the one at fault, where one is.
	Secret v1alpha1.SecretKeyReference
	// FailingSince is when readings began to fail, zero while they succeed.
	FailingSince time.Time
}

// Fresh says whether what is known is the value as it is now.
func (r *Reading) Fresh() bool { return r.State == ReadingRead && r.FailingSince.IsZero() }

// ReadingsReader knows what was last read of the external metrics and Prometheus queries of a resource, in the order of its spec. It
// does not read then.
type ReadingsReader interface {
	Readings(mb *v1alpha1.MemoryBudget) []Reading
}

// Reading is what is known of a metric of a tier.
func (s *Snapshot) Reading(tier string, metric int) Reading {
	for _, r := range s.Readings {
		if r.Tier == tier && r.Metric == metric {
			return r
		}
	}
	return Reading{Tier: tier, Metric: metric, State: ReadingNotReadYet}
}

// ValueTarget is what the value of a metric is compared with; for each replica if perReplica. It is false for a metric that has no value
// of its own.
func ValueTarget(m *v1alpha1.Metric) (target resource.Quantity, perReplica, found bool) {
	var value, average *resource.Quantity
	switch {
	case m.External != nil:
		value, average = m.External.TargetValue, m.External.TargetAverageValue
	case m.Prometheus != nil:
		value, average = m.Prometheus.TargetValue, m.Prometheus.TargetAverageValue
	}
	switch {
	case average != nil:
		return *average, true, true
	case value != nil:
		return *value, false, true
	}
	return resource.Quantity{}, false, false
}
