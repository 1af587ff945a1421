// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"maps"
	"sync"
	"time"

	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// putBacks slow down what is put back: where others change the same again and again, ever longer passes between.
type putBacks struct {
	mu      sync.Mutex
	backOff *flowcontrol.Backoff
	// last is when each was last put back.
	last map[string]time.Time
}

func newPutBacks(backOff *flowcontrol.Backoff) *putBacks {
	return &putBacks{backOff: backOff, last: map[string]time.Time{}}
}

// wait is how long a put-back still has to wait. With 0 it counts as made.
func (p *putBacks) wait(id string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if left := p.last[id].Add(p.backOff.Get(id)).Sub(now); left > 0 {
		return left
	}
	p.backOff.GC()
	maps.DeleteFunc(p.last, func(id string, _ time.Time) bool { return p.backOff.Get(id) == 0 })
	p.backOff.Next(id, now)
	p.last[id] = now
	return 0
}

// refusals remember what the API server said about writes that it will not take, for passes in which they are wanted and
// not tried.
type refusals struct {
	mu    sync.Mutex
	byKey map[client.ObjectKey]map[observe.Child]string
}

func newRefusals() *refusals {
	return &refusals{byKey: map[client.ObjectKey]map[observe.Child]string{}}
}

// of is what was last said about a write, empty where nothing was.
func (r *refusals) of(key client.ObjectKey, w *decision.Write) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byKey[key][observe.Child{Kind: w.Kind, Name: w.Name}]
}

// are replaces all that was said about the writes of a resource.
func (r *refusals) are(key client.ObjectKey, said map[observe.Child]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(said) == 0 {
		delete(r.byKey, key)
		return
	}
	r.byKey[key] = said
}

func (r *refusals) forget(key client.ObjectKey) { r.are(key, nil) }
