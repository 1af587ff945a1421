// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/memorybudget/memorybudget/internal/observe"
)

const (
	// mostGroups is how many consumer groups are looked at.
	mostGroups = 1000
	// mostStreamBytes and mostStreamElements bound what a Redis may answer about streams in one reading.
	mostStreamBytes, mostStreamElements = 1 << 20, 20_000
	// firstEntries is how many entries of a stream are looked at to learn their size, mostEntries how many are counted at most.
	firstEntries, mostEntries = 10, 1000
	// mostRangeBytes and mostRangeElements are what all entries that are counted may take, in one reading.
	mostRangeBytes, mostRangeElements = 1 << 19, 15_000
)

// lists are the lengths of lists.
func (r *redisReader) lists(ctx context.Context, names []string) ([]observe.List, error) {
	var all []observe.List
	for chunk := range slices.Chunk(names, batch) {
		for i, reply := range pipelined(ctx, r.client, chunk, func(p redis.Pipeliner, key string) *redis.IntCmd { return p.LLen(ctx, key) }) {
			of := observe.List{Name: chunk[i], Invalid: ofAnotherKind(reply.Err()), Refused: notPermitted(reply.Err())}
			if !of.Invalid && !of.Refused {
				if reply.Err() != nil {
					return nil, reply.Err()
				}
				of.Length = max(reply.Val(), 0)
			}
			all = append(all, of)
		}
	}
	return all, nil
}

// streams says how much consumer groups have to do. Where that is more than a Redis may answer, nothing is known of them.
func (r *redisReader) streams(ctx context.Context, q question) ([]observe.Stream, error) {
	if len(q.streams) == 0 {
		return nil, nil
	}
	r.left.allow(mostStreamBytes, mostStreamElements)
	maps.DeleteFunc(r.large, func(g observe.ConsumerGroup, until time.Time) bool {
		return !q.now.Before(until) || !slices.Contains(q.streams, g)
	})
	groups, err := r.groups(ctx, q.streams[:min(len(q.streams), mostGroups)])
	if errors.Is(err, errTooLong) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []observe.Stream
	each, breaks := int64(len(groups)), mostBreaks
	of := share{bytes: mostRangeBytes / each, elements: mostRangeElements / each, breaks: &breaks}
	for i := range groups {
		stream, err := r.stream(ctx, &groups[i], of, q.now)
		if err != nil {
			return nil, err
		}
		all = append(all, stream)
	}
	return all, nil
}

// group is what a Redis tells of a consumer group.
type group struct {
	observe.ConsumerGroup
	// length is how many entries the stream has.
	length int64
	// invalid: the key is none of a stream. refused: the user may not read it. found: there is such a group.
	invalid, refused, found bool
	pending                 int64
	// lag is nil where the Redis cannot tell it, and before Redis 7.
	lag *int64
	// last is the ID of the entry that was delivered last.
	last string
}

// groups asks for consumer groups. What they have is asked for before how many entries there are, so that an entry that comes in
// between is not missed.
func (r *redisReader) groups(ctx context.Context, asked []observe.ConsumerGroup) ([]group, error) {
	pipe := r.client.Pipeline()
	infos, lengths := map[string]*redis.Cmd{}, map[string]*redis.IntCmd{}
	for _, g := range asked {
		if infos[g.Stream] == nil {
			infos[g.Stream] = pipe.Do(ctx, "XINFO", "GROUPS", g.Stream)
			lengths[g.Stream] = pipe.XLen(ctx, g.Stream)
		}
	}
	_, _ = pipe.Exec(ctx) // Each reply tells its own error.
	all := make([]group, len(asked))
	for i := range asked {
		g := group{ConsumerGroup: asked[i]}
		if err := g.take(infos[g.Stream], lengths[g.Stream]); err != nil {
			return nil, err
		}
		all[i] = g
	}
	return all, nil
}

// take reads the replies. A stream that does not exist has no groups.
func (g *group) take(info *redis.Cmd, length *redis.IntCmd) error {
	g.refused = notPermitted(info.Err()) || notPermitted(length.Err())
	g.invalid = ofAnotherKind(info.Err()) || ofAnotherKind(length.Err())
	if g.refused || g.invalid {
		return nil
	}
	if length.Err() != nil {
		return length.Err()
	}
	g.length = max(length.Val(), 0)
	if redis.HasErrorPrefix(info.Err(), "no such key") {
		return nil
	}
	replies, err := info.Slice()
	if err != nil {
		return err
	}
	for _, reply := range replies {
		if fields := fieldsOf(reply); fields["name"] == g.Name {
			return g.tell(fields)
		}
	}
	return nil
}

// tell takes what stands in the reply about the group.
func (g *group) tell(fields map[string]any) error {
	pending, counted := fields["pending"].(int64)
	last, identified := fields["last-delivered-id"].(string)
	if !counted || !identified {
		return fmt.Errorf("%w: a consumer group without what it has", errAnswer)
	}
	g.found, g.pending, g.last = true, max(pending, 0), last
	if lag, told := fields["lag"].(int64); told {
		g.lag = &lag
	}
	return nil
}

