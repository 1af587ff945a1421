// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// A mutation changes one value somewhere in a spec.
type mutation struct {
	path string
	do   func()
}

// mutations are all changes of one value in v: each string, number, switch and quantity, each list and
// map one entry longer, each pointer set where it was not. Types of Kubernetes are entered too, down to
// a depth that bounds their number.
func mutations(v reflect.Value, path string, depth int) []mutation {
	if depth == 0 {
		return nil
	}
	if do := scalar(v); do != nil {
		return []mutation{{path, do}}
	}
	switch kind := v.Kind(); {
	case kind == reflect.Pointer && v.IsNil():
		return pointed(v, path, depth)
	case kind == reflect.Pointer:
		return mutations(v.Elem(), path, depth)
	case kind == reflect.Slice:
		return slices.Concat(entries(v, path, depth), longer(v, path, depth))
	case kind == reflect.Map:
		return []mutation{{path + "[+]", func() {
			if v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			v.SetMapIndex(reflect.ValueOf("new"), reflect.ValueOf("x"))
		}}}
	case kind == reflect.Struct:
		return fields(v, path, depth)
	}
	return nil
}

// scalar is the change of a single value, nil for what has parts.
func scalar(v reflect.Value) func() {
	switch {
	case v.Type() == quantityType:
		return func() { v.Addr().Interface().(*resource.Quantity).Add(resource.MustParse("256Mi")) }
	case v.Kind() == reflect.String:
		return func() { v.SetString(v.String() + "x") }
	case v.CanInt():
		return func() { v.SetInt(v.Int() + 1) }
	case v.Kind() == reflect.Bool:
		return func() { v.SetBool(!v.Bool()) }
	}
	return nil
}

// pointed sets a pointer that is not set, in each way that its target can be changed.
func pointed(v reflect.Value, path string, depth int) []mutation {
	fresh := reflect.New(v.Type().Elem())
	var all []mutation
	for _, m := range mutations(fresh.Elem(), path, depth-1) {
		all = append(all, mutation{m.path, func() { m.do(); v.Set(fresh) }})
	}
	return all
}

func fields(v reflect.Value, path string, depth int) []mutation {
	var all []mutation
	for i := range v.NumField() {
		if field := v.Type().Field(i); field.IsExported() {
			all = append(all, mutations(v.Field(i), path+"."+field.Name, depth-1)...)
		}
	}
	return all
}

func entries(v reflect.Value, path string, depth int) []mutation {
	var all []mutation
	for i := range v.Len() {
		all = append(all, mutations(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth)...)
	}
	return all
}

func longer(v reflect.Value, path string, depth int) []mutation {
	fresh := reflect.New(v.Type().Elem()).Elem()
	var all []mutation
	for _, m := range mutations(fresh, path+"[+]", depth-1) {
		all = append(all, mutation{m.path, func() { m.do(); v.Set(reflect.Append(v, fresh)) }})
	}
	return all
}

// irrelevant are parts of a spec that no pod template depends on.
var irrelevant = []string{".Memory", ".Reserve", ".Policy", ".Pause", ".Replicas", ".Weight"}

func isIrrelevant(path string) bool {
	path = strings.TrimPrefix(path, "spec")
	if i := strings.Index(path, "]"); strings.HasPrefix(path, ".Tiers[") && i > 0 {
		path = path[i+1:]
		return slices.ContainsFunc([]string{".Replicas", ".Scaling", ".Weight"}, func(p string) bool { return strings.HasPrefix(path, p) })
	}
	return slices.ContainsFunc(irrelevant, func(p string) bool { return strings.HasPrefix(path, p) })
}

// TestInputHashCoversTheTemplate changes each value of each resource in turn: whenever the template of
// a tier changes, its input hash must too, or the change would never reach the cluster; and what no
// template depends on must change no hash, or an edit of the budget would let an upgrade restart pods.
func TestInputHashCoversTheTemplate(t *testing.T) {
	count, all := 0, inputs(t)
	for _, name := range []string{"bunoraa", "rabbitmq", "triton", "process"} {
		mb := all[name]
		mb.Spec.Application.Pod = &v1alpha1.Pod{}
		before := fingerprints(mb)
		for i := range len(mutations(reflect.ValueOf(&mb.Spec), "spec", 9)) {
			changed := mb.DeepCopy()
			m := mutations(reflect.ValueOf(&changed.Spec), "spec", 9)[i]
			m.do()
			count += checkMutation(t, name+" "+m.path, before, fingerprints(changed), isIrrelevant(m.path))
		}
	}
	if count < 1000 {
		t.Errorf("only %d changes of templates were seen", count)
	}
}

// fingerprint is the input hash of a tier and the hash of its template, empty where it has none.
type fingerprint struct{ input, template string }

func fingerprints(mb *v1alpha1.MemoryBudget) []fingerprint {
	all := make([]fingerprint, 0, len(mb.Spec.Tiers))
	for i := range mb.Spec.Tiers {
		f := fingerprint{input: InputHash(mb, mb.Spec.Tiers[i].Name)}
		if r, err := Render(mb, &mb.Spec.Tiers[i], settings.Facts{}); err == nil {
			f.template = r.Hash
		}
		all = append(all, f)
	}
	return all
}

