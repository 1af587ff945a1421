// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command scale measures the operator, as a process of its own, on a local control plane that it starts and stops: how long
// many resources take, how long it takes from a task to the write that follows, and what bad brokers do to the others.
// Its figures depend on the machine and on what else that does; the ratios within one run are what counts.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// settings are the flags.
type settings struct {
	program                     string
	resources, brokers, workers int
	steps                       int
	interval, idle, period      time.Duration
	controllers                 bool
	memoryLimit, profiles       string
	out                         io.Writer
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctrl.SetLogger(logr.Discard())
	err := run(ctx, os.Args[1:], os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s := settings{out: out}
	fs := flag.NewFlagSet("scale", flag.ContinueOnError)
	fs.StringVar(&s.program, "operator", "build/bin/scale-operator", "The program of test/scale/operator.")
	fs.IntVar(&s.resources, "resources", 1000, "How many MemoryBudgets of three tiers.")
	fs.IntVar(&s.brokers, "brokers", 20, "How many Redis servers they share.")
	fs.IntVar(&s.workers, "workers", 4, "How many resources are worked on at a time, by the operator and by the bare client.")
	fs.DurationVar(&s.idle, "idle", time.Minute, "How long the settled operator is watched.")
	fs.IntVar(&s.steps, "steps", 60, "How many steps from a task to a write.")
	fs.DurationVar(&s.interval, "interval", 0, "How often brokers are read, by default as shipped.")
	fs.DurationVar(&s.period, "period", 5*time.Second, "How long each kind of broker is watched at a time.")
	fs.BoolVar(&s.controllers, "controllers", true, "Run kube-controller-manager, which makes ReplicaSets and pods of the Deployments.")
	fs.StringVar(&s.memoryLimit, "gomemlimit", "64MiB", "GOMEMLIMIT of the operator, by default as shipped.")
	fs.StringVar(&s.profiles, "profiles", "", "A directory for profiles of the operator, none by default.")
	if err := fs.Parse(args); err != nil {
		return err
	}
	parts := map[string]func(context.Context, *settings) error{"settle": settle, "latency": latency, "brokers": badBrokers}
	part, found := parts[fs.Arg(0)]
	if !found || fs.NArg() != 1 {
		return fmt.Errorf("one of settle, latency and brokers must be named, not %q", fs.Args())
	}
	return part(ctx, &s)
}

func (s *settings) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}
