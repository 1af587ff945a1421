// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/text"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// explanation is how a tier came to its replicas. Status is nil where nothing is reported of it.
type explanation struct {
	mb     *v1alpha1.MemoryBudget
	spec   *v1alpha1.Tier
	status *v1alpha1.TierStatus
}

func (e explanation) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Tier %s of MemoryBudget %s/%s", e.spec.Name, e.mb.Namespace, e.mb.Name)
	if e.status == nil || e.status.Desired == nil || e.status.Granted == nil {
		fmt.Fprintln(&b, ": nothing is reported yet. Does the operator run, and does it watch this namespace?")
		return b.String()
	}
	fmt.Fprintf(&b, " wants %d replicas and is granted %d; %s are ready.\n", e.wanted(), e.granted(), text.Number(e.status.Ready))
	if e.mb.Status.ObservedGeneration < e.mb.Generation {
		fmt.Fprintln(&b, "That was before the last change of the spec, which the operator has not seen yet.")
	}
	for _, part := range []struct{ name, says string }{
		{"Signal", e.signal()}, {"Formula", e.formula()}, {"Demand", e.demand()}, {"Grant", e.grant()},
	} {
		if part.says != "" {
			fmt.Fprintf(&b, "  %-12s%s\n", part.name+":", part.says)
		}
	}
	for _, change := range e.changes() {
		fmt.Fprintf(&b, "  %-12s%s\n", "To change:", change)
	}
	return b.String()
}

func (e explanation) wanted() int32  { return *e.status.Desired }
func (e explanation) granted() int32 { return *e.status.Granted }

// scales: the status tells of a demand.
func (e explanation) scales() bool {
	d := e.status.Demand
	return e.spec.Scaling != nil && d != nil && d.Replicas != nil && (e.counts() || !observe.ScalesByQueue(e.spec))
}

// counts: the status tells of tasks.
func (e explanation) counts() bool {
	d := e.status.Demand
	return d.ReadyTasks != nil && d.ReservedTasks != nil && d.LaterTasks != nil
}

// signal is what was measured.
func (e explanation) signal() string {
	if !e.scales() {
		return ""
	}
	says := strings.Join(slices.Concat(e.tasks(), e.backlogs(), e.use(), e.values()), "; ")
	if says == "" && e.scalesByRedis() {
		says = "nothing tells how much there is in its streams and lists"
	}
	if says == "" {
		says = "nothing tells what the pods use"
	}
	if c := meta.FindStatusCondition(e.mb.Status.Conditions, v1alpha1.ConditionSignalsFresh); c != nil && c.Status != "True" {
		says += ". That is not known to be so now: " + oneLine(c.Message)
	}
	return says + "."
}

// tasks are those of the tier's queues.
func (e explanation) tasks() []string {
	if !e.counts() {
		return nil
	}
	d := e.status.Demand
	all := []string{fmt.Sprintf("%d tasks wait in %s, and workers have taken %d", *d.ReadyTasks, queues(e.spec), *d.ReservedTasks)}
	if d.RunningTasks != nil {
		all = append(all, fmt.Sprintf("%d run now, by the heartbeats of workers", *d.RunningTasks))
	}
	if *d.LaterTasks > 0 {
		all = append(all, fmt.Sprintf("%d more are due later and do not count", *d.LaterTasks))
	}
	return all
}

// use is what the pods use.
func (e explanation) use() []string {
	if e.status.Demand.PercentOfTarget == nil {
		return nil
	}
	return []string{fmt.Sprintf("the pods use about %d%% of what they are meant to on average", *e.status.Demand.PercentOfTarget)}
}

// values are the external metrics and queries. What they are is not reported.
func (e explanation) values() []string {
	var all []string
	for i := range e.spec.Scaling.Metrics {
		m := &e.spec.Scaling.Metrics[i]
		target, perReplica, found := observe.ValueTarget(m)
		if !found {
			continue
		}
		of := fmt.Sprintf("the Prometheus query in scaling.metrics[%d]", i)
		if m.External != nil {
			of = "the external metric " + m.External.Name
		}
		per := ""
		if perReplica {
			per = " per pod"
		}
		all = append(all, fmt.Sprintf("%s, at a target of %s%s", of, target.String(), per))
	}
	return all
}

