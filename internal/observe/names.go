// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

const (
	// namesFor is how long names are good for. An object that others make meanwhile, with the name of a child that is about to be
	// made, is not seen.
	namesFor = 3 * time.Second
	// mostNames is how many objects of each kind are asked for.
	mostNames = 500
)

// childKinds are those of children.
var childKinds = []schema.GroupVersionKind{
	appsv1.SchemeGroupVersion.WithKind("Deployment"), corev1.SchemeGroupVersion.WithKind("Service"),
	policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"), corev1.SchemeGroupVersion.WithKind("ConfigMap"),
}

// names are those of the objects in a namespace that the cache does not hold, as they were after each of the resources had been seen
// for which they are good. An operator that starts on a thousand new resources so asks for names now and then, not for
// each of their children.
type names struct {
	began time.Time
	// resources are those that were seen before, by UID and generation.
	resources map[types.UID]int64
	// read is closed when the rest is there.
	read  chan struct{}
	taken map[Child]bool
	// many: there are more than were asked for, so each child has to be looked up.
	many bool
	err  error
}

// nameReader reads names by namespace.
type nameReader struct {
	mu    sync.Mutex
	known map[string]*names
}

// namesAround reads the names in the namespace of a resource, unless they are known.
func (r *Reader) namesAround(ctx context.Context, mb *v1alpha1.MemoryBudget) (*names, error) {
	n, isNew := r.names.expected(ctx, r.Cache, mb, r.Clock)
	if isNew {
		if n.err == nil {
			n.err = n.list(ctx, r.Live, mb.Namespace)
		}
		close(n.read)
	}
	select {
	case <-n.read:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if n.err != nil {
		r.names.drop(mb.Namespace, n)
	}
	return n, n.err
}

// expected are the names around a resource, and whether they are still to be read, by who called.
func (r *nameReader) expected(ctx context.Context, cached client.Reader, mb *v1alpha1.MemoryBudget, c clock.PassiveClock) (*names, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.known[mb.Namespace]
	if n != nil && n.knew(mb) && c.Since(n.began) <= namesFor {
		return n, false
	}
	maps.DeleteFunc(r.known, func(_ string, n *names) bool { return c.Since(n.began) > namesFor })
	if r.known == nil {
		r.known = map[string]*names{}
	}
	n = &names{began: c.Now(), read: make(chan struct{}), taken: map[Child]bool{}}
	n.err = n.see(ctx, cached, mb)
	r.known[mb.Namespace] = n
	return n, true
}

func (r *nameReader) drop(namespace string, n *names) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[namespace] == n {
		delete(r.known, namespace)
	}
}

// knew: the resource, as it is, had been seen before.
func (n *names) knew(mb *v1alpha1.MemoryBudget) bool {
	generation, found := n.resources[mb.UID]
	return found && generation == mb.Generation
}

// see notes the resources of a namespace that there are.
func (n *names) see(ctx context.Context, cached client.Reader, mb *v1alpha1.MemoryBudget) error {
	var all v1alpha1.MemoryBudgetList
	if err := cached.List(ctx, &all, client.InNamespace(mb.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing resources: %w", err)
	}
	n.resources = map[types.UID]int64{mb.UID: mb.Generation}
	for i := range all.Items {
		if o := &all.Items[i]; o.UID != mb.UID {
			n.resources[o.UID] = o.Generation
		}
	}
	return nil
}

// list asks for the objects of a namespace without our label.
func (n *names) list(ctx context.Context, live client.Reader, namespace string) error {
	others, err := labels.NewRequirement(v1alpha1.NameLabel, selection.DoesNotExist, nil)
	if err != nil {
		return fmt.Errorf("selecting objects without our label: %w", err)
	}
	options := client.ListOptions{Namespace: namespace, LabelSelector: labels.NewSelector().Add(*others), Limit: mostNames}
	for _, kind := range childKinds {
		var found metav1.PartialObjectMetadataList
		found.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := live.List(ctx, &found, &options); err != nil {
			return fmt.Errorf("listing names of %ss: %w", kind.Kind, err)
		}
		for i := range found.Items {
			n.taken[Child{Kind: kind.Kind, Name: found.Items[i].Name}] = true
		}
		if n.many = found.Continue != ""; n.many {
			return nil
		}
	}
	return nil
}

// mayExist says whether somebody may have an object with the name of a child: one that the cache does not hold, or one that it holds
// for another resource.
func (n *names) mayExist(ctx context.Context, cached client.Reader, namespace string, child Child) (bool, error) {
	object := NewObject(child.Kind)
	if n.many || n.taken[child] || object == nil {
		return true, nil
	}
	err := cached.Get(ctx, client.ObjectKey{Namespace: namespace, Name: child.Name}, object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s %s: %w", child.Kind, child.Name, err)
	}
	return true, nil
}
