// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/memorybudget/memorybudget/internal/settings"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/internal/workload"
)

// wanted are the objects of a tier as they are applied, decoded.
func wanted(t *testing.T) []runtime.Object {
	t.Helper()
	mb := testutil.MakeExample("bunoraa", "shop").UID("1").Obj()
	tier := &mb.Spec.Tiers[0]
	rendered, err := workload.Render(mb, tier, settings.Facts{})
	if err != nil {
		t.Fatal(err)
	}
	applied := map[runtime.Object]runtime.ApplyConfiguration{
		&appsv1.Deployment{}: workload.Deployment(mb, tier.Name, workload.DeploymentInput{
			Replicas: 2, Rendered: rendered, InputHash: "hash", Strategy: workload.Strategy{MaxSurge: 1},
		}),
		&corev1.Service{}:               workload.Service(mb, tier),
		&policyv1.PodDisruptionBudget{}: workload.PodDisruptionBudget(mb, tier),
	}
	var objects []runtime.Object
	for kind, want := range applied {
		object, err := decoded(want, kind)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object)
	}
	return objects
}

// TestWhatIsCoveredDoesNotDiffer changes an object in every place, one at a time: where that is said to make no difference,
// the API server's rules must find none either.
func TestWhatIsCoveredDoesNotDiffer(t *testing.T) {
	covered, noticed := 0, 0
	for _, want := range wanted(t) {
		live := want.DeepCopyObject()
		if !covers(live, want) {
			t.Errorf("%T does not cover itself", want)
		}
		seen := map[string]bool{}
		changed(reflect.ValueOf(live).Elem(), reflect.TypeOf(live).Elem().Name(), func(place string) {
			if !covers(live, want) {
				noticed++
				return
			}
			covered++
			if seen[place] {
				return
			}
			if seen[place] = true; differsBelow(live, want) {
				t.Errorf("%s differs, and is said not to", place)
			}
		})
		if !covers(live, want) {
			t.Errorf("%T was not put back", want)
		}
	}
	if covered < 200 || noticed < 200 {
		t.Errorf("%d changes made no difference and %d did: too few to tell anything", covered, noticed)
	}
}

// changed calls check for each change of a value, and undoes it. A place is the type and name of a field.
func changed(value reflect.Value, place string, check func(place string)) {
	try := func(other reflect.Value) {
		before := reflect.ValueOf(value.Interface())
		value.Set(other)
		check(place)
		if before.IsValid() {
			value.Set(before)
			return
		}
		value.SetZero()
	}
	switch value.Kind() {
	case reflect.Pointer:
		if value.IsNil() {
			try(reflect.New(value.Type().Elem()))
			return
		}
		try(reflect.Zero(value.Type()))
		changed(value.Elem(), place, check)
	case reflect.Struct:
		changedFields(value, place, check)
	case reflect.Slice:
		try(reflect.Append(value.Slice3(0, value.Len(), value.Len()), reflect.Zero(value.Type().Elem())))
		for i := range value.Len() {
			try(reflect.AppendSlice(value.Slice3(0, i, i), value.Slice(i+1, value.Len())))
			changed(value.Index(i), place, check)
		}
	case reflect.Map:
		changedMap(value, try)
	case reflect.String:
		try(reflect.ValueOf(value.String() + "x").Convert(value.Type()))
	case reflect.Bool:
		try(reflect.ValueOf(!value.Bool()).Convert(value.Type()))
	case reflect.Int32, reflect.Int64:
		try(reflect.ValueOf(value.Int() + 1).Convert(value.Type()))
	default:
	}
}

func changedFields(value reflect.Value, place string, check func(place string)) {
	if quantity, ok := reflect.TypeAssert[*resource.Quantity](value.Addr()); ok {
		before := quantity.DeepCopy()
		quantity.Add(resource.MustParse("1"))
		check(place)
		*quantity = before
		return
	}
	for i := range value.NumField() {
		field := value.Type().Field(i)
		if field.IsExported() && field.Name != "Status" && field.Type != typeMeta {
			changed(value.Field(i), value.Type().Name()+"."+field.Name, check)
		}
	}
}

func changedMap(value reflect.Value, try func(reflect.Value)) {
	copied := func() reflect.Value {
		other := reflect.MakeMap(value.Type())
		for _, key := range value.MapKeys() {
			other.SetMapIndex(key, value.MapIndex(key))
		}
		return other
	}
	more := copied()
	more.SetMapIndex(reflect.ValueOf("example.com/added").Convert(value.Type().Key()), reflect.Zero(value.Type().Elem()))
	try(more)
	for _, key := range value.MapKeys() {
		less := copied()
		less.SetMapIndex(key, reflect.Value{})
		try(less)
		other := copied()
		other.SetMapIndex(key, reflect.Zero(value.Type().Elem()))
		try(other)
	}
}
