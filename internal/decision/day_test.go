// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/demand"
)

// poll is how often the loads of these days are read.
const poll = 10 * time.Second

// load is how many tasks a tier has at a time of the day; negative where that cannot be read.
type load func(at time.Duration, noise *rand.Rand) int64

// noisy is a load that is read with so much noise to either side.
func noisy(part float64, value func(at time.Duration) float64) load {
	return func(at time.Duration, noise *rand.Rand) int64 {
		return int64(math.Round(value(at) * (1 + part*(2*noise.Float64()-1))))
	}
}

func constant(value float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return value }
}

// wave is a load that is highest at noon and lowest at midnight.
func wave(low, high float64) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		return low + (high-low)*(1-math.Cos(2*math.Pi*at.Hours()/24))/2
	}
}

// day goes through a day of a web tier of two pods and queue tiers with two tasks for each pod, in a budget of so many bytes, and
// returns what the tiers were granted at each poll. All numbers are made from the seed.
func day(bytes int64, loads map[string]load, order []string, seed uint64) map[string][]int32 {
	granted := map[string][]int32{}
	histories, noise := map[string]demand.History{}, map[string]*rand.Rand{}
	for i, name := range slices.Sorted(slices.Values(order)) {
		noise[name] = rand.New(rand.NewPCG(seed, uint64(i)))
	}
	for at := time.Duration(0); at < 24*time.Hour; at += poll {
		in := budget.Input{Budget: bytes}
		for _, name := range order {
			tier := budget.Tier{Name: name, Weight: 1, Max: 20, PodBytes: 1, TemplateHash: "t"}
			if loads[name] == nil {
				tier.Min, tier.Desired = 2, 2
			} else {
				d := demand.Decide(demandAt(at, latest(granted[name]), loads[name](at, noise[name]), histories[name]))
				histories[name], tier.Desired = d.History, d.Desired
			}
			in.Tiers = append(in.Tiers, tier)
		}
		for _, tier := range budget.Arbitrate(in).Tiers {
			granted[tier.Name] = append(granted[tier.Name], tier.Granted)
		}
	}
	return granted
}

func latest(granted []int32) int32 {
	if len(granted) == 0 {
		return 0
	}
	return granted[len(granted)-1]
}

func demandAt(at time.Duration, replicas int32, tasks int64, history demand.History) demand.Input {
	return demand.Input{
		Now: noon.Add(at), Replicas: replicas, Ready: replicas, Max: 20, History: history,
		Metrics: []demand.Metric{{Kind: demand.PerReplica, Known: tasks >= 0, Value: tasks, Target: 2}},
		Up: demand.Rules{Select: demand.SelectMax, Tolerance: 100, Policies: []demand.Policy{
			{Percent: true, Value: 100, Period: 15 * time.Second}, {Value: 4, Period: 15 * time.Second},
		}},
		Down: demand.Rules{Select: demand.SelectMax, Tolerance: 100, Window: 5 * time.Minute, Policies: []demand.Policy{
			{Percent: true, Value: 100, Period: 15 * time.Second},
		}},
	}
}

// changesOf are the polls at which a grant changed.
func changesOf(granted []int32) (at []int) {
	for i := 1; i < len(granted); i++ {
		if granted[i] != granted[i-1] {
			at = append(at, i)
		}
	}
	return at
}

// flips are the changes of a grant that undid one of the last five minutes, unless the other tier's changed too: one gave, one took.
func flips(granted, other []int32) (n int) {
	at := changesOf(granted)
	for k := 1; k < len(at); k++ {
		i, before := at[k], at[k-1]
		undone := granted[i] == granted[before-1] && time.Duration(i-before)*poll < 5*time.Minute
		if undone && other[i] == other[i-1] {
			n++
		}
	}
	return n
}

// TestADayOfNoise: loads that only seem to move change nothing, wherever they lie between two numbers of replicas, with and
// without room in the budget.
func TestADayOfNoise(t *testing.T) {
	for _, bytes := range []int64{40, 9} {
		for _, tasks := range []float64{1, 5.9, 6, 6.1, 8.05, 11.7, 20} {
			granted := day(bytes, map[string]load{"worker": noisy(0.05, constant(tasks)), "ml": noisy(0.05, constant(7))},
				[]string{"web", "worker", "ml"}, 1)
			for name, all := range granted {
				settled := all[int(10*time.Minute/poll):]
				if at := changesOf(settled); len(at) > 0 {
					t.Errorf("a load of %v in %d: the grant of %s changed %d times", tasks, bytes, name, len(at))
				}
			}
		}
	}
}

// TestADay is a day with its ups and downs, bursts, and half an hour in which nothing can be read, in a budget that is too small
// at noon. It is made, not recorded.
func TestADay(t *testing.T) {
	bursts := func(at time.Duration) float64 {
		if at.Hours() >= 6 && int(at.Minutes())%90 < 10 {
			return 9
		}
		return 0
	}
	worker := noisy(0.05, wave(0.2, 30))
	loads := map[string]load{"ml": noisy(0, bursts), "worker": func(at time.Duration, noise *rand.Rand) int64 {
		if n := worker(at, noise); at < 16*time.Hour || at >= 16*time.Hour+25*time.Minute {
			return n
		}
		return -1
	}}
	granted := day(14, loads, []string{"web", "worker", "ml"}, 7)
	for name, other := range map[string]string{"worker": "ml", "ml": "worker"} {
		if n := flips(granted[name], granted[other]); n > 0 {
			t.Errorf("the grant of %s was changed and changed back within five minutes %d times", name, n)
		}
	}
	const begin, end = int(16 * time.Hour / poll), int((16*time.Hour + 25*time.Minute) / poll)
	if outage := granted["worker"][begin:end]; slices.Min(outage) < outage[0] {
		t.Errorf("while nothing could be read, worker went from %d to %d", outage[0], slices.Min(outage))
	}
	for _, order := range [][]string{{"ml", "web", "worker"}, {"worker", "ml", "web"}, {"worker", "web", "ml"}} {
		if diff := cmp.Diff(granted, day(14, loads, order, 7)); diff != "" {
			t.Errorf("with the tiers in the order %v, other grants", order)
		}
	}
	for i := range granted["worker"] {
		if sum := granted["web"][i] + granted["worker"][i] + granted["ml"][i]; sum > 14 {
			t.Fatalf("%d pods are granted of 14", sum)
		}
	}
}
