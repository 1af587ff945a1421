// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// StaleAfter is how long a signal cannot be read before people are told: as long as the fallback of a HorizontalPodAutoscaler
// waits at least (failureDurationSeconds, KEP-5679).
const StaleAfter = 180 * time.Second

// signalsFresh: what the metrics show can be read.
func (f *facts) signalsFresh() metav1.Condition {
	queues, redis, usage, values := f.byQueue(), f.byRedis(), f.byUsage(), f.byValue()
	if len(queues) == 0 && len(redis) == 0 && len(usage) == 0 && len(values) == 0 {
		return fresh(metav1.ConditionTrue, v1alpha1.ReasonNoSignals, "No tier has scaling")
	}
	for _, c := range []*metav1.Condition{f.brokerStale(queues, redis), f.usageStale(usage), f.valuesStale(values)} {
		if c != nil {
			return *c
		}
	}
	return fresh(metav1.ConditionTrue, v1alpha1.ReasonAllFresh, "What the tiers scale by can be read")
}

func fresh(status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return condition(v1alpha1.ConditionSignalsFresh, status, reason, "%s", message)
}

// brokerStale is what is wrong with the queues of tiers, or with the Redis streams and lists of others, nil where nothing is.
func (f *facts) brokerStale(queues, redis []*tierFacts) *metav1.Condition {
	broker := &f.Snapshot.Broker
	switch {
	case len(queues) == 0 && len(redis) == 0:
		return nil
	case broker.Fresh():
		c := unmeasured(queues, queueMeasures, v1alpha1.ReasonQueuesNotCounted,
			"The broker does not tell how many tasks are in the queues of tier %s")
		if c == nil {
			c = backlogsStale(redis)
		}
		return c
	case f.fails(broker.FailingSince):
		return f.signalsAsBefore("The broker was not read yet")
	}
	reason, message := unread(broker)
	if broker.State == observe.BrokerNotReadYet {
		reason, message = v1alpha1.ReasonNotReadYet, "The broker was not read yet"
	}
	return new(fresh(metav1.ConditionFalse, reason, message+"; tiers that scale by it are not made smaller meanwhile"))
}

// usageStale is what is wrong with the metrics API, nil where nothing is.
func (f *facts) usageStale(tiers []*tierFacts) *metav1.Condition {
	usage := &f.Snapshot.Usage
	switch {
	case len(tiers) == 0:
		return nil
	case usage.Fresh():
		return unmeasured(tiers, usageMeasures, v1alpha1.ReasonPodsNotMeasured, "The metrics API does not tell what the pods of tier %s use")
	case f.fails(usage.FailingSince):
		return f.signalsAsBefore("The metrics API was not asked yet")
	}
	reason := v1alpha1.ReasonMetricsAPIUnavailable
	message := "The metrics API (metrics.k8s.io) does not answer: install metrics-server, or look at the APIService v1beta1.metrics.k8s.io"
	if usage.State == observe.UsageForbidden {
		reason, message = v1alpha1.ReasonMetricsAPIForbidden, "The operator may not list pods of metrics.k8s.io: install its roles again"
	}
	return new(fresh(metav1.ConditionFalse, reason, message+"; tiers that scale by it are not made smaller meanwhile"))
}

// fails: readings have not failed for long enough for people to be told.
func (f *facts) fails(since time.Time) bool {
	return since.IsZero() || f.Snapshot.Now.Before(since.Add(StaleAfter))
}

// What the queues of a tier are measured by, and what its pods use.
var (
	queueMeasures = []decision.Measure{decision.MeasureDepth, decision.MeasureWait, decision.MeasureAny, decision.MeasureSilent}
	usageMeasures = []decision.Measure{decision.MeasureCPU, decision.MeasureMemory}
)

// unmeasured names the first of tiers of which one of the measures is not known, nil where all are.
func unmeasured(tiers []*tierFacts, measures []decision.Measure, reason, message string) *metav1.Condition {
	for _, t := range tiers {
		for i, measure := range t.Demand.Measures {
			if slices.Contains(measures, measure) && !t.Demand.Input.Knows(i) {
				return new(fresh(metav1.ConditionUnknown, reason, fmt.Sprintf(message, t.Spec.Name)+", which is not made smaller meanwhile"))
			}
		}
	}
	return nil
}

