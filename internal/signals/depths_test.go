// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// answering is a Redis that answers each command with a text, and whatever else is asked as if nothing were there.
func answering(answers map[string]string) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		for {
			command, err := readCommand(r)
			if err != nil {
				return
			}
			if _, err := io.WriteString(conn, answerTo(command, answers)); err != nil {
				return
			}
		}
	}
}

func answerTo(command []string, answers map[string]string) string {
	name := strings.ToLower(command[0])
	if answer, found := answers[name]; found {
		return answer
	}
	switch name {
	case "hello":
		return "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
	case "scan":
		return "*2\r\n$1\r\n0\r\n*0\r\n"
	case "llen", "hlen", "hstrlen":
		return ":0\r\n"
	}
	return "*0\r\n"
}

// readCommand reads a list of strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	parts, err := readLength(r)
	if err != nil {
		return nil, err
	}
	command := make([]string, parts)
	for i := range command {
		size, err := readLength(r)
		if err != nil {
			return nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		command[i] = string(text[:size])
	}
	return command, nil
}

func readLength(r *bufio.Reader) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line[1:]))
}

// texts is a reply of several strings.
func texts(all ...string) string {
	out := &strings.Builder{}
	fmt.Fprintf(out, "*%d\r\n", len(all))
	for _, text := range all {
		fmt.Fprintf(out, "$%d\r\n%s\r\n", len(text), text)
	}
	return out.String()
}

// TestHostileCounts: no number overflows, what is not understood counts where it could belong, and too much ends the reading.
func TestHostileCounts(t *testing.T) {
	const huge = ":9223372036854775807\r\n"
	many := make([]string, 60_000)
	cases := map[string]struct {
		answers map[string]string
		// want is the count of one queue, unless wantState says why there is none.
		want      observe.Queue
		wantState observe.BrokerState
	}{
		"nothing":                 {answers: map[string]string{}},
		"huge lists":              {answers: map[string]string{"llen": huge}, want: observe.Queue{Ready: math.MaxInt64}},
		"lists of less than none": {answers: map[string]string{"llen": ":-5\r\n"}},
		"lists beyond numbers":    {answers: map[string]string{"llen": ":99999999999999999999\r\n"}, wantState: observe.BrokerAnswerInvalid},
		"noise in lists":          {answers: map[string]string{"llen": ":2\r\n", "lrange": texts("\xff\x00", "{")}, want: observe.Queue{Ready: 20}},
		"no texts in lists":       {answers: map[string]string{"llen": ":2\r\n", "lrange": "*2\r\n:1\r\n*0\r\n"}, wantState: observe.BrokerAnswerInvalid},
		"huge tasks in lists":     {answers: map[string]string{"llen": ":2\r\n", "lrange": "*2\r\n$99999999\r\n"}, want: observe.Queue{Ready: 20}},
		"more tasks than there are": {
			answers: map[string]string{"llen": ":1\r\n", "lrange": texts(`{"headers": {"eta": "9999-12-31T23:59:59"}}`, `{"headers": {"eta": "9999-12-31T23:59:59"}}`)},
			want:    observe.Queue{Later: 20, NextETA: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		},
		"a huge hash":               {answers: map[string]string{"hlen": huge}, want: observe.Queue{Reserved: math.MaxInt64}},
		"a hash of less than none":  {answers: map[string]string{"hlen": ":-7\r\n"}},
		"more tags than announced":  {answers: map[string]string{"hlen": ":1\r\n", "hkeys": texts(many...)}, wantState: observe.BrokerAnswerInvalid},
		"values of another length":  {answers: map[string]string{"hlen": ":1\r\n", "hkeys": texts("a"), "hmget": "*1\r\n$99999999\r\n"}, wantState: observe.BrokerAnswerInvalid},
		"large values":              {answers: map[string]string{"hlen": ":1\r\n", "hkeys": texts("a"), "hstrlen": huge}, want: observe.Queue{Reserved: 1}},
		"values that overflow":      {answers: map[string]string{"hlen": ":1\r\n", "hkeys": texts("a"), "hstrlen": ":-9223372036854775808\r\n"}, want: observe.Queue{Reserved: 1}},
		"values that are gone":      {answers: map[string]string{"hlen": ":1\r\n", "hkeys": texts("a"), "hmget": "*1\r\n$-1\r\n"}},
		"values that are no text":   {answers: map[string]string{"hlen": ":1\r\n", "hkeys": texts("a"), "hmget": "*1\r\n:7\r\n"}, want: observe.Queue{Reserved: 1}},
		"fewer values than tags":    {answers: map[string]string{"hlen": ":2\r\n", "hkeys": texts("a", "b"), "hmget": texts(`[{}, "", "emails"]`)}, want: observe.Queue{Reserved: 2}},
		"more values than tags":     {answers: map[string]string{"hlen": ":1\r\n", "hkeys": texts("a"), "hmget": texts(`[{}, "", "x"]`, "noise", "noise")}},
		"the same tag twice":        {answers: map[string]string{"hlen": ":2\r\n", "hkeys": texts("a", "a"), "hmget": texts(`[{}, "", "x"]`, `[{}, "", "x"]`)}, want: observe.Queue{Reserved: 1}},
		"a refusal of what counts":  {answers: map[string]string{"hlen": "-NOPERM words\r\n"}, wantState: observe.BrokerRefuses},
		"another kind of hash":      {answers: map[string]string{"hlen": "-WRONGTYPE words\r\n"}},
		"a hash that changes kinds": {answers: map[string]string{"hlen": ":3\r\n", "hkeys": "-WRONGTYPE words\r\n"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, allocated, err := read(t, target{address: impostor(t, answering(tc.answers))}, 3*time.Second, "emails")
			if tc.wantState != "" {
				if err == nil || stateOf(err) != tc.wantState {
					t.Errorf("got %+v, %q (%v), want %q", got, stateOf(err), err, tc.wantState)
				}
				return
			}
			tc.want.Name = "emails"
			for i := range got.queues {
				got.queues[i].Unstamped = 0
			}
			if diff := cmp.Diff([]observe.Queue{tc.want}, got.queues); diff != "" || err != nil {
				t.Errorf("%v, counts (-want +got):\n%s", err, diff)
			}
			if allocated > 64<<20 {
				t.Errorf("allocated %d bytes", allocated)
			}
		})
	}
}

// TestManagementCounts: what the broker does not tell yet is missing, what it does not have is empty.
func TestManagementCounts(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	all := map[string]queueItem{
		"full": {Name: "full", Ready: number(3), Taken: number(2)}, "new": {Name: "new"}, "half": {Name: "half", Ready: number(3)},
		"odd": {Name: "odd", Ready: number(-1), Taken: number(math.MinInt64)},
	}
	want := []observe.Queue{{Name: "full", Ready: 3, Reserved: 2}, {Name: "none"}, {Name: "odd"}}
	if diff := cmp.Diff(want, counts([]string{"full", "half", "new", "none", "odd"}, all)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
