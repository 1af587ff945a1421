// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
)

const (
	// neighbours are the resources on the good broker: few enough for decisions not to wait for a processor.
	neighbours = 10
	// rounds is how often each bad broker is measured.
	rounds = 5
)

// serve is what a bad broker does with a connection, which is closed when it returns.
type serve func(ctx context.Context, conn net.Conn)

// bad are brokers by what they do. One without a function is told to connect to the good broker with a wrong password or,
// where nothing listens, refuses.
func bad() []struct {
	name  string
	serve serve
} {
	reply := func(text string) serve {
		return func(_ context.Context, conn net.Conn) { _, _ = conn.Write([]byte(text)); drain(conn) }
	}
	return []struct {
		name  string
		serve serve
	}{
		{"hangs", func(ctx context.Context, conn net.Conn) { <-ctx.Done() }},
		{"refuses connections", nil},
		{"answers garbage", reply("\x00\xff garbage\r\n\r\n")},
		{"answers a gigabyte", gigabyte},
		{"announces a gigabyte", reply("$1073741824\r\n")},
		{"answers the wrong type", wrongType},
		{"has another password", reply("-WRONGPASS invalid username-password pair\r\n")},
	}
}

func drain(conn net.Conn) {
	buffer := make([]byte, 4096)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

// gigabyte answers with one line of that length.
func gigabyte(_ context.Context, conn net.Conn) {
	if _, err := conn.Write([]byte("+")); err != nil {
		return
	}
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for range 1 << 10 {
		if _, err := conn.Write(chunk); err != nil {
			return
		}
	}
}

// wrongType answers each command with a number, whatever was asked.
func wrongType(_ context.Context, conn net.Conn) {
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		for range bytes.Count(buffer[:n], []byte("*")) {
			if _, err := conn.Write([]byte(":7\r\n")); err != nil {
				return
			}
		}
	}
}

// badBrokers measures what a bad broker does to the resources of a good one: they get a task every second, and so decide.
func badBrokers(ctx context.Context, settings *settings) (err error) {
	settings.interval = max(settings.interval, time.Second)
	s, err := open(ctx, settings, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.namespace(ctx, measured); err != nil {
		return err
	}
	if err := s.startOperator(ctx, measured); err != nil {
		return err
	}
	for i := range neighbours {
		mb := climber(measured, fmt.Sprintf("good-%d", i), brokerName(0), goodQueue(i), 1000)
		if err := s.admin.Create(ctx, mb); err != nil {
			return err
		}
	}
	if _, err := s.decisions(ctx, "warming up"); err != nil {
		return err
	}
	for _, b := range bad() {
		if err := s.beside(ctx, b.name, b.serve); err != nil {
			return err
		}
	}
	return nil
}

func goodQueue(i int) string { return fmt.Sprintf("queue-%d", i) }

// beside measures without a bad broker and with it, in turn, since other load of the machine comes and goes.
func (s *scene) beside(ctx context.Context, name string, serve serve) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(freePort()))
	if serve != nil {
		if err := listen(ctx, address, serve); err != nil {
			return err
		}
	}
	broker := "bad-" + address[len("127.0.0.1:"):]
	if err := s.secret(ctx, measured, broker, address, password); err != nil {
		return err
	}
	var ratios []float64
	for range rounds {
		without, err := s.decisions(ctx, "none")
		if err != nil {
			return err
		}
		mb := climber(measured, broker, broker, "celery", 10)
		if err := s.admin.Create(ctx, mb); err != nil {
			return err
		}
		with, err := s.decisions(ctx, name)
		if err != nil {
			return err
		}
		if err := s.admin.Delete(ctx, mb); err != nil {
			return err
		}
		ratios = append(ratios, with/without)
	}
	slices.Sort(ratios)
	s.say("%s / none: %.2f (median of %d, from %.2f to %.2f)", name, ratios[len(ratios)/2], rounds, ratios[0], ratios[len(ratios)-1])
	return nil
}

// listen serves connections until ctx ends.
func listen(ctx context.Context, address string, serve serve) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				defer func() { _ = conn.Close() }()
				serve(ctx, conn)
			}()
		}
	}()
	return nil
}

// decisions tells how long the operator takes for one on average, in milliseconds, and its peak memory.
func (s *scene) decisions(ctx context.Context, beside string) (float64, error) {
	if err := s.operator.resetPeak(); err != nil {
		return 0, err
	}
	before, err := s.histograms(ctx)
	if err != nil {
		return 0, err
	}
	for end := time.Now().Add(s.period); time.Now().Before(end); {
		for i := range neighbours {
			if err := publish(ctx, s.brokers[0], goodQueue(i)); err != nil {
				return 0, err
			}
		}
		if err := sleep(ctx, time.Second); err != nil {
			return 0, err
		}
	}
	after, err := s.histograms(ctx)
	if err != nil {
		return 0, err
	}
	figures, err := s.operator.memory()
	if err != nil {
		return 0, err
	}
	decision := mean(before[0], after[0])
	s.say("beside a broker that %-24s %5d decisions, %.1f ms on average; reading to write %.1f ms; peak %d MiB", beside+":",
		after[0].GetSampleCount()-before[0].GetSampleCount(), decision, mean(before[1], after[1]), figures["VmHWM"]>>10)
	return decision, nil
}

// histograms are those of decisions and of the time from a reading to a write.
func (s *scene) histograms(ctx context.Context) ([]*dto.Histogram, error) {
	var all []*dto.Histogram
	for _, name := range []string{"controller_runtime_reconcile_time_seconds", "memorybudget_signal_to_write_seconds"} {
		h, err := s.operator.histogram(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}
