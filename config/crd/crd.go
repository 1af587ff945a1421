// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd holds the generated CustomResourceDefinition.
package crd

import _ "embed"

// MemoryBudgets is the CustomResourceDefinition of MemoryBudget, as YAML.
//
//go:embed bases/memorybudget.dev_memorybudgets.yaml
var MemoryBudgets []byte
