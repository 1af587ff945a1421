// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/status"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// anySnapshot is a shop somewhere on its way, with spellings, zones and gaps that do not come back from a file as they went.
func anySnapshot(rt *rapid.T) *observe.Snapshot {
	zone := rapid.SampledFrom([]*time.Location{time.UTC, time.Local, time.FixedZone("", 19800)}).Draw(rt, "zone")
	s := &observe.Snapshot{MemoryBudget: consuming(shop()), Now: morning.In(zone)}
	for range rapid.IntRange(0, 3).Draw(rt, "decisions before") {
		s.Broker = anyBroker(rt, s.Now)
		d := decision.Decide(s)
		apply(s, &d)
		s.Histories = d.Histories()
		s.Now = s.Now.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(rt, "nanoseconds")))
	}
	s.Broker = anyBroker(rt, s.Now)
	disturb(rt, s)
	scaleByValues(rt, s)
	return s
}

// consuming adds a process tier that scales by a Redis stream and a list.
func consuming(mb *v1alpha1.MemoryBudget) *v1alpha1.MemoryBudget {
	tier := testutil.MakeTier("billing", v1alpha1.RoleWorker).Replicas(0, 1, 4).Process("consume").Obj()
	tier.Replicas.Desired, tier.Scaling = nil, &v1alpha1.Scaling{Metrics: []v1alpha1.Metric{
		{RedisStream: &v1alpha1.RedisStreamMetric{Stream: "orders", ConsumerGroup: "billing"}},
		{RedisList: &v1alpha1.RedisListMetric{List: "images"}},
	}}
	mb.Spec.Tiers = append(mb.Spec.Tiers, tier)
	return mb
}

// scaleByValues lets a tier scale by an external metric and a query as well.
func scaleByValues(rt *rapid.T, s *observe.Snapshot) {
	if !rapid.Bool().Draw(rt, "values") {
		return
	}
	tier := &s.MemoryBudget.Spec.Tiers[1]
	tier.Scaling = &v1alpha1.Scaling{Metrics: []v1alpha1.Metric{
		{External: &v1alpha1.ExternalMetric{Name: "orders", TargetValue: new(quantity("0.5k"))}},
		{Prometheus: &v1alpha1.PrometheusMetric{Address: "http://prometheus", Query: "a<\"b\"", TargetAverageValue: new(quantity("1.50"))}},
	}}
	for i := range tier.Scaling.Metrics {
		r := observe.Reading{
			Tier: tier.Name, Metric: i, State: observe.ReadingRead, Milli: rapid.Int64Range(0, 1<<60).Draw(rt, "milli"),
		}
		if rapid.Bool().Draw(rt, "missing") {
			r.State, r.FailingSince = observe.ReadingNotANumber, s.Now.Add(-time.Hour)
		}
		s.Readings = append(s.Readings, r)
	}
}

func anyBroker(rt *rapid.T, now time.Time) observe.Broker {
	broker := tasks(map[string]int64{
		"celery": rapid.Int64Range(0, 40).Draw(rt, "celery"), "ml": rapid.Int64Range(0, 5).Draw(rt, "ml"),
	})
	broker.Queues[0].Oldest = now.Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(rt, "oldest")))
	if rapid.Bool().Draw(rt, "failing") {
		broker.State, broker.FailingSince = observe.BrokerUnreachable, now.Add(-time.Minute)
	}
	broker.Streams = []observe.Stream{{
		ConsumerGroup: observe.ConsumerGroup{Stream: "orders", Name: "billing"}, Undelivered: rapid.Int64Range(0, 40).Draw(rt, "undelivered"),
		Pending: rapid.Int64Range(0, 5).Draw(rt, "pending"), AtLeast: rapid.Bool().Draw(rt, "at least"), Invalid: rapid.Bool().Draw(rt, "no stream"),
		Refused: rapid.Bool().Draw(rt, "no right"),
	}}
	broker.Lists = rapid.SampledFrom([][]observe.List{nil, {{Name: "images", Length: 3}}, {{Name: "images", Invalid: true}}, {{Name: "images", Refused: true}}}).Draw(rt, "lists")
	broker.Waiting = rapid.SampledFrom([][]string{nil, {}, {"celery"}, {"lost\xff", "lost\xfe", "\x1b[31m", "ml"}}).Draw(rt, "waiting")
	return broker
}

