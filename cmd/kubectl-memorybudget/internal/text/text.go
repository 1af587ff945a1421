// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/cli-runtime/pkg/printers"
)

// None stands for what there is none of.
const None = "-"

const mebi = int64(1) << 20

// Bytes is an amount of memory: exact where that is short, else in Mi with one digit.
func Bytes(n int64) string {
	if n%(mebi>>10) == 0 || n < mebi {
		return resource.NewQuantity(n, resource.BinarySI).String()
	}
	return fmt.Sprintf("%.1fMi", float64(n)/float64(mebi))
}

// Quantity is the same for a quantity that may be missing.
func Quantity(q *resource.Quantity) string {
	if q == nil {
		return None
	}
	return Bytes(q.Value())
}

// Or is the text, or None where it is empty.
func Or(text string) string {
	if text == "" {
		return None
	}
	return text
}

// Number is a number that may be missing.
func Number(n *int32) string {
	if n == nil {
		return None
	}
	return fmt.Sprint(*n)
}

// Table prints rows of cells with aligned columns, two spaces in from the left, with no space at the end of a line.
func Table(w io.Writer, rows [][]string) error {
	var aligned bytes.Buffer
	writer := printers.GetNewTabWriter(&aligned)
	for _, row := range rows {
		if _, err := fmt.Fprintln(writer, "  "+strings.Join(row, "\t")+"\t"); err != nil {
			return fmt.Errorf("aligning a table: %w", err)
		}
	}
	if err := writer.Flush(); err != nil {
		return fmt.Errorf("aligning a table: %w", err)
	}
	for line := range strings.Lines(aligned.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return fmt.Errorf("printing a table: %w", err)
		}
	}
	return nil
}