func queues(tier *v1alpha1.Tier) string {
	if tier.Celery == nil {
		return "its queues"
	}
	return strings.Join(tier.Celery.Queues, ", ")
}

// depthTarget is how many tasks a pod is meant to have, 0 where the tier does not scale by that alone.
func (e explanation) depthTarget() int64 {
	if !observe.ScalesByQueue(e.spec) {
		return 0
	}
	target := int64(1)
	for _, m := range e.spec.Scaling.Metrics {
		if m.Queue == nil || m.Queue.TargetWaitSeconds != nil || len(e.spec.Scaling.Metrics) > 1 {
			return 0
		}
		if m.Queue.TargetDepthPerProcess != nil {
			target = int64(*m.Queue.TargetDepthPerProcess)
		}
	}
	return target
}

func (e explanation) processes() int64 {
	if e.status.Processes == nil {
		return 1
	}
	return int64(max(1, *e.status.Processes))
}

// formula is how the metrics come to their number.
func (e explanation) formula() string {
	d := e.status.Demand
	if !e.scales() || d.LimitedBy == v1alpha1.DemandLimitedByUnknown {
		return ""
	}
	if target := e.depthTarget(); target > 0 {
		return fmt.Sprintf("(%d + %d) tasks / (%d processes x %d tasks), rounded up (what there is, within the tolerance): %d replicas.",
			*d.ReadyTasks, *d.ReservedTasks, e.processes(), target, *d.Replicas)
	}
	if says := e.backlogFormula(); says != "" {
		return says
	}
	if d.PercentOfTarget != nil && len(e.spec.Scaling.Metrics) <= 1 {
		return fmt.Sprintf("ready pods x %d%%, rounded up (what there is, within the tolerance): %d replicas.", *d.PercentOfTarget, *d.Replicas)
	}
	if says := e.valueFormula(); says != "" {
		return fmt.Sprintf("%s, rounded up (what there is, within the tolerance): %d replicas.", says, *d.Replicas)
	}
	return fmt.Sprintf("the largest of its measures: %d replicas.", *d.Replicas)
}

// valueFormula is that of a tier whose only metric is an external one or a query, empty for others.
func (e explanation) valueFormula() string {
	if len(e.spec.Scaling.Metrics) != 1 {
		return ""
	}
	target, perReplica, found := observe.ValueTarget(&e.spec.Scaling.Metrics[0])
	switch {
	case !found:
		return ""
	case perReplica:
		return "the value / " + target.String()
	}
	return "ready pods x the value / " + target.String()
}

// demand is what was made of that.
func (e explanation) demand() string {
	if !e.scales() {
		return fmt.Sprintf("%d replicas, as replicas.desired or replicas.min of the spec says.", e.wanted())
	}
	n := e.wanted()
	switch e.status.Demand.LimitedBy {
	case v1alpha1.DemandLimitedByMin:
		return fmt.Sprintf("%d, since that is replicas.min.", n)
	case v1alpha1.DemandLimitedByMax:
		return fmt.Sprintf("%d, since that is replicas.max.", n)
	case v1alpha1.DemandLimitedByUnknown:
		return fmt.Sprintf("%d: a tier whose metrics cannot be read is not made smaller.", n)
	case v1alpha1.DemandLimitedByStabilization:
		return fmt.Sprintf("%d, since the demand of the stabilization window counts.", n)
	case v1alpha1.DemandLimitedByJump:
		return fmt.Sprintf("%d: nothing is made smaller within a minute of a jump of the demand.", n)
	case v1alpha1.DemandLimitedByPolicy:
		return fmt.Sprintf("%d for now, since the policies of scaling.behavior allow no larger change in their period.", n)
	case v1alpha1.DemandLimitedByThroughOne:
		return fmt.Sprintf("%d: on its way to zero a tier has one replica for a while.", n)
	}
	return fmt.Sprintf("%d.", n)
}

