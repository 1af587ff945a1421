// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package decision_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/report"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/internal/workload"
)

// shop has a paced web tier and a gated worker tier in 1Gi, with 512Mi to spare.
func shop() *v1alpha1.MemoryBudget {
	return testutil.MakeMemoryBudget("shop", "default").UID("u").Memory("1Gi").Reserve("0").
		Django("core.settings").CeleryApp("core").Redis("broker", "url").
		Tier(testutil.MakeTier("web", v1alpha1.RoleWeb).Replicas(1, 1, 2).Gunicorn("core.wsgi:application").Obj(),
			testutil.MakeTier("worker", v1alpha1.RoleWorker).Replicas(0, 1, 4).Celery("celery").Obj()).
		Obj()
}

// settled is the cluster once all that is decided for the shop has come to be.
func settled(t *testing.T) *observe.Snapshot {
	t.Helper()
	s := afterWriting(t, shop())
	for i := range s.Deployments {
		d := &s.Deployments[i]
		d.UID = types.UID(d.Name)
		rs := replicaSet(d, d.Name+"-1")
		s.ReplicaSets = append(s.ReplicaSets, rs)
		s.Pods = append(s.Pods, pod(&rs))
	}
	return s
}

func replicaSet(d *appsv1.Deployment, name string) appsv1.ReplicaSet {
	return appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), Labels: d.Spec.Template.Labels,
			Annotations:     map[string]string{"deployment.kubernetes.io/desired-replicas": fmt.Sprint(*d.Spec.Replicas)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec:   appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Template: *d.Spec.Template.DeepCopy()},
		Status: appsv1.ReplicaSetStatus{AvailableReplicas: *d.Spec.Replicas},
	}
}

// pod is a running one.
func pod(rs *appsv1.ReplicaSet) corev1.Pod {
	p := corev1.Pod{ObjectMeta: *rs.Spec.Template.ObjectMeta.DeepCopy(), Spec: *rs.Spec.Template.Spec.DeepCopy()}
	p.Name, p.UID = rs.Name+"-a", types.UID(rs.Name+"-a")
	p.Spec.SchedulingGates = nil
	p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
	p.Status = corev1.PodStatus{
		Phase:                 corev1.PodRunning,
		Conditions:            []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		InitContainerStatuses: []corev1.ContainerStatus{{Name: report.Container}},
	}
	return p
}

func deployment(s *observe.Snapshot, name string) *appsv1.Deployment {
	return s.Deployment("shop-" + name)
}

func tierOf(s *observe.Snapshot, name string) *v1alpha1.Tier {
	i := slices.IndexFunc(s.MemoryBudget.Spec.Tiers, func(t v1alpha1.Tier) bool { return t.Name == name })
	return &s.MemoryBudget.Spec.Tiers[i]
}

// lines are writes in words, in their order; ConfigMaps have the word "settings" for their name.
func lines(writes []decision.Write) []string {
	var all []string
	for _, w := range writes {
		name := w.Name
		if w.Kind == "ConfigMap" {
			name, _, _ = strings.Cut(strings.TrimPrefix(name, "shop-"), "-")
		}
		line := fmt.Sprintf("%s %s %s", w.Verb, w.Kind, name)
		if w.PutsBack {
			line += ", puts back"
		}
		if w.ScaledTo != nil {
			line += fmt.Sprintf(" from %d", *w.ScaledTo)
		}
		all = append(all, line)
	}
	return all
}

