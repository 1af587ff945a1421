// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"fmt"
	"math"
	"slices"
)

// syncDeployment is one syncDeployment of the Deployment controller.
func (s *sim) syncDeployment(t *simTier) bool {
	d := t.live
	if d == nil {
		return false
	}
	changed := d.observed != d.generation
	d.observed = d.generation
	for _, rs := range t.sets {
		if rs.replicas > 0 && rs.desired != d.replicas {
			return s.scale(t) || changed
		}
	}
	if d.strategy.Recreate {
		return s.recreate(t) || changed
	}
	return s.roll(t) || changed
}

func (t *simTier) current() *simSet {
	for _, rs := range t.sets {
		if rs.template == t.live.template {
			return rs
		}
	}
	return nil
}

func (t *simTier) olds() (olds []*simSet) {
	for _, rs := range t.sets {
		if rs != t.current() {
			olds = append(olds, rs)
		}
	}
	return olds
}

func total(sets []*simSet) (n int32) {
	for _, rs := range sets {
		n += rs.replicas
	}
	return n
}

func active(sets []*simSet) (out []*simSet) {
	for _, rs := range sets {
		if rs.replicas > 0 {
			out = append(out, rs)
		}
	}
	return out
}

func (d *simDeployment) surge() int32 { return d.strategy.MaxSurge }

func (d *simDeployment) unavailable() int32 {
	if d.strategy.Recreate || d.replicas == 0 {
		return 0
	}
	u := d.strategy.MaxUnavailable
	if u == 0 && d.strategy.MaxSurge == 0 {
		u = 1
	}
	return min(u, d.replicas)
}

func (s *sim) resize(t *simTier, rs *simSet, n int32) bool {
	if rs.replicas == n {
		return false
	}
	rs.replicas = n
	rs.desired, rs.most = t.live.replicas, t.live.replicas+t.live.surge()
	rs.late = true
	return true
}

// scale is sync.go's scale.
func (s *sim) scale(t *simTier) bool {
	d := t.live
	act := active(t.sets)
	if len(act) == 1 {
		changed := s.resize(t, act[0], d.replicas)
		if !changed && act[0].desired != d.replicas {
			// The annotation stays: the controller compares sizes first.
			act[0].desired = d.replicas
		}
		return changed
	}
	if d.strategy.Recreate {
		return false
	}
	allowed := int32(0)
	if d.replicas > 0 {
		allowed = d.replicas + d.surge()
	}
	add := allowed - total(act)
	slices.SortStableFunc(act, func(a, b *simSet) int {
		if a.replicas != b.replicas {
			return int(b.replicas - a.replicas)
		}
		if add > 0 {
			return int(b.revision - a.revision)
		}
		return int(a.revision - b.revision)
	})
	sizes, added := make([]int32, len(act)), int32(0)
	for i, rs := range act {
		n := proportion(rs, d, add, added)
		sizes[i] = rs.replicas + n
		added += n
	}
	sizes[0] = max(0, sizes[0]+add-added)
	for i, rs := range act {
		rs.desired, rs.most = d.replicas, allowed
		s.resize(t, rs, sizes[i])
	}
	return true
}

func proportion(rs *simSet, d *simDeployment, add, added int32) int32 {
	if add == 0 || add == added {
		return 0
	}
	fraction := -rs.replicas
	if d.replicas > 0 {
		fraction = int32(math.Round(float64(rs.replicas*(d.replicas+d.surge()))/float64(max(rs.most, 1)))) - rs.replicas
	}
	if add > 0 {
		return min(fraction, add-added)
	}
	return max(fraction, add-added)
}

func (s *sim) newSet(t *simTier, replicas int32) *simSet {
	s.serial++
	rs := &simSet{
		name: fmt.Sprintf("%s-rs%d", t.spec.Name, s.serial), template: t.live.template, revision: int64(s.serial),
		minReady: t.live.minReady, replicas: replicas, desired: t.live.replicas, most: t.live.replicas + t.live.surge(),
	}
	t.sets = append(t.sets, rs)
	return rs
}

// recreate is recreate.go's rolloutRecreate.
func (s *sim) recreate(t *simTier) bool {
	changed := false
	for _, rs := range t.olds() {
		changed = s.resize(t, rs, 0) || changed
	}
	if changed {
		return true
	}
	cur := t.current()
	for _, rs := range t.olds() {
		if rs.alive > 0 {
			return false
		}
	}
	for _, p := range t.pods {
		if (cur == nil || p.set != cur.name) && !p.finished && p.set != "" {
			return false
		}
	}
	if cur == nil {
		s.newSet(t, t.live.replicas)
		return true
	}
	cur.minReady = t.live.minReady
	return s.resize(t, cur, t.live.replicas)
}

// newReplicas is util.NewRSNewReplicas for a rolling update.
func (t *simTier) newReplicas(now int32) int32 {
	most := t.live.replicas + t.live.surge()
	have := total(t.sets)
	if have >= most {
		return now
	}
	return now + min(most-have, t.live.replicas-now)
}

// roll is rolling.go's rolloutRolling.
func (s *sim) roll(t *simTier) bool {
	d, cur := t.live, t.current()
	if cur == nil {
		s.newSet(t, t.newReplicas(0))
		return true
	}
	cur.minReady = d.minReady
	if cur.replicas > d.replicas {
		return s.resize(t, cur, d.replicas)
	}
	if cur.replicas < d.replicas && s.resize(t, cur, t.newReplicas(cur.replicas)) {
		return true
	}
	return s.rollOld(t, cur)
}

func (s *sim) rollOld(t *simTier, cur *simSet) bool {
	d := t.live
	olds := active(t.olds())
	if len(olds) == 0 {
		return false
	}
	least := d.replicas - d.unavailable()
	may := total(t.sets) - least - (cur.replicas - cur.available)
	if may <= 0 {
		return false
	}
	cleaned := int32(0)
	for _, rs := range olds {
		if cleaned >= may {
			break
		}
		if rs.replicas == rs.available {
			continue
		}
		n := min(may-cleaned, rs.replicas-rs.available)
		if n < 0 {
			return false
		}
		s.resize(t, rs, rs.replicas-n)
		cleaned += n
	}
	available := cur.available
	for _, rs := range t.olds() {
		available += rs.available
	}
	take, taken := available-least, int32(0)
	for _, rs := range olds {
		if taken >= take || rs.replicas == 0 {
			continue
		}
		n := min(rs.replicas, take-taken)
		s.resize(t, rs, rs.replicas-n)
		taken += n
	}
	return cleaned+taken > 0
}
