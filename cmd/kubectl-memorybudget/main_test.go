// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asCommand in the environment turns the test binary into the command.
const asCommand = "KUBECTL_MEMORYBUDGET_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestExitStatus(t *testing.T) {
	valid, err := os.ReadFile(filepath.Join("internal", "cli", "testdata", "limited.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	invalid := strings.Replace(string(valid), "memory: 1Gi", "memory: 1Mi", 1)
	tests := map[string]struct {
		in      string
		args    []string
		want    int
		wantOut bool
		wantErr string
	}{
		"valid":                 {in: string(valid), args: []string{"plan", "-f", "-"}, wantOut: true},
		"invalid":               {in: invalid, args: []string{"plan", "-f", "-"}, want: 1, wantErr: "* spec.memory: Invalid value:"},
		"one of two is invalid": {in: string(valid) + "\n---\n" + invalid, args: []string{"plan", "-f", "-"}, want: 1, wantOut: true, wantErr: "* spec.memory: Invalid value:"},
		"usage":                 {args: []string{"plan"}, want: 1, wantErr: "error: must specify one of -f"},
		"help":                  {args: []string{"--help"}, wantOut: true},
		"no such cluster":       {args: []string{"status", "--server", "https://127.0.0.1:1"}, want: 1, wantErr: "The connection to the server 127.0.0.1:1 was refused"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), os.Args[0], tc.args...)
			command.Env = append(os.Environ(), asCommand+"=1", "HOME="+t.TempDir(), "KUBECONFIG=")
			command.Stdin = strings.NewReader(tc.in)
			var out, errOut bytes.Buffer
			command.Stdout, command.Stderr = &out, &errOut
			if err := command.Run(); err != nil && command.ProcessState == nil {
				t.Fatal(err)
			}
			if got := command.ProcessState.ExitCode(); got != tc.want {
				t.Errorf("exit status %d, want %d, standard error:\n%s", got, tc.want, &errOut)
			}
			if got := out.Len() > 0; got != tc.wantOut {
				t.Errorf("standard output is %q, want some: %v", &out, tc.wantOut)
			}
			if !strings.Contains(errOut.String(), tc.wantErr) || tc.wantErr == "" && errOut.Len() > 0 {
				t.Errorf("standard error is %q, want %q", &errOut, tc.wantErr)
			}
		})
	}
}
