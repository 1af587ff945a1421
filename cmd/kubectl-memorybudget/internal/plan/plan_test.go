// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/settings"
	"github.com/memorybudget/memorybudget/internal/validation/offline"
)

// TestObjects shows that what is printed, read again, is what the operator would send, in that order.
func TestObjects(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "examples", "bunoraa", "memorybudget.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	mb, err := offline.Decode(text, "shop")
	if err != nil {
		t.Fatal(err)
	}
	var want []any
	for _, write := range decision.Decide(&observe.Snapshot{MemoryBudget: mb}).Writes {
		want = append(want, plain(t, write.Object))
	}
	p := Make(mb)
	objects, err := p.Objects()
	if err != nil {
		t.Fatal(err)
	}
	var asYAML, asJSON bytes.Buffer
	if err := writeYAML(&asYAML, objects); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(&asJSON, objects); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, documents(t, asYAML.String())); diff != "" {
		t.Errorf("unexpected YAML (-want +got):\n%s", diff)
	}
	var list struct{ Items []any }
	if err := json.Unmarshal(asJSON.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, list.Items); diff != "" {
		t.Errorf("unexpected JSON (-want +got):\n%s", diff)
	}
}

func plain(t *testing.T, object any) (value any) {
	t.Helper()
	data, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// documents also checks that each object begins with what it is.
func documents(t *testing.T, text string) (values []any) {
	t.Helper()
	for document := range strings.SplitSeq(text, "\n---\n") {
		if !strings.HasPrefix(document, "apiVersion: ") || !strings.Contains(document, "\nkind: ") {
			t.Errorf("a document begins with %.80q", document)
		}
		var value any
		if err := yaml.UnmarshalStrict([]byte(document), &value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}

func TestRecycleWords(t *testing.T) {
	tests := map[string]struct {
		recycle settings.Recycle
		want    string
	}{
		"gunicorn":       {settings.Recycle{MaxRequests: 1000, MaxRequestsJitter: 100, MaxRSSBytes: 196 << 20}, "1000+100 requests, 196Mi RSS"},
		"without jitter": {settings.Recycle{MaxRequests: 1000}, "1000 requests"},
		"Celery":         {settings.Recycle{MaxTasks: 500, MaxMemoryKiB: 230<<10 + 600}, "500 tasks, 231Mi RSS"},
		"never":          {settings.Recycle{}, "never"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := recycleWords(tc.recycle); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
