// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package signals reads what tells how much there is to do: in which queues of a broker tasks wait, how many tasks there
// are in those that tiers scale by, what pods use, and the values of external metrics and of queries of a Prometheus.
//
// Reading goes on by itself, outside of reconciliation. A resource that names a broker makes it start, the last one that
// does so makes it end, and resources with the same URL share one connection. What was read last is taken as a fact into
// the snapshot of a resource; the resource is woken only when what is known changes. A reading that fails does not undo
// the last one at once: what is known stays known for a minute, and how many tasks there were for as long as readings fail.
//
// Tasks are counted only in the queues that a tier scales by. In a Redis they wait in lists, one for each priority; those that
// workers have taken and not acknowledged are in one hash for all queues and say where they were sent to. That is read once
// for each of them. What cannot be told apart, because it is not understood, too large or too much for one reading, counts as
// taken from every queue that is asked for, so that no tier is shrunk for it. Where tasks are acknowledged early, as Celery does
// by default, those that run are in no count. Workers tell of them: where tiers scale, their heartbeats are listened to, on a
// second connection, to a RabbitMQ by AMQP. A worker that was not heard of for a while is not known, which is not idle.
// Heartbeats are looked at with each reading, and so wake nobody more often. A RabbitMQ tells the counts itself, some seconds
// late, and nothing of ETAs and ages; it keeps tasks that are due later in the hands of workers or, with Celery's native delayed
// delivery, in queues of its own.
//
// Of Redis streams and lists that process tiers scale by, it is read how many entries a consumer group was not delivered yet, how many
// it has not acknowledged, and how many elements there are. Where the Redis does not tell the lag of a group, its next entries are
// counted, as many as fit into a reading; nothing that they hold is looked at. A resource without celery tiers makes nothing else be read.
//
// The URL of a broker is written by users, and what answers there is theirs. So it is only ever spoken to in the protocol
// of such a broker, at addresses that a guard allows, each reading bounded in time and bytes; no redirect is followed, and
// of what it answers nothing is passed on but names of queues and, of those that tiers scale by, how many tasks there are, the
// first ETA among them and when the oldest was published, and how many tasks run on hosts with names of the resource's pods. Of
// tasks, nothing but that is looked at. Errors become one of a few states (observe.BrokerState): no word of a broker, and nothing
// of a URL but host and port, reaches a status, an event or a log.
//
// The same holds for a Prometheus, whose address and query users write into their resources: it is sent an instant query and a
// token, at addresses that the guard allows, and of what it answers one number is kept. Where there is no such number, it is not
// known, which is not zero. Namespaces share no connections to a Prometheus, and each asks four queries at a time, so that slow ones keep
// no other namespace waiting.
package signals
