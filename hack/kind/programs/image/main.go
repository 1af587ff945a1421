// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image writes an image of one layer as an archive that docker load, ctr and kind load take: no engine, no registry.
//
//	image -tag NAME:TAG -output FILE [-file SOURCE=PATH] [-tree DIRECTORY] [-entrypoint PATH] [-user USER] [-label KEY=VALUE]
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// pairs is a flag that may be given several times as KEY=VALUE.
type pairs [][2]string

func (p *pairs) String() string { return "" }

func (p *pairs) Set(value string) error {
	key, value, ok := strings.Cut(value, "=")
	if !ok || key == "" {
		return errors.New("want KEY=VALUE")
	}
	*p = append(*p, [2]string{key, value})
	return nil
}

type options struct {
	tag, output, tree, entrypoint, user string
	files, labels                       pairs
}

func main() {
	var o options
	flag.StringVar(&o.tag, "tag", "", "name and tag of the image")
	flag.StringVar(&o.output, "output", "", "archive to write")
	flag.StringVar(&o.tree, "tree", "", "directory that becomes the root file system")
	flag.StringVar(&o.entrypoint, "entrypoint", "", "program that the image runs")
	flag.StringVar(&o.user, "user", "", "user that it runs as")
	flag.Var(&o.files, "file", "SOURCE=PATH, an executable file to add; may be repeated")
	flag.Var(&o.labels, "label", "KEY=VALUE, may be repeated")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	tag, err := name.NewTag(o.tag)
	if err != nil {
		return err
	}
	content, err := layer(o)
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, content)
	if err != nil {
		return err
	}
	if image, err = configure(image, o); err != nil {
		return err
	}
	// Whole or not at all: an interrupted run leaves no archive under the name.
	if err := tarball.WriteToFile(o.output+".tmp", tag, image); err != nil {
		return err
	}
	return os.Rename(o.output+".tmp", o.output)
}

func configure(image v1.Image, o options) (v1.Image, error) {
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	file.Config.User = o.user
	if o.entrypoint != "" {
		file.Config.Entrypoint = []string{o.entrypoint}
	}
	file.Config.Labels = map[string]string{}
	for _, label := range o.labels {
		file.Config.Labels[label[0]] = label[1]
	}
	return mutate.ConfigFile(image, file)
}

func layer(o options) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	if err := addTree(w, o.tree); err != nil {
		return nil, err
	}
	for _, file := range o.files {
		if err := addFile(w, file[0], file[1]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil
	})
}

// addTree adds a directory's directories, files and symbolic links as root's.
func addTree(w *tar.Writer, tree string) error {
	if tree == "" {
		return nil
	}
	return filepath.WalkDir(tree, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == tree {
			return err
		}
		relative, err := filepath.Rel(tree, file)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(file); err != nil {
				return err
			}
		}
		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		header.Name = filepath.ToSlash(relative)
		return write(w, header, file)
	})
}

// addFile adds one executable file, and the directories that lead to it.
func addFile(w *tar.Writer, source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	target = strings.TrimPrefix(path.Clean(target), "/")
	for i, r := range target {
		if r == '/' {
			if err := write(w, &tar.Header{Typeflag: tar.TypeDir, Name: target[:i], Mode: 0o755}, ""); err != nil {
				return err
			}
		}
	}
	return write(w, &tar.Header{Typeflag: tar.TypeReg, Name: target, Size: info.Size(), Mode: 0o755}, source)
}

// write adds one entry without owner, name or time, so that the same content makes the same image.
func write(w *tar.Writer, header *tar.Header, source string) error {
	if header.Typeflag == tar.TypeDir {
		header.Name += "/"
	}
	clean := &tar.Header{
		Typeflag: header.Typeflag, Name: header.Name, Linkname: header.Linkname, Size: header.Size, Mode: header.Mode,
	}
	if err := w.WriteHeader(clean); err != nil || header.Typeflag != tar.TypeReg {
		return err
	}
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(w, file)
	return err
}
