// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// asPod is what the API server makes of a template.
func asPod(t *testing.T, template *corev1ac.PodTemplateSpecApplyConfiguration) *corev1.PodTemplateSpec {
	t.Helper()
	data, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.PodTemplateSpec{}
	if err := json.Unmarshal(data, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func TestPodSecurityRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	for name, mb := range inputs(t) {
		for i := range mb.Spec.Tiers {
			tier := &mb.Spec.Tiers[i]
			t.Run(name+"/"+tier.Name, func(t *testing.T) {
				pod := asPod(t, rendered(t, mb, tier).Template)
				result := policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
				if !result.Allowed {
					t.Errorf("forbidden: %s", result.ForbiddenDetail())
				}
				checkBeyondRestricted(t, &pod.Spec)
			})
		}
	}
}

// checkBeyondRestricted checks what the operator promises and the standard does not ask for.
func checkBeyondRestricted(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Error("the token of a service account is mounted")
	}
	if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
		t.Error("service links are on")
	}
	for i := range spec.Containers {
		checkContainer(t, &spec.Containers[i])
	}
	for i := range spec.InitContainers {
		checkContainer(t, &spec.InitContainers[i])
	}
	for _, v := range spec.Volumes {
		if v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumDefault {
			t.Errorf("volume %s is in memory, which counts as the container's", v.Name)
		}
	}
}

func checkContainer(t *testing.T, c *corev1.Container) {
	t.Helper()
	if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Errorf("container %s can write to its root file system", c.Name)
	}
	limit, request := c.Resources.Limits.Memory(), c.Resources.Requests.Memory()
	if limit.IsZero() || !limit.Equal(*request) {
		t.Errorf("container %s requests %s of memory and is limited to %s", c.Name, request, limit)
	}
}
