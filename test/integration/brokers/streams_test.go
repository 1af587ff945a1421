// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// consumer is a resource with a process tier that scales by a stream, for a group, and by a list.
func consumer(name, stream, group, list string) *v1alpha1.MemoryBudget {
	tier := testutil.MakeTier("billing", v1alpha1.RoleWorker).Replicas(0, 1, 8).Process("consume").Obj()
	tier.Scaling = &v1alpha1.Scaling{Metrics: []v1alpha1.Metric{
		{RedisStream: &v1alpha1.RedisStreamMetric{Stream: stream, ConsumerGroup: group}},
		{RedisList: &v1alpha1.RedisListMetric{List: list}},
	}}
	return testutil.MakeMemoryBudget(name, "shop").Redis("broker", "url").Tier(tier).Obj()
}

// billing consumes the stream orders and the list images.
func billing() *v1alpha1.MemoryBudget { return consumer("shop", "orders", "billing", "images") }

// awaitBacklog waits until what a resource sees of its only stream and list is what is wanted, but for their names.
func (s *scene) awaitBacklog(mb *v1alpha1.MemoryBudget, stream observe.Stream, list observe.List) {
	s.t.Helper()
	metrics := mb.Spec.Tiers[0].Scaling.Metrics
	stream.ConsumerGroup, list.Name = observe.GroupOf(metrics[0].RedisStream), metrics[1].RedisList.List
	var got observe.Broker
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got = s.brokers.Broker(mb)
		if got.State == observe.BrokerRead && cmp.Equal([]observe.Stream{stream}, got.Streams) && cmp.Equal([]observe.List{list}, got.Lists) {
			return
		}
	}
	s.t.Fatalf("waited for other counts; the broker is %s, streams (-want +got):\n%s\nlists (-want +got):\n%s\nlog:\n%s", got.State,
		cmp.Diff([]observe.Stream{stream}, got.Streams), cmp.Diff([]observe.List{list}, got.Lists), s.written())
}

// add appends so many entries to the stream and returns their IDs.
func add(t *testing.T, redis *brokers.Redis, n int) (ids []string) {
	t.Helper()
	for i := range n {
		ids = append(ids, redis.Do(t, "XADD", "orders", "*", "number", i, "text", "some words about an order").(string))
	}
	return ids
}

// deliver makes a consumer of the group read up to so many new entries.
func deliver(t *testing.T, redis *brokers.Redis, name string, n int) {
	t.Helper()
	redis.Do(t, "XREADGROUP", "GROUP", "billing", name, "COUNT", n, "STREAMS", "orders", ">")
}

// lagIsTold says whether the Redis itself tells the lag of the group.
func lagIsTold(t *testing.T, redis *brokers.Redis) bool {
	t.Helper()
	fields, _ := redis.Do(t, "XINFO", "GROUPS", "orders").([]any)[0].(map[any]any)
	lag, found := fields["lag"]
	if !found {
		t.Fatalf("no lag in %v", fields)
	}
	return lag != nil
}

