// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/config/crd"
	"github.com/memorybudget/memorybudget/test/localcluster"
)

// namespace is where the tests make objects. The API server makes it by itself.
const namespace = "default"

var resource = v1alpha1.SchemeGroupVersion.WithResource("memorybudgets")

// The API server that all tests share, with the CustomResourceDefinition installed.
var (
	config     *rest.Config
	kubeconfig string
	budgets    dynamic.ResourceInterface
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run starts the API server, runs the tests and stops it.
func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cluster, err := localcluster.Start(ctx, localcluster.Options{})
	if err != nil {
		return 1, fmt.Errorf("starting an API server: %w", err)
	}
	defer func() {
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
	}()
	config, kubeconfig = cluster.RESTConfig(), cluster.KubeconfigPath()
	if err := install(ctx); err != nil {
		return 1, fmt.Errorf("installing the CustomResourceDefinition: %w", err)
	}
	return m.Run(), nil
}

// install creates the CustomResourceDefinition and waits until objects can be made and the namespace is there.
func install(ctx context.Context) error {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	budgets = client.Resource(resource).Namespace(namespace)
	definitions, err := apiextensionsclient.NewForConfig(config)
	if err != nil {
		return err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(crd.MemoryBudgets, &definition); err != nil {
		return err
	}
	_, err = definitions.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, &definition,
		metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		return err
	}
	return wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, served)
}

// served reports whether the API server answers for MemoryBudgets.
func served(ctx context.Context) (bool, error) {
	err := create(ctx, example(nil))
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// create asks the API server, as kubectl does, to create an object, without keeping it.
func create(ctx context.Context, object *unstructured.Unstructured) error {
	_, err := budgets.Create(ctx, object, metav1.CreateOptions{
		DryRun:          []string{metav1.DryRunAll},
		FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}
