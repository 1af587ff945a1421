// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestRun(t *testing.T) {
	directory := t.TempDir()
	put(t, filepath.Join(directory, "program"), "program")
	put(t, filepath.Join(directory, "tree", "etc", "config"), "config")
	if err := os.Symlink("etc", filepath.Join(directory, "tree", "link")); err != nil {
		t.Fatal(err)
	}
	image := build(t, directory)

	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Config; got.User != "65532:65532" || !reflect.DeepEqual(got.Entrypoint, []string{"/bin/program"}) || got.Labels["a"] != "b=c" {
		t.Errorf("unexpected configuration: %+v", got)
	}
	want := []string{"etc/ 755", "etc/config 644 config", "link -> etc", "bin/ 755", "bin/program 755 program"}
	if got := entries(t, image); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSameContentSameImage(t *testing.T) {
	directory := t.TempDir()
	put(t, filepath.Join(directory, "program"), "program")
	put(t, filepath.Join(directory, "tree", "file"), "content")
	before := digest(t, build(t, directory))
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(directory, "tree", "file"), later, later); err != nil {
		t.Fatal(err)
	}
	if after := digest(t, build(t, directory)); after != before {
		t.Errorf("the image changed with a file's time: %s, then %s", before, after)
	}
}

func build(t *testing.T, directory string) v1.Image {
	t.Helper()
	output := filepath.Join(directory, "image.tar")
	err := run(options{
		tag: "example.test/image:v1", output: output, tree: filepath.Join(directory, "tree"),
		entrypoint: "/bin/program", user: "65532:65532",
		files:  pairs{{filepath.Join(directory, "program"), "/bin/program"}},
		labels: pairs{{"a", "b=c"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("example.test/image:v1")
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(output, &tag)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digest(t *testing.T, image v1.Image) string {
	t.Helper()
	hash, err := image.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

func entries(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("want one layer, got %d, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = content.Close() }()
	var found []string
	for reader := tar.NewReader(content); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, describe(header, string(data)))
	}
}

func describe(header *tar.Header, data string) string {
	switch header.Typeflag {
	case tar.TypeSymlink:
		return header.Name + " -> " + header.Linkname
	case tar.TypeDir:
		return fmt.Sprintf("%s %o", header.Name, header.Mode)
	}
	return fmt.Sprintf("%s %o %s", header.Name, header.Mode, data)
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
