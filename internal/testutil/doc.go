// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testutil builds MemoryBudgets for tests, as in
//
//	mb := testutil.MakeMemoryBudget("shop", "default").
//		Memory("2Gi").
//		Tier(testutil.MakeTier("web", v1alpha1.RoleWeb).Memory("512Mi").Gunicorn("core.wsgi:application").Obj()).
//		Obj()
//
// What a builder is not told stays as it is, so that a test shows all that it depends on. The
// exceptions are named where they are made: MakeMemoryBudget and MakeTier start with what every valid
// object needs. A quantity that does not parse panics.
package testutil