// grant is what the budget allows of it.
func (e explanation) grant() string {
	if e.status.LimitedBy == v1alpha1.LimitedByPolicy {
		return fmt.Sprintf("%d, if spec.policy were Enforce: nothing is done as it is.", e.granted())
	}
	if e.granted() >= e.wanted() {
		return fmt.Sprintf("%d: the budget has room for what is wanted.", e.granted())
	}
	pod := text.Quantity(e.status.MemoryPerPod)
	switch e.status.LimitedBy {
	case v1alpha1.LimitedByBudget:
		return fmt.Sprintf("%d: a further pod takes %s, and %s are neither granted nor reserved%s.",
			e.granted(), pod, text.Quantity(e.mb.Status.Unallocated), e.holders())
	case v1alpha1.LimitedByReserve:
		return fmt.Sprintf("%d: a further pod of %s would take of the reserve of %s, which rollouts need%s.",
			e.granted(), pod, text.Quantity(e.mb.Status.Reserve), e.holders())
	}
	return fmt.Sprintf("%d, limited by %s.", e.granted(), e.status.LimitedBy)
}

// holders are the other tiers with memory above their floors.
func (e explanation) holders() string {
	var parts []string
	for i := range e.mb.Status.Tiers {
		other := &e.mb.Status.Tiers[i]
		if other.Name == e.spec.Name || other.Granted == nil || other.MemoryPerPod == nil {
			continue
		}
		if above := int64(*other.Granted-floorOf(e.mb, other.Name)) * other.MemoryPerPod.Value(); above > 0 {
			parts = append(parts, fmt.Sprintf("%s has %s above its floor", other.Name, text.Bytes(above)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// floorOf is what a tier always gets.
func floorOf(mb *v1alpha1.MemoryBudget, name string) int32 {
	i := slices.IndexFunc(mb.Spec.Tiers, func(t v1alpha1.Tier) bool { return t.Name == name })
	if i < 0 {
		return 0
	}
	floor, _, _ := decision.ReplicasOf(&mb.Spec.Tiers[i])
	return floor
}

// changes are what would bring another outcome.
func (e explanation) changes() []string {
	var all []string
	if e.granted() < e.wanted() || e.status.LimitedBy == v1alpha1.LimitedByPolicy {
		all = append(all, e.changesOfGrant()...)
	}
	if e.scales() {
		all = append(all, e.changesOfDemand()...)
	}
	return all
}

func (e explanation) changesOfGrant() []string {
	missing := int64(e.wanted()-e.granted()) * quantityOf(e.status)
	if e.mb.Status.Unallocated != nil {
		missing -= e.mb.Status.Unallocated.Value()
	}
	switch e.status.LimitedBy {
	case v1alpha1.LimitedByBudget:
		return []string{
			fmt.Sprintf("raise spec.memory by %s for all that it wants", text.Bytes(max(0, missing))),
			"raise its weight, or lower what other tiers want",
		}
	case v1alpha1.LimitedByReserve:
		return []string{"lower spec.reserve", fmt.Sprintf("raise spec.memory by %s for all that it wants", text.Bytes(max(0, missing)))}
	case v1alpha1.LimitedByPause:
		return []string{"kubectl memorybudget resume " + e.mb.Name}
	case v1alpha1.LimitedByPolicy:
		return []string{"set spec.policy to Enforce"}
	}
	return nil
}

func quantityOf(t *v1alpha1.TierStatus) int64 {
	if t.MemoryPerPod == nil {
		return 0
	}
	return t.MemoryPerPod.Value()
}

func (e explanation) changesOfDemand() []string {
	switch e.status.Demand.LimitedBy {
	case v1alpha1.DemandLimitedByMax:
		return []string{"raise replicas.max"}
	case v1alpha1.DemandLimitedByUnknown:
		return []string{"let its metrics be read: see the condition SignalsFresh"}
	case v1alpha1.DemandLimitedByStabilization:
		return []string{"wait for the window, or shorten its stabilizationWindowSeconds in scaling.behavior"}
	case v1alpha1.DemandLimitedByPolicy:
		return []string{"wait for the period, or allow a larger change in scaling.behavior"}
	case v1alpha1.DemandLimitedByNone, v1alpha1.DemandLimitedByMin:
		if target := e.depthTarget(); target > 0 {
			return []string{fmt.Sprintf("more than %d tasks ask for more than %d replicas, the tolerance apart",
				int64(e.wanted())*e.processes()*target, e.wanted())}
		}
	}
	return nil
}
