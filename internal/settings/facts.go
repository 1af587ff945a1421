// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import "github.com/memorybudget/memorybudget/api/v1alpha1"

const (
	kibi = int64(1) << 10
	mebi = int64(1) << 20
)

// What stands in for a measurement. "Measured" means: resident set, read from /proc, of released
// versions on Linux.
const (
	// celeryMain is the main process of a Celery worker: 51124 KiB measured (Celery 5.6.3, Redis, Python 3.11).
	celeryMain = 51124 * kibi
	// celeryDjangoMain is the same with Django 4.2 and seven contrib apps: 68472 KiB measured.
	celeryDjangoMain = 68472 * kibi
	// celeryOverhead is what a worker's main process takes besides the imported application, which
	// is what the verify container measures: consumer, connections and timers. 51124 KiB less the
	// 43 MiB of a process that only imports Celery and makes an app.
	celeryOverhead = 8 * mebi
	// celeryChild is what a child process does not share with its parent: 41622 KiB of proportional
	// set measured with Django, rounded down to what is private of it.
	celeryChild = 40 * mebi
	// taskGrowth is room for what a task takes. With celeryChild it makes the 170 MiB per child that
	// operators of Django applications report (prowler-cloud/prowler#10968).
	taskGrowth = 128 * mebi

	// gunicornArbiter is gunicorn's main process without the application: 30 MB.
	gunicornArbiter = 30 * mebi
	// webWorker and webDjangoWorker are a gunicorn worker with a trivial application: 55 to 65 MB of
	// resident set with Django, part of it shared.
	webWorker       = 35 * mebi
	webDjangoWorker = 55 * mebi
	// requestGrowth is room for what requests take in a gunicorn worker: the difference between the
	// 237 MB idle and 398 MB peak of a real application (docs.lenzeye.in), for a small one.
	requestGrowth = 96 * mebi

	// maxProcesses is the most worker processes that the operator chooses by itself: more belong in
	// more pods, since with memory.oom.group (Kubernetes >= 1.28 with cgroup v2) one process over the
	// limit ends all of the container.
	maxProcesses = 16
)

// baseline is what a process with the application takes, before it does anything.
func baseline(mb *v1alpha1.MemoryBudget, runtime Runtime, facts Facts) int64 {
	django := mb.Spec.Application.Django != nil
	switch {
	case runtime == RuntimeGunicorn && facts.BaselineBytes > 0:
		return facts.BaselineBytes
	case facts.BaselineBytes > 0:
		return facts.BaselineBytes + celeryOverhead
	case runtime == RuntimeGunicorn && django:
		return webDjangoWorker
	case runtime == RuntimeGunicorn:
		return webWorker
	case django:
		return celeryDjangoMain
	default:
		return celeryMain
	}
}
