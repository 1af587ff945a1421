// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package offline reads a MemoryBudget as the API server would, with no cluster: unknown and duplicate
// fields are refused as under kubectl's --validate=strict, defaults are set, and the schema and the CEL
// rules of the CustomResourceDefinition are checked, by the API server's own libraries.
//
// Invariant: what is accepted here is accepted by an API server of the Kubernetes version in go.mod that
// has this CustomResourceDefinition, what is refused is refused there, and the text is the same. The one exception is
// generateName, which leaves the name to the API server and is refused here.
//
// It pulls in the CEL compiler; the operator, whose objects have been through an API server, does without.
package offline