func TestWrites(t *testing.T) {
	cases := map[string]struct {
		change func(*observe.Snapshot)
		want   []string
	}{
		"nothing to do": {change: func(*observe.Snapshot) {}},
		"a new resource: what pods need, then the Deployments": {
			change: func(s *observe.Snapshot) { *s = observe.Snapshot{MemoryBudget: s.MemoryBudget} },
			want: []string{
				"Apply ConfigMap settings", "Apply Service shop-web", "Apply PodDisruptionBudget shop-web",
				"Apply PodDisruptionBudget shop-worker", "Apply Deployment shop-web", "Apply Deployment shop-worker",
			},
		},
		"Recommend writes nothing": {
			change: func(s *observe.Snapshot) {
				*s = observe.Snapshot{MemoryBudget: s.MemoryBudget}
				s.MemoryBudget.Spec.Policy = v1alpha1.PolicyRecommend
			},
		},
		"Hold writes nothing": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Pause = v1alpha1.PauseHold
				s.MemoryBudget.Spec.Application.Image = "other"
				tierOf(s, "worker").Replicas.Desired = new(int32(2))
			},
		},
		"Hold lets a pod through its gate": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Pause = v1alpha1.PauseHold
				s.Pods[1].Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "other"}, {Name: v1alpha1.MemoryGate}}
			},
			want: []string{"ReleaseGate Pod shop-worker-1-a"},
		},
		"a spec that is not valid changes nothing": {
			change: func(s *observe.Snapshot) {
				tierOf(s, "web").Pod = wrongToleration()
				s.MemoryBudget.Spec.Application.Image = "other"
			},
		},
		"a budget below the floors changes nothing": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Memory = resource.MustParse("64Mi")
				s.MemoryBudget.Spec.Application.Image = "other"
			},
		},
		"what others add is left alone": {
			change: func(s *observe.Snapshot) {
				for i := range s.Deployments {
					s.Deployments[i].Labels["other"] = "1"
					s.Deployments[i].Annotations["other"] = "1"
				}
				s.Services[0].Labels["other"] = "1"
				s.Services[0].Spec.ClusterIP = "10.0.0.1"
			},
		},
		"replicas that others change": {
			change: func(s *observe.Snapshot) { deployment(s, "worker").Spec.Replicas = new(int32(3)) },
			want:   []string{"Apply Deployment shop-worker, puts back from 3"},
		},
		"a template that others edit": {
			change: func(s *observe.Snapshot) { deployment(s, "web").Spec.Template.Spec.Containers[0].Image = "other" },
			want:   []string{"Apply Deployment shop-web, puts back"},
		},
		"a rollout that others paused": {
			change: func(s *observe.Snapshot) { deployment(s, "web").Spec.Paused = true },
			want:   []string{"Apply Deployment shop-web, puts back"},
		},
		"a tier whose label others took away is not taken for a removed one": {
			change: func(s *observe.Snapshot) { delete(deployment(s, "worker").Labels, v1alpha1.TierLabel) },
			want:   []string{"Apply Deployment shop-worker, puts back"},
		},
		"a removed tier whose label others changed is not taken for another": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Tiers = s.MemoryBudget.Spec.Tiers[:1]
				removed := deployment(s, "worker")
				removed.Labels[v1alpha1.TierLabel] = "web"
				removed.Spec.Replicas = new(int32(0))
				removed.Annotations[v1alpha1.ReplicasAnnotation] = "0"
				s.ReplicaSets[1].Spec.Replicas = new(int32(0))
				s.Pods = s.Pods[:1]
			},
			want: []string{"Delete Deployment shop-worker", "Delete PodDisruptionBudget shop-worker"},
		},
		"a removed tier without its label": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Tiers = s.MemoryBudget.Spec.Tiers[:1]
				removed := deployment(s, "worker")
				delete(removed.Labels, v1alpha1.TierLabel)
				removed.Spec.Replicas = new(int32(0))
				removed.Annotations[v1alpha1.ReplicasAnnotation] = "0"
				s.ReplicaSets[1].Spec.Replicas = new(int32(0))
				s.Pods = s.Pods[:1]
			},
			want: []string{"Delete Deployment shop-worker", "Delete PodDisruptionBudget shop-worker"},
		},
		"a Service that others edit": {
			change: func(s *observe.Snapshot) { s.Services[0].Spec.Ports[0].Port = 1 },
			want:   []string{"Apply Service shop-web, puts back"},
		},
		"an object that others delete": {
			change: func(s *observe.Snapshot) { s.PodDisruptionBudgets = s.PodDisruptionBudgets[:1] },
			want:   []string{"Apply PodDisruptionBudget shop-worker"},
		},
		"an object that is not needed any more": {
			change: func(s *observe.Snapshot) { tierOf(s, "web").Replicas.Max = new(int32(1)) },
			want:   []string{"Delete PodDisruptionBudget shop-web"},
		},
		"a tier that is taken out shrinks first": {
			change: func(s *observe.Snapshot) { s.MemoryBudget.Spec.Tiers = s.MemoryBudget.Spec.Tiers[:1] },
			want:   []string{"Apply Deployment shop-worker"},
		},
		"a tier that is taken out and whose pods are gone": {
			change: func(s *observe.Snapshot) {
				s.MemoryBudget.Spec.Tiers = s.MemoryBudget.Spec.Tiers[:1]
				deployment(s, "worker").Spec.Replicas = new(int32(0))
				deployment(s, "worker").Annotations[v1alpha1.ReplicasAnnotation] = "0"
				s.ReplicaSets[1].Spec.Replicas = new(int32(0))
				s.Pods = s.Pods[:1]
			},
			want: []string{"Delete Deployment shop-worker", "Delete PodDisruptionBudget shop-worker"},
		},
		"the name of a Deployment is taken": {
			change: func(s *observe.Snapshot) {
				*s = observe.Snapshot{MemoryBudget: s.MemoryBudget, Foreign: []observe.Foreign{{Kind: "Deployment", Name: "shop-web"}}}
			},
			want: []string{
				"Apply ConfigMap settings", "Apply Service shop-web", "Apply PodDisruptionBudget shop-web",
				"Apply PodDisruptionBudget shop-worker", "Apply Deployment shop-worker",
			},
		},
		"the name of the settings is taken": {
			change: func(s *observe.Snapshot) {
				name := s.ConfigMaps[0].Name
				s.ConfigMaps, s.Foreign = nil, []observe.Foreign{{Kind: "ConfigMap", Name: name}}
			},
		},
		"a tier that is too small stays as it is": {
			change: func(s *observe.Snapshot) {
				tierOf(s, "worker").Memory.PerPod = resource.MustParse("32Mi")
				tierOf(s, "web").Replicas.Desired = new(int32(2))
			},
			want: []string{"Apply Deployment shop-web"},
		},
		"of a new tier that is too small nothing is made": {
			change: func(s *observe.Snapshot) {
				*s = observe.Snapshot{MemoryBudget: s.MemoryBudget}
				tierOf(s, "worker").Memory.PerPod = resource.MustParse("32Mi")
			},
			want: []string{"Apply ConfigMap settings", "Apply Service shop-web", "Apply PodDisruptionBudget shop-web", "Apply Deployment shop-web"},
		},
		"a new measurement changes no template": {
			change: func(s *observe.Snapshot) {
				for i := range s.Pods {
					s.Pods[i].Status.InitContainerStatuses[0].State.Terminated = &corev1.ContainerStateTerminated{
						Message: `{"v":1,"celery":"5.6.3","baselineBytes":104857600}`,
					}
				}
			},
		},
		"settings that nothing refers to": {
			change: func(s *observe.Snapshot) { s.ConfigMaps = append(s.ConfigMaps, oldSettings()) },
			want:   []string{"Delete ConfigMap settings"},
		},
		"settings that an old ReplicaSet refers to": {
			change: func(s *observe.Snapshot) {
				old := replicaSet(deployment(s, "worker"), "shop-worker-0")
				old.Spec.Replicas = new(int32(0))
				refer(&old.Spec.Template.Spec)
				s.ReplicaSets = append(s.ReplicaSets, old)
				s.ConfigMaps = append(s.ConfigMaps, oldSettings())
			},
		},
		"settings that a dying pod refers to": {
			change: func(s *observe.Snapshot) {
				dying := pod(&s.ReplicaSets[1])
				dying.Name, dying.DeletionTimestamp = "dying", new(metav1.Now())
				refer(&dying.Spec)
				s.Pods = append(s.Pods, dying)
				s.ConfigMaps = append(s.ConfigMaps, oldSettings())
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := settled(t)
			tc.change(s)
			if diff := cmp.Diff(tc.want, lines(decision.Decide(s).Writes)); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

// wrongToleration is one that CEL does not see and the API server would refuse in a pod.
func wrongToleration() *v1alpha1.Pod {
	return &v1alpha1.Pod{Tolerations: []corev1.Toleration{{Key: "a", Operator: corev1.TolerationOpExists, Value: "b"}}}
}

// oldSettings is a ConfigMap of an earlier spec.
func oldSettings() corev1.ConfigMap {
	return corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "shop-settings-old"}}
}

