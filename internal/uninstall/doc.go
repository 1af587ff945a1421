// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package uninstall finds what would be stranded if the operator went away: Deployments whose new pods wait at our
// scheduling gate. Only reads are done here; what to do about it is the user's to decide, since every way out either
// deletes or rolls a tier.
package uninstall
