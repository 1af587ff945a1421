// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package uninstall

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Command is the operator's argument that runs Run in place of the operator.
const Command = "uninstall-check"

// ExitStranded is the exit code for ErrStranded, by which the chart's Job tells a refusal from a check that failed: that
// it repeats. Other errors exit with 1, a panic with 2.
const ExitStranded = 3

// pageSize bounds each answer of the API server.
const pageSize = 500

// ErrStranded says that Deployments were found whose new pods would never start.
var ErrStranded = errors.New("the operator is still needed")

// Run parses the arguments after Command, looks, and writes to out what it found. The error is ErrStranded where
// uninstalling would strand pods.
func Run(ctx context.Context, config *rest.Config, args []string, out io.Writer) error {
	var namespaces string
	fs := flag.NewFlagSet(Command, flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&namespaces, "watch-namespaces", "", "Namespaces to look in, separated by commas. All if empty.")
	if err := fs.Parse(args); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	gated, err := Gated(ctx, client, strings.Split(namespaces, ","))
	if err != nil {
		return err
	}
	if len(gated) == 0 {
		_, err := fmt.Fprintln(out, "No Deployment needs the operator to start its pods.")
		return err
	}
	_, err = fmt.Fprintf(out, "New pods of these Deployments start only when the operator lets them:\n  %s\n"+
		"Delete their MemoryBudgets, or set their tiers to `enforcement: Paced` and wait until they are Ready.\n",
		strings.Join(gated, "\n  "))
	return errors.Join(ErrStranded, err)
}

// Gated lists the Deployments of ours, as namespace/name, whose pod template has our scheduling gate. The empty namespace
// stands for all.
func Gated(ctx context.Context, client kubernetes.Interface, namespaces []string) ([]string, error) {
	var gated []string
	for _, namespace := range namespaces {
		options := metav1.ListOptions{LabelSelector: v1alpha1.NameLabel, Limit: pageSize}
		for {
			page, err := client.AppsV1().Deployments(strings.TrimSpace(namespace)).List(ctx, options)
			if err != nil {
				return nil, fmt.Errorf("listing Deployments: %w", err)
			}
			for _, deployment := range page.Items {
				if waits(&deployment) {
					gated = append(gated, deployment.Namespace+"/"+deployment.Name)
				}
			}
			if options.Continue = page.Continue; options.Continue == "" {
				break
			}
		}
	}
	slices.Sort(gated)
	return slices.Compact(gated), nil
}

// waits reports whether new pods of a Deployment wait for the operator.
func waits(deployment *appsv1.Deployment) bool {
	return slices.Contains(deployment.Spec.Template.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: v1alpha1.MemoryGate})
}