// refer makes a pod mount the old settings instead of its own.
func refer(spec *corev1.PodSpec) {
	for i := range spec.Volumes {
		if spec.Volumes[i].ConfigMap != nil {
			spec.Volumes[i].ConfigMap.Name = "shop-settings-old"
		}
	}
}

// TestShorterGracePeriod: while pods of the longer grace period are replaced, the API server's rule holds that the
// progress deadline is above minReadySeconds.
func TestShorterGracePeriod(t *testing.T) {
	s := settled(t)
	deployment(s, "web").Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(1800))
	s.ReplicaSets[0].Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(1800))
	tierOf(s, "web").Image = "other"
	for _, w := range decision.Decide(s).Writes {
		if w.Name != "shop-web" || w.Kind != "Deployment" {
			continue
		}
		spec := w.Object.(*appsv1ac.DeploymentApplyConfiguration).Spec
		if *spec.MinReadySeconds < 1800 || *spec.ProgressDeadlineSeconds <= *spec.MinReadySeconds {
			t.Errorf("minReadySeconds %d, progressDeadlineSeconds %d", *spec.MinReadySeconds, *spec.ProgressDeadlineSeconds)
		}
		return
	}
	t.Error("no rollout of web")
}

// TestRolloutUsesWhatWasMeasured: once there is a reason to write a template, what was measured goes into it.
func TestRolloutUsesWhatWasMeasured(t *testing.T) {
	s := settled(t)
	before := workload.InputHash(s.MemoryBudget, "worker")
	s.Pods[1].Status.InitContainerStatuses[0].State.Terminated = &corev1.ContainerStateTerminated{
		Message: `{"v":1,"baselineBytes":104857600}`,
	}
	tierOf(s, "worker").Image = "other"
	d := decision.Decide(s)
	tier := d.Tiers[1]
	if tier.InputHash == before || !tier.Reported && tier.Rendered.Hash == "" {
		t.Fatalf("tier: %+v", tier)
	}
	unmeasured := settled(t)
	tierOf(unmeasured, "worker").Image = "other"
	if other := decision.Decide(unmeasured).Tiers[1]; other.Rendered.Hash == tier.Rendered.Hash {
		t.Error("a measured baseline of 100Mi makes no difference to a new template")
	}
}

