// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/demand"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// four is the settled shop whose worker tier has four ready pods, a to d by age, d the youngest, and is to have as many as is desired.
func four(t *testing.T, desired int32) *observe.Snapshot {
	t.Helper()
	s := settled(t)
	s.MemoryBudget.Spec.Memory = resource.MustParse("2Gi")
	tierOf(s, "worker").Replicas.Desired = &desired
	d := deployment(s, "worker")
	d.Spec.Replicas, d.Annotations[v1alpha1.ReplicasAnnotation] = new(int32(4)), "4"
	rs := &s.ReplicaSets[1]
	*rs = replicaSet(d, rs.Name)
	s.Pods = s.Pods[:1]
	for i, name := range []string{"a", "b", "c", "d"} {
		p := pod(rs)
		p.Name, p.UID = name, types.UID("uid-"+name)
		p.CreationTimestamp = metav1.NewTime(noon.Add(time.Duration(i) * time.Minute))
		s.Pods = append(s.Pods, p)
	}
	s.Now = noon.Add(time.Hour)
	s.Broker = observe.Broker{State: observe.BrokerRead, Heartbeats: observe.BrokerRead}
	return s
}

func workers(active ...int64) (all []observe.Worker) {
	for i, n := range active {
		if n >= 0 {
			all = append(all, observe.Worker{Pod: string(rune('a' + i)), Active: n})
		}
	}
	return all
}

