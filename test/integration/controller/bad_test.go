// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/localcluster"
)

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

// uids are those of the pods of a tier.
func (s *scene) uids(tier string) []string {
	var all []string
	for _, pod := range s.recorder.PodsOf(tier) {
		all = append(all, string(pod.UID))
	}
	slices.Sort(all)
	return all
}

// TestTierTooSmall: pods that are too small for their processes are never made; the tier keeps those that it has, and the
// other tiers go on.
func TestTierTooSmall(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	workers := s.uids("worker")
	s.update("shop", func(mb *v1alpha1.MemoryBudget) {
		tier(mb, "worker").Memory.PerPod = quantity("32Mi")
		mb.Spec.Application.Image = "registry.example/shop:2"
	})
	c := s.awaitCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonTierTooSmall)
	if !strings.Contains(c.Message, "worker") {
		t.Errorf("message: %s", c.Message)
	}
	s.awaitImage("web", "registry.example/shop:2", 1)
	s.awaitImage("ml", "registry.example/shop:2", 1)
	s.settle()
	if diff := cmp.Diff(workers, s.uids("worker")); diff != "" {
		t.Errorf("workers (-before +after):\n%s", diff)
	}
	s.awaitTold(v1alpha1.EventStalled)
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { tier(mb, "worker").Memory.PerPod = quantity("256Mi") })
	s.awaitReady()
	s.awaitImage("worker", "registry.example/shop:2", 2)
	s.verdict()
}

// TestInvalidSpec: what only the operator can see to be wrong changes nothing at all, not even what is right beside it.
func TestInvalidSpec(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	before := s.operator.tap.count()
	s.update("shop", func(mb *v1alpha1.MemoryBudget) {
		tier(mb, "web").Pod = &v1alpha1.Pod{
			Tolerations: []corev1.Toleration{{Key: "a", Operator: corev1.TolerationOpExists, Value: "b"}},
		}
		mb.Spec.Application.Image = "registry.example/shop:2"
		tier(mb, "worker").Replicas.Desired = new(int32(4))
	})
	c := s.awaitCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonInvalidSpec)
	if !strings.Contains(c.Message, "spec.tiers[0].pod.tolerations[0]") {
		t.Errorf("message: %s", c.Message)
	}
	s.settle()
	s.onlyStatusAndGates(before)
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { tier(mb, "web").Pod = nil })
	s.awaitReady()
	s.awaitImage("worker", "registry.example/shop:2", 4)
	s.verdict()
}

// TestFailingTier: pods that do not start stop the rollout of their tier, not the others, and going back is enough to
// get out of it.
func TestFailingTier(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fail func(s *scene, tier string)
		pods *v1alpha1.Pod
		want string
	}{
		"ImagePull":      {fail: (*scene).failPull, pods: pods(localcluster.ReadyAnnotation, localcluster.ReadyNever), want: "ImagePullBackOff"},
		"Crash":          {fail: func(*scene, string) {}, pods: pods(localcluster.FailAnnotation, "Error"), want: "CrashLoopBackOff"},
		"HashesDoNotFit": {fail: func(*scene, string) {}, pods: pods(localcluster.InitFailAnnotation, "Error"), want: "memorybudget-verify"},
	}
	for name, tc := range tests {
		for _, failing := range []string{"web", "worker"} {
			t.Run(name+"/"+failing, func(t *testing.T) {
				t.Parallel()
				s := newScene(t)
				s.start(fault{})
				s.create(application("2Gi").Reserve("0").Tier(web(1, 2, 2), worker(0, 2, 2)).Obj())
				s.awaitReady()
				s.update("shop", func(mb *v1alpha1.MemoryBudget) { tier(mb, failing).Pod = tc.pods })
				tc.fail(s, failing)
				c := s.awaitCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodsFailing)
				if !strings.Contains(c.Message, tc.want) || !strings.Contains(c.Message, failing) {
					t.Errorf("message: %s", c.Message)
				}
				s.update("shop", func(mb *v1alpha1.MemoryBudget) { tier(mb, failing).Pod = nil })
				s.awaitReady()
				s.awaitReplicas(map[string]int{"web": 2, "worker": 2})
				s.verdict()
				for _, name := range []string{"web", "worker"} {
					if least := s.leastReady(name); least < 1 || name != failing && least < 2 {
						t.Errorf("%d of 2 replicas of %s were ready", least, name)
					}
				}
			})
		}
	}
}

