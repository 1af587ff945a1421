// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package api tests the CustomResourceDefinition on a real API server: what it accepts, what it refuses and in which
// words, what it sets by default and what it shows. What the API server says of an object, the offline validation must
// say too, word for word.
package api
