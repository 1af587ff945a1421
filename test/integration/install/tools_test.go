// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// patience bounds each program that a test runs.
const patience = 3 * time.Minute

// tool finds a program that `make tools` builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("MEMORYBUDGET_TOOLS_BIN")
	if dir == "" {
		dir = filepath.Join(testrbac.Root(), "build", "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run `make tools`", err)
	}
	return path
}

// kubectl finds the kubectl that `make control-plane` builds.
func kubectl(t *testing.T) string {
	t.Helper()
	dir, err := localcluster.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "kubectl")
}

// run runs a program with nothing of the user's own configuration, and returns what it prints. The error has its messages.
func run(ctx context.Context, home, kubeconfig, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.WaitDelay = time.Second
	command.Dir = testrbac.Root()
	command.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + kubeconfig}
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return out, fmt.Errorf("%s %v: %w: %s", filepath.Base(program), args, err, stderr.String())
	}
	return out, nil
}

// helm runs helm on a cluster.
func helm(t *testing.T, cluster *localcluster.Cluster, args ...string) ([]byte, error) {
	t.Helper()
	return run(t.Context(), t.TempDir(), cluster.KubeconfigPath(), tool(t, "helm"), args...)
}

// template renders the chart as a release named memorybudget in namespace memorybudget-system.
func template(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	args = append([]string{"template", "memorybudget", chart, "--namespace", testrbac.Namespace}, args...)
	return run(t.Context(), t.TempDir(), "", tool(t, "helm"), args...)
}

// chart is the directory of the chart, below the repository's.
const chart = "charts/memorybudget"
