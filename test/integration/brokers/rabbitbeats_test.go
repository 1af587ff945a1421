// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// listened begins what is logged when heartbeats are heard otherwise than before.
const listened = "The heartbeats of workers are heard otherwise"

// unheard is how the log says that the connection that listens is lost, which may last for a moment only.
const unheard = `"is"="` + string(observe.BrokerUnreachable) + `"`

// rabbitURLs are those of a virtual host. The management API is asked by guest, whoever listens.
func rabbitURLs(rabbit *brokers.RabbitMQ, listener, vhost string) map[string]string {
	return map[string]string{
		"url":        "amqp://" + listener + "@" + rabbit.Address + "/" + vhost,
		"management": "http://guest:guest@" + rabbit.Management,
	}
}

// listeners are the connections by which heartbeats of a virtual host are listened to.
func listeners(t *testing.T, rabbit *brokers.RabbitMQ, vhost string) (names []string) {
	t.Helper()
	var connections []struct {
		Name       string         `json:"name"`
		Properties map[string]any `json:"client_properties"`
	}
	rabbit.Get(t, "/api/vhosts/"+vhost+"/connections", &connections)
	for _, c := range connections {
		if c.Properties["connection_name"] == "memorybudget" {
			names = append(names, c.Name)
		}
	}
	return names
}

// rabbitNamed is the shop with a RabbitMQ by another name.
func rabbitNamed(name string) *v1alpha1.MemoryBudget {
	mb := rabbitShop()
	mb.Name = name
	return mb
}

// TestRabbitHeartbeats: workers are known by their heartbeats through a RabbitMQ as through a Redis.
func TestRabbitHeartbeats(t *testing.T) {
	t.Parallel()
	rabbit := brokers.StartRabbitMQ(t)
	t.Run("heard", func(t *testing.T) { testRabbitHeard(t, rabbit) })
	t.Run("refused", func(t *testing.T) { testRabbitRefused(t, rabbit) })
	t.Run("lost", func(t *testing.T) { testRabbitLost(t, rabbit) })
}

// testRabbitHeard: workers of a real Celery that acknowledge early are known by their heartbeats, until they are gone, and all
// resources hear them by one connection. Before the first worker there is nothing to listen to, and that is not told.
func testRabbitHeard(t *testing.T, rabbit *brokers.RabbitMQ) {
	rabbit.VirtualHost(t, "lab")
	urls := rabbitURLs(rabbit, "guest:guest", "lab")
	s := newScene(t, signals.Options{})
	s.secret("broker", urls)
	shop, second, plain := scaled(rabbitShop(), "celery"), scaled(rabbitNamed("second"), "emails"), rabbitNamed("plain")
	s.awaitQueues(shop, observe.Queue{Name: "celery"})
	s.awaitWorkers(shop, observe.BrokerNotReadYet)
	s.awaitWorkers(plain, observe.BrokerNone)

	celery := brokers.StartCelery(t, urls["url"])
	worker := celery.Pod(t, "shop-worker-7d9-x")
	celery.Pod(t, "second-worker-1", "-Q", "emails")
	s.awaitWorkers(shop, observe.BrokerRead, observe.Worker{Pod: "shop-worker-7d9-x"})
	s.awaitWorkers(second, observe.BrokerRead, observe.Worker{Pod: "second-worker-1"})
	if log := s.written(); strings.Count(log, listened) != 1 {
		t.Errorf("told more than that they are heard:\n%s", log)
	}

	before := s.wakes("shop")
	celery.Publish(t, brokers.Task{Name: "one", Queue: "celery"}, brokers.Task{Name: "two", Queue: "celery"})
	celery.Running(t, 2)
	eventually(t, "word of the tasks", func() bool { return s.wakes("shop") > before })
	s.awaitWorkers(shop, observe.BrokerRead, observe.Worker{Pod: "shop-worker-7d9-x", Active: 2})
	s.awaitQueues(shop, observe.Queue{Name: "celery"})
	celery.End(t, "one")
	s.awaitWorkers(shop, observe.BrokerRead, observe.Worker{Pod: "shop-worker-7d9-x", Active: 1})
	if names := listeners(t, rabbit, "lab"); len(names) != 1 {
		t.Errorf("connections: %q", names)
	}
	if got := s.brokers.Broker(plain).Waiting; got != nil {
		t.Errorf("queues that wait for an owner: %q", got)
	}

	worker.Kill(t)
	s.awaitWorkers(shop, observe.BrokerRead)
	s.awaitWorkers(second, observe.BrokerRead, observe.Worker{Pod: "second-worker-1"})

	// Nobody listens where no tier scales any more.
	s.brokers.Broker(rabbitShop())
	s.brokers.Broker(rabbitNamed("second"))
	eventually(t, "the end of listening", func() bool { return listeners(t, rabbit, "lab") == nil })
}

