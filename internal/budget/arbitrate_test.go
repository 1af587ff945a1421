// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const mi = int64(1) << 20

// guide is the memory guide's application: 2 GiB for web, worker and ML.
func guide() Input {
	return Input{
		Budget:  2048 * mi,
		Reserve: Reserve{Auto: true},
		Tiers: []Tier{
			{Name: "web", Weight: 2, Min: 1, Desired: 2, Max: 4, PodBytes: 512 * mi, Enforcement: Paced, TemplateHash: "web1", GracePeriodSeconds: 30},
			{Name: "worker", Weight: 1, Min: 0, Desired: 1, Max: 8, PodBytes: 512 * mi, Enforcement: Gated, TemplateHash: "worker1", GracePeriodSeconds: 60},
			{Name: "ml", Weight: 1, Min: 0, Desired: 1, Max: 2, PodBytes: 1536 * mi, Enforcement: Gated, TemplateHash: "ml1", GracePeriodSeconds: 600},
		},
	}
}

type grantOf struct {
	Wanted, Granted int32
	LimitedBy       LimitedBy
	MissingMi       int64
}

func grants(p Plan) map[string]grantOf {
	out := map[string]grantOf{}
	for _, t := range p.Tiers {
		out[t.Name] = grantOf{t.Wanted, t.Granted, t.LimitedBy, t.Reason.MissingBytes / mi}
	}
	return out
}

