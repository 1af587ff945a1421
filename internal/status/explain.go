// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/internal/budget"
)

// Explain says in a sentence what a tier wanted, what it is granted and why not more. The size of
// its pods is given in bytes.
func Explain(t budget.TierPlan, podBytes int64) string {
	if t.Granted >= t.Wanted {
		return fmt.Sprintf("wanted %d, granted %d", t.Wanted, t.Granted)
	}
	text := fmt.Sprintf("wanted %d, granted %d: ", t.Wanted, t.Granted)
	switch t.LimitedBy {
	case budget.LimitedByDrain:
		return text + "spec.pause is Drain"
	case budget.LimitedByProblem:
		return text + "the floors and the reserve do not fit the budget, so nothing is changed"
	case budget.LimitedByReserve:
		text += fmt.Sprintf("a further pod of %s would take %s of the reserve of %s",
			about(podBytes), about(t.Reason.MissingBytes), about(t.Reason.ReserveBytes))
	case budget.LimitedByBudget:
		text += fmt.Sprintf("a further pod of %s needs %s more than is left", about(podBytes), about(t.Reason.MissingBytes))
	default:
		return strings.TrimSuffix(text, ": ")
	}
	return text + holders(t.Reason.Holders)
}

// holders names who has memory above its floor.
func holders(all []budget.Holder) string {
	var parts []string
	for _, h := range all {
		if h.AboveFloor > 0 {
			parts = append(parts, fmt.Sprintf("%s has %s above its floor", h.Tier, about(h.AboveFloor)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// ExplainProblem says why the spec cannot be planned and what would be right.
func ExplainProblem(p *budget.Problem) string {
	return fmt.Sprintf("spec.memory: the floors of the tiers need %s and the reserve %s: raise spec.memory to at least %s, "+
		"or lower spec.reserve, replicas.min or memory.perPod; nothing is changed until then",
		about(p.FloorBytes), about(p.ReserveBytes), about(p.SmallestBudget))
}

// ExplainWait says what a write waits for.
func ExplainWait(w budget.Wait) string {
	switch w.For {
	case budget.WaitMemory:
		if w.Pods == 0 {
			return fmt.Sprintf("tier %s waits for %s that other tiers hold or roll out with", w.Tier, about(w.Bytes))
		}
		return fmt.Sprintf("tier %s waits for %s that %d pods still hold", w.Tier, about(w.Bytes), w.Pods)
	case budget.WaitRollout:
		return fmt.Sprintf("tier %s waits for the rollout of tier %s", w.Tier, w.Rollout)
	case budget.WaitRolloutRoom:
		return fmt.Sprintf("tier %s waits for %s to roll out", w.Tier, about(w.Bytes))
	case budget.WaitRolloutImpossible:
		return fmt.Sprintf("tier %s cannot roll out: its new pods need %s more than the budget has", w.Tier, about(w.Bytes))
	case budget.WaitPods:
		return fmt.Sprintf("tier %s is removed once its %d pods are gone", w.Tier, w.Pods)
	case budget.WaitObserved:
		return fmt.Sprintf("tier %s waits for the Deployment controller", w.Tier)
	case budget.WaitPaused:
		return fmt.Sprintf("tier %s is held by spec.pause", w.Tier)
	}
	return fmt.Sprintf("tier %s waits", w.Tier)
}

// about is a number of bytes as people read it: rounded up to whole Mi, unless it is less.
func about(n int64) *resource.Quantity {
	const mebi = 1 << 20
	if n > mebi {
		n = (n + mebi - 1) / mebi * mebi
	}
	return bytes(n)
}
