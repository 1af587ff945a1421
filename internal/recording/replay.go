// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"encoding/json"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/status"
)

// Replay is a decision that was made again.
type Replay struct {
	// Snapshot is what it was made from.
	Snapshot *observe.Snapshot
	// Decision is what was decided again.
	Decision decision.Decision
	// Differences are those between what was recorded and what came out now, in the order of their paths.
	Differences []Difference
}

// Read decodes the snapshot of a record.
func (r *Record) Read() (*observe.Snapshot, error) {
	s := &observe.Snapshot{}
	if err := json.Unmarshal(r.Snapshot, s); err != nil {
		return nil, fmt.Errorf("decoding the snapshot: %w", err)
	}
	if s.MemoryBudget == nil {
		return nil, errors.New("the snapshot has no MemoryBudget")
	}
	return s, nil
}

// Replay decides and computes the status again, from a snapshot that Read gave. A snapshot that an operator cannot have read may
// make it panic, which is an error here.
func (r *Record) Replay(s *observe.Snapshot) (replay Replay, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("deciding from the snapshot panics: %v", cause)
		}
	}()
	replay = Replay{Snapshot: s, Decision: decision.Decide(s)}
	decided, err := encodeDecision(&replay.Decision)
	if err != nil {
		return Replay{}, err
	}
	reported, err := encodeStatus(status.Compute(s.MemoryBudget.Status, status.Input{
		Snapshot: s, Decision: &replay.Decision, Rejected: r.Rejected, Now: metav1.NewTime(r.Reported),
	}))
	if err != nil {
		return Replay{}, err
	}
	for _, part := range []struct {
		name               string
		recorded, replayed json.RawMessage
	}{{"decision", r.Decision, decided}, {"status", r.Status, reported}} {
		differences, err := compare(part.name, part.recorded, part.replayed)
		if err != nil {
			return Replay{}, err
		}
		replay.Differences = append(replay.Differences, differences...)
	}
	return replay, nil
}
