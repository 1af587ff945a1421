// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"bufio"
	"context"
	_ "embed" // The application.
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// python is Debian's own, for which it has Celery.
const python = "/usr/bin/python3"

//go:embed held.py
var application string

// Celery is an application whose tasks run until the test lets them end. It takes them from the queues celery and emails.
type Celery struct {
	dir    string
	env    []string
	tasks  io.Writer
	answer *bufio.Reader
}

// Task is one that is published.
type Task struct {
	Name     string `json:"name"`
	Queue    string `json:"queue"`
	Priority int    `json:"priority"`
	// In is how many seconds later it is due, if not at once.
	In int `json:"in"`
	// Exchange and Key are where to send it to, Celery's default unless set.
	Exchange string `json:"exchange"`
	Key      string `json:"key"`
}

// StartCelery is ready to publish tasks with a broker of this URL. Settings are more of the application's environment.
func StartCelery(t *testing.T, url string, settings ...string) *Celery {
	t.Helper()
	if err := exec.Command(python, "-c", "import celery, redis").Run(); err != nil {
		t.Fatal("Celery is not installed for " + python + "; as root on Debian, hack/brokers-env.sh installs it")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "held.py"), application)
	c := &Celery{dir: dir, env: append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8", "PYTHONPATH=" + dir, "HELD_DIR=" + dir, "HELD_URL=" + url, "C_FORCE_ROOT=1",
	}, settings...)}
	command := exec.Command(python, filepath.Join(dir, "held.py"))
	command.Env, command.Dir = c.env, dir
	reader, writer := io.Pipe()
	t.Cleanup(func() { _ = reader.Close() })
	command.Stdout = writer
	c.answer = bufio.NewReader(reader)
	var err error
	if c.tasks, err = command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	start(t, command)
	return c
}

// Publish publishes tasks.
func (c *Celery) Publish(t *testing.T, tasks ...Task) {
	t.Helper()
	for _, task := range tasks {
		line, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c.tasks, "%s\n", line); err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			_, err := c.answer.ReadString('\n')
			answered <- err
		}()
		await(t, "word that "+task.Name+" is published", func(ctx context.Context) error {
			select {
			case err := <-answered:
				if err != nil {
					t.Fatal(err)
				}
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}
}

// Worker runs two tasks at a time, and takes so many for each of the two. It acknowledges late or early.
func (c *Celery) Worker(t *testing.T, late bool, prefetch int) *Worker {
	t.Helper()
	env := append([]string{fmt.Sprintf("HELD_PREFETCH=%d", prefetch)}, c.env...)
	if late {
		env = append(env, "HELD_LATE=1")
	}
	return c.worker(t, env, "--without-heartbeat")
}

// Pod runs two tasks at a time and acknowledges early, as in a pod of that name: its heartbeats are sent.
func (c *Celery) Pod(t *testing.T, name string, arguments ...string) *Worker {
	t.Helper()
	return c.worker(t, c.env, append([]string{"-n", "celery@" + name}, arguments...)...)
}

func (c *Celery) worker(t *testing.T, env []string, arguments ...string) *Worker {
	t.Helper()
	command := exec.Command(python, append([]string{"-m", "celery", "-A", "held", "worker", "-c", "2", "-Q", "celery,emails",
		"--without-gossip", "--without-mingle", "-l", "WARNING"}, arguments...)...)
	command.Env, command.Dir = env, c.dir
	start(t, command)
	return &Worker{command}
}

// End lets a task end, and waits until it has.
func (c *Celery) End(t *testing.T, task string) {
	t.Helper()
	write(t, filepath.Join(c.dir, "end-"+task), "")
	await(t, "the end of "+task, func(context.Context) error {
		_, err := os.Stat(filepath.Join(c.dir, "done-"+task))
		return err
	})
}

// Running waits until so many tasks run, and names them.
func (c *Celery) Running(t *testing.T, n int) []string {
	t.Helper()
	var running []string
	await(t, fmt.Sprintf("%d tasks that run", n), func(context.Context) error {
		started, err := filepath.Glob(filepath.Join(c.dir, "started-*"))
		if err != nil {
			return err
		}
		running = nil
		for _, path := range started {
			name := strings.TrimPrefix(filepath.Base(path), "started-")
			if _, err := os.Stat(filepath.Join(c.dir, "done-"+name)); err != nil {
				running = append(running, name)
			}
		}
		if len(running) != n {
			return fmt.Errorf("there are %q", running)
		}
		return nil
	})
	return running
}

// Worker is a worker of the application.
type Worker struct{ command *exec.Cmd }

// Kill ends the worker and its processes as a node that is lost does.
func (w *Worker) Kill(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-w.command.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
