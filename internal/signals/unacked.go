// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"maps"
	"slices"
	"time"
	"unique"

	"github.com/redis/go-redis/v9"
)

// Where Celery's transport keeps the tasks that workers have taken and not acknowledged: a hash of them by their tags, and
// the tags in the order in which they were taken.
const takenKey, takenIndex = "unacked", "unacked_index"

const (
	// mostTaken is how many of them are told apart, of one Redis.
	mostTaken = 20_000
	// longestTaken is the largest that is fetched, mostFetched and mostFetchedBytes how much is in one reading.
	longestTaken, mostFetched, mostFetchedBytes = 256 << 10, 5000, 2 << 20
	// tagSize is about what a tag takes, valueSize what a value does besides its own length, and spare what is left for the rest.
	tagSize, valueSize, spare = 64, 16, 256 << 10
)

// entry is what is kept of a task that was taken: it does not change.
type entry struct {
	kind entryKind
	// to is shared by all that were sent to the same place.
	to  unique.Handle[destination]
	eta time.Time
}

type entryKind int

const (
	// entryRouted is one that says where it was sent to.
	entryRouted entryKind = iota
	// entryUnknown is one that is not understood, or too large to be fetched.
	entryUnknown
	// entryGone is one that is there no longer.
	entryGone
)

// taken counts the tasks that workers have taken.
func (r *redisReader) taken(ctx context.Context, t *tally, known *routes, prefixes []string) error {
	r.fetched = 0
	room := mostTaken
	var told, unknown, rest int64
	maps.DeleteFunc(r.entries, func(prefix string, _ map[string]entry) bool { return !slices.Contains(prefixes, prefix) })
	for _, prefix := range prefixes {
		total, tags, err := r.tags(ctx, prefix, room)
		if err != nil {
			return err
		}
		room -= len(tags)
		now := kept(r.entries[prefix], tags)
		r.entries[prefix] = now
		if err := r.refresh(ctx, prefix, tags, now); err != nil {
			return err
		}
		seen := tell(t, known, prefix, now)
		told, unknown, rest = told+seen, unknown+int64(len(now))-seen, plus(rest, total-int64(len(now)))
	}
	t.estimate(rest, told)
	t.unknown(unknown)
	return nil
}

// tags are those of the tasks, at most as many as there is room for, and how many tasks there are.
func (r *redisReader) tags(ctx context.Context, prefix string, room int) (total int64, tags []string, err error) {
	total, err = forgiving(r.client.HLen(ctx, prefix+takenKey).Result())
	if err != nil || total <= 0 {
		return 0, nil, err
	}
	room = min(room, int(r.left.elements.Load()-mostFetched), int((r.left.bytes.Load()-spare)/tagSize))
	switch {
	case room <= 0:
		return total, nil, nil
	case total > int64(room):
		tags, err = forgiving(r.client.ZRange(ctx, prefix+takenIndex, 0, int64(room)-1).Result())
		return total, tags, err
	}
	tags, err = forgiving(r.client.HKeys(ctx, prefix+takenKey).Result())
	return int64(len(tags)), tags[:min(len(tags), room)], err
}

// kept are the entries that are still there.
func kept(before map[string]entry, tags []string) map[string]entry {
	now := make(map[string]entry, len(tags))
	for _, tag := range tags {
		if e, found := before[tag]; found {
			now[tag] = e
		}
	}
	return now
}

// refresh fetches the entries that are missing, as many as may be fetched now.
func (r *redisReader) refresh(ctx context.Context, prefix string, tags []string, into map[string]entry) error {
	missing := slices.DeleteFunc(tags, func(tag string) bool {
		_, found := into[tag]
		return found
	})
	for chunk := range slices.Chunk(missing[:min(len(missing), mostFetched)], batch) {
		more, err := r.fetch(ctx, prefix+takenKey, chunk, into)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// fetch takes the values of tags, as far as they may be fetched now; if that was all, there is more to fetch.
func (r *redisReader) fetch(ctx context.Context, key string, tags []string, into map[string]entry) (more bool, err error) {
	lengths, err := send(ctx, r.client, tags, func(p redis.Pipeliner, tag string) *redis.IntCmd { return p.HStrLen(ctx, key, tag) })
	if err != nil {
		return false, err
	}
	var fitting []string
	room := min(mostFetchedBytes-r.fetched, r.left.bytes.Load()-spare)
	for i, tag := range tags {
		if length := max(lengths[i].Val(), 0); length > longestTaken {
			into[tag] = entry{kind: entryUnknown}
		} else if room -= length + valueSize; room >= 0 {
			r.fetched += length + valueSize
			fitting = append(fitting, tag)
		}
	}
	return room >= 0, r.fetchAll(ctx, key, fitting, into)
}

func (r *redisReader) fetchAll(ctx context.Context, key string, tags []string, into map[string]entry) error {
	if len(tags) == 0 {
		return nil
	}
	values, err := forgiving(r.client.HMGet(ctx, key, tags...).Result())
	for i, value := range values[:min(len(values), len(tags))] {
		into[tags[i]] = newEntry(value)
	}
	return err
}

// tell counts the entries of a prefix whose queues are known, and says how many these are.
func tell(t *tally, known *routes, prefix string, entries map[string]entry) int64 {
	var told int64
	seen := map[unique.Handle[destination]]whereabouts{}
	for _, e := range entries {
		at, found := seen[e.to]
		if !found && e.kind == entryRouted && len(seen) < mostDestinations {
			at.queues, at.known = known.queues(prefix, e.to.Value())
			seen[e.to] = at
		}
		switch {
		case e.kind == entryGone:
			told++
		case at.known:
			told++
			t.taken(at.queues, e.eta)
		}
	}
	return told
}

// whereabouts are the queues that tasks with a destination were taken from.
type whereabouts struct {
	queues []string
	known  bool
}

func newEntry(value any) entry {
	if value == nil {
		return entry{kind: entryGone}
	}
	text, _ := value.(string)
	m, to, ok := parseTaken(text)
	if !ok {
		return entry{kind: entryUnknown}
	}
	return entry{kind: entryRouted, to: unique.Make(to), eta: m.eta}
}
