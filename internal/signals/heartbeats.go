// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/memorybudget/memorybudget/internal/observe"
)

const (
	// mostWorkers is how many workers of a broker are remembered.
	mostWorkers = 2000
	// longestBeat is more bytes than a heartbeat takes, mostActive more tasks than a worker runs.
	longestBeat, mostActive = 16 << 10, 1 << 20
	// usualFrequency is how often Celery's workers send heartbeats by default, longestFrequency the most that is waited for one.
	usualFrequency, longestFrequency = 2 * time.Second, time.Minute
	// missed is how many heartbeats may be missing, and late how late one may be, before nothing is known of a worker.
	missed, late = 3, 2 * time.Second
)

// beat is what is taken of a heartbeat.
type beat struct {
	// node is the name of the worker, host the part of it that names the host.
	node, host string
	active     int64
	every      time.Duration
}

// parseBeat reads a heartbeat as kombu writes it into a Redis: an event in a message of which the body is in base64.
func parseBeat(text string) (b beat, ok bool) {
	var message struct {
		Body []byte `json:"body"`
	}
	if len(text) > longestBeat || json.Unmarshal([]byte(text), &message) != nil {
		return beat{}, false
	}
	return parseEvent(message.Body)
}

// parseEvent reads a heartbeat as Celery writes it, with its serializer for events, JSON.
func parseEvent(data []byte) (b beat, ok bool) {
	var event struct {
		Type     string   `json:"type"`
		Hostname string   `json:"hostname"`
		Active   *int64   `json:"active"`
		Freq     *float64 `json:"freq"`
	}
	if len(data) > longestBeat || json.Unmarshal(data, &event) != nil {
		return beat{}, false
	}
	_, host, _ := strings.Cut(event.Hostname, "@")
	if event.Type != "worker-heartbeat" || len(event.Hostname) > longestName || len(validation.IsDNS1123Subdomain(host)) > 0 ||
		event.Active == nil || *event.Active < 0 || *event.Active > mostActive {
		return beat{}, false
	}
	return beat{node: event.Hostname, host: host, active: *event.Active, every: frequency(event.Freq)}, true
}

// frequency is how often the next heartbeats come.
func frequency(seconds *float64) time.Duration {
	if seconds == nil || !(*seconds > 0) {
		return usualFrequency
	}
	if *seconds > longestFrequency.Seconds() {
		return longestFrequency
	}
	return max(time.Duration(*seconds*float64(time.Second)), time.Second)
}

// roll is what is known of the workers of a broker.
type roll struct {
	mu    sync.Mutex
	state observe.BrokerState
	// workers are those that were heard of, by the name of the worker.
	workers map[string]heard
}

// heard is what a worker last said, and until when that is believed.
type heard struct {
	host   string
	active int64
	until  time.Time
}

// turn says whether heartbeats are heard from now on.
func (r *roll) turn(state observe.BrokerState) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed = r.state != state
	r.state = state
	return changed
}

// hear takes a heartbeat. Where there are too many workers, those that were heard of first stay: the others are not known.
func (r *roll) hear(b beat, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.workers[b.node]; !known && len(r.workers) >= mostWorkers {
		r.expire(now)
		if len(r.workers) >= mostWorkers {
			return
		}
	}
	if r.workers == nil {
		r.workers = map[string]heard{}
	}
	r.workers[b.node] = heard{host: b.host, active: b.active, until: now.Add(missed*b.every + late)}
}

// expire forgets workers that were not heard of for too long.
func (r *roll) expire(now time.Time) {
	for node, w := range r.workers {
		if !now.Before(w.until) {
			delete(r.workers, node)
		}
	}
}

// hearing is what a resource knows of workers.
type hearing struct {
	state   observe.BrokerState
	workers []observe.Worker
}

// of is what is known of the workers on hosts whose names have a prefix, sorted by host.
func (r *roll) of(prefix string, now time.Time) hearing {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(now)
	byHost := map[string]int64{}
	for _, w := range r.workers {
		if strings.HasPrefix(w.host, prefix) {
			byHost[w.host] += w.active
		}
	}
	h := hearing{state: r.state}
	for host, active := range byHost {
		h.workers = append(h.workers, observe.Worker{Pod: host, Active: active})
	}
	slices.SortFunc(h.workers, func(a, b observe.Worker) int { return strings.Compare(a.Pod, b.Pod) })
	return h
}
