// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

// claim is one tier's wish for further pods. tier is its place in the order of
// names.
type claim struct {
	tier              int
	bytes, weight     int64
	floor, have, want int64
}

// before is the order of arbitration: tiers below their floor first, then the
// fewest bytes above the floor divided by the weight. Of equals, a tier without
// a pod comes before one with, so that none waits for its first while another
// gets its second; then by name.
func (c *claim) before(d *claim) bool {
	cLow, dLow := c.have < c.floor, d.have < d.floor
	if cLow != dLow {
		return cLow
	}
	if !cLow {
		cAbove, dAbove := mul(c.have-c.floor, c.bytes), mul(d.have-d.floor, d.bytes)
		if lessRatio(cAbove, c.weight, dAbove, d.weight) {
			return true
		}
		if lessRatio(dAbove, d.weight, cAbove, c.weight) {
			return false
		}
	}
	if cNone, dNone := c.have == 0, d.have == 0; cNone != dNone {
		return cNone
	}
	return c.tier < d.tier
}

// queue is a binary heap of claims, the next to be served first.
type queue []claim

// fill hands out whole pods while one that is wanted fits in the room, and
// reports each claim when it is done. It returns the room that is left.
func (q *queue) fill(room int64, done func(claim)) int64 {
	q.init()
	for len(*q) > 0 {
		c := &(*q)[0]
		switch {
		case c.have >= c.want || c.bytes > room:
			done(*c)
			q.pop()
		case len(*q) == 1:
			n := c.want - c.have
			if c.bytes > 0 {
				n = min(n, room/c.bytes)
			}
			c.have += n
			room -= n * c.bytes
		default:
			c.have++
			room -= c.bytes
			q.down(0)
		}
	}
	return room
}

func (q *queue) init() {
	for i := len(*q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q *queue) pop() {
	last := len(*q) - 1
	(*q)[0] = (*q)[last]
	*q = (*q)[:last]
	q.down(0)
}

func (q *queue) down(i int) {
	h := *q
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child].before(&h[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
