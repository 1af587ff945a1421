// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// poller reads a broker for all sources that lead to it.
type poller struct {
	target  target
	sources map[*source]bool
	cancel  context.CancelFunc
	// asked is told when a resource asks for what was not read.
	asked chan struct{}
	known observe.Broker
	// readAt is when it was last read, zero where it never was.
	readAt time.Time
	// refused is set while the broker refuses the user.
	refused bool
	// roll is what heartbeats tell of the workers; deafen ends listening to them, and is nil while nobody does.
	roll   roll
	deafen context.CancelFunc
}

// question is what a reading is to tell beside the queues in which tasks wait.
type question struct {
	// queues are those whose tasks are counted.
	queues []string
	// streams and lists of a Redis are those whose entries and elements are counted.
	streams []observe.ConsumerGroup
	lists   []string
	// withoutTasks: nobody takes tasks from the broker, so that nothing but streams and lists is looked at.
	withoutTasks bool
	// now tells ETAs that are to come from those that are due.
	now time.Time
}

// reading is what a broker said.
type reading struct {
	// waiting are the queues in which tasks wait, sorted.
	waiting []string
	// queues are the tasks of the queues that were asked for, sorted by name. One that the broker tells nothing about yet
	// is missing.
	queues []observe.Queue
	// streams and lists are those that were asked for, sorted.
	streams []observe.Stream
	lists   []observe.List
}

// reader is a connection to a broker.
type reader interface {
	read(ctx context.Context, q question) (reading, error)
	close() error
}

func newReader(t target, guard Guard) reader {
	if t.rabbitmq {
		return newRabbitReader(t, guard)
	}
	return newRedisReader(t, guard)
}

// attach makes a source take its readings from a target.
func (b *Brokers) attach(s *source, t target) {
	if s.poller != nil && s.poller.target == t {
		return
	}
	b.detach(s)
	p := b.pollers[t]
	if p == nil {
		ctx, cancel := context.WithCancel(b.ctx)
		p = &poller{
			target: t, sources: map[*source]bool{}, cancel: cancel, asked: make(chan struct{}, 1),
			known: observe.Broker{State: observe.BrokerNotReadYet, Address: t.address},
		}
		b.pollers[t] = p
		b.running.Go(func() { b.poll(ctx, p) })
	} else {
		nudge(p.asked)
	}
	p.sources[s], s.poller = true, p
}

// detach takes a source from its poller, which ends with the last one.
func (b *Brokers) detach(s *source) {
	p := s.poller
	if p == nil {
		return
	}
	s.poller = nil
	if delete(p.sources, s); len(p.sources) == 0 {
		p.cancel()
		delete(b.pollers, p.target)
	}
}

// poll reads a broker again and again.
func (b *Brokers) poll(ctx context.Context, p *poller) {
	r := newReader(p.target, b.options.Guard)
	defer func() {
		if err := r.close(); err != nil {
			b.options.Log.V(1).Info("A connection was not closed", "broker", p.target.address)
		}
	}()
	for {
		q := b.question(p)
		b.listens(ctx, p, len(q.queues) > 0)
		got, err := readOnce(ctx, r, q)
		if ctx.Err() != nil {
			return
		}
		b.read(p, got, err)
		if !pause(ctx, b.options.Clock, b.options.Interval, p.asked) {
			return
		}
	}
}

// question asks for what the resources of a poller scale by.
func (b *Brokers) question(p *poller) question {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := question{withoutTasks: true, now: b.options.Clock.Now()}
	for s := range p.sources {
		for key := range s.users {
			u := b.users[key]
			q.queues = append(q.queues, u.scaled...)
			q.streams, q.lists = append(q.streams, u.streams...), append(q.lists, u.lists...)
			q.withoutTasks = q.withoutTasks && len(u.queues) == 0
		}
	}
	q.queues, q.lists = distinct(q.queues), distinct(q.lists)
	q.streams = observe.DistinctGroups(q.streams)
	return q
}

func distinct(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// readOnce survives whatever an answer does to the client that reads it.
func readOnce(ctx context.Context, r reader, q question) (got reading, err error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	defer func() {
		if recovered := recover(); recovered != nil {
			got, err = reading{}, fmt.Errorf("%w: it makes the client panic", errAnswer)
		}
	}()
	return r.read(ctx, q)
}

// read takes what a reading said.
func (b *Brokers) read(p *poller, got reading, err error) {
	b.mu.Lock()
	before := p.known
	p.take(got, err, b.options.Clock.Now())
	var concerned []client.ObjectKey
	for s := range p.sources {
		concerned = append(concerned, b.concerned(s, before)...)
	}
	b.mu.Unlock()
	if before.State != p.known.State {
		b.options.Log.Info("A broker is seen otherwise", "broker", p.target.address, "was", before.State, "is", p.known.State)
	}
	b.wake(concerned)
}

// take files a reading. What was read stays known for a while when nothing can be read; a user that is refused may have
// another password by now.
func (p *poller) take(got reading, err error, now time.Time) {
	if err == nil {
		p.readAt, p.refused = now, false
		p.known = observe.Broker{
			State: observe.BrokerRead, Address: p.target.address, Waiting: got.waiting,
			Queues: got.queues, Streams: got.streams, Lists: got.lists,
		}
		return
	}
	if p.known.FailingSince.IsZero() {
		p.known.FailingSince = now
	}
	state := stateOf(err)
	if refused := state == observe.BrokerRefuses; refused != p.refused {
		p.refused = refused
		for s := range p.sources {
			s.readAgain()
		}
	}
	if p.readAt.IsZero() || now.Sub(p.readAt) > staleAfter {
		p.known = observe.Broker{
			State: state, Address: p.target.address, FailingSince: p.known.FailingSince,
			Queues: p.known.Queues, Streams: p.known.Streams, Lists: p.known.Lists,
		}
	}
}

// readAgain makes the Secret be read now.
func (s *source) readAgain() {
	nudge(s.again)
}
