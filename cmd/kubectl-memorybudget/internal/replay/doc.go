// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package replay makes the decisions of a recording again, without a cluster, and tells in what they differ from what was
// recorded and what each tier asked for and was granted.
package replay
