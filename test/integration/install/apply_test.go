// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"

	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

const image = "registry.example:5000/memorybudget:test"

// TestMakeTargets installs and removes the operator the way a user of this repository does.
func TestMakeTargets(t *testing.T) {
	cluster := start(t, localcluster.Options{ControllerManager: true})
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	makeOK(t, cluster, "install", "memorybudgets.memorybudget.dev serverside-applied")
	makeOK(t, cluster, "uninstall", `customresourcedefinition.apiextensions.k8s.io "memorybudgets.memorybudget.dev" deleted`)
	makeOK(t, cluster, "deploy", "deployment.apps/memorybudget-controller-manager serverside-applied")

	deployment, err := client.AppsV1().Deployments(testrbac.Namespace).Get(t.Context(), "memorybudget-controller-manager", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := deployment.Spec.Template.Spec.Containers[0].Image; got != image {
		t.Errorf("deployed %s, want %s", got, image)
	}
	object := memoryBudget()
	object.SetNamespace(metav1.NamespaceDefault)
	if err := testrbac.Apply(t.Context(), cluster.RESTConfig(), []*unstructured.Unstructured{object}); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"uninstall", "undeploy"} {
		if out, err := runMake(t, cluster, target); err == nil || !strings.Contains(out, "bunoraa") {
			t.Errorf("make %s did not refuse to delete a MemoryBudget: %v\n%s", target, err, out)
		}
	}
	if out, err := runMake(t, cluster, "run"); err == nil || !strings.Contains(out, "memorybudget-system/memorybudget-controller-manager") {
		t.Errorf("make run did not refuse to run beside an operator: %v\n%s", err, out)
	}
	makeOK(t, cluster, "undeploy FORCE=1", `deployment.apps "memorybudget-controller-manager" deleted`)
	makeOK(t, cluster, "undeploy", "")
}

// TestInstaller applies the one file of `make build-installer` in both ways that kubectl has, and the kustomization.
func TestInstaller(t *testing.T) {
	cluster := start(t, localcluster.Options{})
	installer := filepath.Join(t.TempDir(), "dist", "install.yaml")
	makeOK(t, cluster, "build-installer INSTALLER="+installer, "")
	for _, args := range [][]string{nil, {"--server-side", "--force-conflicts"}} {
		args = append([]string{"apply", "--validate=strict", "--filename", installer}, args...)
		for range 2 {
			out, err := run(t.Context(), t.TempDir(), cluster.KubeconfigPath(), kubectl(t), args...)
			if err != nil || !strings.Contains(string(out), "deployment.apps/memorybudget-controller-manager") {
				t.Fatalf("%v\n%s", err, out)
			}
		}
	}
	// The kustomize that kubectl brings may be an older one.
	for _, dir := range []string{"config/default", "config/samples"} {
		out, err := run(t.Context(), t.TempDir(), cluster.KubeconfigPath(), kubectl(t), "apply", "--server-side", "--force-conflicts", "--kustomize", dir)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

// lookAtRecipes lets go test know what make reads: it repeats a test whose files have changed.
func lookAtRecipes(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"Makefile", "hack/make/*.mk", "hack/*.sh", "charts/memorybudget/Chart.yaml", "config/*/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(testrbac.Root(), pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %d files", pattern, err, len(paths))
		}
		for _, path := range paths {
			read(t, path)
		}
	}
}

// runMake runs targets and settings of make, separated by spaces, on a cluster.
func runMake(t *testing.T, cluster *localcluster.Cluster, targets string) (string, error) {
	t.Helper()
	lookAtRecipes(t)
	args := append(strings.Fields(targets), "KUBECTL="+kubectl(t), "IMG="+image)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, "make", args...)
	command.WaitDelay = time.Second
	command.Dir = testrbac.Root()
	command.Env = append(os.Environ(), "KUBECONFIG="+cluster.KubeconfigPath(), "MAKEFLAGS=", "MAKELEVEL=")
	out, err := command.CombinedOutput()
	return string(out), err
}

func makeOK(t *testing.T, cluster *localcluster.Cluster, targets, want string) {
	t.Helper()
	if out, err := runMake(t, cluster, targets); err != nil || !strings.Contains(out, want) {
		t.Fatalf("make %s: %v, want %q in:\n%s", targets, err, want, out)
	}
}
