// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
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
	is := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionSignalsFresh, status, reason, "%s", message)
	}
	broker := &f.Snapshot.Broker
	switch {
	case !f.scales():
		return is(metav1.ConditionTrue, v1alpha1.ReasonNoSignals, "No tier has scaling")
	case broker.Fresh() && f.uncounted() != "":
		return is(metav1.ConditionUnknown, v1alpha1.ReasonQueuesNotCounted, fmt.Sprintf("The broker does not tell how many tasks are "+
			"in the queues of tier %s, which is not made smaller meanwhile", f.uncounted()))
	case broker.Fresh():
		return is(metav1.ConditionTrue, v1alpha1.ReasonAllFresh, "The queues of the tiers that scale by them can be read")
	case broker.FailingSince.IsZero() || f.Snapshot.Now.Before(broker.FailingSince.Add(StaleAfter)):
		return f.signalsAsBefore(is(metav1.ConditionUnknown, v1alpha1.ReasonNotReadYet, "The broker was not read yet"))
	}
	reason, message := unread(broker)
	if broker.State == observe.BrokerNotReadYet {
		reason, message = v1alpha1.ReasonNotReadYet, "The broker was not read yet"
	}
	return is(metav1.ConditionFalse, reason, message+"; tiers that scale by it are not made smaller meanwhile")
}

// signalsAsBefore keeps what was known while that is not long ago.
func (f *facts) signalsAsBefore(unless metav1.Condition) metav1.Condition {
	was := meta.FindStatusCondition(f.previous, v1alpha1.ConditionSignalsFresh)
	if was != nil && was.Reason != v1alpha1.ReasonNoSignals {
		return *was
	}
	return unless
}

// NextChange is when a condition changes by time alone, zero where none does.
func NextChange(s *observe.Snapshot) time.Time {
	if s.Broker.FailingSince.IsZero() {
		return time.Time{}
	}
	return s.Broker.FailingSince.Add(StaleAfter)
}

func (f *facts) scales() bool {
	for i := range f.tiers {
		if f.tiers[i].Demand != nil {
			return true
		}
	}
	return false
}

// uncounted is the first tier whose queues are not counted, empty where all are.
func (f *facts) uncounted() string {
	for i := range f.tiers {
		if d := f.tiers[i].Demand; d != nil && d.By < 0 {
			return f.tiers[i].Spec.Name
		}
	}
	return ""
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
	if !d.Unread {
		s.ReadyTasks, s.ReservedTasks, s.LaterTasks = new(d.Tasks.Ready), new(d.Tasks.Reserved), new(d.Tasks.Later)
	}
	return s
}

// ExplainDemand says in words what the metrics of a tier show, what they ask for, and what is made of that.
func ExplainDemand(d *decision.Demand) string {
	text := shows(d)
	if d.By < 0 {
		return text
	}
	text += fmt.Sprintf(" ask for %d", d.Asked)
	if why := limited(d); why != "" {
		text += ", " + why
	}
	return text
}

// shows is what the metrics show.
func shows(d *decision.Demand) string {
	counts := fmt.Sprintf("%d tasks waiting, %d taken", d.Tasks.Ready, d.Tasks.Reserved)
	if d.Tasks.Later > 0 {
		counts += fmt.Sprintf(" (%d more due later)", d.Tasks.Later)
	}
	switch {
	case d.By < 0 && d.Unread:
		return "the queues were not read yet, so the tier goes on asking for what it did"
	case d.By < 0:
		return "the queues cannot be read, so the tier goes on asking for what it did; last seen: " + counts
	}
	by := d.Input.Metrics[d.By]
	switch d.Measures[d.By] {
	case decision.MeasureWait:
		return fmt.Sprintf("%s, the oldest for %d s at a target of %d s,", counts, by.Value, by.Target)
	case decision.MeasureDepth:
		counts += fmt.Sprintf(" at a target of %d per pod", by.Target)
		if d.WaitUnknown {
			counts += " (nothing tells for how long they wait)"
		}
	case decision.MeasureAny:
	}
	return counts
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
		return "and while the queues cannot be read, the tier is not made smaller"
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

func stabilizedBy(d *decision.Demand, direction string) string {
	window, other := d.Input.Down.Window, "more"
	if direction == "scaleUp" {
		window, other = d.Input.Up.Window, "less"
	}
	return fmt.Sprintf("but %s was asked for within the %d s of %s", other, int64(window/time.Second), direction)
}
