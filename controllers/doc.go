// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers reconciles MemoryBudgets: it reads the cluster into a snapshot, lets package
// decision decide, writes what was decided in that order, and reports. It is the only place that
// writes.
package controllers
