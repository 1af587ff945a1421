// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/resource"
)

const (
	// stdin is the name that stands for standard input, stdinSource how it is called in errors.
	stdin, stdinSource = "-", "STDIN"
	// maxSource bounds what is read from one source, in bytes: an API server takes 3 MiB for one object.
	maxSource = 64 << 20
	// fetchTimeout bounds the download from a URL.
	fetchTimeout = 30 * time.Second
)

// source is a text that documents are read from.
type source struct {
	name string
	open func() (io.ReadCloser, error)
}

// read returns the whole text, without a byte order mark.
func (s source) read() ([]byte, error) {
	reader, err := s.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = reader.Close() }() // It was only read from.
	data, err := io.ReadAll(io.LimitReader(reader, maxSource+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.name, err)
	}
	if len(data) > maxSource {
		return nil, fmt.Errorf("reading %s: it has more than %d bytes", s.name, maxSource)
	}
	return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), nil
}

// sources expands what -f may name: files, patterns, directories, URLs and standard input.
func sources(names []string, recursive bool, in io.Reader) ([]source, []error) {
	var all []source
	var errs []error
	for i, name := range names {
		found, err := expand(name, recursive, in)
		if name == stdin && slices.Contains(names[:i], stdin) {
			err = resource.StdinMultiUseError
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, found...)
	}
	return all, errs
}

func expand(name string, recursive bool, in io.Reader) ([]source, error) {
	switch {
	case name == stdin:
		return []source{{stdinSource, func() (io.ReadCloser, error) { return io.NopCloser(in), nil }}}, nil
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		return []source{{name, func() (io.ReadCloser, error) { return fetch(name) }}}, nil
	}
	paths := []string{name}
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		matches, err := filepath.Glob(name)
		if err != nil || len(matches) == 0 {
			return nil, fmt.Errorf("the path %q does not exist", name)
		}
		paths = matches
	}
	var all []source
	for _, path := range paths {
		found, err := files(path, recursive)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// files are those below a directory that kubectl would read, in its order, or the file itself.
func files(root string, recursive bool) ([]source, error) {
	var all []source
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("the path %q cannot be accessed: %w", path, err)
		case entry.IsDir() && path != root && !recursive:
			return filepath.SkipDir
		case entry.IsDir(), path != root && !slices.Contains(resource.FileExtensions, filepath.Ext(path)):
			return nil
		}
		all = append(all, source{path, func() (io.ReadCloser, error) { return openFile(path) }})
		return nil
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("error reading %q: recognized file extensions are %v", root, resource.FileExtensions)
	}
	return all, err
}

func openFile(path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the path %q cannot be accessed: %w", path, errors.Unwrap(err))
	}
	return file, nil
}

func fetch(url string) (io.ReadCloser, error) {
	client := http.Client{Timeout: fetchTimeout}
	response, err := client.Get(url)
	if err != nil {
		return nil, fmt.Errorf("unable to read URL %q: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("unable to read URL %q, server reported %s", url, response.Status)
	}
	return response.Body, nil
}
