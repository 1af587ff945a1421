// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// TestLeaderElection: of two operators one acts. The other takes over without writing anything but the lease.
func TestLeaderElection(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	options := manager.Options{
		WatchNamespaces: []string{s.namespace}, LeaderElect: true, LeaderElectionNamespace: testrbac.Namespace,
	}
	first := s.startOperator(fault{}, options)
	s.create(small().Obj())
	s.awaitReady()
	second := s.startOperator(fault{}, options)
	t.Cleanup(second.stop)
	s.operator = second
	s.quiet()
	if n := len(second.tap.all(kindLease)); n > 0 {
		t.Errorf("the second has written the lease %d times", n)
	}
	first.stop()
	eventually(t, "the second to lead", func(context.Context) error {
		if len(second.tap.all(kindLease)) == 0 {
			return fmt.Errorf("it has not written the lease")
		}
		return nil
	})
	s.nudge()
	s.verdict()
}

// TestEndpoints: health and readiness for everybody, metrics over HTTPS for those who may read them.
func TestEndpoints(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	probes, metrics := freeAddress(t), freeAddress(t)
	s.operator = s.startOperator(fault{}, manager.Options{
		WatchNamespaces: []string{s.namespace}, HealthProbeBindAddress: probes, MetricsBindAddress: metrics,
	})
	s.create(small().Obj())
	s.awaitReady()
	reader, err := cluster.ServiceAccountConfig(t.Context(), s.namespace, "default")
	if err != nil {
		t.Fatal(err)
	}
	get := func(url, token string) (int, string) {
		t.Helper()
		code, body, err := fetch(t.Context(), url, token)
		if err != nil {
			t.Fatal(err)
		}
		return code, body
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := get("http://"+probes+path, ""); code != http.StatusOK {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, _ := get("https://"+metrics+"/metrics", ""); code != http.StatusUnauthorized {
		t.Errorf("metrics for an anonymous reader: %d", code)
	}
	if code, _ := get("https://"+metrics+"/metrics", reader.BearerToken); code != http.StatusForbidden {
		t.Errorf("metrics for somebody without permission: %d", code)
	}
	s.allowMetrics()
	another := s.account("scraper")
	eventually(t, "metrics for an authorized reader", func(ctx context.Context) error {
		code, body, err := fetch(ctx, "https://"+metrics+"/metrics", another)
		if err != nil {
			return err
		}
		if code != http.StatusOK || !strings.Contains(body, "controller_runtime_reconcile_total") {
			return fmt.Errorf("%d %.200s", code, body)
		}
		return nil
	})
	if _, _, err := fetch(t.Context(), "http://"+metrics+"/metrics", another); err == nil {
		if code, _ := get("http://"+metrics+"/metrics", another); code == http.StatusOK {
			t.Error("metrics are served without TLS")
		}
	}
	s.verdict()
}

// allowMetrics lets the namespace's service account "scraper" read metrics.
func (s *scene) allowMetrics() {
	s.t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace + "-scraper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "memorybudget-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "scraper"}},
	}
	if err := admin.Create(s.t.Context(), binding); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := admin.Delete(context.Background(), binding); err != nil {
			s.t.Error(err)
		}
	})
}

// account makes a service account and returns a token of it.
func (s *scene) account(name string) string {
	s.t.Helper()
	s.create(serviceAccount(name))
	config, err := cluster.ServiceAccountConfig(s.t.Context(), s.namespace, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return config.BearerToken
}

// fetch gets a page; whose certificate it is does not matter here.
func fetch(ctx context.Context, url, token string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // Self-signed, on loopback.
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// TestColumns: what `kubectl get mb` shows.
func TestColumns(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	httpClient, err := rest.HTTPClientFor(cluster.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	url := cluster.Server() + "/apis/memorybudget.dev/v1alpha1/namespaces/" + s.namespace + "/memorybudgets"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var table metav1.Table
	if err := json.NewDecoder(response.Body).Decode(&table); err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for i, column := range table.ColumnDefinitions {
		got[strings.ToUpper(column.Name)] = table.Rows[0].Cells[i]
	}
	delete(got, "AGE")
	want := map[string]any{
		"NAME": "shop", "READY": "True", "BUDGET": "2Gi", "ALLOCATED": "1280Mi",
		"WEB": "1/1", "WORKER": "2/2", "ML": "1/1", "LIMITED-BY": "None",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	s.verdict()
}
