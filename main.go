// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command memorybudget is the operator. See internal/manager for its flags, and internal/uninstall
// for the check that the chart runs before it removes the operator.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/internal/uninstall"
)

// version is set when the command is built.
var version = "dev"

func main() {
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "memorybudget:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	if errors.Is(err, uninstall.ErrStranded) {
		return uninstall.ExitStranded
	}
	return 1
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != uninstall.Command {
		return manager.Run(ctx, args, version)
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding a cluster: %w", err)
	}
	return uninstall.Run(ctx, config, args[1:], os.Stdout)
}
