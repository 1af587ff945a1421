// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const empty = "# Chart\n" + begin + "\n" + end + "\n"

func TestRender(t *testing.T) {
	tests := map[string]struct {
		readme, values string
		want           string
		wantErr        string
	}{
		"Values": {
			readme: empty,
			values: "# -- How many.\nreplicas: 2\nmetrics:\n  # -- On or off;\n  # on is better.\n  enabled: true\n# -- All\nlabels:\n  a: b\n",
			want: "# Chart\n" + begin + "\n| value | default | meaning |\n| --- | --- | --- |\n" +
				"| `replicas` | `2` | How many. |\n| `metrics.enabled` | `true` | On or off; on is better. |\n| `labels` | `{\"a\":\"b\"}` | All |\n" + end + "\n",
		},
		"Undocumented": {readme: empty, values: "metrics:\n  # no marker\n  enabled: true\n", wantErr: "metrics.enabled has no comment"},
		"NoPlace":      {readme: "# Chart\n", values: "# -- A\na: 1\n", wantErr: "README.md lacks"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := render(tc.readme, []byte(tc.values))
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Fatalf("got error %v, want %q", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("unexpected README (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChart checks that the README of the chart is up to date: `make chart-sync`.
func TestChart(t *testing.T) {
	const dir = "../../charts/memorybudget/"
	readme, err := os.ReadFile(dir + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	values, err := os.ReadFile(dir + "values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := render(string(readme), values)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(readme)); diff != "" {
		t.Errorf("run `make chart-sync` (-want +got):\n%s", diff)
	}
}
