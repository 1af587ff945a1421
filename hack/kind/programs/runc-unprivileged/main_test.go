// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const process = `{"args": ["sh"], "oomScoreAdj": -5,
	"capabilities": {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"]}}`

func TestPrepare(t *testing.T) {
	restricted := map[string]any{
		"args":         []any{"sh"},
		"capabilities": map[string]any{"bounding": []any{"CAP_CHOWN"}, "effective": []any{}},
	}
	tests := map[string]struct {
		file, content string
		args          func(file string) []string
		want          map[string]any
	}{
		"a container is created": {
			file: "config.json", content: `{"limit": 9007199254740993, "process": ` + process + `}`,
			args: func(file string) []string {
				return []string{"--root", "/r", "create", "--bundle", filepath.Dir(file), "id"}
			},
			want: map[string]any{"limit": json.Number("9007199254740993"), "process": restricted},
		},
		"a container runs, short flag": {
			file: "config.json", content: `{"process": ` + process + `}`,
			args: func(file string) []string { return []string{"run", "-b", filepath.Dir(file), "id"} },
			want: map[string]any{"process": restricted},
		},
		"a process enters a container": {
			file: "process.json", content: process,
			args: func(file string) []string { return []string{"exec", "--process=" + file, "id"} },
			want: restricted,
		},
		"a score that needs no capability stays": {
			file: "process.json", content: `{"oomScoreAdj": 100}`,
			args: func(file string) []string { return []string{"exec", "--process", file, "id"} },
			want: map[string]any{"oomScoreAdj": json.Number("100")},
		},
		"other commands read no process": {
			file: "config.json", content: `{"process": {"oomScoreAdj": -5}}`,
			args: func(string) []string { return []string{"delete", "--force", "id"} },
			want: map[string]any{"process": map[string]any{"oomScoreAdj": json.Number("-5")}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), tc.file)
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := prepare(tc.args(file)); err != nil {
				t.Fatal(err)
			}
			if got := read(t, file); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func read(t *testing.T, file string) map[string]any {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	decoder := json.NewDecoder(f)
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	return object
}
