// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// stressed is what a way to run the shop did under the guide's stress.
type stressed struct {
	name                       string
	requests, lostRequests     int
	oomKills, restarts         int64
	tasks, lostTasks, repeated int
	highest                    int64
	seconds                    float64
	pods                       int
}

// Test1Stress puts three ways to run the same image under the same stress, one after the other: all in one container, three
// Deployments written by hand, and a MemoryBudget.
func Test1Stress(t *testing.T) {
	t.Run("Before", func(t *testing.T) {
		s := newScene(t)
		s.manifest("before.yaml")
		s.awaitDeployment("before")
		r := s.stress("before: one container of 512Mi", &site{t, s.namespace, "before:80"}, "http://before/", "app=before")
		results.add(r)
		if r.oomKills == 0 {
			t.Error("nothing was killed for want of memory, so that nothing is shown by what follows")
		}
		if r.lostRequests == 0 {
			t.Error("no request failed, so that nothing is shown by what follows")
		}
	})
	t.Run("Handwritten", func(t *testing.T) {
		s := newScene(t)
		s.manifest("handwritten.yaml")
		for _, name := range []string{"web", "worker", "ml"} {
			s.awaitDeployment(name)
		}
		results.add(s.stress("three Deployments of 512Mi written by hand", &site{t, s.namespace, "web:80"}, "http://web/", "app in (web,worker,ml)"))
	})
	t.Run("MemoryBudget", func(t *testing.T) {
		s := newScene(t)
		s.create(s.budget(threeInstances))
		s.awaitReady()
		r := s.stress("a MemoryBudget of 1536Mi", s.site(), "http://bunoraa-web:8000/", v1alpha1.NameLabel)
		results.add(r)
		if r.lostRequests > 0 || r.oomKills > 0 || r.lostTasks > 0 {
			t.Errorf("%d requests failed, %d OOM kills, %d tasks were lost; want none", r.lostRequests, r.oomKills, r.lostTasks)
		}
		if budget := int64(1536 << 20); r.highest > budget {
			t.Errorf("the pods held %d bytes together, the budget is %d", r.highest, budget)
		}
		s.verdict()
	})
	must(t, write(filepath.Join(settings.results, "stress.md"), []byte(results.table())))
	t.Log("\n" + results.table())
}

// threeInstances is the budget of the three instances of 512Mi that the guide recommends.
func threeInstances(mb *v1alpha1.MemoryBudget) {
	mb.Spec.Memory = resource.MustParse("1536Mi")
	mb.Spec.Reserve = new(v1alpha1.Reserve("0"))
	tier(mb, "web").Replicas.Desired = new(int32(1))
}

// stress is the guide's: a thousand requests, twenty at a time, with tasks on both queues meanwhile; and as many again for the
// page that leaks, since what the guide complains of is memory that is never given back.
func (s *scene) stress(name string, w *site, address, selector string) stressed {
	s.t.Helper()
	from := time.Now()
	pods := s.selected(selector)
	loads := []load{
		{url: address, requests: 1000, concurrency: 20},
		{url: address + "search/?q=a&page_size=200", requests: 1000, concurrency: 20},
	}
	for _, p := range []publication{
		{Task: mailTask, Count: 60, Args: []any{1}, Batch: "stress"},
		{Task: stockTask, Count: 40, Args: []any{1}, Batch: "stress"},
		{Task: trainTask, Count: 6, Batch: "stress"},
	} {
		w.publish(p)
	}
	r := stressed{name: name, pods: len(pods)}
	for i, l := range loads {
		o := s.startLoad(fmt.Sprintf("stress-%d", i+1), l)()
		s.t.Logf("ab of %s says:\n%s", l.url, lastLines(o.output, 30))
		r.requests += l.requests
		r.lostRequests += o.lost(l)
		r.seconds += o.seconds
	}
	tasks := w.settle("stress")
	for _, of := range tasks {
		r.tasks += of.Published
		r.lostTasks += of.NotFinished
		r.repeated += of.StartedMoreThanOnce
	}
	pods = append(pods, s.selected(selector)...)
	h := memory.heldBy(from, uids(pods))
	r.highest, r.oomKills, r.restarts = h.together, h.oomKills, restarts(s.selected(selector))
	return r
}

// resultsTable collects what the three ways did.
type resultsTable struct{ rows []stressed }

var results resultsTable

func (r *resultsTable) add(row stressed) { r.rows = append(r.rows, row) }

func (r *resultsTable) table() string {
	var b strings.Builder
	fmt.Fprintln(&b, "| | pods | failed requests | OOM kills | restarts | lost tasks | repeated tasks | most memory | seconds |")
	fmt.Fprintln(&b, "|---|---|---|---|---|---|---|---|---|")
	for _, s := range r.rows {
		fmt.Fprintf(&b, "| %s | %d | %d of %d | %d | %d | %d of %d | %d | %d MiB | %.0f |\n", s.name, s.pods,
			s.lostRequests, s.requests, s.oomKills, s.restarts, s.lostTasks, s.tasks, s.repeated, s.highest>>20, s.seconds)
	}
	return b.String()
}

// quiet is how long nothing more may become of tasks before those that are left count as lost.
const quiet = 40 * time.Second

// selected are the pods that a label selector finds now.
func (s *scene) selected(selector string) []corev1.Pod {
	s.t.Helper()
	parsed, err := labels.Parse(selector)
	must(s.t, err)
	pods := &corev1.PodList{}
	must(s.t, admin.List(s.t.Context(), pods, client.InNamespace(s.namespace), client.MatchingLabelsSelector{Selector: parsed}))
	return pods.Items
}

// restarts is how often containers of the pods were started again.
func restarts(pods []corev1.Pod) (n int64) {
	for i := range pods {
		for j := range pods[i].Status.ContainerStatuses {
			n += int64(pods[i].Status.ContainerStatuses[j].RestartCount)
		}
	}
	return n
}

// uids finds pods by UID.
func uids(pods []corev1.Pod) func(types.UID) bool {
	found := map[types.UID]bool{}
	for i := range pods {
		found[pods[i].UID] = true
	}
	return func(uid types.UID) bool { return found[uid] }
}

// settle waits until all tasks of a batch are done, or until nothing more becomes of them.
func (w *site) settle(batch string) map[string]outcome {
	w.t.Helper()
	var last map[string]outcome
	changed := time.Now()
	eventually(w.t, long, "the tasks of "+batch+" to be done or lost", func(ctx context.Context) error {
		now, err := w.outcomes(ctx, batch)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(now, last) {
			last, changed = now, time.Now()
		}
		left := 0
		for _, o := range now {
			left += o.NotFinished
		}
		switch {
		case len(now) == 0:
			return errors.New("there are none")
		case left > 0 && time.Since(changed) < quiet:
			return fmt.Errorf("%d are not done", left)
		}
		return nil
	})
	return last
}
