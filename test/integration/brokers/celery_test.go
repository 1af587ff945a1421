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

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// each is how many tasks a test publishes to each queue; two run at a time.
const each, running = 4, 2

// counts are those of the queues celery and emails.
type counts struct {
	// Celery and Emails are all tasks of each queue.
	Celery, Emails int64
	// Ready, Reserved and Later are the sums of both: which tasks a worker takes first is its own business.
	Ready, Reserved, Later int64
}

// awaitCounts waits until what is counted is the truth.
func (s *scene) awaitCounts(mb *v1alpha1.MemoryBudget, when string, want counts) {
	s.t.Helper()
	var got counts
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got = sum(s.brokers.Broker(mb)); got == want {
			return
		}
	}
	s.t.Fatalf("waited for the truth %s (-want +got):\n%s", when, cmp.Diff(want, got))
}

func sum(broker observe.Broker) (c counts) {
	of := map[string]int64{}
	for _, q := range broker.Queues {
		of[q.Name] = q.Ready + q.Reserved + q.Later
		c.Ready, c.Reserved, c.Later = c.Ready+q.Ready, c.Reserved+q.Reserved, c.Later+q.Later
	}
	c.Celery, c.Emails = of["celery"], of["emails"]
	return c
}

// manner is how a worker takes tasks.
type manner struct {
	late     bool
	prefetch int
	// apart: the worker may take as many from each queue, not from both together.
	apart bool
}

func (m manner) String() string {
	return fmt.Sprintf("acknowledged late %v, prefetch %d", m.late, m.prefetch)
}

// truth is what is to be counted where so many tasks of the queues run or wait, and a worker is there or was killed.
// Celery acknowledges early just before it runs a task: then those that run are in no count.
func (m manner) truth(celery, emails, later int64, runs []string) counts {
	for _, name := range runs {
		switch {
		case m.late:
		case strings.HasPrefix(name, "celery"):
			celery--
		default:
			emails--
		}
	}
	most := running * int64(m.prefetch)
	c := counts{Celery: celery + later/2, Emails: emails + later/2, Reserved: min(most, celery+emails), Later: later}
	if m.apart {
		c.Reserved = min(most, celery) + min(most, emails)
	}
	c.Ready = celery + emails - c.Reserved
	return c
}

// live takes a queue of tasks through the life of a worker. Later is how many tasks are due in an hour, half in each queue;
// gone says whether the broker knows that there is no worker.
func (m manner) live(t *testing.T, s *scene, shop *v1alpha1.MemoryBudget, celery *brokers.Celery, later int64, gone func() bool) {
	publish(t, celery, later)
	waiting := counts{Celery: each + later/2, Emails: each + later/2, Ready: 2 * each, Later: later}
	s.awaitCounts(shop, "before there is a worker", waiting)
	worker := celery.Worker(t, m.late, m.prefetch)
	runs := celery.Running(t, running)
	s.awaitCounts(shop, "while two tasks run", m.truth(each, each, later, runs))

	left := map[string]int64{"celery": each, "emails": each}
	queue, _, _ := strings.Cut(runs[0], "-")
	left[queue]--
	celery.End(t, runs[0])
	runs = celery.Running(t, running)
	truth := m.truth(left["celery"], left["emails"], later, runs)
	s.awaitCounts(shop, "after one has ended", truth)
	worker.Kill(t)
	eventually(t, "the end of the worker's connection", gone)
	if shop.Spec.Broker.RabbitMQ != nil {
		// RabbitMQ sees that the connection is gone and gives the tasks back.
		truth.Ready, truth.Reserved = truth.Ready+truth.Reserved, 0
	}
	celery.Publish(t, brokers.Task{Name: "celery-last", Queue: "celery"}) // So that a reading must have seen it gone.
	truth.Celery, truth.Ready = truth.Celery+1, truth.Ready+1
	s.awaitCounts(shop, "after the worker was killed", truth)
}

