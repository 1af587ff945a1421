// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Change is one event of a watch.
type Change struct {
	Version uint64
	Kind    watch.EventType
	// Object has no managed fields; they are in Managed.
	Object  client.Object
	Managed []metav1.ManagedFieldsEntry
}

// Key names the object that changed, by kind and name.
func (c Change) Key() string { return KeyOf(c.Object) }

// KeyOf names an object by kind and name.
func KeyOf(object client.Object) string {
	return reflect.TypeOf(object).Elem().Name() + "/" + object.GetName()
}

// Recorder keeps every change of the objects that matter in a namespace.
type Recorder struct {
	client    client.WithWatch
	namespace string
	stop      context.CancelFunc
	running   sync.WaitGroup

	mu      sync.Mutex
	changes []Change
	// latest are the objects that there are, by kind and name.
	latest map[string]client.Object
	broken error
}

// interval is how often something is tried again.
const interval = 40 * time.Millisecond

// recorded are the kinds that are watched.
func recorded() []client.ObjectList {
	return []client.ObjectList{
		&v1alpha1.MemoryBudgetList{}, &appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &corev1.PodList{},
		&corev1.ServiceList{}, &corev1.ConfigMapList{}, &policyv1.PodDisruptionBudgetList{},
	}
}

// Record watches a namespace, from what is there now, until Stop. The context bounds only the beginning.
func Record(ctx context.Context, c client.WithWatch, namespace string) (*Recorder, error) {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &Recorder{client: c, namespace: namespace, stop: cancel, latest: map[string]client.Object{}}
	for _, list := range recorded() {
		first, w := watch.Event{}, watch.Interface(nil)
		// An API server that is behind its store, on a busy machine, answers that it cannot yet.
		err := retry(ctx, func() (err error) {
			first, w, err = r.begin(ctx, watching, list)
			return err
		})
		if err != nil {
			r.Stop()
			return nil, fmt.Errorf("watching %T in %s: %w", list, namespace, err)
		}
		r.running.Go(func() { r.follow(watching, list, first, w) })
	}
	return r, nil
}

// Stop ends the watches.
func (r *Recorder) Stop() {
	r.stop()
	r.running.Wait()
}

// retry tries until there is no error or the context ends.
func retry(ctx context.Context, try func() error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// begin watches from what is there now, and returns what the watch says first.
func (r *Recorder) begin(ctx, watching context.Context, list client.ObjectList) (watch.Event, watch.Interface, error) {
	w, err := r.watch(watching, list, metav1.ListOptions{
		SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		return watch.Event{}, nil, err
	}
	select {
	case first, ok := <-w.ResultChan():
		switch {
		case !ok:
			err = errEnded
		case first.Type == watch.Error:
			err = apierrors.FromObject(first.Object)
		default:
			return first, w, nil
		}
	case <-ctx.Done():
		err = ctx.Err()
	}
	w.Stop()
	return watch.Event{}, nil, err
}

var errEnded = errors.New("it ended at once")

func (r *Recorder) watch(ctx context.Context, list client.ObjectList, options metav1.ListOptions) (watch.Interface, error) {
	options.AllowWatchBookmarks = true
	return r.client.Watch(ctx, list, client.InNamespace(r.namespace), &client.ListOptions{Raw: &options})
}

// follow records what a watch says. Where the API server ends it, as it does with one that is slow to take what it is sent,
// another goes on from there; that some changes are not kept any more is an error.
func (r *Recorder) follow(ctx context.Context, list client.ObjectList, first watch.Event, w watch.Interface) {
	version, err := r.take(first)
	for err == nil {
		for event := range w.ResultChan() {
			if ctx.Err() != nil {
				break // What a watch says of its own end is no change.
			}
			if version, err = r.take(event); err != nil {
				break
			}
		}
		w.Stop()
		if err != nil || ctx.Err() != nil {
			break
		}
		err = retry(ctx, func() (err error) {
			w, err = r.watch(ctx, list, metav1.ListOptions{ResourceVersion: version})
			return err
		})
	}
	if ctx.Err() == nil {
		r.fail(fmt.Errorf("watching %T in %s: %w", list, r.namespace, err))
	}
}

// take records an event of a watch, and returns its version.
func (r *Recorder) take(event watch.Event) (version string, err error) {
	object, ok := event.Object.(client.Object)
	switch {
	case !ok:
		return "", apierrors.FromObject(event.Object)
	case event.Type == watch.Bookmark:
		return object.GetResourceVersion(), nil
	}
	managed := object.GetManagedFields()
	object.SetManagedFields(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, Change{VersionOf(object), event.Type, object, managed})
	if r.latest[KeyOf(object)] = object; event.Type == watch.Deleted {
		delete(r.latest, KeyOf(object))
	}
	return object.GetResourceVersion(), nil
}

func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = err
}

// History are the changes so far, in the order of the cluster's own clock. A watch that ended early is an error.
func (r *Recorder) History() ([]Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.changes)
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(a.Version, b.Version) })
	return all, r.broken
}

