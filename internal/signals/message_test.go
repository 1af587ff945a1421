// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// moment is when tests read.
var moment = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

func TestParseETA(t *testing.T) {
	at := func(seconds float64) time.Time { return moment.Add(time.Duration(seconds * float64(time.Second))) }
	for text, want := range map[string]time.Time{
		"2026-11-25T08:00:01.250000+00:00": at(1.25), "2026-11-25T08:00:01+00:00": at(1), "2026-11-25T08:00:01Z": at(1),
		"2026-11-25T10:30:01+02:30": at(1), "2026-11-25T03:00:01.5-05:00": at(1.5), "2026-11-25T10:00:01+0200": at(1),
		"2026-11-25T08:00:01.250000": at(1.25), "2026-11-25T08:00:01": at(1), "2026-11-25 08:00:01": at(1),
		"2026-11-25T08:01": at(60), "2026-11-25T09:01+01:00": at(60), "2026-11-26": at(16 * 3600),
		"9999-12-31T23:59:59Z": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"":                     {}, "soon": {}, "2026-13-25T08:00:00": {}, "99999-01-01T00:00:00Z": {}, "1e9": {}, "2026-11-25T08:00:01+99:99": {},
		"2026-11-25T08:00:01." + strings.Repeat("0", longestETA): {},
	} {
		if got := parseETA(text); !got.Equal(want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestParseMessage(t *testing.T) {
	eta, published := moment.Add(time.Minute), moment.Add(-90*time.Second)
	stamp := `"memorybudget_published": ` + strconv.FormatInt(published.Unix(), 10)
	cases := map[string]struct {
		text string
		want message
		ok   bool
	}{
		"no ETA":                 {`{"body": "W10=", "headers": {"task": "a", "eta": null}, "properties": {}}`, message{}, true},
		"an ETA":                 {`{"headers": {"eta": "2026-11-25T08:01:00+00:00"}}`, message{eta: eta}, true},
		"a stamp":                {`{"headers": {` + stamp + `}}`, message{published: published}, true},
		"a stamp with an ETA":    {`{"headers": {"eta": "2026-11-25T08:01:00", ` + stamp + `.0}}`, message{eta: eta, published: published}, true},
		"protocol 1":             {`{"body": "eyJldGEiOiAiMjAyNi0xMS0yNVQwODowMTowMCJ9", "headers": {}}`, message{}, true},
		"an ETA elsewhere":       {`{"eta": "2026-11-25T08:01:00", "properties": {"eta": "2026-11-25T08:01:00"}}`, message{}, true},
		"no headers":             {`{}`, message{}, true},
		"headers of null":        {`{"headers": null}`, message{}, true},
		"headers of a text":      {`{"headers": "eta"}`, message{}, true},
		"an ETA of a number":     {`{"headers": {"eta": 1e300, "memorybudget_published": "1"}}`, message{}, true},
		"a stamp of another age": {`{"headers": {"memorybudget_published": -5}}`, message{}, true},
		"a stamp beyond time":    {`{"headers": {"memorybudget_published": 1e308}}`, message{}, true},
		"a stamp beyond numbers": {`{"headers": {"memorybudget_published": 1e999}}`, message{}, true},
		"a list":                 {`[1, 2]`, message{}, false},
		"a number":               {`7`, message{}, false},
		"nothing":                {``, message{}, false},
		"noise":                  {"\x00\xff", message{}, false},
		"half a task":            {`{"headers": {"eta": "2026`, message{}, false},
		"objects in objects":     {strings.Repeat(`{"headers":`, 1<<16), message{}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := parseMessage([]byte(tc.text))
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(message{})); diff != "" || ok != tc.ok {
				t.Errorf("understood: %v, want %v; (-want +got):\n%s", ok, tc.ok, diff)
			}
		})
	}
}

func TestParseTaken(t *testing.T) {
	long := strings.Repeat("x", longestName+1)
	cases := map[string]struct {
		text string
		want destination
		ok   bool
	}{
		"the default exchange": {`[{"headers": {}}, "", "emails"]`, destination{"", "emails"}, true},
		"an exchange":          {`[{"headers": {}}, "shop", "mail.out"]`, destination{"shop", "mail.out"}, true},
		"no exchange":          {`[{}, null, "emails"]`, destination{"", "emails"}, true},
		"a key of null":        {`[{}, "", null]`, destination{}, true},
		"a long key":           {`[{}, "", "` + long + `"]`, destination{"", long}, false},
		"a key of a number":    {`[{}, "", 7]`, destination{}, false},
		"two parts":            {`[{}, ""]`, destination{}, false},
		"no task":              {`["task", "", "emails"]`, destination{}, false},
		"an object":            {`{}`, destination{}, false},
		"nothing":              {``, destination{}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, got, ok := parseTaken(tc.text)
			if ok != tc.ok || ok && got != tc.want {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

// TestTallyReady: the oldest counts by when it could first be run, what is not understood waits, and of what was not looked at as large
// a part waits as of what was.
func TestTallyReady(t *testing.T) {
	task := func(eta, published time.Time) string {
		return `{"headers": {"eta": "` + eta.Format(time.RFC3339) + `", "memorybudget_published": ` + strconv.FormatInt(published.Unix(), 10) + `}}`
	}
	minutes := func(n int) time.Time { return moment.Add(time.Duration(n) * time.Minute) }
	tally := newTally(question{queues: []string{"emails"}, now: moment})
	tally.ready(tally.of("emails"), 100, []string{
		task(minutes(5), minutes(-60)), task(minutes(3), minutes(-60)), task(minutes(-3), minutes(-30)), task(minutes(-9), minutes(-4)),
		"noise", `{}`, `{"headers": {"eta": "2026-11-25T07:00:00Z"}}`,
	})
	want := []observe.Queue{{Name: "emails", Ready: 72, Unstamped: 3, Later: 28, NextETA: minutes(3), Oldest: minutes(-4)}}
	if diff := cmp.Diff(want, tally.queues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlus(t *testing.T) {
	for _, tc := range []struct{ count, more, want int64 }{
		{1, 2, 3}, {1, -5, 1}, {math.MaxInt64 - 1, 5, math.MaxInt64}, {0, math.MaxInt64, math.MaxInt64}, {5, math.MinInt64, 5},
	} {
		if got := plus(tc.count, tc.more); got != tc.want {
			t.Errorf("%d and %d are %d, want %d", tc.count, tc.more, got, tc.want)
		}
	}
}

func TestRoutes(t *testing.T) {
	known := newRoutes()
	for _, of := range []struct{ prefix, exchange, member string }{
		{"", "celery", "celery\x06\x16\x06\x16celery"},
		{"", "shop", "mail\x06\x16\x06\x16emails"},
		{"", "both", "all\x06\x16\x06\x16emails"},
		{"", "both", "all\x06\x16\x06\x16images"},
		{"", "topics", "mail.#\x06\x16^mail\\..*?$\x06\x16emails"},
		{"", "topics", "*.image\x06\x16^.*?[^\\.]\\.image$\x06\x16images"},
		{"b:", "shop", "mail\x06\x16\x06\x16letters"},
		{"", "odd", "no route"},
		{"", "odd", "a\x06\x16b\x06\x16"},
	} {
		known.add(of.prefix, of.exchange, of.member)
	}
	cases := map[string]struct {
		prefix string
		to     destination
		want   []string
		ok     bool
	}{
		"the default exchange":            {"", destination{"", "anything"}, []string{"anything"}, true},
		"an exchange of its queue's name": {"", destination{"celery", "celery"}, []string{"celery"}, true},
		"another routing key":             {"", destination{"shop", "mail"}, []string{"emails"}, true},
		"another prefix":                  {"b:", destination{"shop", "mail"}, []string{"letters"}, true},
		"two queues":                      {"", destination{"both", "all"}, []string{"emails", "images"}, true},
		"a topic":                         {"", destination{"topics", "mail.a.b"}, []string{"emails"}, true},
		"a topic of one word":             {"", destination{"topics", "mail"}, []string{"emails"}, true},
		"two topics":                      {"", destination{"topics", "mail.image"}, []string{"emails", "images"}, true},
		"no topic":                        {"", destination{"topics", "a.b.image"}, nil, false},
		"a queue's name, no binding":      {"", destination{"gone", "emails"}, []string{"emails"}, true},
		"neither":                         {"", destination{"gone", "mail"}, nil, false},
		"nothing":                         {"", destination{}, nil, false},
		"Celery's own":                    {"", destination{"celery.pidbox", "x"}, nil, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := known.queues(tc.prefix, tc.to)
			if diff := cmp.Diff(tc.want, got); ok != tc.ok || ok && diff != "" {
				t.Errorf("known: %v, want %v; (-want +got):\n%s", ok, tc.ok, diff)
			}
		})
	}
}

// TestMatches: also what is made to be slow is told at once.
func TestMatches(t *testing.T) {
	long := strings.Repeat("a.", 100) + "a"
	for _, tc := range []struct {
		pattern, key string
		want         bool
	}{
		{"a.b", "a.b", true}, {"a.*", "a.b", true}, {"a.*", "a", false}, {"a.*", "a.b.c", false}, {"#", "a.b.c", true}, {"#.c", "a.b.c", true},
		{"#.b.#", "a.b.c", true}, {"#.x.#", "a.b.c", false}, {"a.#.c", "a.c", true}, {"*.#", "a", true},
		{strings.Repeat("#.", 100) + "b", long, false}, {strings.Repeat("#.a.", 60) + "b", long, false},
	} {
		if got := matches(strings.Split(tc.pattern, "."), strings.Split(tc.key, ".")); got != tc.want {
			t.Errorf("%s matches %s: %v", tc.pattern, tc.key, got)
		}
	}
}

// TestEstimate: tasks that were not looked at are taken to be like those that were.
func TestEstimate(t *testing.T) {
	cases := map[string]struct {
		rest, looked, reserved int64
		want                   int64
	}{
		"none":                       {0, 10, 4, 4},
		"as many again":              {10, 10, 4, 8},
		"rounded up":                 {3, 10, 4, 6},
		"all were due later":         {50_000, 20_000, 0, 1},
		"none was looked at":         {50_000, 0, 0, 50_000},
		"no number is too large":     {math.MaxInt64, 1, 20_000, 20_000 + mostRest*20_000},
		"nor is one that is a count": {math.MaxInt64, 0, 7, math.MaxInt64},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tally := tally{queues: []observe.Queue{{Name: "emails", Reserved: tc.reserved}}}
			if tally.estimate(tc.rest, tc.looked); tally.queues[0].Reserved != tc.want {
				t.Errorf("got %d, want %d", tally.queues[0].Reserved, tc.want)
			}
		})
	}
}
