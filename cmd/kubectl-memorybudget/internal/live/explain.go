// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// NewExplainCommand is the command explain.
func NewExplainCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "explain NAME [TIER]",
		Short: "Tell in sentences how a tier came to its replicas",
		Long: templates.LongDesc(`
			Tell in sentences how the tiers of a MemoryBudget came to their replicas: what was measured, the
			formula with its numbers, the limits that applied, and what would change the outcome.

			It is told from the status of the resource, so it is what the operator last decided.`),
		Example: templates.Examples(`
			# Why are there no more workers?
			kubectl memorybudget explain shop worker

			# All tiers
			kubectl memorybudget explain shop`),
		ValidArgsFunction: completeNames(flags),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return cmdutil.UsageErrorf(cmd, "expected NAME [TIER], got %d arguments", len(args))
			}
			names, err := bareNames(cmd, args[:1])
			if err != nil {
				return err
			}
			return explainOne(flags, streams.Out, names[0], args[1:])
		},
	}
}

// explainOne explains one tier, or all where none is named.
func explainOne(flags *genericclioptions.ConfigFlags, out io.Writer, name string, tiers []string) error {
	found, err := find(flags, []string{name}, false)
	if err != nil {
		return err
	}
	infos, err := found.Infos()
	if err != nil {
		return err
	}
	mb, err := typed(infos[0].Object)
	if err != nil {
		return err
	}
	return writeExplanations(out, mb, tiers)
}

func writeExplanations(out io.Writer, mb *v1alpha1.MemoryBudget, tiers []string) error {
	said := 0
	for i := range mb.Spec.Tiers {
		spec := &mb.Spec.Tiers[i]
		if len(tiers) > 0 && tiers[0] != spec.Name {
			continue
		}
		text := ""
		if said++; said > 1 {
			text = "\n"
		}
		text += explanation{mb: mb, spec: spec, status: statusOf(mb, spec.Name)}.text()
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("printing the explanation: %w", err)
		}
	}
	if said == 0 {
		return fmt.Errorf("MemoryBudget %s/%s has no tier %q", mb.Namespace, mb.Name, tiers[0])
	}
	return nil
}

func statusOf(mb *v1alpha1.MemoryBudget, tier string) *v1alpha1.TierStatus {
	for i := range mb.Status.Tiers {
		if mb.Status.Tiers[i].Name == tier {
			return &mb.Status.Tiers[i]
		}
	}
	return nil
}
