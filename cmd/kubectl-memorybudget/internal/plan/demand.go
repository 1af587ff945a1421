// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
)

// Asking is a MemoryBudget whose tiers ask for so many replicas, whatever their metrics would show. The names that are no tiers
// of it are returned. What the tiers may have at most stays as it is.
func Asking(mb *v1alpha1.MemoryBudget, replicas map[string]int32) (asking *v1alpha1.MemoryBudget, unknown []string) {
	asking = mb.DeepCopy()
	for _, name := range slices.Sorted(maps.Keys(replicas)) {
		i := slices.IndexFunc(asking.Spec.Tiers, func(t v1alpha1.Tier) bool { return t.Name == name })
		if i < 0 {
			unknown = append(unknown, name)
			continue
		}
		ask(&asking.Spec.Tiers[i], replicas[name])
	}
	return asking, unknown
}

func ask(tier *v1alpha1.Tier, replicas int32) {
	floor, _, most := decision.ReplicasOf(tier)
	tier.Replicas, tier.Scaling = &v1alpha1.Replicas{Min: &floor, Desired: &replicas, Max: &most}, nil
}

// asked are the numbers of the flag --demand.
func asked(flag map[string]int) (map[string]int32, error) {
	const most = 10000
	all := map[string]int32{}
	for name, n := range flag {
		if n < 0 || n > most {
			return nil, fmt.Errorf("--demand: %s=%d: must be at least 0 and at most %d", name, n, most)
		}
		all[name] = int32(n)
	}
	return all, nil
}
