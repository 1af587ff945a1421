// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command operator is the operator as it ships, but for three things: it connects to brokers on its own machine, it can be
// told how often to read them, and it serves its metrics and profiles on a loopback address without authentication.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/memorybudget/memorybudget/internal/manager"
)

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "operator:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("operator", flag.ContinueOnError)
	interval := fs.Duration("interval", 0, "How often brokers are read, by default as shipped.")
	listen := fs.String("listen", "127.0.0.1:0", "Where metrics and profiles are served. What follows -- are flags of the operator.")
	if err := fs.Parse(args); err != nil {
		return err
	}
	options, err := manager.Parse(fs.Args())
	if err != nil {
		return err
	}
	options.BrokerGuard = func(context.Context, netip.Addr) bool { return true }
	options.BrokerInterval = *interval
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&options.Log)))
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding a cluster: %w", err)
	}
	config.UserAgent = "memorybudget/scale"
	mgr, err := manager.New(config, options)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: *listen, Handler: insights(), ReadHeaderTimeout: time.Second}
	go func() {
		if err := server.ListenAndServe(); err != nil {
			ctrl.Log.Error(err, "Serving metrics")
		}
	}()
	return mgr.Start(ctx)
}

func insights() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	return mux
}
