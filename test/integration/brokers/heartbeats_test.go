// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// awaitWorkers waits until heartbeats tell of these workers.
func (s *scene) awaitWorkers(mb *v1alpha1.MemoryBudget, state observe.BrokerState, want ...observe.Worker) {
	s.t.Helper()
	var got observe.Broker
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = s.brokers.Broker(mb); got.Heartbeats == state && cmp.Equal(want, got.Workers) {
			return
		}
	}
	s.t.Fatalf("heartbeats are %q, want %q; waited for other workers (-want +got):\n%s\nlog:\n%s",
		got.Heartbeats, state, cmp.Diff(want, got.Workers), s.written())
}

// TestHeartbeats: real workers that acknowledge early are known by their heartbeats, whatever prefix their keys have, until they are
// gone. A task that runs is in no count of the broker.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	for name, prefix := range map[string]string{"without a prefix": "", "with a prefix": "staging:"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := brokers.StartRedis(t, canary)
			s := newScene(t, signals.Options{})
			s.secret("broker", redisURL(redis, "/3"))
			shop, plain := scaled(redisShop("shop"), "celery"), redisShop("plain")
			s.awaitWorkers(shop, observe.BrokerRead)
			s.awaitWorkers(plain, observe.BrokerNone)

			celery := brokers.StartCelery(t, redisURL(redis, "/3")["url"], "HELD_PREFIX="+prefix)
			worker := celery.Pod(t, "shop-worker-7d9-x")
			celery.Pod(t, "shop-other-5c4-y", "-Q", "emails")
			celery.Pod(t, "plain-worker-1", "-Q", "emails")
			other := observe.Worker{Pod: "shop-other-5c4-y"}
			s.awaitWorkers(shop, observe.BrokerRead, other, observe.Worker{Pod: "shop-worker-7d9-x"})
			before := s.wakes("shop")
			celery.Publish(t, brokers.Task{Name: "one", Queue: "celery"})
			celery.Running(t, 1)
			eventually(t, "word of the task", func() bool { return s.wakes("shop") > before })
			s.awaitWorkers(shop, observe.BrokerRead, other, observe.Worker{Pod: "shop-worker-7d9-x", Active: 1})
			s.awaitQueues(shop, observe.Queue{Name: "celery"})

			worker.Kill(t)
			s.awaitWorkers(shop, observe.BrokerRead, other)
			if s.wakes("plain") > 1 {
				t.Error("heartbeats wake a resource that does not scale")
			}
		})
	}
}

// TestHeartbeatsRefused: a user without the channels cannot hear workers, and counts tasks all the same. Once it may, it hears them.
func TestHeartbeatsRefused(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, "")
	redis.Do(t, "ACL", "SETUSER", "reader", "reset", "on", ">"+canary, "~*", "+@all")
	s := newScene(t, signals.Options{})
	s.secret("broker", map[string]string{"url": "redis://reader:" + canary + "@" + redis.Address + "/0"})
	shop := scaled(redisShop("shop"), "celery")
	redis.Publish(t, "", "celery", "0")
	s.awaitQueues(shop, observe.Queue{Name: "celery", Ready: 1})
	s.awaitWorkers(shop, observe.BrokerRefuses)
	redis.Do(t, "ACL", "SETUSER", "reader", "&*")
	s.awaitWorkers(shop, observe.BrokerRead)

	// The connection is lost and made anew.
	told := len(s.written())
	redis.Do(t, "CLIENT", "KILL", "TYPE", "pubsub")
	s.awaitLog(told, unheard)
	s.awaitWorkers(shop, observe.BrokerRead)

	// Nobody listens where no tier scales any more.
	s.brokers.Broker(redisShop("shop"))
	eventually(t, "the end of listening", func() bool { return redis.Do(t, "CLIENT", "LIST", "TYPE", "pubsub") == "" })
}
