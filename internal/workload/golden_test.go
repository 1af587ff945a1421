// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inputs are the resources that golden files exist for, by the name of the file.
func inputs(tb testing.TB) map[string]*v1alpha1.MemoryBudget {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	all := map[string]*v1alpha1.MemoryBudget{"bunoraa": parse(tb, "../../examples/bunoraa/memorybudget.yaml")}
	for _, path := range paths {
		all[strings.TrimSuffix(filepath.Base(path), ".yaml")] = parse(tb, path)
	}
	return all
}

func parse(tb testing.TB, path string) *v1alpha1.MemoryBudget {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	mb := &v1alpha1.MemoryBudget{}
	if err := yaml.UnmarshalStrict(data, mb); err != nil {
		tb.Fatalf("%s: %v", path, err)
	}
	if mb.Namespace == "" {
		mb.Namespace = "shop"
	}
	return mb
}

// rendered is the template of a tier, which the test expects to exist.
func rendered(tb testing.TB, mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier) Rendered {
	tb.Helper()
	r, err := Render(mb, tier, settings.Facts{})
	if err != nil {
		tb.Fatalf("Render(%s): %v", tier.Name, err)
	}
	return r
}

// objects are all objects of a resource, in the order in which they are applied.
func objects(tb testing.TB, mb *v1alpha1.MemoryBudget) []any {
	tb.Helper()
	var all []any
	if configMap := ConfigMap(mb); configMap != nil {
		all = append(all, configMap)
	}
	for i := range mb.Spec.Tiers {
		tier := &mb.Spec.Tiers[i]
		made := map[string]any{}
		if service := Service(mb, tier); service != nil {
			made[KindService] = service
		}
		if budget := PodDisruptionBudget(mb, tier); budget != nil {
			made[KindPodDisruptionBudget] = budget
		}
		in := DeploymentInput{
			Replicas: 1, Strategy: Strategy{MaxUnavailable: 1},
			Rendered: rendered(tb, mb, tier), InputHash: InputHash(mb, tier.Name),
		}
		if !in.Rendered.Gated {
			in.MinReadySeconds = int32(in.Rendered.GracePeriodSeconds) + 15
		}
		made[KindDeployment] = Deployment(mb, tier.Name, in)
		kinds := Children(mb, tier)
		if len(kinds) != len(made) {
			tb.Errorf("Children(%s) = %v, but %d objects are made", tier.Name, kinds, len(made))
		}
		for _, kind := range kinds {
			all = append(all, made[kind])
		}
	}
	return all
}

var hash = regexp.MustCompile(`\b[0-9a-f]{64}\b|\b[0-9a-f]{32}\b|(-settings-)[0-9a-f]{10}\b`)

// scrub takes out what belongs to other tests: the Python files, hashes, and the recorded template.
func scrub(tb testing.TB, object any) []byte {
	tb.Helper()
	data, err := yaml.Marshal(object)
	if err != nil {
		tb.Fatal(err)
	}
	var content map[string]any
	if err := yaml.Unmarshal(data, &content); err != nil {
		tb.Fatal(err)
	}
	blank(content)
	if data, err = yaml.Marshal(content); err != nil {
		tb.Fatal(err)
	}
	return hash.ReplaceAll(data, []byte("${1}HASH"))
}

func blank(value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			if strings.HasSuffix(key, ".py") || key == v1alpha1.TemplateAnnotation {
				v[key] = "..."
			}
			blank(child)
		}
	case []any:
		for i, child := range v {
			if child == settings.Escape(settings.Bootstrap()) {
				v[i] = "(bootstrap.py)"
			}
			blank(child)
		}
	}
}

func TestGolden(t *testing.T) {
	for name, mb := range inputs(t) {
		t.Run(name, func(t *testing.T) {
			var documents [][]byte
			for _, object := range objects(t, mb) {
				documents = append(documents, scrub(t, object))
			}
			checkGolden(t, filepath.Join("testdata", "golden", name+".yaml"), bytes.Join(documents, []byte("---\n")))
		})
	}
}

func checkGolden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("objects differ from %s; -update writes it anew (-want +got):\n%s", path, diff)
	}
}

// TestShopOfThePythonTests: what the tests in test/python run under the real programs is what is rendered here. They
// have it as JSON, since they need neither Go nor a YAML library.
func TestShopOfThePythonTests(t *testing.T) {
	const directory = "../../test/python/testdata/"
	var documents []json.RawMessage
	for _, object := range objects(t, parse(t, directory+"shop.yaml")) {
		document, err := yaml.YAMLToJSON(scrub(t, object))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, document)
	}
	got, err := json.MarshalIndent(documents, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, directory+"shop.json", append(got, '\n'))
}