// TestRedisStreams: what is counted is what a test that knows each entry counts, step by step.
func TestRedisStreams(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, "/0"))
	shop := billing()
	sees := func(undelivered, pending int64) {
		t.Helper()
		s.awaitBacklog(shop, observe.Stream{Undelivered: undelivered, Pending: pending}, observe.List{})
	}
	empty := func(t *testing.T) {
		redis.Do(t, "FLUSHALL")
		sees(0, 0)
	}
	sees(0, 0)

	t.Run("entries are added, delivered, acknowledged and claimed", func(t *testing.T) {
		defer empty(t)
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "0", "MKSTREAM")
		sees(0, 0)
		ids := add(t, redis, 5)
		sees(5, 0)
		deliver(t, redis, "first", 3)
		sees(2, 3)
		redis.Do(t, "XACK", "orders", "billing", ids[0])
		sees(2, 2)
		redis.Do(t, "XGROUP", "CREATE", "orders", "shipping", "0") // Another group's entries are its own.
		redis.Do(t, "XREADGROUP", "GROUP", "shipping", "x", "COUNT", 5, "STREAMS", "orders", ">")
		sees(2, 2)
		redis.Do(t, "XAUTOCLAIM", "orders", "billing", "second", "0", "0") // The first one has died.
		sees(2, 2)
		deliver(t, redis, "second", 10)
		sees(0, 4)
		redis.Do(t, "XACK", "orders", "billing", ids[1], ids[2], ids[3], ids[4])
		sees(0, 0)
	})
	t.Run("all entries are to be delivered to a group that nobody has made yet", func(t *testing.T) {
		defer empty(t)
		add(t, redis, 4)
		sees(4, 0)
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "$")
		sees(0, 0)
		add(t, redis, 2)
		sees(2, 0)
	})
	t.Run("a group that begins in the middle", func(t *testing.T) {
		defer empty(t)
		ids := add(t, redis, 6)
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", ids[2])
		if lagIsTold(t, redis) {
			t.Error("the Redis tells a lag, so nothing is tried")
		}
		sees(3, 0)
		deliver(t, redis, "first", 1)
		sees(2, 1)
	})
	t.Run("entries are deleted in the middle", func(t *testing.T) {
		defer empty(t)
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "0", "MKSTREAM")
		ids := add(t, redis, 8)
		deliver(t, redis, "first", 2)
		redis.Do(t, "XDEL", "orders", ids[4], ids[5])
		if lagIsTold(t, redis) {
			t.Error("the Redis tells a lag, so nothing is tried")
		}
		sees(4, 2)
		redis.Do(t, "XDEL", "orders", ids[0]) // It was delivered, and is pending for its consumer.
		sees(4, 2)
		deliver(t, redis, "first", 10)
		sees(0, 6)
		redis.Do(t, "XACK", "orders", "billing", ids[0], ids[1], ids[2], ids[3], ids[6], ids[7])
		sees(0, 0)
	})
	t.Run("all that was to be delivered is deleted", func(t *testing.T) {
		defer empty(t)
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "0", "MKSTREAM")
		ids := add(t, redis, 4)
		deliver(t, redis, "first", 1)
		redis.Do(t, "XACK", "orders", "billing", ids[0])
		for _, id := range ids {
			redis.Do(t, "XDEL", "orders", id)
		}
		sees(0, 0)
		add(t, redis, 1)
		sees(1, 0)
	})
	t.Run("a stream that is trimmed", func(t *testing.T) {
		defer empty(t)
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "0", "MKSTREAM")
		ids := add(t, redis, 10)
		deliver(t, redis, "first", 2)
		redis.Do(t, "XACK", "orders", "billing", ids[0], ids[1])
		sees(8, 0)
		redis.Do(t, "XTRIM", "orders", "MAXLEN", 3)
		sees(3, 0)
		deliver(t, redis, "first", 1)
		sees(2, 1)
		redis.Do(t, "XTRIM", "orders", "MAXLEN", 0)
		sees(0, 1)
	})
	t.Run("more entries than are counted one by one", func(t *testing.T) {
		defer empty(t)
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "0", "MKSTREAM")
		ids := add(t, redis, 1500)
		sees(1500, 0)
		redis.Do(t, "XDEL", "orders", ids[700])
		s.awaitBacklog(shop, observe.Stream{Undelivered: 1000, AtLeast: true}, observe.List{})
		deliver(t, redis, "first", 600)
		sees(899, 600)
	})
	t.Run("entries that are too large to be counted one by one", func(t *testing.T) {
		redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "0", "MKSTREAM")
		large := strings.Repeat("x", 1<<20)
		first := redis.Do(t, "XADD", "orders", "*", "text", large).(string)
		second := redis.Do(t, "XADD", "orders", "*", "text", large).(string)
		sees(2, 0)
		add(t, redis, 1)
		redis.Do(t, "XDEL", "orders", second)
		s.awaitBacklog(shop, observe.Stream{Undelivered: 1, AtLeast: true}, observe.List{})
		redis.Do(t, "XDEL", "orders", first)
		empty(t)
	})
	if log := s.written(); strings.Contains(log, "seen otherwise") && strings.Count(log, "seen otherwise") > 1 {
		t.Errorf("the broker was not read all the time:\n%s", log)
	}
}

// TestRedisLists: a list that does not exist is empty, and a key that holds something else is not.
func TestRedisLists(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, "/2"))
	s.secret("first", redisURL(redis, "/0"))
	shop := billing()
	shop.Spec.Broker.Redis.URLFrom.SecretKeyRef.Name = "first"
	sees := func(length int64) {
		t.Helper()
		s.awaitBacklog(shop, observe.Stream{}, observe.List{Length: length})
	}
	sees(0)
	redis.Do(t, "LPUSH", "images", "a", "b", "c")
	sees(3)
	s.awaitBacklog(billing(), observe.Stream{}, observe.List{}) // Another database.
	shop.Name = "other"
	redis.Do(t, "RPOP", "images")
	sees(2)
	redis.Do(t, "LTRIM", "images", 1, 0)
	sees(0)
	redis.Do(t, "SET", "images", "text")
	redis.Do(t, "LPUSH", "orders", "a")
	s.awaitBacklog(shop, observe.Stream{Invalid: true}, observe.List{Invalid: true})
	redis.Do(t, "DEL", "images", "orders")
	sees(0)
}

