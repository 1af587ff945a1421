// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"
	"k8s.io/kubectl/pkg/util/templates"

	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/manifest"
)

var (
	long = templates.LongDesc(`
		Show how a MemoryBudget splits, without a cluster.

		The plan is what the operator would do with the resource in an empty namespace, before it has read any metric: a tier
		that scales has replicas.min then. --demand tells what tiers ask for instead. With -o yaml or
		-o json it is exactly the objects that the operator would apply, in that order, less the owner
		reference: it holds the UID of a resource that is in a cluster. How much memory the application
		takes is not known before it runs, so documented constants stand in for it.

		What an API server would refuse is refused here, with the same text. The exit status is 1 if any
		document is not valid or cannot be carried out; the others are planned all the same.`)

	example = templates.Examples(`
		# How does the budget split?
		kubectl memorybudget plan -f budget.yaml

		# The objects that the operator would apply
		kubectl memorybudget plan -f budget.yaml -o yaml

		# What would a change to the resource in the cluster do?
		kubectl get memorybudget shop -o yaml | sed 's/memory: 2Gi/memory: 3Gi/' | kubectl memorybudget plan -f -

		# What if the tiers needed that many replicas?
		kubectl memorybudget plan -f budget.yaml --demand web=3,worker=12

		# All MemoryBudgets below a directory
		kubectl memorybudget plan -R -f deploy/`)
)

// formats are what -o takes.
var formats = []string{"table", "yaml", "json"}

type options struct {
	genericiooptions.IOStreams
	output    string
	filenames []string
	recursive bool
	demand    map[string]int
	replicas  map[string]int32
	// unknown are the tiers of --demand that no resource has so far.
	unknown []string
	failed  bool
	objects []map[string]any
	plans   int
}

// NewCommand is the command plan.
func NewCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := options{IOStreams: streams, output: formats[0]}
	cmd := &cobra.Command{
		Use:                   "plan -f FILENAME [-o " + strings.Join(formats, "|") + "]",
		Short:                 "Show how a MemoryBudget splits, without a cluster",
		Long:                  long,
		Example:               example,
		Args:                  noArguments,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(formats, o.output) {
				return cmdutil.UsageErrorf(cmd, "unable to match a printer suitable for the output format %q, allowed formats are: %s",
					o.output, strings.Join(formats, ","))
			}
			if len(o.filenames) == 0 {
				return cmdutil.UsageErrorf(cmd, "must specify one of -f")
			}
			var err error
			if o.replicas, err = asked(o.demand); err != nil {
				return cmdutil.UsageErrorf(cmd, "%v", err)
			}
			return o.run(*flags.Namespace)
		},
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", o.output, "Output format. One of: ("+strings.Join(formats, ", ")+").")
	cmd.Flags().StringSliceVarP(&o.filenames, "filename", "f", nil,
		"Filename, directory, URL or - for standard input that contains MemoryBudgets.")
	cmd.Flags().BoolVarP(&o.recursive, "recursive", "R", false, "Process directories with all that is below them.")
	cmd.Flags().StringToIntVar(&o.demand, "demand", nil,
		"How many replicas tiers ask for (TIER=REPLICAS,...), instead of what the spec or their metrics would.")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)))
	cobra.CheckErr(cmd.MarkFlagFilename("filename", "yaml", "yml", "json"))
	return cmd
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cmdutil.UsageErrorf(cmd, "unexpected arguments: %v: name files with -f", args)
	}
	return nil
}

// run plans everything that can be planned. Errors are printed as they are found.
func (o *options) run(namespace string) error {
	read := manifest.Options{
		Filenames: o.filenames, Recursive: o.recursive, In: o.In, Namespace: namespace, Enforced: namespace != "",
	}
	if namespace == "" {
		read.Namespace = metav1.NamespaceDefault
	}
	results, ignored := manifest.Read(read)
	o.unknown = slices.Sorted(maps.Keys(o.replicas))
	for _, result := range results {
		if err := o.one(result); err != nil {
			return err
		}
	}
	if len(o.unknown) > 0 {
		o.failed = true
		o.complain("error: --demand: no such tier: %s", strings.Join(o.unknown, ", "))
	}
	if len(ignored) > 0 && o.plans > 0 {
		o.complain("Warning: ignored objects of other kinds: %s", strings.Join(ignored, ", "))
	}
	if o.output == "json" && o.plans > 0 {
		if err := writeJSON(o.Out, o.objects); err != nil {
			return err
		}
	}
	if o.failed {
		return cmdutil.ErrExit
	}
	return nil
}

func (o *options) complain(format string, args ...any) {
	_, _ = fmt.Fprintf(o.ErrOut, format+"\n", args...) // Where standard error is closed nobody can be told.
}

func (o *options) one(result manifest.Result) error {
	if result.MemoryBudget == nil {
		o.failed = true
		o.complain("error: %v", result.Err)
		return nil
	}
	mb, unknown := Asking(result.MemoryBudget, o.replicas)
	o.unknown = slices.DeleteFunc(o.unknown, func(tier string) bool { return !slices.Contains(unknown, tier) })
	p := Make(mb)
	for _, problem := range p.Problems() {
		o.failed = true
		o.complain("error: %s: %s", p.Name(), problem)
	}
	if p.Invalid() {
		return nil
	}
	for _, warning := range p.Warnings() {
		o.complain("Warning: %s: %s", p.Name(), warning)
	}
	o.plans++
	return o.print(&p)
}

// print writes tables and YAML at once; JSON is one List, so it is gathered.
func (o *options) print(p *Plan) error {
	if o.output == "table" {
		if o.plans > 1 {
			if _, err := fmt.Fprintln(o.Out); err != nil {
				return fmt.Errorf("printing the plan: %w", err)
			}
		}
		return p.WriteTable(o.Out)
	}
	objects, err := p.Objects()
	if err != nil || o.output == "json" {
		o.objects = append(o.objects, objects...)
		return err
	}
	if len(o.objects) > 0 && len(objects) > 0 {
		if _, err := fmt.Fprintln(o.Out, "---"); err != nil {
			return fmt.Errorf("printing YAML: %w", err)
		}
	}
	o.objects = append(o.objects, objects...)
	return writeYAML(o.Out, objects)
}
