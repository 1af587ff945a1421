// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/internal/budget"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/internal/recording"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// recordedVersion is that of the operator that records and the plugin that replays.
const recordedVersion = "v1.2.3"

// TestScalingRecorded: an operator that records loses no decision, what it recorded can be replayed by the plugin to the bit and with the tiers in
// any order, and a decision that differs is found.
func TestScalingRecorded(t *testing.T) {
	t.Parallel()
	const canary = "Canary-0d31"
	s := newScene(t)
	dir := filepath.Join(t.TempDir(), "recording")
	redis := s.scaling(canary, func(o *manager.Options) {
		o.RecordSnapshots, o.RecordBytes, o.Version = dir, 64<<20, recordedVersion
	})
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0, "ml": 0})
	publish(t, redis, "celery", 100)
	s.awaitReplicas(map[string]int{"worker": 7, "ml": 0})
	publish(t, redis, "ml", 2)
	s.awaitReplicas(map[string]int{"worker": 3, "ml": 2})
	redis.Do(t, "DEL", "celery", "ml")
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0, "ml": 0})
	s.settle()
	s.operator.stop()
	s.verdict()

	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl.gz"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("recorded %v, %v", paths, err)
	}
	plugin := buildPlugin(t)
	out, code := replayed(t, plugin, paths[0])
	if code != 0 || !regexp.MustCompile(`(?m)^\d\d+ decisions replayed, all the same$`).MatchString(out) {
		t.Errorf("exit status %d: %s", code, out)
	}
	if strings.Contains(out, "Warning") {
		t.Errorf("replaying warns: %s", out)
	}
	plain := unpacked(t, paths[0])
	if bytes.Contains(plain, []byte(canary)) {
		t.Error("the recording holds the password of the broker")
	}
	inAnyOrder(t, plain)
	noticed(t, plugin, plain)
}

// buildPlugin builds kubectl-memorybudget.
func buildPlugin(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubectl-memorybudget")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-X main.version="+recordedVersion, "-o", path, "./cmd/kubectl-memorybudget")
	build.Dir = testrbac.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	return path
}

// replayed is what the plugin says to a recording, without a cluster.
func replayed(t *testing.T, plugin, file string, args ...string) (out string, code int) {
	t.Helper()
	replay := exec.CommandContext(t.Context(), plugin, append([]string{"replay", file}, args...)...)
	replay.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(t.TempDir(), "none"))
	data, err := replay.CombinedOutput()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return string(data), failed.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data), 0
}

func unpacked(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// inAnyOrder: the tiers of each recorded decision are granted the same, and ask for the same, wherever they stand in the spec.
func inAnyOrder(t *testing.T, plain []byte) {
	t.Helper()
	reader, err := recording.NewReader(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	for {
		record, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		snapshot, err := record.Read()
		if err != nil {
			t.Fatal(err)
		}
		first := decision.Decide(snapshot)
		want, asked := grants(&first), first.Histories()
		slices.Reverse(snapshot.MemoryBudget.Spec.Tiers)
		second := decision.Decide(snapshot)
		if diff := cmp.Diff(want, grants(&second)); diff != "" {
			t.Fatalf("with the tiers in another order (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(asked, second.Histories()); diff != "" {
			t.Fatalf("with the tiers in another order, the demand (-want +got):\n%s", diff)
		}
	}
}

func grants(d *decision.Decision) map[string]budget.TierPlan {
	all := map[string]budget.TierPlan{}
	for _, tier := range d.Plan.Tiers {
		all[tier.Name] = tier
	}
	return all
}

// noticed: one number of the last decision is changed, and the plugin names it.
func noticed(t *testing.T, plugin string, plain []byte) {
	t.Helper()
	at := bytes.LastIndex(plain, []byte(`"Granted":1`))
	if at < 0 {
		t.Fatal("no decision grants one replica")
	}
	broken := slices.Concat(plain[:at], []byte(`"Granted":4`), plain[at+len(`"Granted":1`):])
	path := filepath.Join(t.TempDir(), "broken.jsonl")
	if err := os.WriteFile(path, broken, 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := replayed(t, plugin, path)
	want := regexp.MustCompile(`(?m)^\S+ \S+/shop: decision\.Wish\.Tiers\[web\]\.Granted: recorded 4, replayed 1$`)
	if code != 1 || !want.MatchString(out) || !strings.Contains(out, "decisions replayed, 1 differ") {
		t.Errorf("exit status %d: %s", code, out)
	}
	out, code = replayed(t, plugin, path, "-o", "csv", "--tier", "worker")
	if code != 1 || !regexp.MustCompile(`,shop,worker,100,0,0,,,,,50,MaxReplicas,8,7,\d,Budget\n`).MatchString(out) {
		t.Errorf("exit status %d: %s", code, out)
	}
}
