// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWorkersIn: workers are told by the host name that a kubelet gives a pod, which is the beginning of a long name.
func TestWorkersIn(t *testing.T) {
	long := "shop-" + strings.Repeat("w", 57)
	var pods []corev1.Pod
	for _, name := range []string{"shop-worker-b", "shop-worker-a", long + "-1", long + "x1", long + "x2"} {
		pods = append(pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	got := workersIn(pods, []Worker{
		{Pod: long, Active: 4}, {Pod: long + "x", Active: 5}, {Pod: "shop-worker-a"}, {Pod: "shop-worker-b", Active: 2}, {Pod: "shop-worker-c", Active: 3},
	})
	want := []Worker{{Pod: "shop-worker-a"}, {Pod: "shop-worker-b", Active: 2}, {Pod: long + "-1", Active: 4}}
	b := Broker{Workers: got}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if active, known := b.Active("shop-worker-b"); active != 2 || !known {
		t.Errorf("active %d, known %v", active, known)
	}
	if _, known := b.Active("shop-worker-c"); known {
		t.Error("a pod that is not ours is known")
	}
}
