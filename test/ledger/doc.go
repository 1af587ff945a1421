// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger records what becomes of a namespace and judges whether its MemoryBudget kept its promise.
//
// A Recorder watches the namespace with a client of its own, from before the first write. A Judge plays the history back
// in the order of resource versions and computes the exposure at each of them: what the pods hold, and what the
// controllers of Kubernetes may add to it by themselves. No code of the operator takes part in judging the operator.
package ledger
