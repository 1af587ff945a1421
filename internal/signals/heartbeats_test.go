// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// heartbeat is a message as Celery 5.2 and kombu 5.2 write it.
func heartbeat(event string) string {
	return fmt.Sprintf(`{"body": %q, "content-encoding": "utf-8", "content-type": "application/json", "headers": {"hostname": "celery@w"},
		"properties": {"delivery_mode": 1, "delivery_info": {"exchange": "celeryev", "routing_key": "worker.heartbeat"}, "body_encoding": "base64"}}`,
		base64.StdEncoding.EncodeToString([]byte(event)))
}

func TestParseBeat(t *testing.T) {
	const full = `{"hostname": "celery@shop-worker-1", "utcoffset": 0, "pid": 9, "clock": 3, "freq": 2.0, "active": 1, "processed": 1,
		"loadavg": [1, 2, 3], "sw_ident": "py-celery", "sw_ver": "5.2.6", "sw_sys": "Linux", "timestamp": 1.5, "type": "worker-heartbeat"}`
	plain := beat{node: "celery@shop-worker-1", host: "shop-worker-1", active: 1, every: 2 * time.Second}
	every := func(d time.Duration) beat {
		b := plain
		b.every = d
		return b
	}
	with := func(old, replacement string) string { return heartbeat(strings.Replace(full, old, replacement, 1)) }
	cases := map[string]struct {
		text string
		want beat
		ok   bool
	}{
		"as Celery writes it":        {text: heartbeat(full), want: plain, ok: true},
		"every ten seconds":          {text: with("2.0", "10"), want: every(10 * time.Second), ok: true},
		"no frequency":               {text: with(`"freq": 2.0, `, ""), want: every(2 * time.Second), ok: true},
		"a frequency below all":      {text: with("2.0", "-1"), want: every(2 * time.Second), ok: true},
		"many times a second":        {text: with("2.0", "0.000001"), want: every(time.Second), ok: true},
		"a frequency beyond all":     {text: with("2.0", "1e300"), want: every(time.Minute), ok: true},
		"another event":              {text: with("worker-heartbeat", "worker-offline")},
		"no count":                   {text: with(`"active": 1, `, "")},
		"less than no task":          {text: with(`"active": 1`, `"active": -1`)},
		"a count beyond all":         {text: with(`"active": 1`, `"active": 9000000000`)},
		"half a task":                {text: with(`"active": 1`, `"active": 0.5`)},
		"a host that is no pod":      {text: with("shop-worker-1", "../etc")},
		"a name without a host":      {text: with("celery@shop-worker-1", "shop-worker-1")},
		"a name beyond all":          {text: with("celery@", strings.Repeat("c", 300)+"@")},
		"more than a heartbeat":      {text: with(`"sw_sys"`, `"x": "`+strings.Repeat("x", longestBeat)+`", "sw_sys"`)},
		"another encoding":           {text: `{"body": "{\"type\": \"worker-heartbeat\"}"}`},
		"noise":                      {text: "\x00\xff"},
		"a list":                     {text: heartbeat("[" + full + "]")},
		"nothing":                    {text: ""},
		"a body that is not a text":  {text: `{"body": 7}`},
		"an event that is no object": {text: heartbeat("null")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := parseBeat(tc.text)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(beat{})); ok != tc.ok || diff != "" {
				t.Errorf("understood: %v, want %v (-want +got):\n%s", ok, tc.ok, diff)
			}
		})
	}
}

// TestRoll: a worker is known for three heartbeats and two seconds, and only so many are.
func TestRoll(t *testing.T) {
	r := &roll{}
	say := func(host string, active int64, at time.Duration) {
		r.hear(beat{node: "celery@" + host, host: host, active: active, every: 2 * time.Second}, moment.Add(at))
	}
	expect := func(at time.Duration, want ...observe.Worker) {
		t.Helper()
		if diff := cmp.Diff(want, r.of("shop-", moment.Add(at)).workers); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", at, diff)
		}
	}
	expect(0)
	say("shop-b", 3, 0)
	say("shop-a", 1, time.Second)
	say("other-a", 9, time.Second)
	expect(time.Second, observe.Worker{Pod: "shop-a", Active: 1}, observe.Worker{Pod: "shop-b", Active: 3})
	say("shop-a", 0, 4*time.Second)
	expect(8*time.Second-1, observe.Worker{Pod: "shop-a"}, observe.Worker{Pod: "shop-b", Active: 3})
	expect(8*time.Second, observe.Worker{Pod: "shop-a"})
	expect(12 * time.Second)

	r.hear(beat{node: "one@shop-c", host: "shop-c", active: 1, every: time.Second}, moment)
	r.hear(beat{node: "two@shop-c", host: "shop-c", active: 2, every: time.Second}, moment)
	expect(0, observe.Worker{Pod: "shop-c", Active: 3})

	for i := range mostWorkers {
		say(fmt.Sprintf("noise-%d", i), 0, 0)
	}
	say("shop-d", 1, 0)
	say("shop-c", 5, 0)
	expect(0, observe.Worker{Pod: "shop-c", Active: 3})
	say("shop-d", 1, time.Minute)
	expect(time.Minute, observe.Worker{Pod: "shop-d", Active: 1})
}

