// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// queued is the shop with a worker tier of two processes that scales between 0 and 8, alone in a large budget.
func queued(scaling v1alpha1.Scaling) *v1alpha1.MemoryBudget {
	worker := testutil.MakeTier("worker", v1alpha1.RoleWorker).Replicas(0, 1, 8).
		Celery("celery", "emails").
		CeleryOptions(func(c *v1alpha1.Celery) { c.Concurrency = new(int32(2)) }).Obj()
	worker.Replicas.Desired, worker.Scaling = nil, &scaling
	return testutil.MakeMemoryBudget("shop", "default").UID("u").Memory("8Gi").Reserve("0").
		Django("core.settings").CeleryApp("core").Redis("broker", "url").Tier(worker).Obj()
}

// read is a broker with tasks in these queues, and the other queue of the tier empty.
func read(queues ...observe.Queue) observe.Broker {
	for _, name := range []string{"celery", "emails"} {
		if !slices.ContainsFunc(queues, func(q observe.Queue) bool { return q.Name == name }) {
			queues = append(queues, observe.Queue{Name: name})
		}
	}
	return observe.Broker{State: observe.BrokerRead, Queues: queues}
}

func queueMetric(depth, wait *int32) v1alpha1.Scaling {
	return v1alpha1.Scaling{Metrics: []v1alpha1.Metric{{
		Queue: &v1alpha1.QueueMetric{TargetDepthPerProcess: depth, TargetWaitSeconds: wait},
	}}}
}

// TestDemand is what a tier without replicas asks for.
func TestDemand(t *testing.T) {
	ago := func(s int) time.Time { return noon.Add(-time.Duration(s) * time.Second) }
	failing := read(observe.Queue{Name: "celery", Ready: 9})
	failing.FailingSince = noon
	cases := map[string]struct {
		scaling v1alpha1.Scaling
		broker  observe.Broker
		asked   int32
		desired int32
		limit   demand.Limit
		measure decision.Measure
	}{
		"one task for each process by default": {
			broker: read(observe.Queue{Name: "celery", Ready: 5}), asked: 3, desired: 3, measure: decision.MeasureDepth,
		},
		"all queues of the tier, and no others": {
			broker: read(observe.Queue{Name: "celery", Ready: 1}, observe.Queue{Name: "emails", Ready: 2}, observe.Queue{Name: "ml", Ready: 50}),
			asked:  2, desired: 2, measure: decision.MeasureDepth,
		},
		"tasks that are taken count: their workers may be dead": {
			broker: read(observe.Queue{Name: "celery", Reserved: 3}), asked: 2, desired: 2, measure: decision.MeasureDepth,
		},
		"tasks that are due later do not": {
			broker: read(observe.Queue{Name: "celery", Later: 300}), measure: decision.MeasureDepth,
		},
		"more tasks for each process": {
			scaling: queueMetric(new(int32(10)), nil), broker: read(observe.Queue{Name: "celery", Ready: 41}), asked: 3, desired: 3,
			measure: decision.MeasureDepth,
		},
		"the wait of the oldest": {
			scaling: queueMetric(nil, new(int32(30))), broker: read(observe.Queue{Name: "celery", Ready: 4, Oldest: ago(75)}),
			asked: 3, desired: 3, measure: decision.MeasureWait,
		},
		"the wait of the oldest of all queues": {
			scaling: queueMetric(nil, new(int32(30))),
			broker:  read(observe.Queue{Name: "celery", Ready: 4, Oldest: ago(75)}, observe.Queue{Name: "emails", Ready: 1, Oldest: ago(100)}),
			asked:   4, desired: 4, measure: decision.MeasureWait,
		},
		"a task that has only just come": {
			scaling: queueMetric(nil, new(int32(30))), broker: read(observe.Queue{Name: "celery", Ready: 4, Oldest: ago(-2)}),
			asked: 1, desired: 1, measure: decision.MeasureWait,
		},
		"no task waits, one runs": {
			scaling: queueMetric(nil, new(int32(30))), broker: read(observe.Queue{Name: "celery", Reserved: 1}),
			asked: 1, desired: 1, measure: decision.MeasureAny,
		},
		"nothing tells for how long they wait": {
			scaling: queueMetric(nil, new(int32(30))), broker: read(observe.Queue{Name: "celery", Ready: 4}),
			asked: 2, desired: 2, measure: decision.MeasureDepth,
		},
		"nothing tells of some for how long they wait": {
			scaling: queueMetric(nil, new(int32(30))),
			broker:  read(observe.Queue{Name: "celery", Ready: 9, Unstamped: 9}, observe.Queue{Name: "emails", Ready: 1, Oldest: ago(1)}),
			asked:   5, desired: 4, limit: demand.LimitPolicy, measure: decision.MeasureDepth,
		},
		"counts beyond all numbers": {
			broker: read(observe.Queue{Name: "celery", Ready: math.MaxInt64}, observe.Queue{Name: "emails", Ready: math.MaxInt64}),
			asked:  math.MaxInt32, desired: 4, limit: demand.LimitPolicy, measure: decision.MeasureDepth,
		},
		"depth and wait": {
			scaling: queueMetric(new(int32(1)), new(int32(30))), broker: read(observe.Queue{Name: "celery", Ready: 7, Oldest: ago(1)}),
			asked: 4, desired: 4, measure: decision.MeasureDepth,
		},
		"within replicas.max": {
			broker: read(observe.Queue{Name: "celery", Ready: 500}), asked: 250, desired: 4, limit: demand.LimitPolicy,
			measure: decision.MeasureDepth,
		},
		"what cannot be read any more is not zero": {broker: failing},
		"a queue that is not counted yet is not empty": {
			broker: observe.Broker{State: observe.BrokerRead, Queues: []observe.Queue{{Name: "celery", Ready: 9}}},
		},
		"what was not read yet is not zero": {broker: observe.Broker{State: observe.BrokerNotReadYet}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := decision.Decide(&observe.Snapshot{MemoryBudget: queued(tc.scaling), Now: noon, Broker: tc.broker})
			got := d.Tiers[0].Demand
			if got.Asked != tc.asked || got.Desired != tc.desired || got.Limit != tc.limit {
				t.Errorf("asked for %d, desires %d, limited by %q, want %d, %d and %q",
					got.Asked, got.Desired, got.Limit, tc.asked, tc.desired, tc.limit)
			}
			if tc.measure != "" && got.Measures[got.By] != tc.measure {
				t.Errorf("by %s, want %s", got.Measures[got.By], tc.measure)
			}
			if granted := d.Plan.Tiers[0]; granted.Wanted != tc.desired || granted.Granted != tc.desired {
				t.Errorf("wanted %d, granted %d", granted.Wanted, granted.Granted)
			}
		})
	}
}

