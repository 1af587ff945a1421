// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// moment is what clocks show that do not go by themselves.
var moment = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

// shownClock shows what it is told, and waits as the real one does.
type shownClock struct {
	clock.RealClock
	shown *clocktesting.FakePassiveClock
}

func (c shownClock) Now() time.Time { return c.shown.Now() }

func newShownClock() shownClock { return shownClock{shown: clocktesting.NewFakePassiveClock(moment)} }

// task is a message as Celery writes it, due some time after the moment unless that is zero. It was published before.
func task(due, published time.Duration) string {
	headers := []string{`"task": "held.hold"`, `"eta": null`}
	if due != 0 {
		headers[1] = fmt.Sprintf(`"eta": %q`, moment.Add(due).Format("2006-01-02T15:04:05.000000-07:00"))
	}
	if published != 0 {
		headers = append(headers, fmt.Sprintf(`"memorybudget_published": %d.25`, moment.Add(-published).Unix()))
	}
	return fmt.Sprintf(`{"body": "W10=", "headers": {%s}, "properties": {"delivery_tag": "x"}}`, strings.Join(headers, ", "))
}

// taken is a message that a worker has taken.
func taken(message, exchange, key string) string {
	return fmt.Sprintf(`[%s, %q, %q]`, message, exchange, key)
}

// awaitQueues waits until the tasks of the queues of a resource are counted as is wanted, but for those without a stamp.
func (s *scene) awaitQueues(mb *v1alpha1.MemoryBudget, want ...observe.Queue) {
	s.t.Helper()
	var got observe.Broker
	stamps := cmpopts.IgnoreFields(observe.Queue{}, "Unstamped")
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = s.brokers.Broker(mb); cmp.Equal(want, got.Queues, stamps) {
			return
		}
	}
	s.t.Fatalf("waited for other counts (-want +got):\n%s\nthe broker is %s, log:\n%s", cmp.Diff(want, got.Queues, stamps), got.State, s.written())
}

