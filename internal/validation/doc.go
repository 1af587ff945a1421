// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package validation finds what is wrong with a MemoryBudget that an API server has accepted: what its schema and
// CEL rules cannot express, and what Kubernetes would refuse only when a Deployment is made from it, when others of the
// same resource may have been changed already.
//
// It is pure. A resource without errors is not guaranteed to be accepted as Deployments: what depends on the cluster
// (quotas, policies, names that exist) shows only there.
package validation
