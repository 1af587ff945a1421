// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubectl/pkg/util/templates"
	"k8s.io/utils/clock"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// tableFormat is the output for people; the others are those of kubectl get.
const tableFormat = "table"

type statusOptions struct {
	genericiooptions.IOStreams
	flags         *genericclioptions.ConfigFlags
	output        *genericclioptions.PrintFlags
	clock         clock.PassiveClock
	allNamespaces bool
}

// NewStatusCommand is the command status.
func NewStatusCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := statusOptions{
		IOStreams: streams, flags: flags, clock: clock.RealClock{},
		output: genericclioptions.NewPrintFlags("").WithDefaultOutput(tableFormat),
	}
	cmd := &cobra.Command{
		Use:   "status [NAME...]",
		Short: "Show what each tier wanted, what it got, and why",
		Long: templates.LongDesc(`
			Show the state of MemoryBudgets: conditions, how the budget is used, what each tier wanted and
			was granted and why, what its pods reported, and which pods wait for memory.

			Without a name all of the namespace are shown. With -o the resources themselves are printed, as
			with kubectl get.`),
		Example: templates.Examples(`
			# Why does a tier not get more pods?
			kubectl memorybudget status shop

			# Everything, everywhere
			kubectl memorybudget status -A

			# The resource itself
			kubectl memorybudget status shop -o yaml`),
		ValidArgsFunction: completeNames(flags),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, err := bareNames(cmd, args)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), names)
		},
	}
	o.output.AddFlags(cmd)
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions(append([]string{tableFormat}, o.output.AllowedFormats()...), cobra.ShellCompDirectiveNoFileComp)))
	cmd.Flag("output").Usage = "Output format. Tables for people by default, else as with kubectl get -o."
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "Show the MemoryBudgets of all namespaces.")
	return cmd
}

func (o *statusOptions) run(ctx context.Context, names []string) error {
	if o.allNamespaces && len(names) > 0 {
		return errors.New("a resource cannot be retrieved by name across all namespaces")
	}
	found, err := find(o.flags, names, o.allNamespaces)
	if err != nil {
		return err
	}
	infos, err := found.Infos()
	var errs []error
	if err != nil {
		errs = append(errs, err)
	}
	switch {
	case o.asTable():
		err = o.tables(ctx, infos)
	case len(infos) == 0 && len(errs) > 0:
		err = nil // A script is not to read an empty list where the error is all there is.
	default:
		err = o.objects(infos, len(names) == 1)
	}
	if err != nil {
		errs = append(errs, err)
	}
	if len(infos) == 0 && len(errs) == 0 && o.asTable() {
		o.tell(o.nothing())
	}
	return utilerrors.Reduce(utilerrors.Flatten(utilerrors.NewAggregate(errs)))
}

// asTable tells whether no other output is asked for; a template asks for one without -o.
func (o *statusOptions) asTable() bool {
	return *o.output.OutputFormat == tableFormat && *o.output.TemplatePrinterFlags.TemplateArgument == ""
}

func (o *statusOptions) nothing() string {
	if o.allNamespaces {
		return "No resources found"
	}
	namespace, _, _ := o.flags.ToRawKubeConfigLoader().Namespace() // It was read before.
	return fmt.Sprintf("No resources found in %s namespace.", namespace)
}

func (o *statusOptions) tell(message string) {
	_, _ = fmt.Fprintln(o.ErrOut, message) // Where standard error is closed nobody can be told.
}

// objects prints the resources as kubectl get does: one by itself, several as a List.
func (o *statusOptions) objects(infos []*resource.Info, single bool) error {
	printer, err := o.output.ToPrinter()
	if unknown := (genericclioptions.NoCompatiblePrinterError{}); errors.As(err, &unknown) {
		unknown.AllowedFormats = append(unknown.AllowedFormats, tableFormat)
		return unknown
	}
	if err != nil {
		return err
	}
	if single && len(infos) == 1 {
		return printer.PrintObj(infos[0].Object, o.Out)
	}
	list := &unstructured.UnstructuredList{Object: map[string]any{
		"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": ""},
	}}
	for _, info := range infos {
		list.Items = append(list.Items, *info.Object.(*unstructured.Unstructured))
	}
	return printer.PrintObj(list, o.Out)
}

func (o *statusOptions) tables(ctx context.Context, infos []*resource.Info) error {
	for i, info := range infos {
		if i > 0 {
			if _, err := fmt.Fprintln(o.Out); err != nil {
				return fmt.Errorf("printing the status: %w", err)
			}
		}
		mb, err := typed(info.Object)
		if err != nil {
			return err
		}
		pods, err := o.pods(ctx, mb)
		if err != nil {
			return err
		}
		if err := (view{mb: mb, pods: pods, now: o.clock.Now()}).write(o.Out); err != nil {
			return err
		}
	}
	return nil
}

// pods are those of a MemoryBudget; none where they may not be seen, which is said.
func (o *statusOptions) pods(ctx context.Context, mb *v1alpha1.MemoryBudget) ([]corev1.Pod, error) {
	config, err := o.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	list, err := client.CoreV1().Pods(mb.Namespace).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.NameLabel + "=" + mb.Name})
	if apierrors.IsForbidden(err) {
		o.tell(fmt.Sprintf("Warning: pods that wait are not shown: %v", err))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}
