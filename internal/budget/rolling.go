// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

// The figures of this file follow k8s.io/kubernetes v1.37
// pkg/controller/deployment: rolling.go (reconcileNewReplicaSet,
// reconcileOldReplicaSets), sync.go (scale) and util.NewRSNewReplicas.
//
// With R replicas, surge S, unavailable U, old size O, new size N of which A are
// available, the controller
//   - grows the new ReplicaSet to min(R, R+S-O), whatever is still terminating;
//   - takes O+A-(R-U) pods from the old ones, unhealthy pods among them first,
//     so never more in all than that.
//
// With S+U = 1 a pod is therefore taken only once every new pod is available,
// the one created after the previous taking included. A pod is available
// minReadySeconds after it is ready, which is longer than a pod takes to go:
// at each taking, the pods taken before are gone.

// rollingUpdate is the exposure of a rollout under way or just written.
func (v *view) rollingUpdate(g *target, s *sums) int64 {
	r := v.rollout(g, s)
	if g.minReady < MinReadySeconds(s.grace) || r.parallel != 1 {
		return r.unpaced()
	}
	return max(r.now(), r.later())
}

func (v *view) rollout(g *target, s *sums) rollout {
	r := rollout{v: v, s: s, current: g.current, replicas: g.replicas, bytes: g.bytes}
	r.surge, r.parallel = fenceposts(g.strategy, g.replicas)
	r.plan()
	return r
}

// fenceposts are the surge, and surge + unavailable: how many pods the
// controller may replace at a time.
func fenceposts(st Strategy, replicas int64) (surge, parallel int64) {
	surge = int64(max(st.MaxSurge, 0))
	unavailable := min(int64(max(st.MaxUnavailable, 0)), replicas)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, surge + unavailable
}

type rollout struct {
	v                         *view
	s                         *sums
	current                   int
	replicas, surge, parallel int64
	bytes                     int64
	// grown pods may come of any template, because the controller scales first.
	grown int64
	// lost pods of the current ReplicaSet may go because the controller scales.
	lost int64
	// taken pods of old ReplicaSets may go at once, and come of the current one.
	taken, come int64
}

func (r *rollout) plan() {
	s := r.s
	if s.scaling && s.old > 0 {
		r.scale()
		return
	}
	// O+A-(R-U) with R-U = R+S-parallel, and what is available only on paper.
	if n := s.old + s.available - r.replicas - r.surge + r.parallel; n > 0 {
		r.taken = min(s.old, n+s.paper())
	}
	r.come = positive(min(r.replicas, r.replicas+r.surge-s.old+r.taken) - s.size)
}

// scale: before rolling, the controller spreads a change of replicas over all
// ReplicaSets. Right after lowering them it still reads the old counts of
// available pods, and takes for available what it has just taken away. A pod
// that is not ready now is not available by then: pacing sees to that.
func (r *rollout) scale() {
	s := r.s
	excess := s.old + s.size - r.replicas - r.surge
	r.grown, r.lost = positive(-excess), positive(min(excess, s.size))
	stale := max(s.ready, s.available)
	if s.oldActive > 1 {
		stale = excess
	}
	r.taken = r.parallel + s.paper() + positive(s.available-s.size) + positive(min(excess, stale))
	r.come = positive(min(r.taken, r.replicas-s.size+r.lost))
}

// now is what may be reached while the pods that are terminating still are.
func (r *rollout) now() int64 {
	return r.with(r.come)
}

// unpaced is what is reached when no pod goes before all new ones have come.
func (r *rollout) unpaced() int64 {
	return r.with(r.replicas - r.s.size + r.lost)
}

// paper is how many old pods too many may be taken for available.
func (s *sums) paper() int64 {
	if s.oldActive > 1 {
		return s.surplus + s.surplusActive
	}
	return s.surplus
}

