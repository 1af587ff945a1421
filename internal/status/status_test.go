// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/report"
	"github.com/memorybudget/memorybudget/internal/status"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// shop has a web and a worker tier that both fit.
func shop() *testutil.MemoryBudgetWrapper {
	return testutil.MakeMemoryBudget("shop", "default").UID("u").Generation(3).Memory("2Gi").
		Django("core.settings").CeleryApp("core").Redis("broker", "url").
		Tier(testutil.MakeTier("web", v1alpha1.RoleWeb).Memory("512Mi").Replicas(1, 2, 4).
			Gunicorn("core.wsgi:application").Obj(),
			testutil.MakeTier("worker", v1alpha1.RoleWorker).Memory("512Mi").Replicas(0, 1, 4).Celery("celery").Obj())
}

// running is the cluster in which all that is decided for a new resource has come to be.
func running(t *testing.T, mb *v1alpha1.MemoryBudget) *observe.Snapshot {
	t.Helper()
	s := &observe.Snapshot{MemoryBudget: mb}
	for _, w := range decision.Decide(s).Writes {
		data, err := json.Marshal(w.Object)
		if err != nil {
			t.Fatal(err)
		}
		switch w.Kind {
		case "Deployment":
			s.Deployments = append(s.Deployments, decode[appsv1.Deployment](t, data))
		case "Service":
			s.Services = append(s.Services, decode[corev1.Service](t, data))
		case "ConfigMap":
			s.ConfigMaps = append(s.ConfigMaps, decode[corev1.ConfigMap](t, data))
		}
	}
	for i := range s.Deployments {
		s.Deployments[i].UID = types.UID(s.Deployments[i].Name)
		start(s, &s.Deployments[i])
	}
	return s
}

func decode[T any](t *testing.T, data []byte) T {
	t.Helper()
	var object T
	if err := json.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// start makes the ReplicaSet and the pods of a Deployment.
func start(s *observe.Snapshot, d *appsv1.Deployment) {
	rs := appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: d.Name + "-1", UID: types.UID(d.Name + "-1"), Labels: d.Spec.Template.Labels,
			Annotations:     map[string]string{"deployment.kubernetes.io/desired-replicas": fmt.Sprint(*d.Spec.Replicas)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Template: *d.Spec.Template.DeepCopy()},
	}
	rs.Status.AvailableReplicas = *d.Spec.Replicas
	s.ReplicaSets = append(s.ReplicaSets, rs)
	for i := range *d.Spec.Replicas {
		pod := corev1.Pod{ObjectMeta: *d.Spec.Template.ObjectMeta.DeepCopy(), Spec: *d.Spec.Template.Spec.DeepCopy()}
		pod.Name = fmt.Sprintf("%s-%d", rs.Name, i)
		pod.UID = types.UID(pod.Name)
		pod.Spec.SchedulingGates = nil
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
		pod.Status = corev1.PodStatus{
			Phase:                 corev1.PodRunning,
			Conditions:            []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			InitContainerStatuses: []corev1.ContainerStatus{reported(`{"v":1,"django":"4.2.28"}`)},
		}
		s.Pods = append(s.Pods, pod)
	}
}

func reported(message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: report.Container, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{Message: message}}}
}

// everywhere makes all pods report the same.
func everywhere(s *observe.Snapshot, message string) {
	for i := range s.Pods {
		s.Pods[i].Status.InitContainerStatuses[0] = reported(message)
	}
}

func compute(s *observe.Snapshot, rejected string) v1alpha1.MemoryBudgetStatus {
	decided := decision.Decide(s)
	return status.Compute(s.MemoryBudget.Status, status.Input{
		Snapshot: s, Decision: &decided, Rejected: rejected, Now: metav1.NewTime(time.Unix(1000, 5)),
	})
}

