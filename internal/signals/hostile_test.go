// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/observe"
)

// anywhere lets tests have brokers on their own machine.
func anywhere(context.Context, netip.Addr) bool { return true }

// impostor is a server on which each connection is answered by a function.
func impostor(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go answer(conn)
		}
	}()
	return listener.Addr().String()
}

// saying answers whatever is asked with a text, again and again.
func saying(text string) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 4096)); err != nil {
			return
		}
		for err := error(nil); err == nil; {
			_, err = io.WriteString(conn, text)
		}
	}
}

// once answers with a text and closes.
func once(text string) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 4096)); err == nil {
			_, _ = io.WriteString(conn, text)
		}
	}
}

// silent never answers.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// redisAnd answers as a Redis without a password does, until it is asked for keys.
func redisAnd(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			asked, reply := strings.ToLower(string(buffer[:n])), ""
			if strings.Contains(asked, "hello") {
				reply = "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n"
			}
			if strings.Contains(asked, "scan") {
				reply = answer
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	}
}

// read reads once, with less patience than usual, and returns what it allocated besides.
func read(t *testing.T, to target, within time.Duration, queues ...string) (got reading, allocated uint64, err error) {
	t.Helper()
	r := newReader(to, anywhere)
	t.Cleanup(func() { _ = r.close() })
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err = readOnce(ctx, r, question{queues: queues, now: moment})
	runtime.ReadMemStats(&after)
	return got, after.TotalAlloc - before.TotalAlloc, err
}

// TestHostileRedis: whatever a server answers becomes one of a few states, in bounded time and memory.
func TestHostileRedis(t *testing.T) {
	cases := map[string]struct {
		answer func(net.Conn)
		want   observe.BrokerState
	}{
		"nothing":                        {silent, observe.BrokerUnreachable},
		"the end":                        {func(c net.Conn) { _ = c.Close() }, observe.BrokerUnreachable},
		"another protocol":               {once("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), observe.BrokerAnswerInvalid},
		"noise":                          {saying(strings.Repeat("\x00\xff\x17", 1<<12)), observe.BrokerAnswerInvalid},
		"a line without end":             {saying("+" + strings.Repeat("a", 1<<12)), observe.BrokerAnswerInvalid},
		"a huge string":                  {redisAnd("*2\r\n$1\r\n0\r\n*1\r\n$99999999999\r\nx"), observe.BrokerAnswerInvalid},
		"a string beyond numbers":        {redisAnd("*2\r\n$1\r\n0\r\n*1\r\n$99999999999999999999999999\r\n"), observe.BrokerAnswerInvalid},
		"a huge list":                    {redisAnd("*2\r\n$1\r\n0\r\n*2000000000\r\n"), observe.BrokerAnswerInvalid},
		"a huge map at the start":        {once("%1000000000\r\n"), observe.BrokerAnswerInvalid},
		"lists in lists":                 {saying("*1000\r\n"), observe.BrokerAnswerInvalid},
		"a cursor that never ends":       {redisAnd("*2\r\n$1\r\n7\r\n*0\r\n"), observe.BrokerAnswerInvalid},
		"an error with words":            {redisAnd("-ERR secret words\r\n"), observe.BrokerAnswerInvalid},
		"no authentication":              {redisAnd("-NOAUTH Authentication required.\r\n"), observe.BrokerRefuses},
		"an older refusal":               {redisAnd("-ERR invalid password\r\n"), observe.BrokerRefuses},
		"no permission":                  {redisAnd("-NOPERM this user has no permissions\r\n"), observe.BrokerRefuses},
		"a server that is still loading": {redisAnd("-LOADING Redis is loading the dataset in memory\r\n"), observe.BrokerAnswerInvalid},
		"no plain list":                  {redisAnd("+OK\r\n"), observe.BrokerAnswerInvalid},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, allocated, err := read(t, target{address: impostor(t, tc.answer)}, 3*time.Second)
			if err == nil || stateOf(err) != tc.want {
				t.Errorf("got %q (%v), want %q", stateOf(err), err, tc.want)
			}
			if allocated > 64<<20 {
				t.Errorf("allocated %d bytes", allocated)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	gone := impostor(t, silent)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	_ = listener.Close()
	for name, to := range map[string]target{
		"nobody listens": {address: closed}, "no such name": {address: "broker.invalid:6379"},
		"no answer to TLS": {address: gone, secure: true}, "no answer to HTTP": {address: gone, rabbitmq: true},
		"plain text where TLS is expected": {address: impostor(t, once("-ERR no TLS\r\n")), secure: true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := read(t, to, time.Second); err == nil || stateOf(err) != observe.BrokerUnreachable {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestUntrusted: certificates are verified.
func TestUntrusted(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	for name, to := range map[string]target{"Redis": {address: address, secure: true}, "RabbitMQ": {address: address, secure: true, rabbitmq: true}} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := read(t, to, 3*time.Second); err == nil || stateOf(err) != observe.BrokerUntrusted {
				t.Errorf("got %v", err)
			}
		})
	}
}

// management serves what a test wants to be asked for.
func management(t *testing.T, handle http.HandlerFunc) target {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	return target{address: server.Listener.Addr().String(), rabbitmq: true, user: "u", password: "p", path: "/rabbit", vhost: "a/b"}
}

func TestHostileManagement(t *testing.T) {
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	code := func(n int) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) } }
	cases := map[string]struct {
		handle http.HandlerFunc
		want   observe.BrokerState
	}{
		"a page of words":       {body("<html>"), observe.BrokerAnswerInvalid},
		"another protocol":      {nil, observe.BrokerAnswerInvalid},
		"nothing":               {body(""), observe.BrokerAnswerInvalid},
		"another object":        {body(`{"error":"x"}`), observe.BrokerAnswerInvalid},
		"another kind of items": {body(`{"page_count":1,"items":{}}`), observe.BrokerAnswerInvalid},
		"a queue that is none":  {body(`{"page_count":1,"items":[7]}`), observe.BrokerAnswerInvalid},
		"more than was asked":   {body(`{"page_count":1,"items":[` + strings.Repeat("{},", 1<<20) + `{}]}`), observe.BrokerAnswerInvalid},
		"pages without end":     {body(`{"page_count":1000000,"items":[]}`), observe.BrokerAnswerInvalid},
		"a huge body": {func(w http.ResponseWriter, _ *http.Request) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, strings.Repeat(" ", 1<<16))
			}
		}, observe.BrokerAnswerInvalid},
		"huge headers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, observe.BrokerAnswerInvalid},
		"unauthorised": {code(http.StatusUnauthorized), observe.BrokerRefuses},
		"forbidden":    {code(http.StatusForbidden), observe.BrokerRefuses},
		"not found":    {code(http.StatusNotFound), observe.BrokerAnswerInvalid},
		"an error":     {code(http.StatusInternalServerError), observe.BrokerAnswerInvalid},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			to := target{address: impostor(t, once("-ERR unknown command\r\n")), rabbitmq: true}
			if tc.handle != nil {
				to = management(t, tc.handle)
			}
			_, allocated, err := read(t, to, 3*time.Second)
			if err == nil || stateOf(err) != tc.want {
				t.Errorf("got %q (%v), want %q", stateOf(err), err, tc.want)
			}
			if allocated > 64<<20 {
				t.Errorf("allocated %d bytes", allocated)
			}
		})
	}
}