// with is what is there, and what comes besides, if nothing goes.
func (r *rollout) with(come int64) int64 {
	come = add(mul(r.grown, max(r.s.oldLargest, r.bytes)), mul(come, r.bytes))
	return add(add(r.v.charge, r.s.shortfall), come)
}

// later is the most that any later step reaches: after j pods were taken, O-j
// old ones and those of the latest taking, beside min(R, R+S-O+j) new ones. What
// is terminating now may still be there at the first taking. With more than R+S
// pods in all, the controller takes the excess without creating any, and so
// without having to wait for one.
func (r *rollout) later() int64 {
	var buf [8]slot
	slots := r.slots(buf[:0])
	total := r.s.old + r.grown
	excess := r.excess()
	leaving, most, seen := r.leaving(), int64(0), int64(0)
	try := func(j int64) {
		if j = max(1, min(j, total)); total == 0 {
			return
		}
		n := r.step(slots, total, j, excess)
		if j <= 1+excess {
			n = add(n, leaving)
		}
		most = max(most, n)
	}
	// Apart from what is leaving, the sum is concave in j between these points
	// and greatest at one of them.
	try(1)
	try(1 + excess)
	try(2 + excess)
	try(total)
	try(total - r.surge)
	try(r.s.size - r.replicas - r.surge + total)
	for _, sl := range slots {
		seen += sl.n
		try(total + 1 + excess - seen)
	}
	return add(most, r.v.orphans)
}

// excess is how many pods there are to be beyond replicas and surge.
func (r *rollout) excess() int64 {
	return positive(r.s.old + r.grown + r.s.size - r.lost - r.replicas - r.surge)
}

// slot is a number of old pods of at most so many bytes each.
type slot struct{ n, bytes int64 }

// slots are the old pods that can still be taken, largest first.
func (r *rollout) slots(out []slot) []slot {
	for i := range r.v.sets {
		s := &r.v.sets[i]
		if i == r.current || s.spec == 0 {
			continue
		}
		sl := slot{s.spec, max(s.bytes, s.largest)}
		if s.gated {
			sl = slot{min(s.spec, s.charged), s.largest}
		}
		out = insert(out, sl)
	}
	if r.grown > 0 {
		out = insert(out, slot{r.grown, r.s.oldLargest})
	}
	return out
}

func insert(slots []slot, s slot) []slot {
	slots = append(slots, s)
	for i := len(slots) - 1; i > 0 && slots[i-1].bytes < slots[i].bytes; i-- {
		slots[i-1], slots[i] = slots[i], slots[i-1]
	}
	return slots
}

func (r *rollout) step(slots []slot, total, j, excess int64) int64 {
	left := min(total, total-j+1+excess)
	sum := int64(0)
	for _, sl := range slots {
		n := min(left, sl.n)
		sum = add(sum, mul(n, sl.bytes))
		left -= n
	}
	size := max(r.s.size, min(r.replicas, r.replicas+r.surge-total+j))
	return add(sum, add(r.s.aliveBytes, mul(size-r.s.alive, r.bytes)))
}

// leaving is the charge of pods that may still be there at the next taking: those
// that are terminating, and those that a ReplicaSet is about to delete. Such
// a pod is gone by then if it is known that a new pod, for which the next taking
// must wait, came or is to come after its deletion.
func (r *rollout) leaving() (sum int64) {
	waits := r.excess() == 0
	if waits && r.s.size+r.come > r.s.alive {
		return 0
	}
	gone := func(deleted int64) bool { return waits && r.s.newest+skewSeconds >= deleted }
	if r.v.terminating > 0 {
		for i := range r.v.t.Pods {
			if p := &r.v.t.Pods[i]; p.Terminating && (p.Deleted == 0 || !gone(p.Deleted)) {
				sum = add(sum, chargeOf(p))
			}
		}
	}
	for i := range r.v.sets {
		if s := &r.v.sets[i]; s.charged > s.spec && !gone(r.v.now) {
			sum = add(sum, mul(s.charged-s.spec, s.largest))
		}
	}
	return sum
}
