// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/report"
	"github.com/memorybudget/memorybudget/internal/settings"
	"github.com/memorybudget/memorybudget/internal/validation"
	"github.com/memorybudget/memorybudget/internal/workload"
)

// Children are the objects that a resource needs by name.
func Children(mb *v1alpha1.MemoryBudget) []observe.Child {
	var children []observe.Child
	if configMap := workload.ConfigMap(mb); configMap != nil {
		children = append(children, observe.Child{Kind: kindConfigMap, Name: *configMap.Name})
	}
	for i := range mb.Spec.Tiers {
		tier := &mb.Spec.Tiers[i]
		name := workload.ChildName(mb, tier.Name)
		for _, kind := range workload.Children(mb, tier) {
			if kind != kindConfigMap {
				children = append(children, observe.Child{Kind: kind, Name: name})
			}
		}
	}
	return children
}

// Decide makes the decision for one snapshot.
func Decide(s *observe.Snapshot) Decision {
	b := builder{s: s, mb: s.MemoryBudget}
	if configMap := workload.ConfigMap(b.mb); configMap != nil {
		b.SettingsName = *configMap.Name
	}
	b.validate()
	for i := range b.mb.Spec.Tiers {
		b.Tiers = append(b.Tiers, b.tier(&b.mb.Spec.Tiers[i]))
	}
	b.plan()
	b.write()
	return b.Decision
}

// builder gathers the decision.
type builder struct {
	Decision
	s  *observe.Snapshot
	mb *v1alpha1.MemoryBudget
}

func (b *builder) problem(reason, tier, format string, args ...any) {
	b.Problems = append(b.Problems, Problem{Reason: reason, Tier: tier, Message: fmt.Sprintf(format, args...)})
}

// validate finds what the API server could not see.
func (b *builder) validate() {
	for _, err := range validation.Validate(b.mb) {
		b.Invalid = true
		b.problem(v1alpha1.ReasonInvalidSpec, "", "%v", err)
	}
	for _, f := range b.s.Foreign {
		owner := "nobody"
		if f.Owner != "" {
			owner = f.Owner
		}
		b.problem(v1alpha1.ReasonNameConflict, "",
			"%s %s exists and is controlled by %s, not by this MemoryBudget: rename it, the tier or the MemoryBudget",
			f.Kind, f.Name, owner)
	}
}

// tier chooses the template that a tier should have: the recorded one while the part of the spec
// that it was rendered from is the same, else one rendered anew.
func (b *builder) tier(spec *v1alpha1.Tier) Tier {
	t := Tier{
		Spec:      spec,
		Live:      b.s.Deployment(workload.ChildName(b.mb, spec.Name)),
		InputHash: workload.InputHash(b.mb, spec.Name),
	}
	t.recorded, t.found = b.recorded(&t)
	if t.found && t.Live.Annotations[v1alpha1.InputHashAnnotation] == t.InputHash {
		t.Rendered = t.recorded
		b.outgrown(&t)
	} else {
		b.render(&t)
	}
	t.edited = t.found && templateDiffers(t.Live, t.recorded.Template)
	t.Report, t.Reported = b.reportOf(spec.Name, t.Rendered.Hash)
	return t
}

// recorded restores the template that the live Deployment was last given, if it still can be used.
func (b *builder) recorded(t *Tier) (workload.Rendered, bool) {
	if t.Live == nil {
		return workload.Rendered{}, false
	}
	r, err := workload.Restore(b.mb, t.Spec.Name, t.Live.Annotations[v1alpha1.TemplateAnnotation])
	if err != nil {
		return workload.Rendered{}, false
	}
	usable := r.ConfigMapName == "" || r.ConfigMapName == b.SettingsName ||
		slices.ContainsFunc(b.s.ConfigMaps, func(c corev1.ConfigMap) bool { return c.Name == r.ConfigMapName })
	return r, usable
}

// render makes a new template with what is known of the application by now. A tier that cannot be
// rendered keeps the template it has.
func (b *builder) render(t *Tier) {
	rendered, err := workload.Render(b.mb, t.Spec, b.factsOf(t.Spec.Name))
	if err == nil {
		t.Rendered = rendered
		return
	}
	b.problem(reasonOf(err), t.Spec.Name, "%v", err)
	t.Failed = true
	if t.found {
		t.Rendered, t.InputHash = t.recorded, t.Live.Annotations[v1alpha1.InputHashAnnotation]
	}
}

// outgrown tells that the application was measured to take more than the template in use was made for. The template is
// not changed for that: only the resource restarts an application.
func (b *builder) outgrown(t *Tier) {
	facts := b.factsOf(t.Spec.Name)
	if facts.BaselineBytes == 0 {
		return
	}
	told, err := settings.ForTier(b.mb, t.Spec, facts)
	switch {
	case err != nil:
		b.problem(reasonOf(err), t.Spec.Name, "%v; the pods that run are left as they are", err)
	case told.Processes < t.Rendered.Processes:
		t.Outgrown = fmt.Sprintf("%d processes run in each pod and %d fit, as was measured since: the next rollout brings that",
			t.Rendered.Processes, told.Processes)
	}
}

func reasonOf(err error) string {
	if tooSmall := (*settings.TierTooSmallError)(nil); errors.As(err, &tooSmall) {
		return v1alpha1.ReasonTierTooSmall
	}
	return v1alpha1.ReasonInvalidSpec
}

