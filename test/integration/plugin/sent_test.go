// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/internal/manager"
)

// applies are the objects that an operator has sent to be applied, less status.
type applies struct {
	mu   sync.Mutex
	sent []map[string]any
}

func (a *applies) all() []map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent
}

// wrap is a transport.WrapperFunc.
func (a *applies) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch") && !strings.HasSuffix(r.URL.Path, "/status") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			var object map[string]any
			if err := yaml.Unmarshal(body, &object); err != nil {
				return nil, err
			}
			a.mu.Lock()
			a.sent = append(a.sent, object)
			a.mu.Unlock()
		}
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPlanIsWhatTheOperatorSends: the objects of `plan -o yaml` are those of the operator's requests, in their order.
func TestPlanIsWhatTheOperatorSends(t *testing.T) {
	const ns = "sent"
	namespace(t, ns)
	example := filepath.Join("..", "..", "..", "examples", "bunoraa", "memorybudget.yaml")
	planned := kubectl(t, "", "memorybudget", "plan", "-f", example, "-n", ns, "-o", "yaml")
	if planned.code != 0 {
		t.Fatal(planned.errOut)
	}
	var want []map[string]any
	for document := range strings.SplitSeq(planned.out, "\n---\n") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		want = append(want, object)
	}

	var requests applies
	operate(t, ns, &requests)
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(text, object); err != nil {
		t.Fatal(err)
	}
	if _, err := budgets(ns).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		return len(requests.all()) >= len(want), nil
	})
	if err != nil {
		t.Fatalf("waiting for %d requests, got %d: %v", len(want), len(requests.all()), err)
	}
	got := requests.all()
	for _, object := range got {
		delete(object["metadata"].(map[string]any), "ownerReferences") // They hold a UID, which a plan does not know.
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("planned (-) and sent (+) differ:\n%s", diff)
	}
}

// operate runs the operator for a namespace until the end of the test.
func operate(t *testing.T, namespace string, requests *applies) {
	t.Helper()
	restConfig := rest.CopyConfig(config)
	restConfig.ContentType = "application/json"
	restConfig.Wrap(requests.wrap)
	mgr, err := manager.New(restConfig, manager.Options{
		WatchNamespaces: []string{namespace}, MetricsBindAddress: "0", HealthProbeBindAddress: "0", MaxConcurrentReconciles: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
