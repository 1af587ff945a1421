// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
)

const (
	// mostBytes and mostElements bound what a Redis may answer in one reading.
	mostBytes, mostElements = 4 << 20, 50_000
	// longestHeader is more than the head of a reply with a length has.
	longestHeader = 32
)

// allowance is what a broker may still answer. A client of Redis allocates as many bytes and elements as a reply announces,
// before they are there, so announcements count.
type allowance struct{ bytes, elements atomic.Int64 }

func (a *allowance) allow(size, elements int64) {
	a.bytes.Store(size)
	a.elements.Store(elements)
}

func take(from *atomic.Int64, n int64) error {
	if n > from.Load() || from.Add(-n) < 0 {
		return errTooLong
	}
	return nil
}

// within makes a call that the broker may answer with so many bytes.
func (a *allowance) within(most int64, call func() error) error {
	kept := max(a.bytes.Load()-most, 0)
	a.bytes.Add(-kept)
	defer a.bytes.Add(kept)
	return call()
}

// boundedConn is a connection to a Redis that ends with the first reply that announces or holds more than is allowed.
type boundedConn struct {
	net.Conn
	left *allowance
	// header is the part of the present line that is known, skip the bytes until the next one.
	header []byte
	skip   int64
}

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if tooMuch := c.inspect(p[:n]); tooMuch != nil {
		return 0, tooMuch
	}
	return n, err
}

// inspect follows the lines of the protocol, RESP.
func (c *boundedConn) inspect(data []byte) error {
	for len(data) > 0 {
		if c.skip > 0 {
			n := min(c.skip, int64(len(data)))
			c.skip, data = c.skip-n, data[n:]
			continue
		}
		line, _, ended := bytes.Cut(data, []byte("\n"))
		if ended {
			line = data[:len(line)+1]
		}
		data = data[len(line):]
		if err := take(&c.left.bytes, int64(len(line))); err != nil {
			return err
		}
		c.header = append(c.header, line[:min(len(line), longestHeader-len(c.header))]...)
		if !ended {
			continue
		}
		if err := c.announced(string(bytes.TrimRight(c.header, "\r\n"))); err != nil {
			return err
		}
		c.header = c.header[:0]
	}
	return nil
}

// announced takes what the head of a reply announces.
func (c *boundedConn) announced(header string) error {
	if header == "" {
		return errAnswer
	}
	var elements int64
	switch header[0] {
	case '$', '=', '!':
	case '*', '~', '>':
		elements = 1
	case '%', '|':
		elements = 2
	default:
		return nil // A line without a length.
	}
	n, err := strconv.ParseInt(header[1:], 10, 32)
	switch {
	case err != nil:
		return fmt.Errorf("%w: its length is no number", errAnswer)
	case n < 0:
		return nil // Nothing is there.
	case elements > 0:
		return take(&c.left.elements, n*elements)
	}
	c.skip = n + 2
	return take(&c.left.bytes, c.skip)
}