func TestArbitrate(t *testing.T) {
	change := func(f func(*Input)) Input { in := guide(); f(&in); return in }
	for name, tc := range map[string]struct {
		in              Input
		want            map[string]grantOf
		wantReserveMi   int64
		wantUnallocated int64
		wantProblem     *Problem
	}{
		"the guide in 2Gi: ml does not fit beside web": {
			in: guide(),
			want: map[string]grantOf{
				"web": {2, 2, LimitedByNothing, 0}, "worker": {1, 1, LimitedByNothing, 0}, "ml": {1, 0, LimitedByBudget, 1536},
			},
			wantReserveMi: 512,
		},
		"the guide in 4Gi: everything": {
			in: change(func(in *Input) { in.Budget = 4096 * mi }),
			want: map[string]grantOf{
				"web": {2, 2, LimitedByNothing, 0}, "worker": {1, 1, LimitedByNothing, 0}, "ml": {1, 1, LimitedByNothing, 0},
			},
			wantReserveMi: 512, wantUnallocated: 512,
		},
		"without a reserve one more worker fits": {
			in: change(func(in *Input) { in.Reserve = Reserve{}; in.Tiers[1].Desired, in.Tiers[2].Desired = 3, 0 }),
			want: map[string]grantOf{
				"web": {2, 2, LimitedByNothing, 0}, "worker": {3, 2, LimitedByBudget, 512}, "ml": {0, 0, LimitedByNothing, 0},
			},
		},
		"the reserve is what keeps the second worker out": {
			in: change(func(in *Input) { in.Tiers[1].Desired = 2 }),
			want: map[string]grantOf{
				"web": {2, 2, LimitedByNothing, 0}, "worker": {2, 1, LimitedByReserve, 512}, "ml": {1, 0, LimitedByBudget, 1536},
			},
			wantReserveMi: 512,
		},
		"ties go by name: ml's one pod leaves nothing above web's floor": {
			in: change(func(in *Input) { in.Reserve = Reserve{} }),
			want: map[string]grantOf{
				"web": {2, 1, LimitedByBudget, 512}, "worker": {1, 0, LimitedByBudget, 512}, "ml": {1, 1, LimitedByNothing, 0},
			},
		},
		"a tier without a pod comes before another's second": {
			in: change(func(in *Input) { in.Tiers[1].Desired, in.Tiers[1].Max, in.Tiers[2].PodBytes = 4, 4, 512*mi }),
			want: map[string]grantOf{
				"web": {2, 1, LimitedByReserve, 512}, "worker": {4, 1, LimitedByReserve, 512}, "ml": {1, 1, LimitedByNothing, 0},
			},
			wantReserveMi: 512,
		},
		"weights: web gets two pods for each of worker's": {
			in: change(func(in *Input) {
				in.Budget, in.Reserve = 512*7*mi, Reserve{}
				in.Tiers[0].Desired, in.Tiers[0].Max, in.Tiers[1].Desired, in.Tiers[2].Max = 9, 9, 8, 0
			}),
			want: map[string]grantOf{
				"web": {9, 5, LimitedByBudget, 512}, "worker": {8, 2, LimitedByBudget, 512}, "ml": {0, 0, LimitedByMax, 0},
			},
		},
		"more than the tier's own maximum": {
			in: change(func(in *Input) { in.Budget = 16384 * mi; in.Tiers[2].Desired = 5 }),
			want: map[string]grantOf{
				"web": {2, 2, LimitedByNothing, 0}, "worker": {1, 1, LimitedByNothing, 0}, "ml": {2, 2, LimitedByMax, 0},
			},
			wantReserveMi: 1639, wantUnallocated: 16384 - 1638 - 1536 - 3072,
		},
		"a removed tier gets nothing": {
			in: change(func(in *Input) { in.Tiers[0].Removed = true }),
			want: map[string]grantOf{
				"web": {0, 0, LimitedByNothing, 0}, "worker": {1, 0, LimitedByReserve, 204}, "ml": {1, 1, LimitedByNothing, 0},
			},
			wantReserveMi: 205, wantUnallocated: 2048 - 204 - 1536,
		},
		"drained": {
			in: change(func(in *Input) { in.Pause = PauseDrain }),
			want: map[string]grantOf{
				"web": {2, 0, LimitedByDrain, 0}, "worker": {1, 0, LimitedByDrain, 0}, "ml": {1, 0, LimitedByDrain, 0},
			},
			wantReserveMi: 512, wantUnallocated: 1536,
		},
		"floors too large": {
			in: change(func(in *Input) {
				in.Tiers[0].Min, in.Tiers[2].Min = 2, 1
				in.Tiers[0].Live = &Deployment{Replicas: 1, PodBytes: 512 * mi}
			}),
			want: map[string]grantOf{
				"web": {2, 1, LimitedByProblem, 0}, "worker": {1, 0, LimitedByProblem, 0}, "ml": {1, 0, LimitedByProblem, 0},
			},
			wantProblem: &Problem{Code: BudgetTooSmall, SmallestBudget: 2560 * mi, FloorBytes: 2560 * mi},
		},
		"floors and a percentage too large": {
			in: change(func(in *Input) {
				in.Tiers[0].Min = 4
				in.Reserve = Reserve{Bytes: PercentOf(in.Budget, 20), Percent: 20}
			}),
			want: map[string]grantOf{
				"web": {4, 0, LimitedByProblem, 0}, "worker": {1, 0, LimitedByProblem, 0}, "ml": {1, 0, LimitedByProblem, 0},
			},
			wantReserveMi: 410,
			wantProblem: &Problem{
				Code: BudgetTooSmall, SmallestBudget: 2560 * mi, FloorBytes: 2048 * mi, ReserveBytes: PercentOf(2048*mi, 20),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := Arbitrate(tc.in)
			if d := cmp.Diff(tc.want, grants(got)); d != "" {
				t.Errorf("grants (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tc.wantProblem, got.Problem); d != "" {
				t.Errorf("problem (-want +got):\n%s", d)
			}
			if r := (got.ReserveBytes + mi - 1) / mi; r != tc.wantReserveMi {
				t.Errorf("reserve %dMi, want %dMi", r, tc.wantReserveMi)
			}
			if u := (got.Unallocated + mi - 1) / mi; u != tc.wantUnallocated {
				t.Errorf("unallocated %dMi, want %dMi", u, tc.wantUnallocated)
			}
		})
	}
}

func TestHolders(t *testing.T) {
	in := guide()
	in.Tiers[1].Desired = 8
	got := Arbitrate(in)
	want := Reason{
		MissingBytes: 1536 * mi, FloorBytes: 512 * mi, ReserveBytes: 512 * mi,
		Holders: []Holder{{"web", 512 * mi}, {"worker", 512 * mi}},
	}
	if d := cmp.Diff(want, got.Tiers[0].Reason); d != "" {
		t.Errorf("ml's reason (-want +got):\n%s", d)
	}
}

// spec draws the part of an input that arbitration reads.
func spec(rt *rapid.T) Input {
	in := Input{
		Budget:  rapid.Int64Range(0, 1<<50).Draw(rt, "budget"),
		Reserve: rapid.SampledFrom([]Reserve{{}, {Auto: true}, {Bytes: 1 << 20}}).Draw(rt, "reserve"),
	}
	if rapid.Bool().Draw(rt, "small") {
		in.Budget %= 1 << 10
		in.Reserve.Bytes = 0
	}
	pod := max(in.Budget/8, 1)
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching("[a-z]{1,3}"), 1, 16, rapid.ID).Draw(rt, "names") {
		most := rapid.Int32Range(0, 30).Draw(rt, "max")
		in.Tiers = append(in.Tiers, Tier{
			Name: name, Max: most, Weight: rapid.Int64Range(1, 1000).Draw(rt, "weight"),
			Min:         rapid.Int32Range(0, most).Draw(rt, "min") / 8,
			Desired:     rapid.Int32Range(0, 40).Draw(rt, "desired"),
			PodBytes:    rapid.Int64Range(1, pod).Draw(rt, "bytes"),
			Enforcement: rapid.SampledFrom([]Enforcement{Paced, Gated}).Draw(rt, "enforcement"),
		})
	}
	return in
}

