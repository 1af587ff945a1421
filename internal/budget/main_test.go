// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"flag"
	"os"
	"testing"
)

// TestMain makes the property tests try more than rapid does by itself: what they
// look for takes several rare events in a row. -rapid.checks says how much more.
func TestMain(m *testing.M) {
	checks := "1000"
	for _, arg := range os.Args {
		if arg == "-test.short=true" {
			checks = "100"
		}
	}
	if err := flag.Set("rapid.checks", checks); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
