// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// loops are readings that go on by themselves, one beside the other, from when somebody asks until nobody does.
type loops struct {
	ctx     context.Context //nolint:containedctx // It ends with the readings, which no call waits for.
	cancel  context.CancelFunc
	running sync.WaitGroup
	events  chan event.GenericEvent
	// mu guards what is known and who asks. No loop begins without it, so that none does once they are to end.
	mu sync.Mutex
}

func newLoops() loops {
	ctx, cancel := context.WithCancel(context.Background())
	return loops{ctx: ctx, cancel: cancel, events: make(chan event.GenericEvent)}
}

// Start implements manager.Runnable: readings end with it.
func (l *loops) Start(ctx context.Context) error {
	<-ctx.Done()
	l.mu.Lock()
	l.cancel()
	l.mu.Unlock()
	l.running.Wait()
	return nil
}

// Events name the resources for which something else is known than before.
func (l *loops) Events() <-chan event.GenericEvent { return l.events }

// wake makes the controller look at resources.
func (l *loops) wake(keys []client.ObjectKey) { wake(l.ctx, l.events, keys) }

func wake(ctx context.Context, events chan<- event.GenericEvent, keys []client.ObjectKey) {
	slices.SortFunc(keys, func(a, c client.ObjectKey) int { return strings.Compare(a.String(), c.String()) })
	for _, key := range slices.Compact(keys) {
		mb := &v1alpha1.MemoryBudget{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		select {
		case events <- event.GenericEvent{Object: mb}:
		case <-ctx.Done():
			return
		}
	}
}