// signalsAsBefore keeps what was known while that is not long ago.
func (f *facts) signalsAsBefore(unless string) *metav1.Condition {
	was := meta.FindStatusCondition(f.previous, v1alpha1.ConditionSignalsFresh)
	if was != nil && was.Reason != v1alpha1.ReasonNoSignals {
		return was.DeepCopy()
	}
	return new(fresh(metav1.ConditionUnknown, v1alpha1.ReasonNotReadYet, unless))
}

// NextChange is when a condition changes by time alone, zero where none does.
func NextChange(s *observe.Snapshot) time.Time {
	next, failing := time.Time{}, []time.Time{s.Broker.FailingSince, s.Usage.FailingSince}
	for i := range s.Readings {
		failing = append(failing, s.Readings[i].FailingSince)
	}
	for _, since := range failing {
		if at := since.Add(StaleAfter); at.After(s.Now) && !since.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// byQueue are the tiers that scale by their queues, byUsage those that do by what their pods use.
func (f *facts) byQueue() []*tierFacts {
	return f.scaling(func(t *tierFacts) bool { return t.Demand.ByQueue })
}

func (f *facts) byUsage() []*tierFacts {
	return f.scaling(func(t *tierFacts) bool { return t.Demand.ByUsage() })
}

func (f *facts) scaling(by func(*tierFacts) bool) []*tierFacts {
	var found []*tierFacts
	for i := range f.tiers {
		if t := &f.tiers[i]; t.Demand != nil && by(t) {
			found = append(found, t)
		}
	}
	return found
}

// limits are the values of limitedBy.
var limits = map[demand.Limit]string{
	demand.LimitNone: v1alpha1.DemandLimitedByNone, demand.LimitMin: v1alpha1.DemandLimitedByMin,
	demand.LimitMax: v1alpha1.DemandLimitedByMax, demand.LimitUnknown: v1alpha1.DemandLimitedByUnknown,
	demand.LimitStabilization: v1alpha1.DemandLimitedByStabilization, demand.LimitJump: v1alpha1.DemandLimitedByJump,
	demand.LimitPolicy: v1alpha1.DemandLimitedByPolicy, demand.LimitThroughOne: v1alpha1.DemandLimitedByThroughOne,
}

func demandStatus(d *decision.Demand) *v1alpha1.DemandStatus {
	if d == nil {
		return nil
	}
	s := &v1alpha1.DemandStatus{Replicas: new(d.Asked), LimitedBy: limits[d.Limit]}
	if d.By < 0 {
		s.LimitedBy = v1alpha1.DemandLimitedByUnknown
	}
	if d.By >= 0 && d.Input.Metrics[d.By].Kind == demand.Usage {
		s.PercentOfTarget = new(int32(inSteps(&d.Input.Metrics[d.By])))
	}
	if d.ByQueue && !d.Unread {
		s.ReadyTasks, s.ReservedTasks, s.LaterTasks = new(d.Tasks.Ready), new(d.Tasks.Reserved), new(d.Tasks.Later)
	}
	s.RunningTasks = d.Heard
	addBacklogs(s, d)
	return s
}

// step keeps figures of use still that change all the time, in percent.
const step = 5

// inSteps is what pods use in percent of what they are meant to.
func inSteps(m *demand.Metric) int64 {
	return (min(m.Percent(), math.MaxInt32-step) + step/2) / step * step
}

// ExplainDemand says in words what the metrics of a tier show, what they ask for, and what is made of that.
func ExplainDemand(d *decision.Demand) string {
	if d.By < 0 {
		return unknown(d)
	}
	text := fmt.Sprintf("%s ask for %d", shows(d), d.Asked)
	if v := d.Value(d.By); v != nil {
		text = fmt.Sprintf("%s asks for %d", showsValue(v, d.Input.Metrics[d.By].Kind), d.Asked)
	}
	if why := limited(d); why != "" {
		text += ", " + why
	}
	return text
}

// unknown is what is said of a tier while none of its metrics is known.
func unknown(d *decision.Demand) string {
	switch {
	case len(d.Backlogs) > 0:
		return unknownBacklog(d)
	case !d.ByQueue && len(d.Values) > 0:
		return unreadValue(d) + ", so the tier goes on asking for what it did"
	case !d.ByQueue:
		return "nothing tells what the pods use, so the tier goes on asking for what it did"
	case d.Unread:
		return "the queues were not read yet, so the tier goes on asking for what it did"
	}
	return "the queues cannot be read, so the tier goes on asking for what it did; last seen: " + tasks(d)
}

// tasks is how much there is to do.
func tasks(d *decision.Demand) string {
	counts := fmt.Sprintf("%d tasks waiting, %d taken", d.Tasks.Ready, d.Tasks.Reserved)
	if d.Running > 0 {
		counts += fmt.Sprintf(", %d more running", d.Running)
	}
	if d.Tasks.Later > 0 {
		counts += fmt.Sprintf(" (%d more due later)", d.Tasks.Later)
	}
	return counts
}

// shows is what the metric shows that asks for the most.
func shows(d *decision.Demand) string {
	by := d.Input.Metrics[d.By]
	switch d.Measures[d.By] {
	case decision.MeasureWait:
		return fmt.Sprintf("%s, the oldest for %d s at a target of %d s,", tasks(d), by.Value, by.Target)
	case decision.MeasureDepth:
		text := tasks(d) + fmt.Sprintf(" at a target of %d per pod", by.Target)
		if d.WaitUnknown {
			text += " (nothing tells for how long they wait)"
		}
		return text
	case decision.MeasureCPU:
		return fmt.Sprintf("pods at %d%% of their target for CPU", inSteps(&by))
	case decision.MeasureMemory:
		return fmt.Sprintf("pods at %d%% of their target for memory", inSteps(&by))
	case decision.MeasureSilent:
		return fmt.Sprintf("%s; %d pods of which no heartbeat is heard may run some, and", tasks(d), d.Silent)
	case decision.MeasureStream, decision.MeasureList:
		return fmt.Sprintf("%s at a target of %d per pod", backlog(d.Backlog(d.By)), by.Target)
	case decision.MeasureAny, decision.MeasureUncounted, decision.MeasureExternal, decision.MeasurePrometheus:
	}
	return tasks(d)
}

// limited is why the tier does not want what its metrics ask for.
func limited(d *decision.Demand) string {
	direction := "scaleDown"
	if d.Asked > d.Input.Replicas {
		direction = "scaleUp"
	}
	switch d.Limit {
	case demand.LimitMin:
		return fmt.Sprintf("replicas.min is %d", d.Input.Min)
	case demand.LimitMax:
		return fmt.Sprintf("replicas.max is %d", d.Input.Max)
	case demand.LimitUnknown:
		return "and while " + unreadable(d) + ", the tier is not made smaller"
	case demand.LimitStabilization:
		return stabilizedBy(d, direction)
	case demand.LimitJump:
		return "but the demand has just jumped: nothing is made smaller for a minute"
	case demand.LimitPolicy:
		return fmt.Sprintf("the policies of %s allow %d now", direction, d.Desired)
	case demand.LimitThroughOne:
		return "and on the way to zero there is one first"
	case demand.LimitNone:
	}
	return ""
}

// unreadable is which of the metrics cannot be read.
func unreadable(d *decision.Demand) string {
	for i := range d.Input.Metrics {
		m := &d.Input.Metrics[i]
		switch b := d.Backlog(i); {
		case m.Known, m.Kind == demand.Usage, d.Value(i) != nil:
		case d.Measures[i] == decision.MeasureUncounted:
			return "nothing tells how many more there are"
		case b == nil:
			return "the queues cannot be read"
		default:
			return nameOf(b) + " cannot be read"
		}
	}
	if text := unreadValue(d); text != "" {
		return text
	}
	return "nothing tells what the pods use"
}

func stabilizedBy(d *decision.Demand, direction string) string {
	window, other := d.Input.Down.Window, "more"
	if direction == "scaleUp" {
		window, other = d.Input.Up.Window, "less"
	}
	return fmt.Sprintf("but %s was asked for within the %d s of %s", other, int64(window/time.Second), direction)
}
