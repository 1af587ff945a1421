// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

func deployment(namespace, name, label string, gates ...string) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{label: "x"}}}
	for _, gate := range gates {
		d.Spec.Template.Spec.SchedulingGates = append(d.Spec.Template.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: gate})
	}
	return d
}

func TestGated(t *testing.T) {
	objects := []runtime.Object{
		deployment("shop", "worker", v1alpha1.NameLabel, "other", v1alpha1.MemoryGate),
		deployment("shop", "web", v1alpha1.NameLabel),
		deployment("shop", "theirs", "app", v1alpha1.MemoryGate),
		deployment("lab", "ml", v1alpha1.NameLabel, v1alpha1.MemoryGate),
		deployment("lab", "otherwise-gated", v1alpha1.NameLabel, "other"),
	}
	tests := map[string]struct {
		namespaces []string
		want       []string
	}{
		"All":        {namespaces: []string{""}, want: []string{"lab/ml", "shop/worker"}},
		"One":        {namespaces: []string{"shop"}, want: []string{"shop/worker"}},
		"WithSpaces": {namespaces: []string{"shop", " lab"}, want: []string{"lab/ml", "shop/worker"}},
		"NoneThere":  {namespaces: []string{"empty"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Gated(t.Context(), fake.NewClientset(objects...), tc.namespaces)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected Deployments (-want +got):\n%s", diff)
			}
		})
	}
}
