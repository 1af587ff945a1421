// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// waitInterval is how soon a wait is looked at again, while nothing but it changes.
const waitInterval = 10 * time.Second

// Measure is what a metric of a tier measures.
type Measure string

const (
	// MeasureDepth is the number of tasks, compared with what the processes of each pod are meant to have.
	MeasureDepth Measure = "Depth"
	// MeasureWait is for how many seconds the oldest task has waited.
	MeasureWait Measure = "Wait"
	// MeasureSilent is the number of pods that may run tasks which are in no count, since nothing is heard of them.
	MeasureSilent Measure = "Silent"
	// MeasureAny is whether there are tasks at all. It keeps a tier that scales by their wait from going to zero while they run.
	MeasureAny Measure = "Any"
	// MeasureCPU is the CPU that the pods use, compared with what they are meant to.
	MeasureCPU Measure = "CPU"
	// MeasureMemory is the working set of the pods, compared with what it is meant to be.
	MeasureMemory Measure = "Memory"
	// MeasureStream is the number of entries of a Redis stream that a consumer group has not worked off.
	MeasureStream Measure = "Stream"
	// MeasureUncounted is what a stream may hold beside the entries that were counted. It is never known.
	MeasureUncounted Measure = "Uncounted"
	// MeasureList is the number of elements of a Redis list.
	MeasureList Measure = "List"
	// MeasureExternal is the value of an external metric.
	MeasureExternal Measure = "External"
	// MeasurePrometheus is the value of a query of a Prometheus.
	MeasurePrometheus Measure = "Prometheus"
)

// Demand is what a tier with scaling needs, and why.
type Demand struct {
	demand.Decision
	// Input is what it was decided from. Measures are those of its metrics.
	Input    demand.Input
	Measures []Measure
	// ByQueue: the queues are one of the metrics.
	ByQueue bool
	// Values are what is known of the metrics whose Measures are MeasureExternal and MeasurePrometheus, in their order.
	Values []Value
	// Tasks are the tasks of all queues of the tier; its Name is empty.
	Tasks observe.Queue
	// Running are tasks that run, as heartbeats tell, and that are not among Tasks.
	Running int64
	// Heard is how many tasks the pods run, as heartbeats tell, but for those that terminate; nil where none can be heard.
	Heard *int64
	// Silent are the ready pods of a tier that acknowledges early of which nothing is heard.
	Silent int32
	// Unread: the queues were never read, so that Tasks says nothing.
	Unread bool
	// WaitUnknown: the tier scales by the wait of tasks, which nothing tells of some. Their number is used too.
	WaitUnknown bool
	// Backlogs are what its metrics show of Redis streams and lists.
	Backlogs []Backlog
}

// ByUsage says whether what the pods use is one of the metrics.
func (d *Demand) ByUsage() bool {
	return slices.Contains(d.Measures, MeasureCPU) || slices.Contains(d.Measures, MeasureMemory)
}

// demand decides what a tier with scaling needs.
func (b *builder) demand(t *Tier, pods []budget.Pod) *Demand {
	state := b.s.Broker.State
	d := Demand{Unread: state == observe.BrokerNone || state == observe.BrokerNotReadYet}
	if d.ByQueue = observe.ScalesByQueue(t.Spec); d.ByQueue {
		d.Tasks = b.tasksOf(t.Spec)
	}
	d.Input.History = b.s.Histories[t.Spec.Name]
	d.Input.Replicas = b.replicasOf(t, &d.Input.History)
	d.Input.Now, d.Input.Ready = b.s.Now, readyOf(pods)
	d.Input.Min, _, d.Input.Max = ReplicasOf(t.Spec)
	d.Input.Up, d.Input.Down = rulesOf(t.Spec.Scaling.Behavior)
	if d.ByQueue {
		b.hear(&d, t, pods)
	}
	for _, q := range queueMetrics(t.Spec) {
		d.measure(q, int64(max(1, t.Rendered.Processes)), b.countedAll(t.Spec))
	}
	if d.ByQueue {
		d.keep(b.countedAll(t.Spec))
	}
	for _, m := range observe.ResourceMetrics(t.Spec) {
		d.measureUsage(t.Spec, m, b.s)
	}
	d.measureRedis(t.Spec, &b.s.Broker)
	d.measureValues(t.Spec, b.s)
	d.Decision = demand.Decide(d.Input)
	if b.held() && d.Desired != d.Input.Replicas {
		d.Next = earliest(d.Next, b.s.Now.Add(period)) // No write brings the next step.
	}
	if slices.Contains(d.Measures, MeasureWait) && d.By >= 0 && d.Tasks.Ready > 0 {
		d.Next = earliest(d.Next, b.s.Now.Add(waitInterval)) // The wait grows by itself.
	}
	return &d
}

// replicasOf is how many replicas a tier has by what the operator decided, whoever has changed them since. Where nothing is carried
// out, it is what would be.
func (b *builder) replicasOf(t *Tier, history *demand.History) int32 {
	switch {
	case b.held() && len(history.Asked) > 0:
		return history.Desired
	case t.Live == nil:
		return 0
	}
	if ours, err := strconv.ParseInt(t.Live.Annotations[v1alpha1.ReplicasAnnotation], 10, 32); err == nil {
		return int32(ours)
	}
	return replicasIn(t.Live)
}

// tasksOf sums up the queues of a tier.
func (b *builder) tasksOf(tier *v1alpha1.Tier) observe.Queue {
	sum := observe.Queue{}
	for _, q := range b.s.Broker.Queues {
		if !slices.Contains(tier.Celery.Queues, q.Name) {
			continue
		}
		sum.Ready, sum.Reserved, sum.Later = plus(sum.Ready, q.Ready), plus(sum.Reserved, q.Reserved), plus(sum.Later, q.Later)
		sum.Unstamped = plus(sum.Unstamped, q.Unstamped)
		sum.Oldest, sum.NextETA = earliest(sum.Oldest, q.Oldest), earliest(sum.NextETA, q.NextETA)
	}
	return sum
}

