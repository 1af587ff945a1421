// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/test/testrbac"
)

const (
	operatorNamespace = "memorybudget-system"
	release           = "memorybudget"
	// ownLabel is on every namespace that the proofs have made.
	ownLabel = "memorybudget.dev/e2e"
)

// restricted makes a namespace enforce the strictest Pod Security standard.
func restricted() map[string]string {
	return map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}
}

// installOperator installs the chart the way the README does, with this run's image.
func installOperator(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace, Labels: restricted()}}
	namespace.Labels[ownLabel] = ""
	if err := admin.Create(ctx, namespace); err != nil {
		return fmt.Errorf("making namespace %s: %w", operatorNamespace, err)
	}
	repository, tag, found := cutTag(settings.operatorImage)
	if !found {
		return fmt.Errorf("the operator's image %q has no tag", settings.operatorImage)
	}
	return helm(ctx, "install", release, "charts/memorybudget", "--wait", "--timeout", "3m",
		"--set", "image.repository="+repository, "--set-string", "image.tag="+tag, "--set", "log.level=debug")
}

// cutTag splits an image's name. A colon before a slash is a port's.
func cutTag(image string) (repository, tag string, found bool) {
	i := strings.LastIndex(image, ":")
	if i < 0 || strings.Contains(image[i:], "/") {
		return image, "", false
	}
	return image[:i], image[i+1:], true
}

// removeLeftovers removes what a run that was interrupted has left, and nobody else's operator.
func removeLeftovers(ctx context.Context) error {
	namespace := &corev1.Namespace{}
	err := admin.Get(ctx, client.ObjectKey{Name: operatorNamespace}, namespace)
	switch _, own := namespace.Labels[ownLabel]; {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("looking for namespace %s: %w", operatorNamespace, err)
	case !own:
		return fmt.Errorf("there is a namespace %s: the proofs install an operator of their own, and two may not act at once", operatorNamespace)
	}
	return cleanUp(ctx)
}

// cleanUp removes all that the proofs make: first what the operator has to let go of.
func cleanUp(ctx context.Context) error {
	return errors.Join(removeScenes(ctx), uninstallOperator(ctx))
}

// removeNamespace deletes a namespace and waits until it is gone.
func removeNamespace(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := admin.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting namespace %s: %w", name, err)
	}
	return until(ctx, "namespace "+name+" to be gone", func(ctx context.Context) error {
		return gone(admin.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{}))
	})
}

// uninstallOperator removes the release, the CRD and the namespace. The proofs have removed their MemoryBudgets.
func uninstallOperator(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := helm(ctx, "uninstall", release, "--ignore-not-found", "--wait", "--timeout", "2m"); err != nil {
		return err
	}
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(customResourceDefinition)
	crd.SetName("memorybudgets.memorybudget.dev")
	if err := client.IgnoreNotFound(admin.Delete(ctx, crd)); err != nil {
		return fmt.Errorf("deleting the CRD: %w", err)
	}
	return removeNamespace(ctx, operatorNamespace)
}

// helm runs helm with nothing of the user's own configuration.
func helm(ctx context.Context, args ...string) error {
	home, err := os.MkdirTemp("", "helm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	command := exec.CommandContext(ctx, filepath.Join(settings.tools, "helm"), append(args, "--namespace", operatorNamespace)...)
	command.WaitDelay = time.Second
	command.Dir = testrbac.Root()
	command.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + settings.kubeconfig}
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("helm %s: %w: %s", args[0], err, out)
	}
	return nil
}

// operatorPods are those that run the operator.
func operatorPods(ctx context.Context) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	err := admin.List(ctx, pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/component": "controller-manager"})
	if err != nil {
		return nil, fmt.Errorf("listing the operator's pods: %w", err)
	}
	return pods.Items, nil
}
