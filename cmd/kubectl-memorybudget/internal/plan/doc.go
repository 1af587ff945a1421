// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plan shows what the operator would do with a MemoryBudget in an empty namespace, without a
// cluster. It decides nothing itself: the decision and its words are those of the operator.
//
// What is not known without a cluster is what pods report of themselves: the constants of
// internal/settings stand in for the memory that the application takes and for its versions.
package plan