// naive is arbitration as the documents word it, in big rationals.
func naive(in Input, reserve int64) map[string]int32 {
	granted, left := map[string]int32{}, new(big.Int).SetInt64(in.Budget-reserve)
	for _, t := range in.Tiers {
		granted[t.Name] = t.Min
		left.Sub(left, new(big.Int).Mul(big.NewInt(int64(t.Min)), big.NewInt(t.PodBytes)))
	}
	for {
		var next *Tier
		var least *big.Rat
		for i := range in.Tiers {
			t := &in.Tiers[i]
			if granted[t.Name] >= wanted(t) || left.Cmp(big.NewInt(t.PodBytes)) < 0 {
				continue
			}
			share := new(big.Rat).SetFrac(
				new(big.Int).Mul(big.NewInt(int64(granted[t.Name]-t.Min)), big.NewInt(t.PodBytes)), big.NewInt(t.Weight))
			earlier := func() bool {
				if tNone, nextNone := granted[t.Name] == 0, granted[next.Name] == 0; tNone != nextNone {
					return tNone
				}
				return t.Name < next.Name
			}
			if next == nil || share.Cmp(least) < 0 || share.Cmp(least) == 0 && earlier() {
				next, least = t, share
			}
		}
		if next == nil {
			return granted
		}
		granted[next.Name]++
		left.Sub(left, big.NewInt(next.PodBytes))
	}
}

func TestArbitrateProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := spec(rt)
		got := Arbitrate(in)
		if d := cmp.Diff(got, Arbitrate(in)); d != "" {
			rt.Fatalf("not deterministic: %s", d)
		}
		shuffled := in
		shuffled.Tiers = rapid.Permutation(in.Tiers).Draw(rt, "order")
		if d := cmp.Diff(got, Arbitrate(shuffled)); d != "" {
			rt.Fatalf("depends on the order of the tiers: %s", d)
		}
		if got.Problem != nil {
			smaller, fits := in, in
			smaller.Budget, fits.Budget = got.Problem.SmallestBudget-1, got.Problem.SmallestBudget
			if Arbitrate(smaller).Problem == nil || Arbitrate(fits).Problem != nil {
				rt.Fatalf("%d is not the smallest budget of %s", got.Problem.SmallestBudget, dump(in))
			}
			return
		}
		checkGrants(rt, in, got)
		want := naive(in, got.ReserveBytes)
		for _, g := range got.Tiers {
			if g.Granted != want[g.Name] {
				rt.Fatalf("tier %s is granted %d, not %d: %s", g.Name, g.Granted, want[g.Name], dump(in))
			}
		}
	})
}

