// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

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
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/internal/manager"
)

var (
	// settings are those of the run.
	settings config
	// restConfig, admin and clientset may do everything in the cluster.
	restConfig *rest.Config
	admin      client.WithWatch
	clientset  kubernetes.Interface
	// memory samples the cgroups of all pods for the whole run.
	memory *sampler
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// run runs the proofs with an operator in place, and takes away what it brought.
func run(m *testing.M) (code int, err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctrl.SetLogger(logr.Discard())
	if settings, err = readConfig(os.Getenv); err != nil {
		return 1, err
	}
	if err := connect(settings.kubeconfig); err != nil {
		return 1, err
	}
	if err := checkCluster(ctx); err != nil {
		return 1, err
	}
	if err := removeLeftovers(ctx); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cleanUp(context.WithoutCancel(ctx))) }()
	if err := installOperator(ctx); err != nil {
		return 1, errors.Join(err, keepOperatorEvidence(context.WithoutCancel(ctx)))
	}
	if memory, err = startSampler(ctx); err != nil {
		return 1, err
	}
	defer memory.stop()
	code = m.Run()
	return code, errors.Join(keepOperatorEvidence(context.WithoutCancel(ctx)), memory.failed())
}

// connect makes the clients. Nothing here waits for a client's own rate limit.
func connect(kubeconfig string) (err error) {
	if restConfig, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	restConfig.QPS = -1
	if admin, err = client.NewWithWatch(restConfig, client.Options{Scheme: manager.Scheme()}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	clientset, err = kubernetes.NewForConfig(restConfig)
	return err
}
