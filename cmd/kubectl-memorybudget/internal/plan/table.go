// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"io"
	"strings"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/text"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/settings"
	"github.com/memorybudget/memorybudget/internal/workload"
)

var columns = []string{
	"TIER", "ROLE", "ENFORCEMENT", "MIN", "GRANTED", "WANTED", "POD", "PROCESSES", "RECYCLE", "TOTAL", "LIMITED-BY", "WHY",
}

// WriteTable prints the plan for people: the budget, then one line per tier.
func (p *Plan) WriteTable(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "MemoryBudget %s\n", p.Name()); err != nil {
		return fmt.Errorf("printing the plan: %w", err)
	}
	if err := text.Table(w, p.summary()); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return fmt.Errorf("printing the plan: %w", err)
	}
	return text.Table(w, p.tierRows())
}

func (p *Plan) summary() [][]string {
	granted, _ := p.granted()
	return [][]string{
		{"Budget:", text.Bytes(p.mb.Spec.Memory.Value())},
		{"Reserve:", p.reserve()},
		{"Granted:", text.Bytes(granted)},
		{"Left:", p.left()},
	}
}

// granted is the sum over all tiers, in bytes and in pods.
func (p *Plan) granted() (bytes, pods int64) {
	for i := range p.decision.Tiers {
		n := p.made(i)
		pods += n
		bytes += n * p.status.Tiers[i].MemoryPerPod.Value()
	}
	return bytes, pods
}

// made is how many pods of a tier come of the plan: none of one that cannot be made, whatever it is granted.
func (p *Plan) made(tier int) int64 {
	if p.decision.Tiers[tier].Failed {
		return 0
	}
	return int64(*p.status.Tiers[tier].Granted)
}

// reserve names how it was chosen, where the spec does not say it in bytes.
func (p *Plan) reserve() string {
	how := ""
	switch chosen := p.mb.Spec.Reserve.String(); {
	case chosen == "" || chosen == v1alpha1.ReserveAuto:
		how = " (" + v1alpha1.ReserveAuto + ")"
	case strings.HasSuffix(chosen, "%"):
		how = " (" + chosen + ")"
	}
	return text.Quantity(p.status.Reserve) + how + ", kept free for rollouts"
}

// left is what neither a tier nor the reserve has, and why no tier gets it.
func (p *Plan) left() string {
	granted, _ := p.granted()
	unallocated := text.Bytes(max(0, p.mb.Spec.Memory.Value()-p.status.Reserve.Value()-granted))
	var shorts []string
	wanting := false
	for i := range p.status.Tiers {
		tier := &p.status.Tiers[i]
		wanting = wanting || p.made(i) < int64(*tier.Desired)
		if short := p.limitedBy(tier); short == budget.LimitedByBudget || short == budget.LimitedByReserve {
			shorts = append(shorts, fmt.Sprintf("of %s (%s)", tier.Name, text.Quantity(tier.MemoryPerPod)))
		}
	}
	switch {
	case len(shorts) > 0:
		return unallocated + ", too little for a further pod " + strings.Join(shorts, " or ")
	case wanting:
		return unallocated
	}
	return unallocated + ", every tier has what it wants"
}

// limitedBy is what keeps a tier from what it wants, also where the policy is Recommend; nothing while all is paused.
func (p *Plan) limitedBy(tier *v1alpha1.TierStatus) budget.LimitedBy {
	if tier.LimitedBy == v1alpha1.LimitedByPause {
		return budget.LimitedByNothing
	}
	for i := range p.decision.Wish.Tiers {
		if planned := &p.decision.Wish.Tiers[i]; planned.Name == tier.Name {
			return planned.LimitedBy
		}
	}
	return budget.LimitedByNothing
}

func (p *Plan) tierRows() [][]string {
	rows := [][]string{columns}
	for i := range p.decision.Tiers {
		rows = append(rows, p.tierRow(i))
	}
	bytes, pods := p.granted()
	return append(rows, []string{"total", "", "", "", fmt.Sprint(pods), "", "", "", "", text.Bytes(bytes), "", ""})
}

func (p *Plan) tierRow(i int) []string {
	t, s, granted := &p.decision.Tiers[i], &p.status.Tiers[i], p.made(i)
	limitedBy, why, processes, recycle := s.LimitedBy, s.Decision, processesOf(t), recycleWords(t.Rendered.Recycle)
	if t.Failed {
		processes, recycle = text.None, text.None
		for _, problem := range p.decision.Problems {
			if problem.Tier == t.Spec.Name {
				limitedBy, why = problem.Reason, "not made: "+problem.Message
			}
		}
	}
	return []string{
		s.Name, string(t.Spec.Role), enforcement(t), fmt.Sprint(p.floor(s.Name)), fmt.Sprint(granted), text.Number(s.Desired),
		text.Quantity(s.MemoryPerPod), processes, recycle, text.Bytes(granted * s.MemoryPerPod.Value()), limitedBy, why,
	}
}

// floor is replicas.min with its default, as the planner was told.
func (p *Plan) floor(tier string) int32 {
	for i := range p.decision.Input.Tiers {
		if p.decision.Input.Tiers[i].Name == tier {
			return p.decision.Input.Tiers[i].Min
		}
	}
	return 0
}

func enforcement(t *decision.Tier) string {
	if workload.IsGated(t.Spec) {
		return string(v1alpha1.EnforcementGated)
	}
	return string(v1alpha1.EnforcementPaced)
}

// processesOf is how many processes a pod runs, with their threads where there are several.
func processesOf(t *decision.Tier) string {
	switch r := &t.Rendered; {
	case r.Processes == 0:
		return text.None
	case r.Threads > 1:
		return fmt.Sprintf("%d x %d threads", r.Processes, r.Threads)
	default:
		return fmt.Sprint(r.Processes)
	}
}

// recycleWords says when a process is replaced, such as "1000+100 requests, 196Mi RSS".
func recycleWords(r settings.Recycle) string {
	var words []string
	add := func(on bool, format string, args ...any) {
		if on {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(r.MaxRequests > 0 && r.MaxRequestsJitter > 0, "%d+%d requests", r.MaxRequests, r.MaxRequestsJitter)
	add(r.MaxRequests > 0 && r.MaxRequestsJitter == 0, "%d requests", r.MaxRequests)
	add(r.MaxRSSBytes > 0, "%s RSS", mebibytes(r.MaxRSSBytes))
	add(r.MaxTasks > 0, "%d tasks", r.MaxTasks)
	add(r.MaxMemoryKiB > 0, "%s RSS", mebibytes(r.MaxMemoryKiB<<10))
	if len(words) == 0 {
		return "never"
	}
	return strings.Join(words, ", ")
}

// mebibytes rounds to whole Mi: a threshold is compared with a size that moves by more.
func mebibytes(n int64) string { return fmt.Sprintf("%dMi", (n+1<<19)>>20) }
