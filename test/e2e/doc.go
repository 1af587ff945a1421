// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e proves on a real cluster, with real kubelets, cgroups and processes, what the operator promises: an
// application that dies of memory lives under a MemoryBudget, unchanged.
//
// It runs with `make test-e2e`, on a kind cluster made for it or on any other, and has the build tag e2e. The operator is
// installed by Helm from its image, with the roles and policies that it ships with; the application is the shop of
// examples/bunoraa. Each proof has a namespace of its own with its own database and brokers. What a proof that fails
// leaves is in build/e2e: logs, events, resources and the operator's log.
package e2e
