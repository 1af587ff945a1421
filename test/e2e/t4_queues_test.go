// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
)

const (
	mailTask  = "shop.tasks.send_order_mail"
	stockTask = "shop.tasks.sync_stock"
	peakTask  = "shop.tasks.export_catalogue"
	slowTask  = "shop.tasks.import_prices"
	trainTask = "recommendations.tasks.train_model"
	scoreTask = "recommendations.tasks.score_product"
)

// Test4Queues publishes heavy and light tasks from the web tier, which knows nothing of queues.
func Test4Queues(t *testing.T) {
	s := newScene(t)
	s.create(s.budget(threeInstances))
	s.awaitReady()
	w := s.site()

	w.publish(publication{Task: mailTask, Count: 40, Args: []any{1}, Batch: "alone"})
	alone := w.awaitDone(patience, "alone")[mailTask]

	// Trainings of a second each, so many that mails behind them would wait for half a minute.
	w.publish(publication{Task: trainTask, Count: 30, Batch: "flood"})
	w.publish(publication{Task: scoreTask, Count: 10, Args: []any{1}, Batch: "flood"})
	w.publish(publication{Task: mailTask, Count: 40, Args: []any{1}, Batch: "beside"})
	w.publish(publication{Task: stockTask, Count: 20, Batch: "beside"})
	beside := w.awaitDone(patience, "beside")
	if left := mustOutcomes(w, "flood")[trainTask].NotFinished; left < 10 {
		t.Errorf("only %d trainings were left when the mails were sent: the flood was none", left)
	}
	flood := w.awaitDone(long, "flood")
	onlyIn(t, "ml", flood)
	onlyIn(t, "worker", beside)
	if of := flood[trainTask]; of.TorchMappedRuns != of.Runs {
		t.Errorf("%d of %d trainings had torch mapped: this test would not see it elsewhere either", of.TorchMappedRuns, of.Runs)
	}
	for name, of := range beside {
		if of.TorchMappedRuns > 0 {
			t.Errorf("%d runs of %s had torch mapped", of.TorchMappedRuns, name)
		}
	}
	// Mails alone wait for each other; beside the flood and the stock they may wait for these twenty more, and not for trainings.
	t.Logf("mails waited %.2f s at most alone, %.2f s beside the flood of trainings", alone.WaitSeconds.Max, beside[mailTask].WaitSeconds.Max)
	trainings := w.runs("flood")
	first, last := trainings[0].StartedAt, trainings[len(trainings)-1].FinishedAt
	for _, run := range w.runs("beside") {
		if run.FinishedAt.After(last) || run.StartedAt.After(last) {
			t.Errorf("%s was done only after the flood, at %s", run.Name, run.FinishedAt.Sub(first))
		}
	}
	s.noTorch(t)
	s.verdict()
}

// onlyIn: all runs were in one tier, those of the ml tier out of its queue.
func onlyIn(t *testing.T, tier string, all map[string]outcome) {
	t.Helper()
	for name, of := range all {
		for _, place := range of.RanOn {
			if tierOf(place.Hostname) != tier || tier == "ml" && place.Queue != "ml" {
				t.Errorf("%d runs of %s were on %s from queue %s, want the %s tier", place.Runs, name, place.Hostname, place.Queue, tier)
			}
		}
	}
}

// noTorch looks at every process of the worker tier.
func (s *scene) noTorch(t *testing.T) {
	for _, p := range processesOf(t, s.workers()["worker"]) {
		if p.TorchMapped {
			t.Errorf("process %d of the worker tier has torch mapped: %s", p.PID, p.Command)
		}
	}
}
