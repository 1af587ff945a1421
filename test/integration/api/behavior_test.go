// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// behaviors are values of scaling.behavior, with only such numbers as are beyond the bounds of an autoscaler too.
var behaviors = map[string]string{
	"nothing":             "{}",
	"nothing on each":     "{scaleUp: {}, scaleDown: {}}",
	"never down":          "{scaleDown: {selectPolicy: Disabled}}",
	"all of it":           "{scaleUp: {stabilizationWindowSeconds: 1, selectPolicy: Min, tolerance: 50m, policies: [{type: Pods, value: 1, periodSeconds: 15}]}}",
	"smallest":            "{scaleDown: {stabilizationWindowSeconds: 0, tolerance: 0, policies: [{type: Percent, value: 1, periodSeconds: 1}]}}",
	"largest":             "{scaleUp: {stabilizationWindowSeconds: 3600, tolerance: 1, policies: [{type: Percent, value: 1000000, periodSeconds: 1800}]}}",
	"window: negative":    "{scaleUp: {stabilizationWindowSeconds: -1}}",
	"window: too long":    "{scaleDown: {stabilizationWindowSeconds: 3601}}",
	"select: unknown":     "{scaleDown: {selectPolicy: Average}}",
	"tolerance: negative": "{scaleUp: {tolerance: -1m}}",
	"policy: of no type":  "{scaleUp: {policies: [{value: 1, periodSeconds: 15}]}}",
	"policy: unknown":     "{scaleUp: {policies: [{type: Share, value: 1, periodSeconds: 15}]}}",
	"policy: nothing":     "{scaleUp: {policies: [{type: Pods, value: 0, periodSeconds: 15}]}}",
	"policy: no time":     "{scaleUp: {policies: [{type: Pods, value: 1, periodSeconds: 0}]}}",
	"policy: too long":    "{scaleDown: {policies: [{type: Pods, value: 1, periodSeconds: 1801}]}}",
}

// TestBehaviorAgreesWithKubernetes: the behavior of a HorizontalPodAutoscaler can be carried over as it is.
func TestBehaviorAgreesWithKubernetes(t *testing.T) {
	for name, behavior := range behaviors {
		t.Run(name, func(t *testing.T) {
			ours := create(t.Context(), example([]edit{{"spec.tiers[worker].scaling.behavior", behavior}}))
			theirs := createAutoscaler(t, behavior)
			if (ours == nil) != (theirs == nil) {
				t.Errorf("we say %v, Kubernetes says %v", ours, theirs)
			}
		})
	}
}

// createAutoscaler asks the API server to create a HorizontalPodAutoscaler, without keeping it.
func createAutoscaler(t *testing.T, behavior string) error {
	t.Helper()
	autoscaler := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app"},
			MaxReplicas:    8,
		},
	}
	if err := yaml.UnmarshalStrict([]byte("behavior: "+behavior), &autoscaler.Spec); err != nil {
		t.Fatal(err)
	}
	_, err := kubernetes.NewForConfigOrDie(config).AutoscalingV2().HorizontalPodAutoscalers(namespace).Create(t.Context(), autoscaler, dryRun)
	return err
}
