// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"encoding/json"
	"slices"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

const (
	defaultWebPort    = 8000
	defaultHealthPath = "/healthz"
	preloadEnabled    = "Enabled"
)

// gunicornConfig is the variable MEMORYBUDGET_GUNICORN, read by gunicorn_conf.py.
type gunicornConfig struct {
	Application       string `json:"application"`
	Config            string `json:"config"`
	GracefulTimeout   int64  `json:"graceful_timeout"`
	LogLevel          string `json:"loglevel"`
	MaxRequests       int32  `json:"max_requests"`
	MaxRequestsJitter int32  `json:"max_requests_jitter"`
	MaxRSSBytes       int64  `json:"max_rss_bytes"`
	Port              int32  `json:"port"`
	PreloadApp        bool   `json:"preload_app"`
	RSSShareBytes     int64  `json:"rss_share_bytes"`
	Threads           int32  `json:"threads"`
	Timeout           int32  `json:"timeout"`
	WorkerClass       string `json:"worker_class"`
	Workers           int32  `json:"workers"`
}

// gunicorn runs `python3 -m gunicorn APPLICATION`: the command is the operator's, since flags of an
// image's own command would beat the configuration file. Everything else is in that file, named by
// absolute path (a module name would be looked up in the application's directory first) in
// GUNICORN_CMD_ARGS, which has no other flags: gunicorn refuses to start on one that it does not know.
func (b *builder) gunicorn() error {
	g := b.tier.Gunicorn
	size, err := b.gunicornSize()
	if err != nil {
		return err
	}
	port := valueOr(g.Port, defaultWebPort)
	health := textOr(g.HealthPath, defaultHealthPath)
	b.out.Command = []string{"python3", "-m", "gunicorn", Escape(g.Application)}
	b.out.Probes = httpProbes(health, port)
	b.out.Processes, b.out.Threads = size.processes, gunicornThreads(g)
	maxRequests := valueOr(g.MaxRequests, 1000)
	b.out.Recycle = Recycle{
		MaxRequests:       maxRequests,
		MaxRequestsJitter: valueOr(g.MaxRequestsJitter, maxRequests/10),
		MaxRSSBytes:       size.threshold,
	}
	b.webTermination()
	if g.Preload == preloadEnabled {
		b.env.addThreads(1) // OpenMP's threads do not survive the fork and the workers wait for them for ever
	}
	b.env.set("GUNICORN_CMD_ARGS", "--config "+PackageDirectory+"/gunicorn_conf.py")
	b.env.set("MEMORYBUDGET_GUNICORN", b.gunicornConfig(port, size.share))
	b.env.set("MEMORYBUDGET_HEALTH_PATH", health)
	return nil
}

// gunicornSize fits the workers into the pod. With preload the arbiter has the application too. The
// CPU limit, where there is one, bounds what the operator chooses by gunicorn's own rule of 2 x CPUs + 1.
func (b *builder) gunicornSize() (sizing, error) {
	g := b.tier.Gunicorn
	worker := baseline(b.mb, RuntimeGunicorn, b.facts)
	p := plan{parent: gunicornArbiter, floor: worker, child: worker, growth: requestGrowth}
	if g.Preload == preloadEnabled {
		p.parent = max(gunicornArbiter, worker)
	}
	most := int32(maxProcesses)
	if b.tier.CPU != nil && b.tier.CPU.Limit != nil {
		most = min(most, 2*CPUThreads(b.tier)+1)
	}
	return p.sized(b.tooSmall(worker), valueOr(g.Workers, 0), most, 0)
}

// threadless are the worker classes of gunicorn that have one thread: sync, which gunicorn silently turns into gthread as
// soon as there are more, and those that have an event loop instead.
var threadless = []string{
	"sync", "gevent", "eventlet", "tornado", "uvicorn.workers.UvicornWorker", "uvicorn_worker.UvicornWorker",
}

// gunicornThreads is the number of threads per worker: 2 where the worker class has threads.
func gunicornThreads(g *v1alpha1.Gunicorn) int32 {
	if slices.Contains(threadless, g.WorkerClass) {
		return valueOr(g.Threads, 1)
	}
	return valueOr(g.Threads, 2)
}

// webTermination fits leaving the endpoints (PreStop), finishing requests (Graceful) and ending the
// workers (the rest, a tenth and at least a second) into the grace period.
func (b *builder) webTermination() {
	t := &b.out.Termination
	t.PreStop = min(5, t.GracePeriod/6)
	t.Graceful = max(1, t.GracePeriod-t.PreStop-max(1, t.GracePeriod/10))
	if t.PreStop+t.Graceful >= t.GracePeriod {
		t.Graceful = t.GracePeriod - t.PreStop - 1
	}
}

func (b *builder) gunicornConfig(port int32, share int64) string {
	g := b.tier.Gunicorn
	return mustJSON(gunicornConfig{
		Application:       g.Application,
		Config:            g.Config,
		GracefulTimeout:   b.out.Termination.Graceful,
		LogLevel:          textOr(g.LogLevel, "warning"),
		MaxRequests:       b.out.Recycle.MaxRequests,
		MaxRequestsJitter: b.out.Recycle.MaxRequestsJitter,
		MaxRSSBytes:       b.out.Recycle.MaxRSSBytes,
		Port:              port,
		PreloadApp:        g.Preload == preloadEnabled,
		RSSShareBytes:     share,
		Threads:           b.out.Threads,
		Timeout:           valueOr(g.TimeoutSeconds, 30),
		WorkerClass:       textOr(g.WorkerClass, "gthread"),
		Workers:           b.out.Processes,
	})
}

// mustJSON is the JSON of a value that always has one.
func mustJSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings, numbers, booleans, and lists and maps of them
	}
	return string(data)
}
