// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package brokers tests what is read from a real Redis and a real RabbitMQ.
package brokers

import (
	"net/url"
	"testing"
	"time"

	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/test/brokers"
)

func redisURL(r *brokers.Redis, path string) map[string]string {
	return map[string]string{"url": "redis://:" + url.QueryEscape(canary) + "@" + r.Address + path}
}

func waiting(address string, queues ...string) observe.Broker {
	return observe.Broker{State: observe.BrokerRead, Address: address, Waiting: queues}
}

func TestRedisQueues(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, "/0"))
	shop := redisShop("shop")
	s.await(shop, waiting(redis.Address))

	t.Run("a queue that is left over is no queue with tasks", func(*testing.T) {
		redis.Bind(t, "", "renamed")
		redis.Publish(t, "", "emails", "0")
		s.await(shop, waiting(redis.Address, "emails"))
	})
	t.Run("tasks of all priorities count, and those below a prefix", func(*testing.T) {
		redis.Publish(t, "", "late", "3")
		redis.Publish(t, "", "later", "6")
		redis.Publish(t, "", "latest", "9")
		redis.Publish(t, "staging:", "images", "0")
		s.await(shop, waiting(redis.Address, "emails", "images", "late", "later", "latest"))
		redis.Do(t, "DEL", "emails", "late\x06\x163", "later\x06\x166", "latest\x06\x169", "staging:images")
		s.await(shop, waiting(redis.Address))
	})
	t.Run("Celery's own queues and keys of others do not count", func(*testing.T) {
		redis.Publish(t, "", "worker@host.celery.pidbox", "0")
		redis.Do(t, "SADD", "_kombu.binding.celery.pidbox", "\x06\x16\x06\x16control")
		redis.Do(t, "LPUSH", "control", "{}")
		redis.Do(t, "SADD", "_kombu.binding.celeryev", "worker.#\x06\x16\x06\x16celeryev.1")
		redis.Do(t, "LPUSH", "celeryev.1", "{}")
		redis.Do(t, "SET", "_kombu.binding.text", "no set")
		redis.Do(t, "SADD", "_kombu.binding.odd", "no route", "a\x06\x16b", "a\x06\x16b\x06\x16")
		redis.Bind(t, "", "hash")
		redis.Do(t, "HSET", "hash", "a", "b")
		redis.Publish(t, "", "marker", "0")
		s.await(shop, waiting(redis.Address, "marker"))
		redis.Do(t, "DEL", "marker")
		s.await(shop, waiting(redis.Address))
	})
	t.Run("another database is another broker", func(*testing.T) {
		redis.Publish(t, "", "here", "0")
		s.await(shop, waiting(redis.Address, "here"))
		s.secret("elsewhere", redisURL(redis, "/3"))
		other := redisShop("other")
		other.Spec.Broker.Redis.URLFrom.SecretKeyRef.Name = "elsewhere"
		s.await(other, waiting(redis.Address))
	})
}

// TestSharedConnection: resources with one URL share one connection, are woken only by changes, and it ends with the last.
func TestSharedConnection(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, "/0"))
	s.secret("copy", redisURL(redis, "/0"))
	a, b := redisShop("a"), redisShop("b")
	b.Spec.Broker.Redis.URLFrom.SecretKeyRef.Name = "copy"
	s.await(a, waiting(redis.Address))
	s.await(b, waiting(redis.Address))
	redis.Publish(t, "", "emails", "0")
	s.await(a, waiting(redis.Address, "emails"))
	s.await(b, waiting(redis.Address, "emails"))
	if n := redis.Connections(t); n != 1 {
		t.Errorf("%d connections", n)
	}
	before := s.asleep("a")
	time.Sleep(time.Second)
	if after := s.wakes("a"); before == 0 || after != before {
		t.Errorf("woken %d times, and %d times while nothing changed", before, after-before)
	}
	s.brokers.Forget(key(a))
	s.await(b, waiting(redis.Address, "emails"))
	s.brokers.Forget(key(b))
	eventually(t, "the end of the connection", func() bool { return redis.Connections(t) == 0 })
}

// TestNeighbours: who shares a Secret with a resource whose queues change is told, where tasks wait.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, ""))
	redis.Publish(t, "", "emails", "0")
	a, b := redisShop("a"), redisShop("b")
	s.await(a, waiting(redis.Address, "emails"))
	s.await(b, waiting(redis.Address, "emails"))
	before := s.asleep("a")
	b.Spec.Tiers[0].Celery.Queues = []string{"emails"}
	s.brokers.Broker(b)
	s.brokers.Broker(b)
	eventually(t, "word of the change", func() bool { return s.wakes("a") == before+1 })
	s.brokers.Forget(key(b))
	eventually(t, "word of the end", func() bool { return s.wakes("a") == before+2 })
}

func TestRedisRefuses(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, "another", "--user", "reader", "on", ">"+canary, "~*", "+ping", "+select")
	wrong := observe.Broker{State: observe.BrokerRefuses, Address: redis.Address}
	for name, userinfo := range map[string]string{
		"a wrong password": ":" + canary + "@", "no password": "", "an unknown user": "nobody:" + canary + "@",
		"a user without permissions": "reader:" + canary + "@",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, signals.Options{})
			s.secret("broker", map[string]string{"url": "redis://" + userinfo + redis.Address})
			s.await(redisShop("shop"), wrong)
		})
	}
	t.Run("a password that is put right", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, signals.Options{})
		s.secret("broker", redisURL(redis, ""))
		s.await(redisShop("shop"), wrong)
		s.secret("broker", map[string]string{"url": "redis://:another@" + redis.Address})
		s.brokers.Forget(key(redisShop("shop")))
		s.await(redisShop("shop"), waiting(redis.Address))
	})
}

// TestManyKeys: bindings are found among many other keys.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary, "--enable-debug-command", "yes")
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, ""))
	redis.Do(t, "DEBUG", "POPULATE", "50000")
	redis.Publish(t, "", "emails", "0")
	s.await(redisShop("shop"), waiting(redis.Address, "emails"))
}

// TestRedisLoopback: the guard of the operator does not let it connect to its own machine, by whatever name.
func TestRedisLoopback(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	port := redis.Address[len("127.0.0.1:"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, signals.Options{Guard: signals.NewGuard()})
			s.secret("broker", map[string]string{"url": "redis://:" + canary + "@" + host + ":" + port})
			got := s.brokers.Broker(redisShop("shop"))
			eventually(t, "a state", func() bool {
				got = s.brokers.Broker(redisShop("shop"))
				return got.State != observe.BrokerNotReadYet
			})
			if got.State != observe.BrokerForbidden {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestLastReadingStays: a broker that is away for a moment changes nothing.
func TestLastReadingStays(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, ""))
	redis.Publish(t, "", "emails", "0")
	shop := redisShop("shop")
	s.await(shop, waiting(redis.Address, "emails"))
	before := s.asleep("shop")
	redis.Do(t, "CONFIG", "SET", "requirepass", "changed")
	redis.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	time.Sleep(time.Second)
	s.await(shop, waiting(redis.Address, "emails"))
	if after := s.wakes("shop"); after != before {
		t.Errorf("woken %d times", after-before)
	}
}
