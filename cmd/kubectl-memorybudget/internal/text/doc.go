// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package text puts figures into words and tables, as kubectl does. Equal input gives equal text.
package text
