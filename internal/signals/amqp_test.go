// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// frame is one of AMQP.
func frame(kind byte, channel uint16, payload ...any) []byte {
	body := packed(payload...)
	return append(packed(kind, channel, uint32(len(body)), string(body)), 0xce)
}

// packed are numbers and texts as they stand in frames. A text has no length before it.
func packed(parts ...any) []byte {
	var out bytes.Buffer
	for _, part := range parts {
		if text, ok := part.(string); ok {
			part = []byte(text)
		}
		if err := binary.Write(&out, binary.BigEndian, part); err != nil {
			panic(err)
		}
	}
	return out.Bytes()
}

func short(text string) string { return string(packed(uint8(len(text)), text)) }

func long(text string) string { return string(packed(uint32(len(text)), text)) }

// method is the frame of one.
func method(channel, class, id uint16, arguments ...any) []byte {
	return frame(1, channel, append([]any{class, id}, arguments...)...)
}

// delivery is a message of which a size is announced, with a body.
func delivery(tag string, size uint64, body string) []byte {
	out := method(1, 60, 60, short(tag), uint64(1), uint8(0), short(eventExchange), short(heartbeatKey))
	out = append(out, frame(2, 1, uint16(60), uint16(0), size, uint16(0))...)
	for len(body) > 0 {
		part := body[:min(len(body), frameBytes-8)]
		out, body = append(out, frame(3, 1, part)...), body[len(part):]
	}
	return out
}

// whole is a message that is all there.
func whole(body string) []byte { return delivery("memorybudget", uint64(len(body)), body) }

var start = method(0, 10, 10, uint8(0), uint8(9), uint32(0), long("AMQPLAIN PLAIN"), long("en_US"))

// replies are what a RabbitMQ says to each call.
var replies = map[[2]uint16][]byte{
	{10, 11}: method(0, 10, 30, uint16(2047), uint32(131072), uint16(60)),
	{10, 40}: method(0, 10, 41, short("")),
	{10, 50}: method(0, 10, 51),
	{20, 10}: method(1, 20, 11, long("")),
	{50, 10}: method(1, 50, 11, short("queue"), uint32(0), uint32(0)),
	{50, 20}: method(1, 50, 21),
	{60, 20}: method(1, 60, 21, short("memorybudget")),
}

// rabbitThen answers as a RabbitMQ does until its messages are to come, and says something then. Instead are other replies, nil for
// the end.
func rabbitThen(said []byte, instead map[[2]uint16][]byte) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		reader := bufio.NewReader(conn)
		if _, err := io.ReadFull(reader, make([]byte, 8)); err != nil {
			return
		}
		reply := start
		if other, ok := instead[[2]uint16{}]; ok {
			reply = other
		}
		for {
			if _, err := conn.Write(reply); err != nil {
				return
			}
			call, err := called(reader)
			if err != nil {
				return
			}
			reply = replies[call]
			if other, ok := instead[call]; ok {
				if reply = other; reply == nil {
					return
				}
			}
			if call == [2]uint16{60, 20} {
				reply = append(bytes.Clone(reply), said...)
			}
		}
	}
}

// called reads a frame and says of which class and method it is.
func called(reader io.Reader) (call [2]uint16, err error) {
	header := make([]byte, 7)
	if _, err := io.ReadFull(reader, header); err != nil {
		return call, err
	}
	payload := make([]byte, binary.BigEndian.Uint32(header[3:])+1)
	if _, err := io.ReadFull(reader, payload); err != nil || header[0] != 1 {
		return call, err
	}
	return [2]uint16{binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:])}, nil
}

// overheard listens to a RabbitMQ until it ends, or until a condition holds.
func overheard(t *testing.T, answer func(net.Conn), p *poller, until func() bool) error {
	t.Helper()
	p.target = target{address: "management", rabbitmq: true, vhost: "/", amqp: endpoint{address: impostor(t, answer)}}
	ctx, cancel := context.WithTimeout(t.Context(), 3*openLimit)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- New(Options{Guard: anywhere}).hear(ctx, p) }()
	for {
		select {
		case err := <-ended:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Error("it goes on")
			}
			return err
		case <-time.After(time.Millisecond):
			if until() {
				cancel()
			}
		}
	}
}

