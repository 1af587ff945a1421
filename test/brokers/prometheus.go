// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Prometheus scrapes itself, and what a test sets, once a second.
type Prometheus struct {
	// Address is host and port.
	Address string
	mu      sync.Mutex
	gauges  map[string]string
}

// StartPrometheus runs one whose first scrape is over.
func StartPrometheus(t *testing.T) *Prometheus {
	t.Helper()
	dir, p := t.TempDir(), &Prometheus{Address: net.JoinHostPort("127.0.0.1", freePort(t)), gauges: map[string]string{}}
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, p.page()) }))
	t.Cleanup(exporter.Close)
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`global: {scrape_interval: 1s}
scrape_configs:
- {job_name: self, static_configs: [{targets: [%q]}]}
- {job_name: test, static_configs: [{targets: [%q]}]}
`, p.Address, exporter.Listener.Addr().String())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, program(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+p.Address)
	await(t, "Prometheus to scrape", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Address+"/api/v1/query?query=sum(up)==2", http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		answer := make([]byte, 1<<10)
		if n, _ := response.Body.Read(answer); !strings.Contains(string(answer[:n]), `"2"`) {
			return fmt.Errorf("it says %s", answer[:n])
		}
		return nil
	})
	return p
}

// Set gives a gauge a value. Without one, it is no longer exported.
func (p *Prometheus) Set(gauge, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gauges[gauge] = value
}

func (p *Prometheus) page() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var text strings.Builder
	for gauge, value := range p.gauges {
		if value != "" {
			fmt.Fprintf(&text, "%s %s\n", gauge, value)
		}
	}
	return text.String()
}
