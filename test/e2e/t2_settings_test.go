// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Test2Settings reads every setting of the guide back from the running processes, through the application itself.
func Test2Settings(t *testing.T) {
	s := newScene(t)
	s.create(s.budget(threeInstances))
	mb := s.awaitReady()
	if err := is(mb, v1alpha1.ConditionSettingsApplied, metav1.ConditionTrue, ""); err != nil {
		t.Error(err)
	}
	w := s.site()
	t.Run("Django", func(t *testing.T) {
		var got map[string]any
		w.read("/ops/settings/", nil, &got)
		want(t, got, rows{
			{"false", "debug"},
			{"300", "databases.default.CONN_MAX_AGE"},
			{"true", "databases.default.CONN_HEALTH_CHECKS"},
			{"10", "databases.default.OPTIONS.connect_timeout"},
			{"50", "cache_pool.max_connections"},
			{"5", "cache_pool.socket_timeout"},
			{"5", "cache_pool.socket_connect_timeout"},
			{`"WARNING"`, "logging.root"},
			{`"WARNING"`, "logging.django"},
			{`"WARNING"`, "logging.django/db/backends"},
			{`"2"`, "process.environment.MALLOC_ARENA_MAX"},
		})
		for _, list := range []string{"installed_apps", "middleware"} {
			if text := text(at(got, list)); strings.Contains(text, "debug_toolbar") {
				t.Errorf("%s has the debug toolbar: %s", list, text)
			}
		}
	})
	t.Run("Gunicorn", func(t *testing.T) {
		var got map[string]any
		w.read("/ops/gunicorn/", nil, &got)
		want(t, got, rows{
			{fmt.Sprint(planned(mb, "web")), "gunicorn.settings.workers"},
			{"2", "gunicorn.settings.threads"},
			{`"gthread"`, "gunicorn.settings.worker_class"},
			{`"gthread"`, "gunicorn.worker_class"},
			{"1000", "gunicorn.settings.max_requests"},
			{"100", "gunicorn.settings.max_requests_jitter"},
			{`"warning"`, "gunicorn.settings.loglevel"},
			{"false", "gunicorn.settings.preload_app"},
		})
	})
	workers := s.workers()
	for name, of := range map[string]rows{
		"worker": {
			{`"celery.concurrency.prefork:TaskPool"`, "stats.pool.implementation"},
			{fmt.Sprint(planned(mb, "worker")), "stats.pool.max-concurrency"},
			{fmt.Sprint(planned(mb, "worker")), "stats.prefetch_count"},
			{"500", "stats.pool.max-tasks-per-child"},
			{`["celery","emails"]`, "queues"},
		},
		"ml": {
			{`"celery.concurrency.solo:TaskPool"`, "stats.pool.implementation"},
			{"1", "stats.prefetch_count"},
			{`["ml"]`, "queues"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, workers[name], append(of, rows{
				{"1", "conf.worker_prefetch_multiplier"},
				{"true", "conf.task_acks_late"},
				{"60", "conf.worker_proc_alive_timeout"},
			}...))
		})
	}
	t.Run("ProcessTree", func(t *testing.T) { s.processTree(t, mb, workers) })
}

// processTree compares the processes that there are with those that were planned: gunicorn and Celery have one more, which
// serves no request and runs no task, and a solo pool has only that.
func (s *scene) processTree(t *testing.T, mb *v1alpha1.MemoryBudget, workers map[string]map[string]any) {
	trees := map[string][]process{"web": s.site().processes()}
	for name, facts := range workers {
		trees[name] = processesOf(t, facts)
	}
	for name, extra := range map[string]int{"web": 1, "worker": 1, "ml": 0} {
		var serving []process
		for _, p := range trees[name] {
			if strings.Contains(p.Command, "gunicorn") || strings.Contains(p.Command, "celery") {
				serving = append(serving, p)
			}
		}
		if wanted := planned(mb, name) + extra; len(serving) != wanted {
			t.Errorf("%s has %d processes, want %d: %+v", name, len(serving), wanted, serving)
		}
	}
	h := s.heldByTiers(s.began)
	for uid, pod := range s.everyPod() {
		limit := pod.Spec.Containers[0].Resources.Limits.Memory().Value()
		if h.each[uid] == 0 || h.each[uid] > limit {
			t.Errorf("the cgroup of pod %s held up to %d bytes, its limit is %d", pod.Name, h.each[uid], limit)
		}
	}
	if h.oomKills > 0 {
		t.Errorf("%d processes were killed for want of memory", h.oomKills)
	}
}

// processesOf are the processes that a worker has told of.
func processesOf(t *testing.T, worker map[string]any) []process {
	t.Helper()
	content, err := json.Marshal(worker["processes"])
	must(t, err)
	var all []process
	must(t, json.Unmarshal(content, &all))
	return all
}

// planned is how many processes of a tier's pod serve requests or run tasks, by the resource's status.
func planned(mb *v1alpha1.MemoryBudget, name string) int {
	for i := range mb.Status.Tiers {
		if tier := &mb.Status.Tiers[i]; tier.Name == name && tier.Processes != nil {
			return int(*tier.Processes)
		}
	}
	return 0
}

// workers asks Celery's workers, through the web tier, by tier: conf, stats, the names of their queues, and processes.
func (s *scene) workers() map[string]map[string]any {
	s.t.Helper()
	tiers := map[string]map[string]any{}
	eventually(s.t, patience, "a Celery worker of each tier to answer", func(ctx context.Context) error {
		var answer map[string]map[string]any
		query := url.Values{"timeout": {"5"}, "only": {"conf,stats,active_queues,processes"}}
		if err := s.site().do(ctx, "GET", "/ops/celery/", query, nil, &answer); err != nil {
			return err
		}
		clear(tiers)
		for hostname, conf := range answer["conf"] {
			// They are asked one thing after the other, for five seconds each.
			if answer["stats"][hostname] == nil || answer["active_queues"][hostname] == nil || answer["processes"][hostname] == nil {
				continue
			}
			tiers[tierOf(hostname)] = map[string]any{
				"conf": conf, "stats": answer["stats"][hostname],
				"processes": answer["processes"][hostname], "queues": names(answer["active_queues"][hostname]),
			}
		}
		if tiers["worker"] == nil || tiers["ml"] == nil {
			return errors.New("those that answer are " + text(answer["conf"]))
		}
		return nil
	})
	return tiers
}

// tierOf finds the tier in a worker's name, celery@bunoraa-TIER-...
func tierOf(hostname string) string {
	_, pod, _ := strings.Cut(hostname, "@bunoraa-")
	tier, _, _ := strings.Cut(pod, "-")
	return tier
}

func names(queues any) []string {
	var found []string
	list, _ := queues.([]any)
	for _, queue := range list {
		if fields, ok := queue.(map[string]any); ok {
			found = append(found, fmt.Sprint(fields["name"]))
		}
	}
	slices.Sort(found)
	return found
}

// rows are values, as JSON, and where they stand.
type rows []struct{ value, path string }

// want compares what stands at some places.
func want(t *testing.T, facts map[string]any, all rows) {
	t.Helper()
	wanted, got := map[string]string{}, map[string]string{}
	for _, row := range all {
		wanted[row.path], got[row.path] = row.value, text(at(facts, row.path))
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// at finds the value at a path of keys with dots between them; a slash stands for a dot in a key.
func at(value any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		fields, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = fields[strings.ReplaceAll(key, "/", ".")]
	}
	return value
}

// text is a value as JSON.
func text(value any) string {
	content, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(content)
}
