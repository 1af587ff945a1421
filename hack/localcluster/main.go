// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command localcluster starts and stops a Kubernetes control plane with simulated nodes that outlives the command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/memorybudget/memorybudget/test/localcluster"
)

const usage = `Usage: localcluster COMMAND [FLAGS]

  up       start a control plane with simulated nodes, or find the one that runs already
  down     stop everything that up and run started
  status   show what runs; exit status 1 unless all of it does
  env      print shell commands that point kubectl to it: eval "$(localcluster env)"
  run      start a further program that down stops too: localcluster run --name NAME -- PROGRAM ARGUMENTS...

Flags:
`

// settings are the command line's.
type settings struct {
	dir, bin, name string
	nodes          int
	audit          bool
	env, args      []string
}

// command does one thing and returns what to print after it; steps on the way go to progress.
type command func(ctx context.Context, s settings, progress io.Writer) (string, error)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	text, err := execute(ctx, os.Args[1:], os.Stdout)
	stop()
	fmt.Print(text)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// execute runs the command that the arguments name.
func execute(ctx context.Context, args []string, progress io.Writer) (string, error) {
	flags, s := newFlags()
	if len(args) == 0 {
		flags.Usage()
		return "", flag.ErrHelp
	}
	if err := flags.Parse(args[1:]); err != nil {
		return "", err
	}
	s.args = flags.Args()
	commands := map[string]command{"up": up, "down": down, "status": status, "env": environment, "run": run}
	do, ok := commands[args[0]]
	if !ok {
		return "", fmt.Errorf("unknown command %q: want one of %s", args[0], strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	}
	return do(ctx, *s, progress)
}

// newFlags declares the flags, which all commands share.
func newFlags() (*flag.FlagSet, *settings) {
	s := &settings{}
	flags := flag.NewFlagSet("localcluster", flag.ContinueOnError)
	flags.StringVar(&s.dir, "dir", "build/demo", "`directory` with the cluster's keys, data and logs")
	flags.StringVar(&s.bin, "bin", "",
		"`directory` with the binaries (default: $"+localcluster.BinariesEnv+", $KUBEBUILDER_ASSETS or build/controlplane/bin)")
	flags.IntVar(&s.nodes, "nodes", 3, "up: `number` of simulated nodes")
	flags.BoolVar(&s.audit, "audit", false, "up: record every request in logs/audit.log")
	flags.StringVar(&s.name, "name", "", "run: the program's `name` in the cluster and of its log")
	flags.Func("env", "run: a further environment variable, as `NAME=VALUE`; may be repeated", func(value string) error {
		s.env = append(s.env, value)
		return nil
	})
	flags.Usage = func() {
		_, _ = io.WriteString(flags.Output(), usage)
		flags.PrintDefaults()
	}
	return flags, s
}

func up(ctx context.Context, s settings, progress io.Writer) (string, error) {
	cluster, err := localcluster.Ensure(ctx, localcluster.Options{
		Dir: s.dir, Bin: s.bin, Nodes: s.nodes, Audit: s.audit,
		ControllerManager: true, Scheduler: true, Progress: progress,
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Kubernetes is ready at %s\n  kubeconfig: %s\n  logs:       %s\n",
		cluster.Server(), cluster.KubeconfigPath(), filepath.Dir(cluster.LogPath(localcluster.APIServer))), nil
}

func down(_ context.Context, s settings, progress io.Writer) (string, error) {
	err := localcluster.Stop(s.dir, progress)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("No cluster in %s: nothing to stop\n", s.dir), nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Nothing of the cluster runs any more; its data are gone, its logs stay in %s\n", filepath.Join(s.dir, "logs")), nil
}

func status(_ context.Context, s settings, _ io.Writer) (string, error) {
	cluster, err := localcluster.Load(s.dir)
	if err != nil {
		return "", err
	}
	ended, processes := cluster.Ended(), cluster.Processes()
	var text strings.Builder
	fmt.Fprintf(&text, "%-26s%-10s%s\n", "PROGRAM", "PROCESS", "STATE")
	for _, name := range slices.Sorted(maps.Keys(processes)) {
		state := "Running"
		if slices.Contains(ended, name) {
			state = "Ended"
		}
		fmt.Fprintf(&text, "%-26s%-10d%s\n", name, processes[name], state)
	}
	fmt.Fprintf(&text, "API server: %s\n", cluster.Server())
	if len(ended) > 0 {
		return text.String(), fmt.Errorf("%s ended; see %s", strings.Join(ended, ", "), cluster.LogPath(ended[0]))
	}
	return text.String(), nil
}

func environment(_ context.Context, s settings, _ io.Writer) (string, error) {
	cluster, err := localcluster.Load(s.dir)
	if err != nil {
		return "", err
	}
	bin := s.bin
	if bin == "" {
		if bin, err = localcluster.FindBinaries(); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("export KUBECONFIG=%s\nexport PATH=%s:\"$PATH\"\n", quote(cluster.KubeconfigPath()), quote(bin)), nil
}

func run(_ context.Context, s settings, _ io.Writer) (string, error) {
	if s.name == "" || len(s.args) == 0 {
		return "", errors.New("run needs --name NAME -- PROGRAM ARGUMENTS")
	}
	path, err := exec.LookPath(s.args[0])
	if err != nil {
		return "", fmt.Errorf("finding the program: %w", err)
	}
	// The program runs in the cluster's directory, not here.
	if path, err = filepath.Abs(path); err != nil {
		return "", fmt.Errorf("finding the program: %w", err)
	}
	cluster, err := localcluster.Load(s.dir)
	if err != nil {
		return "", err
	}
	if err := cluster.Run(localcluster.Process{Name: s.name, Path: path, Args: s.args[1:], Env: s.env}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Started %s (process %d), log in %s\n", s.name, cluster.Processes()[s.name], cluster.LogPath(s.name)), nil
}

// quote makes a word that a POSIX shell takes as it is.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
