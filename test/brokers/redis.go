// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// separator is what Celery's transport joins names with.
const separator = "\x06\x16"

// Redis is a server with one password.
type Redis struct {
	// Address is host and port.
	Address string
	client  *redis.Client
}

// StartRedis runs a Redis whose default user has the password, none where it is empty. Arguments are more of its settings.
func StartRedis(t *testing.T, password string, arguments ...string) *Redis {
	t.Helper()
	port := freePort(t)
	arguments = append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", t.TempDir()}, arguments...)
	if password != "" {
		arguments = append(arguments, "--requirepass", password)
	}
	run(t, nil, program(t, "redis-server"), arguments...)
	r := &Redis{Address: net.JoinHostPort("127.0.0.1", port)}
	r.client = redis.NewClient(&redis.Options{Addr: r.Address, Password: password, DisableIdentity: true})
	t.Cleanup(func() { _ = r.client.Close() })
	await(t, "Redis", func(ctx context.Context) error { return r.client.Ping(ctx).Err() })
	return r
}

// Do runs a command.
func (r *Redis) Do(t *testing.T, arguments ...any) any {
	t.Helper()
	answer, err := r.client.Do(t.Context(), arguments...).Result()
	if err != nil {
		t.Fatalf("%v: %v", arguments, err)
	}
	return answer
}

// Bind does what Celery does when a queue is first used. All keys get the prefix.
func (r *Redis) Bind(t *testing.T, prefix, queue string) {
	t.Helper()
	r.Do(t, "SADD", prefix+"_kombu.binding."+queue, queue+separator+separator+queue)
}

// Publish binds a queue and puts a task of a priority (0, 3, 6 or 9) into it.
func (r *Redis) Publish(t *testing.T, prefix, queue, priority string) {
	t.Helper()
	r.Bind(t, prefix, queue)
	key := prefix + queue
	if priority != "0" {
		key += separator + priority
	}
	r.Do(t, "LPUSH", key, "{}")
}

// Heartbeats publishes what real workers that run so many tasks were seen to publish, a heartbeat for each pod, until the test ends.
func (r *Redis) Heartbeats(t *testing.T, tasks func() map[string]int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			// All at once: between two of them, a pod would be silent of which the other one is heard.
			_, _ = r.client.TxPipelined(ctx, func(all redis.Pipeliner) error {
				for pod, active := range tasks() {
					all.Publish(ctx, "/0.celeryev/worker.heartbeat", heartbeat(pod, active))
				}
				return nil
			})
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
}

// event is a heartbeat as Celery writes it.
func event(pod string, active int) string {
	return fmt.Sprintf(`{"hostname": "celery@%s", "utcoffset": 0, "pid": 1, "clock": 3, "freq": 2.0, "active": %d, "processed": 1, `+
		`"loadavg": [18.03, 12.66, 6.64], "sw_ident": "py-celery", "sw_ver": "5.2.6", "sw_sys": "Linux", "timestamp": 1795939440.5590074, `+
		`"type": "worker-heartbeat"}`, pod, active)
}

func heartbeat(pod string, active int) string {
	return fmt.Sprintf(`{"body": %q, "content-encoding": "utf-8", "content-type": "application/json", "headers": {"hostname": "celery@%s"}, `+
		`"properties": {"delivery_mode": 1, "delivery_info": {"exchange": "celeryev", "routing_key": "worker.heartbeat"}, "priority": 0, `+
		`"body_encoding": "base64", "delivery_tag": "3d30684f-16e2-4983-9cbd-f0439f6675de"}}`,
		base64.StdEncoding.EncodeToString([]byte(event(pod, active))), pod)
}

// Connections is how many clients but the test are connected.
func (r *Redis) Connections(t *testing.T) int {
	t.Helper()
	clients, _ := r.Do(t, "CLIENT", "LIST", "TYPE", "normal").(string)
	return strings.Count(clients, "\n") - 1
}
