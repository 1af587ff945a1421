// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-memorybudget is a plugin of kubectl: it plans MemoryBudgets without a cluster, and
// explains, pauses and resumes those of a cluster.
package main

import (
	"os"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	// The ways to log in that kubectl knows.
	_ "k8s.io/client-go/plugin/pkg/client/auth"

	"github.com/memorybudget/memorybudget/cmd/kubectl-memorybudget/internal/cli"
)

// version is set by the linker. Where it is not, the version of the module is told.
var version string

func main() {
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	os.Exit(cli.Run(os.Args[1:], streams, version))
}
