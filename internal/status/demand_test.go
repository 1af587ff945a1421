// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/status"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// scaling is the running shop whose worker tier scales by its queue.
func scaling(t *testing.T, broker observe.Broker) *observe.Snapshot {
	t.Helper()
	mb := shop().Obj()
	mb.Spec.Tiers[1].Scaling = &v1alpha1.Scaling{}
	s := running(t, mb)
	s.Now, s.Broker = noon, broker
	return s
}

func TestSignalsFresh(t *testing.T) {
	failing := func(state observe.BrokerState, since time.Duration) observe.Broker {
		return observe.Broker{State: state, Address: "redis:6379", FailingSince: noon.Add(-since)}
	}
	cases := map[string]struct {
		broker observe.Broker
		before string
		want   string
	}{
		"read":                           {broker: observe.Broker{State: observe.BrokerRead, Queues: []observe.Queue{{Name: "celery"}}}, want: "True AllFresh"},
		"a queue without counts":         {broker: observe.Broker{State: observe.BrokerRead}, before: "True AllFresh", want: "Unknown QueuesNotCounted"},
		"not read yet":                   {broker: observe.Broker{State: observe.BrokerNotReadYet}, want: "Unknown NotReadYet"},
		"not read yet, after a restart":  {broker: observe.Broker{State: observe.BrokerNotReadYet}, before: "True AllFresh", want: "True AllFresh"},
		"not read yet, after it was set": {broker: observe.Broker{State: observe.BrokerNotReadYet}, before: "True NoSignals", want: "Unknown NotReadYet"},
		"for a short time":               {broker: failing(observe.BrokerRead, time.Second), before: "True AllFresh", want: "True AllFresh"},
		"for less than three minutes":    {broker: failing(observe.BrokerUnreachable, 179*time.Second), before: "True AllFresh", want: "True AllFresh"},
		"for three minutes":              {broker: failing(observe.BrokerUnreachable, 180*time.Second), before: "True AllFresh", want: "False BrokerUnreachable"},
		"never, for three minutes":       {broker: failing(observe.BrokerSecretForbidden, 180*time.Second), want: "False BrokerSecretUnreadable"},
		"with a wrong password":          {broker: failing(observe.BrokerRefuses, time.Hour), want: "False BrokerAuthenticationFailed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := scaling(t, tc.broker)
			if was, reason, found := strings.Cut(tc.before, " "); found {
				s.MemoryBudget.Status.Conditions = []metav1.Condition{
					{Type: v1alpha1.ConditionSignalsFresh, Status: metav1.ConditionStatus(was), Reason: reason},
				}
			}
			c := meta.FindStatusCondition(compute(s, "").Conditions, v1alpha1.ConditionSignalsFresh)
			if got := string(c.Status) + " " + c.Reason; got != tc.want {
				t.Errorf("got %q (%s), want %q", got, c.Message, tc.want)
			}
		})
	}
	s := running(t, shop().Obj())
	if c := meta.FindStatusCondition(compute(s, "").Conditions, v1alpha1.ConditionSignalsFresh); c.Reason != v1alpha1.ReasonNoSignals {
		t.Errorf("without scaling: %s", c.Reason)
	}
}

// TestUsageFresh: what is wrong with the metrics API is told as what is wrong with a broker is.
func TestUsageFresh(t *testing.T) {
	cases := map[string]struct {
		usage observe.Usage
		want  string
	}{
		"read":                        {observe.Usage{State: observe.UsageRead, Pods: []observe.PodUsage{{Name: "shop-web-1", MilliCPU: 10}}}, "True AllFresh"},
		"nothing of its pods":         {observe.Usage{State: observe.UsageRead}, "Unknown PodsNotMeasured"},
		"not read yet":                {observe.Usage{State: observe.UsageNotReadYet}, "Unknown NotReadYet"},
		"for less than three minutes": {observe.Usage{State: observe.UsageUnavailable, FailingSince: noon.Add(-179 * time.Second)}, "Unknown NotReadYet"},
		"for three minutes":           {observe.Usage{State: observe.UsageUnavailable, FailingSince: noon.Add(-180 * time.Second)}, "False MetricsAPIUnavailable"},
		"without the right to":        {observe.Usage{State: observe.UsageForbidden, FailingSince: noon.Add(-time.Hour)}, "False MetricsAPIForbidden"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mb := shop().Obj()
			mb.Spec.Tiers[0].Scaling = &v1alpha1.Scaling{Metrics: []v1alpha1.Metric{{Resource: &v1alpha1.ResourceMetric{
				Name: v1alpha1.ResourceMetricMemory, TargetAverageUtilization: new(int32(50)),
			}}}}
			s := running(t, mb)
			s.Now, s.Usage = noon, tc.usage
			for i := range tc.usage.Pods {
				s.Pods[0].Name = tc.usage.Pods[i].Name
			}
			c := meta.FindStatusCondition(compute(s, "").Conditions, v1alpha1.ConditionSignalsFresh)
			if got := string(c.Status) + " " + c.Reason; got != tc.want {
				t.Errorf("got %q (%s), want %q", got, c.Message, tc.want)
			}
		})
	}
}

