// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// patience is how long the cache may lag behind a write before the API server is asked whether it will ever show it.
const patience = 10 * time.Second

// expectation is a write of ours that the cache must show before its resource is decided on again.
type expectation struct {
	// resourceVersion is the least version of the object; empty where it must be gone.
	resourceVersion string
	// goneUID is the object that was deleted.
	goneUID types.UID
	// unknown: the API server did not say what became of the write, so it has to be asked.
	unknown bool
	// since is when it was written.
	since time.Time
}

// expectations remember our own writes until the cache shows them: a decision made on a cache that
// lacks one would count memory as free that the write has just given away.
type expectations struct {
	mu    sync.Mutex
	byKey map[client.ObjectKey]map[observe.Child]expectation
}

func newExpectations() *expectations {
	return &expectations{byKey: map[client.ObjectKey]map[observe.Child]expectation{}}
}

// add remembers a write to an object of the resource with that key.
func (e *expectations) add(key client.ObjectKey, object observe.Child, want expectation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.byKey[key] == nil {
		e.byKey[key] = map[observe.Child]expectation{}
	}
	e.byKey[key][object] = want
}

// forget drops what is remembered of a resource.
func (e *expectations) forget(key client.ObjectKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byKey, key)
}

// of returns what is expected of the objects of a resource.
func (e *expectations) of(key client.ObjectKey) map[observe.Child]expectation {
	e.mu.Lock()
	defer e.mu.Unlock()
	pending := make(map[observe.Child]expectation, len(e.byKey[key]))
	maps.Copy(pending, e.byKey[key])
	return pending
}

func (e *expectations) drop(key client.ObjectKey, object observe.Child) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byKey[key], object)
	if len(e.byKey[key]) == 0 {
		delete(e.byKey, key)
	}
}

// met reports whether the cache shows all of our writes to the objects of a resource. Those that it
// shows are forgotten, and those that it never will.
func (e *expectations) met(ctx context.Context, cached, live client.Reader, key client.ObjectKey, now time.Time) (bool, error) {
	all := true
	for object, want := range e.of(key) {
		if want.unknown {
			if err := e.ask(ctx, live, key, object, &want); err != nil {
				return false, err
			}
		}
		name := client.ObjectKey{Namespace: key.Namespace, Name: object.Name}
		done, err := shows(ctx, cached, name, object.Kind, want)
		if err == nil && !done && want.resourceVersion != "" && now.Sub(want.since) > patience {
			done, err = vanished(ctx, live, name, object.Kind)
		}
		if err != nil {
			return false, err
		}
		if done {
			e.drop(key, object)
		}
		all = all && done
	}
	return all, nil
}

// vanished: the cache will not come to show a write, because somebody deleted the object or took away the label by which
// the cache knows it.
func vanished(ctx context.Context, live client.Reader, key client.ObjectKey, kind string) (bool, error) {
	object := observe.NewObject(kind)
	err := live.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for our write to %s %s: %w", kind, key.Name, err)
	}
	_, labelled := object.GetLabels()[v1alpha1.NameLabel]
	return kind != "MemoryBudget" && !labelled, nil
}

// ask finds out at the API server what became of a write that was not answered.
func (e *expectations) ask(ctx context.Context, live client.Reader, key client.ObjectKey, object observe.Child, want *expectation) error {
	found := observe.NewObject(object.Kind)
	err := live.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: object.Name}, found)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("looking for our write to %s %s: %w", object.Kind, object.Name, err)
	}
	want.unknown, want.resourceVersion = false, ""
	if err == nil {
		want.resourceVersion, want.goneUID = found.GetResourceVersion(), ""
	}
	e.add(key, object, *want)
	return nil
}

func shows(ctx context.Context, reader client.Reader, key client.ObjectKey, kind string, want expectation) (bool, error) {
	object := observe.NewObject(kind)
	err := reader.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return want.resourceVersion == "", nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for our write to %s %s: %w", kind, key.Name, err)
	}
	if want.resourceVersion == "" {
		return object.GetUID() != want.goneUID || object.GetDeletionTimestamp() != nil, nil
	}
	order, err := resourceversion.CompareResourceVersion(object.GetResourceVersion(), want.resourceVersion)
	if err != nil {
		return false, fmt.Errorf("comparing versions of %s %s: %w", kind, key.Name, err)
	}
	return order >= 0, nil
}
