// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metrics tells Prometheus about each MemoryBudget, in base units and with the namespace and
// name of the resource and the name of the tier as the only labels; and about what the operator decides, by reason.
package metrics

import (
	"sync"
	"time"

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
	// FailingSinceSeconds is when the signals that tiers scale by began to fail, in seconds since 1970; 0 while they do not.
	FailingSinceSeconds int64
	Tiers               []Tier
}

// Tier are the figures of a tier.
type Tier struct {
	Name string
	// Desired is how many replicas it wants, Granted how many the budget allows.
	Desired, Granted int32
	// Reason is what keeps it from having more: one of the values of status.tiers[].limitedBy.
	Reason string
	// Demand is what its metrics show, nil where it has no scaling.
	Demand *Demand
}

// Demand is what the metrics of a tier show.
type Demand struct {
	// Replicas is how many they ask for.
	Replicas int32
	// Tasks are those of its queues, nil where it does not scale by them.
	Tasks *Tasks
	// Entries are those of its Redis streams, ListLength is how many elements its Redis lists have: nil where it does not scale by them,
	// or they were not read yet.
	Entries    *Entries
	ListLength *int64
}

// Entries is how much consumer groups have to do.
type Entries struct {
	// Undelivered were not delivered to the groups yet, Pending were and are not acknowledged.
	Undelivered, Pending int64
}

// Tasks is how much there is to do.
type Tasks struct {
	// Ready, Reserved and Later are the tasks that wait, those that workers have taken, and those whose ETA is to come.
	Ready, Reserved, Later int64
}

type metric struct {
	description *prometheus.Desc
	value       func(Figures) float64
}

// tierMetric has a value where a tier has one.
type tierMetric struct {
	description *prometheus.Desc
	value       func(Tier) (float64, bool)
}

func newTierMetric(name, help string, value func(Tier) float64) tierMetric {
	return tierMetric{
		prometheus.NewDesc("memorybudget_tier_"+name, help, []string{"namespace", "name", "tier"}, nil),
		func(t Tier) (float64, bool) { return value(t), true },
	}
}

func newDemandMetric(name, help string, value func(Demand) float64) tierMetric {
	m := newTierMetric(name, help, nil)
	m.value = func(t Tier) (float64, bool) {
		if t.Demand == nil {
			return 0, false
		}
		return value(*t.Demand), true
	}
	return m
}

func newTasksMetric(name, help string, value func(Tasks) float64) tierMetric {
	m := newTierMetric(name, help, nil)
	m.value = func(t Tier) (float64, bool) {
		if t.Demand == nil || t.Demand.Tasks == nil {
			return 0, false
		}
		return value(*t.Demand.Tasks), true
	}
	return m
}

func newEntriesMetric(name, help string, value func(Entries) int64) tierMetric {
	m := newTierMetric(name, help, nil)
	m.value = func(t Tier) (float64, bool) {
		if t.Demand == nil || t.Demand.Entries == nil {
			return 0, false
		}
		return float64(value(*t.Demand.Entries)), true
	}
	return m
}

func newListMetric(name, help string) tierMetric {
	m := newTierMetric(name, help, nil)
	m.value = func(t Tier) (float64, bool) {
		if t.Demand == nil || t.Demand.ListLength == nil {
			return 0, false
		}
		return float64(*t.Demand.ListLength), true
	}
	return m
}

func newMetric(name, help string, value func(Figures) float64) metric {
	return metric{prometheus.NewDesc("memorybudget_"+name, help, []string{"namespace", "name"}, nil), value}
}

// Collector tells the figures that were last observed.
type Collector struct {
	metrics       []metric
	tiers         []tierMetric
	signalToWrite prometheus.Histogram
	decisions     *prometheus.CounterVec
	mu            sync.Mutex
	figures       map[client.ObjectKey]Figures
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes a collector that knows of no resource.
func NewCollector() *Collector {
	return &Collector{
		figures: map[client.ObjectKey]Figures{},
		signalToWrite: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "memorybudget_signal_to_write_seconds",
			Help:    "From when a broker was read and told something else than before until the replicas that follow from it were written.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "memorybudget_decisions_total",
			Help: "Decisions on tiers that differ from the one before, by what limits the tier (status.tiers[].limitedBy).",
		}, []string{"reason"}),
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
			newMetric("signals_failing_since_timestamp_seconds",
				"Since when the signals that tiers scale by cannot be read, 0 while they can.",
				func(f Figures) float64 { return float64(f.FailingSinceSeconds) }),
		},
		tiers: []tierMetric{
			newTierMetric("desired_replicas", "Replicas that the tier wants.", func(t Tier) float64 { return float64(t.Desired) }),
			newTierMetric("granted_replicas", "Replicas that the budget allows the tier.", func(t Tier) float64 { return float64(t.Granted) }),
			newDemandMetric("demand_replicas", "Replicas that the metrics of the tier ask for.",
				func(d Demand) float64 { return float64(d.Replicas) }),
			newTasksMetric("ready_tasks", "Tasks that wait in the queues of the tier.", func(t Tasks) float64 { return float64(t.Ready) }),
			newTasksMetric("reserved_tasks", "Tasks of the tier that workers have taken and not acknowledged.",
				func(t Tasks) float64 { return float64(t.Reserved) }),
			newTasksMetric("later_tasks", "Tasks of the tier whose ETA is still to come.", func(t Tasks) float64 { return float64(t.Later) }),
			newEntriesMetric("undelivered_entries", "Entries of the tier's Redis streams that were not delivered to its consumer groups yet.",
				func(e Entries) int64 { return e.Undelivered }),
			newEntriesMetric("pending_entries", "Entries that consumers of the tier's groups were delivered and have not acknowledged.",
				func(e Entries) int64 { return e.Pending }),
			newListMetric("list_length", "Elements of the tier's Redis lists."),
		},
	}
}

// Observe replaces what is told of a resource, and counts the decisions that are other ones than before.
func (c *Collector) Observe(key client.ObjectKey, figures Figures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := map[string]Tier{}
	for _, tier := range c.figures[key].Tiers {
		before[tier.Name] = tier
	}
	for _, tier := range figures.Tiers {
		was, known := before[tier.Name]
		if !known || was.Desired != tier.Desired || was.Granted != tier.Granted || was.Reason != tier.Reason {
			c.decisions.WithLabelValues(tier.Reason).Inc()
		}
	}
	c.figures[key] = figures
}

// Wrote tells how long it took from a reading of a broker to the write that followed from it.
func (c *Collector) Wrote(after time.Duration) { c.signalToWrite.Observe(after.Seconds()) }

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
	for _, m := range c.tiers {
		descriptions <- m.description
	}
	c.signalToWrite.Describe(descriptions)
	c.decisions.Describe(descriptions)
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.signalToWrite.Collect(out)
	c.decisions.Collect(out)
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, figures := range c.figures {
		for _, m := range c.metrics {
			out <- prometheus.MustNewConstMetric(m.description, prometheus.GaugeValue, m.value(figures), key.Namespace, key.Name)
		}
		for _, tier := range figures.Tiers {
			c.collectTier(out, key, tier)
		}
	}
}

func (c *Collector) collectTier(out chan<- prometheus.Metric, key client.ObjectKey, tier Tier) {
	for _, m := range c.tiers {
		if value, has := m.value(tier); has {
			out <- prometheus.MustNewConstMetric(m.description, prometheus.GaugeValue, value, key.Namespace, key.Name, tier.Name)
		}
	}
}