func TestRedisCounts(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	shown := newShownClock()
	s := newScene(t, signals.Options{Clock: shown})
	s.secret("broker", redisURL(redis, "/0"))
	shop := scaled(redisShop("shop"), "emails", "images")
	images := observe.Queue{Name: "images"}
	empty := func(t *testing.T) {
		redis.Do(t, "FLUSHALL")
		s.awaitQueues(shop, observe.Queue{Name: "emails"}, images)
	}
	s.awaitQueues(shop, observe.Queue{Name: "emails"}, images)

	t.Run("tasks of all priorities, with prefixes and without", func(t *testing.T) {
		defer empty(t)
		for priority := range 10 {
			redis.Publish(t, "", "emails", fmt.Sprint(priority))
		}
		redis.Publish(t, "staging:", "emails", "4")
		redis.Publish(t, "", "other", "0")
		redis.Do(t, "LPUSH", "images", "{}") // Which nothing binds.
		redis.Do(t, "LPUSH", "unbound:images", "{}")
		s.awaitQueues(shop, observe.Queue{Name: "emails", Ready: 11}, observe.Queue{Name: "images", Ready: 1})
	})
	t.Run("keys that hold something else", func(t *testing.T) {
		defer empty(t)
		redis.Bind(t, "", "emails")
		redis.Do(t, "SET", "emails", "text")
		redis.Do(t, "SET", "unacked", "text")
		redis.Do(t, "HSET", "emails\x06\x163", "a", "b")
		redis.Do(t, "LPUSH", "images", "noise", `{"headers": 7}`)
		s.awaitQueues(shop, observe.Queue{Name: "emails"}, observe.Queue{Name: "images", Ready: 2})
	})
	t.Run("a task that becomes due, and the oldest", func(t *testing.T) {
		defer empty(t)
		defer shown.shown.SetTime(moment)
		at, before := moment.Add, s.asleep("shop")
		redis.Publish(t, "", "emails", "0")
		redis.Do(t, "LPUSH", "emails", task(time.Minute, 2*time.Hour), task(0, time.Minute), task(time.Hour, 0))
		redis.Do(t, "LPUSH", "emails\x06\x169", task(-time.Second, 30*time.Second))
		redis.Do(t, "HSET", "unacked", "a", taken(task(2*time.Minute, 0), "", "emails"))
		s.awaitQueues(shop, observe.Queue{
			Name: "emails", Ready: 3, Later: 3, NextETA: at(time.Minute), Oldest: at(250*time.Millisecond - time.Minute),
		}, images)
		shown.shown.SetTime(at(90 * time.Second))
		s.awaitQueues(shop, observe.Queue{
			Name: "emails", Ready: 4, Later: 2, NextETA: at(2 * time.Minute), Oldest: at(250*time.Millisecond - time.Minute),
		}, images)
		shown.shown.SetTime(at(3 * time.Minute))
		redis.Do(t, "LREM", "emails", "0", task(0, time.Minute))
		s.awaitQueues(shop, observe.Queue{
			Name: "emails", Ready: 3, Reserved: 1, Later: 1, NextETA: at(time.Hour), Oldest: at(-time.Second),
		}, images)
		eventually(t, "word of each change", func() bool { return s.wakes("shop") >= before+3 })
	})
	t.Run("tasks that workers have taken", func(t *testing.T) {
		defer empty(t)
		redis.Do(t, "SADD", "_kombu.binding.shop", "mail\x06\x16\x06\x16emails")
		redis.Do(t, "SADD", "_kombu.binding.topics", "image.#\x06\x16^image\\..*?$\x06\x16images")
		redis.Bind(t, "staging:", "emails")
		redis.Do(t, "HSET", "unacked", "a", taken(task(0, 0), "", "emails"), "b", taken(task(0, 0), "shop", "mail"),
			"c", taken(task(0, 0), "topics", "image.large"), "d", taken(task(time.Hour, 0), "topics", "image.small"), "e", taken(task(0, 0), "", "other"))
		redis.Do(t, "HSET", "staging:unacked", "a", taken(task(0, 0), "", "emails"))
		redis.Do(t, "HSET", "unbound:unacked", "a", taken(task(0, 0), "", "emails"))
		s.awaitQueues(shop, observe.Queue{Name: "emails", Reserved: 3}, observe.Queue{Name: "images", Reserved: 1, Later: 1, NextETA: moment.Add(time.Hour)})
		redis.Do(t, "HDEL", "unacked", "a", "c", "e")
		s.awaitQueues(shop, observe.Queue{Name: "emails", Reserved: 2}, observe.Queue{Name: "images", Later: 1, NextETA: moment.Add(time.Hour)})
	})
	t.Run("what cannot be told counts everywhere", func(t *testing.T) {
		defer empty(t)
		redis.Do(t, "HSET", "unacked", "noise", "\x00\xff", "unknown", taken(task(0, 0), "gone", "mail"), "known", taken(task(0, 0), "", "emails"),
			"large", taken(`{"body": "`+strings.Repeat("x", 300<<10)+`"}`, "", "images"), "empty", "")
		s.awaitQueues(shop, observe.Queue{Name: "emails", Reserved: 5}, observe.Queue{Name: "images", Reserved: 4})
	})
	t.Run("a list of large tasks is counted, not looked at", func(t *testing.T) {
		defer empty(t)
		large := fmt.Sprintf(`{"body": %q, "headers": {"eta": "2099-01-01T00:00:00"}}`, strings.Repeat("x", 2<<20))
		redis.Do(t, "LPUSH", "emails", large, large, large)
		redis.Do(t, "LPUSH", "images", task(time.Hour, 0))
		s.awaitQueues(shop, observe.Queue{Name: "emails", Ready: 3}, observe.Queue{Name: "images", Later: 1, NextETA: moment.Add(time.Hour)})
	})
}

