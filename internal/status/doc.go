// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package status says what was found and decided: conditions, figures per tier, and each decision in
// words. It is pure. Every condition is set every time, by one function each. Messages hold no time
// and no random name, so that equal states give equal text.
package status
