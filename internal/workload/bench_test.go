// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"testing"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// sized is a resource with so many tiers, three of them the example's.
func sized(tiers int) *v1alpha1.MemoryBudget {
	mb := testutil.MakeExample("bunoraa", "shop").UID("1").Obj()
	mb.Spec.Tiers = mb.Spec.Tiers[:3]
	for i := len(mb.Spec.Tiers); i < tiers; i++ {
		name := fmt.Sprintf("worker-%d", i)
		mb.Spec.Tiers = append(mb.Spec.Tiers, testutil.MakeTier(name, v1alpha1.RoleWorker).Memory("512Mi").Celery(name).Obj())
	}
	return mb
}

// BenchmarkBuild makes all objects of a resource anew, as its first apply does.
func BenchmarkBuild(b *testing.B) {
	for _, tiers := range []int{3, 16} {
		b.Run(fmt.Sprintf("tiers=%d", tiers), func(b *testing.B) {
			mb := sized(tiers)
			b.ReportAllocs()
			for b.Loop() {
				objects(b, mb)
			}
		})
	}
}

// BenchmarkRestore hashes the input of all tiers and restores their templates, as each pass over a
// resource does that has not changed.
func BenchmarkRestore(b *testing.B) {
	for _, tiers := range []int{3, 16} {
		b.Run(fmt.Sprintf("tiers=%d", tiers), func(b *testing.B) {
			mb := sized(tiers)
			records := map[string]string{}
			for i := range mb.Spec.Tiers {
				records[mb.Spec.Tiers[i].Name] = rendered(b, mb, &mb.Spec.Tiers[i]).Record
			}
			b.ReportAllocs()
			for b.Loop() {
				for name, record := range records {
					if _, err := Restore(mb, name, record); err != nil || InputHash(mb, name) == "" {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
