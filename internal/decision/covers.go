// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// filledIn are the types in which the API server sets what an apply leaves out, and in which that makes no difference to
// server-side apply. All others are compared whole.
var filledIn = map[reflect.Type]bool{
	reflect.TypeFor[appsv1.Deployment]():              true,
	reflect.TypeFor[appsv1.DeploymentSpec]():          true,
	reflect.TypeFor[appsv1.DeploymentStrategy]():      true,
	reflect.TypeFor[corev1.Service]():                 true,
	reflect.TypeFor[corev1.ServiceSpec]():             true,
	reflect.TypeFor[policyv1.PodDisruptionBudget]():   true,
	reflect.TypeFor[metav1.ObjectMeta]():              true,
	reflect.TypeFor[corev1.PodTemplateSpec]():         true,
	reflect.TypeFor[corev1.PodSpec]():                 true,
	reflect.TypeFor[corev1.Container]():               true,
	reflect.TypeFor[corev1.Probe]():                   true,
	reflect.TypeFor[corev1.ProbeHandler]():            true,
	reflect.TypeFor[corev1.HTTPGetAction]():           true,
	reflect.TypeFor[corev1.Volume]():                  true,
	reflect.TypeFor[corev1.VolumeSource]():            true,
	reflect.TypeFor[corev1.ConfigMapVolumeSource]():   true,
	reflect.TypeFor[corev1.SecretVolumeSource]():      true,
	reflect.TypeFor[corev1.DownwardAPIVolumeSource](): true,
}

var (
	typeMeta   = reflect.TypeFor[metav1.TypeMeta]()
	objectMeta = reflect.TypeFor[metav1.ObjectMeta]()
)

// covers reports whether everything that want says stands in live, each element of a list at the same place. Then the API
// server's rules find no difference either, and it takes a fraction of their time to tell. What it does not cover may
// still make no difference: lists in another order, for one.
func covers(live, want any) bool {
	return coversValue(reflect.ValueOf(live), reflect.ValueOf(want), false)
}

// coversValue compares two values of one type, wholly unless fields may be filled in.
func coversValue(live, want reflect.Value, whole bool) bool {
	switch want.Kind() {
	case reflect.Pointer:
		if live.IsNil() || want.IsNil() {
			return live.IsNil() && want.IsNil()
		}
		return coversValue(live.Elem(), want.Elem(), whole)
	case reflect.Struct:
		return coversStruct(live, want, whole || !filledIn[want.Type()])
	case reflect.Slice:
		return coversList(live, want, whole)
	case reflect.Map:
		return live.Len() == want.Len() && coversMap(live, want)
	default:
		return want.Comparable() && live.Comparable() && live.Equal(want)
	}
}

func coversStruct(live, want reflect.Value, whole bool) bool {
	switch is := live.Interface().(type) {
	case resource.Quantity:
		should := want.Interface().(resource.Quantity)
		return is.String() == should.String() // Server-side apply compares how they are written.
	case metav1.Time:
		should := want.Interface().(metav1.Time)
		return is.Equal(&should)
	}
	kind := want.Type()
	for i := range kind.NumField() {
		field := kind.Field(i)
		switch {
		case field.Type == typeMeta, field.Name == "Status" && !whole, !whole && leftOut(field.Tag.Get("json"), want.Field(i)):
		case kind == objectMeta && field.Type.Kind() == reflect.Map:
			if !coversMap(live.Field(i), want.Field(i)) {
				return false
			}
		case !coversValue(live.Field(i), want.Field(i), whole):
			return false
		}
	}
	return true
}

// leftOut: a field is not in the JSON of what is wanted, as encoding/json tells it.
func leftOut(tag string, value reflect.Value) bool {
	options := strings.Split(tag, ",")[1:]
	if slices.Contains(options, "omitzero") && value.IsZero() {
		return true
	}
	if !slices.Contains(options, "omitempty") {
		return false
	}
	switch value.Kind() {
	case reflect.Slice, reflect.Map:
		return value.Len() == 0
	case reflect.Struct:
		return false
	default:
		return value.IsZero()
	}
}

func coversList(live, want reflect.Value, whole bool) bool {
	if live.Len() != want.Len() || live.IsNil() != want.IsNil() {
		return false
	}
	for i := range want.Len() {
		if !coversValue(live.Index(i), want.Index(i), whole) {
			return false
		}
	}
	return true
}

// coversMap reports whether live has all that want has.
func coversMap(live, want reflect.Value) bool {
	for entries := want.MapRange(); entries.Next(); {
		is := live.MapIndex(entries.Key())
		if !is.IsValid() || !coversValue(is, entries.Value(), true) {
			return false
		}
	}
	return true
}
