// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package live

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/cli-runtime/pkg/resource"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// fieldManager owns what this plugin writes.
const fieldManager = "kubectl-memorybudget"

// NewPauseCommand is the command pause.
func NewPauseCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	drain := false
	cmd := &cobra.Command{
		Use:   "pause NAME... [--drain]",
		Short: "Stop the operator from changing tiers, or scale all of them to zero",
		Long: templates.LongDesc(`
			Set spec.pause to Hold: replicas and pod templates stay as they are, and pods that wait for
			memory are still let through up to the current replicas.

			With --drain set it to Drain: all tiers go to zero, floors and web tiers too. Their objects stay.`),
		Example: templates.Examples(`
			# Leave everything as it is, for instance while looking into a problem
			kubectl memorybudget pause shop

			# Scale all tiers to zero
			kubectl memorybudget pause shop --drain

			# Every MemoryBudget of the namespace
			kubectl get memorybudgets -o name | xargs kubectl memorybudget pause`),
		ValidArgsFunction: completeNames(flags),
		RunE: func(cmd *cobra.Command, args []string) error {
			pause := v1alpha1.PauseHold
			if drain {
				pause = v1alpha1.PauseDrain
			}
			return setPause(cmd, flags, streams, args, pause, fmt.Sprintf("paused (%s)", pause))
		},
	}
	cmd.Flags().BoolVar(&drain, "drain", false, "Scale all tiers to zero.")
	return cmd
}

// NewResumeCommand is the command resume.
func NewResumeCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	return &cobra.Command{
		Use:   "resume NAME...",
		Short: "Let the operator change tiers again",
		Long:  templates.LongDesc(`Set spec.pause to None: the operator scales and rolls out again.`),
		Example: templates.Examples(`
			# End a pause, whether Hold or Drain
			kubectl memorybudget resume shop`),
		ValidArgsFunction: completeNames(flags),
		RunE: func(cmd *cobra.Command, args []string) error {
			return setPause(cmd, flags, streams, args, v1alpha1.PauseNone, "resumed")
		},
	}
}

// setPause sets spec.pause of each MemoryBudget that has another value, and says what it did.
func setPause(cmd *cobra.Command, flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams,
	args []string, pause v1alpha1.Pause, done string) error {
	names, err := bareNames(cmd, args)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return cmdutil.UsageErrorf(cmd, "name at least one MemoryBudget")
	}
	found, err := find(flags, names, false)
	if err != nil {
		return err
	}
	return found.Visit(func(info *resource.Info, err error) error {
		if err != nil {
			return err
		}
		changed, err := patchPause(info, pause)
		if err != nil {
			return err
		}
		printer := printers.NamePrinter{Operation: done}
		if !changed {
			printer.Operation = "unchanged"
		}
		return printer.PrintObj(info.Object, streams.Out)
	})
}

// patchPause writes nothing but the one field, whatever others write at the same time, and nothing at
// all where it already is so.
func patchPause(info *resource.Info, pause v1alpha1.Pause) (changed bool, err error) {
	mb, err := typed(info.Object)
	if err != nil {
		return false, err
	}
	if mb.Spec.Pause == pause {
		return false, nil
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"pause": pause}})
	if err != nil {
		return false, fmt.Errorf("encoding the patch: %w", err)
	}
	var object runtime.Object
	object, err = resource.NewHelper(info.Client, info.Mapping).WithFieldManager(fieldManager).
		Patch(info.Namespace, info.Name, types.MergePatchType, patch, nil)
	if err != nil {
		return false, err
	}
	return true, info.Refresh(object, true)
}
