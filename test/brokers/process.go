// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// patience bounds each wait.
const patience = 90 * time.Second

// program finds a program, or says what would install it.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not installed; as root on Debian, hack/brokers-env.sh installs it", name)
	}
	return path
}

// run starts a program and ends it, and what it started, with the test.
func run(t *testing.T, env []string, path string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(path, arguments...)
	command.Env = env
	start(t, command)
	return command
}

// start is run for a command whose input and output may be used.
func start(t *testing.T, command *exec.Cmd) {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	if command.Stderr = log; command.Stdout == nil {
		command.Stdout = log
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end(command)
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s wrote: ...%s", command.Path, text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
}

// end ends a program and its children.
func end(command *exec.Cmd) {
	group := -command.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	timer := time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
	_ = command.Wait()
	timer.Stop()
	_ = syscall.Kill(group, syscall.SIGKILL)
}

// freePort is one that nobody listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

// await looks at a condition until it holds.
func await(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
