// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// invalidDocuments are wrong in different ways: a value, a rule over fields, the schema, a name, an unknown field.
var invalidDocuments = map[string]string{
	"a fraction of a byte":     strings.Replace(plain, "memory: 2Gi", "memory: 1500m", 1),
	"not a quantity":           strings.Replace(plain, "memory: 2Gi", "memory: lots", 1),
	"a pod above the budget":   strings.Replace(plain, "perPod: 128Mi", "perPod: 3Gi", 1),
	"floors above the budget":  strings.Replace(plain, "process: {}", "process: {}, replicas: {min: 20}", 1),
	"a reserve of nothing":     strings.Replace(plain, "memory: 2Gi", "memory: 2Gi\n  reserve: some", 1),
	"no runtime":               strings.Replace(plain, ", process: {}", "", 1),
	"two runtimes":             strings.Replace(plain, "process: {}", "process: {}, beat: {}", 1),
	"a role that there is not": strings.Replace(plain, "Worker", "Page", 1),
	"a name in capitals":       strings.Replace(plain, "NAME", "Shop", 1),
	"no tiers":                 strings.Split(plain, "tiers:")[0] + "tiers: []\n",
	"desired above max":        strings.Replace(plain, "process: {}", "process: {}, replicas: {min: 1, desired: 5, max: 3}", 1),
	"unknown fields":           strings.Replace(plain, "process: {}", "process: {comand: []}, replica: {min: 1}", 1),
	"a label that is none":     strings.Replace(plain, "{name: NAME}", `{name: shop, labels: {"a b": c}}`, 1),
}

// TestInvalidTextIsTheServers shows that what is refused without a cluster is refused in the words of the API server.
func TestInvalidTextIsTheServers(t *testing.T) {
	for name, document := range invalidDocuments {
		t.Run(name, func(t *testing.T) {
			document = strings.ReplaceAll(document, "NAME", "shop")
			got := kubectl(t, document, "memorybudget", "plan", "-f", "-")
			if got.code != 1 || got.out != "" {
				t.Errorf("exit status %d and standard output %q, want 1 and nothing", got.code, got.out)
			}
			header, rest, _ := strings.Cut(got.errOut, "\n")
			lines := strings.Split(strings.TrimSuffix(rest, "\n"), "\n")
			if rest == "" {
				lines = []string{strings.TrimPrefix(header, "error: STDIN: ")}
			}
			want := serverSays(t, document)
			slices.Sort(lines)
			slices.Sort(want)
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Errorf("unlike the API server (-server +plugin):\n%s", diff)
			}
		})
	}
}

// serverSays is the API server's answer to a document, one line for each cause, as kubectl prints them.
func serverSays(t *testing.T, document string) []string {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(document), object); err != nil {
		t.Fatal(err)
	}
	_, err := budgets("default").Create(t.Context(), object, metav1.CreateOptions{
		DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict,
	})
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatalf("the API server answers %v, want a refusal", err)
	}
	if !apierrors.IsInvalid(err) {
		return []string{status.Status().Message}
	}
	var lines []string
	for _, cause := range status.Status().Details.Causes {
		lines = append(lines, "* "+cause.Field+": "+cause.Message)
	}
	return lines
}

// TestPlannedObjects shows that the API server takes what is planned, every field of it.
func TestPlannedObjects(t *testing.T) {
	const ns = "planned"
	namespace(t, ns)
	example := filepath.Join("..", "..", "..", "examples", "bunoraa", "memorybudget.yaml")
	planned := kubectl(t, "", "memorybudget", "plan", "-f", example, "-n", ns, "-o", "yaml")
	if planned.code != 0 {
		t.Fatal(planned.errOut)
	}
	applied := kubectl(t, planned.out, "apply", "--server-side", "--validate=strict", "-f", "-")
	var want strings.Builder
	for document := range strings.SplitSeq(planned.out, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), object); err != nil {
			t.Fatal(err)
		}
		kind := strings.ToLower(object.GetKind())
		if group := object.GroupVersionKind().Group; group != "" {
			kind += "." + group
		}
		want.WriteString(kind + "/" + object.GetName() + " serverside-applied\n")
	}
	applied.expect(t, 0, want.String(), "")
}

// TestPlanOfARunningOne shows that what kubectl get prints can be planned.
func TestPlanOfARunningOne(t *testing.T) {
	const ns = "running"
	namespace(t, ns)
	report(t, create(t, ns, "shop"))
	printed := kubectl(t, "", "get", "memorybudgets", "-n", ns, "-o", "yaml", "--show-managed-fields")
	kubeconfig := filepath.Join(t.TempDir(), "none") // Without a cluster.
	got := kubectlWith(t, kubeconfig, printed.out, "memorybudget", "plan", "-f", "-", "-o", "yaml")
	if got.code != 0 || got.errOut != "" || !strings.Contains(got.out, "namespace: "+ns+"\n") || strings.Contains(got.out, "ownerReferences") {
		t.Errorf("exit status %d, standard error %q, standard output:\n%s", got.code, got.errOut, got.out)
	}
	if _, err := os.Stat(kubeconfig); err == nil {
		t.Error("a kubeconfig was written")
	}
}
