// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Test3Recycling has processes replaced for each of the reasons that there are, under load.
func Test3Recycling(t *testing.T) {
	s := newScene(t)
	s.create(s.budget(threeInstances))
	s.awaitReady()
	w := s.site()

	t.Run("ByTasks", func(t *testing.T) {
		const tasks = 1200 // Two children cannot run them with fewer than one replacement.
		w := w.of(t)
		w.publish(publication{Task: mailTask, Count: tasks, Args: []any{1}, Kwargs: map[string]any{"seconds": 0}, Batch: "by-tasks"})
		once(t, w.awaitDone(long, "by-tasks"))
		counts := runsByProcess(w.runs("by-tasks"))
		if len(counts) < 3 {
			t.Errorf("%d processes ran them, want the first two and replacements: %v", len(counts), counts)
		}
		most := 0
		for _, n := range counts {
			most = max(most, n)
		}
		if most != 500 {
			t.Errorf("the process that ran most ran %d tasks, want it replaced after 500: %v", most, counts)
		}
	})
	t.Run("ByMemoryOfTasks", func(t *testing.T) {
		w := w.of(t)
		before := time.Now()
		w.publish(publication{Task: stockTask, Count: 60, Kwargs: map[string]any{"keep_kib": 10 << 10}, Batch: "by-memory"})
		once(t, w.awaitDone(long, "by-memory"))
		if counts := runsByProcess(w.runs("by-memory")); len(counts) < 3 {
			t.Errorf("600 MiB were kept, and no process was replaced: %v", counts)
		}
		if kills := s.heldByTiers(before).oomKills; kills > 0 {
			t.Errorf("%d processes were killed for want of memory instead", kills)
		}
	})
	t.Run("ByRequests", func(t *testing.T) {
		w := w.of(t)
		planned := planned(s.awaitReady(), "web")
		before := w.gunicornWorkers(planned, nil)
		// More than every worker may serve, the jitter included. If they are not asked equally often, the wait asks the rest.
		s.withoutLoss(t, "by-requests", load{url: "http://bunoraa-web:8000/healthz", requests: planned*1100 + 100, concurrency: 8})
		w.gunicornWorkers(planned, before)
	})
	t.Run("ByMemoryOfRequests", func(t *testing.T) {
		w := w.of(t)
		planned := planned(s.awaitReady(), "web")
		before, from := w.gunicornWorkers(planned, nil), time.Now()
		// Fewer than would replace a worker for their number, and each keeps its result.
		s.withoutLoss(t, "by-rss", load{url: "http://bunoraa-web:8000/search/?q=a&page_size=300", requests: 900, concurrency: 4})
		w.gunicornWorkers(planned, before)
		if kills := s.heldByTiers(from).oomKills; kills > 0 {
			t.Errorf("%d processes were killed for want of memory instead", kills)
		}
	})
	t.Run("SlowChildren", func(t *testing.T) {
		// Celery gives up on a child that has not said after worker_proc_alive_timeout, 4 s unless told otherwise, that it is up.
		s.change(func(mb *v1alpha1.MemoryBudget) {
			tier(mb, "worker").Env = []corev1.EnvVar{{Name: "SHOP_WARMUP_SECONDS", Value: "8"}}
			tier(mb, "worker").Celery.MaxTasksPerChild = new(int32(5))
		})
		s.awaitReady()
		w := w.of(t)
		w.publish(publication{Task: mailTask, Count: 20, Args: []any{1}, Batch: "slow-children"})
		once(t, w.awaitDone(long, "slow-children"))
		counts := runsByProcess(w.runs("slow-children"))
		if len(counts) < 4 {
			t.Errorf("%d processes ran 20 tasks, 5 at most each: %v", len(counts), counts)
		}
	})
	s.verdict()
}

// of is the same shop for a part of a test.
func (w *site) of(t *testing.T) *site { return &site{t, w.namespace, w.service} }

// once: every task ran to its end, exactly once.
func once(t *testing.T, all map[string]outcome) {
	t.Helper()
	for name, of := range all {
		if of.Finished != of.Published || of.FailedRuns > 0 || of.StartedMoreThanOnce > 0 || of.Runs != of.Published {
			t.Errorf("%s: %d published, %d finished, %d runs, %d failed, %d started more than once",
				name, of.Published, of.Finished, of.Runs, of.FailedRuns, of.StartedMoreThanOnce)
		}
	}
}

// runsByProcess counts how many tasks each process ran.
func runsByProcess(runs []taskRun) map[string]int {
	counts := map[string]int{}
	for _, run := range runs {
		counts[fmt.Sprintf("%s/%d", run.Hostname, run.PID)]++
	}
	return counts
}

// gunicornWorkers waits until there are as many as planned, none of them one of those before, and returns when each was
// started, by its process ID.
func (w *site) gunicornWorkers(planned int, before map[int]float64) map[int]float64 {
	w.t.Helper()
	found := map[int]float64{}
	eventually(w.t, short, "gunicorn's workers", func(context.Context) error {
		clear(found)
		all := w.processes()
		for _, p := range all {
			if slices.ContainsFunc(all, func(parent process) bool { return parent.PID == p.PPID && isGunicorn(parent) }) && isGunicorn(p) {
				found[p.PID] = p.StartedAt
			}
		}
		if len(found) != planned {
			return fmt.Errorf("there are %d, want %d: %+v", len(found), planned, all)
		}
		for pid, started := range before {
			if now, ok := found[pid]; ok && now == started {
				return fmt.Errorf("%d was not replaced: %v, now %v", pid, before, found)
			}
		}
		return nil
	})
	return found
}

// withoutLoss runs a load of which no request may fail.
func (s *scene) withoutLoss(t *testing.T, name string, l load) {
	t.Helper()
	if o := s.startLoad(name, l)(); o.lost(l) > 0 {
		t.Errorf("%d of %d requests failed:\n%s", o.lost(l), l.requests, lastLines(o.output, 30))
	}
}