// checkMutation compares all tiers before and after, and counts the templates that changed.
func checkMutation(t *testing.T, what string, before, after []fingerprint, irrelevant bool) int {
	t.Helper()
	count := 0
	for i, old := range before {
		if irrelevant && old.input != after[i].input {
			t.Errorf("%s changes the input hash of tier %d", what, i)
		}
		if after[i].template == "" || after[i].template == old.template {
			continue
		}
		count++
		if old.input == after[i].input {
			t.Errorf("%s changes the template of tier %d, but not its input hash", what, i)
		}
	}
	return count
}

func TestInputHashMeansTheSame(t *testing.T) {
	base := func() *v1alpha1.MemoryBudget {
		mb := testutil.MakeExample("bunoraa", "shop").Obj()
		mb.Spec.Tiers[1].Celery.MaxMemoryPerChild = new(resource.MustParse("180Mi"))
		mb.Spec.Tiers[1].CPU = &v1alpha1.CPU{Limit: new(resource.MustParse("1"))}
		mb.Spec.Tiers[1].Pod = &v1alpha1.Pod{Labels: map[string]string{"a": "1", "b": "2"}}
		return mb
	}
	tests := map[string]struct {
		change func(*v1alpha1.MemoryBudget)
		same   bool
	}{
		"nothing":            {func(*v1alpha1.MemoryBudget) {}, true},
		"spelling of memory": {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Memory.PerPod = resource.MustParse("0.5Gi") }, true},
		"memory in bytes":    {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Memory.PerPod = resource.MustParse("536870912") }, true},
		"memory in millis":   {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Memory.PerPod = resource.MustParse("536870912000m") }, true},
		"spelling of CPU":    {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].CPU.Limit = new(resource.MustParse("1000m")) }, true},
		"spelling of the child's memory": {func(mb *v1alpha1.MemoryBudget) {
			mb.Spec.Tiers[1].Celery.MaxMemoryPerChild = new(resource.MustParse("184320Ki"))
		}, true},
		"order of tiers":     {func(mb *v1alpha1.MemoryBudget) { slices.Reverse(mb.Spec.Tiers) }, true},
		"replicas":           {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Replicas = nil }, true},
		"scaling":            {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1] = scaled(mb.Spec.Tiers[1]) }, true},
		"budget":             {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Memory = resource.MustParse("64Gi") }, true},
		"another tier":       {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[0].Gunicorn.Workers = new(int32(1)) }, true},
		"default said aloud": {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Enforcement = v1alpha1.EnforcementGated }, true},
		"application's pod": {func(mb *v1alpha1.MemoryBudget) {
			mb.Spec.Application.Pod, mb.Spec.Tiers[1].Pod = mb.Spec.Tiers[1].Pod, nil
		}, true},
		"memory":               {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Memory.PerPod = resource.MustParse("513Mi") }, false},
		"image":                {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image += "x" }, false},
		"enforcement":          {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Enforcement = v1alpha1.EnforcementPaced }, false},
		"routes elsewhere":     {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[2].Celery.Tasks = nil }, false},
		"name of the resource": {func(mb *v1alpha1.MemoryBudget) { mb.Name = "other" }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			changed := base()
			tc.change(changed)
			if got := InputHash(base(), "worker") == InputHash(changed, "worker"); got != tc.same {
				t.Errorf("same hash: %v, want %v", got, tc.same)
			}
			if _, err := Render(changed, tierOf(changed, "worker"), settings.Facts{}); err != nil {
				t.Error(err)
			}
		})
	}
	if got := InputHash(base(), "none"); got != "" {
		t.Errorf("InputHash of no tier = %q", got)
	}
}

// scaled is a tier with all of scaling set.
func scaled(tier v1alpha1.Tier) v1alpha1.Tier {
	return (&testutil.TierWrapper{Tier: tier}).ScalesByQueue(5, func(s *v1alpha1.Scaling) {
		rules := &v1alpha1.ScalingRules{
			StabilizationWindowSeconds: new(int32(60)),
			SelectPolicy:               v1alpha1.ScalingPolicySelectMin,
			Policies:                   []v1alpha1.ScalingPolicy{{Type: v1alpha1.ScalingPolicyPods, Value: 1, PeriodSeconds: 60}},
			Tolerance:                  new(resource.MustParse("50m")),
		}
		s.Behavior = &v1alpha1.ScalingBehavior{ScaleUp: rules, ScaleDown: rules}
	}).Obj()
}

func TestInputHashLeavesTheResourceAlone(t *testing.T) {
	for name, mb := range inputs(t) {
		before := mb.DeepCopy()
		for i := range mb.Spec.Tiers {
			InputHash(mb, mb.Spec.Tiers[i].Name)
			rendered(t, mb, &mb.Spec.Tiers[i])
		}
		if !reflect.DeepEqual(before, mb) {
			t.Errorf("%s was changed", name)
		}
	}
}
