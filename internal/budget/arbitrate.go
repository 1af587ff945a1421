// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"cmp"
	"math"
	"slices"
)

// reservePercent is the part of the budget that Auto keeps free at least.
const reservePercent = 10

// Arbitrate divides the budget. The plan it returns has no steps: only the
// reserve, the tiers with their grants and reasons, what is left, and the
// problem, if any. It does not depend on what runs, but for the replicas that a
// problem leaves as they are.
func Arbitrate(in Input) Plan {
	tiers := sorted(in.Tiers)
	floors := floorBytes(tiers)
	reserve := reserveBytes(in, tiers, floors)
	plan := Plan{ReserveBytes: reserve, Tiers: make([]TierPlan, len(tiers))}
	for i, t := range tiers {
		plan.Tiers[i] = TierPlan{Name: t.Name, Wanted: wanted(t)}
	}
	switch {
	case in.Pause == PauseDrain:
		drain(&plan, in, tiers)
	case add(floors, reserve) > in.Budget:
		refuse(&plan, in, tiers, floors)
	default:
		grant(&plan, in, tiers, floors)
	}
	return plan
}

// sorted returns pointers to the tiers by name.
func sorted(tiers []Tier) []*Tier {
	s := make([]*Tier, len(tiers))
	for i := range tiers {
		s[i] = &tiers[i]
	}
	slices.SortFunc(s, func(a, b *Tier) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// floor is the number of replicas the tier always gets.
func floor(t *Tier) int32 {
	if t.Removed {
		return 0
	}
	return max(t.Min, 0)
}

// wanted is the number of replicas the tier asks for, within its own limits.
func wanted(t *Tier) int32 {
	if t.Removed {
		return 0
	}
	return max(min(t.Desired, t.Max), t.Min, 0)
}

func floorBytes(tiers []*Tier) (sum int64) {
	for _, t := range tiers {
		sum = add(sum, mul(int64(floor(t)), t.PodBytes))
	}
	return sum
}

// reserveBytes resolves the reserve. Auto is the larger of a tenth of the budget
// and one pod of the largest paced tier, as far as the floors leave room.
func reserveBytes(in Input, tiers []*Tier, floors int64) int64 {
	if !in.Reserve.Auto {
		return positive(in.Reserve.Bytes)
	}
	want := PercentOf(in.Budget, reservePercent)
	for _, t := range tiers {
		if t.Enforcement == Paced && !t.Removed {
			want = max(want, t.PodBytes)
		}
	}
	return positive(min(want, sub(in.Budget, floors)))
}

// PercentOf is the whole percentage of the bytes, rounded up.
func PercentOf(bytes, percent int64) int64 {
	whole := mul(bytes/100, percent)
	rest := mul(bytes%100, percent)
	return add(whole, (rest+99)/100)
}

// SmallestBudget is the least budget with which floors and reserve fit;
// math.MaxInt64 where none does.
func SmallestBudget(in Input) int64 {
	floors := floorBytes(sorted(in.Tiers))
	switch {
	case in.Reserve.Auto:
		return floors
	case in.Reserve.Percent <= 0:
		return add(floors, positive(in.Reserve.Bytes))
	case floors == 0:
		return 0
	case in.Reserve.Percent >= 100:
		return math.MaxInt64
	}
	return smallestWithPercent(floors, 100-in.Reserve.Percent)
}

// smallestWithPercent is the least n of which the given percentage, rounded
// down, is at least floors.
func smallestWithPercent(floors, percent int64) int64 {
	whole := mul(floors/percent, 100)
	rest := mul(floors%percent, 100)
	return add(whole, (rest+percent-1)/percent)
}

func drain(plan *Plan, in Input, tiers []*Tier) {
	plan.Unallocated = sub(in.Budget, plan.ReserveBytes)
	for i := range tiers {
		if plan.Tiers[i].Wanted > 0 {
			plan.Tiers[i].LimitedBy = LimitedByDrain
		}
	}
}

// refuse leaves every tier what it has.
func refuse(plan *Plan, in Input, tiers []*Tier, floors int64) {
	plan.Problem = &Problem{
		Code: BudgetTooSmall, SmallestBudget: SmallestBudget(in),
		FloorBytes: floors, ReserveBytes: plan.ReserveBytes,
	}
	for i, t := range tiers {
		p := &plan.Tiers[i]
		if t.Live != nil {
			p.Granted = max(t.Live.Replicas, 0)
			p.GrantedBytes = mul(int64(p.Granted), t.Live.PodBytes)
		}
		if p.Granted < p.Wanted {
			p.LimitedBy = LimitedByProblem
			p.Reason = Reason{FloorBytes: floors, ReserveBytes: plan.ReserveBytes}
		}
	}
}

// grant gives the floors, then whole pods while they are wanted and fit.
func grant(plan *Plan, in Input, tiers []*Tier, floors int64) {
	left := in.Budget - plan.ReserveBytes - floors
	q := make(queue, 0, len(tiers))
	for i, t := range tiers {
		f := int64(floor(t))
		q = append(q, claim{
			tier: i, bytes: positive(t.PodBytes), weight: max(t.Weight, 1),
			floor: f, have: f, want: int64(plan.Tiers[i].Wanted),
		})
		plan.Tiers[i].Granted = int32(f)
	}
	left = q.fill(left, func(c claim) { plan.Tiers[c.tier].Granted = int32(c.have) })
	for i, t := range tiers {
		plan.Tiers[i].GrantedBytes = mul(int64(plan.Tiers[i].Granted), t.PodBytes)
	}
	plan.Unallocated = left
	explain(plan, tiers, floors)
}

// explain says of each tier why it has no more.
func explain(plan *Plan, tiers []*Tier, floors int64) {
	for i, t := range tiers {
		p := &plan.Tiers[i]
		switch {
		case p.Granted >= p.Wanted && !t.Removed && t.Desired > p.Wanted:
			p.LimitedBy = LimitedByMax
		case p.Granted >= p.Wanted:
		default:
			p.LimitedBy = LimitedByBudget
			if t.PodBytes <= add(plan.Unallocated, plan.ReserveBytes) {
				p.LimitedBy = LimitedByReserve
			}
			p.Reason = Reason{
				MissingBytes: sub(t.PodBytes, plan.Unallocated),
				Holders:      holders(plan, tiers, i),
				FloorBytes:   floors,
				ReserveBytes: plan.ReserveBytes,
			}
		}
	}
}

// holders are the other tiers with more than their floor, most bytes first.
func holders(plan *Plan, tiers []*Tier, self int) []Holder {
	var hs []Holder
	for i, t := range tiers {
		above := mul(int64(plan.Tiers[i].Granted-floor(t)), t.PodBytes)
		if i != self && above > 0 {
			hs = append(hs, Holder{Tier: t.Name, AboveFloor: above})
		}
	}
	slices.SortStableFunc(hs, func(a, b Holder) int { return cmp.Compare(b.AboveFloor, a.AboveFloor) })
	return hs
}