// TestHeard: heartbeats wake a resource with the next reading if they tell something else than it last saw.
func TestHeard(t *testing.T) {
	b := New(Options{})
	p := &poller{known: observe.Broker{State: observe.BrokerRead}}
	s := &source{poller: p, users: map[client.ObjectKey]bool{}}
	for _, name := range []string{"shop", "other", "plain"} {
		key := client.ObjectKey{Namespace: "shop", Name: name}
		b.users[key] = &user{source: s, asks: asks{scaled: []string{"celery"}}, prefix: name + "-"}
		s.users[key] = true
	}
	b.users[client.ObjectKey{Namespace: "shop", Name: "plain"}].scaled = nil
	woken := func() (names []string) {
		for _, key := range b.concerned(s, p.known) {
			names = append(names, key.Name)
		}
		return names
	}
	look := func() {
		for _, u := range b.users {
			u.heard = u.hears(b.options.Clock.Now())
		}
	}
	say := func(host string, active int64) {
		p.roll.hear(beat{node: "celery@" + host, host: host, active: active, every: time.Minute}, b.options.Clock.Now())
	}
	for _, host := range []string{"shop-worker-1", "plain-worker-1"} {
		say(host, 0)
	}
	if diff := cmp.Diff([]string{"shop"}, woken()); diff != "" {
		t.Errorf("a new worker wakes (-want +got):\n%s", diff)
	}
	look()
	say("shop-worker-1", 0)
	if got := woken(); got != nil {
		t.Errorf("the same as before wakes %q", got)
	}
	say("shop-worker-1", 1)
	if diff := cmp.Diff([]string{"shop"}, woken()); diff != "" {
		t.Errorf("a task wakes (-want +got):\n%s", diff)
	}
}

// redisThen answers as a Redis does until it is subscribed to, and says something then.
func redisThen(said func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			asked := strings.ToLower(string(buffer[:n]))
			switch {
			case strings.Contains(asked, "psubscribe"):
				said(conn)
			case strings.Contains(asked, "hello"):
				_, err = io.WriteString(conn, "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n")
			default:
				_, err = io.WriteString(conn, "+OK\r\n")
			}
			if err != nil {
				return
			}
		}
	}
}

// TestHostileHeartbeats: whatever is said on the channels, listening ends with one of a few states and takes little memory.
func TestHostileHeartbeats(t *testing.T) {
	message := func(payload string) string {
		return fmt.Sprintf("*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$%d\r\n%s\r\n", len(payload), payload)
	}
	const subscribed = "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n"
	for name, tc := range map[string]struct {
		says string
		want observe.BrokerState
	}{
		"a refusal":                {"-NOPERM No permissions to access a channel\r\n", observe.BrokerRefuses},
		"a huge message":           {subscribed + "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$99999999\r\n", observe.BrokerAnswerInvalid},
		"a huge list":              {subscribed + "*2000000000\r\n", observe.BrokerAnswerInvalid},
		"lists in lists":           {strings.Repeat("*1\r\n", 20_000), observe.BrokerAnswerInvalid},
		"a message without a text": {subscribed + "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n*0\r\n", observe.BrokerAnswerInvalid},
		"an empty list":            {subscribed + "*0\r\n", observe.BrokerAnswerInvalid},
		"noise":                    {strings.Repeat("\x00\xff", 1<<12) + "\r\n", observe.BrokerAnswerInvalid},
		"the end":                  {"", observe.BrokerUnreachable},
		"more than is listened to": {subscribed + strings.Repeat(message("{}"), 3*mostBeats), observe.BrokerAnswerInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			address := impostor(t, redisThen(func(conn net.Conn) {
				_, _ = io.WriteString(conn, tc.says)
				_ = conn.Close()
			}))
			b := New(Options{Guard: anywhere})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if err := b.hear(ctx, &poller{target: target{address: address}}); stateOf(err) != tc.want || ctx.Err() != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestListeningEnds: at once when it is not wanted any more, also while nothing is said.
func TestListeningEnds(t *testing.T) {
	address := impostor(t, redisThen(func(conn net.Conn) { _, _ = io.WriteString(conn, "*3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n") }))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- listenToRedis(ctx, target{address: address}, anywhere, func(message any) error {
			if _, ok := message.(*redis.Subscription); ok {
				cancel()
			}
			return nil
		})
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ended as if the broker had")
		}
	case <-time.After(5 * time.Second):
		t.Error("it goes on")
	}
}
