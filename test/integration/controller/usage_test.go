// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/manager"
)

// installMetricsAPI puts objects that a test writes in place of what metrics-server tells: the pods here use nothing. It is a
// real API server that serves them, under the operator's own role. The real metrics API is asked on a real cluster.
func (s *scene) installMetricsAPI() {
	s.t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "pods.metrics.k8s.io",
			Annotations: map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: "unapproved, for a test"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "metrics.k8s.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "pods", Singular: "pod", Kind: "PodMetrics", ListKind: "PodMetricsList"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1beta1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: new(true),
				}},
			}},
		},
	}
	// It stays: while an API goes away, no namespace can be deleted.
	if err := client.IgnoreAlreadyExists(admin.Create(s.t.Context(), crd)); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the metrics API to be served", func(ctx context.Context) error {
		return admin.List(ctx, podMetricsList(), client.InNamespace(s.namespace))
	})
}

func podMetricsList() *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("metrics.k8s.io/v1beta1")
	list.SetKind("PodMetricsList")
	return list
}

// use says what each pod of a tier uses.
func (s *scene) use(tier, cpu string) {
	s.t.Helper()
	for _, pod := range list(s, &corev1.PodList{}, tier).Items {
		m := &unstructured.Unstructured{Object: map[string]any{
			"timestamp": metav1.NewTime(time.Now().Add(time.Hour)).UTC().Format(time.RFC3339), "window": "15s",
			"containers": []any{map[string]any{"name": "app", "usage": map[string]any{"cpu": cpu, "memory": "100Mi"}}},
		}}
		m.SetAPIVersion("metrics.k8s.io/v1beta1")
		m.SetKind("PodMetrics")
		m.SetNamespace(s.namespace)
		m.SetName(pod.Name)
		m.SetLabels(pod.Labels)
		if err := admin.Patch(s.t.Context(), m, client.Merge); client.IgnoreNotFound(err) != nil {
			s.t.Fatal(err)
		} else if err != nil {
			if err := admin.Create(s.t.Context(), m); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// unused makes the metrics API tell nothing.
func (s *scene) unused() {
	s.t.Helper()
	m := &unstructured.Unstructured{}
	m.SetAPIVersion("metrics.k8s.io/v1beta1")
	m.SetKind("PodMetrics")
	if err := admin.DeleteAllOf(s.t.Context(), m, client.InNamespace(s.namespace)); err != nil {
		s.t.Fatal(err)
	}
}

// TestScalingByCPU: a web tier follows what its pods use, within the budget, and stays as it is while nobody tells that.
func TestScalingByCPU(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.operator = s.startOperator(fault{}, manager.Options{
		WatchNamespaces: []string{s.namespace}, UsageInterval: 200 * time.Millisecond,
	})
	tier := web(1, 1, 8)
	tier.CPU, tier.Replicas.Desired, tier.Scaling = &v1alpha1.CPU{Request: new(resource.MustParse("125m"))}, nil, quick()
	s.create(application("1536Mi").Reserve("256Mi").Tier(tier).Obj())
	s.awaitReplicas(map[string]int{"web": 1})

	s.installMetricsAPI()
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionUnknown, v1alpha1.ReasonPodsNotMeasured)
	s.use("web", "150m")
	s.awaitReplicas(map[string]int{"web": 2})
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionTrue, v1alpha1.ReasonAllFresh)

	s.use("web", "400m")
	s.awaitDemand("web", "the limit of what is not reserved", func(t v1alpha1.TierStatus) bool {
		return *t.Demand.Replicas == 8 && *t.Demand.PercentOfTarget == 400 && t.LimitedBy == v1alpha1.LimitedByReserve &&
			strings.HasPrefix(t.Decision, "pods at 400% of their target for CPU ask for 8; wanted 8, granted 5: ")
	})
	s.awaitReplicas(map[string]int{"web": 5})

	s.unused()
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionUnknown, v1alpha1.ReasonPodsNotMeasured)
	s.awaitReplicas(map[string]int{"web": 5})
	s.use("web", "1m")
	s.awaitReplicas(map[string]int{"web": 1})
	s.settle()
	s.quiet()
	s.verdict()
}
