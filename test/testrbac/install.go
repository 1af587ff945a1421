// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package testrbac

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Where the operator lives, and as whom.
const (
	Namespace      = "memorybudget-system"
	ServiceAccount = "memorybudget-controller-manager"
	// Username is the name by which the API server knows the operator.
	Username = "system:serviceaccount:" + Namespace + ":" + ServiceAccount
)

const fieldManager = "testrbac"

// workloads are the kinds that only matter where the operator runs in a pod.
var workloads = []string{"Deployment", "Service", "PodDisruptionBudget"}

var crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Install applies the shipped CRD, namespace, service account, roles, bindings and policies with full access, and returns
// when the CRD is served and the policies are in force. It is idempotent. The operator itself is not deployed.
func Install(ctx context.Context, admin *rest.Config) error {
	objects, err := Objects()
	if err != nil {
		return err
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
		return slices.Contains(workloads, o.GetKind())
	})
	if err := Apply(ctx, admin, objects); err != nil {
		return err
	}
	return waitEnforced(ctx, admin)
}

// OperatorConfig gives the access of the operator's service account, by impersonation: nothing but what RBAC grants it,
// and the policies hold for it. admin needs full access.
func OperatorConfig(admin *rest.Config) *rest.Config {
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: Username,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + Namespace, "system:authenticated"},
	}
	return config
}

// Apply applies the objects by server-side apply, in order, and waits for the API of each CRD among them.
func Apply(ctx context.Context, admin *rest.Config, objects []*unstructured.Unstructured) error {
	client, err := dynamic.NewForConfig(admin)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	discoverer, err := discovery.NewDiscoveryClientForConfig(admin)
	if err != nil {
		return fmt.Errorf("making a discovery client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discoverer))
	for _, object := range objects {
		if err := apply(ctx, client, mapper, object); err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

func apply(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, object *unstructured.Unstructured) error {
	gvk := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
	if _, err := client.Resource(mapping.Resource).Namespace(object.GetNamespace()).Apply(ctx, object.GetName(), object, options); err != nil {
		return err
	}
	if mapping.Resource != crds {
		return nil
	}
	return until(ctx, func(ctx context.Context) error { return established(ctx, client, object.GetName()) })
}

// established returns nil when the API server serves the resource that a CRD defines.
func established(ctx context.Context, client dynamic.Interface, crd string) error {
	object, err := client.Resource(crds).Get(ctx, crd, metav1.GetOptions{})
	if err != nil {
		return err
	}
	conditions, _, err := unstructured.NestedSlice(object.Object, "status", "conditions")
	if err != nil {
		return err
	}
	for _, condition := range conditions {
		if c, ok := condition.(map[string]any); ok && c["type"] == "Established" && c["status"] == "True" {
			return nil
		}
	}
	return errors.New("not established yet")
}
