// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// mostQueued bounds the records that wait to be written, in bytes before compression.
const mostQueued = longestLine

// Options say where and how much is recorded.
type Options struct {
	// Dir is the directory of the files. It is made where it does not exist.
	Dir string
	// Bytes is how much all files may take together. The oldest are deleted for new ones.
	Bytes int64
	// Operator is the version of the operator.
	Operator string
	Clock    clock.PassiveClock
	Log      logr.Logger
}

// Recorder records decisions. It keeps nobody waiting: what cannot be recorded is counted and left out. A nil one records
// nothing.
type Recorder struct {
	log   logr.Logger
	files *files
	// wake is told that there is something to write.
	wake chan struct{}

	mu     sync.Mutex
	queue  []line
	queued int
	// lost are the decisions since the last queued one that were not recorded.
	lost int64
	// stopped: nobody writes what is queued any more but who queues it.
	stopped bool

	// writing is held while files are written.
	writing sync.Mutex
	failing bool

	recorded, unrecorded prometheus.Counter
}

var _ prometheus.Collector = (*Recorder)(nil)

// line is a record that waits to be written.
type line struct {
	json.RawMessage
	// unrecorded is what it tells of decisions before it.
	unrecorded int64
}

// New makes a recorder. It begins a file with the first decision.
func New(options Options) *Recorder {
	return &Recorder{
		log: options.Log, files: newFiles(options), wake: make(chan struct{}, 1),
		recorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "memorybudget_recorded_decisions_total", Help: "Decisions that were recorded.",
		}),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "memorybudget_unrecorded_decisions_total",
			Help: "Decisions that were to be recorded and could not be, for a full disk, say.",
		}),
	}
}

// Begin begins the record of a decision with what it is made from.
func (r *Recorder) Begin(s *observe.Snapshot) *Entry {
	if r == nil {
		return nil
	}
	e := &Entry{recorder: r}
	e.record.Snapshot, e.err = encodeSnapshot(s)
	return e
}

// add queues a record, unless something is wrong with it or too many wait.
func (r *Recorder) add(record *Record, err error) {
	r.mu.Lock()
	record.Unrecorded = r.lost
	data, err := encode(record, err)
	if err == nil && r.queued+len(data) > mostQueued {
		err = fmt.Errorf("%d bytes wait to be written already", r.queued)
	}
	stopped := r.stopped
	if err == nil {
		r.queue, r.queued, r.lost = append(r.queue, line{data, r.lost}), r.queued+len(data), 0
	} else {
		r.lost++
	}
	r.mu.Unlock()
	switch {
	case err != nil:
		r.lose(err)
	case stopped:
		r.write()
	default:
		r.ring()
	}
}

// encode makes the line of a record, unless something was wrong with it before.
func encode(record *Record, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(record)
	switch {
	case err != nil:
		return nil, fmt.Errorf("encoding a record: %w", err)
	case len(data) >= longestLine:
		return nil, fmt.Errorf("a record has %d bytes, more than %d", len(data), longestLine)
	}
	return data, nil
}

func (r *Recorder) ring() {
	select {
	case r.wake <- struct{}{}:
	default: // It will see this record too.
	}
}

// Start writes what is recorded until ctx ends. What is recorded after that is written by who records it.
func (r *Recorder) Start(ctx context.Context) error {
	for {
		select {
		case <-r.wake:
			r.write()
		case <-ctx.Done():
			r.mu.Lock()
			r.stopped = true
			r.mu.Unlock()
			r.write()
			return nil
		}
	}
}

// write writes all that is queued.
func (r *Recorder) write() {
	r.writing.Lock()
	defer r.writing.Unlock()
	for {
		next, more := r.next()
		if !more {
			return
		}
		if err := r.files.append(next.RawMessage); err != nil {
			r.mu.Lock()
			r.lost += 1 + next.unrecorded
			r.mu.Unlock()
			r.lose(err)
			continue
		}
		r.found()
	}
}

func (r *Recorder) next() (first line, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.queue = nil
		return line{}, false
	}
	first = r.queue[0]
	r.queue, r.queued = r.queue[1:], r.queued-len(first.RawMessage)
	return first, true
}

// lose counts a decision that is not recorded, and says why where the one before was.
func (r *Recorder) lose(err error) {
	r.unrecorded.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failing {
		r.log.Error(err, "Recording failed, decisions are made all the same", "directory", r.files.dir)
	}
	r.failing = true
}

// found counts a decision that is recorded.
func (r *Recorder) found() {
	r.recorded.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing {
		r.log.Info("Recording again", "directory", r.files.dir)
	}
	r.failing = false
}

// Describe implements prometheus.Collector.
func (r *Recorder) Describe(descriptions chan<- *prometheus.Desc) {
	r.recorded.Describe(descriptions)
	r.unrecorded.Describe(descriptions)
}

// Collect implements prometheus.Collector.
func (r *Recorder) Collect(metrics chan<- prometheus.Metric) {
	r.recorded.Collect(metrics)
	r.unrecorded.Collect(metrics)
}

// NeedLeaderElection lets one that stands by wait as well, for what it records after it has become leader.
func (r *Recorder) NeedLeaderElection() bool { return false }