// TestRedirect: no redirect is followed, with or without credentials.
func TestRedirect(t *testing.T) {
	followed := make(chan string, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		followed <- r.Header.Get("Authorization")
	}))
	t.Cleanup(elsewhere.Close)
	to := management(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) })
	if _, _, err := read(t, to, 3*time.Second); !errors.Is(err, errAnswer) {
		t.Errorf("got %v", err)
	}
	select {
	case header := <-followed:
		t.Errorf("followed, with %q", header)
	default:
	}
}

// TestManagement: all pages are read, from where the URL says, and what counts is told from what does not.
func TestManagement(t *testing.T) {
	var asked []string
	to := management(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked = append(asked, fmt.Sprintf("%s %s:%s page %s", r.URL.EscapedPath(), user, password, r.URL.Query().Get("page")))
		if r.URL.Query().Get("page") == "1" {
			_, _ = io.WriteString(w, `{"page_count":2,"items":[{"name":"z","messages":1,"consumers":0},{"name":"idle","messages":0},
				{"name":"served","messages":5,"consumers":1},{"name":"new"},{"name":"celeryev.1","messages":1},{"messages":3}]}`)
			return
		}
		_, _ = io.WriteString(w, `{"page_count":2,"items":[{"name":"a","messages":1},{"name":"mine","messages":1,"exclusive":true}]}`)
	})
	got, _, err := read(t, to, 3*time.Second)
	if diff := cmp.Diff([]string{"a", "z"}, got.waiting); diff != "" || err != nil {
		t.Errorf("%v, queues (-want +got):\n%s", err, diff)
	}
	want := []string{"/rabbit/api/queues/a%2Fb u:p page 1", "/rabbit/api/queues/a%2Fb u:p page 2"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// TestBoundedConn: replies are followed across reads of any size, and what they hold is not taken for replies.
func TestBoundedConn(t *testing.T) {
	good := "*2\r\n$1\r\n0\r\n*2\r\n$14\r\n$99999999999\r\n\r\n$-1\r\n+OK\r\n:7\r\n-ERR x\r\n*0\r\n"
	for size := 1; size <= len(good); size++ {
		c := &boundedConn{left: &allowance{}}
		c.left.allow(mostBytes, mostElements)
		for begin := 0; begin < len(good); begin += size {
			if err := c.inspect([]byte(good[begin:min(begin+size, len(good))])); err != nil {
				t.Fatalf("in pieces of %d bytes: %v", size, err)
			}
		}
	}
}
