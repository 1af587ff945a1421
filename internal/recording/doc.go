// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package recording keeps what decisions were made from and what came of them, and makes them again.
//
// A recording is one or several files of JSON lines: a header, then one record for each decision, with the snapshot that
// it was made from, the decision, and the status that followed. Each line of a file that the operator writes is compressed
// by itself, so that what was written before it was killed can be read. Since decisions are pure, a record replayed by the
// same version gives the same decision and status again, bit for bit; by another version it shows what that does otherwise.
package recording
