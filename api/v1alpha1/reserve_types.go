// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"fmt"
)

// ReserveAuto is the value of spec.reserve that lets the operator choose.
const ReserveAuto = "Auto"

// Reserve is Auto, a percentage such as 10%, or a quantity of bytes: a string, or a number of any
// size in JSON. An int-or-string of Kubernetes would not do: it ends at 2147483647.
// +kubebuilder:validation:XIntOrString
// +kubebuilder:validation:MaxLength=32
type Reserve string

// String returns the reserve as it is written in the resource.
func (r *Reserve) String() string {
	if r == nil {
		return ""
	}
	return string(*r)
}

// UnmarshalJSON reads a string or a whole number.
func (r *Reserve) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*r = Reserve(text)
		return nil
	}
	var number json.Number
	if err := json.Unmarshal(data, &number); err != nil {
		return fmt.Errorf("reserve must be a string or a number: %w", err)
	}
	*r = Reserve(number)
	return nil
}
