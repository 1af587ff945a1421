// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/workload"
)

// Kinds of the objects that a resource has.
const (
	kindDeployment          = "Deployment"
	kindService             = "Service"
	kindPodDisruptionBudget = "PodDisruptionBudget"
	kindConfigMap           = "ConfigMap"
	kindPod                 = "Pod"
)

// write turns the plan into writes: what the pods need first, then the steps of the plan in its
// order, then what is no longer needed.
func (b *builder) write() {
	if b.frozen() {
		for i := range b.Plan.Steps {
			if b.Plan.Steps[i].Kind == budget.ReleaseGate {
				b.release(&b.Plan.Steps[i])
			}
		}
		return
	}
	for i := range b.Tiers {
		if t := &b.Tiers[i]; !t.Failed || t.Live != nil {
			b.supports(t)
		}
	}
	b.steps()
	b.settle()
	b.sweep()
	b.settings()
}

// frozen: nothing that exists is changed, but pods that wait at a gate are let through.
func (b *builder) frozen() bool {
	return b.Input.Pause == budget.PauseHold || b.Plan.Problem != nil
}

// add appends a write unless somebody else has an object of that name.
func (b *builder) add(w Write) {
	if !b.isForeign(w.Kind, w.Name) {
		b.Writes = append(b.Writes, w)
	}
}

// isForeign: somebody else has an object of that name.
func (b *builder) isForeign(kind, name string) bool {
	return slices.ContainsFunc(b.s.Foreign, func(f observe.Foreign) bool { return f.Kind == kind && f.Name == name })
}

// supports applies the Service and the PodDisruptionBudget of a tier where they differ.
func (b *builder) supports(t *Tier) {
	name := workload.ChildName(b.mb, t.Spec.Name)
	if want := workload.Service(b.mb, t.Spec); want != nil {
		i := slices.IndexFunc(b.s.Services, func(s corev1.Service) bool { return s.Name == name })
		var live runtime.Object
		if i >= 0 {
			live = &b.s.Services[i]
			want.WithUID(b.s.Services[i].UID)
		}
		b.support(kindService, name, t.Spec.Name, live, want)
	}
	if want := workload.PodDisruptionBudget(b.mb, t.Spec); want != nil {
		i := slices.IndexFunc(b.s.PodDisruptionBudgets, func(p policyv1.PodDisruptionBudget) bool { return p.Name == name })
		var live runtime.Object
		if i >= 0 {
			live = &b.s.PodDisruptionBudgets[i]
			want.WithUID(b.s.PodDisruptionBudgets[i].UID)
		}
		b.support(kindPodDisruptionBudget, name, t.Spec.Name, live, want)
	}
}

func (b *builder) support(kind, name, tier string, live runtime.Object, want runtime.ApplyConfiguration) {
	if live == nil || differs(live, want) {
		b.add(Write{Verb: VerbApply, Kind: kind, Name: name, Tier: tier, Object: want, PutsBack: live != nil})
	}
}

// steps turns the steps of the plan into writes.
func (b *builder) steps() {
	for i := range b.Plan.Steps {
		step := &b.Plan.Steps[i]
		switch step.Kind {
		case budget.Apply:
			b.apply(step.Tier, step.Shape, step)
		case budget.ReleaseGate:
			b.release(step)
		case budget.Delete:
			b.remove(step)
		}
	}
}

// settle puts back what others changed in Deployments that the plan does not touch in this pass.
func (b *builder) settle() {
	for _, planned := range b.Plan.Tiers {
		stepped := slices.ContainsFunc(b.Plan.Steps, func(s budget.Step) bool {
			return s.Tier == planned.Name && s.Kind != budget.ReleaseGate
		})
		if planned.Shape != nil && !stepped {
			b.apply(planned.Name, *planned.Shape, nil)
		}
	}
}

// apply writes the Deployment of a tier. Without a step it is written only where it differs.
func (b *builder) apply(tier string, shape budget.Shape, step *budget.Step) {
	w := Write{Verb: VerbApply, Kind: kindDeployment, Name: workload.ChildName(b.mb, tier), Tier: tier, Step: step}
	live := b.s.Deployment(w.Name)
	want := b.deployment(tier, live, shape)
	if want == nil {
		return
	}
	want.WithAnnotations(map[string]string{v1alpha1.ReplicasAnnotation: written(live, shape.Replicas, step)})
	w.Object = want
	if live != nil {
		w.From = replicasIn(live)
		w.ScaledTo = scaledByOthers(live)
		w.PutsBack = step == nil || w.ScaledTo != nil || b.restores(tier, step)
		if step == nil && !live.Spec.Paused && !b.changes(tier, live, want) {
			return
		}
		want.WithUID(live.UID) // Not another one that has got this name since.
		b.choose(tier, live, shape.Replicas)
		if live.Spec.Paused {
			want.Spec.WithPaused(false) // `kubectl rollout pause`; a comparison does not see what is false.
		}
	}
	want.Spec.Template = workload.CopyTemplate(want.Spec.Template)
	b.add(w)
}

