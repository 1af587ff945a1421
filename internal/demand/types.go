// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package demand

import "time"

// Input is everything that the demand of one tier depends on.
type Input struct {
	// Now is when the rest was read.
	Now time.Time
	// Replicas is how many the tier was last given, Ready how many of its pods are.
	Replicas, Ready int32
	// Min and Max bound the demand.
	Min, Max int32
	// Metrics are those of the tier.
	Metrics []Metric
	// Up and Down are the rules for either direction.
	Up, Down Rules
	// History is what was recorded by the last decision, empty where there was none.
	History History
}

// Kind is how a metric is compared with its target.
type Kind string

const (
	// PerReplica is a total of which each replica takes as much as the target.
	PerReplica Kind = "PerReplica"
	// Ratio is a value that falls as replicas rise: at twice the target, twice as many are needed.
	Ratio Kind = "Ratio"
	// Usage is what each pod uses of a resource. At twice the target on average, twice as many are needed.
	Usage Kind = "Usage"
)

// Metric is one measure of the demand.
type Metric struct {
	Kind Kind
	// Known is false while it cannot be read. The rest is what was read last then.
	Known bool
	// Value is what was read, in the unit of Target, which is at least 1.
	Value, Target int64
	// Pods take the place of Value for Usage.
	Pods []Pod
}

// Pod is what a pod of the tier uses.
type Pod struct {
	// Value is what it uses, Target what it is meant to use, which is at least 1.
	Value, Target int64
	// Missing: nothing tells what it uses. While the others ask for fewer replicas it is taken to use Assumed, and nothing while
	// they ask for more.
	Missing bool
	Assumed int64
	// Starting: what it uses says nothing of the demand yet. While the others ask for more replicas it is taken to use nothing.
	Starting bool
}

// Select says which of several policies counts.
type Select string

const (
	// SelectMax is the policy that allows the largest change.
	SelectMax Select = "Max"
	// SelectMin is the policy that allows the smallest change.
	SelectMin Select = "Min"
	// SelectDisabled allows no change.
	SelectDisabled Select = "Disabled"
)

// Rules bound how the demand changes in one direction.
type Rules struct {
	// Window is for how long what was asked for counts.
	Window time.Duration
	// Select says which of the policies counts.
	Select Select
	// Policies bound the change in a period. There is at least one unless Select is SelectDisabled.
	Policies []Policy
	// Tolerance is how far a value may be from its target without a change, in thousandths of the target.
	Tolerance int64
}

// Policy allows a change by Value pods, or by Value percent of what there was at the start of the period.
type Policy struct {
	Percent bool
	Value   int32
	Period  time.Duration
}

// History is what has to be remembered of a tier from one decision to the next.
type History struct {
	// Asked is what the metrics asked for, oldest first, as far back as a window reaches.
	Asked []Asked
	// Changes are those of the tier's replicas, oldest first, as far back as a period reaches.
	Changes []Change
	// Replicas is how many there were at the last decision, Desired what it came to.
	Replicas, Desired int32
	// JumpUntil is when a jump of the demand is over, zero where there was none.
	JumpUntil time.Time
}

// Asked is what the metrics asked for from then on.
type Asked struct {
	Since    time.Time
	Replicas int32
}

// Change is one of a tier's replicas.
type Change struct {
	At time.Time
	By int32
}

// Limit is why the demand is not what the metrics ask for.
type Limit string

const (
	// LimitNone means that the demand is what the metrics ask for.
	LimitNone Limit = ""
	// LimitMin is replicas.min.
	LimitMin Limit = "MinReplicas"
	// LimitMax is replicas.max.
	LimitMax Limit = "MaxReplicas"
	// LimitUnknown means that a metric cannot be read, so the tier is not made smaller.
	LimitUnknown Limit = "MetricUnknown"
	// LimitStabilization means that more was asked for within the window for scaling down, or less within that for scaling up.
	LimitStabilization Limit = "Stabilization"
	// LimitJump means that the demand has just jumped, so the tier is not made smaller.
	LimitJump Limit = "Jump"
	// LimitPolicy means that the policies allow no larger change now.
	LimitPolicy Limit = "Policy"
	// LimitThroughOne means that on its way to zero, the tier has one replica first.
	LimitThroughOne Limit = "ThroughOne"
)

// Decision is what a tier needs.
type Decision struct {
	// Asked is what the metrics ask for; while none is known, what the tier has.
	Asked int32
	// By is the metric that asks for it, an index of Input.Metrics, -1 where none is known.
	By int
	// Desired is the demand.
	Desired int32
	// Limit is why Desired is not Asked.
	Limit Limit
	// Next is when the decision changes if nothing else does, zero where it does not.
	Next time.Time
	// History is for the next decision.
	History History
}

// Known says whether all metrics are.
func (in *Input) Known() bool {
	for i := range in.Metrics {
		if !in.Knows(i) {
			return false
		}
	}
	return len(in.Metrics) > 0
}

// Knows says whether a metric is known: use, if there is a pod that tells of it, or no pod that could.
func (in *Input) Knows(i int) bool {
	m := &in.Metrics[i]
	return m.Known && (m.Kind != Usage || in.Replicas == 0 || m.measured() != (measured{}))
}