// TestIdleFirst: before a tier is made smaller, it is written which pods go first, if it makes a difference.
func TestIdleFirst(t *testing.T) {
	const lowers = "Apply Deployment shop-worker"
	mark := func(s *observe.Snapshot, names ...string) {
		for i := range s.Pods {
			for _, name := range names {
				if s.Pods[i].Name == name {
					s.Pods[i].Annotations[corev1.PodDeletionCost] = "-1"
				}
			}
		}
	}
	cases := map[string]struct {
		desired int32
		// active are the tasks of pods a to d, negative where nothing is heard.
		active []int64
		change func(*observe.Snapshot)
		want   []string
	}{
		"the idle ones": {desired: 2, active: []int64{0, 2, 0, 1}, want: []string{"DeletionCost Pod a", "DeletionCost Pod c", lowers}},
		"no more than go, the youngest": {
			desired: 3, active: []int64{0, 2, 0, 1}, want: []string{"DeletionCost Pod c", lowers},
		},
		"of those that share a node": {
			desired: 3, active: []int64{0, 2, 0, 0}, want: []string{"DeletionCost Pod a", lowers},
			change: func(s *observe.Snapshot) {
				for i, node := range []string{"m", "m", "n", "o"} {
					s.Pods[i+1].Spec.NodeName = node
				}
			},
		},
		"those with the fewest tasks": {
			desired: 1, active: []int64{3, 2, 0, 1}, want: []string{"DeletionCost Pod b", "DeletionCost Pod c", "DeletionCost Pod d", lowers},
		},
		"one of which nothing is heard is the last": {
			desired: 1, active: []int64{9, -1, 9, 9},
			want: []string{"DeletionCost Pod a", "DeletionCost Pod c", "DeletionCost Pod d", lowers},
		},
		"what was written before is not written again": {
			desired: 2, active: []int64{0, 2, 0, 1}, change: func(s *observe.Snapshot) { mark(s, "a", "c") }, want: []string{lowers},
		},
		"what was written before and is no longer so is taken back": {
			desired: 3, active: []int64{1, 2, 0, 1}, change: func(s *observe.Snapshot) { mark(s, "b") },
			want: []string{"DeletionCost Pod b", "DeletionCost Pod c", lowers},
		},
		"pods that are not ready go anyway": {
			desired: 2, active: []int64{0, 2, 0, 1}, change: func(s *observe.Snapshot) { s.Pods[2].Status.Conditions = nil },
			want: []string{"DeletionCost Pod c", lowers},
		},
		"all are idle: Kubernetes chooses": {desired: 2, active: []int64{0, 0, 0, 0}, want: []string{lowers}},
		"nothing is heard of any":          {desired: 2, active: []int64{-1, -1, -1, -1}, want: []string{lowers}},
		"nobody listens": {
			desired: 2, change: func(s *observe.Snapshot) { s.Broker.Heartbeats = observe.BrokerNone }, want: []string{lowers},
		},
		"all go":               {desired: 0, active: []int64{0, 2, 0, 1}, want: []string{lowers}},
		"nothing is to change": {desired: 4, active: []int64{0, 2, 0, 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := four(t, tc.desired)
			s.Broker.Workers = workers(tc.active...)
			if tc.change != nil {
				tc.change(s)
			}
			if diff := cmp.Diff(tc.want, lines(decision.Decide(s).Writes)); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDeletionCost is what is written to a pod: only if it still is that pod.
func TestDeletionCost(t *testing.T) {
	s := four(t, 3)
	s.Broker.Workers = workers(1, 1, 0, 1)
	s.Pods[1].Annotations[corev1.PodDeletionCost] = "-1"
	got := map[string]string{}
	for _, w := range decision.Decide(s).Writes {
		if w.Verb == decision.VerbDeletionCost {
			got[w.Name] = string(w.Patch)
		}
	}
	patch := func(cost, uid string) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{"controller.kubernetes.io/pod-deletion-cost":%s},"uid":%q}}`, cost, uid)
	}
	if diff := cmp.Diff(map[string]string{"a": patch("null", "uid-a"), "c": patch(`"-1"`, "uid-c")}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRunningTasks: where tasks are acknowledged early, those that run are only in heartbeats; where late, they are among those taken.
func TestRunningTasks(t *testing.T) {
	cases := map[string]struct {
		acks       v1alpha1.Acks
		heartbeats observe.BrokerState
		active     []int64
		reserved   int64
		change     func(*observe.Snapshot)
		asked      int32
		measure    decision.Measure
	}{
		"early": {acks: v1alpha1.AcksEarly, active: []int64{1, 0, 2, 2}, reserved: 1, asked: 3, measure: decision.MeasureDepth},
		"late":  {acks: v1alpha1.AcksLate, active: []int64{1, 0, 2, 2}, reserved: 6, asked: 3, measure: decision.MeasureDepth},
		"late, but a task acknowledges early by itself": {
			acks: v1alpha1.AcksLate, active: []int64{1, 0, 2, 2}, reserved: 1, asked: 3, measure: decision.MeasureDepth,
		},
		"early, all are idle": {acks: v1alpha1.AcksEarly, active: []int64{0, 0, 0, 0}, measure: decision.MeasureDepth},
		"early, nothing is heard of one": {
			acks: v1alpha1.AcksEarly, active: []int64{0, -1, 0, 0}, asked: 1, measure: decision.MeasureSilent,
		},
		"early, nothing is heard of any": {
			acks: v1alpha1.AcksEarly, active: []int64{-1, -1, -1, -1}, asked: 4, measure: decision.MeasureSilent,
		},
		"early, heartbeats are refused": {
			acks: v1alpha1.AcksEarly, heartbeats: observe.BrokerRefuses, active: []int64{-1, -1, -1, -1}, reserved: 10, asked: 5,
			measure: decision.MeasureDepth,
		},
		"late, nothing is heard of any": {acks: v1alpha1.AcksLate, active: []int64{-1, -1, -1, -1}, measure: decision.MeasureDepth},
		"early, nobody listens":         {acks: v1alpha1.AcksEarly, heartbeats: "none", active: []int64{-1, -1, -1, -1}, measure: decision.MeasureDepth},
		"pods that are not ready or terminate need no replica": {
			acks: v1alpha1.AcksEarly, active: []int64{0, -1, -1, 5}, measure: decision.MeasureDepth,
			change: func(s *observe.Snapshot) {
				s.Pods[2].Status.Conditions = nil
				s.Pods[3].DeletionTimestamp = &metav1.Time{Time: noon}
				s.Pods[4].DeletionTimestamp = &metav1.Time{Time: noon}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := four(t, 4)
			tier := tierOf(s, "worker")
			tier.Replicas.Desired, tier.Scaling, tier.Celery.Acks = nil, &v1alpha1.Scaling{}, tc.acks
			tier.Celery.Concurrency = new(int32(2))
			s.Broker.Queues = []observe.Queue{{Name: "celery", Reserved: tc.reserved}}
			s.Broker.Workers = workers(tc.active...)
			switch tc.heartbeats {
			case "":
			case "none":
				s.Broker.Heartbeats = observe.BrokerNone
			default:
				s.Broker.Heartbeats = tc.heartbeats
			}
			if tc.change != nil {
				tc.change(s)
			}
			got := decision.Decide(s).Tiers[1].Demand
			if got.Asked != tc.asked || got.Measures[got.By] != tc.measure {
				t.Errorf("asked for %d by %s, want %d by %s", got.Asked, got.Measures[got.By], tc.asked, tc.measure)
			}
		})
	}
}

// TestUnreadQueuesStayUnread: that nothing is heard of pods does not make the queues known.
func TestUnreadQueuesStayUnread(t *testing.T) {
	s := four(t, 4)
	tier := tierOf(s, "worker")
	tier.Replicas.Desired, tier.Scaling, tier.Celery.Acks = nil, &v1alpha1.Scaling{}, v1alpha1.AcksEarly
	s.Broker.State, s.Broker.FailingSince = observe.BrokerUnreachable, noon
	if got := decision.Decide(s).Tiers[1].Demand; got.By >= 0 || got.Desired != 4 || got.Limit != demand.LimitNone {
		t.Errorf("by %d, desires %d, limited by %q", got.By, got.Desired, got.Limit)
	}
}
