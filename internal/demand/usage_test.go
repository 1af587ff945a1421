// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package demand

import (
	"testing"

	"pgregory.net/rapid"
)

// usage is a metric with a target of 100 for each pod.
func usage(pods ...Pod) Metric {
	for i := range pods {
		pods[i].Target = 100
	}
	return Metric{Kind: Usage, Known: true, Pods: pods}
}

// uses are pods that use so much.
func uses(values ...int64) (pods []Pod) {
	for _, v := range values {
		pods = append(pods, Pod{Value: v})
	}
	return pods
}

var (
	// missing is a pod that nothing is known of, and that is taken to use all it requests, which is more than the target.
	missing = Pod{Missing: true, Assumed: 125}
	// starting is a pod that has just begun, and uses much for it.
	starting = Pod{Starting: true, Value: 900}
)

// TestAskedByUsage is what the replica calculator of the HorizontalPodAutoscaler does: its documentation's "algorithm details",
// and the cases of its own tests.
func TestAskedByUsage(t *testing.T) {
	cases := map[string]struct {
		in   Input
		want int32
	}{
		"twice the target":                    {tier(2, usage(uses(200, 200)...)), 4},
		"on average":                          {tier(2, usage(uses(300, 100)...)), 4},
		"half the target":                     {tier(4, usage(uses(50, 50, 50, 50)...)), 2},
		"a tenth above":                       {tier(3, usage(uses(110, 110, 110)...)), 3},
		"more than a tenth above":             {tier(3, usage(uses(112, 112, 112)...)), 4},
		"a tenth below":                       {tier(3, usage(uses(90, 90, 90)...)), 3},
		"idle":                                {tier(3, usage(uses(0, 0, 0)...)), 1},
		"the last pod stays":                  {tier(1, usage(uses(0)...)), 1},
		"a missing pod uses nothing, growing": {tier(3, usage(append(uses(300, 300), missing)...)), 6},
		"which may be no growth at all":       {tier(2, usage(append(uses(150), missing)...)), 2},
		"and uses all it requests, shrinking": {tier(4, usage(append(uses(10, 10, 10), missing)...)), 2},
		"which may be no shrinking at all":    {tier(2, usage(append(uses(80), missing)...)), 2},
		"a starting pod uses nothing, growing": {
			tier(3, usage(append(uses(300, 300), starting)...)), 6},
		"which is no shrinking either":     {tier(3, usage(append(uses(150), starting, starting)...)), 3},
		"a starting pod is left out else":  {tier(3, usage(append(uses(50, 50), starting)...)), 1},
		"pods that do not exist yet":       {tier(5, usage(uses(120, 120)...)), 5},
		"nothing is known of any":          {tier(3, usage(missing, missing)), 3},
		"no pod is ready":                  {tier(3, usage(starting)), 3},
		"no pods are wanted":               {tier(0, usage()), 0},
		"the queue wants more":             {tier(2, usage(uses(50, 50)...), tasks(9, 3)), 3},
		"the use wants more":               {tier(2, usage(uses(200, 200)...), tasks(9, 3)), 4},
		"the last pod is the queue's":      {tier(1, usage(uses(5)...), tasks(0, 3)), 0},
		"and stays while there are tasks":  {tier(1, usage(uses(5)...), tasks(1, 3)), 1},
		"idle, and the queue is not known": {tier(3, usage(uses(0, 0, 0)...), unknown(tasks(0, 3))), 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Decide(tc.in); got.Asked != tc.want {
				t.Errorf("asked for %d (by %d), want %d", got.Asked, got.By, tc.want)
			}
		})
	}
}

// TestUsageUnknown: a tier of whose pods nothing is known stays as it is.
func TestUsageUnknown(t *testing.T) {
	for name, m := range map[string]Metric{
		"the metrics API fails": unknown(usage(uses(1, 1, 1)...)),
		"it tells of none":      usage(missing, missing, missing),
		"none has become ready": usage(starting, starting, starting),
		"there are no pods":     usage(),
	} {
		t.Run(name, func(t *testing.T) {
			if got := Decide(calm(3, m)); got.Desired != 3 || got.By >= 0 {
				t.Errorf("desired %d by %d, want 3 by none", got.Desired, got.By)
			}
		})
	}
}

// TestUsageSettles: a load that spreads evenly over the pods leads to a number of them at which it stays.
func TestUsageSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		load := rapid.Int64Range(0, 5000).Draw(t, "load")
		n := rapid.Int32Range(1, 60).Draw(t, "replicas")
		for range 8 {
			n = Decide(calm(n, spread(load, n))).Asked
		}
		if again := Decide(calm(n, spread(load, n))).Asked; again != n {
			t.Fatalf("a load of %d asks for %d at %d", load, again, n)
		}
		if per := load / int64(n); per > 110 {
			t.Fatalf("%d pods use %d each", n, per)
		}
	})
}

func spread(load int64, n int32) Metric {
	var pods []Pod
	for range n {
		pods = append(pods, Pod{Value: load / int64(n)})
	}
	return usage(pods...)
}

func TestPercent(t *testing.T) {
	m := usage(append(uses(150, 50, 40), starting, missing)...)
	if got := m.Percent(); got != 80 {
		t.Errorf("got %d", got)
	}
	if got := new(usage()).Percent(); got != 0 {
		t.Errorf("without pods: %d", got)
	}
}