// countedAll: how much there is to do is known of each queue of a tier, as it is now. One that is not counted yet is not empty.
func (b *builder) countedAll(tier *v1alpha1.Tier) bool {
	for _, name := range tier.Celery.Queues {
		if !slices.ContainsFunc(b.s.Broker.Queues, func(q observe.Queue) bool { return q.Name == name }) {
			return false
		}
	}
	return b.s.Broker.Fresh()
}

// mostTasks is more than there are in any broker, and little enough for sums not to overflow.
const mostTasks = 1 << 40

func plus(a, b int64) int64 { return min(a+min(b, mostTasks), mostTasks) }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func readyOf(pods []budget.Pod) (n int32) {
	for i := range pods {
		if pods[i].Ready && !pods[i].Terminating {
			n++
		}
	}
	return n
}

// queueMetrics are those of the spec, or the one that celery tiers have by default.
func queueMetrics(tier *v1alpha1.Tier) []v1alpha1.QueueMetric {
	if !observe.ScalesByQueue(tier) {
		return nil
	}
	var all []v1alpha1.QueueMetric
	for _, m := range tier.Scaling.Metrics {
		if m.Queue != nil {
			all = append(all, *m.Queue)
		}
	}
	if len(all) == 0 {
		return []v1alpha1.QueueMetric{{}}
	}
	return all
}

// measure adds what a metric of the spec measures.
func (d *Demand) measure(q v1alpha1.QueueMetric, processes int64, known bool) {
	add := func(what Measure, kind demand.Kind, value, target int64) {
		d.Measures = append(d.Measures, what)
		d.Input.Metrics = append(d.Input.Metrics, demand.Metric{Kind: kind, Known: known, Value: value, Target: target})
	}
	tasks := d.Tasks.Ready + d.Tasks.Reserved + d.Running
	unstamped := d.Tasks.Unstamped > 0 || d.Tasks.Ready > 0 && d.Tasks.Oldest.IsZero()
	d.WaitUnknown = d.WaitUnknown || q.TargetWaitSeconds != nil && unstamped
	if q.TargetDepthPerProcess != nil || q.TargetWaitSeconds == nil || unstamped {
		add(MeasureDepth, demand.PerReplica, tasks, processes*int64(valueOr(q.TargetDepthPerProcess, 1)))
	}
	if q.TargetWaitSeconds != nil && (d.Tasks.Ready == 0 || !d.Tasks.Oldest.IsZero()) {
		add(MeasureWait, demand.Ratio, d.waited(), int64(*q.TargetWaitSeconds))
		add(MeasureAny, demand.PerReplica, min(tasks, 1), math.MaxInt32)
	}
}

// waited is for how many seconds the oldest task has waited, at least one.
func (d *Demand) waited() int64 {
	if d.Tasks.Ready == 0 {
		return 0
	}
	return max(1, int64(d.Input.Now.Sub(d.Tasks.Oldest)/time.Second))
}

// The rules by default are those of autoscaling/v2.
const (
	period          = 15 * time.Second
	downWindow      = 300 * time.Second
	tolerance       = 100
	morePods        = 4
	percentOfWhole  = 100
	thousandthsUnit = -3
)

// rulesOf are those of the spec, with what it leaves out as it is by default.
func rulesOf(behavior *v1alpha1.ScalingBehavior) (up, down demand.Rules) {
	percent := demand.Policy{Percent: true, Value: percentOfWhole, Period: period}
	up = demand.Rules{Select: demand.SelectMax, Policies: []demand.Policy{percent, {Value: morePods, Period: period}}, Tolerance: tolerance}
	down = demand.Rules{Select: demand.SelectMax, Policies: []demand.Policy{percent}, Tolerance: tolerance, Window: downWindow}
	if behavior != nil {
		override(&up, behavior.ScaleUp)
		override(&down, behavior.ScaleDown)
	}
	return up, down
}

func override(rules *demand.Rules, by *v1alpha1.ScalingRules) {
	if by == nil {
		return
	}
	if by.StabilizationWindowSeconds != nil {
		rules.Window = time.Duration(*by.StabilizationWindowSeconds) * time.Second
	}
	if by.SelectPolicy != "" {
		rules.Select = demand.Select(by.SelectPolicy)
	}
	if by.Tolerance != nil {
		rules.Tolerance = by.Tolerance.ScaledValue(thousandthsUnit)
	}
	if len(by.Policies) == 0 {
		return
	}
	rules.Policies = nil
	for _, p := range by.Policies {
		rules.Policies = append(rules.Policies, demand.Policy{
			Percent: p.Type == v1alpha1.ScalingPolicyPercent, Value: p.Value, Period: time.Duration(p.PeriodSeconds) * time.Second,
		})
	}
}

func valueOr(value *int32, otherwise int32) int32 {
	if value == nil {
		return otherwise
	}
	return *value
}

// Histories are what the next decision has to know of the tiers' demand, by tier.
func (d *Decision) Histories() map[string]demand.History {
	all := map[string]demand.History{}
	for i := range d.Tiers {
		if t := &d.Tiers[i]; t.Demand != nil {
			all[t.Spec.Name] = t.Demand.History
		}
	}
	return all
}

// Next is when the demand of a tier changes if nothing else does, zero where it does not.
func (d *Decision) Next() time.Time {
	next := time.Time{}
	for i := range d.Tiers {
		if t := &d.Tiers[i]; t.Demand != nil {
			next = earliest(next, t.Demand.Next)
		}
	}
	return next
}
