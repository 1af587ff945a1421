// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"math"
	"math/bits"
)

// add, sub and mul saturate at the int64 limits: an absurd size reads as "does
// not fit", never as a small or negative number.

func add(a, b int64) int64 {
	s := a + b
	if (a > 0 && b > 0 && s < 0) || (a < 0 && b < 0 && s >= 0) {
		return saturated(a > 0)
	}
	return s
}

// sub is for b that is not math.MinInt64, which no size is.
func sub(a, b int64) int64 { return add(a, -b) }

// mul is for a, b >= 0; anything below counts as 0.
func mul(a, b int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 || lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(lo)
}

func saturated(positive bool) int64 {
	if positive {
		return math.MaxInt64
	}
	return math.MinInt64 + 1
}

// lessRatio reports a/x < b/y, exactly, for a, b >= 0 and x, y > 0.
func lessRatio(a, x, b, y int64) bool {
	ahi, alo := bits.Mul64(uint64(a), uint64(y))
	bhi, blo := bits.Mul64(uint64(b), uint64(x))
	return ahi < bhi || (ahi == bhi && alo < blo)
}

func positive(n int64) int64 { return max(n, 0) }
