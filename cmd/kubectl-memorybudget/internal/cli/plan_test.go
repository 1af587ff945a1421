// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

var update = flag.Bool("update", false, "write the golden files anew")

// invoke runs a command line and shows all that it did.
func invoke(in string, args ...string) string {
	var out, errOut bytes.Buffer
	code := Run(args, genericiooptions.IOStreams{In: strings.NewReader(in), Out: &out, ErrOut: &errOut}, "v1.2.3")
	return fmt.Sprintf("$ kubectl memorybudget %s\n-- exit status --\n%d\n-- standard error --\n%s-- standard output --\n%s",
		strings.Join(args, " "), code, &errOut, &out)
}

// checkGolden compares with a file under testdata, or writes it.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("unexpected output, run with -update if it is right (-want +got):\n%s", diff)
	}
}

func TestPlan(t *testing.T) {
	// A kubeconfig that cannot be read shows that none is.
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	example := filepath.Join("..", "..", "..", "..", "examples", "bunoraa", "memorybudget.yaml")
	stdin, err := os.ReadFile(filepath.Join("testdata", "limited.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
	}{
		"example":              {args: []string{"-f", example}},
		"limited":              {args: []string{"-f", "testdata/limited.yaml"}},
		"limited-by-reserve":   {args: []string{"-f", "testdata/reserve.yaml"}},
		"documents":            {args: []string{"-f", "testdata/documents.yaml"}},
		"documents-json":       {args: []string{"-f", "testdata/documents.yaml", "-o", "json"}},
		"documents-yaml":       {args: []string{"-f", "testdata/documents.yaml", "-o", "yaml"}},
		"invalid":              {args: []string{"-f", "testdata/invalid.yaml"}},
		"invalid-yaml":         {args: []string{"-f", "testdata/invalid.yaml", "-o", "yaml"}},
		"invalid-json":         {args: []string{"-f", "testdata/invalid-only.yaml", "-o", "json"}},
		"too-small":            {args: []string{"-f", "testdata/too-small.yaml"}},
		"drain":                {args: []string{"-f", "testdata/drain.yaml"}},
		"drain-yaml":           {args: []string{"-f", "testdata/drain.yaml", "-o", "yaml"}},
		"hold":                 {args: []string{"-f", "testdata/hold.yaml"}},
		"hold-json":            {args: []string{"-f", "testdata/hold.yaml", "-o", "json"}},
		"recommend":            {args: []string{"-f", "testdata/recommend.yaml"}},
		"recommend-yaml":       {args: []string{"-f", "testdata/recommend.yaml", "-o", "yaml"}},
		"not-valid":            {args: []string{"-f", "testdata/not-valid.yaml"}},
		"recommend-limited":    {args: []string{"-f", "testdata/recommend-limited.yaml"}},
		"stdin":                {args: []string{"-f", "-"}},
		"stdin-twice":          {args: []string{"-f", "-", "-f", "-"}},
		"namespace":            {args: []string{"-f", "testdata/limited.yaml", "-n", "team"}},
		"namespace-mismatch":   {args: []string{"-f", "testdata/documents.yaml", "-n", "team"}},
		"several-files":        {args: []string{"-f", "testdata/limited.yaml,testdata/drain.yaml", "-f", "testdata/tree"}},
		"directory":            {args: []string{"-f", "testdata/tree"}},
		"directory-recursive":  {args: []string{"-R", "-f", "testdata/tree"}},
		"pattern":              {args: []string{"-f", "testdata/li*ed.yaml"}},
		"missing-file":         {args: []string{"-f", "testdata/missing.yaml", "-f", "testdata/limited.yaml"}},
		"empty-directory":      {args: []string{"-f", "testdata/tree/deeper/none"}},
		"other-kinds":          {args: []string{"-f", "testdata/other.yaml"}},
		"empty":                {args: []string{"-f", "testdata/empty.yaml"}},
		"demand":               {args: []string{"-f", example, "--demand", "web=3,worker=12"}},
		"scaled":               {args: []string{"-f", "testdata/scaled.yaml"}},
		"scaled-demand":        {args: []string{"-f", "testdata/scaled.yaml", "--demand", "worker=3"}},
		"demand-unknown":       {args: []string{"-f", example, "--demand", "wrk=3,web=0"}},
		"demand-of-some":       {args: []string{"-f", "testdata/limited.yaml", "-f", "testdata/scaled.yaml", "-f", example, "--demand", "ml=2"}},
		"demand-negative":      {args: []string{"-f", example, "--demand", "web=-1"}},
		"no-file":              {},
		"unknown-format":       {args: []string{"-f", "testdata/limited.yaml", "-o", "wide"}},
		"unknown-flag":         {args: []string{"--filenam", "x"}},
		"unexpected-arguments": {args: []string{"testdata/limited.yaml"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			checkGolden(t, "plan-"+name, invoke(string(stdin), append([]string{"plan"}, tc.args...)...))
		})
	}
}

func TestCommands(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"help names commands as kubectl calls them": {args: []string{"plan", "--help"}, want: "kubectl memorybudget plan -f FILENAME [-o table|yaml|json]"},
		"no command is help":                        {want: "Available Commands:"},
		"unknown command":                           {args: []string{"explode"}, want: "-- exit status --\n1\n-- standard error --\nerror: unknown command \"explode\" for \"kubectl memorybudget\"\nSee 'kubectl memorybudget -h' for help and examples\n"},
		"version":                                   {args: []string{"version"}, want: "\nVersion: v1.2.3\nAPI: memorybudget.dev/v1alpha1\n"},
		"formats are completed":                     {args: []string{"__complete", "plan", "-o", ""}, want: "table\nyaml\njson\n"},
		"shells have a completion":                  {args: []string{"completion", "bash"}, want: "# bash completion"},
		"a name is needed to pause":                 {args: []string{"pause"}, want: "-- exit status --\n1\n-- standard error --\nerror: name at least one MemoryBudget\n"},
		"another type is refused":                   {args: []string{"resume", "deployment/shop"}, want: "error: \"deployment/shop\" is not a MemoryBudget: name one as in shop or memorybudget/shop\n"},
		"an empty name is refused":                  {args: []string{"resume", "mb/"}, want: "error: the name of a MemoryBudget must not be empty\n"},
		"names and all namespaces":                  {args: []string{"status", "-A", "shop"}, want: "error: a resource cannot be retrieved by name across all namespaces\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := invoke("", tc.args...); !strings.Contains(got, tc.want) {
				t.Errorf("got %s\nwant it to contain %s", got, tc.want)
			}
		})
	}
}
