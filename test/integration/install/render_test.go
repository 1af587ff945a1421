// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/memorybudget/memorybudget/test/testrbac"
)

// helmsOwn are labels and annotations that say that Helm installed an object.
var helmsOwn = []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/resource-policy"}

// normal indexes objects by kind, namespace and name, without what may differ: marks of Helm, hooks, and the namespace,
// which the chart leaves to `--create-namespace`.
func normal(objects []*unstructured.Unstructured) map[string]map[string]any {
	index := map[string]map[string]any{}
	for _, object := range objects {
		if _, hook := object.GetAnnotations()["helm.sh/hook"]; hook || object.GetKind() == "Namespace" {
			continue
		}
		labels, annotations := object.GetLabels(), object.GetAnnotations()
		for _, key := range helmsOwn {
			delete(labels, key)
			delete(annotations, key)
		}
		object.SetLabels(labels)
		object.SetAnnotations(annotations)
		index[strings.Join([]string{object.GetKind(), object.GetNamespace(), object.GetName()}, "/")] = object.Object
	}
	return index
}

// TestChartEqualsKustomize checks that it does not matter how the operator is installed.
func TestChartEqualsKustomize(t *testing.T) {
	tests := map[string]struct {
		kustomization string
		dir           string
		args          []string
	}{
		"Default": {dir: "default"},
		"WithPrometheus": {
			kustomization: read(t, filepath.Join(testrbac.Root(), "config", "default", "kustomization.yaml")) + "\ncomponents: [../prometheus]\n",
			dir:           "default",
			args:          []string{"--set", "metrics.serviceMonitor.enabled=true,metrics.rules.enabled=true"},
		},
		"OtherNamespace": {
			kustomization: "namespace: elsewhere\nresources: [../default]\n",
			dir:           "overlay",
			args:          []string{"--namespace", "elsewhere"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			want, err := testrbac.Kustomize(configWith(t, tc.dir, tc.kustomization))
			if err != nil {
				t.Fatal(err)
			}
			rendered, err := template(t, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := testrbac.Decode(rendered)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(want), normal(got)); diff != "" {
				t.Errorf("kustomize (-) and chart (+) differ:\n%s", diff)
			}
		})
	}
}

// TestChartFiles checks that what the chart takes over from config/ is the same there: `make chart-sync`.
func TestChartFiles(t *testing.T) {
	source := map[string]string{}
	for _, dir := range []string{"broker-secrets", "crd/bases", "policy", "prometheus", "rbac"} {
		paths, err := filepath.Glob(filepath.Join(testrbac.Root(), "config", dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			source[filepath.Base(path)] = path
		}
	}
	copies, err := filepath.Glob(filepath.Join(testrbac.Root(), chart, "files", "*"))
	if err != nil || len(copies) == 0 {
		t.Fatalf("no files in the chart: %v", err)
	}
	for _, path := range copies {
		if diff := cmp.Diff(read(t, source[filepath.Base(path)]), read(t, path)); diff != "" {
			t.Errorf("%s differs from config/, run `make chart-sync`:\n%s", path, diff)
		}
	}
}

// configWith copies config/, writes a kustomization into one of its directories, and returns that directory.
func configWith(t *testing.T, dir, kustomization string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(filepath.Join(testrbac.Root(), "config"))); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(root, dir)
	if kustomization == "" {
		return dir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestNamespacedMode checks that the operator of some namespaces has permissions in those alone.
func TestNamespacedMode(t *testing.T) {
	rendered, err := template(t, "--set", "watchNamespaces={shop,lab}")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := testrbac.Decode(rendered)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ClusterRoleBinding//memorybudget-metrics-auth",
		"RoleBinding/lab/memorybudget-broker-secrets",
		"RoleBinding/lab/memorybudget-manager",
		"RoleBinding/memorybudget-system/memorybudget-leader-election",
		"RoleBinding/shop/memorybudget-broker-secrets",
		"RoleBinding/shop/memorybudget-manager",
	}
	index := normal(objects)
	bindings := slices.DeleteFunc(slices.Sorted(maps.Keys(index)), func(key string) bool {
		return !strings.Contains(key, "RoleBinding/")
	})
	if diff := cmp.Diff(want, bindings); diff != "" {
		t.Errorf("unexpected bindings (-want +got):\n%s", diff)
	}
	args := containerArgs(t, index["Deployment/memorybudget-system/memorybudget-controller-manager"])
	if !slices.Contains(args, "--watch-namespaces=shop,lab") {
		t.Errorf("the operator's arguments are %q", args)
	}
}

func containerArgs(t *testing.T, deployment map[string]any) []string {
	t.Helper()
	containers, _, err := unstructured.NestedSlice(deployment, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatalf("want one container, got %d: %v", len(containers), err)
	}
	args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
	if err != nil {
		t.Fatal(err)
	}
	return args
}

// TestValuesSchema checks that values that cannot work are refused, with the name of the value.
func TestValuesSchema(t *testing.T) {
	tests := map[string]struct {
		set  string
		want string
	}{
		"UnknownValue":       {set: "replica=2", want: "replica"},
		"UnknownNestedValue": {set: "metrics.servicemonitor.enabled=true", want: "servicemonitor"},
		"NotANumber":         {set: "replicas=many", want: "replicas"},
		"Negative":           {set: "replicas=-1", want: "replicas"},
		"NotANamespace":      {set: "watchNamespaces={Shop}", want: "watchNamespaces"},
		"NotAList":           {set: "watchNamespaces=shop", want: "watchNamespaces"},
		"TwiceTheSame":       {set: "watchNamespaces={a,a}", want: "watchNamespaces"},
		"NotASecret":         {set: "brokerSecrets.secretNames={Broker}", want: "secretNames"},
		"NoReconciler":       {set: "maxConcurrentReconciles=0", want: "maxConcurrentReconciles"},
		"PullPolicy":         {set: "image.pullPolicy=Sometimes", want: "pullPolicy"},
		"Digest":             {set: "image.digest=latest", want: "digest"},
		"LogLevel":           {set: "log.level=loud", want: "level"},
		"LogLevelZero":       {set: "log.level=0", want: "level"},
		"SeveralAtOnce":      {set: "leaderElection.enabled=false", want: "needs replicas: 1"},
		"PortOfTheProbes":    {set: "metrics.port=8081", want: "port"},
		"NotASwitch":         {set: "policies.authors=maybe", want: "authors"},
		"NotAFlag":           {set: "extraArgs={verbose}", want: "extraArgs"},
		"TooSmallToRecord":   {set: "recording.sizeMiB=1", want: "sizeMiB"},
		"NotAQuantity":       {set: "resources.limits.memory=lots", want: "memory"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := template(t, "--set", tc.set)
			check(t, err, tc.want)
		})
	}
}