// disturb changes what others may change.
func disturb(rt *rapid.T, s *observe.Snapshot) {
	spec := &s.MemoryBudget.Spec
	spec.Memory = quantity(rapid.SampledFrom([]string{"2560Mi", "2.5Gi", "2684354560", "0.3Gi", "300M"}).Draw(rt, "memory"))
	spec.Application.Env = rapid.SampledFrom([][]corev1.EnvVar{nil, {}, {{Name: "A", Value: "<&>\u2028"}}}).Draw(rt, "env")
	spec.Pause = rapid.SampledFrom([]v1alpha1.Pause{"", v1alpha1.PauseHold, v1alpha1.PauseDrain}).Draw(rt, "pause")
	spec.Tiers[1].Memory.PerPod = quantity(rapid.SampledFrom([]string{"256Mi", "0.25Gi", "268435456", "256000k"}).Draw(rt, "pod"))
	for i := range s.Deployments {
		if d := &s.Deployments[i]; rapid.IntRange(0, 4).Draw(rt, "edited") == 0 {
			d.Spec.Template.Spec.Containers[0].Image = "other"
			d.Spec.Template.Spec.NodeSelector = map[string]string{}
		}
	}
	for i := range s.Pods {
		disturbPod(rt, s, &s.Pods[i])
	}
	if rapid.Bool().Draw(rt, "foreign") {
		s.Foreign = []observe.Foreign{{Kind: "Service", Name: "shop-web"}}
	}
	s.Histories = rapid.SampledFrom([]map[string]demand.History{s.Histories, nil, {}}).Draw(rt, "histories")
}

func disturbPod(rt *rapid.T, s *observe.Snapshot, pod *corev1.Pod) {
	switch rapid.IntRange(0, 4).Draw(rt, "pod") {
	case 0:
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = new(metav1.NewTime(s.Now)), new(int64(30))
	case 1:
		pod.Status.Conditions = nil
	case 2:
		pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{
			corev1.ResourceMemory: *resource.NewQuantity(300<<20, resource.DecimalSI),
		}
	case 3:
		pod.Spec.Overhead = corev1.ResourceList{corev1.ResourceMemory: quantity("0.1Gi")}
	}
}

// TestADecisionComesBackFromAFile: what was recorded gives the same decision and the same status, to the bit.
func TestADecisionComesBackFromAFile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := anySnapshot(rt)
		record := recordOf(rt, s, "refused")
		read, err := record.Read()
		if err != nil {
			rt.Fatal(err)
		}
		replay, err := record.Replay(read)
		if err != nil {
			rt.Fatal(err)
		}
		for _, d := range replay.Differences {
			rt.Errorf("%s", d)
		}
	})
}

// recordOf is the record of one decision, as a reader has it.
func recordOf(t rapid.TB, s *observe.Snapshot, rejected string) *Record {
	t.Helper()
	record := &Record{Rejected: rejected, Reported: s.Now}
	d := decision.Decide(s)
	next := status.Compute(s.MemoryBudget.Status, status.Input{Snapshot: s, Decision: &d, Rejected: rejected, Now: metav1.NewTime(s.Now)})
	var errs [3]error
	record.Snapshot, errs[0] = encodeSnapshot(s)
	record.Decision, errs[1] = encodeDecision(&d)
	record.Status, errs[2] = encodeStatus(next)
	if errs != [3]error{} {
		t.Fatal(fmt.Sprint(errs))
	}
	return record
}