func TestConditions(t *testing.T) {
	unready := func(pod *corev1.Pod) { pod.Status.Conditions = nil }
	cases := map[string]struct {
		mb       *v1alpha1.MemoryBudget
		change   func(s *observe.Snapshot)
		rejected string
		want     map[string]string
		// wantMessage is part of the message of each condition in want.
		wantMessage string
	}{
		"all is ready": {
			want: map[string]string{
				"Ready": "True AllReady", "Reconciling": "False Settled", "Stalled": "False NotStalled",
				"WithinBudget": "True WithinBudget", "SettingsApplied": "True Verified",
			},
		},
		"a pod is not ready": {
			change: func(s *observe.Snapshot) { unready(&s.Pods[0]) },
			want:   map[string]string{"Ready": "False ReplicasNotReady", "Reconciling": "True WaitingForPods"},
		},
		"an image cannot be pulled": {
			change: func(s *observe.Snapshot) {
				unready(&s.Pods[0])
				s.Pods[0].Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "web", State: corev1.ContainerState{
					Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "secret of the registry"}}}}
			},
			want: map[string]string{"Ready": "False PodsFailing", "Reconciling": "True WaitingForPods"},
		},
		"nothing is made yet": {
			change: func(s *observe.Snapshot) { *s = observe.Snapshot{MemoryBudget: s.MemoryBudget} },
			want: map[string]string{
				"Ready": "False ReplicasNotReady", "Reconciling": "True WaitingForPods", "SettingsApplied": "Unknown NotReported",
			},
		},
		"a setting is not in force": {
			change: func(s *observe.Snapshot) {
				s.Pods[0].Status.InitContainerStatuses[0] = reported(`{"v":1,"problems":["SettingsModuleOverridden"]}`)
				s.Pods = s.Pods[:1]
				s.Pods[0].Name = "zz-newest"
			},
			want: map[string]string{"SettingsApplied": "False SettingsNotEffective"},
		},
		"a setting that is lost is named": {
			change:      func(s *observe.Snapshot) { everywhere(s, `{"v":1,"problems":["SettingLost"],"lost":["django.debug"]}`) },
			want:        map[string]string{"SettingsApplied": "False SettingsNotEffective"},
			wantMessage: "SettingLost (django.debug)",
		},
		"processes that do not fit what was measured": {
			change:      func(s *observe.Snapshot) { everywhere(s, `{"v":1,"baselineBytes":943718400}`) },
			want:        map[string]string{"Ready": "False Stalled", "Stalled": "True TierTooSmall"},
			wantMessage: "the pods that run are left as they are",
		},
		"what a failed import measured is not believed": {
			change: func(s *observe.Snapshot) {
				everywhere(s, `{"v":1,"baselineBytes":943718400,"problems":["ImportFailed"]}`)
			},
			want: map[string]string{"Ready": "True AllReady", "SettingsApplied": "False SettingsNotEffective"},
		},
		"a risk is no missing setting": {
			change: func(s *observe.Snapshot) { everywhere(s, `{"v":1,"problems":["AllowedHostsEmpty"]}`) },
			want:   map[string]string{"Ready": "True AllReady", "SettingsApplied": "True Verified"},
		},
		"nobody looks": {
			mb:   shop().Verification(v1alpha1.VerificationDisabled).Obj(),
			want: map[string]string{"SettingsApplied": "Unknown VerificationDisabled"},
		},
		"a name is taken": {
			change: func(s *observe.Snapshot) { s.Foreign = []observe.Foreign{{Kind: "Service", Name: "shop-web"}} },
			want:   map[string]string{"Ready": "False Stalled", "Reconciling": "False Settled", "Stalled": "True NameConflict"},
		},
		"the API server refuses": {
			rejected: "Deployment shop-web was refused", want: map[string]string{"Ready": "False Stalled", "Stalled": "True Rejected"},
		},
		"the budget was lowered below the floors": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Memory = *shop().Memory("256Mi").Obj().Spec.Memory.ToDec()
			},
			want: map[string]string{
				"Ready": "False Stalled", "Stalled": "True BudgetTooSmall", "WithinBudget": "False BudgetLowered",
			},
		},
		"somebody runs pods with our labels": {
			change: func(s *observe.Snapshot) {
				for i := range 8 {
					pod := s.Pods[0].DeepCopy()
					pod.Name, pod.OwnerReferences = fmt.Sprintf("theirs-%d", i), nil
					s.Pods = append(s.Pods, *pod)
				}
			},
			want: map[string]string{"WithinBudget": "False ForeignPods"},
		},
		"a spec that is not valid": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Tiers[0].Pod = &v1alpha1.Pod{
					Tolerations: []corev1.Toleration{{Key: "a", Operator: corev1.TolerationOpExists, Value: "b"}}}
			},
			want: map[string]string{"Ready": "False Stalled", "Stalled": "True InvalidSpec"},
		},
		"recommend, never enforced": {
			mb:     shop().Policy(v1alpha1.PolicyRecommend).Obj(),
			change: func(s *observe.Snapshot) { *s = observe.Snapshot{MemoryBudget: s.MemoryBudget} },
			want:   map[string]string{"Ready": "True RecommendOnly", "Reconciling": "False Settled", "Stalled": "False NotStalled"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			mb := tc.mb
			if mb == nil {
				mb = shop().Obj()
			}
			s := running(t, mb)
			if tc.change != nil {
				tc.change(s)
			}
			next := compute(s, tc.rejected)
			if len(next.Conditions) != 7 {
				t.Errorf("%d conditions are set, want all 7", len(next.Conditions))
			}
			for kind, want := range tc.want {
				c := meta.FindStatusCondition(next.Conditions, kind)
				if got := string(c.Status) + " " + c.Reason; got != want || !strings.Contains(c.Message, tc.wantMessage) {
					t.Errorf("%s = %q, want %q (%s)", kind, got, want, c.Message)
				}
				if c.ObservedGeneration != 3 || c.LastTransitionTime.Nanosecond() != 0 {
					t.Errorf("%s speaks of generation %d at %v", kind, c.ObservedGeneration, c.LastTransitionTime)
				}
				if strings.Contains(c.Message, "secret of the registry") {
					t.Errorf("%s repeats what the kubelet was told: %s", kind, c.Message)
				}
			}
		})
	}
}

