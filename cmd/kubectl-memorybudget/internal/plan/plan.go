// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/status"
)

// Plan is what the operator would do with a MemoryBudget that it sees for the first time.
type Plan struct {
	mb       *v1alpha1.MemoryBudget
	decision decision.Decision
	// status is what the operator would report before any pod runs.
	status v1alpha1.MemoryBudgetStatus
}

// Make plans a valid MemoryBudget.
func Make(mb *v1alpha1.MemoryBudget) Plan {
	snapshot := &observe.Snapshot{MemoryBudget: mb}
	made := decision.Decide(snapshot)
	return Plan{mb: mb, decision: made, status: status.Compute(v1alpha1.MemoryBudgetStatus{}, status.Input{
		Snapshot: snapshot, Decision: &made, Now: metav1.Time{},
	})}
}

// Name is namespace/name.
func (p *Plan) Name() string { return p.mb.Namespace + "/" + p.mb.Name }

// Problems say what keeps the operator from carrying out the spec, and what would be right.
func (p *Plan) Problems() []string {
	var problems []string
	if problem := p.decision.Plan.Problem; problem != nil {
		problems = append(problems, status.ExplainProblem(problem))
	}
	for _, problem := range p.decision.Problems {
		problems = append(problems, problem.Message)
	}
	return problems
}

// Invalid reports whether the resource is not valid as a whole, so that there is no plan to show.
func (p *Plan) Invalid() bool { return p.decision.Invalid }

// Warnings say what of the spec has no effect, and why.
func (p *Plan) Warnings() []string {
	var warnings []string
	for i := range p.decision.Tiers {
		t := &p.decision.Tiers[i]
		warnings = append(warnings, t.Rendered.NotApplied...)
		if t.Demand != nil {
			warnings = append(warnings, fmt.Sprintf("tier %s scales by its metrics, which are not read here: "+
				"it is planned with replicas.min; --demand %s=N plans it with N", t.Spec.Name, t.Spec.Name))
		}
	}
	switch {
	case p.mb.Spec.Policy == v1alpha1.PolicyRecommend:
		warnings = append(warnings, "spec.policy is Recommend: this is what would be done, and nothing is applied")
	case p.mb.Spec.Pause == v1alpha1.PauseHold:
		warnings = append(warnings, "spec.pause is Hold: nothing is applied until it is None")
	}
	return warnings
}
