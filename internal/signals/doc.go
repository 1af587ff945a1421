// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package signals reads what tells how much there is to do: for now, in which queues of a broker tasks wait.
//
// Reading goes on by itself, outside of reconciliation. A resource that names a broker makes it start, the last one that
// does so makes it end, and resources with the same URL share one connection. What was read last is taken as a fact into
// the snapshot of a resource; the resource is woken only when what is known changes. A reading that fails does not undo
// the last one at once: what is known stays known for a minute.
//
// The URL of a broker is written by users, and what answers there is theirs. So it is only ever spoken to in the protocol
// of such a broker, at addresses that a guard allows, each reading bounded in time and bytes; no redirect is followed, and
// of what it answers nothing but names of queues is passed on. Errors become one of a few states (observe.BrokerState):
// no word of a broker, and nothing of a URL but host and port, reaches a status, an event or a log.
package signals
