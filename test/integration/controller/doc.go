// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controller tests the operator as its users meet it: on a real API server with the real controllers of
// Kubernetes and simulated nodes, with exactly the permissions and admission policies that it ships with.
//
// Between the operator and the API server sits a tap, which numbers the operator's writes and can end the operator, or
// lose or change an answer, at any one of them. Beside it a recorder watches the cluster with its own client. When a test
// ends, the recorded history is played back in the order of its resource versions and must show, at every single version:
//
//   - what the pods hold and may still take, by a formula of this package's own, within the budget, unless somebody
//     else's edit or a lowered budget took it beyond, and no write of the operator that raises it beyond;
//   - a status whose conditions are all set, agree with kstatus, and change their time only with their value;
//   - no write outside of the resource's namespace, and none refused by RBAC or an admission policy.
package controller