// TestLoweredUntilThePodsAreGone: pods that shrinking ends hold their memory for a while; nobody else is to blame for that.
func TestLoweredUntilThePodsAreGone(t *testing.T) {
	s := running(t, shop().Obj())
	s.MemoryBudget.Spec.Memory = resource.MustParse("1Gi")
	within := func() string {
		s.MemoryBudget.Status = compute(s, "")
		c := meta.FindStatusCondition(s.MemoryBudget.Status.Conditions, v1alpha1.ConditionWithinBudget)
		return string(c.Status) + " " + c.Reason
	}
	if got := within(); got != "False BudgetLowered" {
		t.Errorf("when it is lowered: %s", got)
	}
	for i := range s.Deployments {
		d := &s.Deployments[i]
		granted := *s.MemoryBudget.Status.Tiers[i].Granted
		d.Spec.Replicas, d.Annotations[v1alpha1.ReplicasAnnotation] = new(granted), fmt.Sprint(granted)
		s.ReplicaSets[i].Spec.Replicas = new(granted)
		for k := range s.Pods {
			if pod := &s.Pods[k]; pod.Labels[v1alpha1.TierLabel] == d.Labels[v1alpha1.TierLabel] && int32(k) >= granted {
				pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = new(metav1.NewTime(time.Unix(1030, 0))), new(int64(30))
			}
		}
	}
	if got := within(); got != "False BudgetLowered" {
		t.Errorf("while pods are shutting down: %s", got)
	}
	s.Pods = slices.DeleteFunc(s.Pods, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if got := within(); got != "True WithinBudget" {
		t.Errorf("when they are gone: %s", got)
	}
}

// TestWhatIsNotAppliedIsTold: a part of the spec that cannot be set from outside the image.
func TestWhatIsNotAppliedIsTold(t *testing.T) {
	server := testutil.MakeTier("models", v1alpha1.RoleML).Memory("256Mi").Obj()
	server.Image = "triton"
	server.Server = &v1alpha1.Server{Preset: "Triton", Batching: &v1alpha1.Batching{MaxBatchSize: new(int32(8))}}
	c := meta.FindStatusCondition(compute(running(t, shop().Tier(server).Obj()), "").Conditions, v1alpha1.ConditionSettingsApplied)
	if !strings.Contains(c.Message, "not applied: spec.tiers[models].server.batching") {
		t.Errorf("SettingsApplied: %s", c.Message)
	}
}

func TestEqualStatesGiveEqualStatus(t *testing.T) {
	s := running(t, shop().Obj())
	first := compute(s, "")
	s.MemoryBudget.Status = first
	decided := decision.Decide(s)
	second := status.Compute(first, status.Input{Snapshot: s, Decision: &decided, Now: metav1.NewTime(time.Unix(5000, 0))})
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("later, with nothing changed, the status differs (-first +second):\n%s", diff)
	}
}

