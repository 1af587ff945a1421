// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/test/testrbac"
)

// needed is the memory that one proof's pods may take together with its database, brokers and load.
const needed = "4Gi"

// config says what a run uses. Each comes from an environment variable of `make test-e2e`.
type config struct {
	// kubeconfig is the cluster's; its user must be an administrator.
	kubeconfig string
	// operatorImage, shopImage and servicesImage are images that the cluster's nodes have or can pull.
	operatorImage, shopImage, servicesImage string
	// newShopImage is the shop with a newer Celery; empty where there is none.
	newShopImage string
	// tools has helm.
	tools string
	// evidence is where failures leave theirs, and results where the figures go.
	evidence, results string
}

func readConfig(getenv func(string) string) (config, error) {
	var missing []string
	required := func(name string) string {
		value := getenv(name)
		if value == "" {
			missing = append(missing, name)
		}
		return value
	}
	c := config{
		kubeconfig:    required("KUBECONFIG"),
		operatorImage: required("MEMORYBUDGET_E2E_OPERATOR_IMAGE"),
		shopImage:     required("MEMORYBUDGET_E2E_SHOP_IMAGE"),
		servicesImage: required("MEMORYBUDGET_E2E_SERVICES_IMAGE"),
		newShopImage:  getenv("MEMORYBUDGET_E2E_NEW_SHOP_IMAGE"),
		tools:         required("MEMORYBUDGET_TOOLS_BIN"),
		evidence:      filepath.Join(testrbac.Root(), "build", "e2e"),
	}
	if len(missing) > 0 {
		return config{}, fmt.Errorf("not set: %s; `make test-e2e` sets them", strings.Join(missing, ", "))
	}
	c.results = filepath.Join(c.evidence, "results")
	return c, errors.Join(os.RemoveAll(c.evidence), os.MkdirAll(c.results, 0o750))
}

// checkCluster says what the cluster lacks.
func checkCluster(ctx context.Context) error {
	nodes := &corev1.NodeList{}
	if err := admin.List(ctx, nodes); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	free := resource.Quantity{}
	schedulable := 0
	for i := range nodes.Items {
		if node := &nodes.Items[i]; !node.Spec.Unschedulable && len(node.Spec.Taints) == 0 {
			schedulable++
			free.Add(*node.Status.Allocatable.Memory())
		}
	}
	if schedulable < 2 {
		return fmt.Errorf("the cluster has %d nodes without taints, the proofs need 2: one of them is drained", schedulable)
	}
	if free.Cmp(resource.MustParse(needed)) < 0 {
		return fmt.Errorf("the nodes without taints have %s together, the proofs need %s", &free, needed)
	}
	return nil
}
