// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// TestTakeChange: a change is as old as the first reading that showed it, and is told once.
func TestTakeChange(t *testing.T) {
	start := time.Unix(1000, 0)
	clock := clocktesting.NewFakeClock(start)
	b := New(Options{Clock: clock, Log: logr.Discard()})
	go func() {
		for {
			select {
			case <-b.Events():
			case <-t.Context().Done():
				return
			}
		}
	}()
	key := client.ObjectKey{Namespace: "shop", Name: "bunoraa"}
	p := &poller{target: target{address: "redis:6379"}, sources: map[*source]bool{}}
	s := &source{users: map[client.ObjectKey]bool{key: true}, poller: p}
	p.sources[s] = true
	b.users[key] = &user{source: s, asks: asks{scaled: []string{"emails"}}}

	tasks := func(n int64) reading { return reading{queues: []observe.Queue{{Name: "emails", Ready: n}}} }
	b.read(p, tasks(1), nil)
	clock.Step(10 * time.Second)
	b.read(p, tasks(1), nil)
	for _, want := range []time.Time{start, {}} {
		if got := b.TakeChange(key); !got.Equal(want) {
			t.Errorf("changed at %v, want %v", got, want)
		}
	}
	b.read(p, tasks(2), nil)
	if got := b.TakeChange(key); !got.Equal(start.Add(10 * time.Second)) {
		t.Errorf("changed again at %v", got)
	}
	if got := b.TakeChange(client.ObjectKey{Name: "unknown"}); !got.IsZero() {
		t.Errorf("a resource that is not known changed at %v", got)
	}
}

// TestNewQuestionsAreAskedSoon: a broker that is read already is read again soon for who asks for what was not read, and only then.
func TestNewQuestionsAreAskedSoon(t *testing.T) {
	b := New(Options{Log: logr.Discard()})
	defer b.cancel()
	p := &poller{sources: map[*source]bool{}, asked: make(chan struct{}, 1)}
	from := origin{namespace: "shop"}
	s := &source{origin: from, users: map[client.ObjectKey]bool{}, poller: p}
	b.sources[from] = s
	for _, step := range []struct {
		name  string
		who   string
		asks  asks
		asked int
	}{
		{name: "the first", who: "a", asks: asks{scaled: []string{"emails"}}, asked: 1},
		{name: "the first again", who: "a", asks: asks{scaled: []string{"emails"}}},
		{name: "another", who: "b", asks: asks{scaled: []string{"emails"}}, asked: 1},
		{name: "a queue more", who: "a", asks: asks{scaled: []string{"emails", "images"}}, asked: 1},
		{name: "a list", who: "b", asks: asks{scaled: []string{"emails"}, lists: []string{"orders"}}, asked: 1},
		{name: "all as before", who: "b", asks: asks{scaled: []string{"emails"}, lists: []string{"orders"}}},
	} {
		b.use(client.ObjectKey{Namespace: "shop", Name: step.who}, from, step.asks)
		if got := len(p.asked); got != step.asked {
			t.Errorf("%s: asked %d times, want %d", step.name, got, step.asked)
		}
		for len(p.asked) > 0 {
			<-p.asked
		}
	}
}
