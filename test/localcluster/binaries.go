// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// BinariesEnv names the environment variable with the directory of the control plane's binaries.
const BinariesEnv = "MEMORYBUDGET_CONTROLPLANE_BIN"

// builtBinaries is where `make control-plane` puts them, below the module's root.
const builtBinaries = "build/controlplane/bin"

// FindBinaries returns the directory with the control plane's binaries: $MEMORYBUDGET_CONTROLPLANE_BIN, else
// $KUBEBUILDER_ASSETS, else build/controlplane/bin in the working directory or the nearest directory above it that has one.
// The error says how to build them.
func FindBinaries() (string, error) {
	for _, name := range []string{BinariesEnv, "KUBEBUILDER_ASSETS"} {
		if dir := os.Getenv(name); dir != "" {
			return requireBinaries(dir, "$"+name, Etcd, APIServer)
		}
	}
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the working directory: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, builtBinaries)
		if exists(candidate) {
			return requireBinaries(candidate, candidate, Etcd, APIServer)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no control plane binaries at or above %s: run `make control-plane`, or set $%s", start, BinariesEnv)
		}
	}
}

// requireBinaries returns dir when it has all the programs; origin tells where the directory's name came from.
func requireBinaries(dir, origin string, programs ...string) (string, error) {
	var missing []string
	for _, program := range programs {
		if info, err := os.Stat(filepath.Join(dir, program)); err != nil || info.Mode()&0o111 == 0 {
			missing = append(missing, program)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("%s lacks %s: run `make control-plane`", origin, strings.Join(missing, ", "))
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", dir, err)
	}
	return absolute, nil
}
