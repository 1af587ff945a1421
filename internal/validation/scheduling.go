// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The values that Kubernetes knows, from its own validation of pods.
var (
	operators = []corev1.TolerationOperator{"", corev1.TolerationOpEqual, corev1.TolerationOpExists}
	effects   = []corev1.TaintEffect{"", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
	policies  = []corev1.NodeInclusionPolicy{corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore}
	actions   = []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}
)

func validateTolerations(tolerations []corev1.Toleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range tolerations {
		errs = append(errs, validateToleration(&tolerations[i], path.Index(i))...)
	}
	return errs
}

func validateToleration(t *corev1.Toleration, path *field.Path) field.ErrorList {
	errs := oneOf(t.Operator, operators, path.Child("operator"))
	errs = append(errs, oneOf(t.Effect, effects, path.Child("effect"))...)
	errs = append(errs, qualified(t.Key, path.Child("key"))...)
	if t.Key == "" && t.Operator != corev1.TolerationOpExists {
		errs = append(errs, field.Invalid(path.Child("operator"), t.Operator,
			"must be Exists where key is left out: it then tolerates every taint"))
	}
	if t.Operator == corev1.TolerationOpExists && t.Value != "" {
		errs = append(errs, field.Forbidden(path.Child("value"), "the operator Exists takes any value: leave value out"))
	}
	for _, message := range validation.IsValidLabelValue(t.Value) {
		errs = append(errs, field.Invalid(path.Child("value"), t.Value, message))
	}
	if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
		errs = append(errs, field.Invalid(path.Child("effect"), t.Effect, "must be NoExecute where tolerationSeconds is given"))
	}
	return errs
}

func validateSpread(constraints []corev1.TopologySpreadConstraint, path *field.Path) field.ErrorList {
	type key struct {
		topology string
		action   corev1.UnsatisfiableConstraintAction
	}
	var errs field.ErrorList
	seen := map[key]bool{}
	for i := range constraints {
		c := &constraints[i]
		errs = append(errs, validateConstraint(c, path.Index(i))...)
		k := key{c.TopologyKey, c.WhenUnsatisfiable}
		if seen[k] {
			errs = append(errs, field.Duplicate(path.Index(i), c.TopologyKey+", "+string(c.WhenUnsatisfiable)))
		}
		seen[k] = true
	}
	return errs
}

func validateConstraint(c *corev1.TopologySpreadConstraint, path *field.Path) field.ErrorList {
	errs := required(c.TopologyKey, path.Child("topologyKey"))
	errs = append(errs, oneOf(c.WhenUnsatisfiable, actions, path.Child("whenUnsatisfiable"))...)
	errs = append(errs, validateSelector(c.LabelSelector, path.Child("labelSelector"))...)
	if c.MaxSkew < 1 {
		errs = append(errs, field.Invalid(path.Child("maxSkew"), c.MaxSkew, "must be at least 1"))
	}
	if c.MinDomains != nil && (*c.MinDomains < 1 || c.WhenUnsatisfiable != corev1.DoNotSchedule) {
		errs = append(errs, field.Invalid(path.Child("minDomains"), *c.MinDomains,
			"must be at least 1, and only with whenUnsatisfiable DoNotSchedule"))
	}
	if c.NodeAffinityPolicy != nil {
		errs = append(errs, oneOf(*c.NodeAffinityPolicy, policies, path.Child("nodeAffinityPolicy"))...)
	}
	if c.NodeTaintsPolicy != nil {
		errs = append(errs, oneOf(*c.NodeTaintsPolicy, policies, path.Child("nodeTaintsPolicy"))...)
	}
	return append(errs, validateMatchKeys(c.MatchLabelKeys, c.LabelSelector, path.Child("matchLabelKeys"))...)
}

// validateMatchKeys checks matchLabelKeys. When a pod is made, each of them that is a label of the pod becomes one more
// requirement of labelSelector, which may have none on the same key. In a Deployment Kubernetes lets some of that pass:
// it then refuses the pods.
func validateMatchKeys(keys []string, selector *metav1.LabelSelector, path *field.Path) field.ErrorList {
	errs := validateLabelKeys(keys, selector, path)
	if selector == nil {
		return errs
	}
	for i, key := range keys {
		if selects(selector, key) {
			errs = append(errs, field.Invalid(path.Index(i), key, "is in labelSelector too"))
		}
		if slices.Contains(keys[:i], key) {
			errs = append(errs, field.Duplicate(path.Index(i), key))
		}
	}
	return errs
}

// selects reports whether a selector has a requirement on a label.
func selects(selector *metav1.LabelSelector, key string) bool {
	_, ok := selector.MatchLabels[key]
	return ok || slices.ContainsFunc(selector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return r.Key == key })
}

func validateLabelKeys(keys []string, selector *metav1.LabelSelector, path *field.Path) field.ErrorList {
	if len(keys) == 0 {
		return nil
	}
	if selector == nil {
		return field.ErrorList{field.Forbidden(path, "needs a labelSelector beside it")}
	}
	var errs field.ErrorList
	for i, key := range keys {
		errs = append(errs, required(key, path.Index(i))...)
	}
	return errs
}

func validateSelector(selector *metav1.LabelSelector, path *field.Path) field.ErrorList {
	return metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, path)
}

// oneOf refuses a value that is none of the known ones.
func oneOf[T ~string](value T, known []T, path *field.Path) field.ErrorList {
	if slices.Contains(known, value) {
		return nil
	}
	if known[0] == "" {
		known = known[1:]
	}
	return field.ErrorList{field.NotSupported(path, value, known)}
}

// required refuses an empty name and one that is not qualified.
func required(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return qualified(name, path)
}

// qualified refuses a name that no label has. An empty one is accepted.
func qualified(name string, path *field.Path) field.ErrorList {
	if name == "" {
		return nil
	}
	return metav1validation.ValidateLabelName(name, path)
}
