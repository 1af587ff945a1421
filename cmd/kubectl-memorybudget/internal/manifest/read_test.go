// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func valid(name string) string {
	return fmt.Sprintf(`{"apiVersion": "memorybudget.dev/v1alpha1", "kind": "MemoryBudget", "metadata": {"name": %q},
  "spec": {"memory": "256Mi", "application": {"image": "shop:1"},
    "tiers": [{"name": "work", "role": "Worker", "memory": {"perPod": "64Mi"}, "process": {}}]}}`, name)
}

// summary is the name or the error of each result.
func summary(results []Result) []string {
	var all []string
	for _, r := range results {
		if r.Err != nil {
			all = append(all, r.Err.Error())
			continue
		}
		all = append(all, r.MemoryBudget.Namespace+"/"+r.MemoryBudget.Name)
	}
	return all
}

func TestRead(t *testing.T) {
	tests := map[string]struct {
		text        string
		want        []string
		wantIgnored []string
	}{
		"one":                        {text: valid("a"), want: []string{"team/a"}},
		"byte order mark":            {text: "\xef\xbb\xbf" + valid("a"), want: []string{"team/a"}},
		"carriage returns":           {text: strings.ReplaceAll(valid("a")+"\n---\n"+valid("b"), "\n", "\r\n"), want: []string{"team/a", "team/b"}},
		"JSON objects in a row":      {text: valid("a") + valid("b"), want: []string{"team/a", "team/b"}},
		"YAML in braces":             {text: "{apiVersion: v1, kind: Secret}\n---\n" + valid("a"), want: []string{"team/a"}, wantIgnored: []string{"Secret"}},
		"lists in lists":             {text: `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "List", "items": [` + valid("a") + `]}, ` + valid("b") + `]}`, want: []string{"team/a", "team/b"}},
		"a list of something else":   {text: `{"apiVersion": "v1", "kind": "List", "items": [1]}`, want: []string{"error parsing STDIN: an object is expected, with apiVersion, kind and metadata: json: cannot unmarshal number into Go value of type map[string]interface {}"}},
		"a field twice in JSON":      {text: strings.Replace(valid("a"), `"memory": "256Mi"`, `"memory": "1Gi", "memory": "256Mi"`, 1), want: []string{"error parsing STDIN: yaml: unmarshal errors:\n  line 2: key \"memory\" already set in map"}},
		"a kind with another group":  {text: strings.Replace(valid("a"), "memorybudget.dev/", "example.com/", 1), want: []string{`STDIN: it is MemoryBudget in version "example.com/v1alpha1", not MemoryBudget in version "memorybudget.dev/v1alpha1"`}},
		"invalid between valid ones": {text: valid("a") + "\n---\n" + strings.Replace(valid("b"), "256Mi", "25", 1) + "\n---\n" + valid("c"), want: []string{"team/a", "STDIN: the MemoryBudget \"b\" is invalid:\n* spec.memory: Invalid value: \"25\": must be at least 16Mi and at most 16Ti", "team/c"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			results, ignored := Read(Options{Filenames: []string{"-"}, Namespace: "team", In: strings.NewReader(tc.text)})
			if diff := cmp.Diff(tc.want, summary(results)); diff != "" {
				t.Errorf("unexpected results (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantIgnored, ignored); diff != "" {
				t.Errorf("unexpected ignored kinds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadFromURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/budget.yaml" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(valid("a"))) // A client that went away fails the test by itself.
	}))
	defer server.Close()
	results, _ := Read(Options{Filenames: []string{server.URL + "/budget.yaml", server.URL + "/other"}, Namespace: "team"})
	want := []string{"team/a", fmt.Sprintf("unable to read URL %q, server reported 404 Not Found", server.URL+"/other")}
	if diff := cmp.Diff(want, summary(results)); diff != "" {
		t.Errorf("unexpected results (-want +got):\n%s", diff)
	}
}

func TestReadKeepsNoOwner(t *testing.T) {
	text := strings.Replace(valid("a"), `"name": "a"`, `"name": "a", "uid": "3b1f62f4-8f4f-4d6a-9c53-9b2f5f3d7d0e"`, 1)
	results, _ := Read(Options{Filenames: []string{"-"}, In: strings.NewReader(text), Namespace: "team"})
	if len(results) != 1 || results[0].Err != nil || results[0].MemoryBudget.UID != "" {
		t.Errorf("got %v, want one without a UID", results)
	}
}

func TestReadLargeSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.yaml")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(maxSource + 1); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	results, _ := Read(Options{Filenames: []string{path}})
	want := []string{fmt.Sprintf("reading %s: it has more than %d bytes", path, maxSource)}
	if diff := cmp.Diff(want, summary(results)); diff != "" {
		t.Errorf("unexpected results (-want +got):\n%s", diff)
	}
}