func never() bool { return false }

const rabbitBeat = `{"hostname": "celery@shop-worker-1", "freq": 2.0, "active": 3, "type": "worker-heartbeat"}`

// goodbye ends the connection as a RabbitMQ that is stopped does.
var goodbye = method(0, 10, 50, uint16(320), short("CONNECTION_FORCED - stopped by an operator"), uint16(0), uint16(0))

// TestRabbitMessages: heartbeats are heard whatever is said between them, and listening ends at once when it is not wanted any more.
func TestRabbitMessages(t *testing.T) {
	said := bytes.Join([][]byte{
		whole(""), whole("\x80\x04pickle"), whole(strings.Replace(rabbitBeat, "3", "9", 1) + strings.Repeat(" ", longestBeat)),
		whole("[" + rabbitBeat + "]"), delivery("another", 4, "null"), frame(8, 0), whole(rabbitBeat),
	}, nil)
	p := &poller{}
	heard := func() []observe.Worker { return p.roll.of("shop-", time.Now()).workers }
	if err := overheard(t, rabbitThen(said, nil), p, func() bool { return heard() != nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by %v", err)
	}
	if diff := cmp.Diff([]observe.Worker{{Pod: "shop-worker-1", Active: 3}}, heard()); diff != "" {
		t.Errorf("workers (-want +got):\n%s", diff)
	}
}

// TestRabbitBurst: all workers of a broker may be heard at the same moment, and long after the connection was made.
func TestRabbitBurst(t *testing.T) {
	var said []byte
	for i := range mostWorkers {
		said = append(said, whole(strings.Replace(rabbitBeat, "worker-1", fmt.Sprintf("worker-%d", i), 1))...)
	}
	p := &poller{}
	heard := func() int { return len(p.roll.of("shop-", time.Now()).workers) }
	if err := overheard(t, rabbitThen(said, nil), p, func() bool { return heard() == mostWorkers }); !errors.Is(err, context.Canceled) {
		t.Errorf("heard %d workers, and then %v", heard(), err)
	}
}

// TestHostileRabbitMQ: whatever servers say, listening ends with one of a few states and takes little memory.
func TestHostileRabbitMQ(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	t.Run("all", testHostileRabbitMQ)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 256<<20 {
		t.Errorf("allocated %d bytes", allocated)
	}
}

func testHostileRabbitMQ(t *testing.T) {
	closes := func(code int, words string) []byte {
		return method(1, 20, 40, uint16(code), short(words), uint16(0), uint16(0))
	}
	leaves := func(code int) []byte {
		return method(0, 10, 50, uint16(code), short("secret words"), uint16(0), uint16(0))
	}
	at := func(class, id uint16, says []byte) map[[2]uint16][]byte {
		return map[[2]uint16][]byte{{class, id}: says}
	}
	nested := strings.Repeat("\x01tF\x00\x00\xff\xff", 40)
	for name, tc := range map[string]struct {
		says    []byte
		instead map[[2]uint16][]byte
		want    observe.BrokerState
	}{
		"another protocol":             {nil, at(0, 0, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")), observe.BrokerAnswerInvalid},
		"another version":              {nil, at(0, 0, []byte("AMQP\x00\x01\x00\x00")), observe.BrokerAnswerInvalid},
		"a gigabyte at the start":      {nil, at(0, 0, packed(uint8(1), uint16(0), uint32(1<<30))), observe.BrokerAnswerInvalid},
		"a table beyond its frame":     {nil, at(0, 0, append(frame(1, 0, uint16(10), uint16(10), uint16(9), uint32(1<<30)), make([]byte, 8<<20)...)), observe.BrokerAnswerInvalid},
		"tables in tables":             {nil, at(0, 0, method(0, 10, 10, uint16(9), long(nested), long("PLAIN"), long(""))), observe.BrokerAnswerInvalid},
		"no way to log in":             {nil, at(0, 0, method(0, 10, 10, uint16(9), long(""), long("EXTERNAL"), long(""))), observe.BrokerAnswerInvalid},
		"another answer":               {nil, at(10, 11, replies[[2]uint16{50, 20}]), observe.BrokerAnswerInvalid},
		"a refusal without a word":     {nil, at(10, 11, nil), observe.BrokerRefuses},
		"a refusal of the password":    {nil, at(10, 11, leaves(403)), observe.BrokerRefuses},
		"a refusal of the host":        {nil, at(10, 40, leaves(530)), observe.BrokerRefuses},
		"a refusal of the queue":       {nil, at(50, 10, closes(403, "secret words")), observe.BrokerRefuses},
		"no exchange yet":              {nil, at(50, 20, closes(404, "secret words")), observe.BrokerNotReadYet},
		"an error of the server":       {nil, at(60, 20, leaves(541)), observe.BrokerUnreachable},
		"an error that is none":        {nil, at(60, 20, leaves(7)), observe.BrokerAnswerInvalid},
		"the end":                      {goodbye, nil, observe.BrokerUnreachable},
		"the end of the queue":         {method(1, 60, 30, short("memorybudget"), uint8(0)), nil, observe.BrokerUnreachable},
		"a gigabyte in a frame":        {packed(uint8(3), uint16(1), uint32(1<<30)), nil, observe.BrokerAnswerInvalid},
		"a gigabyte in many frames":    {delivery("memorybudget", 1<<30, strings.Repeat("x", 8<<20)), nil, observe.BrokerAnswerInvalid},
		"a table in a call":            {append(frame(1, 1, uint16(50), uint16(10), uint16(0), short("q"), uint8(0), uint32(1<<30)), make([]byte, 8<<20)...), nil, observe.BrokerAnswerInvalid},
		"answers that nobody asked":    {bytes.Repeat(replies[[2]uint16{50, 20}], 2), at(50, 20, bytes.Repeat(replies[[2]uint16{50, 20}], 3)), observe.BrokerAnswerInvalid},
		"noise":                        {bytes.Repeat([]byte("\x00\xff\xce"), 1<<12), nil, observe.BrokerAnswerInvalid},
		"a heartbeat on a channel":     {frame(8, 1), nil, observe.BrokerAnswerInvalid},
		"a body on no channel":         {frame(3, 0, "x"), nil, observe.BrokerAnswerInvalid},
		"a message on another channel": {method(7, 60, 60, short(""), uint64(1), uint8(0), short(""), short("")), nil, observe.BrokerAnswerInvalid},
		"more than is listened to":     {bytes.Repeat(whole("{}"), 3*mostBeats), nil, observe.BrokerAnswerInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := overheard(t, rabbitThen(tc.says, tc.instead), &poller{}, never); err == nil || stateOf(err) != tc.want {
				t.Errorf("got %q (%v), want %q", stateOf(err), err, tc.want)
			}
		})
	}
}

// TestRabbitMQElsewhere: AMQP, too, is spoken only where the guard allows it, and by TLS only with whom can show a certificate.
func TestRabbitMQElsewhere(t *testing.T) {
	forbidden := &poller{target: target{rabbitmq: true, amqp: endpoint{address: impostor(t, rabbitThen(nil, nil))}}}
	if err := New(Options{Guard: NewGuard()}).hear(t.Context(), forbidden); stateOf(err) != observe.BrokerForbidden {
		t.Errorf("an address of this machine: %v", err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	untrusted := &poller{target: target{rabbitmq: true, amqp: endpoint{address: server.Listener.Addr().String(), secure: true}}}
	if err := New(Options{Guard: anywhere}).hear(t.Context(), untrusted); stateOf(err) != observe.BrokerUntrusted {
		t.Errorf("a certificate of nobody: %v", err)
	}
}
