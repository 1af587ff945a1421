// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// starterEnv makes the test binary start a process in the directory that it names, print the process id and wait.
const starterEnv = "MEMORYBUDGET_TEST_STARTER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(starterEnv); dir != "" {
		starter(dir)
		return
	}
	os.Exit(m.Run())
}

func starter(dir string) {
	process, err := start(shell("child", "exec sleep 600"), dir, false)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	_, _ = fmt.Fprintln(os.Stdout, process.PID)
	<-process.exited
}

// shell is a process that runs a script.
func shell(name, script string) Process {
	return Process{Name: name, Path: "/bin/sh", Args: []string{"-c", script}}
}

// waitFor fails the test when the condition does not hold in time.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestAttachedProcessDiesWithItsKilledStarter(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), starterEnv+"="+t.TempDir())
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the starter said %q", line)
	}
	if _, err := startTime(pid); err != nil {
		t.Fatalf("the child does not run: %v", err)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	waitFor(t, "the end of the child", func() bool { _, err := startTime(pid); return err != nil })
}

func TestStop(t *testing.T) {
	tests := map[string]struct {
		script   string
		detached bool
	}{
		"ends by itself":            {script: "exec sleep 600"},
		"ignores the request":       {script: "trap '' TERM; echo ready; while :; do sleep 0.1; done"},
		"detached, with a child":    {script: "sleep 600 & echo ready; wait", detached: true},
		"detached, ignores all":     {script: "trap '' TERM; echo ready; sleep 600 & wait; sleep 600", detached: true},
		"ended before it was asked": {script: "exit 0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			process, err := start(shell("child", tc.script), dir, tc.detached)
			if err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the script", func() bool {
				return !strings.Contains(tc.script, "ready") || strings.Contains(tail(dir, "child"), "ready")
			})
			if err := process.stop(50 * time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if process.alive() {
				t.Error("the process is alive after stop")
			}
			requireNoProcessIn(t, dir)
		})
	}
}

func TestLoadedProcessIsRecognisedByItsStartTime(t *testing.T) {
	process, err := start(shell("child", "exec sleep 600"), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.stop(stopLimit) }()
	same := &running{Name: "child", PID: process.PID, StartTime: process.StartTime}
	if !same.alive() {
		t.Error("the process with its id and start time counts as ended")
	}
	other := &running{Name: "child", PID: process.PID, StartTime: "1"}
	if other.alive() {
		t.Error("a process with another start time counts as ours")
	}
	if err := other.stop(stopLimit); err != nil {
		t.Fatal(err)
	}
	if !process.alive() {
		t.Error("stopping a process that is gone stopped a foreign one with the same id")
	}
}

func TestStartTimeDiffersBetweenProcesses(t *testing.T) {
	dir := t.TempDir()
	own, err := startTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{own: true}
	waitFor(t, "a process with another start time", func() bool {
		process, err := start(shell("child", "exec sleep 600"), dir, false)
		if err != nil {
			t.Fatal(err)
		}
		seen[process.StartTime] = true
		if err := process.stop(stopLimit); err != nil {
			t.Fatal(err)
		}
		return len(seen) > 3
	})
}

func TestProcessSeesNothingOfTheCallersEnvironment(t *testing.T) {
	t.Setenv("MEMORYBUDGET_TEST_SECRET", "hunter2")
	dir := t.TempDir()
	spec := shell("child", "env")
	spec.Env = []string{"OWN=1"}
	process, err := start(spec, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	<-process.exited
	log := tail(dir, "child")
	if strings.Contains(log, "hunter2") {
		t.Errorf("the process sees the caller's environment: %s", log)
	}
	for _, want := range []string{"OWN=1", "HOME=" + dir, "KUBECONFIG=" + dir + "/kubeconfig"} {
		if !strings.Contains(log, want) {
			t.Errorf("the process lacks %s: %s", want, log)
		}
	}
}

func TestTailShowsTheLastLines(t *testing.T) {
	dir := t.TempDir()
	process, err := start(shell("child", "i=0; while [ $i -lt 30 ]; do echo line$i; i=$((i+1)); done"), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	<-process.exited
	got := tail(dir, "child")
	if !strings.Contains(got, "line29") || !strings.Contains(got, "line18") || strings.Contains(got, "line17") {
		t.Errorf("want the last %d lines, got %s", tailLines, got)
	}
}
