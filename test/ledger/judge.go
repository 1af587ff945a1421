// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"slices"
)

// Span is from before something was done to the tiers behind the operator's back to after it, in resource versions.
type Span struct{ From, To uint64 }

// Judge knows who did what.
type Judge struct {
	// Ours says which write of the operator made a change, if one did.
	Ours func(Change) (write string, ours bool)
	// Foreign are the spans in which somebody else did something to the tiers.
	Foreign []Span
}

// Verdict is what a history shows.
type Verdict struct {
	// Violations are the broken promises, one sentence each.
	Violations []string
	// Changes is how many resource versions were looked at.
	Changes int
	// Highest is the largest exposure at any of them, and HighestGated the largest charge of the gated tiers' pods, in bytes.
	Highest, HighestGated int64
	// Crossed is how many writes of the operator met acts of others that were done after they were decided.
	Crossed int
	// Beyond is the largest amount, in bytes, by which something that others did took the exposure above the budget.
	Beyond int64
}

// Within checks the budget at every version of a history.
//
// A write of the operator must leave the exposure within the budget or not raise it. Anything else may take it beyond
// only after a foreign act or a lowered budget, and until the cluster is settled within the budget again. While such an act
// is being done, a write of the operator may have been decided before it: it is judged without what the act has added so
// far. Nothing at all may raise the charge of the gated tiers to more than the budget.
func (j *Judge) Within(history []Change) Verdict {
	var v Verdict
	s, excused, added := newState(), false, int64(0)
	for _, c := range history {
		before, gatedBefore, former := s.exposure(), s.gatedCharge(), s.budget
		s.apply(c)
		v.Changes++
		if s.budget == nil {
			continue
		}
		after, gated, budget := s.exposure(), s.gatedCharge(), s.budget.Spec.Memory.Value()
		lowered := former != nil && budget < former.Spec.Memory.Value()
		touched := slices.ContainsFunc(j.Foreign, func(e Span) bool { return e.From < c.Version && c.Version <= e.To })
		excused = lowered || touched || excused && (after > budget || !s.settled())
		write, isOurs := j.Ours(c)
		if !touched {
			added = 0
		} else if !isOurs {
			added += max(0, after-before)
		}
		v.Highest, v.HighestGated = max(v.Highest, after), max(v.HighestGated, gated)
		v.weigh(c, s, step{before, after, budget, added, write, isOurs, excused})
		v.weighGated(c, s, gatedBefore, gated, budget)
	}
	return v
}

// weighGated judges what the gated tiers hold: nobody may raise it beyond the budget.
func (v *Verdict) weighGated(c Change, s *state, before, after, budget int64) {
	if after > budget && after > before {
		v.add(fmt.Sprintf("version %d: %s of %s raised the charge of the gated tiers from %s to %s, beyond the budget of %s",
			c.Version, c.Kind, c.Key(), mebibytes(before), mebibytes(after), mebibytes(budget)), s)
	}
}

// step is a change as the exposure has it.
type step struct {
	before, after, budget int64
	// added is what acts of others that are being done have added.
	added         int64
	write         string
	ours, excused bool
}

// weigh judges a change after which the exposure is above the budget.
func (v *Verdict) weigh(c Change, s *state, e step) {
	if e.after <= e.budget {
		return
	}
	v.Beyond = max(v.Beyond, e.after-e.budget)
	switch {
	case e.ours && e.after <= e.before, !e.ours && e.excused:
	case e.ours && e.after-e.added <= e.budget:
		v.Crossed++
	case e.ours:
		v.add(fmt.Sprintf("version %d: %s raised the exposure from %s to %s, beyond the budget of %s",
			c.Version, e.write, mebibytes(e.before), mebibytes(e.after), mebibytes(e.budget)), s)
	default:
		v.add(fmt.Sprintf("version %d: %s of %s took the exposure from %s to %s, beyond the budget of %s",
			c.Version, c.Kind, c.Key(), mebibytes(e.before), mebibytes(e.after), mebibytes(e.budget)), s)
	}
}

// add keeps what is wrong, and of what the exposure consists.
func (v *Verdict) add(violation string, s *state) {
	v.Violations = append(v.Violations, violation+"; "+s.String())
}

func mebibytes(n int64) string { return fmt.Sprintf("%dMi", n>>20) }
