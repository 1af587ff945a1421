// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// door leads to a broker, until another answers in its place.
type door struct {
	address string
	mu      sync.Mutex
	// answer is who answers instead, nil while the broker does. What it is given is closed when it returns.
	answer func(net.Conn)
	open   map[net.Conn]bool
}

func newDoor(t *testing.T, to string) *door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{address: listener.Addr().String(), open: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = listener.Close(); d.turn(nil) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go d.serve(conn, to)
		}
	}()
	return d
}

func (d *door) serve(conn net.Conn, to string) {
	d.mu.Lock()
	answer := d.answer
	d.open[conn] = true
	d.mu.Unlock()
	defer func() { _ = conn.Close() }()
	if answer != nil {
		answer(conn)
		return
	}
	broker, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	go func() { _, _ = io.Copy(conn, broker); _ = conn.Close() }()
	_, _ = io.Copy(broker, conn)
	_ = broker.Close()
}

// turn lets another answer from now on, nil: the broker.
func (d *door) turn(answer func(net.Conn)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
	for conn := range d.open {
		_ = conn.Close()
	}
	clear(d.open)
}

// reply answers every packet of commands with the same.
func reply(text string) func(net.Conn) {
	return func(conn net.Conn) {
		buffer := make([]byte, 4096)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			answer := strings.Repeat(text, max(1, bytes.Count(buffer[:n], []byte("*"))))
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// TestScalingByABadBroker: whatever a broker does or answers, no tier is made smaller for it, and that is told; when it is well
// again, the tier follows its queues again.
func TestScalingByABadBroker(t *testing.T) {
	t.Parallel()
	tests := map[string]func(net.Conn){
		"Hangs":              func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) },
		"Closes":             func(net.Conn) {},
		"AnswersGarbage":     reply("\x00\xff garbage\r\n"),
		"AnswersAGigabyte":   func(conn net.Conn) { _, _ = io.Copy(conn, io.LimitReader(endless{}, 1<<30)) },
		"AnnouncesTooMuch":   reply("$1073741824\r\n"),
		"AnswersWrongTypes":  reply(":7\r\n"),
		"RefusesThePassword": reply("-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			redis := brokers.StartRedis(t, "secret")
			d := newDoor(t, redis.Address)
			s.create(&corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "shop-broker"},
				StringData: map[string]string{"url": "redis://:secret@" + d.address + "/0"},
			})
			s.letReadSecrets()
			s.operator = s.startOperator(fault{}, manager.Options{
				WatchNamespaces: []string{s.namespace}, BrokerInterval: 200 * time.Millisecond,
				BrokerGuard: func(context.Context, netip.Addr) bool { return true },
			})
			s.create(scaled())
			publish(t, redis, "emails", 4)
			s.awaitReplicas(map[string]int{"worker": 2})
			d.turn(answer)
			redis.Do(t, "DEL", "emails")
			s.awaitDemand("worker", "an unknown metric", func(t v1alpha1.TierStatus) bool {
				return t.Demand.LimitedBy == v1alpha1.DemandLimitedByUnknown
			})
			s.settle()
			s.awaitReplicas(map[string]int{"web": 1, "worker": 2})
			d.turn(nil)
			s.awaitReplicas(map[string]int{"worker": 0})
			s.verdict()
		})
	}
}

// endless is one line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("+"), len(p))), nil }
