// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// Names of the containers of a pod.
const (
	// AppContainer runs the tier.
	AppContainer = "app"
	// VerifyContainer checks the settings overlay and reports what reached the application.
	VerifyContainer = "memorybudget-verify"
)

// drawing is what a pod template is made from.
type drawing struct {
	mb   *v1alpha1.MemoryBudget
	tier *v1alpha1.Tier
	told settings.Tier
	pod  v1alpha1.Pod
	// files and hash are those of the settings overlay; empty where the tier has none.
	files settings.Files
	hash  string
}

// Render makes the pod template of a tier. It depends on the resource and on the facts. Errors are
// those of settings.ForTier, and *settings.SettingError for what only shows when the pod is put
// together; nothing of the tier may be applied then.
func Render(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, facts settings.Facts) (Rendered, error) {
	d, err := draw(mb, tier, facts)
	if err != nil {
		return Rendered{}, err
	}
	template, err := d.template()
	if err != nil {
		return Rendered{}, fmt.Errorf("rendering tier %s: %w", tier.Name, err)
	}
	return recorded(template, d.told)
}

func draw(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, facts settings.Facts) (drawing, error) {
	told, err := settings.ForTier(mb, tier, facts)
	if err != nil {
		return drawing{}, err
	}
	d := drawing{mb: mb, tier: tier, told: told, pod: mergedPod(mb.Spec.Application.Pod, tier.Pod)}
	if err := checkPod(tier, &d.pod); err != nil {
		return drawing{}, err
	}
	if told.Overlay {
		d.files, d.hash = settings.Overlay(mb)
		return d, d.files.Check()
	}
	return d, nil
}

// template is the pod template without the annotation that carries its hash.
func (d *drawing) template() (*corev1ac.PodTemplateSpecApplyConfiguration, error) {
	spec, err := d.podSpec()
	if err != nil {
		return nil, err
	}
	return corev1ac.PodTemplateSpec().
		WithLabels(over(d.pod.Labels, TierLabels(d.mb, d.tier.Name),
			map[string]string{v1alpha1.RoleLabel: string(d.tier.Role)})).
		WithAnnotations(over(d.pod.Annotations, d.fileAnnotations(),
			map[string]string{v1alpha1.ContainerAnnotation: AppContainer})).
		WithSpec(spec), nil
}

func (d *drawing) podSpec() (*corev1ac.PodSpecApplyConfiguration, error) {
	app, err := d.app()
	if err != nil {
		return nil, err
	}
	spec := corev1ac.PodSpec().
		WithAutomountServiceAccountToken(false).
		WithEnableServiceLinks(false).
		WithTerminationGracePeriodSeconds(d.told.Termination.GracePeriod).
		WithSecurityContext(d.podSecurity()).
		WithContainers(app).
		WithVolumes(d.volumes()...)
	if d.told.Overlay {
		verify, err := d.verify()
		if err != nil {
			return nil, err
		}
		spec.WithInitContainers(verify)
	}
	for _, secret := range d.mb.Spec.Application.ImagePullSecrets {
		spec.WithImagePullSecrets(corev1ac.LocalObjectReference().WithName(secret.Name))
	}
	if IsGated(d.tier) {
		spec.WithSchedulingGates(corev1ac.PodSchedulingGate().WithName(v1alpha1.MemoryGate))
	}
	return spec, d.placement(spec)
}

// placement adds where the pods run and as whom.
func (d *drawing) placement(spec *corev1ac.PodSpecApplyConfiguration) error {
	if d.pod.ServiceAccountName != "" {
		spec.WithServiceAccountName(d.pod.ServiceAccountName)
	}
	if d.pod.PriorityClassName != "" {
		spec.WithPriorityClassName(d.pod.PriorityClassName)
	}
	if len(d.pod.NodeSelector) > 0 {
		spec.WithNodeSelector(d.pod.NodeSelector)
	}
	if d.pod.Affinity != nil {
		if err := convert(d.pod.Affinity, &spec.Affinity); err != nil {
			return err
		}
	}
	if len(d.pod.Tolerations) > 0 {
		if err := convert(d.pod.Tolerations, &spec.Tolerations); err != nil {
			return err
		}
	}
	if len(d.pod.TopologySpreadConstraints) > 0 {
		return convert(d.pod.TopologySpreadConstraints, &spec.TopologySpreadConstraints)
	}
	return nil
}

// podSecurity is what the Pod Security standard "restricted" asks for.
func (d *drawing) podSecurity() *corev1ac.PodSecurityContextApplyConfiguration {
	security := corev1ac.PodSecurityContext().
		WithRunAsNonRoot(true).
		WithSeccompProfile(corev1ac.SeccompProfile().WithType(corev1.SeccompProfileTypeRuntimeDefault))
	if d.pod.RunAsUser != nil {
		security.WithRunAsUser(*d.pod.RunAsUser)
	}
	if d.pod.FSGroup != nil {
		security.WithFSGroup(*d.pod.FSGroup).WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch)
	}
	return security
}

// containerSecurity is the same for a container, with a read-only root file system.
func containerSecurity() *corev1ac.SecurityContextApplyConfiguration {
	return corev1ac.SecurityContext().
		WithAllowPrivilegeEscalation(false).
		WithReadOnlyRootFilesystem(true).
		WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))
}

// resources are the same for both containers, so that a pod's effective memory is memory.perPod. The
// request is the limit: what is granted is there.
func (d *drawing) resources() *corev1ac.ResourceRequirementsApplyConfiguration {
	memory := *resource.NewQuantity(d.tier.Memory.PerPod.Value(), resource.BinarySI)
	requests, limits := corev1.ResourceList{corev1.ResourceMemory: memory}, corev1.ResourceList{corev1.ResourceMemory: memory}
	if cpu := d.tier.CPU; cpu != nil {
		addCPU(requests, cpu.Request)
		addCPU(limits, cpu.Limit)
	}
	return corev1ac.ResourceRequirements().WithRequests(requests).WithLimits(limits)
}

// addCPU adds an amount in thousandths, rounded up as the API server does.
func addCPU(list corev1.ResourceList, cpu *resource.Quantity) {
	if cpu != nil {
		list[corev1.ResourceCPU] = *resource.NewMilliQuantity(cpu.MilliValue(), resource.DecimalSI)
	}
}

// convert copies a value of the API into the apply configuration of the same shape.
func convert(from, to any) error {
	data, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, to)
}
