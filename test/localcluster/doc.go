// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package localcluster runs a Kubernetes control plane on this machine without root, containers or downloaded
// binaries: etcd, kube-apiserver and, as asked, kube-controller-manager, kube-scheduler and nodes simulated by kwok.
//
// The API server is the real one: RBAC, Pod Security admission, ValidatingAdmissionPolicy and service account tokens
// work as in production. The nodes are not: no container ever runs, and a pod's life follows the stages of this package,
// which annotations on the pod steer (ReadyAnnotation and the ones beside it).
//
// A cluster lives in one of two ways. By default it dies with the process that started it, even when that process is
// killed; integration tests use that. A detached one outlives its starter, is found again by Load and ends by Stop.
//
// Invariant: whatever Start began is stopped before Start returns an error, and Stop only ever signals processes
// that this package started, recognised by process id and start time together.
package localcluster