// failPull says of a new pod what a kubelet says that cannot pull its image.
func (s *scene) failPull(tier string) {
	s.t.Helper()
	eventually(s.t, "a new pod", func(ctx context.Context) error {
		for _, pod := range s.recorder.PodsOf(tier) {
			if isReady(pod) || pod.Status.Phase != corev1.PodRunning {
				continue
			}
			pod = get(s, pod.Name, &corev1.Pod{})
			pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}
			return admin.Status().Update(ctx, pod)
		}
		return fmt.Errorf("none of %d is new", len(s.recorder.PodsOf(tier)))
	})
}

// TestRejected: what the API server refuses is said with its words, changes nothing that runs, and a good spec is enough
// to recover.
func TestRejected(t *testing.T) {
	t.Parallel()
	t.Run("ByAPolicy", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.refusals = []string{"deployments"}
		refuseImage(s, "registry.example/evil:1")
		s.start(fault{})
		s.create(small().Obj())
		s.awaitReady()
		before := s.generations()
		s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/evil:1" })
		c := s.awaitCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRejected)
		if !strings.Contains(c.Message, "no evil image") {
			t.Errorf("message: %s", c.Message)
		}
		s.settle()
		if diff := cmp.Diff(before, s.generations()); diff != "" {
			t.Errorf("generations (-before +after):\n%s", diff)
		}
		s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/shop:2" })
		s.awaitReady()
		s.awaitImage("worker", "registry.example/shop:2", 2)
		s.verdict()
	})
	t.Run("UntilThePolicyIsGone", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.refusals = []string{"deployments"}
		refuseImage(s, "registry.example/evil:1")
		s.start(fault{})
		s.create(small().Obj())
		s.awaitReady()
		s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/evil:1" })
		s.awaitCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRejected)
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: s.namespace + "-images"}}
		if err := admin.Delete(t.Context(), binding); err != nil {
			t.Fatal(err)
		}
		s.awaitReady()
		s.awaitImage("worker", "registry.example/evil:1", 2)
		s.verdict()
	})
	t.Run("ByAQuota", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.refusals = []string{"deployments"}
		s.create(&corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "few"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/deployments.apps": quantity("3")}},
		})
		s.awaitQuota("few")
		s.start(fault{})
		s.create(small().Obj())
		s.awaitReady()
		s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers = append(mb.Spec.Tiers, mailer()) })
		c := s.awaitCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonRejected)
		if !strings.Contains(c.Message, "exceeded quota") {
			t.Errorf("message: %s", c.Message)
		}
		s.awaitReplicas(map[string]int{"web": 1, "worker": 2, "ml": 1})
		// More room in the quota is enough: nothing of ours changes by that, so it is tried again.
		edit(s, "few", &corev1.ResourceQuota{}, func(q *corev1.ResourceQuota) {
			q.Spec.Hard["count/deployments.apps"] = quantity("4")
		})
		s.awaitReady()
		s.awaitReplicas(map[string]int{"mailer": 1})
		s.verdict()
	})
}

// refuseImage makes a policy for the namespace and waits until it is in force.
func refuseImage(s *scene, image string) {
	s.t.Helper()
	name := s.namespace + "-images"
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
				}}},
			},
			Validations: []admissionv1.Validation{{
				Expression: "object.spec.template.spec.containers.all(c, c.image != '" + image + "')", Message: "no evil image",
			}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	for _, o := range []client.Object{policy, binding} {
		if err := admin.Create(s.t.Context(), o); err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() {
			if err := client.IgnoreNotFound(admin.Delete(context.Background(), o)); err != nil {
				s.t.Error(err)
			}
		})
	}
	eventually(s.t, "the policy to be in force", func(ctx context.Context) error {
		probe := foreignDeployment("probe")
		probe.Namespace = s.namespace
		probe.Spec.Template.Spec.Containers[0].Image = image
		if err := admin.Create(ctx, probe, client.DryRunAll); err == nil || !strings.Contains(err.Error(), "no evil image") {
			return fmt.Errorf("not refused: %w", err)
		}
		return nil
	})
}

// awaitQuota waits until a quota counts.
func (s *scene) awaitQuota(name string) {
	s.t.Helper()
	eventually(s.t, "the quota", func(context.Context) error {
		if q := get(s, name, &corev1.ResourceQuota{}); len(q.Status.Used) == 0 {
			return fmt.Errorf("status: %v", q.Status)
		}
		return nil
	})
}