// TestRedisStreamReader: what the documents say a user needs for streams and lists alone is enough, and nothing more is asked; what it may
// not read does not keep the rest from being read.
func TestRedisStreamReader(t *testing.T) {
	t.Parallel()
	commands := []string{"+select", "+xinfo|groups", "+xlen", "+xrange", "+llen"}
	redis := brokers.StartRedis(t, "another", append([]string{"--user", "reader", "on", ">secret", "%R~orders", "%R~images"}, commands...)...)
	s := newScene(t, signals.Options{})
	s.secret("broker", map[string]string{"url": "redis://reader:secret@" + redis.Address + "/0"})
	redis.Do(t, "XGROUP", "CREATE", "orders", "billing", "0", "MKSTREAM")
	ids := add(t, redis, 3)
	redis.Do(t, "XDEL", "orders", ids[1])
	redis.Do(t, "LPUSH", "images", "a")
	s.awaitBacklog(billing(), observe.Stream{Undelivered: 2}, observe.List{Length: 1})
	if failed := redis.Do(t, "ACL", "LOG"); len(failed.([]any)) > 0 {
		t.Errorf("refused: %v", failed)
	}
	redis.Do(t, "ACL", "SETUSER", "reader", "-xinfo|groups")
	s.awaitBacklog(billing(), observe.Stream{Refused: true}, observe.List{Length: 1})
	redis.Do(t, "ACL", "SETUSER", "reader", "+xinfo|groups", "resetkeys", "%R~orders")
	s.awaitBacklog(billing(), observe.Stream{Undelivered: 2}, observe.List{Refused: true})
}

// TestStreamsWakeTheirOwn: a resource is woken by changes of its own streams and lists, on one connection for all, and tasks that
// wait for others are none of its business.
func TestStreamsWakeTheirOwn(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, "/0"))
	shops := map[string]*v1alpha1.MemoryBudget{}
	for _, group := range []string{"billing", "shipping"} {
		shops[group] = consumer(group, "orders", group, group+":list")
		redis.Do(t, "XGROUP", "CREATE", "orders", group, "0", "MKSTREAM")
		s.awaitBacklog(shops[group], observe.Stream{}, observe.List{})
	}
	tasks := redisShop("tasks")
	s.await(tasks, waiting(redis.Address))
	before := map[string]int{}
	for _, name := range []string{"billing", "shipping", "tasks"} {
		before[name] = s.asleep(name)
	}
	redis.Publish(t, "", "emails", "0")
	s.await(tasks, waiting(redis.Address, "emails"))
	redis.Do(t, "LPUSH", "billing:list", "a")
	s.awaitBacklog(shops["billing"], observe.Stream{}, observe.List{Length: 1})
	eventually(t, "word of the change", func() bool { return s.wakes("billing") == before["billing"]+1 })
	add(t, redis, 1)
	for name, length := range map[string]int64{"billing": 1, "shipping": 0} {
		s.awaitBacklog(shops[name], observe.Stream{Undelivered: 1}, observe.List{Length: length})
	}
	for name, more := range map[string]int{"billing": 2, "shipping": 1, "tasks": 1} {
		eventually(t, fmt.Sprintf("%d words to %s", more, name), func() bool { return s.wakes(name) == before[name]+more })
	}
	if n := redis.Connections(t); n != 1 {
		t.Errorf("%d connections", n)
	}
	for _, mb := range []*v1alpha1.MemoryBudget{shops["billing"], shops["shipping"], tasks} {
		s.brokers.Forget(key(mb))
	}
	eventually(t, "the end of the connection", func() bool { return redis.Connections(t) == 0 })
}

// TestManyGroupsOfOneStream: what a Redis tells of a stream grows with its groups, and is asked for once for all of them.
func TestManyGroupsOfOneStream(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, "/0"))
	add(t, redis, 1)
	var shops []*v1alpha1.MemoryBudget
	for i := range 60 {
		name := fmt.Sprintf("group-%d", i)
		redis.Do(t, "XGROUP", "CREATE", "orders", name, "0")
		shops = append(shops, consumer(name, "orders", name, name+":list"))
		s.brokers.Broker(shops[i])
	}
	for _, mb := range shops {
		s.awaitBacklog(mb, observe.Stream{Undelivered: 1}, observe.List{})
	}
}
