// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"regexp"
	"testing"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"path/filepath"

	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// TestLowestVersion checks that an API server which behaves as the lowest version that the chart accepts takes the CRD
// and enforces the policies. What an API server emulates are its APIs, its features and the functions of CEL.
func TestLowestVersion(t *testing.T) {
	var metadata struct {
		KubeVersion string `json:"kubeVersion"`
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(testrbac.Root(), chart, "Chart.yaml"))), &metadata); err != nil {
		t.Fatal(err)
	}
	lowest := regexp.MustCompile(`^>=(\d+\.(\d+))\.0-0$`).FindStringSubmatch(metadata.KubeVersion)
	if lowest == nil {
		t.Fatalf("cannot read the lowest version from %q", metadata.KubeVersion)
	}
	cluster := start(t, localcluster.Options{ExtraArgs: map[string][]string{
		localcluster.APIServer: {"--emulated-version=kube=" + lowest[1]},
	}})
	version, err := kubernetes.NewForConfigOrDie(cluster.RESTConfig()).Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if version.EmulationMinor != lowest[2] {
		t.Fatalf("the API server emulates 1.%s, want %s", version.EmulationMinor, lowest[1])
	}
	if err := testrbac.Install(t.Context(), cluster.RESTConfig()); err != nil {
		t.Fatal(err)
	}
}
