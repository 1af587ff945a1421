// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/memorybudget/memorybudget/internal/observe"
)

const (
	// firstLook is how many of the oldest tasks of a list are looked at to learn their size, mostLooked how many at most.
	firstLook, mostLooked = 10, 1000
	// mostListBytes bounds what one list may take to be looked at, mostLookBytes and mostLookElements what all together may,
	// in one reading.
	mostListBytes, mostLookBytes, mostLookElements = 1 << 20, 3 << 19, 10_000
	// heavyFor is how long a list is not looked at again that took too many bytes: the connection ended with them.
	heavyFor = time.Minute
	// mostBreaks is how many connections may end so in one reading.
	mostBreaks = 5
)

// glance is a look at a list.
type glance struct {
	key string
	// first is one at its first few tasks.
	first bool
}

// filled is a list in which tasks wait.
type filled struct{ key, queue string }

// count counts the tasks of queues: those in their lists before those that were taken, so that none is missed that is
// taken meanwhile.
func (r *redisReader) count(
	ctx context.Context, q question, known *routes, asked map[list]bool, lengths map[string]int64,
) ([]observe.Queue, error) {
	t, all := newTally(q), filledOf(asked, lengths)
	r.lookBytes, r.lookElements, r.breaks = mostLookBytes, mostLookElements, mostBreaks
	maps.DeleteFunc(r.heavy, func(g glance, _ time.Time) bool { return lengths[g.key] == 0 })
	for i, l := range all {
		oldest, err := r.look(ctx, l.key, q.now, int64(len(all)-i))
		if err != nil {
			return nil, err
		}
		t.ready(t.of(l.queue), lengths[l.key], oldest)
	}
	prefixes := map[string]bool{}
	for l := range asked {
		prefixes[l.prefix] = true
	}
	return t.queues, r.taken(ctx, t, known, slices.Sorted(maps.Keys(prefixes)))
}

// filledOf are the lists that are not empty, always in the same order.
func filledOf(lists map[list]bool, lengths map[string]int64) []filled {
	var all []filled
	for l := range lists {
		for _, key := range l.keys() {
			if lengths[key] > 0 {
				all = append(all, filled{key, l.queue})
			}
		}
	}
	slices.SortFunc(all, func(a, b filled) int { return strings.Compare(a.key, b.key) })
	return all
}

// look returns the oldest tasks of a list, where so many lists are still to be looked at.
func (r *redisReader) look(ctx context.Context, key string, now time.Time, lists int64) ([]string, error) {
	share := min(r.lookBytes/lists, mostListBytes)
	first, err := r.oldest(ctx, glance{key, true}, now, min(firstLook, r.lookElements/lists), share)
	if err != nil || len(first) < firstLook {
		return first, err
	}
	size := sizeOf(first)
	n := min(mostLooked, r.lookElements/lists, (share-size)*firstLook/(2*size))
	if n <= firstLook {
		return first, nil
	}
	more, err := r.oldest(ctx, glance{key, false}, now, n, share-size)
	if err != nil || more == nil {
		return first, err
	}
	return more, nil
}

// oldest returns a number of the oldest tasks of a list, none where they take too many bytes. A task is taken from the end.
func (r *redisReader) oldest(ctx context.Context, g glance, now time.Time, n, most int64) (tasks []string, err error) {
	if n <= 0 || r.breaks <= 0 || now.Before(r.heavy[g]) {
		return nil, nil
	}
	delete(r.heavy, g)
	err = r.left.within(most, func() error {
		tasks, err = forgiving(r.client.LRange(ctx, g.key, -n, -1).Result())
		return err
	})
	if errors.Is(err, errTooLong) {
		r.heavy[g] = now.Add(heavyFor)
		r.breaks--
		return nil, nil
	}
	r.lookBytes -= sizeOf(tasks)
	r.lookElements -= int64(len(tasks))
	return tasks, err
}

// sizeOf is about what tasks take in an answer.
func sizeOf(tasks []string) int64 {
	size := int64(1)
	for _, task := range tasks {
		size += int64(len(task)) + valueSize
	}
	return size
}
