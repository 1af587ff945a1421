// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// checkRecord tells whether a record is of this tier and of the operator's making.
func checkRecord(mb *v1alpha1.MemoryBudget, tierName string, r record, template *corev1ac.PodTemplateSpecApplyConfiguration) error {
	if template.Spec == nil || template.ObjectMetaApplyConfiguration == nil {
		return errors.New("no pod template")
	}
	for key, want := range SelectorLabels(mb, tierName) {
		if template.Labels[key] != want {
			return fmt.Errorf("label %s is not %s", key, want)
		}
	}
	if r.Processes < 1 || r.Threads < 1 {
		return errors.New("no processes")
	}
	return checkSpec(template.Spec)
}

func checkSpec(spec *corev1ac.PodSpecApplyConfiguration) error {
	switch {
	case len(spec.Containers) != 1 || deref(spec.Containers[0].Name) != AppContainer:
		return errors.New("not exactly the container " + AppContainer)
	case len(spec.InitContainers) > 1, len(spec.InitContainers) == 1 && deref(spec.InitContainers[0].Name) != VerifyContainer:
		return errors.New("other init containers than " + VerifyContainer)
	case len(spec.EphemeralContainers) > 0:
		return errors.New("ephemeral containers")
	case podBytes(spec) <= 0:
		return errors.New("no memory limit")
	case deref(spec.TerminationGracePeriodSeconds) <= 0:
		return errors.New("no termination grace period")
	}
	return checkRestrictions(spec)
}

// checkRestrictions refuses pods with more rights than Render gives them.
func checkRestrictions(spec *corev1ac.PodSpecApplyConfiguration) error {
	if deref(spec.HostNetwork) || deref(spec.HostPID) || deref(spec.HostIPC) {
		return errors.New("a namespace of the host")
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		return errors.New("the token of a service account")
	}
	if spec.SecurityContext == nil || !deref(spec.SecurityContext.RunAsNonRoot) {
		return errors.New("pods that may run as root")
	}
	for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
		if !restricted(c.SecurityContext) {
			return errors.New("a container that is not restricted")
		}
	}
	if !slices.ContainsFunc(spec.Volumes, extraordinary) {
		return nil
	}
	return errors.New("a volume of a kind that is not the operator's")
}

func restricted(security *corev1ac.SecurityContextApplyConfiguration) bool {
	return security != nil && !deref(security.Privileged) &&
		security.AllowPrivilegeEscalation != nil && !*security.AllowPrivilegeEscalation &&
		deref(security.ReadOnlyRootFilesystem) &&
		security.RunAsNonRoot == nil && security.RunAsUser == nil && security.ProcMount == nil &&
		security.Capabilities != nil && len(security.Capabilities.Add) == 0
}

// extraordinary tells whether a volume is of a kind that Render does not make.
func extraordinary(v corev1ac.VolumeApplyConfiguration) bool {
	source := v.VolumeSourceApplyConfiguration
	source.EmptyDir, source.ConfigMap, source.Secret = nil, nil, nil
	source.PersistentVolumeClaim, source.DownwardAPI = nil, nil
	return source != corev1ac.VolumeSourceApplyConfiguration{}
}

// quantityKeys are the names under which quantities stand in a pod template: alone, or as values of a map.
var quantityKeys = map[string]bool{"sizeLimit": true, "divisor": true, "requests": true, "limits": true}

// exponent matches numbers that take for ever to be parsed as a quantity, such as 1E-2147483648. No
// quantity that Render writes has an exponent.
var exponent = regexp.MustCompile(`[eE][+-]?[0-9]`)

// checkQuantities looks for such numbers before anything is parsed as a quantity.
func checkQuantities(text []byte) error {
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	return walkQuantities(document, false)
}

func walkQuantities(value any, quantity bool) error {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			if err := walkQuantities(child, quantity || quantityKeys[key]); err != nil {
				return err
			}
		}
	case []any:
		for _, child := range v {
			if err := walkQuantities(child, quantity); err != nil {
				return err
			}
		}
	default:
		if quantity {
			return checkQuantity(value)
		}
	}
	return nil
}

func checkQuantity(value any) error {
	switch v := value.(type) {
	case string:
		if exponent.MatchString(v) {
			return errors.New("a quantity with an exponent")
		}
	case float64:
		return fmt.Errorf("a quantity that is a number: %g", v)
	}
	return nil
}
