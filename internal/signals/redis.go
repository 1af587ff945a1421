// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// How Celery's transport for Redis (kombu) names what it keeps there: one list per queue and priority, and for each exchange
// a set of the queues that are bound to it. All keys may have a prefix (global_keyprefix).
const (
	bindingKey = "_kombu.binding."
	separator  = "\x06\x16"
	routeParts = 3
)

// priorities are the endings of the lists of a queue: by default Celery uses those of 0, 3, 6 and 9 (priority_steps).
var priorities = []string{
	"", separator + "1", separator + "2", separator + "3", separator + "4", separator + "5", separator + "6", separator + "7",
	separator + "8", separator + "9",
}

const (
	// scanStep is how many keys Redis looks at in one call, mostScans how many calls look for bindings.
	scanStep, mostScans = 1000, 1000
	// mostBindings and mostQueues bound what is looked at.
	mostBindings, mostQueues = 1000, 5000
	// batch is how many commands are sent at once.
	batch = 500
)

// redisReader reads a Redis on one connection.
type redisReader struct {
	client *redis.Client
	left   allowance
	// entries are those of the tasks that workers had taken at the last reading, by prefix and tag.
	entries map[string]map[string]entry
	// fetched is how many bytes of such tasks this reading took.
	fetched int64
	// lookBytes and lookElements are what it may still take to look at lists, breaks how many connections.
	lookBytes, lookElements, breaks int64
	// heavy are the lists that took more bytes to look at than they may, until when they are not looked at again.
	heavy map[glance]time.Time
	// large are the consumer groups whose next entries took more bytes to count than they may, until when they are not counted again.
	large map[observe.ConsumerGroup]time.Time
}

// newRedisReader does not connect yet.
func newRedisReader(t target, guard Guard) *redisReader {
	r := &redisReader{
		entries: map[string]map[string]entry{}, heavy: map[glance]time.Time{}, large: map[observe.ConsumerGroup]time.Time{},
	}
	r.client = redis.NewClient(redisOptions(t, guard, &r.left))
	return r
}

// redisOptions are those of one connection that ends with the first answer that is more than is left.
func redisOptions(t target, guard Guard, left *allowance) *redis.Options {
	logging.Disable() // It would write what brokers answer.
	return &redis.Options{
		Addr: t.address, Username: t.user, Password: t.password, DB: t.database,
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialRedis(ctx, t, guard, network, left)
		},
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PoolSize:                 1, MaxActiveConns: 1, PipelinePoolSize: -1, ReadBufferSize: 4096, WriteBufferSize: 4096,
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: callLimit, ReadTimeout: callLimit, WriteTimeout: callLimit, ContextTimeoutEnabled: true,
	}
}

func dialRedis(ctx context.Context, t target, guard Guard, network string, left *allowance) (net.Conn, error) {
	conn, err := connect(ctx, t, guard, network)
	if err != nil {
		return nil, err
	}
	return &boundedConn{Conn: conn, left: left}, nil
}

func (r *redisReader) close() error { return r.client.Close() }

// read returns the queues in which tasks wait, and counts what is asked for.
func (r *redisReader) read(ctx context.Context, q question) (got reading, err error) {
	r.left.allow(mostBytes, mostElements)
	if !q.withoutTasks {
		if got, err = r.tasks(ctx, q); err != nil {
			return reading{}, err
		}
	}
	if got.lists, err = r.lists(ctx, q.lists); err != nil {
		return reading{}, err
	}
	got.streams, err = r.streams(ctx, q)
	return got, err
}

// tasks returns the queues in which tasks wait, and counts the tasks of those that are asked for.
func (r *redisReader) tasks(ctx context.Context, q question) (reading, error) {
	bindings, err := r.bindings(ctx)
	if err != nil {
		return reading{}, err
	}
	known, err := r.routes(ctx, bindings)
	if err != nil {
		return reading{}, err
	}
	asked := known.listsOf(q.queues)
	lengths, err := r.lengths(ctx, known.lists, asked)
	if err != nil {
		return reading{}, err
	}
	got := reading{waiting: waiting(known.lists, lengths)}
	if len(asked) == 0 {
		clear(r.entries)
		return got, nil
	}
	got.queues, err = r.count(ctx, q, known, asked, lengths)
	return got, err
}

