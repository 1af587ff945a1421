// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// quiet is how long nothing more may become of tasks before those that are left count as lost.
const quiet = 40 * time.Second

// selected are the pods that a label selector finds now.
func (s *scene) selected(selector string) []corev1.Pod {
	s.t.Helper()
	parsed, err := labels.Parse(selector)
	must(s.t, err)
	pods := &corev1.PodList{}
	must(s.t, admin.List(s.t.Context(), pods, client.InNamespace(s.namespace), client.MatchingLabelsSelector{Selector: parsed}))
	return pods.Items
}

// restarts is how often containers of the pods were started again.
func restarts(pods []corev1.Pod) (n int64) {
	for i := range pods {
		for j := range pods[i].Status.ContainerStatuses {
			n += int64(pods[i].Status.ContainerStatuses[j].RestartCount)
		}
	}
	return n
}

// uids finds pods by UID.
func uids(pods []corev1.Pod) func(types.UID) bool {
	found := map[types.UID]bool{}
	for i := range pods {
		found[pods[i].UID] = true
	}
	return func(uid types.UID) bool { return found[uid] }
}

// settle waits until all tasks of a batch are done, or until nothing more becomes of them.
func (w *site) settle(batch string) map[string]outcome {
	w.t.Helper()
	var last map[string]outcome
	changed := time.Now()
	eventually(w.t, long, "the tasks of "+batch+" to be done or lost", func(ctx context.Context) error {
		now, err := w.outcomes(ctx, batch)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(now, last) {
			last, changed = now, time.Now()
		}
		left := 0
		for _, o := range now {
			left += o.NotFinished
		}
		switch {
		case len(now) == 0:
			return errors.New("there are none")
		case left > 0 && time.Since(changed) < quiet:
			return fmt.Errorf("%d are not done", left)
		}
		return nil
	})
	return last
}
