// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/memorybudget/memorybudget/test/localcluster"
)

// statusYAML is what the operator writes of the full example.
const statusYAML = `
conditions:
- {type: Ready, status: "True", reason: AllReady, message: "", lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}
- {type: Reconciling, status: "False", reason: Settled, message: "", lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}
- {type: Stalled, status: "False", reason: NotStalled, message: "", lastTransitionTime: "2026-01-01T00:00:00Z", observedGeneration: 1}
observedGeneration: 1
allocated: 1472Mi
limitedBy: Budget
readyReplicas: {web: 2/2, worker: 1/1, ml: 0/0}
tiers:
- {name: web, desired: 2, granted: 2, ready: 2, memoryPerPod: 512Mi, processes: 2, limitedBy: None}
`

// TestTable holds what kubectl get shows, as the API server makes the table.
func TestTable(t *testing.T) {
	kept := keep(t, "table")
	if _, err := budgets.UpdateStatus(t.Context(), change(kept, edit{"status", statusYAML}), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	table := getTable(t, "table")
	var columns []string
	for _, column := range table.ColumnDefinitions {
		if column.Priority == 0 {
			columns = append(columns, column.Name)
		}
	}
	want := []string{"Name", "Ready", "Budget", "Allocated", "Web", "Worker", "ML", "Limited-By", "Age"}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	wantCells := []any{"table", "True", "2Gi", "1472Mi", "2/2", "1/1", "0/0", "Budget"}
	if diff := cmp.Diff(wantCells, table.Rows[0].Cells[:len(wantCells)]); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}

func getTable(t *testing.T, name string) *metav1.Table {
	t.Helper()
	tables := rest.CopyConfig(config)
	tables.GroupVersion = new(resource.GroupVersion())
	tables.APIPath = "/apis"
	tables.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(tables)
	if err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	err = client.Get().Namespace(namespace).Resource(resource.Resource).Name(name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Into(table)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestKstatus: tools that wait for objects, such as Flux and Argo CD, understand the conditions.
func TestKstatus(t *testing.T) {
	tests := map[string]struct {
		edits []edit
		want  status.Status
	}{
		"no status yet":      {want: status.InProgressStatus, edits: []edit{{"status", "{observedGeneration: -1}"}}},
		"ready":              {want: status.CurrentStatus},
		"an older spec's":    {want: status.InProgressStatus, edits: []edit{{"metadata.generation", "2"}}},
		"not ready":          {want: status.InProgressStatus, edits: []edit{{"status.conditions[0].status", `"False"`}}},
		"reconciling":        {want: status.InProgressStatus, edits: []edit{{"status.conditions[1].status", `"True"`}}},
		"stalled":            {want: status.FailedStatus, edits: []edit{{"status.conditions[2].status", `"True"`}}},
		"unknown whether so": {want: status.InProgressStatus, edits: []edit{{"status.conditions[0].status", "Unknown"}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			object := example(append([]edit{{"metadata.generation", "1"}, {"status", statusYAML}}, tc.edits...))
			got, err := status.Compute(object)
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != tc.want {
				t.Errorf("%s, want %s: %s", got.Status, tc.want, got.Message)
			}
		})
	}
}

// TestKubectl is the way that people meet all this: kubectl and its words for a broken rule.
func TestKubectl(t *testing.T) {
	dir, err := localcluster.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	data, err := example([]edit{{"spec.memory", "1500m"}}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(dir, "kubectl"), "--kubeconfig", kubeconfig, "create", "-f", "-")
	command.Stdin = strings.NewReader(string(data))
	output, err := command.CombinedOutput()
	if err == nil {
		t.Error("kubectl accepts it")
	}
	want := `The MemoryBudget "bunoraa" is invalid: spec.memory: Invalid value: "1500m": ` +
		"must be a whole number of bytes, such as 512Mi; the suffix m means thousandths of a byte\n"
	if diff := cmp.Diff(want, string(output)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func diffSpecs(want, got *unstructured.Unstructured) string {
	return cmp.Diff(want.Object["spec"], got.Object["spec"])
}
