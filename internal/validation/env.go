// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Fields of a pod that a variable may take its value from, as in Kubernetes' own validation of pods.
var (
	envFields = []string{
		"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
		"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
	}
	envKeyedField = regexp.MustCompile(`^metadata\.(labels|annotations)\['([^']+)'\]$`)
)

// Resources of a container that a variable may take its value from, and the divisors that each may have.
var (
	envResources = []string{"cpu", "memory", "ephemeral-storage"}
	cpuDivisors  = []string{"0", "1m", "1"}
	byteDivisors = []string{"0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"}
)

// validateEnv checks where variables take their values from.
func validateEnv(env []corev1.EnvVar, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range env {
		if source := env[i].ValueFrom; source != nil {
			errs = append(errs, validateSource(source, path.Index(i).Child("valueFrom"))...)
		}
	}
	return errs
}

func validateSource(source *corev1.EnvVarSource, path *field.Path) field.ErrorList {
	switch {
	case source.FieldRef != nil:
		return validateFieldRef(source.FieldRef, path.Child("fieldRef"))
	case source.ResourceFieldRef != nil:
		return validateResourceRef(source.ResourceFieldRef, path.Child("resourceFieldRef"))
	case source.ConfigMapKeyRef != nil:
		return validateKey(source.ConfigMapKeyRef.Key, path.Child("configMapKeyRef", "key"))
	case source.SecretKeyRef != nil:
		return validateKey(source.SecretKeyRef.Key, path.Child("secretKeyRef", "key"))
	}
	return nil
}

func validateKey(key string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, message := range validation.IsConfigMapKey(key) {
		errs = append(errs, field.Invalid(path, key, message))
	}
	return errs
}

func validateFieldRef(ref *corev1.ObjectFieldSelector, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if ref.APIVersion != "" && ref.APIVersion != "v1" {
		errs = append(errs, field.Invalid(path.Child("apiVersion"), ref.APIVersion, "must be v1 or left out"))
	}
	if slices.Contains(envFields, ref.FieldPath) {
		return errs
	}
	keyed := envKeyedField.FindStringSubmatch(ref.FieldPath)
	if keyed == nil {
		return append(errs, field.NotSupported(path.Child("fieldPath"), ref.FieldPath,
			append([]string{"metadata.labels['<KEY>']", "metadata.annotations['<KEY>']"}, envFields...)))
	}
	kind, key := keyed[1], keyed[2]
	if kind == "annotations" {
		// Their keys, unlike those of labels, may have a prefix in capitals.
		key = strings.ToLower(key)
	}
	for _, message := range validation.IsQualifiedName(key) {
		errs = append(errs, field.Invalid(path.Child("fieldPath"), ref.FieldPath, message))
	}
	return errs
}

func validateResourceRef(ref *corev1.ResourceFieldSelector, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if ref.ContainerName != "" {
		errs = append(errs, field.Forbidden(path.Child("containerName"),
			"a variable sees the resources of its own container: leave containerName out"))
	}
	kind, name, _ := strings.Cut(ref.Resource, ".")
	if (kind != "limits" && kind != "requests") || !slices.Contains(envResources, name) {
		return append(errs, field.NotSupported(path.Child("resource"), ref.Resource, resourceNames()))
	}
	divisors := byteDivisors
	if name == "cpu" {
		divisors = cpuDivisors
	}
	if divisor := ref.Divisor.String(); !slices.Contains(divisors, divisor) {
		errs = append(errs, field.NotSupported(path.Child("divisor"), divisor, divisors[1:]))
	}
	return errs
}

func resourceNames() []string {
	var names []string
	for _, name := range envResources {
		names = append(names, "limits."+name, "requests."+name)
	}
	return names
}
