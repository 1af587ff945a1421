// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// Format is the version of the shape of a recording. Snapshots and decisions are recorded as the version of the operator
// has them, which the header tells.
const Format = 1

// longestLine bounds a line, in bytes before compression.
const longestLine = 64 << 20

// Header is the first line of a file.
type Header struct {
	// Format is the version of the shape.
	Format int `json:"memorybudgetRecording"`
	// Operator is the version of the operator that recorded.
	Operator string `json:"operator"`
	// Started is when the file was begun.
	Started time.Time `json:"started"`
}

// Record is one decision.
type Record struct {
	// Unrecorded is how many decisions right before this one were made and could not be recorded.
	Unrecorded int64 `json:"unrecorded,omitempty"`
	// Snapshot is what the decision was made from, less what no decision reads: see lean.
	Snapshot json.RawMessage `json:"snapshot"`
	// Decision is what was decided, before anything of it was written.
	Decision json.RawMessage `json:"decision"`
	// Rejected is what the API server said about a write that it will not take, empty where it took all.
	Rejected string `json:"rejected,omitempty"`
	// Reported is when the status was computed.
	Reported time.Time `json:"reported"`
	// Status is the status that was computed, whether it had to be written or not.
	Status json.RawMessage `json:"status"`
}

// encodeSnapshot is a snapshot as it is recorded.
func encodeSnapshot(s *observe.Snapshot) (json.RawMessage, error) {
	data, err := json.Marshal(lean(s))
	if err != nil {
		return nil, fmt.Errorf("encoding a snapshot: %w", err)
	}
	return data, nil
}

// lean leaves out what no decision reads and may hold what others keep secret: in pods, what their containers are told,
// which those who inject containers add to as well, and the content of ConfigMaps.
func lean(s *observe.Snapshot) *observe.Snapshot {
	c := *s
	c.Pods = slices.Clone(s.Pods)
	for i := range c.Pods {
		spec := &c.Pods[i].Spec
		spec.InitContainers, spec.Containers = leanContainers(spec.InitContainers), leanContainers(spec.Containers)
		spec.EphemeralContainers = nil
	}
	c.ConfigMaps = slices.Clone(s.ConfigMaps)
	for i := range c.ConfigMaps {
		c.ConfigMaps[i].Data, c.ConfigMaps[i].BinaryData = nil, nil
	}
	return &c
}

func leanContainers(containers []corev1.Container) []corev1.Container {
	containers = slices.Clone(containers)
	for i := range containers {
		c := &containers[i]
		c.Env, c.EnvFrom, c.Command, c.Args = nil, nil, nil, nil
		c.Lifecycle, c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = nil, nil, nil, nil
	}
	return containers
}

// encodeDecision is a decision as it is recorded and compared: less its parts of the snapshot, and templates, which stand
// in the objects to write and are named by their hashes.
func encodeDecision(d *decision.Decision) (json.RawMessage, error) {
	c := *d
	c.Tiers = slices.Clone(d.Tiers)
	for i := range c.Tiers {
		t := &c.Tiers[i]
		t.Spec, t.Live = &v1alpha1.Tier{Name: t.Spec.Name}, nil
		t.Rendered.Template, t.Rendered.Record = nil, ""
	}
	data, err := json.Marshal(&c)
	if err != nil {
		return nil, fmt.Errorf("encoding a decision: %w", err)
	}
	return data, nil
}

func encodeStatus(status v1alpha1.MemoryBudgetStatus) (json.RawMessage, error) {
	data, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("encoding a status: %w", err)
	}
	return data, nil
}

// Entry is a record in the making. A nil one records nothing.
type Entry struct {
	recorder *Recorder
	record   Record
	err      error
}

// Decided notes what was decided. It comes before the writes, which read their answers into the decision.
func (e *Entry) Decided(d *decision.Decision) {
	if e != nil && e.err == nil {
		e.record.Decision, e.err = encodeDecision(d)
	}
}

// Reported notes the status that was computed and what it was computed from besides, and records the decision.
func (e *Entry) Reported(rejected string, now metav1.Time, status v1alpha1.MemoryBudgetStatus) {
	if e == nil {
		return
	}
	e.record.Rejected, e.record.Reported = rejected, now.Time
	if e.err == nil {
		e.record.Status, e.err = encodeStatus(status)
	}
	e.recorder.add(&e.record, e.err)
}
