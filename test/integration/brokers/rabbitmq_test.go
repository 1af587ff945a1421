// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"net/http"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/test/brokers"
)

func key(mb *v1alpha1.MemoryBudget) client.ObjectKey { return client.ObjectKeyFromObject(mb) }

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("waiting for %s", what)
}

func TestRabbitMQ(t *testing.T) {
	t.Parallel()
	rabbit := brokers.StartRabbitMQ(t)
	urls := func(userinfo, vhost, management string) map[string]string {
		return map[string]string{"url": "amqp://" + userinfo + rabbit.Address + vhost, "management": "http://" + management + rabbit.Management}
	}
	rabbit.Declare(t, "/", "celery")
	rabbit.Declare(t, "/", "empty")
	rabbit.Publish(t, "/", "celery")
	for _, queue := range []string{"emails", "worker@host.celery.pidbox", "celeryev.1", "celery_delayed_3"} {
		rabbit.Declare(t, "/", queue)
		rabbit.Publish(t, "/", queue)
	}
	rabbit.Call(t, http.MethodPut, "/api/vhosts/lab", "{}")
	rabbit.Call(t, http.MethodPut, "/api/permissions/lab/guest", `{"configure":".*","write":".*","read":".*"}`)
	rabbit.Declare(t, "lab", "tests")
	rabbit.Publish(t, "lab", "tests")
	rabbit.Call(t, http.MethodPut, "/api/users/"+"nobody", `{"password":"secret","tags":""}`)
	rabbit.Call(t, http.MethodPut, "/api/users/"+"looker", `{"password":"secret","tags":"management"}`)

	failed := func(state observe.BrokerState) observe.Broker {
		return observe.Broker{State: state, Address: rabbit.Management}
	}
	for name, tc := range map[string]struct {
		secret map[string]string
		want   observe.Broker
	}{
		"the credentials of AMQP":       {urls("guest:guest@", "", ""), waiting(rabbit.Management, "celery", "emails")},
		"credentials of its own":        {urls("no:no@", "/%2F", "guest:guest@"), waiting(rabbit.Management, "celery", "emails")},
		"another virtual host":          {urls("guest:guest@", "/lab", ""), waiting(rabbit.Management, "tests")},
		"a wrong password":              {urls("guest:"+canary+"@", "", ""), failed(observe.BrokerRefuses)},
		"a user without the management": {urls("nobody:secret@", "", ""), failed(observe.BrokerRefuses)},
		"a user of another host":        {urls("looker:secret@", "/lab", ""), failed(observe.BrokerRefuses)},
		"no such virtual host":          {urls("guest:guest@", "/none", ""), failed(observe.BrokerAnswerInvalid)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, signals.Options{})
			s.secret("broker", tc.secret)
			s.await(rabbitShop(), tc.want)
		})
	}
	t.Run("the tasks of queues", func(t *testing.T) { testRabbitCounts(t, rabbit) })
	t.Run("a queue that is emptied", func(t *testing.T) {
		s := newScene(t, signals.Options{})
		s.secret("broker", urls("guest:guest@", "/lab", ""))
		s.await(rabbitShop(), waiting(rabbit.Management, "tests"))
		rabbit.Call(t, http.MethodDelete, "/api/queues/lab/tests/contents", "")
		s.await(rabbitShop(), waiting(rabbit.Management))
	})
}
