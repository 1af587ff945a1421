// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

// The formulas. All amounts are bytes. Integer arithmetic rounds down everywhere except in the
// inverse (the smallest pod that would do), which rounds up.
//
//	usable               = 0.90 x limit
//	processes            = clamp((usable - parent) / (child + growth), 1, most)
//	threshold            = base + 0.85 x (usable - parent) / processes
//	valid if threshold  >= 1.25 x floor, and parent + processes x child <= usable
//
// For Celery, parent = base = floor = the main process, whose pages a child shares and whose resident
// set it starts with: a child is measured by its peak resident set (billiard's mem_rss), so a
// threshold below 1.25 x the main process would replace it after every task.
// For gunicorn, parent is the arbiter, base is 0 (a worker's own resident set is measured) and floor
// is a worker with the application.

// usable is the part of a limit that processes may take: the rest is for page cache, /dev/shm, probe
// processes and one child that overlaps with its successor.
func usable(limit int64) int64 { return limit / 10 * 9 }

// plan is the memory of a tier that runs worker processes under a parent.
type plan struct {
	// parent is the process that starts the others.
	parent int64
	// base is the part of the parent that counts in the measured size of a worker process.
	base int64
	// floor is the size that a worker process starts with, as it is measured.
	floor int64
	// child is what a worker process adds to the pod before it does anything, growth what it may add then.
	child, growth int64
}

// processes is how many worker processes fit, between 1 and most.
func (p plan) processes(limit int64, most int32) int32 {
	fit := (usable(limit) - p.parent) / (p.child + p.growth)
	return int32(max(1, min(fit, int64(most))))
}

// share is the size up to which all worker processes together stay within a pod.
func (p plan) share(limit int64, processes int32) int64 {
	return p.base + (usable(limit)-p.parent)/int64(processes)
}

// threshold is the size at which a worker process is replaced.
func (p plan) threshold(limit int64, processes int32) int64 {
	return p.base + (usable(limit)-p.parent)*85/100/int64(processes)
}

// least is the smallest valid threshold: below it, a process would be replaced again and again.
func (p plan) least() int64 { return p.floor + p.floor/4 }

// fits tells whether so many processes can start in a pod and have room until they are replaced.
func (p plan) fits(limit int64, processes int32) bool {
	return p.threshold(limit, processes) >= p.least() &&
		p.parent+int64(processes)*p.child <= usable(limit)
}

// holds tells whether processes that grow up to a given threshold stay within a pod.
func (p plan) holds(limit int64, processes int32, threshold int64) bool {
	return p.parent+int64(processes)*(threshold-p.base) <= usable(limit)
}

// fitting is the largest number of processes up to the given one for which the check holds; 0 if none.
func fitting(processes int32, check func(int32) bool) int32 {
	for ; processes > 0; processes-- {
		if check(processes) {
			return processes
		}
	}
	return 0
}

// smallest is the smallest limit, in whole Mi, at which a check holds. The check must hold for all
// larger limits too. It looks no further than 1 Pi, the largest limit that a resource may have.
func smallest(check func(limit int64) bool) int64 {
	low, high := int64(1), int64(1)<<30
	for low < high {
		middle := (low + high) / 2
		if check(middle * mebi) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low * mebi
}
