// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"net/netip"
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
	"github.com/memorybudget/memorybudget/test/brokers"
)

// installExternalMetric puts objects that a test writes in place of what an adapter of the external metrics API tells: there is no
// adapter here. It is a real API server that serves them as orders.external.metrics.k8s.io, under the operator's own role.
func (s *scene) installExternalMetric() {
	s.t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "orders.external.metrics.k8s.io",
			Annotations: map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: "unapproved, for a test"},
		},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "external.metrics.k8s.io", Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "orders", Singular: "order", Kind: "ExternalMetricValue", ListKind: "ExternalMetricValueList",
			},
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
	values := &unstructured.UnstructuredList{}
	values.SetAPIVersion("external.metrics.k8s.io/v1beta1")
	values.SetKind("ExternalMetricValueList")
	eventually(s.t, "the external metric to be served", func(ctx context.Context) error {
		return admin.List(ctx, values, client.InNamespace(s.namespace))
	})
}

// order says what a series of the external metric is, with a label.
func (s *scene) order(name, queue, value string) {
	s.t.Helper()
	v := &unstructured.Unstructured{Object: map[string]any{
		"metricName": "orders", "metricLabels": map[string]any{"queue": queue}, "value": value,
		"timestamp": metav1.Now().UTC().Format(time.RFC3339),
	}}
	v.SetAPIVersion("external.metrics.k8s.io/v1beta1")
	v.SetKind("ExternalMetricValue")
	v.SetNamespace(s.namespace)
	v.SetName(name)
	v.SetLabels(map[string]string{"queue": queue})
	if err := admin.Patch(s.t.Context(), v, client.Merge); client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	} else if err != nil {
		if err := admin.Create(s.t.Context(), v); err != nil {
			s.t.Fatal(err)
		}
	}
}

// TestScalingByValues: a web tier follows what a real Prometheus answers, and a worker tier an external metric, from zero; each stays as it
// is while there is no number.
func TestScalingByValues(t *testing.T) {
	t.Parallel()
	const canary = "Canary-77e1"
	s := newScene(t)
	s.installExternalMetric()
	prometheus := brokers.StartPrometheus(t)
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "prometheus"}, StringData: map[string]string{"token": canary}})
	s.letReadSecrets()
	s.operator = s.startOperator(fault{}, manager.Options{
		WatchNamespaces: []string{s.namespace}, UsageInterval: 200 * time.Millisecond,
		BrokerGuard: func(context.Context, netip.Addr) bool { return true },
	})
	mb := application("4Gi").Reserve("0").Tier(web(1, 1, 8), worker(0, 0, 8)).Obj()
	byQuery, byMetric := tier(mb, "web"), tier(mb, "worker")
	byQuery.Replicas.Desired, byQuery.Scaling = nil, quick()
	byQuery.Scaling.Metrics = []v1alpha1.Metric{{Prometheus: &v1alpha1.PrometheusMetric{
		Address: "http://" + prometheus.Address, Query: "sum(shop_requests)", TargetAverageValue: new(resource.MustParse("500m")),
		BearerTokenFrom: &v1alpha1.SecretSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: "prometheus", Key: "token"}},
	}}}
	byMetric.Replicas.Desired, byMetric.Scaling = nil, quick()
	byMetric.Scaling.Metrics = []v1alpha1.Metric{{External: &v1alpha1.ExternalMetric{
		Name: "orders", MatchLabels: map[string]string{"queue": "shop"}, TargetAverageValue: new(resource.MustParse("10")),
	}}}
	s.create(mb)
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0})
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionUnknown, v1alpha1.ReasonNotANumber)

	prometheus.Set("shop_requests", "1.2")
	s.awaitReplicas(map[string]int{"web": 3, "worker": 0})
	s.order("c", "another", "500")
	s.order("b", "shop", "0")
	s.order("a", "shop", "31")
	s.awaitReplicas(map[string]int{"web": 3, "worker": 4})
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionTrue, v1alpha1.ReasonAllFresh)
	s.awaitDemand("worker", "its decision", func(t v1alpha1.TierStatus) bool {
		return strings.HasPrefix(t.Decision, "the external metric orders at a target of 10 per pod asks for 4; wanted 4, granted 4")
	})

	prometheus.Set("shop_requests", "NaN")
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionUnknown, v1alpha1.ReasonNotANumber)
	s.order("b", "shop", "6")
	s.order("a", "shop", "15")
	s.awaitReplicas(map[string]int{"web": 3, "worker": 3})
	prometheus.Set("shop_requests", "1.9")
	s.awaitReplicas(map[string]int{"web": 4, "worker": 3})
	s.awaitReady()
	s.neverTells(canary)
	s.verdict()
}
