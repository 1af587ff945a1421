// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

func ref(name, key string) v1alpha1.SecretKeyReference {
	return v1alpha1.SecretKeyReference{Name: name, Key: key}
}

func TestLookup(t *testing.T) {
	secrets := fake.NewClientBuilder().WithObjects(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "broker"},
		Data: map[string][]byte{
			"redis": []byte("redis://:p@redis/1"), "odd": []byte("http://redis"), "amqp": []byte("amqp://u:p@rabbit/lab"),
			"management": []byte("http://rabbit:15672"), "own": []byte("http://m:n@elsewhere:15672"), "elsewhere": []byte("http://elsewhere:15672"),
		},
	}).Build()
	heard := endpoint{address: "rabbit:5672", namespace: "shop", user: "u", password: "p"}
	rabbit := target{address: "rabbit:15672", namespace: "shop", user: "u", password: "p", rabbitmq: true, vhost: "lab", amqp: heard}
	cases := map[string]struct {
		url, management v1alpha1.SecretKeyReference
		want            target
		wantState       observe.BrokerState
		wantSecret      v1alpha1.SecretKeyReference
	}{
		"Redis":                      {url: ref("broker", "redis"), want: target{address: "redis:6379", namespace: "shop", password: "p", database: 1}},
		"no Secret":                  {url: ref("none", "redis"), wantState: observe.BrokerSecretMissing, wantSecret: ref("none", "redis")},
		"no key":                     {url: ref("broker", "none"), wantState: observe.BrokerSecretKeyMissing, wantSecret: ref("broker", "none")},
		"no URL of a Redis":          {url: ref("broker", "odd"), wantState: observe.BrokerURLInvalid, wantSecret: ref("broker", "odd")},
		"RabbitMQ":                   {url: ref("broker", "amqp"), management: ref("broker", "management"), want: rabbit},
		"a management of its own":    {url: ref("broker", "amqp"), management: ref("broker", "own"), want: target{address: "elsewhere:15672", namespace: "shop", user: "m", password: "n", rabbitmq: true, vhost: "lab", amqp: heard}},
		"a password of another host": {url: ref("broker", "amqp"), management: ref("broker", "elsewhere"), wantState: observe.BrokerURLInvalid, wantSecret: ref("broker", "elsewhere")},
		"no Secret for management":   {url: ref("broker", "amqp"), management: ref("none", "m"), wantState: observe.BrokerSecretMissing, wantSecret: ref("none", "m")},
		"no URL of a management":     {url: ref("broker", "amqp"), management: ref("broker", "redis"), wantState: observe.BrokerURLInvalid, wantSecret: ref("broker", "redis")},
		"no URL of a RabbitMQ":       {url: ref("broker", "redis"), management: ref("broker", "management"), wantState: observe.BrokerURLInvalid, wantSecret: ref("broker", "redis")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, fault, err := lookup(t.Context(), secrets, origin{namespace: "shop", url: tc.url, management: tc.management})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(target{}, endpoint{})); diff != "" {
				t.Errorf("target (-want +got):\n%s", diff)
			}
			if fault.State != tc.wantState || fault.Secret != tc.wantSecret {
				t.Errorf("fault %+v, want %s of %v", fault, tc.wantState, tc.wantSecret)
			}
		})
	}
}

// TestLookupFails: what the operator may not get is a fault; what cannot be asked for now is none.
func TestLookupFails(t *testing.T) {
	answer := error(nil)
	secrets := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return answer
		},
	}).Build()
	from := origin{namespace: "shop", url: ref("broker", "url")}
	answer = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "broker", errors.New("no"))
	if _, fault, err := lookup(t.Context(), secrets, from); err != nil || fault.State != observe.BrokerSecretForbidden || fault.Secret != from.url {
		t.Errorf("forbidden: %+v, %v", fault, err)
	}
	answer = apierrors.NewInternalError(errors.New("etcd"))
	if _, fault, err := lookup(t.Context(), secrets, from); err == nil || fault.State != "" {
		t.Errorf("an error: %+v, %v", fault, err)
	}
}

func TestOriginOf(t *testing.T) {
	worker := testutil.MakeTier("worker", v1alpha1.RoleWorker).Celery("celery").Obj()
	web := testutil.MakeTier("web", v1alpha1.RoleWeb).Gunicorn("core.wsgi:application").Obj()
	shop := func() *testutil.MemoryBudgetWrapper { return testutil.MakeMemoryBudget("shop", "shop") }
	managed := shop().RabbitMQ("broker", "url").Tier(worker).Obj()
	managed.Spec.Broker.RabbitMQ.ManagementURLFrom = &v1alpha1.URLSource{SecretKeyRef: ref("broker", "management")}
	for name, tc := range map[string]struct {
		mb        *v1alpha1.MemoryBudget
		want      origin
		wantState observe.BrokerState
	}{
		"no broker":     {mb: shop().Tier(worker).Obj()},
		"no queues":     {mb: shop().Redis("broker", "url").Tier(web).Obj()},
		"Redis":         {mb: shop().Redis("broker", "url").Tier(web, worker).Obj(), want: origin{namespace: "shop", url: ref("broker", "url")}, wantState: observe.BrokerRead},
		"no management": {mb: shop().RabbitMQ("broker", "url").Tier(worker).Obj(), wantState: observe.BrokerManagementURLMissing},
		"RabbitMQ": {mb: managed, wantState: observe.BrokerRead, want: origin{
			namespace: "shop", url: ref("broker", "url"), management: ref("broker", "management")}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, state := originOf(tc.mb); got != tc.want || state != tc.wantState {
				t.Errorf("got %+v %q, want %+v %q", got, state, tc.want, tc.wantState)
			}
		})
	}
}

// TestSecretThatVanishes: a Secret that was read is looked for twice before it is given up.
func TestSecretThatVanishes(t *testing.T) {
	b := New(Options{Guard: anywhere})
	defer b.cancel()
	s := &source{origin: origin{namespace: "shop", url: ref("broker", "url")}, users: map[client.ObjectKey]bool{}, cancel: func() {}}
	b.sources[s.origin] = s
	missing := observe.Broker{State: observe.BrokerSecretMissing, Secret: s.origin.url}
	there, gone := func() { b.resolved(s, target{address: impostor(t, silent)}, observe.Broker{}) }, func() { b.resolved(s, target{}, missing) }
	for i, step := range []struct {
		do   func()
		want observe.BrokerState
	}{
		{gone, observe.BrokerSecretMissing}, {there, observe.BrokerNotReadYet}, {gone, observe.BrokerNotReadYet},
		{there, observe.BrokerNotReadYet}, {gone, observe.BrokerNotReadYet}, {gone, observe.BrokerSecretMissing},
	} {
		step.do()
		b.mu.Lock()
		if got := s.known().State; got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
		b.mu.Unlock()
	}
	if len(b.pollers) > 0 {
		t.Errorf("%d brokers are still read", len(b.pollers))
	}
}
