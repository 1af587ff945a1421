// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

const (
	// pollInterval is how often a broker is read, and how soon a Secret again that could not be.
	pollInterval = 10 * time.Second
	// secretInterval is how often a Secret is read again that could be, and how seldom at most one that could not.
	secretInterval = time.Minute
	// callLimit bounds one reading.
	callLimit = 5 * time.Second
	// staleAfter is how long what was read stays known while the broker cannot be read.
	staleAfter = time.Minute
	// jitter spreads readings: a wait is longer by up to this part of it.
	jitter = 0.1
)

// Options are what readings depend on.
type Options struct {
	// Secrets asks the API server; nothing is cached.
	Secrets client.Reader
	// Guard says which addresses may be connected to: that of NewGuard unless set.
	Guard Guard
	// Log is told when a broker can no longer be read, and when it can again.
	Log logr.Logger
	// Clock is the real one unless set.
	Clock clock.WithTicker
	// Interval is how often brokers are read: every ten seconds unless set.
	Interval time.Duration
}

// Brokers reads the brokers of all resources that ask for them.
type Brokers struct {
	loops

	options Options
	users   map[client.ObjectKey]*user
	sources map[origin]*source
	pollers map[target]*poller
}

// user is a resource that takes tasks or other work from a broker.
type user struct {
	source *source
	asks
	// changed is when what the resource sees last changed, zero once that was taken.
	changed time.Time
	// heard is what the resource last saw of its workers, which are on hosts whose names have the prefix.
	heard  hearing
	prefix string
}

// hears is what heartbeats tell of the workers of the resource by now. They matter only where tiers scale.
func (u *user) hears(now time.Time) hearing {
	if u.source.poller == nil || len(u.scaled) == 0 {
		return hearing{}
	}
	return u.source.poller.roll.of(u.prefix, now)
}

// concerned says whether the resource sees something else than before. That readings fail matters at once only where tiers
// scale by them: for the rest, what was read stays known for a while.
func (u *user) concerned(before, after observe.Broker) bool {
	before, after = u.sees(before), u.sees(after)
	turned := before.FailingSince.IsZero() != after.FailingSince.IsZero()
	before.FailingSince, after.FailingSince = time.Time{}, time.Time{}
	return turned && u.scales() || !reflect.DeepEqual(before, after)
}

// source is where the URLs of resources are kept.
type source struct {
	origin origin
	users  map[client.ObjectKey]bool
	cancel context.CancelFunc
	// again is told when the Secret is to be read now.
	again chan struct{}
	// poller reads the broker, nil while it is not known. Fault says why not.
	poller *poller
	fault  observe.Broker
	// failures are those to read the Secret since it was last read; failingSince is when they began.
	failures     int
	failingSince time.Time
}

// known is what is known of the broker of a source.
func (s *source) known() observe.Broker {
	switch {
	case s.fault.State != "":
		return s.fault
	case s.poller == nil:
		return observe.Broker{State: observe.BrokerNotReadYet}
	}
	return s.poller.known
}

var (
	_ observe.BrokerReader = (*Brokers)(nil)
	_ manager.Runnable     = (*Brokers)(nil)
)

// New reads nothing until a resource asks.
func New(options Options) *Brokers {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Interval == 0 {
		options.Interval = pollInterval
	}
	if options.Guard == nil {
		options.Guard = NewGuard()
	}
	return &Brokers{
		loops: newLoops(), options: options,
		users: map[client.ObjectKey]*user{}, sources: map[origin]*source{}, pollers: map[target]*poller{},
	}
}

// Broker is what is known of the broker of a resource, which is read from now on until the resource is forgotten or names
// another one.
func (b *Brokers) Broker(mb *v1alpha1.MemoryBudget) observe.Broker {
	key := client.ObjectKeyFromObject(mb)
	from, instead := originOf(mb)
	if instead != observe.BrokerRead {
		b.Forget(key)
		return observe.Broker{State: instead}
	}
	b.mu.Lock()
	known, concerned := b.use(key, from, asksOf(mb))
	b.mu.Unlock()
	b.wake(concerned)
	return known
}

// TakeChange is when a reading last told a resource something else than the one before; zero where that was already taken.
func (b *Brokers) TakeChange(key client.ObjectKey) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.users[key]
	if u == nil {
		return time.Time{}
	}
	changed := u.changed
	u.changed = time.Time{}
	return changed
}

// Forget ends readings that no other resource asks for.
func (b *Brokers) Forget(key client.ObjectKey) {
	b.mu.Lock()
	var concerned []client.ObjectKey
	if u := b.users[key]; u != nil {
		concerned = b.neighbours(key, u.source)
		b.leave(key, u.source)
	}
	b.mu.Unlock()
	b.wake(concerned)
}

