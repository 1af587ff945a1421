// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command runc-unprivileged is an OCI runtime for an engine that itself lacks CAP_SYS_RESOURCE: it takes what needs that
// capability out of a container's configuration, then becomes runc. Without it, privileged containers are refused.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const capability = "CAP_SYS_RESOURCE"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc-unprivileged:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if err := prepare(args); err != nil {
		return err
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ())
}

// prepare rewrites the file from which runc is about to read a process: that of a new container or of an exec in one.
func prepare(args []string) error {
	switch {
	case slices.Contains(args, "create"), slices.Contains(args, "run"):
		return rewrite(filepath.Join(flag(args, "bundle", "b"), "config.json"), func(config map[string]any) {
			if process, ok := config["process"].(map[string]any); ok {
				restrict(process)
			}
		})
	case slices.Contains(args, "exec"):
		if file := flag(args, "process", "p"); file != "" {
			return rewrite(file, restrict)
		}
	}
	return nil
}

// flag returns the value of a flag, given as --name VALUE, --name=VALUE or -letter VALUE.
func flag(args []string, name, letter string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
		if (arg == "--"+name || arg == "-"+letter) && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

func rewrite(file string, change func(map[string]any)) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	change(object)
	if data, err = json.Marshal(object); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// restrict takes the capability from every set of a process, and a score that only it may give.
func restrict(process map[string]any) {
	if sets, ok := process["capabilities"].(map[string]any); ok {
		for name, set := range sets {
			if list, ok := set.([]any); ok {
				sets[name] = slices.DeleteFunc(list, func(c any) bool { return c == capability })
			}
		}
	}
	if score, ok := process["oomScoreAdj"].(json.Number); ok && strings.HasPrefix(score.String(), "-") {
		delete(process, "oomScoreAdj")
	}
}
