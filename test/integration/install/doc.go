// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package install tests what users install: that kustomize and the chart give the same objects, that they install,
// upgrade and uninstall on a real API server, and that the shipped roles and policies allow and refuse what they should.
package install
