// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrCut is the end of a recording that ends within a record, as it does where the operator was killed while it wrote.
var ErrCut = errors.New("the recording ends within a record")

// LineError is a line that is no record. The lines after it can be read.
type LineError struct {
	// Line is its number, from 1.
	Line int
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap is what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// Reader reads a recording, compressed or not.
type Reader struct {
	// Header is its first line.
	Header Header
	in     *bufio.Reader
	line   int
}

// NewReader reads the header of a recording.
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReader(r)
	if magic, err := in.Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("decompressing: %w", err)
		}
		in = bufio.NewReader(unpacked)
	}
	reader := &Reader{in: in}
	line, err := reader.next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty")
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(line, &reader.Header); err != nil || reader.Header.Format == 0 {
		return nil, errors.New("line 1: not the header of a recording")
	}
	if reader.Header.Format != Format {
		return nil, fmt.Errorf("line 1: the recording has format %d, and only format %d is known to this version", reader.Header.Format, Format)
	}
	return reader, nil
}

// Next reads a record. The error is io.EOF at the end, ErrCut where the recording ends within a record, and a LineError
// where only this line is bad.
func (r *Reader) Next() (*Record, error) {
	line, err := r.next()
	if err != nil {
		return nil, err
	}
	record := &Record{}
	if err := json.Unmarshal(line, record); err != nil {
		return nil, &LineError{Line: r.line, Err: err}
	}
	if len(record.Snapshot) == 0 || len(record.Decision) == 0 || len(record.Status) == 0 {
		return nil, &LineError{Line: r.line, Err: errors.New("not a record")}
	}
	return record, nil
}

// Line is the number of the line that was read last.
func (r *Reader) Line() int { return r.line }

// next reads a line without its end.
func (r *Reader) next() ([]byte, error) {
	var line []byte
	r.line++
	for length := 0; ; {
		part, err := r.in.ReadSlice('\n')
		if length += len(part); length <= longestLine {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err == nil && length > longestLine:
			return nil, &LineError{Line: r.line, Err: fmt.Errorf("longer than %d bytes", longestLine)}
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case errors.Is(err, io.EOF) && length == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, ErrCut
		default:
			return nil, fmt.Errorf("line %d: decompressing: %w", r.line, err)
		}
	}
}