// TestRedisManyTaken: more tasks than one reading can fetch are told apart after several, and what is not counts everywhere.
func TestRedisManyTaken(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{Clock: newShownClock()})
	s.secret("broker", redisURL(redis, ""))
	const many = 25_000
	message := strings.Replace(task(0, 0), "W10=", strings.Repeat("x", 100), 1)
	pairs, scores := []any{"HSET", "unacked"}, []any{"ZADD", "unacked_index"}
	for i := range many {
		tag := fmt.Sprintf("tag-%06d", i)
		pairs, scores = append(pairs, tag, taken(message, "", "emails")), append(scores, i, tag)
	}
	redis.Do(t, pairs...)
	redis.Do(t, scores...)
	shop := scaled(redisShop("shop"), "emails", "images")
	s.awaitQueues(shop, observe.Queue{Name: "emails", Reserved: many}, observe.Queue{Name: "images", Reserved: 1})
	for i := range 6000 {
		redis.Do(t, "HDEL", "unacked", fmt.Sprintf("tag-%06d", i))
		redis.Do(t, "ZREM", "unacked_index", fmt.Sprintf("tag-%06d", i))
	}
	s.awaitQueues(shop, observe.Queue{Name: "emails", Reserved: many - 6000}, observe.Queue{Name: "images"})
}

// TestOnlyWhatIsAsked: resources without scaling make nothing be counted, and are not woken by counts; others by their own.
func TestOnlyWhatIsAsked(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	s := newScene(t, signals.Options{})
	s.secret("broker", redisURL(redis, ""))
	plain, emails, images := redisShop("plain"), scaled(redisShop("emails"), "emails"), scaled(redisShop("images"), "images")
	redis.Publish(t, "", "emails", "0")
	redis.Do(t, "LPUSH", "images", "{}")
	s.await(plain, waiting(redis.Address, "emails"))
	if commands := redis.Do(t, "INFO", "commandstats").(string); strings.Contains(commands, "cmdstat_hlen") || strings.Contains(commands, "cmdstat_lrange") {
		t.Errorf("tasks are counted for nobody:\n%s", commands)
	}
	s.awaitQueues(emails, observe.Queue{Name: "emails", Ready: 1})
	s.awaitQueues(images, observe.Queue{Name: "images", Ready: 1})
	before := map[string]int{}
	for _, name := range []string{"plain", "emails", "images"} {
		before[name] = s.asleep(name)
	}
	redis.Do(t, "LPUSH", "images", "{}")
	eventually(t, "word of another task", func() bool { return s.wakes("images") == before["images"]+1 })
	s.awaitQueues(images, observe.Queue{Name: "images", Ready: 2})
	for _, name := range []string{"plain", "emails"} {
		if after := s.wakes(name); after != before[name] {
			t.Errorf("%s is woken %d times by tasks of another", name, after-before[name])
		}
	}
	if got := s.brokers.Broker(plain).Queues; got != nil {
		t.Errorf("counted for a resource without scaling: %v", got)
	}
}

// TestFailingSince: while a broker cannot be read, its counts stay, and since when is known; those that scale are told.
func TestFailingSince(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, canary)
	shown := newShownClock()
	s := newScene(t, signals.Options{Clock: shown})
	s.secret("broker", redisURL(redis, ""))
	redis.Publish(t, "", "emails", "0")
	shop, want := scaled(redisShop("shop"), "emails"), []observe.Queue{{Name: "emails", Ready: 1, Unstamped: 1}}
	s.awaitQueues(shop, want...)
	failing := func(state observe.BrokerState, since time.Time) {
		t.Helper()
		eventually(t, fmt.Sprintf("the state %s since %s", state, since), func() bool {
			got := s.brokers.Broker(shop)
			return got.State == state && got.FailingSince.Equal(since) && cmp.Equal(want, got.Queues)
		})
	}
	failing(observe.BrokerRead, time.Time{})
	before := s.asleep("shop")
	redis.Do(t, "CONFIG", "SET", "requirepass", "changed")
	redis.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	failing(observe.BrokerRead, moment)
	eventually(t, "word of the failure", func() bool { return s.wakes("shop") == before+1 })
	shown.shown.SetTime(moment.Add(2 * time.Minute))
	failing(observe.BrokerRefuses, moment)
	redis.Do(t, "CONFIG", "SET", "requirepass", canary)
	failing(observe.BrokerRead, time.Time{})
	eventually(t, "word of all changes", func() bool { return s.wakes("shop") == before+3 })
}

