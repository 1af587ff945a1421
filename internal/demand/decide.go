// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package demand

import (
	"math"
	"slices"
	"time"
)

const (
	// jumpFactor is how much more than there is has to be asked for to be a jump, jumpTime how long one lasts: the panic
	// threshold and the stable window of Knative's autoscaler.
	jumpFactor, jumpTime = 2, time.Minute
	// lastWhile is for how long a tier has one replica at least before it has none.
	lastWhile = 15 * time.Second
	// whole is one, in the thousandths of a tolerance.
	whole = 1000
	// most bounds values, so that no product overflows.
	most = int64(1) << 40
)

// Decide says what a tier needs.
func Decide(in Input) Decision {
	d := decider{in: &in, Decision: Decision{History: in.History.seen(&in)}}
	d.ask()
	d.record()
	d.Desired = d.Asked
	d.unless(LimitUnknown, d.known())
	d.unless(LimitStabilization, d.stabilized())
	d.unless(LimitJump, d.steady())
	d.unless(LimitThroughOne, d.throughOne())
	d.unless(LimitUnknown, d.kept())
	d.unless(LimitPolicy, d.paced())
	d.unless(LimitMax, min(d.Desired, in.Max))
	d.unless(LimitMin, max(d.Desired, in.Min, 0))
	d.Next = d.next()
	d.History.Desired = d.Desired
	return d.Decision
}

// decider makes a decision.
type decider struct {
	Decision
	in *Input
}

// unless takes another number. What limits last is what counts.
func (d *decider) unless(limit Limit, replicas int32) {
	if replicas != d.Desired {
		d.Desired, d.Limit = replicas, limit
	}
	if d.Desired == d.Asked {
		d.Limit = LimitNone
	}
}

// ask finds what the metrics that are known ask for.
func (d *decider) ask() {
	d.By = -1
	for i, m := range d.in.Metrics {
		if n := m.asks(d.in); d.in.Knows(i) && (d.By < 0 || n > d.Asked) {
			d.Asked, d.By = n, i
		}
	}
	if d.By < 0 {
		d.Asked = d.in.standing()
	}
}

// standing is what a tier goes on asking for while nothing says otherwise: what it last did, or what it has.
func (in *Input) standing() int32 {
	if len(in.History.Asked) == 0 {
		return in.Replicas
	}
	return max(in.Replicas, in.History.Desired)
}

// asks is how many replicas a metric asks for.
func (m Metric) asks(in *Input) int32 {
	value, target := min(max(m.Value, 0), most), min(max(m.Target, 1), most)
	switch m.Kind {
	case Ratio:
		return m.asksByRatio(in, value, target)
	case Usage:
		return m.asksByUsage(in)
	case PerReplica:
	}
	for _, n := range []int32{in.standing(), in.Replicas} {
		if within(in, value, saturated(target, int64(n))) {
			return n
		}
	}
	return replicas(ceil(value, target))
}

func (m Metric) asksByRatio(in *Input, value, target int64) int32 {
	switch {
	case in.Replicas == 0:
		return replicas(ceil(value, target))
	case within(in, value, target):
		return in.Replicas
	}
	// A pod that is not ready does not bring the value down yet, and is no reason for more of them.
	asked := replicas(ceil(saturated(value, int64(max(in.Ready, 1))), target))
	if value > target {
		return max(asked, in.Replicas)
	}
	return min(asked, in.Replicas)
}

// within: a value is so near to its target that nothing is to be changed.
func within(in *Input, value, target int64) bool {
	if target == 0 {
		return value == 0
	}
	target = min(target, most)
	return value*whole >= target*(whole-in.Down.Tolerance) && value*whole <= target*(whole+in.Up.Tolerance)
}

// record files what is asked for, if it is something else than before.
func (d *decider) record() {
	h := &d.History
	if len(h.Asked) == 0 {
		// Nobody knows what was asked for before: at least it was no reason to change what there is.
		h.Asked = append(h.Asked, Asked{Since: d.in.Now, Replicas: d.in.Replicas})
	}
	if last := h.Asked[len(h.Asked)-1]; d.By >= 0 && last.Replicas != d.known() {
		h.Asked = append(h.Asked, Asked{Since: d.in.Now, Replicas: d.known()})
	}
	if int64(d.known()) >= jumpFactor*int64(d.in.Replicas) && d.in.Replicas > 0 {
		h.JumpUntil = d.in.Now.Add(jumpTime)
	}
	h.forget(d.in)
}

// known is what is asked for, as far as what is not known leaves it.
func (d *decider) known() int32 {
	if !d.in.Known() {
		return max(d.Asked, d.in.standing())
	}
	return d.Asked
}

// kept is no less than before while not all is known.
func (d *decider) kept() int32 {
	if !d.in.Known() {
		return max(d.Desired, d.in.standing())
	}
	return d.Desired
}

