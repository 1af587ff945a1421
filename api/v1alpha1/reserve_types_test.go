// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"encoding/json"
	"testing"
)

func TestReserveUnmarshalJSON(t *testing.T) {
	tests := map[string]struct {
		data      string
		want      string
		wantError bool
	}{
		"a word":                     {data: `"Auto"`, want: "Auto"},
		"a percentage":               {data: `"10%"`, want: "10%"},
		"a quantity":                 {data: `"1.5Gi"`, want: "1.5Gi"},
		"a number":                   {data: `268435456`, want: "268435456"},
		"a number beyond 32 bits":    {data: `3221225472`, want: "3221225472"},
		"zero":                       {data: `0`, want: "0"},
		"a truth":                    {data: `true`, wantError: true},
		"an object":                  {data: `{}`, wantError: true},
		"a word in escaped spelling": {data: `"A\u0075to"`, want: "Auto"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var spec MemoryBudgetSpec
			err := json.Unmarshal([]byte(`{"reserve":`+tc.data+`}`), &spec)
			if (err != nil) != tc.wantError {
				t.Fatalf("error %v, want error: %t", err, tc.wantError)
			}
			if !tc.wantError && spec.Reserve.String() != tc.want {
				t.Errorf("read as %q, want %q", spec.Reserve, tc.want)
			}
		})
	}
}

func TestReserveStringOfNone(t *testing.T) {
	var none *Reserve
	if got := none.String(); got != "" {
		t.Errorf("%q", got)
	}
}
