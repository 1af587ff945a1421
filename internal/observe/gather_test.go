// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// meta is that of an object with the label of the shop; controlled by the resource with that UID, unless empty.
func meta(namespace, name, owner string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.NameLabel: "shop"}}
	if owner != "" {
		m.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "MemoryBudget", Name: "shop", UID: types.UID(owner), Controller: new(true),
		}}
	}
	return m
}

func labelledFor(resource string, object client.Object) client.Object {
	object.SetLabels(map[string]string{v1alpha1.NameLabel: resource})
	return object
}

func unlabelled(object client.Object) client.Object {
	object.SetLabels(nil)
	return object
}

// cache is one with the index that snapshots are gathered by.
func cache() *fake.ClientBuilder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // Only possible if two types of one build claim the same kind.
		}
	}
	builder := fake.NewClientBuilder().WithScheme(scheme)
	for _, object := range []client.Object{
		&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &corev1.Pod{}, &corev1.Service{}, &corev1.ConfigMap{}, &policyv1.PodDisruptionBudget{},
	} {
		builder.WithIndex(object, observe.ResourceIndex, observe.ResourceOf)
	}
	return builder
}

// found is what a snapshot holds, by name.
type found struct {
	Deployments, Services, DisruptionBudgets, ConfigMaps, ReplicaSets, Pods []string
	Foreign                                                                 []observe.Foreign
}

func names[T any, P interface {
	*T
	client.Object
}](objects []T) []string {
	var all []string
	for i := range objects {
		all = append(all, P(&objects[i]).GetName())
	}
	return all
}

func TestGather(t *testing.T) {
	cases := map[string]struct {
		cached, live []client.Object
		children     []observe.Child
		want         found
	}{
		"nothing": {},
		"ours, in one order": {
			cached: []client.Object{
				&appsv1.Deployment{ObjectMeta: meta("default", "shop-b", "u")}, &appsv1.Deployment{ObjectMeta: meta("default", "shop-a", "u")},
				&corev1.Service{ObjectMeta: meta("default", "shop-a", "u")}, &policyv1.PodDisruptionBudget{ObjectMeta: meta("default", "shop-a", "u")},
				&corev1.ConfigMap{ObjectMeta: meta("default", "shop-settings", "u")},
			},
			children: []observe.Child{{Kind: "Deployment", Name: "shop-a"}, {Kind: "ConfigMap", Name: "shop-settings"}},
			want: found{
				Deployments: []string{"shop-a", "shop-b"}, Services: []string{"shop-a"}, DisruptionBudgets: []string{"shop-a"},
				ConfigMaps: []string{"shop-settings"},
			},
		},
		"pods and ReplicaSets count by their label, whoever owns them": {
			cached: []client.Object{
				&corev1.Pod{ObjectMeta: meta("default", "stray", "")}, &corev1.Pod{ObjectMeta: meta("default", "owned", "u")},
				&appsv1.ReplicaSet{ObjectMeta: meta("default", "rs", "")},
			},
			want: found{Pods: []string{"owned", "stray"}, ReplicaSets: []string{"rs"}},
		},
		"another namespace is another world": {
			cached: []client.Object{
				&corev1.Pod{ObjectMeta: meta("other", "pod", "u")}, &appsv1.Deployment{ObjectMeta: meta("other", "shop-a", "u")},
			},
		},
		"an object with our label that a resource of the same name left behind": {
			cached:   []client.Object{&appsv1.Deployment{ObjectMeta: meta("default", "shop-a", "former")}},
			children: []observe.Child{{Kind: "Deployment", Name: "shop-a"}},
			want:     found{Foreign: []observe.Foreign{{Kind: "Deployment", Name: "shop-a", Owner: "MemoryBudget shop"}}},
		},
		"objects of others with our label and names that nobody needs": {
			cached: []client.Object{
				&corev1.Service{ObjectMeta: meta("default", "public", "")}, &corev1.Service{ObjectMeta: meta("default", "shop-a", "")},
			},
			children: []observe.Child{{Kind: "Deployment", Name: "shop-a"}},
		},
		"objects of others that the cache does not hold": {
			live: []client.Object{
				&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-a"}},
				&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-b"}},
				&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop-b"}},
				&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "unrelated"}},
			},
			children: []observe.Child{
				{Kind: "Service", Name: "shop-b"}, {Kind: "PodDisruptionBudget", Name: "shop-b"}, {Kind: "Deployment", Name: "shop-a"},
				{Kind: "ConfigMap", Name: "shop-settings"},
			},
			want: found{Foreign: []observe.Foreign{
				{Kind: "Deployment", Name: "shop-a"}, {Kind: "PodDisruptionBudget", Name: "shop-b"}, {Kind: "Service", Name: "shop-b"},
			}},
		},
		"objects of others with the label of another resource, or an empty one": {
			cached: []client.Object{
				labelledFor("another", &corev1.Service{ObjectMeta: meta("default", "shop-a", "")}),
				labelledFor("", &corev1.ConfigMap{ObjectMeta: meta("default", "shop-settings", "")}),
			},
			live: []client.Object{
				labelledFor("another", &corev1.Service{ObjectMeta: meta("default", "shop-a", "")}),
				labelledFor("", &corev1.ConfigMap{ObjectMeta: meta("default", "shop-settings", "")}),
			},
			children: []observe.Child{{Kind: "Deployment", Name: "shop-a"}, {Kind: "Service", Name: "shop-a"}, {Kind: "ConfigMap", Name: "shop-settings"}},
			want:     found{Foreign: []observe.Foreign{{Kind: "ConfigMap", Name: "shop-settings"}, {Kind: "Service", Name: "shop-a"}}},
		},
		"an object of ours whose label somebody took away": {
			live:     []client.Object{unlabelled(&appsv1.Deployment{ObjectMeta: meta("default", "shop-a", "u")})},
			children: []observe.Child{{Kind: "Deployment", Name: "shop-a"}},
			want:     found{Deployments: []string{"shop-a"}},
		},
		"an object of ours that the cache does not show yet, beside one that it does": {
			cached:   []client.Object{&corev1.Service{ObjectMeta: meta("default", "shop-a", "u")}},
			live:     []client.Object{&appsv1.Deployment{ObjectMeta: meta("default", "shop-a", "u")}},
			children: []observe.Child{{Kind: "Deployment", Name: "shop-a"}},
			want:     found{Deployments: []string{"shop-a"}, Services: []string{"shop-a"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reader := observe.Reader{
				Cache: cache().WithObjects(tc.cached...).Build(),
				Clock: clock.RealClock{},
				Live:  fake.NewClientBuilder().WithObjects(tc.live...).Build(),
			}
			s, err := reader.Gather(t.Context(), testutil.MakeMemoryBudget("shop", "default").UID("u").Obj(), tc.children)
			if err != nil {
				t.Fatal(err)
			}
			got := found{
				Deployments: names(s.Deployments), Services: names(s.Services), DisruptionBudgets: names(s.PodDisruptionBudgets),
				ConfigMaps: names(s.ConfigMaps), ReplicaSets: names(s.ReplicaSets), Pods: names(s.Pods), Foreign: s.Foreign,
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("snapshot (-want +got):\n%s", diff)
			}
		})
	}
}

