// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/memorybudget/memorybudget/test/localcluster"
)

func TestExecute(t *testing.T) {
	empty := t.TempDir()
	tests := map[string]struct {
		args      []string
		want      string
		wantError string
	}{
		"no command":         {wantError: flag.ErrHelp.Error()},
		"unknown command":    {args: []string{"sideways"}, wantError: `unknown command "sideways": want one of down, env, run, status, up`},
		"unknown flag":       {args: []string{"up", "--sideways"}, wantError: "not defined: -sideways"},
		"nothing to stop":    {args: []string{"down", "--dir", empty}, want: "No cluster in " + empty + ": nothing to stop\n"},
		"nothing to show":    {args: []string{"status", "--dir", empty}, wantError: "no cluster in " + empty},
		"run without a name": {args: []string{"run", "--dir", empty, "--", "true"}, wantError: "run needs --name NAME -- PROGRAM ARGUMENTS"},
		"run nowhere":        {args: []string{"run", "--dir", empty, "--name", "x", "--", "true"}, wantError: "no cluster in " + empty},
		"run nothing known":  {args: []string{"run", "--dir", empty, "--name", "x", "--", "no-such-program"}, wantError: "finding the program"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := execute(t.Context(), tc.args, io.Discard)
			if got != tc.want {
				t.Errorf("want the output %q, got %q", tc.want, got)
			}
			if (err == nil) != (tc.wantError == "") || err != nil && !strings.Contains(err.Error(), tc.wantError) {
				t.Errorf("want the error %q, got %v", tc.wantError, err)
			}
		})
	}
}

// TestLife drives all commands once on a real cluster.
func TestLife(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _ = localcluster.Stop(dir, nil) })
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"up", "--dir", dir, "--nodes", "1"}, "Kubernetes is ready at https://127.0.0.1:"},
		{[]string{"run", "--dir", dir, "--name", "guest", "--", "sleep", "600"}, "Started guest (process "},
		{[]string{"up", "--dir", dir, "--nodes", "2"}, "Kubernetes is ready at https://127.0.0.1:"},
		{[]string{"status", "--dir", dir}, "guest                     "},
		{[]string{"env", "--dir", dir}, "export KUBECONFIG='" + dir + "/kubeconfig'\n"},
		{[]string{"down", "--dir", dir}, "Nothing of the cluster runs any more"},
		{[]string{"down", "--dir", dir}, "nothing to stop"},
	} {
		got, err := execute(t.Context(), step.args, t.Output())
		if err != nil {
			t.Fatalf("%v: %v", step.args, err)
		}
		if !strings.Contains(got, step.want) {
			t.Errorf("%v: want %q in the output, got %q", step.args, step.want, got)
		}
	}
}

func TestQuoteIsTakenLiterallyByTheShell(t *testing.T) {
	const word = `it's $HOME "and" \more`
	output, err := exec.Command("/bin/sh", "-c", "printf %s "+quote(word)).Output()
	if err != nil || string(output) != word {
		t.Errorf("want %s, got %s, %v", word, output, err)
	}
}
