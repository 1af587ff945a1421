// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// sizing is how a tier's worker processes were fitted into its pods: each has a share, and is replaced
// at a threshold below it.
type sizing struct {
	processes        int32
	share, threshold int64
}

// sized fits worker processes into a pod. asked is the number that the spec states, 0 where the
// operator chooses, up to most; threshold is the one that the spec states, 0 where it is computed.
// What the spec states is kept or refused, never changed.
func (p plan) sized(tooSmall *TierTooSmallError, asked, most int32, threshold int64) (sizing, error) {
	limit := tooSmall.PodBytes
	check := func(limit int64, processes int32) bool {
		if threshold > 0 {
			return p.fits(limit, processes) && p.holds(limit, processes, threshold)
		}
		return p.fits(limit, processes)
	}
	least := max(asked, 1)
	count := asked
	if asked == 0 {
		count = fitting(p.processes(limit, most), func(n int32) bool { return check(limit, n) })
	}
	if count == 0 || !check(limit, count) {
		tooSmall.Processes = least
		tooSmall.NeedBytes = smallest(func(limit int64) bool { return check(limit, least) })
		return sizing{}, tooSmall
	}
	if threshold == 0 {
		threshold = p.threshold(limit, count)
	}
	return sizing{processes: count, share: p.share(limit, count), threshold: threshold}, nil
}

// single checks a tier whose main process does the work: it must start, with a quarter to spare.
func single(tooSmall *TierTooSmallError) error {
	check := func(limit int64) bool { return tooSmall.BaselineBytes+tooSmall.BaselineBytes/4 <= usable(limit) }
	if check(tooSmall.PodBytes) {
		return nil
	}
	tooSmall.Processes, tooSmall.NeedBytes = 1, smallest(check)
	return tooSmall
}

// tooSmall is the error of a tier, to be completed where it is needed.
func tooSmall(tier *v1alpha1.Tier, baseline int64, facts Facts) *TierTooSmallError {
	return &TierTooSmallError{
		Tier:          tier.Name,
		PodBytes:      tier.Memory.PerPod.Value(),
		BaselineBytes: baseline,
		Measured:      facts.BaselineBytes > 0,
	}
}

// field is the path of a field of a tier.
func field(tier *v1alpha1.Tier, path string) string {
	return fmt.Sprintf("spec.tiers[%s].%s", tier.Name, path)
}

// valueOr is what a pointer points to, or a default.
func valueOr[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}

// textOr is a text, or a default where it is empty.
func textOr[T ~string](text, def T) T {
	if text == "" {
		return def
	}
	return text
}
