// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/dynamic"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

const resourceName = "memorybudgets"

// typeNames are what may stand before the slash in TYPE/NAME.
var typeNames = []string{
	"mb", "memorybudget", "memorybudgets", "memorybudget.memorybudget.dev", "memorybudgets.memorybudget.dev",
}

// bareNames takes the type off names that have one, as `kubectl get -o name` prints them.
func bareNames(cmd *cobra.Command, args []string) ([]string, error) {
	names := make([]string, 0, len(args))
	for _, arg := range args {
		kind, name, found := strings.Cut(arg, "/")
		switch {
		case !found:
			name = arg
		case !slices.Contains(typeNames, kind):
			return nil, cmdutil.UsageErrorf(cmd, "%q is not a MemoryBudget: name one as in shop or memorybudget/shop", arg)
		}
		if name == "" {
			return nil, cmdutil.UsageErrorf(cmd, "the name of a MemoryBudget must not be empty")
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// find asks for MemoryBudgets by name, or for all where there is no name. It goes on past an error.
func find(flags *genericclioptions.ConfigFlags, names []string, allNamespaces bool) (*resource.Result, error) {
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, err
	}
	builder := resource.NewBuilder(flags).Unstructured().ContinueOnError().
		NamespaceParam(namespace).DefaultNamespace().AllNamespaces(allNamespaces).Flatten()
	if len(names) == 0 {
		builder.ResourceTypes(resourceType()).SelectAllParam(true)
	} else {
		builder.ResourceNames(resourceType(), names...)
	}
	return builder.Do(), nil
}

// resourceType is RESOURCE.VERSION.GROUP, so that no other version is taken for ours.
func resourceType() string {
	return resourceName + "." + v1alpha1.SchemeGroupVersion.Version + "." + v1alpha1.SchemeGroupVersion.Group
}

// typed reads what the API server sent.
func typed(object runtime.Object) (*v1alpha1.MemoryBudget, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("reading a MemoryBudget: %w", err)
	}
	mb := &v1alpha1.MemoryBudget{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, mb); err != nil {
		return nil, fmt.Errorf("reading a MemoryBudget: %w", err)
	}
	return mb, nil
}

// completeNames offers the names of MemoryBudgets that are not on the command line yet.
func completeNames(flags *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		config, err := flags.ToRESTConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		list, err := client.Resource(v1alpha1.SchemeGroupVersion.WithResource(resourceName)).Namespace(namespace).
			List(cmd.Context(), metav1.ListOptions{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []cobra.Completion
		for i := range list.Items {
			name := list.Items[i].GetName()
			if strings.HasPrefix(name, prefix) && !slices.Contains(args, name) {
				names = append(names, name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