// changes reports whether applying want would change the live Deployment of a tier.
func (b *builder) changes(tier string, live *appsv1.Deployment, want *appsv1ac.DeploymentApplyConfiguration) bool {
	i := slices.IndexFunc(b.Tiers, func(t Tier) bool { return t.Spec.Name == tier })
	if i >= 0 && !b.Tiers[i].edited && want.Spec.Template == b.Tiers[i].recorded.Template {
		return differsBesidesTemplate(live, want)
	}
	return differs(live, want)
}

// restores reports whether a step undoes an edit of the live template.
func (b *builder) restores(tier string, step *budget.Step) bool {
	return step.Shape.Template == budget.TemplateNew && slices.ContainsFunc(b.Tiers, func(t Tier) bool {
		return t.Spec.Name == tier && t.edited && t.Live.Annotations[v1alpha1.InputHashAnnotation] == t.InputHash
	})
}

// scaledByOthers is what somebody else set the replicas of a Deployment to, nil where nobody did.
func scaledByOthers(live *appsv1.Deployment) *int32 {
	ours, err := strconv.ParseInt(live.Annotations[v1alpha1.ReplicasAnnotation], 10, 32)
	if err != nil || ours == int64(replicasIn(live)) {
		return nil
	}
	return new(replicasIn(live))
}

// deployment builds the Deployment of a tier in the shape of the plan; nil where the tier cannot be
// rendered and has no template that could be kept.
func (b *builder) deployment(tier string, live *appsv1.Deployment, shape budget.Shape) *appsv1ac.DeploymentApplyConfiguration {
	in := workload.DeploymentInput{
		Replicas: shape.Replicas,
		Strategy: workload.Strategy{
			Recreate: shape.Strategy.Recreate, MaxSurge: shape.Strategy.MaxSurge,
			MaxUnavailable: shape.Strategy.MaxUnavailable,
		},
		MinReadySeconds: shape.MinReadySeconds,
	}
	i := slices.IndexFunc(b.Tiers, func(t Tier) bool { return t.Spec.Name == tier })
	switch {
	case live != nil && (i < 0 || shape.Template == budget.TemplateKeep):
		in.Rendered, in.InputHash = b.kept(tier, i, live)
	case i >= 0 && !b.Tiers[i].Failed:
		in.Rendered, in.InputHash = b.Tiers[i].Rendered, b.Tiers[i].InputHash
	default:
		return nil
	}
	return workload.Deployment(b.mb, tier, in)
}

// written is the number of replicas that the operator last decided on. Without a step it decides
// nothing: what stands in the Deployment may be somebody else's and is not made its own.
func written(live *appsv1.Deployment, replicas int32, step *budget.Step) string {
	if step == nil && live != nil {
		if ours, found := live.Annotations[v1alpha1.ReplicasAnnotation]; found {
			return ours
		}
	}
	return strconv.FormatInt(int64(replicas), 10)
}

// kept is the template that a live Deployment has: the recorded one, or, where somebody edited it
// or the record is gone, what stands in the Deployment. The index of the tier is negative where it is not in the spec.
func (b *builder) kept(tier string, i int, live *appsv1.Deployment) (workload.Rendered, string) {
	record := live.Annotations[v1alpha1.TemplateAnnotation]
	inputHash := live.Annotations[v1alpha1.InputHashAnnotation]
	switch {
	case i >= 0 && b.Tiers[i].edited:
	case i >= 0 && b.Tiers[i].found:
		return b.Tiers[i].recorded, inputHash
	default:
		if r, err := workload.Restore(b.mb, tier, record); err == nil {
			return r, inputHash
		}
	}
	return workload.Rendered{
		Template:           templateOf(&live.Spec.Template),
		Record:             record,
		Gated:              hasGate(live.Spec.Template.Spec.SchedulingGates),
		GracePeriodSeconds: graceOf(&live.Spec.Template),
	}, inputHash
}

// templateOf says everything that stands in a live template.
func templateOf(template *corev1.PodTemplateSpec) *corev1ac.PodTemplateSpecApplyConfiguration {
	var all corev1ac.PodTemplateSpecApplyConfiguration
	data, err := json.Marshal(template)
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		panic(err) // A type of the API and its apply configuration have the same JSON.
	}
	return &all
}

func graceOf(template *corev1.PodTemplateSpec) int64 {
	if grace := template.Spec.TerminationGracePeriodSeconds; grace != nil {
		return *grace
	}
	return corev1.DefaultTerminationGracePeriodSeconds
}

func (b *builder) release(step *budget.Step) {
	i := slices.IndexFunc(b.s.Pods, func(p corev1.Pod) bool { return p.Name == step.Pod })
	if i < 0 {
		return
	}
	pod := &b.s.Pods[i]
	b.add(Write{
		Verb: VerbReleaseGate, Kind: kindPod, Name: pod.Name, UID: pod.UID, Patch: releasePatch(pod),
		Tier: step.Tier, Step: step,
	})
}

