// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/utils/clock"
)

const (
	// parts is how many files a recording that is full has.
	parts = 8
	// mostFiles bounds the files of operators that start again and again.
	mostFiles = 64
	// prefix and suffix are those of the names of files. Between them is when the file was begun, so that they sort by it.
	prefix, suffix = "memorybudget-", ".jsonl.gz"
	nameTime       = "20060102T150405.000000000Z"
)

// files are those of a directory, which take no more than so many bytes together.
type files struct {
	dir      string
	most     int64
	operator string
	clock    clock.PassiveClock
	// current is the file that is written, nil where one has to be begun, and size how much of it is good.
	current *os.File
	size    int64
	packed  bytes.Buffer
	packer  *gzip.Writer
}

func newFiles(options Options) *files {
	return &files{
		dir: options.Dir, most: options.Bytes, operator: options.Operator, clock: options.Clock, packer: gzip.NewWriter(nil),
	}
}

// append adds a line. A file never holds a part of one, unless the process is killed over it.
func (f *files) append(line json.RawMessage) error {
	member, err := f.pack(line)
	if err != nil {
		return err
	}
	each := f.most / parts
	if f.current != nil && f.size+int64(len(member)) > each {
		if err := f.close(); err != nil {
			return err
		}
	}
	if f.current == nil {
		if err := f.begin(); err != nil {
			return err
		}
		if member, err = f.pack(line); err != nil {
			return err
		}
	}
	if f.size+int64(len(member)) > each {
		return fmt.Errorf("a record takes %d bytes, too many for files of %d", len(member), each)
	}
	return f.add(member)
}

// pack compresses a line by itself. The result is good until the next call.
func (f *files) pack(line []byte) ([]byte, error) {
	f.packed.Reset()
	f.packer.Reset(&f.packed)
	_, err := f.packer.Write(append(line, '\n'))
	if err := errors.Join(err, f.packer.Close()); err != nil {
		return nil, fmt.Errorf("compressing a record: %w", err)
	}
	return f.packed.Bytes(), nil
}

// begin makes room for another file and begins it with a header.
func (f *files) begin() error {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	if err := f.prune(); err != nil {
		return err
	}
	now := f.clock.Now().UTC()
	header, err := json.Marshal(Header{Format: Format, Operator: f.operator, Started: now})
	if err != nil {
		return fmt.Errorf("encoding a header: %w", err)
	}
	member, err := f.pack(header)
	if err != nil {
		return err
	}
	path := filepath.Join(f.dir, prefix+now.Format(nameTime)+suffix)
	if f.current, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		f.current = nil
		return fmt.Errorf("beginning a file: %w", err)
	}
	f.size = 0
	if err := f.add(member); err != nil {
		return errors.Join(err, f.close(), os.Remove(path))
	}
	return nil
}

// add writes what is complete by itself. Where that fails, the file is as it was, or not written any more.
func (f *files) add(member []byte) error {
	if _, err := f.current.Write(member); err != nil {
		err = fmt.Errorf("writing a record: %w", err)
		if cut := f.current.Truncate(f.size); cut != nil {
			return errors.Join(err, cut, f.close())
		}
		return err
	}
	f.size += int64(len(member))
	return nil
}

func (f *files) close() error {
	if f.current == nil {
		return nil
	}
	err := f.current.Close()
	f.current, f.size = nil, 0
	if err != nil {
		return fmt.Errorf("closing a file: %w", err)
	}
	return nil
}

// prune deletes the oldest files, so that there is room for another one.
func (f *files) prune() error {
	paths, err := filepath.Glob(filepath.Join(f.dir, prefix+"*"+suffix))
	if err != nil {
		return fmt.Errorf("listing the directory: %w", err)
	}
	slices.Sort(paths)
	slices.Reverse(paths)
	room := f.most - f.most/parts
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("looking at a file: %w", err)
		}
		if room -= info.Size(); room >= 0 && i+1 < mostFiles {
			continue
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("deleting an old file: %w", err)
		}
	}
	return nil
}
