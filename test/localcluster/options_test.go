// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeBinaries makes a directory of scripts with the names of the cluster's programs.
func fakeBinaries(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOptions(t *testing.T) {
	tests := map[string]struct {
		options      Options
		wantError    string
		wantPrograms []string
	}{
		"the least":                      {wantPrograms: []string{Etcd, APIServer}},
		"all":                            {options: Options{ControllerManager: true, Scheduler: true, Nodes: 1}, wantPrograms: []string{Etcd, APIServer, ControllerManager, Scheduler, Kwok}},
		"no nodes, no kwok":              {options: Options{ControllerManager: true}, wantPrograms: []string{Etcd, APIServer, ControllerManager}},
		"detached without a directory":   {options: Options{Detached: true}, wantError: "needs a directory"},
		"nodes that nobody makes usable": {options: Options{Nodes: 1, Scheduler: true}, wantError: "nodes need the controller manager"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.options.Bin = "unused"
			got, err := tc.options.withDefaults()
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Fatalf("want an error with %q, got %v", tc.wantError, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.wantPrograms, got.programs()); diff != "" {
				t.Errorf("programs (-want +got):\n%s", diff)
			}
			if got.StartTimeout == 0 || got.Progress == nil || got.NodeCapacity.Memory().IsZero() {
				t.Errorf("a default is missing: %+v", got)
			}
		})
	}
}

func TestFindBinaries(t *testing.T) {
	complete := fakeBinaries(t, map[string]string{Etcd: "", APIServer: ""})
	partial := fakeBinaries(t, map[string]string{Etcd: ""})
	tests := map[string]struct {
		own, assets string
		want        string
		wantError   string
	}{
		"own variable":       {own: complete, assets: partial, want: complete},
		"envtest's variable": {assets: complete, want: complete},
		"incomplete":         {own: partial, wantError: "$MEMORYBUDGET_CONTROLPLANE_BIN lacks kube-apiserver: run `make control-plane`"},
		"nowhere":            {wantError: "no control plane binaries at or above"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(BinariesEnv, tc.own)
			t.Setenv("KUBEBUILDER_ASSETS", tc.assets)
			t.Chdir(t.TempDir())
			got, err := FindBinaries()
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Fatalf("want an error with %q, got %v", tc.wantError, err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("want %s, got %s, %v", tc.want, got, err)
			}
		})
	}
}

func TestFindBinariesAboveTheWorkingDirectory(t *testing.T) {
	root := t.TempDir()
	want := filepath.Join(root, builtBinaries)
	if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fakeBinaries(t, map[string]string{Etcd: "", APIServer: ""}), want); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(BinariesEnv, "")
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Chdir(below)
	got, err := FindBinaries()
	if err != nil || got != want {
		t.Errorf("want %s, got %s, %v", want, got, err)
	}
}
