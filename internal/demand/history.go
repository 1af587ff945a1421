// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package demand

import (
	"slices"
	"time"
)

// seen adds the change of replicas since the last decision. The history that it is called on is left as it is.
func (h History) seen(in *Input) History {
	h.Asked, h.Changes = slices.Clone(h.Asked), slices.Clone(h.Changes)
	if by := in.Replicas - h.Replicas; by != 0 && len(h.Asked) > 0 {
		h.Changes = append(h.Changes, Change{At: in.Now, By: by})
	}
	h.Replicas = in.Replicas
	return h
}

// forget drops what no rule looks at any more.
func (h *History) forget(in *Input) {
	window := max(in.Up.Window, in.Down.Window)
	for len(h.Asked) > 1 && !h.Asked[1].Since.Add(window).After(in.Now) {
		h.Asked = h.Asked[1:]
	}
	period := lastWhile
	for _, p := range slices.Concat(in.Up.Policies, in.Down.Policies) {
		period = max(period, p.Period)
	}
	h.Changes = slices.DeleteFunc(h.Changes, func(c Change) bool { return !c.At.Add(period).After(in.Now) })
	if !h.JumpUntil.After(in.Now) {
		h.JumpUntil = time.Time{}
	}
	h.thin()
}

// longest bounds how many numbers are kept.
const longest = 512

// thin keeps a history short that changes without end: of two neighbours the larger stays, so that nothing shrinks too soon.
func (h *History) thin() {
	for len(h.Asked) > longest {
		larger := max(h.Asked[0].Replicas, h.Asked[1].Replicas)
		h.Asked = h.Asked[1:]
		h.Asked[0].Replicas = larger
	}
	if len(h.Changes) > longest {
		h.Changes = h.Changes[len(h.Changes)-longest:]
	}
}
