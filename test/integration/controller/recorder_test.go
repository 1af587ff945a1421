// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// change is one event of a watch.
type change struct {
	version uint64
	kind    watch.EventType
	object  client.Object
}

// key names the object that changed.
func (c change) key() string { return keyOf(c.object) }

func keyOf(object client.Object) string {
	return reflect.TypeOf(object).Elem().Name() + "/" + object.GetName()
}

// recorder keeps every change of the objects that matter in a namespace.
type recorder struct {
	namespace string
	stop      context.CancelFunc
	running   sync.WaitGroup

	mu      sync.Mutex
	changes []change
	// latest are the objects that there are, by kind and name.
	latest map[string]client.Object
	broken error
}

// recorded are the kinds that are watched.
func recorded() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.MemoryBudgetList{}, &appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &corev1.PodList{},
		&corev1.ServiceList{}, &corev1.ConfigMapList{}, &policyv1.PodDisruptionBudgetList{},
	}
}

// record watches a namespace, from what is there now, until the test ends.
func record(t *testing.T, namespace string) *recorder {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{namespace: namespace, stop: cancel, latest: map[string]client.Object{}}
	for _, list := range recorded() {
		first, w := watch.Event{}, watch.Interface(nil)
		eventually(t, fmt.Sprintf("a watch of %T", list), func(context.Context) (err error) {
			first, w, err = begin(ctx, list, namespace)
			return err
		})
		r.running.Go(func() { r.follow(ctx, first, w) })
	}
	t.Cleanup(func() { r.stop(); r.running.Wait() })
	return r
}

// begin starts a watch. An API server that is behind its store, on a busy machine, answers that it cannot yet.
func begin(ctx context.Context, list client.ObjectList, namespace string) (watch.Event, watch.Interface, error) {
	w, err := admin.Watch(ctx, list, client.InNamespace(namespace), &client.ListOptions{Raw: &metav1.ListOptions{
		SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
	}})
	if err != nil {
		return watch.Event{}, nil, err
	}
	first := <-w.ResultChan()
	if first.Type == watch.Error {
		w.Stop()
		return watch.Event{}, nil, apierrors.FromObject(first.Object)
	}
	return first, w, nil
}

func (r *recorder) follow(ctx context.Context, first watch.Event, w watch.Interface) {
	defer w.Stop()
	r.take(first)
	for event := range w.ResultChan() {
		r.take(event)
	}
	if ctx.Err() == nil {
		r.fail(fmt.Errorf("a watch in %s ended", r.namespace))
	}
}

// take records an event of a watch.
func (r *recorder) take(event watch.Event) {
	object, ok := event.Object.(client.Object)
	switch {
	case event.Type == watch.Bookmark:
		return
	case !ok:
		r.fail(fmt.Errorf("watching %s: %v", r.namespace, event.Object))
		return
	}
	object.SetManagedFields(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, change{versionOf(object), event.Type, object})
	if r.latest[keyOf(object)] = object; event.Type == watch.Deleted {
		delete(r.latest, keyOf(object))
	}
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = err
}

// history are the changes so far, in the order of the cluster's own clock.
func (r *recorder) history() ([]change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.changes)
	slices.SortStableFunc(all, func(a, b change) int {
		if a.version < b.version {
			return -1
		}
		return int(min(a.version-b.version, 1))
	})
	return all, r.broken
}

// catchUp waits until the recorder knows what the API server knows, and returns the history.
func (r *recorder) catchUp(t *testing.T) []change {
	t.Helper()
	var all []change
	eventually(t, "the recorder to catch up", func(ctx context.Context) error {
		want, err := r.live(ctx)
		if err != nil {
			return err
		}
		if all, err = r.history(); err != nil {
			return err
		}
		have := map[string]string{}
		for _, c := range all {
			if c.kind == watch.Deleted {
				delete(have, c.key())
			} else {
				have[c.key()] = c.object.GetResourceVersion()
			}
		}
		if !reflect.DeepEqual(want, have) {
			return fmt.Errorf("recorded %v, there is %v", have, want)
		}
		return nil
	})
	return all
}

// live are the resource versions of what there is.
func (r *recorder) live(ctx context.Context) (map[string]string, error) {
	versions := map[string]string{}
	for _, list := range recorded() {
		if err := admin.List(ctx, list, client.InNamespace(r.namespace)); err != nil {
			return nil, err
		}
		err := meta.EachListItem(list, func(item runtimeObject) error {
			object := item.(client.Object)
			versions[keyOf(object)] = object.GetResourceVersion()
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// seen is what the recorder knows of an object at or after a version, or nil. It spares the API server the looking.
func (r *recorder) seen(key string, version uint64) client.Object {
	r.mu.Lock()
	defer r.mu.Unlock()
	object := r.latest[key]
	if object == nil || versionOf(object) < version {
		return nil
	}
	return object
}

func versionOf(object client.Object) uint64 {
	version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	if err != nil {
		panic(err) // The API server of the tests numbers its versions.
	}
	return version
}

// podsOf are the pods of a tier, of all tiers if it is empty.
func (r *recorder) podsOf(tier string) []*corev1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*corev1.Pod
	for _, object := range r.latest {
		if pod, ok := object.(*corev1.Pod); ok && (tier == "" || pod.Labels[v1alpha1.TierLabel] == tier) {
			found = append(found, pod)
		}
	}
	return found
}

// left are the objects of a MemoryBudget, itself included, that there are.
func (r *recorder) left() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []string
	for key := range r.latest {
		if key != "ConfigMap/kube-root-ca.crt" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// births counts how often each object was made and how often it went, by kind and name. Pods have random names.
func births(history []change) map[string][2]int {
	counts := map[string][2]int{}
	for _, c := range history {
		if _, isPod := c.object.(*corev1.Pod); isPod {
			continue
		}
		n := counts[c.key()]
		switch c.kind {
		case watch.Added:
			n[0]++
		case watch.Deleted:
			n[1]++
		}
		counts[c.key()] = n
	}
	return counts
}