// TestFailingWithoutSecret: a Secret that never was fails from the first look on.
func TestFailingWithoutSecret(t *testing.T) {
	t.Parallel()
	s := newScene(t, signals.Options{Clock: newShownClock()})
	shop := scaled(redisShop("shop"), "emails")
	eventually(t, "a Secret that is missing", func() bool {
		got := s.brokers.Broker(shop)
		return got.State == observe.BrokerSecretMissing && got.FailingSince.Equal(moment) && got.Queues == nil
	})
}

// TestRedisReader: what the documents say a user needs is enough.
func TestRedisReader(t *testing.T) {
	t.Parallel()
	commands := []string{"+select", "+scan", "+smembers", "+llen", "+lrange", "+hlen", "+hkeys", "+hstrlen", "+hmget", "+zrange", "+psubscribe"}
	redis := brokers.StartRedis(t, "another", append([]string{"--user", "reader", "on", ">secret", "~*", "&*/1.celeryev/worker.heartbeat"}, commands...)...)
	s := newScene(t, signals.Options{})
	s.secret("broker", map[string]string{"url": "redis://reader:secret@" + redis.Address + "/1"})
	redis.Publish(t, "", "emails", "0")
	redis.Do(t, "HSET", "unacked", "a", taken(task(0, 0), "", "emails"))
	for _, key := range []string{"_kombu.binding.emails", "emails", "unacked"} {
		redis.Do(t, "COPY", key, key, "DB", "1")
	}
	shop := scaled(redisShop("shop"), "emails")
	s.awaitQueues(shop, observe.Queue{Name: "emails", Ready: 1, Reserved: 1})
	s.awaitWorkers(shop, observe.BrokerRead)
	if failed := redis.Do(t, "ACL", "LOG"); len(failed.([]any)) > 0 {
		t.Errorf("refused: %v", failed)
	}
}

// testRabbitCounts: both kinds of queues are counted, those of one virtual host.
func testRabbitCounts(t *testing.T, rabbit *brokers.RabbitMQ) {
	s := newScene(t, signals.Options{})
	s.secret("broker", map[string]string{"url": "amqp://guest:guest@" + rabbit.Address + "/counts", "management": "http://" + rabbit.Management})
	rabbit.Call(t, http.MethodPut, "/api/vhosts/counts", "{}")
	rabbit.Call(t, http.MethodPut, "/api/permissions/counts/guest", `{"configure":".*","write":".*","read":".*"}`)
	shop := scaled(rabbitShop(), "emails", "images")
	s.awaitQueues(shop, observe.Queue{Name: "emails"}, observe.Queue{Name: "images"})
	rabbit.Call(t, http.MethodPut, "/api/queues/counts/emails", `{"durable":true,"arguments":{"x-queue-type":"quorum"}}`)
	rabbit.Declare(t, "counts", "images")
	for _, queue := range []string{"emails", "images", "images"} {
		rabbit.Publish(t, "counts", queue)
	}
	s.awaitQueues(shop, observe.Queue{Name: "emails", Ready: 1}, observe.Queue{Name: "images", Ready: 2})
	before := s.wakes("shop")
	rabbit.Call(t, http.MethodDelete, "/api/queues/counts/images", "")
	s.awaitQueues(shop, observe.Queue{Name: "emails", Ready: 1}, observe.Queue{Name: "images"})
	eventually(t, "word of the change", func() bool { return s.wakes("shop") > before })
}