// factsOf is what the newest reporting pod of a tier found out, whatever its template. Of an application that was not
// imported nothing is known.
func (b *builder) factsOf(tier string) settings.Facts {
	r, found := b.reportOf(tier, "")
	if !found || !r.Imported() {
		return settings.Facts{}
	}
	return settings.Facts{BaselineBytes: r.BaselineBytes, Celery: r.Celery}
}

// reportOf is the report of the newest pod of a tier that has one, with that template unless empty.
func (b *builder) reportOf(tier, templateHash string) (newest report.Report, found bool) {
	var from *corev1.Pod
	for i := range b.s.Pods {
		pod := &b.s.Pods[i]
		if pod.Labels[v1alpha1.TierLabel] != tier || (from != nil && !newer(pod, from)) {
			continue
		}
		if templateHash != "" && pod.Annotations[v1alpha1.TemplateHashAnnotation] != templateHash {
			continue
		}
		if r, ok := report.OfPod(pod); ok {
			newest, from, found = r, pod, true
		}
	}
	return newest, found
}

func newer(a, b *corev1.Pod) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name > b.Name
	}
	return a.CreationTimestamp.After(b.CreationTimestamp.Time)
}

func replicasIn(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

// plan fills the planner's input from the spec and the snapshot, and plans.
func (b *builder) plan() {
	b.Input = budget.Input{
		Now:     max(0, b.s.Now.Unix()),
		Budget:  b.mb.Spec.Memory.Value(),
		Reserve: reserveOf(&b.mb.Spec),
		Pause:   budget.PauseNone,
		Tiers:   b.inputTiers(),
	}
	b.Wish = budget.Decide(b.Input)
	switch {
	case b.held():
		b.Input.Pause = budget.PauseHold
	case b.mb.Spec.Pause == v1alpha1.PauseDrain:
		b.Input.Pause = budget.PauseDrain
	default:
		b.Plan = b.Wish
		return
	}
	b.Plan = budget.Decide(b.Input)
}

// held: nothing is carried out.
func (b *builder) held() bool {
	return b.Invalid || b.mb.Spec.Policy == v1alpha1.PolicyRecommend || b.mb.Spec.Pause == v1alpha1.PauseHold
}

func (b *builder) inputTiers() []budget.Tier {
	pods := podsByTier(b.s.Pods)
	var tiers []budget.Tier
	for i := range b.Tiers {
		t := &b.Tiers[i]
		in := b.inputTier(t)
		in.Pods = pods[t.Spec.Name]
		if t.Spec.Scaling != nil {
			t.Demand = b.demand(t, in.Pods)
			in.Desired = t.Demand.Desired
		}
		delete(pods, t.Spec.Name)
		tiers = append(tiers, in)
	}
	return append(tiers, b.removedTiers(pods)...)
}

func (b *builder) inputTier(t *Tier) budget.Tier {
	in := budget.Tier{
		Name:               t.Spec.Name,
		Weight:             weightOf(t.Spec),
		PodBytes:           t.Rendered.PodBytes,
		Enforcement:        budget.Paced,
		Recreate:           t.Spec.Beat != nil,
		TemplateHash:       t.Rendered.Hash,
		GracePeriodSeconds: t.Rendered.GracePeriodSeconds,
	}
	in.Min, in.Desired, in.Max = ReplicasOf(t.Spec)
	if in.PodBytes == 0 {
		in.PodBytes = t.Spec.Memory.PerPod.Value()
	}
	if t.Rendered.Gated {
		in.Enforcement = budget.Gated
	}
	if t.Live != nil {
		in.Live = deploymentOf(t.Live, b.liveHash(t), b.s)
	}
	return in
}

// liveHash names the template in the live Deployment. One that somebody edited has no name of ours.
func (b *builder) liveHash(t *Tier) string {
	hash := t.Live.Spec.Template.Annotations[v1alpha1.TemplateHashAnnotation]
	if t.edited {
		return "edited:" + hash
	}
	return hash
}

// tierNamed is the tier whose objects have that name, empty where a tier's never have.
func tierNamed(mb *v1alpha1.MemoryBudget, name string) string {
	tier, ours := strings.CutPrefix(name, workload.ChildName(mb, ""))
	if !ours {
		return ""
	}
	return tier
}

// removedTiers are those that have a Deployment or pods and are no longer in the spec.
func (b *builder) removedTiers(pods map[string][]budget.Pod) []budget.Tier {
	var tiers []budget.Tier
	for i := range b.s.Deployments {
		d := &b.s.Deployments[i]
		name := tierNamed(b.mb, d.Name)
		if name == "" || slices.ContainsFunc(b.Tiers, func(t Tier) bool { return t.Live == d }) {
			continue
		}
		hash := d.Spec.Template.Annotations[v1alpha1.TemplateHashAnnotation]
		live := deploymentOf(d, hash, b.s)
		tiers = append(tiers, budget.Tier{
			Name: name, Removed: true, Live: live, Pods: pods[name], TemplateHash: hash, PodBytes: live.PodBytes,
			Enforcement: budget.Paced,
		})
		delete(pods, name)
	}
	for name, rest := range pods {
		tiers = append(tiers, budget.Tier{Name: name, Removed: true, Pods: rest, Enforcement: budget.Paced})
	}
	slices.SortFunc(tiers, func(a, c budget.Tier) int { return strings.Compare(a.Name, c.Name) })
	return tiers
}