// TestOneOfSeveralFresh: that one metric of a tier is known does not make up for another.
func TestOneOfSeveralFresh(t *testing.T) {
	counted := observe.Broker{State: observe.BrokerRead, Queues: []observe.Queue{{Name: "celery"}}}
	measured := observe.Usage{State: observe.UsageRead, Pods: []observe.PodUsage{{Name: "shop-worker-1", MilliCPU: 10}}}
	cases := map[string]struct {
		broker observe.Broker
		usage  observe.Usage
		want   string
	}{
		"both":          {counted, measured, "True AllFresh"},
		"not its queue": {observe.Broker{State: observe.BrokerRead}, measured, "Unknown QueuesNotCounted"},
		"not its pods":  {counted, observe.Usage{State: observe.UsageRead}, "Unknown PodsNotMeasured"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mb := shop().Obj()
			mb.Spec.Tiers[1].Replicas.Min = new(int32(1))
			mb.Spec.Tiers[1].Scaling = &v1alpha1.Scaling{Metrics: []v1alpha1.Metric{
				{Queue: &v1alpha1.QueueMetric{}},
				{Resource: &v1alpha1.ResourceMetric{Name: v1alpha1.ResourceMetricMemory, TargetAverageUtilization: new(int32(50))}},
			}}
			s := running(t, mb)
			s.Now, s.Broker, s.Usage = noon, tc.broker, tc.usage
			for i := range s.Pods {
				if pod := &s.Pods[i]; pod.Labels[v1alpha1.TierLabel] == "worker" {
					pod.Name = "shop-worker-1"
				}
			}
			c := meta.FindStatusCondition(compute(s, "").Conditions, v1alpha1.ConditionSignalsFresh)
			if got := string(c.Status) + " " + c.Reason; got != tc.want {
				t.Errorf("got %q (%s), want %q", got, c.Message, tc.want)
			}
		})
	}
}

// TestNextChange: the condition is looked at again when it turns.
func TestNextChange(t *testing.T) {
	s := &observe.Snapshot{Now: noon, Broker: observe.Broker{FailingSince: noon}}
	if got := status.NextChange(s); !got.Equal(noon.Add(3 * time.Minute)) {
		t.Errorf("at %s", got)
	}
	if got := status.NextChange(&observe.Snapshot{Now: noon}); !got.IsZero() {
		t.Errorf("at %s while nothing fails", got)
	}
}

func TestDemandStatus(t *testing.T) {
	s := scaling(t, observe.Broker{State: observe.BrokerRead, Queues: []observe.Queue{{Name: "celery", Ready: 9, Reserved: 2, Later: 5}}})
	want := &v1alpha1.DemandStatus{
		Replicas: new(int32(6)), LimitedBy: v1alpha1.DemandLimitedByMax,
		ReadyTasks: new(int64(9)), ReservedTasks: new(int64(2)), LaterTasks: new(int64(5)),
	}
	s.MemoryBudget.Spec.Tiers[1].Replicas.Max = new(int32(2))
	tiers := compute(s, "").Tiers
	if diff := cmp.Diff(want, tiers[1].Demand); diff != "" {
		t.Errorf("demand (-want +got):\n%s", diff)
	}
	if tiers[0].Demand != nil {
		t.Error("a tier without scaling has a demand")
	}
	if want := "9 tasks waiting, 2 taken (5 more due later) at a target of 2 per pod ask for 6, replicas.max is 2; wanted 2"; !strings.HasPrefix(tiers[1].Decision, want) {
		t.Errorf("decision: %s", tiers[1].Decision)
	}
}

