// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"testing"
)

// converged is a budget of so many tiers with so many replicas each, all running:
// every second tier is paced.
func converged(tiers int, replicas int32) Input {
	in := Input{Budget: int64(tiers) * int64(replicas) * 512 * mi * 2, Reserve: Reserve{Auto: true}}
	for i := range tiers {
		t := Tier{
			Name: fmt.Sprintf("tier%02d", i), Weight: int64(i%3 + 1), Min: 1, Desired: replicas, Max: replicas,
			PodBytes: 512 * mi, Enforcement: Paced, TemplateHash: "1", GracePeriodSeconds: 30,
		}
		if i%2 == 1 {
			t.Enforcement = Gated
		}
		v := view{t: &t}
		rest := v.atRest(replicas, TemplateNew)
		t.Live = &Deployment{
			Replicas: replicas, TemplateHash: "1", PodBytes: t.PodBytes, Gated: t.Enforcement == Gated,
			Strategy: rest.Strategy, MinReadySeconds: rest.MinReadySeconds, Observed: true,
			ReplicaSets: []ReplicaSet{{
				Name: t.Name, Replicas: replicas, Available: replicas, Desired: replicas, TemplateHash: "1",
				PodBytes: t.PodBytes, Gated: t.Enforcement == Gated, GracePeriodSeconds: 30, Current: true,
			}},
		}
		for k := range replicas {
			t.Pods = append(t.Pods, Pod{Name: fmt.Sprint(k), Bytes: t.PodBytes, Ready: true, ReplicaSet: t.Name, Created: 1})
		}
		in.Tiers = append(in.Tiers, t)
	}
	return in
}

var sizes = []struct {
	tiers    int
	replicas int32
}{{3, 3}, {3, 300}, {16, 10}, {16, 300}}

func bench(b *testing.B, f func(Input), prepare func(*Input)) {
	b.Helper()
	for _, size := range sizes {
		b.Run(fmt.Sprintf("tiers=%d/replicas=%d", size.tiers, size.replicas), func(b *testing.B) {
			in := converged(size.tiers, size.replicas)
			prepare(&in)
			b.ReportAllocs()
			for b.Loop() {
				f(in)
			}
		})
	}
}

// BenchmarkArbitrate divides a budget for which all tiers compete.
func BenchmarkArbitrate(b *testing.B) {
	bench(b, func(in Input) { Arbitrate(in) }, func(in *Input) { in.Budget /= 3 })
}

// BenchmarkDecideConverged is the pass in which nothing is to be done.
func BenchmarkDecideConverged(b *testing.B) {
	bench(b, func(in Input) { Decide(in) }, func(*Input) {})
}

// BenchmarkDecideRollout is a pass with new templates for all tiers.
func BenchmarkDecideRollout(b *testing.B) {
	bench(b, func(in Input) { Decide(in) }, func(in *Input) {
		for i := range in.Tiers {
			in.Tiers[i].TemplateHash = "2"
		}
	})
}

// BenchmarkDecideGates is a pass in which all pods of the gated tiers are
// released.
func BenchmarkDecideGates(b *testing.B) {
	bench(b, func(in Input) { Decide(in) }, func(in *Input) {
		for i := range in.Tiers {
			for k := range in.Tiers[i].Pods {
				in.Tiers[i].Pods[k].Gated = in.Tiers[i].Enforcement == Gated
			}
		}
	})
}

// TestConvergedDecidesNothing keeps the benchmarks honest.
func TestConvergedDecidesNothing(t *testing.T) {
	for _, size := range sizes {
		if plan := Decide(converged(size.tiers, size.replicas)); len(plan.Steps)+len(plan.Waits) > 0 {
			t.Errorf("%d tiers of %d replicas: %s", size.tiers, size.replicas, dump(plan.Steps))
		}
	}
}