// releasePatch removes our gate from a pod, if it is still that pod and that gate.
func releasePatch(pod *corev1.Pod) []byte {
	index := slices.IndexFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool {
		return g.Name == v1alpha1.MemoryGate
	})
	path := fmt.Sprintf("/spec/schedulingGates/%d", index)
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": pod.UID},
		{"op": "test", "path": path + "/name", "value": v1alpha1.MemoryGate},
		{"op": "remove", "path": path},
	})
	if err != nil {
		panic(err) // Strings always encode.
	}
	return patch
}

// remove deletes what a removed tier had. What it had is told by its name, since labels may be edited.
func (b *builder) remove(step *budget.Step) {
	name := workload.ChildName(b.mb, step.Tier)
	for _, object := range b.objects() {
		if object.GetName() == name {
			b.delete(object, step.Tier, step)
		}
	}
}

// sweep deletes Services and PodDisruptionBudgets that are not needed any more, of tiers that are in
// the spec or have no Deployment left.
func (b *builder) sweep() {
	needed := Children(b.mb)
	for _, object := range b.objects() {
		kind := kindName(object)
		isNeeded := slices.ContainsFunc(needed, func(c observe.Child) bool { return c.Kind == kind && c.Name == object.GetName() })
		if kind == kindDeployment || isNeeded || b.inRemoval(object.GetName()) {
			continue
		}
		b.delete(object, tierNamed(b.mb, object.GetName()), nil)
	}
}

// inRemoval: of a tier that is not in the spec and still has a Deployment of that name.
func (b *builder) inRemoval(name string) bool {
	if slices.ContainsFunc(b.Tiers, func(t Tier) bool { return workload.ChildName(b.mb, t.Spec.Name) == name }) {
		return false
	}
	return b.s.Deployment(name) != nil
}

// objects are the Deployments, Services and PodDisruptionBudgets of all tiers.
func (b *builder) objects() []metav1.Object {
	var objects []metav1.Object
	for i := range b.s.Deployments {
		objects = append(objects, &b.s.Deployments[i])
	}
	for i := range b.s.Services {
		objects = append(objects, &b.s.Services[i])
	}
	for i := range b.s.PodDisruptionBudgets {
		objects = append(objects, &b.s.PodDisruptionBudgets[i])
	}
	return objects
}

func (b *builder) delete(object metav1.Object, tier string, step *budget.Step) {
	if object.GetDeletionTimestamp() != nil {
		return
	}
	b.add(Write{
		Verb: VerbDelete, Kind: kindName(object), Name: object.GetName(), UID: object.GetUID(), Tier: tier, Step: step,
	})
}

func kindName(object metav1.Object) string {
	switch object.(type) {
	case *appsv1.Deployment:
		return kindDeployment
	case *corev1.Service:
		return kindService
	case *policyv1.PodDisruptionBudget:
		return kindPodDisruptionBudget
	}
	return kindConfigMap
}

// settings makes the ConfigMap that new templates name, ahead of everything else, and deletes those
// that nothing names any more.
func (b *builder) settings() {
	used := b.usedConfigMaps()
	for i := range b.s.ConfigMaps {
		if c := &b.s.ConfigMaps[i]; !used[c.Name] {
			b.delete(c, "", nil)
		}
		delete(used, b.s.ConfigMaps[i].Name)
	}
	want := workload.ConfigMap(b.mb)
	if want == nil || !used[*want.Name] || b.isForeign(kindConfigMap, *want.Name) {
		return
	}
	b.Writes = slices.Insert(b.Writes, 0, Write{Verb: VerbApply, Kind: kindConfigMap, Name: *want.Name, Object: want})
}

// usedConfigMaps are those that a template to be written, a ReplicaSet, a Deployment or a pod names.
func (b *builder) usedConfigMaps() map[string]bool {
	used := map[string]bool{}
	for i := range b.s.Pods {
		maps.Copy(used, configMapsIn(&b.s.Pods[i].Spec))
	}
	for i := range b.s.ReplicaSets {
		maps.Copy(used, configMapsIn(&b.s.ReplicaSets[i].Spec.Template.Spec))
	}
	for i := range b.s.Deployments {
		maps.Copy(used, configMapsIn(&b.s.Deployments[i].Spec.Template.Spec))
	}
	for i := range b.Tiers {
		if t := &b.Tiers[i]; !t.Failed && b.writes(t.Spec.Name) {
			used[t.Rendered.ConfigMapName] = true
		}
	}
	return used
}

// writes: a Deployment of that tier is about to be applied.
func (b *builder) writes(tier string) bool {
	return slices.ContainsFunc(b.Writes, func(w Write) bool {
		return w.Tier == tier && w.Kind == kindDeployment && w.Verb == VerbApply
	})
}

func configMapsIn(spec *corev1.PodSpec) map[string]bool {
	names := map[string]bool{}
	for i := range spec.Volumes {
		if c := spec.Volumes[i].ConfigMap; c != nil && strings.TrimSpace(c.Name) != "" {
			names[c.Name] = true
		}
	}
	return names
}
