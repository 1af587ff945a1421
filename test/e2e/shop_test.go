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
	"strings"
	"testing"
	"time"
)

// site is the shop behind a Service, reached through the API server.
type site struct {
	t         *testing.T
	namespace string
	// service is the name and the port of the Service, as name:port.
	service string
}

// site is the shop that a MemoryBudget runs.
func (s *scene) site() *site { return &site{s.t, s.namespace, "bunoraa-web:8000"} }

// do sends one request and reads the answer into a value, unless that is nil.
func (w *site) do(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, short)
	defer cancel()
	uri := url.URL{Path: fmt.Sprintf("/api/v1/namespaces/%s/services/%s/proxy%s", w.namespace, w.service, path), RawQuery: query.Encode()}
	request := clientset.CoreV1().RESTClient().Verb(method).RequestURI(uri.String())
	if body != nil {
		content, err := json.Marshal(body)
		if err != nil {
			return err
		}
		request = request.Body(content).SetHeader("Content-Type", "application/json")
	}
	content, err := request.DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%s %s of %s: %w: %.500s", method, path, w.service, err, content)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(content, answer); err != nil {
		return fmt.Errorf("reading %s of %s: %w: %.500s", path, w.service, err, content)
	}
	return nil
}

// read asks until the shop answers.
func (w *site) read(path string, query url.Values, answer any) {
	w.t.Helper()
	eventually(w.t, short, path+" of the shop", func(ctx context.Context) error {
		return w.do(ctx, "GET", path, query, nil, answer)
	})
}

// publication is one request to publish tasks.
type publication struct {
	Task   string         `json:"task"`
	Count  int            `json:"count"`
	Args   []any          `json:"args,omitempty"`
	Kwargs map[string]any `json:"kwargs,omitempty"`
	Batch  string         `json:"batch"`
	Queue  string         `json:"queue,omitempty"`
}

// publish has the web tier publish tasks, each with a record in the database before.
func (w *site) publish(p publication) {
	w.t.Helper()
	answer := struct{ Published int }{}
	must(w.t, w.do(w.t.Context(), "POST", "/ops/publish/", nil, p, &answer))
	if answer.Published != p.Count {
		w.t.Fatalf("%d of %d tasks %s were published", answer.Published, p.Count, p.Task)
	}
}

// outcome is what became of the tasks of one name in a batch, by their own record in the database.
type outcome struct {
	Published            int      `json:"published"`
	Runs                 int      `json:"runs"`
	Started              int      `json:"started"`
	Finished             int      `json:"finished"`
	FailedRuns           int      `json:"failed_runs"`
	NotFinished          int      `json:"not_finished"`
	NotFinishedIDs       []string `json:"not_finished_ids"`
	StartedMoreThanOnce  int      `json:"started_more_than_once"`
	FinishedMoreThanOnce int      `json:"finished_more_than_once"`
	WaitSeconds          struct {
		Max     float64 `json:"max"`
		Average float64 `json:"average"`
	} `json:"wait_seconds"`
	RanOn []struct {
		Hostname string `json:"hostname"`
		Queue    string `json:"queue"`
		Runs     int    `json:"runs"`
	} `json:"ran_on"`
	Processes       int `json:"processes"`
	TorchMappedRuns int `json:"torch_mapped_runs"`
}

// outcomes are those of a batch by task name.
func (w *site) outcomes(ctx context.Context, batch string) (map[string]outcome, error) {
	answer := struct{ Tasks map[string]outcome }{}
	err := w.do(ctx, "GET", "/ops/tasks/", url.Values{"batch": {batch}}, nil, &answer)
	return answer.Tasks, err
}

// mustOutcomes are those of a batch now.
func mustOutcomes(w *site, batch string) map[string]outcome {
	w.t.Helper()
	all, err := w.outcomes(w.t.Context(), batch)
	must(w.t, err)
	return all
}

// awaitDone waits until every task of a batch has finished.
func (w *site) awaitDone(limit time.Duration, batch string) map[string]outcome {
	w.t.Helper()
	var all map[string]outcome
	eventually(w.t, limit, "all tasks of "+batch, func(ctx context.Context) (err error) {
		if all, err = w.outcomes(ctx, batch); err != nil {
			return err
		}
		if len(all) == 0 {
			return errors.New("there are none")
		}
		for name, o := range all {
			if o.NotFinished > 0 {
				return fmt.Errorf("%s: %d of %d are not finished", name, o.NotFinished, o.Published)
			}
		}
		return nil
	})
	return all
}

// awaitStarted waits until a number of tasks of a name have started.
func (w *site) awaitStarted(batch, task string, number int) {
	w.t.Helper()
	eventually(w.t, patience, fmt.Sprintf("%d tasks %s to start", number, task), func(ctx context.Context) error {
		all, err := w.outcomes(ctx, batch)
		if err == nil && all[task].Started < number {
			return fmt.Errorf("%d have", all[task].Started)
		}
		return err
	})
}

// run is one run of a task.
type taskRun struct {
	TaskID      string    `json:"task_id"`
	Name        string    `json:"name"`
	Hostname    string    `json:"hostname"`
	PID         int       `json:"pid"`
	StartedAt   time.Time `json:"started_at"`
	FinishedAt  time.Time `json:"finished_at"`
	RSSKiB      int64     `json:"rss_kib"`
	TorchMapped bool      `json:"torch_mapped"`
	RoutingKey  string    `json:"routing_key"`
}

func (w *site) runs(batch string) []taskRun {
	w.t.Helper()
	answer := struct{ Runs []taskRun }{}
	w.read("/ops/runs/", url.Values{"batch": {batch}}, &answer)
	return answer.Runs
}

// process is what the kernel says about one.
type process struct {
	PID         int     `json:"pid"`
	PPID        int     `json:"ppid"`
	Command     string  `json:"command"`
	StartedAt   float64 `json:"started_at"`
	RSSKiB      int64   `json:"rss_kib"`
	Threads     int     `json:"threads"`
	TorchMapped bool    `json:"torch_mapped"`
}

// processes are those of the container that answers.
func (w *site) processes() []process {
	w.t.Helper()
	answer := struct{ Processes []process }{}
	w.read("/ops/processes/", nil, &answer)
	return answer.Processes
}

func isGunicorn(p process) bool { return strings.Contains(p.Command, "gunicorn") }
