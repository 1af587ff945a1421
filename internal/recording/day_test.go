// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// look is how often the queues of the recorded days are read.
const look = 10 * time.Minute

// recordDay goes through a day of the shop, each decision of it whole and recorded, and returns the records of it.
func recordDay(t *testing.T, load func(at time.Duration, noise *rand.Rand) observe.Broker) []*Record {
	t.Helper()
	dir, noise := t.TempDir(), rand.New(rand.NewPCG(3, 5))
	r := newRecorder(dir, 64<<20, logr.Discard())
	s := &observe.Snapshot{MemoryBudget: shop()}
	for at := time.Duration(0); at < 24*time.Hour; at += look {
		s.Now, s.Broker = morning.Add(at), load(at, noise)
		step(r, s)
	}
	paths, _ := filesIn(t, dir)
	return readAll(t, paths...)
}

// waves have a peak at noon, bursts of ml, and half an hour in which the broker cannot be read.
func waves(at time.Duration, noise *rand.Rand) observe.Broker {
	share := (1 - math.Cos(2*math.Pi*at.Hours()/24)) / 2
	queues := map[string]int64{"celery": int64(30 * share * (0.95 + noise.Float64()/10))}
	if int(at.Minutes())%90 < 10 {
		queues["ml"] = 4
	}
	broker := tasks(queues)
	if at > 14*time.Hour && at < 14*time.Hour+30*time.Minute {
		broker.State, broker.FailingSince = observe.BrokerUnreachable, morning.Add(14*time.Hour)
	}
	return broker
}

// replayed are a record's snapshot and the decision that it gives now, which must be what was recorded.
func replayed(t *testing.T, record *Record) (*observe.Snapshot, decision.Decision) {
	t.Helper()
	s, err := record.Read()
	if err != nil {
		t.Fatal(err)
	}
	replay, err := record.Replay(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range replay.Differences {
		t.Fatalf("%s: %s", s.Now, d)
	}
	return s, replay.Decision
}

func isWorker(tier budget.TierPlan) bool { return tier.Name == "worker" }

// outcomes are what each tier asks for, by its demand and its place in the budget.
func outcomes(d *decision.Decision) map[string]any {
	all := map[string]any{}
	for _, tier := range d.Plan.Tiers {
		all["grant of "+tier.Name] = tier
	}
	for i := range d.Tiers {
		if t := &d.Tiers[i]; t.Demand != nil {
			all["demand of "+t.Spec.Name] = *t.Demand
		}
	}
	return all
}

// TestARecordedDay: replayed, a day gives the same decisions again; and with the tiers of the spec in any other order, each tier's demand
// and grant are the same.
func TestARecordedDay(t *testing.T) {
	grants, shuffle := map[int32]bool{}, rand.New(rand.NewPCG(1, 2))
	for _, record := range recordDay(t, waves) {
		s, d := replayed(t, record)
		want := outcomes(&d)
		grants[d.Plan.Tiers[slices.IndexFunc(d.Plan.Tiers, isWorker)].Granted] = true
		tiers := s.MemoryBudget.Spec.Tiers
		shuffle.Shuffle(len(tiers), func(i, k int) { tiers[i], tiers[k] = tiers[k], tiers[i] })
		other := decision.Decide(s)
		if diff := cmp.Diff(want, outcomes(&other)); diff != "" {
			t.Fatalf("%s: with the tiers in the order %s, %s and %s (-want +got):\n%s",
				s.Now, tiers[0].Name, tiers[1].Name, tiers[2].Name, diff)
		}
	}
	if len(grants) < 4 {
		t.Errorf("worker was granted no more than these numbers of replicas: %v", grants)
	}
}

// TestARecordedDayOfNoise: loads that only seem to move change no grant.
func TestARecordedDayOfNoise(t *testing.T) {
	records := recordDay(t, func(_ time.Duration, noise *rand.Rand) observe.Broker {
		around := func(n float64) int64 { return int64(math.Round(n * (0.95 + noise.Float64()/10))) }
		return tasks(map[string]int64{"celery": around(11.9), "ml": around(1)})
	})
	var granted []int32
	for i, record := range records {
		_, d := replayed(t, record)
		worker := d.Plan.Tiers[slices.IndexFunc(d.Plan.Tiers, isWorker)].Granted
		if granted = append(granted, worker); i > 2 && worker != granted[i-1] {
			t.Fatalf("decision %d grants worker %d after %d", i, worker, granted[i-1])
		}
	}
}
