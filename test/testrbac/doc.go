// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testrbac puts what config/default ships onto a test cluster, so that tests run the operator with exactly the
// permissions, and under exactly the admission policies, that its users give it.
package testrbac
