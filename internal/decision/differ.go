// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"encoding/json"
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoac "k8s.io/client-go/applyconfigurations"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// converter knows the schemas of Kubernetes' own types, with their lists and maps keyed as the API
// server keys them.
var converter = clientgoac.NewTypeConverter(scheme)

// scheme knows the kinds that are compared.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, policyv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // Only possible if two types of one build claim the same kind.
		}
	}
	return s
}()

// differs reports whether applying want would change what it names in live. What others added and want does not speak of
// makes no difference: that is what server-side apply leaves alone. Status is never applied.
func differs(live runtime.Object, want runtime.ApplyConfiguration) bool {
	object, err := decoded(want, live)
	if err != nil {
		return true // Applying is always right, only perhaps not needed.
	}
	return !covers(live, object) && differsBelow(live, object)
}

// templateDiffers is differs for the pod template of a Deployment alone.
func templateDiffers(live *appsv1.Deployment, want *corev1ac.PodTemplateSpecApplyConfiguration) bool {
	template := &corev1.PodTemplateSpec{}
	if err := decode(want, template); err != nil {
		return true
	}
	if covers(&live.Spec.Template, template) {
		return false
	}
	object := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: *template}}
	return differsBelow(live, object, "spec", "template")
}

// differsBesidesTemplate is differs for a Deployment whose pod template is known not to differ.
func differsBesidesTemplate(live *appsv1.Deployment, want *appsv1ac.DeploymentApplyConfiguration) bool {
	rest, spec := *want, *want.Spec
	rest.Spec, spec.Template = &spec, nil
	object := &appsv1.Deployment{}
	if err := decode(&rest, object); err != nil {
		return true
	}
	object.Spec.Template = live.Spec.Template
	return !covers(live, object) && differsBelow(live, object)
}

// differsBelow compares by the API server's rules, below a path of fields if one is given.
func differsBelow(live, want runtime.Object, below ...string) bool {
	comparison, err := compare(live, want)
	if err != nil {
		return true
	}
	found := false
	// Not by ranging over All, which goes on after the loop has ended and so panics.
	comparison.Added.Union(comparison.Modified).Iterate(func(path fieldpath.Path) {
		found = found || !startsWith(path, "status") && startsWith(path, below...)
	})
	return found
}

func startsWith(path fieldpath.Path, fields ...string) bool {
	if len(path) < len(fields) {
		return false
	}
	for i, field := range fields {
		if path[i].FieldName == nil || *path[i].FieldName != field {
			return false
		}
	}
	return true
}

// decoded is what is wanted as an object of the same Go type as the live one, so that both leave out the same zero values.
func decoded(want runtime.ApplyConfiguration, live runtime.Object) (runtime.Object, error) {
	object := reflect.New(reflect.TypeOf(live).Elem()).Interface().(runtime.Object)
	return object, decode(want, object)
}

func decode(want, into any) error {
	data, err := json.Marshal(want)
	if err != nil {
		return fmt.Errorf("encoding what is wanted: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decoding what is wanted: %w", err)
	}
	return nil
}

func compare(live, want runtime.Object) (*typed.Comparison, error) {
	wantTyped, err := typedValue(want)
	if err != nil {
		return nil, err
	}
	liveTyped, err := typedValue(live)
	if err != nil {
		return nil, err
	}
	return liveTyped.Compare(wantTyped)
}

// typedValue converts an object, which need not say its own kind.
func typedValue(object runtime.Object) (*typed.TypedValue, error) {
	kinds, _, err := scheme.ObjectKinds(object)
	if err != nil {
		return nil, fmt.Errorf("finding the kind of %T: %w", object, err)
	}
	named := shallowCopy(object)
	named.GetObjectKind().SetGroupVersionKind(kinds[0])
	value, err := converter.ObjectToTyped(named, typed.AllowDuplicates)
	if err != nil {
		return nil, fmt.Errorf("converting %T: %w", object, err)
	}
	return value, nil
}

// shallowCopy copies the outermost struct, which is all that naming the kind touches.
func shallowCopy(object runtime.Object) runtime.Object {
	switch o := object.(type) {
	case *appsv1.Deployment:
		c := *o
		return &c
	case *corev1.Service:
		c := *o
		return &c
	case *policyv1.PodDisruptionBudget:
		c := *o
		return &c
	}
	return object.DeepCopyObject()
}