// stabilized is the least change that the windows leave.
func (d *decider) stabilized() int32 {
	up, down := d.Desired, d.Desired
	for i := range d.History.Asked {
		if d.counts(i, d.in.Up.Window) {
			up = min(up, d.History.Asked[i].Replicas)
		}
		if d.counts(i, d.in.Down.Window) {
			down = max(down, d.History.Asked[i].Replicas)
		}
	}
	return min(max(d.in.Replicas, up), down)
}

// counts: what was asked for did so within the window.
func (d *decider) counts(i int, window time.Duration) bool {
	return i == len(d.History.Asked)-1 || d.History.Asked[i+1].Since.Add(window).After(d.in.Now)
}

// steady does not go down while the demand jumps.
func (d *decider) steady() int32 {
	if d.History.JumpUntil.After(d.in.Now) {
		return max(d.Desired, d.in.Replicas)
	}
	return d.Desired
}

// throughOne goes to zero only from one replica that has been the only one for a while.
func (d *decider) throughOne() int32 {
	recent := func(c Change) bool { return c.At.Add(lastWhile).After(d.in.Now) }
	if d.Desired == 0 && (d.in.Replicas > 1 || d.in.Replicas == 1 && slices.ContainsFunc(d.History.Changes, recent)) {
		return 1
	}
	return d.Desired
}

// paced is what the policies allow of a change.
func (d *decider) paced() int32 {
	switch {
	case d.Desired > d.in.Replicas:
		return min(d.Desired, max(d.in.Replicas, d.highest()))
	case d.Desired < d.in.Replicas:
		return max(d.Desired, min(d.in.Replicas, d.lowest()))
	}
	return d.Desired
}

// highest is how far the policies let the tier grow.
func (d *decider) highest() int32 {
	if d.in.Up.Select == SelectDisabled {
		return d.in.Replicas
	}
	all := d.allowed(d.in.Up, func(start int64, p Policy) int64 {
		if p.Percent {
			return ceil(start*(100+int64(p.Value)), 100)
		}
		return start + int64(p.Value)
	})
	return max(pick(all, d.in.Up.Select == SelectMax), min(1, d.Desired))
}

// lowest is how far the policies let the tier shrink.
func (d *decider) lowest() int32 {
	if d.in.Down.Select == SelectDisabled {
		return d.in.Replicas
	}
	all := d.allowed(d.in.Down, func(start int64, p Policy) int64 {
		if p.Percent {
			return start * max(0, 100-int64(p.Value)) / 100
		}
		return start - int64(p.Value)
	})
	return pick(all, d.in.Down.Select == SelectMin)
}

// allowed is what each policy allows, given how many replicas there were when its period began.
func (d *decider) allowed(rules Rules, by func(start int64, p Policy) int64) []int32 {
	var all []int32
	for _, p := range rules.Policies {
		start := int64(d.in.Replicas)
		for _, c := range d.History.Changes {
			if c.At.Add(p.Period).After(d.in.Now) {
				start -= int64(c.By)
			}
		}
		all = append(all, replicas(by(max(start, 0), p)))
	}
	return all
}

func pick(all []int32, largest bool) int32 {
	if largest {
		return slices.Max(all)
	}
	return slices.Min(all)
}

// next is when time alone could change what is desired: when what limits it is over.
func (d *decider) next() time.Time {
	var times []time.Time
	switch d.Limit {
	case LimitNone, LimitUnknown:
	case LimitStabilization:
		times = d.windowsEnd()
	case LimitJump:
		times = []time.Time{d.History.JumpUntil}
	case LimitThroughOne, LimitPolicy:
		times = d.periodsEnd()
	case LimitMin, LimitMax:
		times = slices.Concat(d.windowsEnd(), d.periodsEnd())
	}
	times = slices.DeleteFunc(times, func(t time.Time) bool { return !t.After(d.in.Now) })
	if len(times) == 0 || d.Desired == min(max(d.Asked, d.in.Min), d.in.Max) {
		return time.Time{}
	}
	return slices.MinFunc(times, time.Time.Compare)
}

// windowsEnd are when what was asked for no longer counts.
func (d *decider) windowsEnd() []time.Time {
	var times []time.Time
	for i, then := range d.History.Asked[1:] {
		switch was := d.History.Asked[i].Replicas; {
		case was > d.Asked:
			times = append(times, then.Since.Add(d.in.Down.Window))
		case was < d.Asked:
			times = append(times, then.Since.Add(d.in.Up.Window))
		}
	}
	return times
}

// periodsEnd are when changes no longer count.
func (d *decider) periodsEnd() []time.Time {
	var times []time.Time
	for _, c := range d.History.Changes {
		times = append(times, c.At.Add(lastWhile))
		for _, p := range slices.Concat(d.in.Up.Policies, d.in.Down.Policies) {
			times = append(times, c.At.Add(p.Period))
		}
	}
	return times
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// saturated multiplies what is not negative.
func saturated(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64/whole/b {
		return math.MaxInt64 / whole
	}
	return a * b
}

// replicas bounds a number to what a Deployment can have.
func replicas(n int64) int32 { return int32(min(max(n, 0), math.MaxInt32)) }
