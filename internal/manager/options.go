// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/memorybudget/memorybudget/internal/signals"
)

// Options are the operator's flags, and what tests set besides.
type Options struct {
	// MetricsBindAddress is where metrics are served over HTTPS; "0" turns them off.
	MetricsBindAddress string
	// HealthProbeBindAddress is where /healthz and /readyz are served.
	HealthProbeBindAddress string
	// LeaderElect lets one of several replicas act.
	LeaderElect bool
	// LeaderElectionNamespace is the namespace of the lease; empty: that of the pod.
	LeaderElectionNamespace string
	// WatchNamespaces are the namespaces to act in; none: all.
	WatchNamespaces []string
	// MaxConcurrentReconciles is how many resources are worked on at a time.
	MaxConcurrentReconciles int
	// KubeAPIQPS and KubeAPIBurst bound requests to the API server; 0 leaves that to its own fairness.
	KubeAPIQPS   float64
	KubeAPIBurst int
	// RecordSnapshots is the directory that decisions are recorded in; empty: they are not. RecordBytes is how much all files
	// there may take.
	RecordSnapshots string
	RecordBytes     int64
	// Log are the logger's options.
	Log zap.Options
	// BrokerGuard and the intervals are no flags: tests have brokers on their own machine, and less patience.
	BrokerGuard                   signals.Guard
	BrokerInterval, UsageInterval time.Duration
	// Version of the operator; no flag either.
	Version string
}

const (
	defaultRecordBytes = 128 << 20
	leastRecordBytes   = 8 << 20
)

// Parse reads the flags.
func Parse(args []string) (Options, error) {
	var o Options
	var namespaces string
	fs := flag.NewFlagSet("memorybudget", flag.ContinueOnError)
	fs.StringVar(&o.MetricsBindAddress, "metrics-bind-address", ":8443",
		"Address that metrics are served on, over HTTPS with authentication and authorization. 0 turns them off.")
	fs.StringVar(&o.HealthProbeBindAddress, "health-probe-bind-address", ":8081",
		"Address that /healthz and /readyz are served on.")
	fs.BoolVar(&o.LeaderElect, "leader-elect", true, "Let only one of several replicas act.")
	fs.StringVar(&o.LeaderElectionNamespace, "leader-election-namespace", "",
		"Namespace of the leader election's lease. Defaults to the namespace that the operator runs in.")
	fs.StringVar(&namespaces, "watch-namespaces", "", "Namespaces to act in, separated by commas. All if empty.")
	fs.IntVar(&o.MaxConcurrentReconciles, "max-concurrent-reconciles", 4, "How many resources are worked on at a time.")
	fs.Float64Var(&o.KubeAPIQPS, "kube-api-qps", 0,
		"Requests per second to the API server. 0 leaves the limit to the API server's own priority and fairness.")
	fs.IntVar(&o.KubeAPIBurst, "kube-api-burst", 0, "Requests to the API server in a burst, with --kube-api-qps.")
	fs.StringVar(&o.RecordSnapshots, "record-snapshots", "",
		"Directory to record each decision in, with what it was made from. Decisions are not recorded if empty.")
	o.RecordBytes = defaultRecordBytes
	fs.Func("record-snapshots-size", "How much all recordings may take, at least 8Mi. The oldest are deleted. (default 128Mi)",
		func(text string) error { return parseSize(text, &o.RecordBytes) })
	o.Log.BindFlags(fs)
	config.RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		return Options{}, err
	}
	if fs.NArg() > 0 {
		return Options{}, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.MaxConcurrentReconciles < 1 {
		return Options{}, fmt.Errorf("--max-concurrent-reconciles must be at least 1, not %d", o.MaxConcurrentReconciles)
	}
	for namespace := range strings.SplitSeq(namespaces, ",") {
		if namespace = strings.TrimSpace(namespace); namespace != "" {
			o.WatchNamespaces = append(o.WatchNamespaces, namespace)
		}
	}
	return o, nil
}

// parseSize reads the size of recordings.
func parseSize(text string, bytes *int64) error {
	size, err := resource.ParseQuantity(text)
	if err != nil {
		return fmt.Errorf("not a quantity: %w", err)
	}
	if *bytes = size.Value(); *bytes < leastRecordBytes {
		return errors.New("less than 8Mi")
	}
	return nil
}
