// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"slices"
)

// After is the reading right after a step is written, before the cluster has
// acted on it. The input is not changed.
func After(in Input, s Step) Input {
	in.Tiers = slices.Clone(in.Tiers)
	for i := range in.Tiers {
		if t := &in.Tiers[i]; t.Name == s.Tier {
			t.written(s)
		}
	}
	if s.Kind == Delete {
		in.Tiers = slices.DeleteFunc(in.Tiers, func(t Tier) bool { return t.Name == s.Tier })
	}
	return in
}

func (t *Tier) written(s Step) {
	if s.Kind == Apply {
		t.applied(s.Shape)
		return
	}
	t.Pods = slices.Clone(t.Pods)
	for i := range t.Pods {
		if s.Kind == ReleaseGate && t.Pods[i].Name == s.Pod && t.Pods[i].UID == s.UID {
			t.Pods[i].Gated = false
		}
	}
}

func (t *Tier) applied(s Shape) {
	d := Deployment{}
	if t.Live != nil {
		d = *t.Live
	}
	d.Observed = false
	d.Replicas, d.Strategy, d.MinReadySeconds = s.Replicas, s.Strategy, s.MinReadySeconds
	if s.Template == TemplateNew && d.TemplateHash != t.TemplateHash {
		d.TemplateHash, d.PodBytes, d.Gated = t.TemplateHash, t.PodBytes, t.Enforcement == Gated
		d.ReplicaSets = slices.Clone(d.ReplicaSets)
		for i := range d.ReplicaSets {
			d.ReplicaSets[i].Current = d.ReplicaSets[i].TemplateHash == t.TemplateHash
		}
	}
	t.Live = &d
}

// Verify checks a plan's steps against the invariant, measuring the exposure anew
// after every prefix of them: no step leaves it above the budget unless it was
// there before and the step does not raise it.
func Verify(in Input, steps []Step) error {
	was := Measure(in).Total()
	for i, s := range steps {
		in = After(in, s)
		is := Measure(in).Total()
		if is > in.Budget && is > was {
			return fmt.Errorf("step %d, %s of tier %s, raises the exposure from %d to %d bytes, above the budget of %d",
				i, s.Kind, s.Tier, was, is, in.Budget)
		}
		was = is
	}
	return nil
}