// checkGrants checks floors, bounds, that no pod that fits is refused, and that
// what is granted and left adds up.
func checkGrants(rt *rapid.T, in Input, got Plan) {
	sum := got.ReserveBytes + got.Unallocated
	for _, g := range got.Tiers {
		i := slices.IndexFunc(in.Tiers, func(t Tier) bool { return t.Name == g.Name })
		t := in.Tiers[i]
		sum += g.GrantedBytes
		if g.Granted < t.Min || g.Granted > t.Max || g.Granted > g.Wanted {
			rt.Fatalf("tier %s is granted %d of %d..%d, wanted %d", t.Name, g.Granted, t.Min, t.Max, g.Wanted)
		}
		if g.Granted < g.Wanted && t.PodBytes <= got.Unallocated {
			rt.Fatalf("tier %s is refused a pod of %d with %d left", t.Name, t.PodBytes, got.Unallocated)
		}
	}
	if sum != in.Budget {
		rt.Fatalf("granted, reserved and left are %d of %d", sum, in.Budget)
	}
}

// TestFairness: of two tiers with pods of the same size and unmet demand, neither
// has more than one pod more than its share by weight.
func TestFairness(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w1, w2 := rapid.Int64Range(1, 9).Draw(rt, "w1"), rapid.Int64Range(1, 9).Draw(rt, "w2")
		pods := rapid.Int64Range(0, 400).Draw(rt, "pods")
		got := Arbitrate(Input{Budget: pods * mi, Tiers: []Tier{
			{Name: "a", Weight: w1, Desired: 1000, Max: 1000, PodBytes: mi},
			{Name: "b", Weight: w2, Desired: 1000, Max: 1000, PodBytes: mi},
		}})
		a, b := int64(got.Tiers[0].Granted), int64(got.Tiers[1].Granted)
		if a+b != pods || (a-1)*w2 > b*w1 || (b-1)*w1 > a*w2 {
			rt.Fatalf("%d pods by weights %d:%d became %d:%d", pods, w1, w2, a, b)
		}
	})
}

// TestLargest: budgets and counts at the limits of the API do not overflow.
func TestLargest(t *testing.T) {
	in := Input{Budget: 1 << 50, Reserve: Reserve{Auto: true}}
	for i := range 16 {
		in.Tiers = append(in.Tiers, Tier{
			Name: string(rune('a' + i)), Weight: math.MaxInt32, Min: 10000, Desired: 10000, Max: 10000,
			PodBytes: math.MaxInt64 / 2, Enforcement: Paced,
		})
	}
	got := Decide(in)
	if got.Problem == nil || got.Problem.SmallestBudget != math.MaxInt64 || len(got.Steps) > 0 {
		t.Errorf("floors beyond all memory fit: %s", dump(got))
	}
	for i := range in.Tiers {
		in.Tiers[i].Min = 0
		in.Tiers[i].PodBytes = 1 << 45
	}
	got = Decide(in)
	if got.Problem != nil || got.Exposure.Total() != 0 || Verify(in, got.Steps) != nil {
		t.Errorf("large pods: %s", dump(got))
	}
}

func TestArithmeticSaturates(t *testing.T) {
	const most, least = math.MaxInt64, math.MinInt64 + 1
	for name, tc := range map[string]struct{ got, want int64 }{
		"add":          {add(1, 2), 3},
		"add up":       {add(most, 1), most},
		"add down":     {add(least, -5), least},
		"sub":          {sub(1, 2), -1},
		"sub down":     {sub(least, most), least},
		"mul":          {mul(1<<31, 1<<31), 1 << 62},
		"mul up":       {mul(1<<32, 1<<31), most},
		"mul far up":   {mul(1<<62, 1<<62), most},
		"mul negative": {mul(-3, 4), 0},
		"percent":      {PercentOf(101, 10), 11},
		"percent most": {PercentOf(most, 100), most},
		"percent none": {PercentOf(0, 10), 0},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %d, want %d", name, tc.got, tc.want)
		}
	}
}