// fieldsOf are those of a reply that lists names and values in turn.
func fieldsOf(reply any) map[string]any {
	fields := map[string]any{}
	parts, _ := reply.([]any)
	for pair := range slices.Chunk(parts, 2) {
		if name, isText := pair[0].(string); isText && len(pair) == 2 {
			fields[name] = pair[1]
		}
	}
	return fields
}

// stream is how much a consumer group has to do.
func (r *redisReader) stream(ctx context.Context, g *group, of share, now time.Time) (observe.Stream, error) {
	s := observe.Stream{ConsumerGroup: g.ConsumerGroup, Pending: g.pending, Invalid: g.invalid, Refused: g.refused}
	if g.invalid || g.refused || !g.found || g.length == 0 {
		s.Undelivered = g.length
		return s, nil
	}
	var err error
	s.Undelivered, s.AtLeast, err = r.undelivered(ctx, g, of, now)
	return s, err
}

// share is what may be taken to count the entries of a group, in one reading, and how many connections may end by it in all.
type share struct {
	bytes, elements int64
	breaks          *int
}

// undelivered counts the entries after the one that was delivered last. The lag counts for more than a few: Redis may count entries in it
// for good that were trimmed before they were delivered. Where it is not told, entries are counted as far as they may be; if there may
// be more, that is said.
func (r *redisReader) undelivered(ctx context.Context, g *group, of share, now time.Time) (n int64, more bool, err error) {
	from, none, err := successor(g.last)
	if err != nil || none {
		return 0, false, err
	}
	first, counted, err := r.entriesFrom(ctx, g, from, firstEntries, of, now)
	switch {
	case err != nil:
		return 0, false, err
	case counted && len(first) < firstEntries:
		return int64(len(first)), false, nil
	case g.lag != nil:
		return min(max(*g.lag, int64(len(first))), g.length), false, nil
	case counted:
		return r.many(ctx, g, from, first, of, now)
	case now.Before(r.large[g.ConsumerGroup]):
		return 1, true, nil // It took too many bytes, so it is there.
	}
	return 0, true, nil
}

// many counts the entries from an ID on, of which the first are known.
func (r *redisReader) many(
	ctx context.Context, g *group, from string, first []redis.XMessage, of share, now time.Time,
) (n int64, more bool, err error) {
	of, most := of.less(first)
	if most <= firstEntries {
		return firstEntries, true, nil
	}
	all, counted, err := r.entriesFrom(ctx, g, from, most, of, now)
	if err != nil || !counted {
		return firstEntries, true, err
	}
	return int64(len(all)), int64(len(all)) >= most, nil
}

// less is what is left after the first entries, and how many entries like them can be counted with that.
func (s share) less(first []redis.XMessage) (left share, most int64) {
	size, elements := int64(1), int64(1)
	for _, e := range first {
		size, elements = size+int64(len(e.ID))+valueSize, elements+int64(3+2*len(e.Values))
		for field, value := range e.Values {
			text, _ := value.(string)
			size += int64(len(field)+len(text)) + 2*valueSize
		}
	}
	s.bytes, s.elements = s.bytes-size, s.elements-elements
	return s, min(mostEntries, s.bytes*firstEntries/(2*size), s.elements*firstEntries/(2*elements))
}

// entriesFrom are so many entries of a stream from an ID on; not counted where they take too many bytes, the user may not read them, or
// the key holds something else by now.
func (r *redisReader) entriesFrom(
	ctx context.Context, g *group, from string, n int64, of share, now time.Time,
) (entries []redis.XMessage, counted bool, err error) {
	if *of.breaks <= 0 || now.Before(r.large[g.ConsumerGroup]) {
		return nil, false, nil
	}
	err = r.left.within(of.bytes, func() error {
		entries, err = r.client.XRangeN(ctx, g.Stream, from, "+", n).Result()
		return err
	})
	switch {
	case errors.Is(err, errTooLong):
		r.large[g.ConsumerGroup] = now.Add(heavyFor)
		*of.breaks--
		return nil, false, nil
	case ofAnotherKind(err), notPermitted(err):
		return nil, false, nil
	}
	return entries, err == nil, err
}

// successor is the ID after one; none where no entry can have it.
func successor(id string) (next string, none bool, err error) {
	first, second, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseUint(first, 10, 64)
	seq, err2 := strconv.ParseUint(second, 10, 64)
	switch {
	case err != nil || err2 != nil:
		return "", false, fmt.Errorf("%w: the ID of an entry is none", errAnswer)
	case seq < math.MaxUint64:
		seq++
	case ms < math.MaxUint64:
		ms, seq = ms+1, 0
	default:
		return "", true, nil
	}
	return fmt.Sprintf("%d-%d", ms, seq), false, nil
}
