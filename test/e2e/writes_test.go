// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/memorybudget/memorybudget/controllers"
	"github.com/memorybudget/memorybudget/test/ledger"
)

// writesOf finds the operator's writes in a history by what they leave behind: the gate that only it takes off, and the
// field managers of a Deployment whose spec has changed.
func writesOf(history []ledger.Change) map[uint64]string {
	writes, before := map[uint64]string{}, map[string]ledger.Change{}
	for _, c := range history {
		former, known := before[c.Key()]
		if before[c.Key()] = c; c.Kind == watch.Deleted {
			delete(before, c.Key())
			continue
		}
		switch o := c.Object.(type) {
		case *corev1.Pod:
			if known && ledger.Gated(&former.Object.(*corev1.Pod).Spec) && !ledger.Gated(&o.Spec) {
				writes[c.Version] = "the release of " + c.Key()
			}
		case *appsv1.Deployment:
			if o.Generation != generation(former) && !byOthers(former.Managed, c.Managed) {
				writes[c.Version] = fmt.Sprintf("apply %s with %d replicas", c.Key(), *o.Spec.Replicas)
			}
		}
	}
	return writes
}

func generation(c ledger.Change) int64 {
	if c.Object == nil {
		return 0
	}
	return c.Object.GetGeneration()
}

// byOthers reports whether the latest change of a spec was somebody else's: some other manager's entry is new or different.
func byOthers(before, after []metav1.ManagedFieldsEntry) bool {
	for _, entry := range after {
		if entry.Manager != controllers.FieldOwner && entry.Subresource != "status" && !contains(before, entry) {
			return true
		}
	}
	return false
}

func contains(all []metav1.ManagedFieldsEntry, wanted metav1.ManagedFieldsEntry) bool {
	for _, entry := range all {
		if entry.Manager == wanted.Manager && entry.Operation == wanted.Operation && entry.Subresource == wanted.Subresource {
			return bytes.Equal(entry.FieldsV1.GetRawBytes(), wanted.FieldsV1.GetRawBytes()) && entry.Time.Equal(wanted.Time)
		}
	}
	return false
}
