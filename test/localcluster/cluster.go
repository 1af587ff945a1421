// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/client-go/rest"
)

// Cluster is a running control plane.
type Cluster struct {
	dir, server string
	// held is the lock of the directory: for the life of an attached cluster, for the length of a command on a detached one.
	held *os.File
	// temporary says that the directory goes with the cluster.
	temporary bool
	state     state
	authority *authority
	admin     *rest.Config
	progress  io.Writer
	began     time.Time
}

// Start runs a new cluster and returns when it is ready for what the options ask of it. ctx bounds the start alone.
// The error says what was waited for and shows the log; nothing that was started is left then.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if _, err := requireBinaries(options.Bin, options.Bin, options.programs()...); err != nil {
		return nil, err
	}
	dir, held, err := prepareDir(options.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, held: held, temporary: options.Dir == "", progress: options.Progress, began: time.Now()}
	if err := c.startOrStop(ctx, options); err != nil {
		return nil, err
	}
	return c, nil
}

// Ensure returns the detached cluster in options.Dir: the one that runs there, or a new one where none runs or part of it has ended.
func Ensure(ctx context.Context, options Options) (*Cluster, error) {
	options.Detached = true
	found, err := find(options.Dir, options.Progress)
	if errors.Is(err, fs.ErrNotExist) {
		return Start(ctx, options)
	}
	if err != nil {
		return nil, err
	}
	if problem := found.usable(ctx, options); problem != nil {
		found.say("The cluster in %s is not usable (%v): starting it anew", found.dir, problem)
		if err := found.Stop(); err != nil {
			return nil, err
		}
		return Start(ctx, options)
	}
	found.say("The cluster in %s runs already", found.dir)
	return found, nil
}

// Load finds the detached cluster in dir. The error is fs.ErrNotExist where none was started; whether all of one still runs tells Ended.
func Load(dir string) (*Cluster, error) {
	c, err := find(dir, nil)
	if err != nil {
		return nil, err
	}
	if err := c.authenticate(); err != nil {
		return nil, err
	}
	return c, nil
}

// Stop ends the cluster in dir, whatever is left of it, and reports each step to progress (nil: nowhere). The error is
// fs.ErrNotExist where none was started.
func Stop(dir string, progress io.Writer) error {
	c, err := find(dir, progress)
	if err != nil {
		return err
	}
	return c.Stop()
}

// find reads what was started in dir; the cluster it returns can be stopped, and used once authenticated.
func find(dir string, progress io.Writer) (*Cluster, error) {
	if progress == nil {
		progress = io.Discard
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", dir, err)
	}
	found, err := loadState(absolute)
	if err != nil {
		return nil, err
	}
	return &Cluster{dir: absolute, server: found.Server, state: found, progress: progress, began: time.Now()}, nil
}

// authenticate gives the cluster that was found its keys.
func (c *Cluster) authenticate() error {
	var err error
	if c.authority, err = loadAuthority(c.dir); err != nil {
		return err
	}
	c.admin, err = c.UserConfig("admin", mastersGroup)
	return err
}

// Dir holds the cluster's keys, data and logs.
func (c *Cluster) Dir() string { return c.dir }

// Server is the URL of the API server.
func (c *Cluster) Server() string { return c.server }

// Processes lists what was started, in order, with process ids.
func (c *Cluster) Processes() map[string]int {
	processes := map[string]int{}
	for _, process := range c.state.Processes {
		processes[process.Name] = process.PID
	}
	return processes
}

// Ended names the programs that were started and run no longer.
func (c *Cluster) Ended() []string {
	var names []string
	for _, process := range c.state.Processes {
		if !process.alive() {
			names = append(names, process.Name)
		}
	}
	return names
}

// Run starts a further program that lives as long as the cluster, in place of one with the same name, with its output
// in LogPath(Name). KUBECONFIG in its environment gives it full access, unless spec.Env says otherwise.
func (c *Cluster) Run(spec Process) error {
	if err := c.StopProcess(spec.Name); err != nil {
		return err
	}
	process, err := start(spec, c.dir, c.state.Detached)
	if err != nil {
		return err
	}
	c.state.Processes = append(c.state.Processes, process)
	if err := c.state.save(c.dir); err != nil {
		return errors.Join(err, process.stop(stopLimit))
	}
	return nil
}

// LogPath names the log file of a program of the cluster.
func (c *Cluster) LogPath(program string) string { return logPath(c.dir, program) }

// StopProcess ends one program; that it does not run is no error.
func (c *Cluster) StopProcess(name string) error {
	i := slices.IndexFunc(c.state.Processes, func(p *running) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	if err := c.state.Processes[i].stop(stopLimit); err != nil {
		return err
	}
	c.state.Processes = slices.Delete(c.state.Processes, i, i+1)
	return c.state.save(c.dir)
}

// Stop ends what Start and Run started, the last one first, and removes the cluster's data; a detached cluster's logs stay.
func (c *Cluster) Stop() error {
	if c.held == nil {
		held, err := lock(c.dir)
		if err != nil {
			return err
		}
		c.held = held
	}
	defer func() { _ = c.held.Close(); c.held = nil }()
	if err := c.stopProcesses(); err != nil {
		return err
	}
	if c.temporary {
		if err := os.RemoveAll(c.dir); err != nil {
			return fmt.Errorf("removing the cluster's directory: %w", err)
		}
		return nil
	}
	return erase(c.dir)
}

// stopProcesses ends the programs, the last one first, and goes on past one that cannot be ended.
func (c *Cluster) stopProcesses() error {
	var errs []error
	for _, process := range slices.Backward(c.state.Processes) {
		if !process.alive() {
			continue
		}
		if err := process.stop(stopLimit); err != nil {
			errs = append(errs, err)
			continue
		}
		c.say("Stopped %s (process %d)", process.Name, process.PID)
	}
	return errors.Join(errs...)
}

// usable returns why a cluster that was found cannot be what the options ask for, or nil.
func (c *Cluster) usable(ctx context.Context, options Options) error {
	options, err := options.withDefaults()
	if err != nil {
		return err
	}
	if err := c.authenticate(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, options.StartTimeout)
	defer cancel()
	for _, name := range options.programs() {
		if !slices.ContainsFunc(c.state.Processes, func(p *running) bool { return p.Name == name && p.alive() }) {
			return fmt.Errorf("%s does not run", name)
		}
	}
	if options.Audit && !exists(auditPolicyPath(c.dir)) {
		return errors.New("it keeps no audit log")
	}
	client, err := clientFor(c.admin)
	if err != nil {
		return err
	}
	if err := c.await(ctx, "the API server", APIServer, serverReady(client)); err != nil {
		return err
	}
	return c.addNodes(ctx, client, options)
}

// say reports a step with the time since the start.
func (c *Cluster) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.progress, "%5.1fs  %s\n", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}
