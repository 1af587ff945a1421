// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/workload"
	"github.com/memorybudget/memorybudget/test/ledger"
)

// TestNameConflict: objects of others with our names are left alone and named in the status, the rest goes on, and once
// they are removed nothing is missing.
func TestNameConflict(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		foreign []client.Object
		// others are ready all the same.
		others map[string]int
	}{
		"Deployment": {
			foreign: []client.Object{foreignDeployment("shop-worker")},
			others:  map[string]int{"web": 1, "ml": 1},
		},
		"ServiceAndPodDisruptionBudget": {
			foreign: []client.Object{foreignService("shop-web"), foreignDisruptionBudget("shop-ml")},
			others:  map[string]int{"web": 1, "worker": 2, "ml": 1},
		},
		"ConfigMap": {
			foreign: []client.Object{&corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: workload.ConfigMapName(small().Obj())}, Data: map[string]string{"settings.py": "evil"},
			}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			for _, o := range tc.foreign {
				s.create(o)
			}
			s.start(fault{})
			s.create(small().Obj())
			s.awaitCondition(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNameConflict)
			s.awaitReplicas(tc.others)
			for _, o := range tc.foreign {
				found := get(s, o.GetName(), o.DeepCopyObject().(client.Object))
				found.SetManagedFields(nil)
				if diff := cmp.Diff(essence(o), essence(found)); diff != "" {
					t.Errorf("%s (-made +now):\n%s", ledger.KeyOf(o), diff)
				}
				if err := admin.Delete(t.Context(), found); err != nil {
					t.Fatal(err)
				}
			}
			s.awaitReady()
			s.awaitReplicas(map[string]int{"web": 1, "worker": 2, "ml": 1})
			s.verdict()
		})
	}
}

// essence is what the operator could change of somebody else's object.
func essence(object client.Object) any {
	var data map[string]string
	if configMap, ok := object.(*corev1.ConfigMap); ok {
		data = configMap.Data
	}
	return []any{object.GetGeneration(), object.GetLabels(), object.GetOwnerReferences(), data}
}

func foreignDeployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": "other"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: foreignPod("x", "").Spec},
		},
	}
}

func foreignService(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func foreignDisruptionBudget(name string) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}},
		},
	}
}

// foreignPod is a pod of 512Mi that somebody made with the labels of a tier.
func foreignPod(name, tier string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.NameLabel: "shop", v1alpha1.TierLabel: tier}},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "other", Image: "registry.example/other:1",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: quantity("512Mi")}},
			}},
		},
	}
	return pod
}

// TestExposed: `kubectl expose` copies the labels of a Deployment to a Service, which is then in nobody's way.
func TestExposed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	service := foreignService("public")
	service.Labels = get(s, "shop-web", &appsv1.Deployment{}).Labels
	s.create(service)
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { tier(mb, "worker").Replicas.Desired = new(int32(3)) })
	s.awaitReady()
	s.awaitReplicas(map[string]int{"worker": 3})
	s.awaitFigures()
	s.quiet()
	if !s.exists("public", &corev1.Service{}) {
		t.Error("the Service was deleted")
	}
	s.verdict()
}

// TestForeignPods: pods with our labels take from the budget, whoever made them.
func TestForeignPods(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(foreignPod("stray", "worker"))
	s.create(application("1Gi").Reserve("0").Tier(web(1, 1, 1), worker(0, 3, 3)).Obj())
	s.awaitCondition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonWaitingForMemory)
	s.settle()
	if got := len(s.running("worker")); got != 2 {
		t.Errorf("%d pods of the tier run beside a stray one of 512Mi, one of them the stray", got)
	}
	s.deletePod(get(s, "stray", &corev1.Pod{}))
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 1, "worker": 3})
	s.verdict()
}

// running are the pods of a tier that are past their gates.
func (s *scene) running(tier string) []*corev1.Pod {
	var found []*corev1.Pod
	for _, pod := range s.recorder.PodsOf(tier) {
		if !ledger.Gated(&pod.Spec) {
			found = append(found, pod)
		}
	}
	return found
}

// TestRecreated: a resource that is deleted and made anew under the same name gets objects of its own.
func TestRecreated(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Pod(slowly()).Obj())
	first := s.awaitReady()
	if err := admin.Delete(t.Context(), s.budget()); err != nil {
		t.Fatal(err)
	}
	s.create(small().Obj())
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 1, "worker": 2, "ml": 1})
	second := s.budget()
	for _, d := range list(s, &appsv1.DeploymentList{}, "").Items {
		if owner := metav1.GetControllerOf(&d); owner == nil || owner.UID != second.UID || owner.UID == first.UID {
			t.Errorf("%s is controlled by %v", d.Name, owner)
		}
	}
	s.verdict()
}

// TestDeleted: deleting the resource, in any of the ways that there are, or its namespace leaves nothing behind, whether
// the operator runs or not.
func TestDeleted(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]metav1.DeletionPropagation{
		"Background": metav1.DeletePropagationBackground, "Foreground": metav1.DeletePropagationForeground,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.start(fault{})
			s.create(small().Obj())
			s.awaitReady()
			if err := admin.Delete(t.Context(), s.budget(), client.PropagationPolicy(policy)); err != nil {
				t.Fatal(err)
			}
			s.awaitEmpty()
			s.quiet()
			s.verdict()
		})
	}
	t.Run("WithoutTheOperator", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.start(fault{})
		s.create(small().Obj())
		s.awaitReady()
		s.operator.stop()
		if err := admin.Delete(t.Context(), s.budget()); err != nil {
			t.Fatal(err)
		}
		s.awaitEmpty()
		s.verdict()
	})
	t.Run("Namespace", func(t *testing.T) {
		t.Parallel()
		s := newScene(t)
		s.start(fault{})
		s.create(small().Obj())
		s.awaitReady()
		s.refusals = []string{"deployments", "services", "configmaps", "poddisruptionbudgets", "memorybudgets"}
		if err := admin.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}); err != nil {
			t.Fatal(err)
		}
		s.awaitNoNamespace()
		s.settle()
		s.verdict()
	})
}

func serviceAccount(name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
}