func TestFigures(t *testing.T) {
	got := compute(running(t, shop().Memory("1536Mi").Reserve("0").Obj()), "")
	if got.LimitedBy != v1alpha1.LimitedByNone || got.ReadyReplicas.Web != "2/2" || got.ReadyReplicas.Worker != "1/1" ||
		got.ReadyReplicas.ML != "" || got.Allocated.String() != "1536Mi" || got.Unallocated.Value() != 0 {
		t.Errorf("limitedBy %s, ready %+v, allocated %s, unallocated %s",
			got.LimitedBy, *got.ReadyReplicas, got.Allocated, got.Unallocated)
	}
	limited := compute(running(t, shop().Memory("1Gi").Reserve("0").Obj()), "")
	if limited.LimitedBy != v1alpha1.LimitedByBudget {
		t.Errorf("limitedBy = %s, want Budget", limited.LimitedBy)
	}
	s := running(t, shop().Obj())
	s.MemoryBudget.Spec.Tiers[0].Replicas.Desired = new(int32(3))
	s.MemoryBudget.Spec.Tiers[0].Pod = &v1alpha1.Pod{Tolerations: []corev1.Toleration{{Operator: "Likes"}}}
	if invalid := compute(s, ""); invalid.LimitedBy != v1alpha1.LimitedByInvalidSpec {
		t.Errorf("limitedBy = %s, want InvalidSpec", invalid.LimitedBy)
	}
}

func TestExplain(t *testing.T) {
	const pod = 512 << 20
	cases := map[string]struct {
		plan budget.TierPlan
		want string
	}{
		"all": {plan: budget.TierPlan{Wanted: 2, Granted: 2}, want: "wanted 2, granted 2"},
		"budget": {
			plan: budget.TierPlan{Wanted: 12, Granted: 9, LimitedBy: budget.LimitedByBudget, Reason: budget.Reason{
				MissingBytes: 100<<20 - 7, Holders: []budget.Holder{{Tier: "ml", AboveFloor: 1 << 30}, {Tier: "web"}}}},
			want: "wanted 12, granted 9: a further pod of 512Mi needs 100Mi more than is left; ml has 1Gi above its floor",
		},
		"reserve": {
			plan: budget.TierPlan{Wanted: 2, Granted: 1, LimitedBy: budget.LimitedByReserve, Reason: budget.Reason{
				MissingBytes: 512 << 20, ReserveBytes: 512 << 20}},
			want: "wanted 2, granted 1: a further pod of 512Mi would take 512Mi of the reserve of 512Mi",
		},
		"drained": {
			plan: budget.TierPlan{Wanted: 2, LimitedBy: budget.LimitedByDrain},
			want: "wanted 2, granted 0: spec.pause is Drain",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := status.Explain(tc.plan, pod); got != tc.want {
				t.Errorf("Explain() = %q, want %q", got, tc.want)
			}
		})
	}
}

// What is stored has to be what was computed, or the next pass finds a difference and writes again.
func TestLongMessagesSurviveBeingStored(t *testing.T) {
	for shift := range 3 {
		computed := compute(running(t, shop().Obj()), strings.Repeat("x", shift)+strings.Repeat("€", 1000))
		data, err := json.Marshal(computed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(computed, decode[v1alpha1.MemoryBudgetStatus](t, data)); diff != "" {
			t.Errorf("shifted by %d bytes, the stored status differs (-computed +stored):\n%s", shift, diff)
		}
	}
}