// bindings finds the sets of all exchanges but Celery's own.
func (r *redisReader) bindings(ctx context.Context) ([]string, error) {
	found, cursor := map[string]bool{}, uint64(0)
	for range mostScans {
		keys, next, err := r.client.Scan(ctx, cursor, "*"+bindingKey+"*", scanStep).Result()
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if _, exchange, ok := strings.Cut(key, bindingKey); ok && !isCelerysOwnExchange(exchange) {
				found[key] = true
			}
		}
		if len(found) > mostBindings {
			break
		}
		if cursor = next; cursor == 0 {
			return slices.Sorted(maps.Keys(found)), nil
		}
	}
	return nil, fmt.Errorf("%w: there are more keys than are looked at", errAnswer)
}

// routes are those of all queues that are bound to exchanges.
func (r *redisReader) routes(ctx context.Context, bindings []string) (*routes, error) {
	found := newRoutes()
	for chunk := range slices.Chunk(bindings, batch) {
		replies, err := send(ctx, r.client, chunk, func(p redis.Pipeliner, key string) *redis.StringSliceCmd {
			return p.SMembers(ctx, key)
		})
		if err != nil {
			return nil, err
		}
		for i, reply := range replies {
			prefix, exchange, _ := strings.Cut(chunk[i], bindingKey)
			for _, member := range reply.Val() {
				found.add(prefix, exchange, member)
			}
		}
	}
	if len(found.lists) > mostQueues {
		return nil, fmt.Errorf("%w: there are more queues than are looked at", errAnswer)
	}
	return found, nil
}

// lengths are those of all lists of queues, by their keys.
func (r *redisReader) lengths(ctx context.Context, bound, asked map[list]bool) (map[string]int64, error) {
	lengths := map[string]int64{}
	for _, lists := range []map[list]bool{bound, asked} {
		for l := range lists {
			for _, key := range l.keys() {
				lengths[key] = 0
			}
		}
	}
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(lengths)), batch) {
		replies, err := send(ctx, r.client, chunk, func(p redis.Pipeliner, key string) *redis.IntCmd { return p.LLen(ctx, key) })
		if err != nil {
			return nil, err
		}
		for i, reply := range replies {
			lengths[chunk[i]] = reply.Val()
		}
	}
	return lengths, nil
}

// waiting are the queues of lists that are not empty, sorted.
func waiting(lists map[list]bool, lengths map[string]int64) []string {
	var waiting []string
	for l := range lists {
		if slices.ContainsFunc(l.keys(), func(key string) bool { return lengths[key] > 0 }) {
			waiting = append(waiting, l.queue)
		}
	}
	slices.Sort(waiting)
	return slices.Compact(waiting)
}

// send sends a command for each argument and returns their replies. A key that holds something else than Celery would keep
// there has an empty one.
func send[A any, C redis.Cmder](
	ctx context.Context, client *redis.Client, arguments []A, command func(redis.Pipeliner, A) C,
) ([]C, error) {
	replies := pipelined(ctx, client, arguments, command)
	for _, reply := range replies {
		if _, err := forgiving(reply, reply.Err()); err != nil {
			return nil, err
		}
	}
	return replies, nil
}

// pipelined sends a command for each argument at once. Each reply tells its own error.
func pipelined[A any, C redis.Cmder](
	ctx context.Context, client *redis.Client, arguments []A, command func(redis.Pipeliner, A) C,
) []C {
	pipe := client.Pipeline()
	var replies []C
	for _, argument := range arguments {
		replies = append(replies, command(pipe, argument))
	}
	_, _ = pipe.Exec(ctx)
	return replies
}

// ofAnotherKind: the key holds something else than what the command is for.
func ofAnotherKind(err error) bool { return redis.HasErrorPrefix(err, "WRONGTYPE") }

// notPermitted: the user may not use the command, or not with the key.
func notPermitted(err error) bool { return redis.HasErrorPrefix(err, "NOPERM") }

// forgiving: a key that holds something else than Celery would keep there is as good as none.
func forgiving[T any](value T, err error) (T, error) {
	if ofAnotherKind(err) {
		return *new(T), nil
	}
	return value, err
}
