// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// How Celery's transport for Redis (kombu) names what it keeps there: one list per queue and priority, and for each exchange
// a set of the queues that are bound to it. All keys may have a prefix (global_keyprefix).
const (
	bindingKey = "_kombu.binding."
	separator  = "\x06\x16"
	routeParts = 3
)

// priorities are the endings of the lists of a queue.
var priorities = []string{"", separator + "3", separator + "6", separator + "9"}

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
}

// newRedisReader does not connect yet.
func newRedisReader(t target, guard Guard) *redisReader {
	logging.Disable() // It would write what brokers answer.
	r := &redisReader{}
	r.client = redis.NewClient(&redis.Options{
		Addr: t.address, Username: t.user, Password: t.password, DB: t.database,
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return r.dial(ctx, t, guard, network)
		},
		Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		PoolSize:                 1, MaxActiveConns: 1, PipelinePoolSize: -1, ReadBufferSize: 4096, WriteBufferSize: 4096,
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: callLimit, ReadTimeout: callLimit, WriteTimeout: callLimit, ContextTimeoutEnabled: true,
	})
	return r
}

func (r *redisReader) dial(ctx context.Context, t target, guard Guard, network string) (net.Conn, error) {
	conn, err := dialer(guard, callLimit).DialContext(ctx, network, t.dialled())
	if err != nil {
		return nil, err
	}
	if t.secure {
		host, _, _ := net.SplitHostPort(t.address)
		secured := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = secured
	}
	return &boundedConn{Conn: conn, left: &r.left}, nil
}

func (r *redisReader) close() error { return r.client.Close() }

// list is a queue as Redis keeps it.
type list struct{ prefix, queue string }

// read returns the queues in which tasks wait.
func (r *redisReader) read(ctx context.Context) ([]string, error) {
	r.left.reset()
	bindings, err := r.bindings(ctx)
	if err != nil {
		return nil, err
	}
	lists, err := r.lists(ctx, bindings)
	if err != nil {
		return nil, err
	}
	return r.waiting(ctx, lists)
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

// lists are those of all queues that are bound to exchanges.
func (r *redisReader) lists(ctx context.Context, bindings []string) ([]list, error) {
	found := map[list]bool{}
	for chunk := range slices.Chunk(bindings, batch) {
		replies, err := send(ctx, r.client, chunk, func(p redis.Pipeliner, key string) *redis.StringSliceCmd {
			return p.SMembers(ctx, key)
		})
		if err != nil {
			return nil, err
		}
		for i, reply := range replies {
			prefix, _, _ := strings.Cut(chunk[i], bindingKey)
			for _, member := range reply.Val() {
				if route := strings.Split(member, separator); len(route) == routeParts && route[2] != "" && !isCelerysOwn(route[2]) {
					found[list{prefix, route[2]}] = true
				}
			}
		}
	}
	if len(found) > mostQueues {
		return nil, fmt.Errorf("%w: there are more queues than are looked at", errAnswer)
	}
	return slices.Collect(maps.Keys(found)), nil
}

// waiting are the queues of lists that are not empty, sorted.
func (r *redisReader) waiting(ctx context.Context, lists []list) ([]string, error) {
	type part struct{ queue, key string }
	var parts []part
	for _, l := range lists {
		for _, priority := range priorities {
			parts = append(parts, part{l.queue, l.prefix + l.queue + priority})
		}
	}
	var waiting []string
	for chunk := range slices.Chunk(parts, batch) {
		replies, err := send(ctx, r.client, chunk, func(p redis.Pipeliner, of part) *redis.IntCmd { return p.LLen(ctx, of.key) })
		if err != nil {
			return nil, err
		}
		for i, reply := range replies {
			if reply.Val() > 0 {
				waiting = append(waiting, chunk[i].queue)
			}
		}
	}
	slices.Sort(waiting)
	return slices.Compact(waiting), nil
}

// send sends a command for each argument and returns their replies. A key that holds something else than Celery would keep
// there has an empty one.
func send[A any, C redis.Cmder](
	ctx context.Context, client *redis.Client, arguments []A, command func(redis.Pipeliner, A) C,
) ([]C, error) {
	pipe := client.Pipeline()
	var replies []C
	for _, argument := range arguments {
		replies = append(replies, command(pipe, argument))
	}
	if _, err := pipe.Exec(ctx); err == nil {
		return replies, nil
	}
	for _, reply := range replies {
		if err := reply.Err(); err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, err
		}
	}
	return replies, nil
}
