// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package observe reads: it turns the cluster into one Snapshot, the only thing that decisions are
// made from. It writes nothing and decides nothing.
//
// Reads come from the manager's cache, which holds only objects with our labels. An object that a
// resource should have and that the cache does not hold is looked up once at the API server, so that
// an object of the same name that belongs to somebody else is seen and left alone; for a new resource, of which there is
// nothing yet, a list of the names of all that the cache does not hold comes first. What is known of
// the broker comes from internal/signals, which reads brokers by itself.
package observe