// CatchUp waits until the recorder knows what the API server knows, and returns the history.
func (r *Recorder) CatchUp(ctx context.Context) ([]Change, error) {
	var all []Change
	err := retry(ctx, func() error {
		want, err := r.live(ctx)
		if err != nil {
			return err
		}
		if all, err = r.History(); err != nil {
			return err
		}
		have := map[string]string{}
		for _, c := range all {
			if c.Kind == watch.Deleted {
				delete(have, c.Key())
			} else {
				have[c.Key()] = c.Object.GetResourceVersion()
			}
		}
		if !reflect.DeepEqual(want, have) {
			return fmt.Errorf("recorded %v, there is %v", have, want)
		}
		return nil
	})
	return all, err
}

// live are the resource versions of what there is.
func (r *Recorder) live(ctx context.Context) (map[string]string, error) {
	versions := map[string]string{}
	for _, list := range recorded() {
		if err := r.client.List(ctx, list, client.InNamespace(r.namespace)); err != nil {
			return nil, err
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object := item.(client.Object)
			versions[KeyOf(object)] = object.GetResourceVersion()
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return versions, nil
}

// Seen is what the recorder knows of an object at or after a version, or nil. It spares the API server the looking.
func (r *Recorder) Seen(key string, version uint64) client.Object {
	r.mu.Lock()
	defer r.mu.Unlock()
	object := r.latest[key]
	if object == nil || VersionOf(object) < version {
		return nil
	}
	return object
}

// Now is the cluster's latest resource version.
func Now(ctx context.Context, c client.Reader) (uint64, error) {
	list := &corev1.NamespaceList{}
	if err := c.List(ctx, list); err != nil {
		return 0, fmt.Errorf("listing namespaces: %w", err)
	}
	return strconv.ParseUint(list.ResourceVersion, 10, 64)
}

// VersionOf is the resource version of an object as a number, which it is since Kubernetes 1.35.
func VersionOf(object client.Object) uint64 {
	version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	if err != nil {
		panic(err) // Every API server that the tests know numbers its versions.
	}
	return version
}

// PodsOf are the pods of a tier, of all tiers if it is empty.
func (r *Recorder) PodsOf(tier string) []*corev1.Pod {
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

// Left are the objects of a MemoryBudget, itself included, that there are.
func (r *Recorder) Left() []string {
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

// Births counts how often each object was made and how often it went, by kind and name. Pods have random names.
func Births(history []Change) map[string][2]int {
	counts := map[string][2]int{}
	for _, c := range history {
		if _, isPod := c.Object.(*corev1.Pod); isPod {
			continue
		}
		n := counts[c.Key()]
		switch c.Kind {
		case watch.Added:
			n[0]++
		case watch.Deleted:
			n[1]++
		}
		counts[c.Key()] = n
	}
	return counts
}