// TestRunningTasksTold: tasks that run are told as far as heartbeats are heard; that nothing is heard is not that nothing runs.
func TestRunningTasksTold(t *testing.T) {
	for state, want := range map[observe.BrokerState]*int64{
		observe.BrokerRead: new(int64(3)), observe.BrokerRefuses: nil, observe.BrokerNone: nil,
	} {
		mb := shop().Obj()
		mb.Spec.Tiers[1].Replicas.Min, mb.Spec.Tiers[1].Scaling = new(int32(1)), &v1alpha1.Scaling{}
		s := running(t, mb)
		s.Now, s.Broker = noon, observe.Broker{State: observe.BrokerRead, Heartbeats: state, Queues: []observe.Queue{{Name: "celery", Reserved: 4}}}
		for i := range s.Pods {
			if pod := &s.Pods[i]; pod.Labels[v1alpha1.TierLabel] == "worker" {
				pod.Name = "shop-worker-1"
			}
		}
		if state == observe.BrokerRead {
			s.Broker.Workers = []observe.Worker{{Pod: "shop-worker-1", Active: 3}}
		}
		if diff := cmp.Diff(want, compute(s, "").Tiers[1].Demand.RunningTasks); diff != "" {
			t.Errorf("heartbeats %s (-want +got):\n%s", state, diff)
		}
	}
}

func TestExplainDemand(t *testing.T) {
	depth := decision.Demand{
		Decision: demand.Decision{Asked: 8, Desired: 8},
		Input: demand.Input{
			Replicas: 3, Min: 1, Max: 6, Metrics: []demand.Metric{{Value: 16, Target: 2}},
			Up: demand.Rules{Window: time.Minute}, Down: demand.Rules{Window: 5 * time.Minute},
		},
		ByQueue: true, Measures: []decision.Measure{decision.MeasureDepth}, Tasks: observe.Queue{Ready: 15, Reserved: 1},
	}
	limited := func(asked, desired int32, limit demand.Limit) decision.Demand {
		d := depth
		d.Asked, d.Desired, d.Limit = asked, desired, limit
		return d
	}
	unknown, unread, wait, unstamped := depth, depth, depth, depth
	unknown.By, unread.By, unread.Unread = -1, -1, true
	wait.Measures, wait.Input.Metrics = []decision.Measure{decision.MeasureWait}, []demand.Metric{{Value: 80, Target: 30}}
	unstamped.WaitUnknown = true
	used, unused := depth, depth
	used.ByQueue, used.Measures, used.Input.Metrics = false, []decision.Measure{decision.MeasureCPU}, []demand.Metric{
		{Kind: demand.Usage, Pods: []demand.Pod{{Value: 333, Target: 200}, {Value: 300, Target: 200}}},
	}
	unused.ByQueue, unused.By = false, -1
	const shown = "15 tasks waiting, 1 taken"
	const at = shown + " at a target of 2 per pod"
	cases := map[string]struct {
		demand decision.Demand
		want   string
	}{
		"as asked":     {depth, at + " ask for 8"},
		"min":          {limited(0, 1, demand.LimitMin), at + " ask for 0, replicas.min is 1"},
		"max":          {limited(8, 6, demand.LimitMax), at + " ask for 8, replicas.max is 6"},
		"held down":    {limited(8, 3, demand.LimitStabilization), at + " ask for 8, but less was asked for within the 60 s of scaleUp"},
		"held up":      {limited(1, 3, demand.LimitStabilization), at + " ask for 1, but more was asked for within the 300 s of scaleDown"},
		"paced up":     {limited(8, 5, demand.LimitPolicy), at + " ask for 8, the policies of scaleUp allow 5 now"},
		"paced down":   {limited(1, 2, demand.LimitPolicy), at + " ask for 1, the policies of scaleDown allow 2 now"},
		"jump":         {limited(1, 3, demand.LimitJump), at + " ask for 1, but the demand has just jumped: nothing is made smaller for a minute"},
		"through one":  {limited(0, 1, demand.LimitThroughOne), at + " ask for 0, and on the way to zero there is one first"},
		"part unknown": {limited(1, 3, demand.LimitUnknown), at + " ask for 1, and while the queues cannot be read, the tier is not made smaller"},
		"unknown":      {unknown, "the queues cannot be read, so the tier goes on asking for what it did; last seen: " + shown},
		"unread":       {unread, "the queues were not read yet, so the tier goes on asking for what it did"},
		"wait":         {wait, shown + ", the oldest for 80 s at a target of 30 s, ask for 8"},
		"used":         {used, "pods at 160% of their target for CPU ask for 8"},
		"not measured": {unused, "nothing tells what the pods use, so the tier goes on asking for what it did"},
		"unstamped":    {unstamped, at + " (nothing tells for how long they wait) ask for 8"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := status.ExplainDemand(&tc.demand); got != tc.want {
				t.Errorf("got:  %s\nwant: %s", got, tc.want)
			}
		})
	}
}
