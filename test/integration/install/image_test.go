// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/memorybudget/memorybudget/test/testrbac"
)

var (
	copied  = regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`)
	command = regexp.MustCompile(`(?m)^ +CGO_ENABLED=0 .*\n +(go build .*) -o /memorybudget \.$`)
)

// TestImage builds the operator the way the Dockerfile does, from nothing but what the Dockerfile copies, and checks that
// the program runs on an empty file system. The image itself needs a registry to build.
func TestImage(t *testing.T) {
	dockerfile := read(t, filepath.Join(testrbac.Root(), "Dockerfile"))
	dir := t.TempDir()
	for _, match := range copied.FindAllStringSubmatch(dockerfile, -1) {
		for name := range strings.FieldsSeq(match[1]) {
			copyInto(t, dir, name)
		}
	}
	build := command.FindStringSubmatch(dockerfile)
	if build == nil {
		t.Fatal("the Dockerfile has no build command")
	}
	program := filepath.Join(t.TempDir(), "memorybudget")
	shell := exec.CommandContext(t.Context(), "sh", "-c", build[1]+" -o "+program+" .")
	shell.Dir = dir
	shell.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=-mod=readonly", "VERSION=v9.9.9")
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build[1], err, out)
	}
	checkStatic(t, program)
	if !strings.Contains(read(t, program), "v9.9.9") {
		t.Error("the version is not in the program")
	}
}

// copyInto copies a file or directory of the repository to the same place below dir.
func copyInto(t *testing.T, dir, name string) {
	t.Helper()
	from, to := filepath.Join(testrbac.Root(), name), filepath.Join(dir, name)
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		err = os.CopyFS(to, os.DirFS(from))
	} else {
		err = os.WriteFile(to, []byte(read(t, from)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkStatic checks that a program needs neither a loader nor libraries.
func checkStatic(t *testing.T, program string) {
	t.Helper()
	file, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			t.Error("the program is dynamic: it names a loader")
		}
	}
	libraries, err := file.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("the program needs %v: %v", libraries, err)
	}
}
