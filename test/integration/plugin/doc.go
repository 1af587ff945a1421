// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin tests the kubectl plugin as people run it: the built command, found and started by the real
// kubectl, against a real API server.
package plugin