// known is a reader that always knows the same.
type known observe.Broker

func (k known) Broker(*v1alpha1.MemoryBudget) observe.Broker { return observe.Broker(k) }

// TestBroker: what is known of the broker comes with the queues of those that name the same Secret, where tasks wait.
func TestBroker(t *testing.T) {
	sharing := func(namespace, name, secret, key string, queues ...string) client.Object {
		return testutil.MakeMemoryBudget(name, namespace).Redis(secret, key).
			Tier(testutil.MakeTier("worker", v1alpha1.RoleWorker).Celery(queues...).Obj()).Obj()
	}
	others := []client.Object{
		sharing("default", "shop", "broker", "url", "of an older version"),
		sharing("default", "mail", "broker", "url", "emails", "bulk"), sharing("default", "key", "broker", "other", "key"),
		sharing("default", "secret", "other", "url", "secret"), sharing("other", "namespace", "broker", "url", "namespace"),
		testutil.MakeMemoryBudget("rabbit", "default").RabbitMQ("broker", "amqp").
			Tier(testutil.MakeTier("worker", v1alpha1.RoleWorker).Celery("rabbit").Obj()).Obj(),
		testutil.MakeMemoryBudget("none", "default").Obj(),
	}
	for name, tc := range map[string]struct{ waiting, want []string }{
		"no tasks wait": {},
		"tasks wait":    {waiting: []string{"emails"}, want: []string{"bulk", "emails"}},
	} {
		t.Run(name, func(t *testing.T) {
			reader := observe.Reader{
				Cache:   cache().WithObjects(others...).Build(),
				Brokers: known{State: observe.BrokerRead, Waiting: tc.waiting},
			}
			s, err := reader.Gather(t.Context(), testutil.MakeMemoryBudget("shop", "default").Redis("broker", "url").Obj(), nil)
			if err != nil {
				t.Fatal(err)
			}
			want := observe.Broker{State: observe.BrokerRead, Waiting: tc.waiting, Elsewhere: tc.want}
			if diff := cmp.Diff(want, s.Broker); diff != "" {
				t.Errorf("broker (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGatherFails: what cannot be read is never taken for what is not there.
func TestGatherFails(t *testing.T) {
	broken := interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("down")
		},
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("down")
		},
	}
	children := []observe.Child{{Kind: "Deployment", Name: "shop-a"}}
	ours := []client.Object{&corev1.Service{ObjectMeta: meta("default", "shop-b", "u")}}
	cases := map[string]struct {
		cache, live interceptor.Funcs
		there       []client.Object
		children    []observe.Child
		want        string
	}{
		"the cache": {cache: broken, want: "listing *v1.DeploymentList: down"},
		"the API server, for a resource that is not new": {
			live: broken, there: ours, children: children, want: "looking up Deployment shop-a: down",
		},
		"the API server, for a new one": {live: broken, children: children, want: "listing names of Deployments: down"},
		"another kind": {
			there: ours, children: []observe.Child{{Kind: "Secret", Name: "a"}}, want: `no child has the kind "Secret"`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reader := observe.Reader{
				Cache: cache().WithObjects(tc.there...).WithInterceptorFuncs(tc.cache).Build(),
				Clock: clock.RealClock{},
				Live:  fake.NewClientBuilder().WithInterceptorFuncs(tc.live).Build(),
			}
			_, err := reader.Gather(t.Context(), testutil.MakeMemoryBudget("shop", "default").UID("u").Obj(), tc.children)
			if err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}
