// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command tree of the plugin. Errors, usage and exit statuses are those of kubectl.
package cli
