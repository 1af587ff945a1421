// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/internal/demand"
)

// histories are what was recorded of the demand of each resource's tiers. They are gone with the process, as those of a
// HorizontalPodAutoscaler are: a tier is then not made smaller before the window for that is over.
type histories struct {
	mu  sync.Mutex
	all map[client.ObjectKey]map[string]demand.History
}

func newHistories() *histories {
	return &histories{all: map[client.ObjectKey]map[string]demand.History{}}
}

func (h *histories) of(key client.ObjectKey) map[string]demand.History {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[key]
}

func (h *histories) record(key client.ObjectKey, tiers map[string]demand.History) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(tiers) == 0 {
		delete(h.all, key)
		return
	}
	h.all[key] = tiers
}