// TestWithoutLeaderElection checks that no two operators act at once, not even during an upgrade, and that there is no
// alert on a leader.
func TestWithoutLeaderElection(t *testing.T) {
	rendered, err := template(t, "--set", "leaderElection.enabled=false,replicas=1,metrics.rules.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := testrbac.Decode(rendered)
	if err != nil {
		t.Fatal(err)
	}
	index := normal(objects)
	strategy, _, err := unstructured.NestedString(index["Deployment/memorybudget-system/memorybudget-controller-manager"], "spec", "strategy", "type")
	if err != nil || strategy != "Recreate" {
		t.Errorf("the strategy is %q (%v), want Recreate", strategy, err)
	}
	if text := string(rendered); strings.Contains(text, "MemoryBudgetNoLeader") || !strings.Contains(text, "MemoryBudgetPodsGated") {
		t.Error("want all alerts but the one on a leader")
	}
}

// TestAlertsNeedMetrics checks that there is no alert on metrics that nobody serves.
func TestAlertsNeedMetrics(t *testing.T) {
	rendered, err := template(t, "--set", "metrics.enabled=false,metrics.rules.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(rendered), "PrometheusRule") {
		t.Error("there are alerts on metrics that are not served")
	}
}

// TestGoMemLimit checks that the collector's limit follows the container's.
func TestGoMemLimit(t *testing.T) {
	tests := map[string]struct {
		limit string
		want  string
	}{
		"Mebibytes": {limit: "128Mi", want: "value: 64MiB"},
		"Gibibytes": {limit: "2Gi", want: "value: 1792MiB"},
		"A little":  {limit: "64Mi", want: "value: 32MiB"},
		"Others":    {limit: "512M", want: ""},
		"Nothing":   {limit: "0Mi", want: ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rendered, err := template(t, "--show-only", "templates/deployment.yaml", "--set", "resources.limits.memory="+tc.limit)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(rendered), "GOMEMLIMIT"); got != (tc.want != "") {
				t.Errorf("GOMEMLIMIT is set: %t", got)
			}
			if !strings.Contains(string(rendered), tc.want) {
				t.Errorf("want %q in:\n%s", tc.want, rendered)
			}
		})
	}
}

// TestRecording checks that an operator that records has somewhere to write, with more room than it takes, and that none of it is there
// otherwise.
func TestRecording(t *testing.T) {
	tests := map[string]struct {
		set  string
		want []string
		not  []string
	}{
		"Off": {set: "recording.sizeMiB=64", not: []string{"record-snapshots", "name: recordings", "sizeLimit: 96Mi"}},
		"On": {
			set:  "recording.enabled=true,recording.sizeMiB=64",
			want: []string{"--record-snapshots=/recordings", "--record-snapshots-size=64Mi", "mountPath: /recordings", "sizeLimit: 96Mi"},
		},
		"OnAClaim": {
			set: "recording.enabled=true,recording.persistentVolumeClaim=kept", want: []string{"claimName: kept"}, not: []string{"sizeLimit: 160Mi"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rendered, err := template(t, "--set", tc.set)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := testrbac.Decode(rendered); err != nil {
				t.Fatal(err)
			}
			for _, text := range tc.want {
				if !strings.Contains(string(rendered), text) {
					t.Errorf("%s is missing", text)
				}
			}
			for _, text := range tc.not {
				if strings.Contains(string(rendered), text) {
					t.Errorf("%s is there", text)
				}
			}
		})
	}
}
