// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	// stopLimit is how long a program may take to end by itself before it is killed.
	stopLimit = 5 * time.Second
	// killLimit is how long the kernel may take to remove a killed program.
	killLimit = 5 * time.Second
	// tailLines of a log are shown with an error.
	tailLines = 12
)

// Process is a program that lives as long as the cluster.
type Process struct {
	// Name is unique in the cluster and names the log file.
	Name string
	// Path of the executable.
	Path string
	// Args without the program's name.
	Args []string
	// Env is added to PATH, HOME (the cluster's directory), TMPDIR and KUBECONFIG; nothing else is inherited.
	Env []string
}

// running is a started process. Its exported fields are what a later command needs to recognise it.
type running struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// StartTime tells the process from a later one with the same id; its unit is the system's.
	StartTime string `json:"startTime"`
	// Group says that the process leads a session of its own.
	Group bool `json:"group,omitempty"`

	// exited is closed when our child has ended; nil for a process that another command started.
	exited chan struct{}
}

// start runs the process with its output in a log below dir. Attached processes die with this one.
func start(spec Process, dir string, detached bool) (*running, error) {
	if err := os.MkdirAll(filepath.Dir(logPath(dir, spec.Name)), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory for logs: %w", err)
	}
	log, err := os.OpenFile(logPath(dir, spec.Name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", spec.Name, err)
	}
	defer func() { _ = log.Close() }()

	command := exec.Command(spec.Path, spec.Args...)
	command.Dir, command.Stdout, command.Stderr = dir, log, log
	command.Env = append(environment(dir), spec.Env...)
	command.SysProcAttr = attributes(detached)

	r := &running{Name: spec.Name, Group: detached, exited: make(chan struct{})}
	if err := r.launch(command); err != nil {
		return nil, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	r.PID = command.Process.Pid
	// An empty start time means that the process is gone already, which alive notices by its exited channel.
	r.StartTime, _ = startTime(r.PID)
	return r, nil
}

// launch starts the command from a thread that stays until the command ends: the signal that ends attached children
// comes when the thread that started them does.
func (r *running) launch(command *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer close(r.exited)
		err := command.Start()
		started <- err
		if err == nil {
			_ = command.Wait()
		}
	}()
	return <-started
}

// environment is what every program of the cluster sees: nothing of the caller's settings or credentials.
func environment(dir string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + dir,
		"TMPDIR=" + os.TempDir(),
		"KUBECONFIG=" + filepath.Join(dir, "kubeconfig"),
	}
}

// alive reports whether the process still runs.
func (r *running) alive() bool {
	if r.exited != nil {
		select {
		case <-r.exited:
			return false
		default:
			return true
		}
	}
	now, err := startTime(r.PID)
	return err == nil && now == r.StartTime
}

// stop asks the process to end, kills it after limit, and returns when it is gone.
func (r *running) stop(limit time.Duration) error {
	for _, step := range []struct {
		signal syscall.Signal
		limit  time.Duration
	}{{syscall.SIGTERM, limit}, {syscall.SIGKILL, killLimit}} {
		if !r.alive() {
			return nil
		}
		if err := r.send(step.signal); err != nil && r.alive() {
			return fmt.Errorf("stopping %s (process %d): %w", r.Name, r.PID, err)
		}
		if r.gone(step.limit) {
			return nil
		}
	}
	return fmt.Errorf("stopping %s: process %d is still there %s after it was killed", r.Name, r.PID, killLimit)
}

// send signals the process, with its children where it leads a group.
func (r *running) send(signal syscall.Signal) error {
	target := r.PID
	if r.Group {
		target = -r.PID
	}
	if err := syscall.Kill(target, signal); err != nil {
		return fmt.Errorf("sending %s: %w", signal, err)
	}
	return nil
}

// gone waits up to limit and reports whether the process has ended.
func (r *running) gone(limit time.Duration) bool {
	deadline := time.Now().Add(limit)
	for r.alive() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

// logPath names the log file of a program.
func logPath(dir, name string) string { return filepath.Join(dir, "logs", name+".log") }

// tail returns the last lines of a program's log, for an error message.
func tail(dir, name string) string {
	content, err := os.ReadFile(logPath(dir, name))
	if err != nil {
		return fmt.Sprintf("no log of %s: %v", name, err)
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	lines = lines[max(0, len(lines)-tailLines):]
	return fmt.Sprintf("the end of %s:\n  %s", logPath(dir, name), strings.Join(lines, "\n  "))
}
