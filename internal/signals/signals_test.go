// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/memorybudget/memorybudget/internal/observe"
)

func TestRedisTarget(t *testing.T) {
	cases := map[string]struct {
		url  string
		want target
		// wantFault is how the fault begins.
		wantFault string
	}{
		"plain":                  {url: "redis://redis", want: target{address: "redis:6379"}},
		"a database":             {url: "redis://redis:6380/5", want: target{address: "redis:6380", database: 5}},
		"TLS":                    {url: "rediss://redis/0?ssl_cert_reqs=none", want: target{address: "redis:6379", secure: true}},
		"a password":             {url: "redis://:s3cret@redis:6379/0\n", want: target{address: "redis:6379", password: "s3cret"}},
		"a user":                 {url: "redis://u:p%40:q@redis/", want: target{address: "redis:6379", user: "u", password: "p@:q"}},
		"odd passwords":          {url: "redis://u:^|@%zz{@redis/1", want: target{address: "redis:6379", user: "u", password: "^|@%zz{", database: 1}},
		"IPv6":                   {url: "redis://[fd00::1]:7000/2", want: target{address: "[fd00::1]:7000", database: 2}},
		"empty":                  {url: " ", wantFault: "is empty"},
		"no URL":                 {url: "redis:6379", wantFault: "is no URL"},
		"too long":               {url: "redis://" + strings.Repeat("a", longestURL), wantFault: "is longer"},
		"another scheme":         {url: "sentinel://redis/0", wantFault: "must begin with redis://"},
		"a socket":               {url: "redis+socket:///tmp/redis", wantFault: "has no host"},
		"several":                {url: "redis://a/0;redis://b/0", wantFault: "names several"},
		"no host":                {url: "redis:///0", wantFault: "has no host"},
		"a zone":                 {url: "redis://[fe80::1%25eth0]/0", wantFault: "has no host"},
		"a host that is none":    {url: "redis://<script>/0", wantFault: "has no host"},
		"a port beyond":          {url: "redis://redis:65536/0", wantFault: "has a port"},
		"port zero":              {url: "redis://redis:0/0", wantFault: "has a port"},
		"a database with a name": {url: "redis://redis/main", wantFault: "has a path"},
		"a negative database":    {url: "redis://redis/-1", wantFault: "has a path"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, fault := redisTarget(tc.url)
			if !strings.HasPrefix(fault, tc.wantFault) || (fault == "") != (tc.wantFault == "") {
				t.Fatalf("fault %q, want %q", fault, tc.wantFault)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(target{}, endpoint{})); tc.wantFault == "" && diff != "" {
				t.Errorf("target (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMQPURLs(t *testing.T) {
	for url, want := range map[string]target{
		"amqp://u:p%40@rabbit/lab": {address: "rabbit:5672", user: "u", password: "p@", vhost: "lab"},
		"amqps://rabbit":           {address: "rabbit:5671", secure: true, user: "guest", password: "guest", vhost: "/"},
		"pyamqp://u@rabbit:7":      {address: "rabbit:7", user: "u", password: "guest", vhost: "/"},
	} {
		got, _, fault := amqpTarget(url)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{}, endpoint{})); diff != "" || fault != "" {
			t.Errorf("%s: %s, target (-want +got):\n%s", url, fault, diff)
		}
	}
	for _, url := range []string{"redis://rabbit", "amqp://rabbit:0"} {
		if _, _, fault := amqpTarget(url); fault == "" {
			t.Errorf("%s is taken for a RabbitMQ", url)
		}
	}
}

func TestRabbitURLs(t *testing.T) {
	for url, want := range map[string]string{
		"amqp://u:p@rabbit:5672//": "/", "amqp://rabbit": "/", "amqps://rabbit/": "/", "pyamqp://rabbit/%2Flab": "/lab",
		"amqp://rabbit/lab?heartbeat=30": "lab",
	} {
		if got, _, fault := amqpTarget(url); got.vhost != want || fault != "" {
			t.Errorf("%s: virtual host %q (%s), want %q", url, got.vhost, fault, want)
		}
	}
	got, p, fault := managementTarget("https://u:p@rabbit/prefix/")
	want := target{rabbitmq: true, secure: true, address: "rabbit:443", user: "u", password: "p", path: "/prefix"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(target{}, endpoint{})); diff != "" || !p.hasUser || fault != "" {
		t.Errorf("target (-want +got), %v, %s:\n%s", p.hasUser, fault, diff)
	}
	if _, _, fault := managementTarget("file:///etc/passwd"); fault == "" {
		t.Error("a file is taken for a management API")
	}
}

// TestTargetIsDiscreet: no formatting of a target tells its password by accident.
func TestTargetIsDiscreet(t *testing.T) {
	to := target{address: "redis:6379", user: "u", password: "s3cret", amqp: endpoint{address: "rabbit:5672", password: "s3cret"}}
	for _, format := range []string{"%v", "%+v", "%s"} {
		if text := fmt.Sprintf(format+" "+format, to, to.amqp); text != "redis:6379 rabbit:5672" {
			t.Errorf("%s gives %q", format, text)
		}
	}
}

func TestGuard(t *testing.T) {
	guard := NewGuard("10.96.0.1", "fd00::1", "localhost", "no-such-name.invalid")
	for address, want := range map[string]bool{
		"10.0.0.7": true, "192.168.1.1": true, "8.8.8.8": true, "fd00::2": true, "2001:db8::1": true, "::ffff:10.0.0.7": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:7f00:1": false,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "64:ff9b::a9fe:a9fe": false, "fe80::1": false, "fe80::1%eth0": false,
		"0.0.0.0": false, "::": false, "0.1.2.3": false, "255.255.255.255": false, "224.0.0.1": false, "ff02::1": false,
		"fd00:ec2::254": false, "100.100.100.200": false, "168.63.129.16": false,
		"10.96.0.1": false, "::ffff:10.96.0.1": false, "64:ff9b::a60:1": false, "fd00::1": false,
	} {
		if got := guard(t.Context(), netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is allowed: %v, want %v", address, got, want)
		}
	}
	if guard(t.Context(), netip.Addr{}) {
		t.Error("no address is allowed")
	}
}

// TestGuardIsAsked: about the address that is connected to, by both kinds of readers, whatever it is called.
func TestGuardIsAsked(t *testing.T) {
	connected := make(chan struct{}, 10)
	address := impostor(t, func(net.Conn) { connected <- struct{}{} })
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		for _, to := range []target{{address: host + ":" + port}, {address: host + ":" + port, rabbitmq: true}} {
			r := newReader(to, NewGuard())
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			if _, err := readOnce(ctx, r, question{}); stateOf(err) != observe.BrokerForbidden {
				t.Errorf("%s: %v", host, err)
			}
			cancel()
			if err := r.close(); err != nil {
				t.Error(err)
			}
		}
	}
	if len(connected) > 0 {
		t.Error("there was a connection")
	}
}

func TestCelerysOwn(t *testing.T) {
	for queue, want := range map[string]bool{
		"celery": false, "emails": false, "celeryevents": false, "celery_delayed": false, "pidbox": false,
		"celery@host.celery.pidbox": true, "1a2b.reply.celery.pidbox": true, "celeryev.1a2b": true, "celery_delayed_27": true,
	} {
		if got := isCelerysOwn(queue); got != want {
			t.Errorf("%s is Celery's own: %v", queue, got)
		}
	}
}

// TestTake: a reading that fails leaves what was read for a minute, and counts for longer. Since when readings fail is known.
func TestTake(t *testing.T) {
	start := time.Unix(1000, 0)
	p := &poller{target: target{address: "redis:6379"}, sources: map[*source]bool{}, known: observe.Broker{State: observe.BrokerNotReadYet}}
	emails := []observe.Queue{{Name: "emails", Ready: 1}}
	steps := []struct {
		after  time.Duration
		queues []observe.Queue
		err    error
		want   observe.BrokerState
		// wantSince is since when readings fail, negative where they do not.
		wantSince time.Duration
	}{
		{after: 0, err: context.DeadlineExceeded, want: observe.BrokerUnreachable},
		{after: time.Second, queues: emails, want: observe.BrokerRead, wantSince: -1},
		{after: 11 * time.Second, err: errAnswer, want: observe.BrokerRead, wantSince: 11 * time.Second},
		{after: 61 * time.Second, err: errAnswer, want: observe.BrokerRead, wantSince: 11 * time.Second},
		{after: 62 * time.Second, err: errAnswer, want: observe.BrokerAnswerInvalid, wantSince: 11 * time.Second},
		{after: 70 * time.Second, err: errRefused, want: observe.BrokerRefuses, wantSince: 11 * time.Second},
		{after: 80 * time.Second, want: observe.BrokerRead, wantSince: -1},
	}
	var queues []observe.Queue
	for i, step := range steps {
		if step.err == nil {
			queues = step.queues
		}
		p.take(reading{queues: step.queues}, step.err, start.Add(step.after))
		want := observe.Broker{State: step.want, Address: "redis:6379", Queues: queues}
		if step.wantSince >= 0 {
			want.FailingSince = start.Add(step.wantSince)
		}
		if diff := cmp.Diff(want, p.known); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestSecretIsGone: it is looked for twice; then it failed since the first look, or since readings did, and counts stay.
func TestSecretIsGone(t *testing.T) {
	missing := observe.Broker{State: observe.BrokerSecretMissing}
	for name, since := range map[string]time.Time{"the broker was read": {}, "the broker failed before": moment.Add(-time.Hour)} {
		t.Run(name, func(t *testing.T) {
			passive := clocktesting.NewFakeClock(moment)
			b := New(Options{Clock: passive})
			known := observe.Broker{State: observe.BrokerRead, Queues: []observe.Queue{{Name: "emails", Ready: 3}}, FailingSince: since}
			p := &poller{sources: map[*source]bool{}, cancel: func() {}, known: known}
			s := &source{poller: p}
			p.sources[s], b.sources[s.origin] = true, s
			b.resolved(s, target{}, missing)
			if diff := cmp.Diff(known, s.known()); diff != "" {
				t.Errorf("after one look (-want +got):\n%s", diff)
			}
			want := known
			if want.State = observe.BrokerSecretMissing; since.IsZero() {
				want.FailingSince = moment
			}
			for range 2 {
				passive.Step(time.Minute)
				b.resolved(s, target{}, missing)
				if diff := cmp.Diff(want, s.known()); diff != "" {
					t.Errorf("after more looks (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// TestConcerned: a resource is woken by its own queues, and by failures where it scales.
func TestConcerned(t *testing.T) {
	base := observe.Broker{State: observe.BrokerRead, Queues: []observe.Queue{{Name: "emails", Ready: 1}, {Name: "images", Ready: 1}}}
	change := func(how func(*observe.Broker)) observe.Broker {
		changed := base
		changed.Queues = slices.Clone(base.Queues)
		how(&changed)
		return changed
	}
	failing := change(func(b *observe.Broker) { b.FailingSince = moment })
	for name, tc := range map[string]struct {
		before, after observe.Broker
		plain, emails bool
	}{
		"nothing":           {base, change(func(*observe.Broker) {}), false, false},
		"its own queue":     {base, change(func(b *observe.Broker) { b.Queues[0].Oldest = moment }), false, true},
		"another's queue":   {base, change(func(b *observe.Broker) { b.Queues[1].Ready = 2 }), false, false},
		"queues that wait":  {base, change(func(b *observe.Broker) { b.Waiting = []string{"images"} }), true, true},
		"another state":     {base, change(func(b *observe.Broker) { b.State = observe.BrokerRefuses }), true, true},
		"a failure":         {base, failing, false, true},
		"its end":           {failing, base, false, true},
		"a failure goes on": {failing, change(func(b *observe.Broker) { b.FailingSince = moment.Add(1) }), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			queues := []string{"emails"}
			plain, emails := &user{asks: asks{queues: queues}}, &user{asks: asks{queues: queues, scaled: queues}}
			if got := plain.concerned(tc.before, tc.after); got != tc.plain {
				t.Errorf("without scaling: %v", got)
			}
			if got := emails.concerned(tc.before, tc.after); got != tc.emails {
				t.Errorf("with scaling: %v", got)
			}
		})
	}
}

// TestRefusedReadsTheSecretAgain: once, when it begins, and once when it ends otherwise.
func TestRefusedReadsTheSecretAgain(t *testing.T) {
	s := &source{again: make(chan struct{}, 1)}
	p := &poller{sources: map[*source]bool{s: true}}
	for i, want := range []int{1, 0, 0} {
		p.take(reading{}, errRefused, time.Unix(int64(i), 0))
		if got := len(s.again); got != want {
			t.Errorf("after %d readings the Secret is read again: %d, want %d", i+1, got, want)
		}
		for len(s.again) > 0 {
			<-s.again
		}
	}
}

// panics is a reader that an answer has made panic.
type panics struct{}

func (panics) read(context.Context, question) (reading, error) { panic("secret words") }
func (panics) close() error                                    { return nil }

func TestReadSurvives(t *testing.T) {
	if _, err := readOnce(t.Context(), panics{}, question{}); stateOf(err) != observe.BrokerAnswerInvalid || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestDialled(t *testing.T) {
	for address, want := range map[string]string{
		"redis:6379":          "redis.shop.svc:6379",
		"redis.data:6379":     "redis.data:6379",
		"redis.example.com:1": "redis.example.com:1",
		"10.0.0.1:6379":       "10.0.0.1:6379",
		"[fd00::1]:6379":      "[fd00::1]:6379",
		"localhost:6379":      "localhost:6379",
	} {
		if got := (target{address: address}).in("shop").dialled(); got != want {
			t.Errorf("%s is %s in the pods of shop, want %s", address, got, want)
		}
	}
}
