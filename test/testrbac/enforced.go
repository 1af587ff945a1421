// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package testrbac

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// MemoryBudgets is the resource of MemoryBudget.
var MemoryBudgets = schema.GroupVersionResource{Group: "memorybudget.dev", Version: "v1alpha1", Resource: "memorybudgets"}

// probe is a user, and the name of its role, that may write MemoryBudgets and nothing else while waitEnforced looks.
const probe = "memorybudget-testrbac-probe"

// patience bounds each wait.
const patience = time.Minute

// until calls check until it returns nil; the error is the last one of check.
func until(ctx context.Context, check func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

// waitEnforced returns when both policies refuse what they are there to refuse: the API server takes a policy into
// account only some time after it was written. Nothing is changed: the requests are dry runs.
func waitEnforced(ctx context.Context, admin *rest.Config) error {
	if err := until(ctx, func(ctx context.Context) error { return refused(bindPod(ctx, admin), "memorybudget-operator-pods") }); err != nil {
		return fmt.Errorf("waiting for the policy on the operator's pods: %w", err)
	}
	client, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := grantProbe(ctx, client); err != nil {
		return err
	}
	err = until(ctx, func(ctx context.Context) error { return refused(writeMemoryBudget(ctx, admin), "memorybudget-authors") })
	if err != nil {
		err = fmt.Errorf("waiting for the policy on authors: %w", err)
	}
	return errors.Join(err,
		client.RbacV1().ClusterRoleBindings().Delete(ctx, probe, metav1.DeleteOptions{}),
		client.RbacV1().ClusterRoles().Delete(ctx, probe, metav1.DeleteOptions{}))
}

// refused returns nil for an error that comes from the policy.
func refused(err error, policy string) error {
	if err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+policy+"'") {
		return nil
	}
	return fmt.Errorf("not refused by %s: %w", policy, err)
}

// bindPod binds a pod that does not exist, as the operator with all permissions.
func bindPod(ctx context.Context, admin *rest.Config) error {
	client, err := kubernetes.NewForConfig(impersonate(admin, Username, "system:masters"))
	if err != nil {
		return err
	}
	binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: probe}, Target: corev1.ObjectReference{Kind: "Node", Name: probe}}
	options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	return client.CoreV1().Pods(metav1.NamespaceDefault).Bind(ctx, binding, options)
}

// grantProbe lets the probe create MemoryBudgets.
func grantProbe(ctx context.Context, client kubernetes.Interface) error {
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: probe}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{MemoryBudgets.Group}, Resources: []string{MemoryBudgets.Resource}, Verbs: []string{"create"},
	}}}
	if _, err := client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating a role: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: probe},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: probe},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: probe}},
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating a role binding: %w", err)
	}
	return nil
}

// writeMemoryBudget creates a MemoryBudget as the probe.
func writeMemoryBudget(ctx context.Context, admin *rest.Config) error {
	client, err := dynamic.NewForConfig(impersonate(admin, probe))
	if err != nil {
		return err
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": MemoryBudgets.GroupVersion().String(),
		"kind":       "MemoryBudget",
		"metadata":   map[string]any{"name": "probe"},
		"spec": map[string]any{
			"memory":      "64Mi",
			"application": map[string]any{"image": "probe"},
			"tiers": []any{map[string]any{
				"name": "t", "role": "Worker", "memory": map[string]any{"perPod": "16Mi"}, "process": map[string]any{},
			}},
		},
	}}
	options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	_, err = client.Resource(MemoryBudgets).Namespace(metav1.NamespaceDefault).Create(ctx, object, options)
	return err
}

func impersonate(admin *rest.Config, user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}
