// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/observe"
)

func TestSuccessor(t *testing.T) {
	for id, want := range map[string]string{
		"0-0": "0-1", "5-9": "5-10", "7-18446744073709551615": "8-0", "18446744073709551615-18446744073709551615": "none",
		"": "error", "5": "error", "a-b": "error", "-1-0": "error",
	} {
		next, none, err := successor(id)
		switch {
		case err != nil:
			next = "error"
		case none:
			next = "none"
		}
		if next != want {
			t.Errorf("after %q comes %q, want %q", id, next, want)
		}
	}
}

// groupsReply is what XINFO GROUPS answers about the group billing, its lag as it stands in the protocol; without one where that is empty.
func groupsReply(pending, last, lag string) string {
	fields := 8
	if lag != "" {
		fields, lag = 10, "$3\r\nlag\r\n"+lag+"\r\n"
	}
	return fmt.Sprintf("*1\r\n*%d\r\n$4\r\nname\r\n$7\r\nbilling\r\n$9\r\nconsumers\r\n:1\r\n$7\r\npending\r\n%s\r\n$17\r\nlast-delivered-id\r\n$%d\r\n%s\r\n%s",
		fields, pending, len(last), last, lag)
}

// entriesReply is what XRANGE answers: so many entries.
func entriesReply(n int) string {
	return fmt.Sprintf("*%d\r\n", n) + strings.Repeat("*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", n)
}

// TestHostileStreams: what a Redis before 7 does not tell is counted, no number overflows, and what is not understood is not zero.
func TestHostileStreams(t *testing.T) {
	const huge = ":9223372036854775807"
	orders := observe.ConsumerGroup{Stream: "orders", Name: "billing"}
	cases := map[string]struct {
		answers map[string]string
		// want is what is known of the stream, nil for nothing, unless wantState says why the whole reading fails.
		want      *observe.Stream
		wantState observe.BrokerState
	}{
		"a Redis before 7": {
			answers: map[string]string{"xlen": ":9\r\n", "xinfo": groupsReply(":2", "3-0", ""), "xrange": entriesReply(4)},
			want:    &observe.Stream{Undelivered: 4, Pending: 2},
		},
		"a lag that is not told": {
			answers: map[string]string{"xlen": ":9\r\n", "xinfo": groupsReply(":0", "3-0", "$-1"), "xrange": entriesReply(0)}, want: &observe.Stream{},
		},
		"more entries than were asked for": {
			answers: map[string]string{"xlen": ":5000\r\n", "xinfo": groupsReply(":0", "3-0", "$-1"), "xrange": entriesReply(1000)},
			want:    &observe.Stream{Undelivered: 10, AtLeast: true},
		},
		"entries too large without a lag": {
			answers: map[string]string{"xlen": ":9\r\n", "xinfo": groupsReply(":1", "3-0", ""), "xrange": "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$99999999\r\n"},
			want:    &observe.Stream{Undelivered: 1, AtLeast: true, Pending: 1},
		},
		"entries too large with a lag": {
			answers: map[string]string{"xlen": ":9\r\n", "xinfo": groupsReply(":1", "3-0", ":4"), "xrange": "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$99999999\r\n"},
			want:    &observe.Stream{Undelivered: 4, Pending: 1},
		},
		"huge numbers": {
			answers: map[string]string{"xlen": huge + "\r\n", "xinfo": groupsReply(huge, "3-0", huge), "xrange": entriesReply(10)},
			want:    &observe.Stream{Undelivered: 1<<63 - 1, Pending: 1<<63 - 1},
		},
		"numbers below zero": {
			answers: map[string]string{"xlen": ":5\r\n", "xinfo": groupsReply(":-3", "3-0", ":-7"), "xrange": entriesReply(2)},
			want:    &observe.Stream{Undelivered: 2},
		},
		"a stream of less than none": {
			answers: map[string]string{"xlen": ":-5\r\n", "xinfo": groupsReply(":0", "3-0", ":1")}, want: &observe.Stream{},
		},
		"no stream":             {answers: map[string]string{"xinfo": "-ERR no such key\r\n", "xlen": ":0\r\n"}, want: &observe.Stream{}},
		"another kind of key":   {answers: map[string]string{"xinfo": "-WRONGTYPE words\r\n", "xlen": "-WRONGTYPE words\r\n"}, want: &observe.Stream{Invalid: true}},
		"one that changes kind": {answers: map[string]string{"xlen": ":5\r\n", "xinfo": groupsReply(":0", "3-0", ""), "xrange": "-WRONGTYPE words\r\n"}, want: &observe.Stream{AtLeast: true}},
		"another error":         {answers: map[string]string{"xlen": ":5\r\n", "xinfo": "-ERR unknown command\r\n"}, wantState: observe.BrokerAnswerInvalid},
		"a refusal":             {answers: map[string]string{"xlen": ":5\r\n", "xinfo": "-NOPERM words\r\n"}, want: &observe.Stream{Refused: true}},
		"a refusal of length":   {answers: map[string]string{"xlen": "-NOPERM words\r\n", "xinfo": groupsReply(":0", "3-0", "")}, want: &observe.Stream{Refused: true}},
		"a refusal of entries":  {answers: map[string]string{"xlen": ":5\r\n", "xinfo": groupsReply(":0", "3-0", ""), "xrange": "-NOPERM words\r\n"}, want: &observe.Stream{AtLeast: true}},
		"no list of groups":     {answers: map[string]string{"xlen": ":5\r\n", "xinfo": ":7\r\n"}, wantState: observe.BrokerAnswerInvalid},
		"groups of another kind": {
			answers: map[string]string{"xlen": ":5\r\n", "xinfo": "*2\r\n:1\r\n*1\r\n$4\r\nname\r\n"}, want: &observe.Stream{Undelivered: 5},
		},
		"a group without counts": {
			answers: map[string]string{"xlen": ":5\r\n", "xinfo": "*1\r\n*2\r\n$4\r\nname\r\n$7\r\nbilling\r\n"}, wantState: observe.BrokerAnswerInvalid,
		},
		"an ID that is none": {
			answers: map[string]string{"xlen": ":5\r\n", "xinfo": groupsReply(":0", "words", "")}, wantState: observe.BrokerAnswerInvalid,
		},
		"more groups than are looked at": {answers: map[string]string{"xlen": ":5\r\n", "xinfo": "*999999\r\n"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRedisReader(target{address: impostor(t, answering(tc.answers))}, anywhere)
			t.Cleanup(func() { _ = r.close() })
			got, err := readOnce(t.Context(), r, question{streams: []observe.ConsumerGroup{orders}, withoutTasks: true, now: moment})
			if tc.wantState != "" {
				if err == nil || stateOf(err) != tc.wantState {
					t.Errorf("got %+v, %q (%v), want %q", got, stateOf(err), err, tc.wantState)
				}
				return
			}
			var want []observe.Stream
			if tc.want != nil {
				tc.want.ConsumerGroup = orders
				want = append(want, *tc.want)
			}
			if diff := cmp.Diff(want, got.streams); diff != "" || err != nil {
				t.Errorf("%v, streams (-want +got):\n%s", err, diff)
			}
		})
	}
}
