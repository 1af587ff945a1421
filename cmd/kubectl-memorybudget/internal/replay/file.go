// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/recording"
)

// counts are those of decisions.
type counts struct {
	replayed, different int
	// unrecorded were made and not recorded.
	unrecorded int64
}

// String is the summary.
func (c counts) String() string {
	text := fmt.Sprintf("%d decisions replayed, all the same", c.replayed)
	if c.different > 0 {
		text = fmt.Sprintf("%d decisions replayed, %d differ", c.replayed, c.different)
	}
	if c.unrecorded > 0 {
		text += fmt.Sprintf("; %d more were made and not recorded", c.unrecorded)
	}
	return text
}

// file replays one file.
func (o *options) file(name string) error {
	in := io.NopCloser(o.In)
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("opening: %w", err)
		}
		in = file
	}
	defer in.Close()
	reader, err := recording.NewReader(in)
	if err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	if reader.Header.Operator != o.version {
		o.warn("%s was recorded by version %q of the operator, and this is version %q: differences may come from that",
			name, reader.Header.Operator, o.version)
	}
	return o.records(name, reader)
}

// records replays all records of a file. One that is bad keeps none from it that come after it.
func (o *options) records(name string, reader *recording.Reader) error {
	for {
		record, err := reader.Next()
		bad := (*recording.LineError)(nil)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, recording.ErrCut):
			o.warn("%s ends within line %d, which is left out: the operator was ended while it wrote, or the file is not whole",
				name, reader.Line())
			return nil
		case errors.As(err, &bad):
			o.fail("error: %s: %v", name, bad)
		case err != nil:
			return fmt.Errorf("reading: %w", err)
		default:
			if err := o.record(record); err != nil {
				o.fail("error: %s: line %d: %v", name, reader.Line(), err)
			}
		}
	}
}

func (o *options) record(record *recording.Record) error {
	o.counts.unrecorded += record.Unrecorded
	snapshot, err := record.Read()
	if err != nil || !o.wants(snapshot) {
		return err
	}
	replay, err := record.Replay(snapshot)
	if err != nil {
		return err
	}
	o.counts.replayed++
	if len(replay.Differences) > 0 {
		o.counts.different++
		o.tell("%s %s/%s: %s", snapshot.Now.Format(time.RFC3339Nano), snapshot.MemoryBudget.Namespace, snapshot.MemoryBudget.Name,
			told(replay.Differences))
	}
	if o.output != formats[0] {
		return o.series.add(snapshot, record.Status, o.tier)
	}
	return nil
}

func (o *options) wants(s *observe.Snapshot) bool {
	mb := s.MemoryBudget
	return (o.name == "" || mb.Name == o.name) && (o.namespace == "" || mb.Namespace == o.namespace)
}

// mostTold is how many differences of a decision are told.
const mostTold = 4

func told(differences []recording.Difference) string {
	var all []string
	for _, d := range differences[:min(len(differences), mostTold)] {
		all = append(all, d.String())
	}
	text := strings.Join(all, "; ")
	if more := len(differences) - len(all); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}
