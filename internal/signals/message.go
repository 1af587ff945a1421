// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// message is what is taken of a task as Celery's transport for Redis (kombu) writes it: nothing of what it is to do.
type message struct {
	// eta is when it may be run at the earliest, zero where it does not say.
	eta time.Time
	// published is when the overlay saw it published, zero where it did not.
	published time.Time
}

// publishedHeader is in which header the overlay writes when a task is published, in seconds since 1970.
const publishedHeader = "memorybudget_published"

// parseMessage takes from a task what is understood of it. Only the second version of Celery's protocol tells the ETA.
func parseMessage(data []byte) (m message, ok bool) {
	var envelope struct {
		Headers json.RawMessage `json:"headers"`
	}
	if json.Unmarshal(data, &envelope) != nil {
		return message{}, false
	}
	var headers map[string]json.RawMessage
	if json.Unmarshal(envelope.Headers, &headers) != nil {
		return message{}, true
	}
	var eta string
	if json.Unmarshal(headers["eta"], &eta) == nil {
		m.eta = parseETA(eta)
	}
	var published float64
	if json.Unmarshal(headers[publishedHeader], &published) == nil {
		m.published = unix(published)
	}
	return m, true
}

// etaForms are those that Python writes and Celery reads. One without an offset is taken for UTC, Celery's own default.
var etaForms = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04",
	"2006-01-02",
}

// longestETA is more than any of the forms takes.
const longestETA = 64

// parseETA reads an ETA. One that is not understood is none: a worker would run the task at once, or refuse it.
func parseETA(text string) time.Time {
	if len(text) > longestETA {
		return time.Time{}
	}
	text = strings.Replace(text, " ", "T", 1)
	for _, form := range etaForms {
		if eta, err := time.Parse(form, text); err == nil {
			return eta.UTC()
		}
	}
	return time.Time{}
}

// endOfTime is more seconds than any clock shows: the end of the year 9999.
const endOfTime = 253402300799

// unix is a time that a task tells in seconds, zero where it is none.
func unix(seconds float64) time.Time {
	if !(seconds > 0 && seconds <= endOfTime) {
		return time.Time{}
	}
	return time.UnixMicro(int64(seconds * 1e6)).UTC()
}

// due is when the task could first be run, as far as it tells when it was published.
func (m message) due() time.Time {
	if m.published.IsZero() || m.published.After(m.eta) {
		return m.published
	}
	return m.eta
}

// destination is where a task was sent to.
type destination struct{ exchange, key string }

// longestName bounds the names that are kept: AMQP has none that are longer.
const longestName = 255

// parseTaken takes a task that is not acknowledged: [message, exchange, routing key].
func parseTaken(data string) (m message, to destination, ok bool) {
	var parts []json.RawMessage
	if json.Unmarshal([]byte(data), &parts) != nil || len(parts) != 3 {
		return message{}, destination{}, false
	}
	if m, ok = parseMessage(parts[0]); !ok {
		return message{}, destination{}, false
	}
	var exchange *string
	if json.Unmarshal(parts[1], &exchange) != nil || json.Unmarshal(parts[2], &to.key) != nil {
		return message{}, destination{}, false
	}
	if exchange != nil {
		to.exchange = *exchange
	}
	return m, to, len(to.exchange) <= longestName && len(to.key) <= longestName
}

// tally counts the tasks of the queues that were asked for.
type tally struct {
	now    time.Time
	queues []observe.Queue
}

func newTally(q question) *tally {
	t := &tally{now: q.now}
	for _, name := range q.queues {
		t.queues = append(t.queues, observe.Queue{Name: name})
	}
	return t
}

// of is the count of a queue, nil for one that was not asked for.
func (t *tally) of(name string) *observe.Queue {
	for i := range t.queues {
		if t.queues[i].Name == name {
			return &t.queues[i]
		}
	}
	return nil
}

// ready counts the tasks of a list, of which the oldest were looked at. The others are taken to be like them: a great many that are
// due later must not ask for workers. There may always be one that does.
func (t *tally) ready(q *observe.Queue, length int64, oldest []string) {
	var due int64
	for _, text := range oldest {
		if m, _ := parseMessage([]byte(text)); m.eta.After(t.now) {
			addLater(q, m.eta)
		} else {
			due++
			addReady(q, m.due())
		}
	}
	looked := int64(len(oldest))
	switch rest := length - looked; {
	case looked == 0:
		due = length
	case rest > 0:
		more := max(1, (min(rest, mostRest)*due+looked-1)/looked)
		due, q.Later = due+more, plus(q.Later, rest-more)
	}
	q.Ready = plus(q.Ready, min(due, length))
}

// addReady files a task that waits, since when it could be run if that is known.
func addReady(q *observe.Queue, since time.Time) {
	switch {
	case since.IsZero():
		q.Unstamped++
	case q.Oldest.IsZero() || since.Before(q.Oldest):
		q.Oldest = since
	}
}

// taken counts a task that a worker has taken from one of the queues and not acknowledged.
func (t *tally) taken(queues []string, eta time.Time) {
	for _, name := range queues {
		q := t.of(name)
		switch {
		case q == nil:
		case eta.After(t.now):
			addLater(q, eta)
		default:
			q.Reserved = plus(q.Reserved, 1)
		}
	}
}

// mostRest bounds what is estimated, so that no product overflows.
const mostRest = 1 << 40

// estimate counts tasks that workers have taken and that were not looked at, or not yet, as so many that were looked at are: a great
// many that are due later must not ask for workers. There may always be one for each queue; where none was looked at, all.
func (t *tally) estimate(rest, looked int64) {
	for i := range t.queues {
		switch q := &t.queues[i]; {
		case rest <= 0:
		case looked == 0:
			q.Reserved = plus(q.Reserved, rest)
		default:
			q.Reserved = plus(q.Reserved, max(1, (min(rest, mostRest)*q.Reserved+looked-1)/looked))
		}
	}
}

// unknown counts tasks that workers have taken from any of the queues: no tier is to be shrunk below its tasks.
func (t *tally) unknown(tasks int64) {
	for i := range t.queues {
		t.queues[i].Reserved = plus(t.queues[i].Reserved, tasks)
	}
}

func addLater(q *observe.Queue, eta time.Time) {
	q.Later = plus(q.Later, 1)
	if q.NextETA.IsZero() || eta.Before(q.NextETA) {
		q.NextETA = eta
	}
}

// plus adds to a count what may be any number.
func plus(count, more int64) int64 {
	if sum := count + max(more, 0); sum >= count {
		return sum
	}
	return math.MaxInt64
}
