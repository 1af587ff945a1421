// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics tells Prometheus about each MemoryBudget, in base units and with the namespace and
// name of the resource as the only labels.
package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Figures are what is told of one resource.
type Figures struct {
	// BudgetBytes is spec.memory, AllocatedBytes what the pods hold, ExposureBytes that and what the
	// Deployments may still create.
	BudgetBytes, AllocatedBytes, ExposureBytes int64
	// GatedPods wait for memory. OldestGatedSeconds is when the oldest of them was created, in seconds
	// since 1970; 0 where there is none.
	GatedPods          int
	OldestGatedSeconds int64
}

type metric struct {
	description *prometheus.Desc
	value       func(Figures) float64
}

func newMetric(name, help string, value func(Figures) float64) metric {
	return metric{prometheus.NewDesc("memorybudget_"+name, help, []string{"namespace", "name"}, nil), value}
}

// Collector tells the figures that were last observed.
type Collector struct {
	metrics []metric
	mu      sync.Mutex
	figures map[client.ObjectKey]Figures
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes a collector that knows of no resource.
func NewCollector() *Collector {
	return &Collector{
		figures: map[client.ObjectKey]Figures{},
		metrics: []metric{
			newMetric("budget_bytes", "The ceiling on the memory limits of all pods (spec.memory).",
				func(f Figures) float64 { return float64(f.BudgetBytes) }),
			newMetric("allocated_bytes", "The memory limits of all pods that hold memory, those that shut down included.",
				func(f Figures) float64 { return float64(f.AllocatedBytes) }),
			newMetric("exposure_bytes", "What is allocated and what the Deployments may still create.",
				func(f Figures) float64 { return float64(f.ExposureBytes) }),
			newMetric("gated_pods", "Pods that wait at the scheduling gate for memory.",
				func(f Figures) float64 { return float64(f.GatedPods) }),
			newMetric("oldest_gated_pod_timestamp_seconds",
				"When the oldest pod that waits at the scheduling gate was created, 0 where none waits.",
				func(f Figures) float64 { return float64(f.OldestGatedSeconds) }),
		},
	}
}

// Observe replaces what is told of a resource.
func (c *Collector) Observe(key client.ObjectKey, figures Figures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.figures[key] = figures
}

// Forget tells nothing more of a resource.
func (c *Collector) Forget(key client.ObjectKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.figures, key)
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		descriptions <- m.description
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, figures := range c.figures {
		for _, m := range c.metrics {
			out <- prometheus.MustNewConstMetric(m.description, prometheus.GaugeValue, m.value(figures), key.Namespace, key.Name)
		}
	}
}
