// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// TierTooSmallError says that the processes of a tier do not fit its pods.
type TierTooSmallError struct {
	// Tier is the name of the tier.
	Tier string
	// PodBytes is memory.perPod, NeedBytes the smallest that would do, a whole number of Mi.
	PodBytes, NeedBytes int64
	// Processes is how many worker processes were asked for, 1 where the operator may choose.
	Processes int32
	// BaselineBytes is what a process takes before it does anything; Measured tells whether that
	// was measured or is the constant that stands in for a measurement.
	BaselineBytes int64
	Measured      bool
}

// Error names the field and what would be right.
func (e *TierTooSmallError) Error() string {
	source := "is assumed to take"
	if e.Measured {
		source = "takes"
	}
	return fmt.Sprintf("spec.tiers[%s].memory.perPod: %s is too small for %d worker process(es): "+
		"a process of this application %s %s before it does anything: raise perPod to at least %s%s",
		e.Tier, quantity(e.PodBytes), e.Processes, source, quantity(e.BaselineBytes), quantity(e.NeedBytes), e.fewer())
}

func (e *TierTooSmallError) fewer() string {
	if e.Processes > 1 {
		return ", or ask for fewer processes"
	}
	return ""
}

// SettingError says that a value in the spec would do harm.
type SettingError struct {
	// Field is the path of the field.
	Field string
	// Message says what is wrong and what would be right.
	Message string
}

// Error is "field: message".
func (e *SettingError) Error() string { return e.Field + ": " + e.Message }

// quantity formats bytes as people write them, rounded to Mi where they are more than 10Mi.
func quantity(bytes int64) string {
	if bytes > 10*mebi {
		bytes = (bytes + mebi/2) / mebi * mebi
	}
	return resource.NewQuantity(bytes, resource.BinarySI).String()
}
