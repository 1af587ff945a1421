// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ticks are those of the kernel in a second, on every Linux that Go runs on.
const ticks = 100

// operator is the process that is measured.
type operator struct {
	pid int
	url string
}

// cpu is the processor time that it has taken.
func (o *operator) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks, err
}

// memory are figures of /proc/PID/status in KiB: VmHWM is the largest resident size.
func (o *operator) memory() (map[string]int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.pid))
	if err != nil {
		return nil, err
	}
	figures := map[string]int64{}
	for line := range strings.Lines(string(data)) {
		name, rest, _ := strings.Cut(line, ":")
		if value, found := strings.CutSuffix(strings.TrimSpace(rest), " kB"); found {
			figures[name], _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return figures, nil
}

// resetPeak makes VmHWM begin anew.
func (o *operator) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", o.pid), []byte("5"), 0)
}

func (o *operator) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}

// profile stores a profile, where a directory for it was named.
func (s *scene) profile(ctx context.Context, path, name string) error {
	if s.profiles == "" {
		return nil
	}
	data, err := s.operator.get(ctx, path)
	if err != nil {
		return err
	}
	return os.WriteFile(s.profiles+"/"+name, data, 0o600)
}

func (o *operator) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	data, err := o.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	return parser.TextToMetricFamilies(bytes.NewReader(data))
}

// histogram is a metric without labels, or the first of those of the controller.
func (o *operator) histogram(ctx context.Context, name string) (*dto.Histogram, error) {
	families, err := o.metrics(ctx)
	if err != nil {
		return nil, err
	}
	if family := families[name]; family != nil && len(family.GetMetric()) > 0 {
		return family.GetMetric()[0].GetHistogram(), nil
	}
	return &dto.Histogram{}, nil
}

// mean is that of what was observed since before, in milliseconds.
func mean(before, after *dto.Histogram) float64 {
	n := float64(after.GetSampleCount() - before.GetSampleCount())
	if n == 0 {
		return 0
	}
	return (after.GetSampleSum() - before.GetSampleSum()) / n * 1000
}