// publish publishes tasks of all priorities to both queues, in the two ways in which Celery addresses them.
func publish(t *testing.T, celery *brokers.Celery, later int64) {
	t.Helper()
	for i := range each {
		priority := []int{0, 3, 5, 9}[i%4]
		celery.Publish(t, brokers.Task{Name: fmt.Sprintf("celery-%d", i), Queue: "celery", Priority: priority})
		email := brokers.Task{Name: fmt.Sprintf("emails-%d", i), Queue: "emails", Priority: priority}
		if i%2 == 0 {
			email.Exchange, email.Key = "shop", "mail"
		}
		celery.Publish(t, email)
	}
	for i := range later {
		queue := []string{"celery", "emails"}[i%2]
		celery.Publish(t, brokers.Task{Name: fmt.Sprintf("%s-later-%d", queue, i), Queue: queue, In: 3600})
	}
}

// TestCeleryOnRedis: with a real Celery, what is counted is what there is to do, at each step of a worker's life. With a
// prefetch of 4 it takes all tasks, so that the lists are empty, and those that are due later with them.
func TestCeleryOnRedis(t *testing.T) {
	t.Parallel()
	for _, m := range []manner{{true, 1, false}, {true, 4, false}, {false, 1, false}, {false, 4, false}} {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			redis := brokers.StartRedis(t, "")
			s := newScene(t, signals.Options{})
			url := "redis://" + redis.Address + "/2"
			s.secret("broker", map[string]string{"url": url})
			// Until it sees that the worker is gone, it gives it a task that is published, which is lost then.
			gone := func() bool { return strings.Contains(redis.Do(t, "INFO", "clients").(string), "blocked_clients:0") }
			var settings []string
			if m.prefetch == 4 {
				settings = append(settings, "HELD_PREFIX=shop:")
			}
			m.live(t, s, scaled(redisShop("shop"), "celery", "emails"), brokers.StartCelery(t, url, settings...), 2, gone)
		})
	}
}

// TestCeleryETA: a task that Celery publishes for a moment from now is counted when it is due.
func TestCeleryETA(t *testing.T) {
	t.Parallel()
	redis := brokers.StartRedis(t, "")
	s := newScene(t, signals.Options{})
	url := "redis://" + redis.Address + "/0"
	s.secret("broker", map[string]string{"url": url})
	shop := scaled(redisShop("shop"), "celery")
	celery := brokers.StartCelery(t, url)
	celery.Publish(t, brokers.Task{Name: "warm", Queue: "celery"})
	began := time.Now()
	celery.Publish(t, brokers.Task{Name: "soon", Queue: "celery", In: 5})
	eventually(t, "a task that is due later", func() bool {
		queues := s.brokers.Broker(shop).Queues
		return len(queues) == 1 && queues[0].Ready == 1 && queues[0].Later == 1 &&
			queues[0].NextETA.After(began.Add(4*time.Second)) && queues[0].NextETA.Before(began.Add(10*time.Second))
	})
	s.awaitQueues(shop, observe.Queue{Name: "celery", Ready: 2})
}

// TestCeleryOnRabbitMQ is its like with RabbitMQ, which tells nothing of ETAs and puts back what a lost worker had taken.
func TestCeleryOnRabbitMQ(t *testing.T) {
	t.Parallel()
	rabbit := brokers.StartRabbitMQ(t)
	for kind, manners := range map[string][]manner{
		"classic": {{true, 1, false}, {false, 4, false}},
		"quorum":  {{true, 1, true}, {false, 1, true}},
	} {
		for _, m := range manners {
			t.Run(kind+", "+m.String(), func(t *testing.T) {
				t.Parallel()
				vhost := fmt.Sprintf("%s-%v-%d", kind, m.late, m.prefetch)
				rabbit.Call(t, http.MethodPut, "/api/vhosts/"+vhost, "{}")
				rabbit.Call(t, http.MethodPut, "/api/permissions/"+vhost+"/guest", `{"configure":".*","write":".*","read":".*"}`)
				s := newScene(t, signals.Options{})
				url := "amqp://guest:guest@" + rabbit.Address + "/" + vhost
				s.secret("broker", map[string]string{"url": url, "management": "http://" + rabbit.Management})
				m.live(t, s, scaled(rabbitShop(), "celery", "emails"), brokers.StartCelery(t, url, "HELD_QUEUES="+kind), 0, func() bool { return true })
			})
		}
	}
}