func TestProblems(t *testing.T) {
	cases := map[string]struct {
		change                  func(*observe.Snapshot)
		wantReason, wantMessage string
	}{
		"foreign": {
			change: func(s *observe.Snapshot) {
				s.Foreign = []observe.Foreign{{Kind: "Service", Name: "shop-web", Owner: "Ingress other"}}
			},
			wantReason:  v1alpha1.ReasonNameConflict,
			wantMessage: "Service shop-web exists and is controlled by Ingress other",
		},
		"too small": {
			change:      func(s *observe.Snapshot) { tierOf(s, "worker").Memory.PerPod = resource.MustParse("32Mi") },
			wantReason:  v1alpha1.ReasonTierTooSmall,
			wantMessage: "worker",
		},
		"not valid": {
			change:      func(s *observe.Snapshot) { tierOf(s, "web").Pod = wrongToleration() },
			wantReason:  v1alpha1.ReasonInvalidSpec,
			wantMessage: "spec.tiers[0].pod.tolerations[0]",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := settled(t)
			tc.change(s)
			problems := decision.Decide(s).Problems
			if len(problems) != 1 || problems[0].Reason != tc.wantReason || !strings.Contains(problems[0].Message, tc.wantMessage) {
				t.Errorf("problems: %+v", problems)
			}
		})
	}
}

// TestTheOrderOfTheSpecDoesNotMatter: shuffled lists of the cluster and of the spec give the same decision.
func TestTheOrderOfTheSpecDoesNotMatter(t *testing.T) {
	s := settled(t)
	s.MemoryBudget.Spec.Application.Image = "other"
	want := lines(decision.Decide(s).Writes)
	slices.Reverse(s.MemoryBudget.Spec.Tiers)
	slices.Reverse(s.Pods)
	slices.Reverse(s.ReplicaSets)
	got := lines(decision.Decide(s).Writes)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes (-in order +reversed):\n%s", diff)
	}
}
