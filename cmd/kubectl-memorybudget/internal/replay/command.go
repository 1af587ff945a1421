// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/util/templates"
)

var (
	long = templates.LongDesc(`
		Make the decisions of a recording again, without a cluster.

		The operator records what each decision was made from, and what was decided, when it runs with
		--record-snapshots. Each decision is made again from that and compared with the recorded one, bit for bit,
		together with the status that follows from it. A line tells of each that differs, and in what.

		With -o table or -o csv, what was recorded of each tier is printed: what it asked for and what it was granted, in the
		course of time. The comparison is then told on standard error.

		The exit status is 1 if anything differs or cannot be read. A recording that ends within a record, since the operator
		was killed, is replayed up to there.`)

	example = templates.Examples(`
		# Does this version decide as the operator did?
		kubectl memorybudget replay memorybudget-20260301T060000.000000000Z.jsonl.gz

		# Several files, in the order of time
		kubectl memorybudget replay recordings/*.jsonl.gz

		# What did the tiers of one resource ask for, and what were they granted?
		kubectl memorybudget replay -n prod --name shop -o csv recordings/*.jsonl.gz > shop.csv`)
)

// formats are what -o takes.
var formats = []string{"summary", "table", "csv"}

type options struct {
	genericiooptions.IOStreams
	output, namespace, name, tier string
	// version is that of the plugin.
	version string
	// failed: something differs or could not be read.
	failed bool
	counts counts
	series series
}

// NewCommand is the command replay of a plugin of that version.
func NewCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams, version string) *cobra.Command {
	o := options{IOStreams: streams, output: formats[0], version: version}
	cmd := &cobra.Command{
		Use:                   "replay FILE... [--name NAME] [--tier TIER] [-o " + strings.Join(formats, "|") + "]",
		Short:                 "Make the decisions of a recording again",
		Long:                  long,
		Example:               example,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(formats, o.output) {
				return cmdutil.UsageErrorf(cmd, "unable to match a printer suitable for the output format %q, allowed formats are: %s",
					o.output, strings.Join(formats, ","))
			}
			if len(args) == 0 {
				return cmdutil.UsageErrorf(cmd, "must specify a recording")
			}
			o.namespace = *flags.Namespace
			return o.run(args)
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", o.output, "Output format. One of: ("+strings.Join(formats, ", ")+").")
	cmd.Flags().StringVar(&o.name, "name", "", "Only the MemoryBudgets of this name.")
	cmd.Flags().StringVar(&o.tier, "tier", "", "Print only this tier, with -o table or csv.")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

// run replays all files. What is wrong is told as it is found.
func (o *options) run(files []string) error {
	for _, file := range files {
		if err := o.file(file); err != nil {
			o.fail("error: %s: %v", file, err)
		}
	}
	if err := o.series.writeTo(o.Out, o.output); err != nil {
		return err
	}
	o.tell("%s", o.counts)
	if o.counts.different > 0 || o.failed {
		return cmdutil.ErrExit
	}
	return nil
}

// tell says what was found: on standard output, unless that is for the series.
func (o *options) tell(format string, args ...any) {
	w := o.Out
	if o.output != formats[0] {
		w = o.ErrOut
	}
	_, _ = fmt.Fprintf(w, format+"\n", args...) // Where nobody listens nobody can be told.
}

func (o *options) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(o.ErrOut, "Warning: "+format+"\n", args...) // Where standard error is closed nobody can be told.
}

func (o *options) fail(format string, args ...any) {
	o.failed = true
	_, _ = fmt.Fprintf(o.ErrOut, format+"\n", args...) // Where standard error is closed nobody can be told.
}
