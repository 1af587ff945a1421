// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"flag"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/live"
	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/plan"
	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/replay"
)

// name is how people call the plugin.
const name = "kubectl memorybudget"

// Run executes one command line and returns its exit status. The version is that of the plugin, empty
// where the build did not say.
func Run(args []string, streams genericiooptions.IOStreams, version string) int {
	root := newRoot(streams, version)
	root.SetArgs(append([]string{}, args...)) // With nil, cobra would take those of the process.
	return report(root.Execute(), streams)
}

// report prints an error as kubectl does.
func report(err error, streams genericiooptions.IOStreams) int {
	status := 0
	cmdutil.BehaviorOnFatal(func(message string, code int) {
		status = code
		if message != "" {
			_, _ = fmt.Fprintln(streams.ErrOut, strings.TrimSuffix(message, "\n")) // There is nobody left to tell.
		}
	})
	defer cmdutil.DefaultBehaviorOnFatal()
	cmdutil.CheckErr(err)
	return status
}

func newRoot(streams genericiooptions.IOStreams, version string) *cobra.Command {
	root := &cobra.Command{
		Use:         "kubectl-memorybudget",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Short:       "Plan, explain and pause MemoryBudgets",
		Long: templates.LongDesc(`
			One MemoryBudget keeps several Deployments under one memory ceiling.

			Plan shows how a budget splits, without a cluster. Status explains what each tier of a running
			one got, and why. Pause and resume stop and restart the operator's work on it. Replay makes recorded
			decisions again.`),
		Example: templates.Examples(`
			# How does the budget split?
			kubectl memorybudget plan -f budget.yaml

			# What did each tier get, and why?
			kubectl memorybudget status shop`),
		Args:          unknownCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return cmdutil.UsageErrorf(cmd, "%s", err) })
	flags := clusterFlags(root, streams)
	root.AddCommand(
		plan.NewCommand(flags, streams), live.NewStatusCommand(flags, streams), live.NewExplainCommand(flags, streams),
		live.NewPauseCommand(flags, streams), live.NewResumeCommand(flags, streams),
		replay.NewCommand(flags, streams, orModule(version)), newVersionCommand(streams, version),
	)
	return root
}

func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cmdutil.UsageErrorf(cmd, "unknown command %q for %q", args[0], name)
	}
	return nil
}

// clusterFlags are kubectl's own: which cluster, as whom, which namespace.
func clusterFlags(root *cobra.Command, streams genericiooptions.IOStreams) *genericclioptions.ConfigFlags {
	flags := genericclioptions.NewConfigFlags(true).WithWrapConfigFn(func(config *rest.Config) *rest.Config {
		config.WarningHandler = rest.NewWarningWriter(streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
		config.UserAgent = rest.DefaultKubernetesUserAgent()
		return config
	})
	flags.AddFlags(root.PersistentFlags())
	logs := flag.NewFlagSet("", flag.ContinueOnError)
	klog.InitFlags(logs)
	root.PersistentFlags().AddGoFlag(logs.Lookup("v"))
	cobra.CheckErr(root.RegisterFlagCompletionFunc("context", completeContexts(flags)))
	return flags
}

// completeContexts offers the contexts of the kubeconfig.
func completeContexts(flags *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
		config, err := flags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []cobra.Completion
		for context := range config.Contexts {
			if strings.HasPrefix(context, prefix) {
				names = append(names, context)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
