// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// checkInterval is how often a condition is looked at.
	checkInterval = 100 * time.Millisecond
	// checkTimeout bounds one look.
	checkTimeout = 5 * time.Second
)

// errEnded marks a wait that failed because a program ended; another try may then succeed.
var errEnded = errors.New("ended")

// await looks at a condition until it holds, a program of the cluster ends, or ctx does. The error says what was
// waited for, what was seen last, and how the log of the program concerned ends.
func (c *Cluster) await(ctx context.Context, what, program string, check func(context.Context) error) error {
	began := time.Now()
	var seen error
	err := wait.PollUntilContextCancel(ctx, checkInterval, true, func(ctx context.Context) (bool, error) {
		if ended := c.firstEnded(); ended != "" {
			program = ended
			return false, fmt.Errorf("%s %w", ended, errEnded)
		}
		attempt, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		err := check(attempt)
		if ctx.Err() == nil || seen == nil {
			seen = err // Once the time is over, a look says no more than that.
		}
		return err == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("interrupted while waiting for %s: %w", what, err)
	}
	return fmt.Errorf("waiting for %s, after %s: %w; %s",
		what, time.Since(began).Round(time.Second), errors.Join(err, seen), tail(c.dir, program))
}

// firstEnded names a program that should run and does not, or is empty.
func (c *Cluster) firstEnded() string {
	for _, process := range c.state.Processes {
		if !process.alive() {
			return process.Name
		}
	}
	return ""
}

// serverReady asks the API server whether it is ready for requests.
func serverReady(client kubernetes.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		var code int
		body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&code).Raw()
		if err != nil {
			return fmt.Errorf("asking whether the API server is ready: %w", err)
		}
		if code != http.StatusOK {
			return fmt.Errorf("the API server is not ready: %s", body)
		}
		return nil
	}
}

// podsAdmitted holds when pods can be created in the default namespace.
func podsAdmitted(client kubernetes.Interface) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return fmt.Errorf("looking for the default service account: %w", err)
		}
		return nil
	}
}

// nodesReady holds when the nodes are Ready and pods may be scheduled to them.
func nodesReady(client kubernetes.Interface, want int) func(context.Context) error {
	return func(ctx context.Context) error {
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("listing nodes: %w", err)
		}
		ready := 0
		for i := range nodes.Items {
			if schedulable(&nodes.Items[i]) {
				ready++
			}
		}
		if ready < want {
			return fmt.Errorf("%d of %d nodes are ready", ready, want)
		}
		return nil
	}
}

// schedulable reports whether the node is Ready and untainted.
func schedulable(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue && len(node.Spec.Taints) == 0
		}
	}
	return false
}

// clientFor makes a client whose requests end.
func clientFor(config *rest.Config) (kubernetes.Interface, error) {
	config = rest.CopyConfig(config)
	config.Timeout = checkTimeout
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return client, nil
}
