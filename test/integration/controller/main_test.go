// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

var (
	// cluster is shared by all tests; each has a namespace of its own.
	cluster *localcluster.Cluster
	// admin may do everything.
	admin client.WithWatch
)

// parallelTests is how many tests go on at a time: they wait for the cluster most of the time, not for a processor.
const parallelTests = "10"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", parallelTests); err != nil {
		panic(err) // The flag is one of package testing.
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run runs the tests on a cluster that has what the operator ships with, and nothing else.
func run(m *testing.M) (code int, err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctrl.SetLogger(logger())
	cluster, err = localcluster.Start(ctx, localcluster.Options{
		ControllerManager: true, Scheduler: true, Nodes: 3, NodeCapacity: roomyNode(),
	})
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := cluster.Stop(); stopErr != nil && err == nil {
			err = stopErr
		}
	}()
	if err := testrbac.Install(ctx, cluster.RESTConfig()); err != nil {
		return 1, err
	}
	scheme := manager.Scheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return 1, err
	}
	if admin, err = client.NewWithWatch(jsonConfig(cluster.RESTConfig()), client.Options{Scheme: scheme}); err != nil {
		return 1, fmt.Errorf("making a client: %w", err)
	}
	code = m.Run()
	return code, errors.Join(ended(), panics())
}

// ended tells which of the cluster's programs ended before the tests, and with which words.
func ended() error {
	var errs []error
	for _, program := range cluster.Ended() {
		log, err := os.ReadFile(cluster.LogPath(program))
		errs = append(errs, fmt.Errorf("%s ended: ...%s", program, log[max(0, len(log)-2000):]), err)
	}
	return errors.Join(errs...)
}

// logger shows the operator's log with -v.
func logger() logr.Logger {
	if testing.Verbose() {
		return zap.New(zap.UseDevMode(true), zap.WriteTo(os.Stderr))
	}
	return logr.Discard()
}

// roomyNode never is what a pod waits for.
func roomyNode() corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("1000"),
		corev1.ResourceMemory:           resource.MustParse("4Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("4Ti"),
		corev1.ResourcePods:             resource.MustParse("1000"),
	}
}

// jsonConfig makes requests and answers readable for the tap.
func jsonConfig(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType = "application/json"
	config.QPS = -1
	return config
}

// panics fails the run if any reconciliation panicked: the manager recovers from that, which would hide it.
func panics() error {
	families, err := metrics.Registry.Gather()
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_panics_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			if n := metric.GetCounter().GetValue(); n > 0 {
				return fmt.Errorf("reconciling panicked %v times", n)
			}
		}
	}
	return nil
}
