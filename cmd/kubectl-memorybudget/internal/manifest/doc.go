// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads MemoryBudgets from files, directories, URLs and standard input, as kubectl
// reads objects, and checks them as an API server would, without one.
//
// A document that is not valid does not keep the others from being read. Text is kept as it was
// written until it is checked, so that a field given twice is found.
package manifest