// testRabbitLost: a connection that is lost is made anew, as often as it takes.
func testRabbitLost(t *testing.T, rabbit *brokers.RabbitMQ) {
	rabbit.VirtualHost(t, "lost")
	rabbit.Exchange(t, "lost")
	s := newScene(t, signals.Options{})
	s.secret("broker", rabbitURLs(rabbit, "guest:guest", "lost"))
	shop := scaled(rabbitShop(), "celery")
	s.awaitWorkers(shop, observe.BrokerRead)

	eventually(t, "a connection", func() bool { return listeners(t, rabbit, "lost") != nil })
	told := len(s.written())
	for _, name := range listeners(t, rabbit, "lost") {
		rabbit.Call(t, http.MethodDelete, "/api/connections/"+url.PathEscape(name), "")
	}
	s.awaitLog(told, unheard)
	s.awaitWorkers(shop, observe.BrokerRead)

	var queues []struct {
		Name      string         `json:"name"`
		Exclusive bool           `json:"exclusive"`
		Arguments map[string]any `json:"arguments"`
	}
	rabbit.Get(t, "/api/queues/lost", &queues)
	if len(queues) != 1 || !strings.HasPrefix(queues[0].Name, "memorybudget.celeryev.") || !queues[0].Exclusive {
		t.Fatalf("queues: %+v", queues)
	}
	bounds := map[string]any{"x-expires": 60000., "x-message-ttl": 5000., "x-max-length": 4000., "x-queue-type": "classic"}
	if diff := cmp.Diff(bounds, queues[0].Arguments); diff != "" {
		t.Errorf("the queue's bounds (-want +got):\n%s", diff)
	}

	rabbit.Stop()
	s.awaitWorkers(shop, observe.BrokerUnreachable)
	rabbit.Start(t)
	s.awaitWorkers(shop, observe.BrokerRead)
	rabbit.Heartbeat(t, "lost", "shop-worker-1", 3)
	s.awaitWorkers(shop, observe.BrokerRead, observe.Worker{Pod: "shop-worker-1", Active: 3})
}

// testRabbitRefused: whoever may not hear workers counts tasks all the same. That is told once, without the password.
func testRabbitRefused(t *testing.T, rabbit *brokers.RabbitMQ) {
	rabbit.VirtualHost(t, "refused")
	rabbit.Exchange(t, "refused")
	rabbit.Declare(t, "refused", "celery")
	rabbit.Publish(t, "refused", "celery")
	rabbit.Call(t, http.MethodPut, "/api/users/listener", `{"password":"`+canary+`","tags":""}`)
	listener := "listener:" + url.PathEscape(canary)
	const ours, others = `^memorybudget\.celeryev\..*`, `^shop$`
	const heard = `^(memorybudget\.celeryev\..*|celeryev)$`
	tests := map[string]struct {
		listener               string
		configure, write, read string
		want                   observe.BrokerState
	}{
		"a wrong password":         {listener: "guest:" + url.PathEscape(canary), want: observe.BrokerRefuses},
		"no right to the host":     {listener: listener, want: observe.BrokerRefuses},
		"no right to make a queue": {listener, others, ours, heard, observe.BrokerRefuses},
		"no right to bind a queue": {listener, ours, others, heard, observe.BrokerRefuses},
		"no right to read events":  {listener, ours, ours, ours, observe.BrokerRefuses},
		"just the rights":          {listener, ours, ours, heard, observe.BrokerRead},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.configure != "" {
				rabbit.Permit(t, "refused", "listener", tc.configure, tc.write, tc.read)
				defer rabbit.Call(t, http.MethodDelete, "/api/permissions/refused/listener", "")
			}
			s := newScene(t, signals.Options{})
			s.secret("broker", rabbitURLs(rabbit, tc.listener, "refused"))
			shop := scaled(rabbitShop(), "celery")
			s.awaitWorkers(shop, tc.want)
			s.awaitQueues(shop, observe.Queue{Name: "celery", Ready: 1})
			if log := s.written(); strings.Count(log, listened) != 1 || !strings.Contains(log, listened+`" "broker"="`+rabbit.Address) {
				t.Errorf("not told once, of the address of AMQP:\n%s", log)
			}
		})
	}
	t.Run("a server that hangs", func(t *testing.T) {
		s := newScene(t, signals.Options{})
		urls := rabbitURLs(rabbit, listener, "refused")
		urls["url"] = "amqp://" + listener + "@" + hanging(t) + "/refused"
		s.secret("broker", urls)
		shop := scaled(rabbitShop(), "celery")
		s.awaitQueues(shop, observe.Queue{Name: "celery", Ready: 1})
		rabbit.Publish(t, "refused", "celery")
		s.awaitQueues(shop, observe.Queue{Name: "celery", Ready: 2})
		s.awaitWorkers(shop, observe.BrokerUnreachable)
	})
}

// hanging is the address of a server that never answers.
func hanging(t *testing.T) string {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn); _ = conn.Close() }()
		}
	}()
	return server.Addr().String()
}
