// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// large is a Deployment with a template of some size.
func large(name string) *appsv1.Deployment {
	record := strings.Builder{}
	for i := range 500 {
		fmt.Fprintf(&record, `{"name": "value-%d"}`, i*i)
	}
	deleted := metav1.NewTime(time.Unix(1000, 0))
	return &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: "u", ResourceVersion: "7", Generation: 3, DeletionTimestamp: &deleted,
			Labels:      map[string]string{"memorybudget.dev/name": "bunoraa", "memorybudget.dev/tier": name},
			Annotations: map[string]string{"memorybudget.dev/rendered-template": record.String()},
		},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "app", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("512Mi")}},
		}}}}},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 3},
	}
}

// TestPack: what is packed comes back whole, is small, and shows what the cache is asked for without being unpacked.
func TestPack(t *testing.T) {
	packer, names := &Packer{}, []string{"web", "worker", "ml"}
	var items []appsv1.Deployment
	for _, name := range names {
		small := packed(t, packer, large(name))
		if again, err := packer.Pack(small); err != nil || again != any(small) {
			t.Errorf("packed again: %v, %v", again, err)
		}
		if n := len(small.Annotations[packedAnnotation]); n > 500 {
			t.Errorf("%s takes %d bytes", name, n)
		}
		shows := metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: "u", ResourceVersion: "7", Generation: 3, DeletionTimestamp: large(name).DeletionTimestamp,
			Labels: map[string]string{"memorybudget.dev/name": "bunoraa"}, Annotations: small.Annotations,
		}
		if diff := cmp.Diff(shows, small.ObjectMeta); diff != "" {
			t.Errorf("packed (-want +got):\n%s", diff)
		}
		small.TypeMeta = large(name).TypeMeta // The cache sets it on what it returns.
		items = append(items, *small.DeepCopy())
	}
	names = append(names, "unpacked")
	items = append(items, *large("unpacked"))
	if err := unpack(items); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if diff := cmp.Diff(*large(name), items[i]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// packed is what a packer makes of a Deployment, with who changed which field.
func packed(t *testing.T, packer *Packer, full *appsv1.Deployment) *appsv1.Deployment {
	t.Helper()
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "memorybudget"}}
	got, err := packer.Pack(full)
	if err != nil {
		t.Fatal(err)
	}
	return got.(*appsv1.Deployment)
}

// TestPackLearns: of objects that are another's kin, the first is large, and most are small.
func TestPackLearns(t *testing.T) {
	packer, random := &Packer{}, rand.NewChaCha8([32]byte{})
	for range 3 {
		noise := make([]byte, 4000)
		_, _ = random.Read(noise)
		sizes := map[bool]int{}
		for i := range 2 * fewest {
			object := large("web")
			object.Annotations["kin"] = hex.EncodeToString(noise)
			small := *packed(t, packer, object)
			sizes[len(small.Annotations[packedAnnotation]) < 500]++
			items := []appsv1.Deployment{small}
			if err := unpack(items); err != nil || items[0].Annotations["kin"] != object.Annotations["kin"] {
				t.Fatalf("object %d does not come back: %v", i, err)
			}
		}
		if sizes[true] < fewest {
			t.Errorf("small or not: %v", sizes)
		}
	}
}