// TestDemandWithinTheBudget: what is asked for is granted as far as the budget goes.
func TestDemandWithinTheBudget(t *testing.T) {
	mb := queued(v1alpha1.Scaling{})
	mb.Spec.Memory = resource.MustParse("512Mi")
	d := decision.Decide(&observe.Snapshot{MemoryBudget: mb, Now: noon, Broker: read(observe.Queue{Name: "celery", Ready: 8})})
	if got := d.Plan.Tiers[0]; got.Wanted != 4 || got.Granted != 2 {
		t.Errorf("wanted %d, granted %d", got.Wanted, got.Granted)
	}
}

// TestRules are those of the spec, with what it leaves out as autoscaling/v2 has it.
func TestRules(t *testing.T) {
	half, policy := resource.MustParse("0.05"), v1alpha1.ScalingPolicy{Type: v1alpha1.ScalingPolicyPods, Value: 2, PeriodSeconds: 60}
	scaling := v1alpha1.Scaling{Behavior: &v1alpha1.ScalingBehavior{
		ScaleUp:   &v1alpha1.ScalingRules{StabilizationWindowSeconds: new(int32(30)), Tolerance: &half},
		ScaleDown: &v1alpha1.ScalingRules{SelectPolicy: v1alpha1.ScalingPolicySelectMin, Policies: []v1alpha1.ScalingPolicy{policy}},
	}}
	d := decision.Decide(&observe.Snapshot{MemoryBudget: queued(scaling), Now: noon})
	percent := demand.Policy{Percent: true, Value: 100, Period: 15 * time.Second}
	up := demand.Rules{
		Window: 30 * time.Second, Select: demand.SelectMax, Tolerance: 50,
		Policies: []demand.Policy{percent, {Value: 4, Period: 15 * time.Second}},
	}
	down := demand.Rules{
		Window: 300 * time.Second, Select: demand.SelectMin, Tolerance: 100, Policies: []demand.Policy{{Value: 2, Period: time.Minute}},
	}
	if diff := cmp.Diff([]demand.Rules{up, down}, []demand.Rules{d.Tiers[0].Demand.Input.Up, d.Tiers[0].Demand.Input.Down}); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// TestHistoryOfDemand: what a decision recorded is what the next one goes by.
func TestHistoryOfDemand(t *testing.T) {
	s := &observe.Snapshot{MemoryBudget: queued(v1alpha1.Scaling{}), Now: noon, Broker: read(observe.Queue{Name: "celery", Ready: 6})}
	first := decision.Decide(s)
	s = written(t, s.MemoryBudget, first.Writes)
	s.Histories, s.Broker, s.Now = first.Histories(), read(observe.Queue{Name: "celery"}), noon.Add(time.Minute)
	second := decision.Decide(s)
	if got := second.Tiers[0].Demand; got.Desired != 3 || got.Limit != demand.LimitStabilization {
		t.Errorf("desires %d, limited by %q", got.Desired, got.Limit)
	}
	if want := noon.Add(6 * time.Minute); !second.Next().Equal(want) {
		t.Errorf("next at %s, want %s", second.Next(), want)
	}
	s.Histories, s.Now = second.Histories(), second.Next()
	if got := decision.Decide(s).Tiers[0].Demand; got.Desired != 1 || got.Limit != demand.LimitThroughOne {
		t.Errorf("desires %d, limited by %q", got.Desired, got.Limit)
	}
}

// TestWaitIsLookedAtAgain: a wait grows while nothing else changes.
func TestWaitIsLookedAtAgain(t *testing.T) {
	broker := read(observe.Queue{Name: "celery", Ready: 50, Oldest: noon.Add(-2 * time.Second)})
	s := &observe.Snapshot{MemoryBudget: queued(queueMetric(nil, new(int32(30)))), Now: noon, Broker: broker}
	d := decision.Decide(s)
	if got := d.Next(); !got.After(noon) || got.After(noon.Add(10*time.Second)) {
		t.Errorf("next at %s", got)
	}
	s = written(t, s.MemoryBudget, d.Writes)
	s.Broker, s.Histories, s.Now = broker, d.Histories(), noon.Add(10*time.Minute)
	if got := decision.Decide(s).Tiers[0].Demand.Asked; got < 20 {
		t.Errorf("asked for %d after ten minutes", got)
	}
}

// TestScaledByOthers: what somebody else makes of the replicas is not what the tier asks for, whether its queues can be read or not.
func TestScaledByOthers(t *testing.T) {
	for name, broker := range map[string]observe.Broker{
		"read": read(observe.Queue{Name: "celery", Ready: 8}), "not read": {State: observe.BrokerUnreachable, FailingSince: noon},
	} {
		for _, replicas := range []int32{0, 3, 8} {
			t.Run(fmt.Sprintf("%s, %d", name, replicas), func(t *testing.T) {
				mb := queued(v1alpha1.Scaling{})
				first := decision.Decide(&observe.Snapshot{MemoryBudget: mb, Now: noon, Broker: read(observe.Queue{Name: "celery", Ready: 8})})
				s := written(t, mb, first.Writes)
				s.Deployments[0].Spec.Replicas = &replicas
				s.Histories, s.Broker, s.Now = first.Histories(), broker, noon.Add(time.Minute)
				d := decision.Decide(s)
				if got := d.Tiers[0].Demand.Desired; got != 4 {
					t.Errorf("desires %d", got)
				}
				if len(d.Writes) == 0 || !d.Writes[0].PutsBack {
					t.Errorf("writes %+v", d.Writes)
				}
			})
		}
	}
}

// TestRecommendedDemand: where nothing is carried out, the demand goes on as if it were.
func TestRecommendedDemand(t *testing.T) {
	mb := queued(v1alpha1.Scaling{})
	mb.Spec.Policy = v1alpha1.PolicyRecommend
	s := &observe.Snapshot{MemoryBudget: mb, Now: noon, Broker: read(observe.Queue{Name: "celery", Ready: 16})}
	var course []int32
	for !s.Now.IsZero() && s.Now.Before(noon.Add(5*time.Minute)) {
		d := decision.Decide(s)
		course = append(course, d.Tiers[0].Demand.Desired)
		s.Histories, s.Now = d.Histories(), d.Next()
	}
	if diff := cmp.Diff([]int32{4, 8}, slices.Compact(course)); diff != "" {
		t.Errorf("desires (-want +got):\n%s", diff)
	}
}
