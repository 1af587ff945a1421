// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

func validateAffinity(affinity *corev1.Affinity, path *field.Path) field.ErrorList {
	if affinity == nil {
		return nil
	}
	errs := validateNodeAffinity(affinity.NodeAffinity, path.Child("nodeAffinity"))
	if a := affinity.PodAffinity; a != nil {
		errs = append(errs, validatePodTerms(a.RequiredDuringSchedulingIgnoredDuringExecution,
			a.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAffinity"))...)
	}
	if a := affinity.PodAntiAffinity; a != nil {
		errs = append(errs, validatePodTerms(a.RequiredDuringSchedulingIgnoredDuringExecution,
			a.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAntiAffinity"))...)
	}
	return errs
}

// The two lists of every kind of affinity.
const (
	requiredTerms  = "requiredDuringSchedulingIgnoredDuringExecution"
	preferredTerms = "preferredDuringSchedulingIgnoredDuringExecution"
)

func validateNodeAffinity(affinity *corev1.NodeAffinity, path *field.Path) field.ErrorList {
	if affinity == nil {
		return nil
	}
	var errs field.ErrorList
	if terms := affinity.RequiredDuringSchedulingIgnoredDuringExecution; terms != nil {
		child := path.Child(requiredTerms)
		if len(terms.NodeSelectorTerms) == 0 {
			errs = append(errs, field.Required(child.Child("nodeSelectorTerms"), "give at least one term"))
		}
		_, err := nodeaffinity.NewNodeSelector(terms, field.WithPath(child))
		errs = append(errs, fieldErrors(err, child)...)
	}
	child := path.Child(preferredTerms)
	_, err := nodeaffinity.NewPreferredSchedulingTerms(affinity.PreferredDuringSchedulingIgnoredDuringExecution, field.WithPath(child))
	errs = append(errs, fieldErrors(err, child)...)
	for i, term := range affinity.PreferredDuringSchedulingIgnoredDuringExecution {
		errs = append(errs, validateWeight(term.Weight, child.Index(i).Child("weight"))...)
	}
	return errs
}

// fieldErrors takes an aggregate apart.
func fieldErrors(err error, path *field.Path) field.ErrorList {
	if err == nil {
		return nil
	}
	all := []error{err}
	if aggregate, ok := errors.AsType[utilerrors.Aggregate](err); ok {
		all = aggregate.Errors()
	}
	var errs field.ErrorList
	for _, err := range all {
		var one *field.Error
		if !errors.As(err, &one) {
			one = field.Invalid(path, field.OmitValueType{}, err.Error())
		}
		errs = append(errs, one)
	}
	return errs
}

func validatePodTerms(terms []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range terms {
		errs = append(errs, validatePodTerm(&terms[i], path.Child(requiredTerms).Index(i))...)
	}
	for i := range preferred {
		child := path.Child(preferredTerms).Index(i)
		errs = append(errs, validateWeight(preferred[i].Weight, child.Child("weight"))...)
		errs = append(errs, validatePodTerm(&preferred[i].PodAffinityTerm, child.Child("podAffinityTerm"))...)
	}
	return errs
}

func validatePodTerm(term *corev1.PodAffinityTerm, path *field.Path) field.ErrorList {
	errs := required(term.TopologyKey, path.Child("topologyKey"))
	errs = append(errs, validateSelector(term.LabelSelector, path.Child("labelSelector"))...)
	errs = append(errs, validateSelector(term.NamespaceSelector, path.Child("namespaceSelector"))...)
	errs = append(errs, validateNamespaces(term.Namespaces, path.Child("namespaces"))...)
	errs = append(errs, validateMatchKeys(term.MatchLabelKeys, term.LabelSelector, path.Child("matchLabelKeys"))...)
	errs = append(errs, validateLabelKeys(term.MismatchLabelKeys, term.LabelSelector, path.Child("mismatchLabelKeys"))...)
	for i, key := range term.MatchLabelKeys {
		if slices.Contains(term.MismatchLabelKeys, key) {
			errs = append(errs, field.Invalid(path.Child("matchLabelKeys").Index(i), key, "is in mismatchLabelKeys too"))
		}
	}
	return errs
}

func validateNamespaces(names []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, name := range names {
		for _, message := range validation.IsDNS1123Label(name) {
			errs = append(errs, field.Invalid(path.Index(i), name, message))
		}
	}
	return errs
}

func validateWeight(weight int32, path *field.Path) field.ErrorList {
	if weight < 1 || weight > 100 {
		return field.ErrorList{field.Invalid(path, weight, "must be from 1 to 100")}
	}
	return nil
}
