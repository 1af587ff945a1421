// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package live shows and changes MemoryBudgets in a cluster. It writes nothing but spec.pause, and asks
// for nothing but MemoryBudgets and their pods.
package live
