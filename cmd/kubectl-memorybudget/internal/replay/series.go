// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/text"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// columns are those of a series.
var columns = []string{
	"TIME", "NAMESPACE", "NAME", "TIER", "WAITING", "TAKEN", "RUNNING", "UNDELIVERED", "PENDING", "LENGTH", "PERCENT-OF-TARGET",
	"DEMAND", "DEMAND-LIMITED-BY", "DESIRED", "GRANTED", "READY", "LIMITED-BY",
}

// series is what tiers asked for and were granted in the course of time.
type series struct{ rows [][]string }

// add adds what a recorded status says of its tiers, of one of them unless empty.
func (s *series) add(snapshot *observe.Snapshot, recorded json.RawMessage, tier string) error {
	var status v1alpha1.MemoryBudgetStatus
	if err := json.Unmarshal(recorded, &status); err != nil {
		return fmt.Errorf("decoding the status: %w", err)
	}
	mb := snapshot.MemoryBudget
	for i := range status.Tiers {
		if t := &status.Tiers[i]; tier == "" || t.Name == tier {
			row := []string{snapshot.Now.Format(time.RFC3339), mb.Namespace, mb.Name, t.Name}
			s.rows = append(s.rows, append(row, figures(t)...))
		}
	}
	return nil
}

// figures are what the columns after the tier show. A tier that does not scale has no demand.
func figures(t *v1alpha1.TierStatus) []string {
	d := t.Demand
	if d == nil {
		d = &v1alpha1.DemandStatus{}
	}
	return []string{
		number(d.ReadyTasks), number(d.ReservedTasks), number(d.RunningTasks), number(d.UndeliveredEntries), number(d.PendingEntries),
		number(d.ListLength), number(d.PercentOfTarget), number(d.Replicas), d.LimitedBy,
		number(t.Desired), number(t.Granted), number(t.Ready), t.LimitedBy,
	}
}

func number[T int32 | int64](n *T) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(int64(*n), 10)
}

// writeTo prints the series, if it is what is asked for.
func (s *series) writeTo(w io.Writer, format string) error {
	rows := append([][]string{columns}, s.rows...)
	switch format {
	case "table":
		for _, row := range s.rows {
			for i := range row {
				row[i] = text.Or(row[i])
			}
		}
		return text.Table(w, rows)
	case "csv":
		if err := csv.NewWriter(w).WriteAll(rows); err != nil {
			return fmt.Errorf("printing the series: %w", err)
		}
	}
	return nil
}
