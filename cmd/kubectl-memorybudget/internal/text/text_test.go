// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bytes"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
)

func TestBytes(t *testing.T) {
	tests := map[int64]string{
		0:                 "0",
		500:               "500",
		1 << 20:           "1Mi",
		512<<20 + 512<<10: "524800Ki",
		3 << 29:           "1536Mi",
		2 << 30:           "2Gi",
		214748365:         "204.8Mi",
	}
	for n, want := range tests {
		if got := Bytes(n); got != want {
			t.Errorf("%d bytes are %q, want %q", n, got, want)
		}
	}
}

func TestMissing(t *testing.T) {
	for name, got := range map[string]string{"quantity": Quantity(nil), "number": Number(nil), "text": Or("")} {
		if got != None {
			t.Errorf("a missing %s is %q, want %q", name, got, None)
		}
	}
	for want, got := range map[string]string{"1Gi": Quantity(new(resource.MustParse("1024Mi"))), "0": Number(new(int32(0))), "text": Or("text")} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := Table(&out, [][]string{{"A", "LONGER", "C"}, {"a much longer cell", "", ""}, {"x", "y", "z"}}); err != nil {
		t.Fatal(err)
	}
	const want = "" +
		"  A                    LONGER   C\n" +
		"  a much longer cell\n" +
		"  x                    y        z\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
