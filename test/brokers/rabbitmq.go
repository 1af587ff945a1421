// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// server is where Debian keeps the program itself; the one on the path changes to another user.
const server = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// RabbitMQ is a server with the user guest, whose password is guest.
type RabbitMQ struct {
	// Address is that of AMQP, Management that of the management API: host and port.
	Address, Management string
	path                string
	env                 []string
	command             *exec.Cmd
}

// StartRabbitMQ runs a RabbitMQ with its management API, in a directory of its own and with a port mapper of its own.
func StartRabbitMQ(t *testing.T) *RabbitMQ {
	t.Helper()
	path := server
	if _, err := os.Stat(path); err != nil {
		path = program(t, "rabbitmq-server")
	}
	dir, mapper, amqp, management := t.TempDir(), freePort(t), freePort(t), freePort(t)
	write(t, filepath.Join(dir, "plugins"), "[rabbitmq_management].\n")
	write(t, filepath.Join(dir, "rabbitmq.conf"), strings.Join([]string{
		"listeners.tcp.1 = 127.0.0.1:" + amqp, "management.tcp.ip = 127.0.0.1", "management.tcp.port = " + management,
		// Else it tells only every five seconds how many tasks there are, as quorum queues do by their tick.
		"management.sample_retention_policies.global.minute = 1", "management.sample_retention_policies.basic.minute = 1",
		"management.sample_retention_policies.detailed.10 = 1",
		"collect_statistics_interval = 500", "vm_memory_high_watermark.absolute = 512MB", "disk_free_limit.absolute = 1MB", "",
	}, "\n"))
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LANG=C.UTF-8",
		"ERL_EPMD_PORT=" + mapper, "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_DIST_PORT=" + freePort(t),
		"RABBITMQ_NODENAME=test" + amqp + "@localhost", "RABBITMQ_NODE_PORT=" + amqp, "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_MNESIA_BASE=" + dir, "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"), "RABBITMQ_CONF_ENV_FILE=" + filepath.Join(dir, "none"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none -rabbit quorum_tick_interval 500",
	}
	run(t, env, program(t, "epmd"), "-port", mapper, "-address", "127.0.0.1")
	r := &RabbitMQ{Address: "127.0.0.1:" + amqp, Management: "127.0.0.1:" + management, path: path, env: env}
	r.Start(t)
	return r
}

// Start starts a server that was stopped.
func (r *RabbitMQ) Start(t *testing.T) {
	t.Helper()
	r.command = run(t, r.env, r.path)
	await(t, "RabbitMQ", func(ctx context.Context) error { return r.ask(ctx, http.MethodGet, "/api/overview", "", nil) })
}

// Stop stops the server. What is durable is kept.
func (r *RabbitMQ) Stop() { end(r.command) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Call asks the management API.
func (r *RabbitMQ) Call(t *testing.T, method, path, body string) {
	t.Helper()
	if err := r.ask(t.Context(), method, path, body, nil); err != nil {
		t.Fatal(err)
	}
}

// Get asks the management API for something.
func (r *RabbitMQ) Get(t *testing.T, path string, into any) {
	t.Helper()
	if err := r.ask(t.Context(), http.MethodGet, path, "", into); err != nil {
		t.Fatal(err)
	}
}

func (r *RabbitMQ) ask(ctx context.Context, method, path, body string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+r.Management+path, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	request.SetBasicAuth("guest", "guest")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// VirtualHost makes a virtual host in which guest may do everything.
func (r *RabbitMQ) VirtualHost(t *testing.T, name string) {
	t.Helper()
	r.Call(t, http.MethodPut, "/api/vhosts/"+url.PathEscape(name), "{}")
	r.Permit(t, name, "guest", ".*", ".*", ".*")
}

// Permit says by patterns of names what a user may configure, write to and read from in a virtual host.
func (r *RabbitMQ) Permit(t *testing.T, vhost, user, configure, write, read string) {
	t.Helper()
	r.Call(t, http.MethodPut, "/api/permissions/"+url.PathEscape(vhost)+"/"+user,
		fmt.Sprintf(`{"configure":%q,"write":%q,"read":%q}`, configure, write, read))
}

// Declare makes a queue in a virtual host.
func (r *RabbitMQ) Declare(t *testing.T, vhost, queue string) {
	t.Helper()
	r.Call(t, http.MethodPut, "/api/queues/"+url.PathEscape(vhost)+"/"+url.PathEscape(queue), `{"durable":true}`)
}

// Publish puts a task into a queue.
func (r *RabbitMQ) Publish(t *testing.T, vhost, queue string) {
	t.Helper()
	r.Call(t, http.MethodPost, "/api/exchanges/"+url.PathEscape(vhost)+"/amq.default/publish", publication(queue, "{}"))
}

func publication(key, payload string) string {
	return fmt.Sprintf(`{"properties":{},"routing_key":%q,"payload":%q,"payload_encoding":"string"}`, key, payload)
}

// Exchange makes the exchange for events as the first worker does.
func (r *RabbitMQ) Exchange(t *testing.T, vhost string) {
	t.Helper()
	r.Call(t, http.MethodPut, "/api/exchanges/"+url.PathEscape(vhost)+"/celeryev", `{"type":"topic","durable":true}`)
}

// Heartbeat publishes what a real worker that runs so many tasks was seen to publish.
func (r *RabbitMQ) Heartbeat(t *testing.T, vhost, pod string, active int) {
	t.Helper()
	beat := publication("worker.heartbeat", event(pod, active))
	r.Call(t, http.MethodPost, "/api/exchanges/"+url.PathEscape(vhost)+"/celeryev/publish", beat)
}