// use files a resource. It returns what is known, and the others that its queues concern, if they are other ones than before.
func (b *Brokers) use(key client.ObjectKey, from origin, what asks) (observe.Broker, []client.ObjectKey) {
	if b.ctx.Err() != nil {
		return observe.Broker{State: observe.BrokerNotReadYet}, nil
	}
	before, concerned := b.users[key], []client.ObjectKey(nil)
	if before != nil && before.source.origin != from {
		concerned = b.neighbours(key, before.source)
		b.leave(key, before.source)
		before = nil
	}
	s := b.sources[from]
	if s == nil {
		s = b.open(from)
	}
	s.users[key] = true
	u := &user{source: s, asks: what, prefix: key.Name + "-"}
	if before != nil {
		u.changed = before.changed
	}
	u.heard = u.hears(b.options.Clock.Now())
	b.users[key] = u
	if before == nil || !slices.Equal(before.queues, what.queues) {
		concerned = append(concerned, b.neighbours(key, s)...)
	}
	if s.poller != nil && (before == nil || !reflect.DeepEqual(before.asks, what)) {
		nudge(s.poller.asked)
	}
	known := u.sees(s.known())
	known.Heartbeats, known.Workers = u.heard.state, u.heard.workers
	return known, concerned
}

// neighbours are the other resources of the namespace that name the same Secret, where it matters to them who takes which
// queue: where tasks wait.
func (b *Brokers) neighbours(but client.ObjectKey, s *source) []client.ObjectKey {
	var others []client.ObjectKey
	for _, other := range b.sources {
		if other.origin.namespace != s.origin.namespace || other.origin.url != s.origin.url || len(other.known().Waiting) == 0 {
			continue
		}
		for key := range other.users {
			if key != but {
				others = append(others, key)
			}
		}
	}
	return others
}

// open begins to look for the URL.
func (b *Brokers) open(from origin) *source {
	ctx, cancel := context.WithCancel(b.ctx)
	s := &source{origin: from, users: map[client.ObjectKey]bool{}, cancel: cancel, again: make(chan struct{}, 1)}
	b.sources[from] = s
	b.running.Go(func() { b.follow(ctx, s) })
	return s
}

// leave takes a resource from a source, which ends with the last one.
func (b *Brokers) leave(key client.ObjectKey, s *source) {
	delete(b.users, key)
	delete(s.users, key)
	if len(s.users) > 0 {
		return
	}
	s.cancel()
	delete(b.sources, s.origin)
	b.detach(s)
}

// follow reads the Secret again and again.
func (b *Brokers) follow(ctx context.Context, s *source) {
	retry := b.options.Interval
	for {
		delay := secretInterval
		call, cancel := context.WithTimeout(ctx, callLimit)
		found, fault, err := lookup(call, b.options.Secrets, s.origin)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			b.options.Log.V(1).Info("The API server does not give a Secret", "namespace", s.origin.namespace, "name", s.origin.url.Name)
		default:
			b.resolved(s, found, fault)
		}
		if err != nil || fault.State != "" {
			delay, retry = retry, min(2*retry, secretInterval)
		} else {
			retry = b.options.Interval
		}
		select {
		case <-ctx.Done():
			return
		case <-s.again:
		case <-b.options.Clock.After(wait.Jitter(delay, jitter)):
		}
	}
}

// resolved takes what a Secret said. One that could be read is looked for twice before it is given up.
func (b *Brokers) resolved(s *source, found target, fault observe.Broker) {
	b.mu.Lock()
	before := s.known()
	switch {
	case b.sources[s.origin] != s:
		b.mu.Unlock()
		return
	case fault.State == "":
		s.failures, s.fault, s.failingSince = 0, observe.Broker{}, time.Time{}
		b.attach(s, found)
	default:
		s.fails(before, b.options.Clock.Now())
		if s.poller == nil || s.failures > 1 {
			s.giveUp(before, fault)
			b.detach(s)
		}
	}
	concerned := b.concerned(s, before)
	b.mu.Unlock()
	b.wake(concerned)
}

// fails counts a failure. Readings may have failed before.
func (s *source) fails(before observe.Broker, now time.Time) {
	s.failures++
	if s.failingSince.IsZero() {
		s.failingSince = now
	}
	if since := before.FailingSince; !since.IsZero() && since.Before(s.failingSince) {
		s.failingSince = since
	}
}

// giveUp takes what is wrong with the Secret for what is known. What was read stays.
func (s *source) giveUp(before, fault observe.Broker) {
	s.fault = fault
	s.fault.Queues, s.fault.Streams, s.fault.Lists = before.Queues, before.Streams, before.Lists
	s.fault.FailingSince = s.failingSince
}

// concerned are the resources of a source that see something else than before. Heartbeats come every two seconds: they wake
// nobody by themselves, but are looked at with each reading.
func (b *Brokers) concerned(s *source, before observe.Broker) []client.ObjectKey {
	var keys []client.ObjectKey
	now := b.options.Clock.Now()
	for key := range s.users {
		if u := b.users[key]; u.concerned(before, s.known()) || !reflect.DeepEqual(u.heard, u.hears(now)) {
			u.changed = now
			keys = append(keys, key)
		}
	}
	return keys
}
