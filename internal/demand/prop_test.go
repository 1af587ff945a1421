// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package demand

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func anyMetric(rt *rapid.T) Metric {
	return Metric{
		Kind: rapid.SampledFrom([]Kind{PerReplica, Ratio}).Draw(rt, "kind"), Known: rapid.IntRange(0, 4).Draw(rt, "known") > 0,
		Value: rapid.Int64Range(0, 200).Draw(rt, "value"), Target: rapid.Int64Range(1, 10).Draw(rt, "target"),
	}
}

func anyRules(rt *rapid.T) Rules {
	r := Rules{
		Window:    time.Duration(rapid.IntRange(0, 60).Draw(rt, "window")) * time.Second,
		Select:    rapid.SampledFrom([]Select{SelectMax, SelectMin, SelectDisabled}).Draw(rt, "select"),
		Tolerance: rapid.Int64Range(0, 500).Draw(rt, "tolerance"),
	}
	for range rapid.IntRange(1, 3).Draw(rt, "policies") {
		r.Policies = append(r.Policies, Policy{
			Percent: rapid.Bool().Draw(rt, "percent"), Value: int32(rapid.IntRange(1, 150).Draw(rt, "of")),
			Period: time.Duration(rapid.IntRange(1, 60).Draw(rt, "period")) * time.Second,
		})
	}
	return r
}

func anyTier(rt *rapid.T) Input {
	in := Input{
		Now: start, Replicas: int32(rapid.IntRange(0, 20).Draw(rt, "replicas")), Min: int32(rapid.IntRange(0, 3).Draw(rt, "min")),
		Up: anyRules(rt), Down: anyRules(rt),
	}
	in.Max = in.Min + int32(rapid.IntRange(0, 20).Draw(rt, "max"))
	return in
}

// TestAlways is what holds of every decision in any course of events.
func TestAlways(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := anyTier(rt)
		for range rapid.IntRange(1, 30).Draw(rt, "decisions") {
			in.Now = in.Now.Add(time.Duration(rapid.IntRange(0, 40).Draw(rt, "seconds")) * time.Second)
			in.Ready = min(in.Replicas, int32(rapid.IntRange(0, 20).Draw(rt, "ready")))
			in.Metrics = rapid.SliceOfN(rapid.Custom(anyMetric), 0, 3).Draw(rt, "metrics")
			got := Decide(in)
			holds(rt, in, got)
			in.History = got.History
			in.Replicas = int32(rapid.IntRange(0, int(max(got.Desired, in.Replicas))).Draw(rt, "granted"))
		}
	})
}

func holds(rt *rapid.T, in Input, got Decision) {
	if got.Desired < in.Min || got.Desired > in.Max {
		rt.Fatalf("desires %d, not within %d and %d", got.Desired, in.Min, in.Max)
	}
	if got.Desired < min(in.Replicas, in.Max) && !in.Known() {
		rt.Fatalf("shrinks from %d to %d while not all is known", in.Replicas, got.Desired)
	}
	if got.Desired == 0 && in.Replicas > 1 && in.Max > 0 {
		rt.Fatalf("goes from %d to zero at once", in.Replicas)
	}
	if !got.Next.IsZero() && !got.Next.After(in.Now) {
		rt.Fatalf("next at %s, which is over", got.Next)
	}
	if (got.Limit == LimitNone) != (got.Desired == got.Asked) {
		rt.Fatalf("asked for %d, desires %d, limited by %q", got.Asked, got.Desired, got.Limit)
	}
	repeats(rt, in, got)
}

// repeats: the same input gives the same decision, also with its metrics in another order.
func repeats(rt *rapid.T, in Input, got Decision) {
	if diff := cmp.Diff(got, Decide(in)); diff != "" {
		rt.Fatalf("the same input, another decision:\n%s", diff)
	}
	slices.Reverse(in.Metrics)
	turned := Decide(in)
	turned.By = got.By
	if diff := cmp.Diff(got, turned); diff != "" {
		rt.Fatalf("another order of metrics, another decision:\n%s", diff)
	}
	slices.Reverse(in.Metrics)
}

// TestSettles: under a constant demand a tier that gets what it desires comes to rest, and looking again only when Next says so
// misses nothing.
func TestSettles(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := anyTier(rt)
		in.Metrics = []Metric{tasks(rapid.Int64Range(0, 200).Draw(rt, "tasks"), rapid.Int64Range(1, 10).Draw(rt, "target"))}
		for range 500 {
			got := Decide(in)
			often := in
			for s := time.Second; got.Desired == in.Replicas && s < 3*time.Minute; s += time.Second {
				if often.Now = in.Now.Add(s); !got.Next.IsZero() && !often.Now.Before(got.Next) {
					break
				}
				often.History = got.History
				if sooner := Decide(often); sooner.Desired != got.Desired {
					rt.Fatalf("desires %d, then %d after %s, and said %s", got.Desired, sooner.Desired, s, got.Next)
				}
			}
			if got.Desired == in.Replicas && got.Next.IsZero() {
				return
			}
			if got.Desired == in.Replicas {
				in.Now = got.Next
			}
			in.History, in.Replicas, in.Ready = got.History, got.Desired, got.Desired
		}
		rt.Fatalf("it does not come to rest: %+v", in)
	})
}
