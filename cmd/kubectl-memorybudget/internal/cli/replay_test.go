// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/recording"
	"github.com/memorybudget/memorybudget/internal/status"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// recorded is a recording, by an operator of that version, of one decision about each of two resources, decompressed.
func recorded(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	r := recording.New(recording.Options{Dir: dir, Bytes: 8 << 20, Operator: version, Clock: clock.RealClock{}, Log: logr.Discard()})
	for _, namespace := range []string{"prod", "test"} {
		mb := testutil.MakeExample("bunoraa", namespace).Obj()
		s := &observe.Snapshot{MemoryBudget: mb, Now: time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)}
		tier := &mb.Spec.Tiers[1]
		tier.Replicas.Desired, tier.Scaling = nil, &v1alpha1.Scaling{}
		s.Broker = observe.Broker{State: observe.BrokerRead, Queues: []observe.Queue{{Name: "celery", Ready: 3}, {Name: "emails"}}}
		s.Broker.Heartbeats = observe.BrokerRead
		entry := r.Begin(s)
		d := decision.Decide(s)
		entry.Decided(&d)
		now := metav1.NewTime(s.Now)
		entry.Reported("", now, status.Compute(mb.Status, status.Input{Snapshot: s, Decision: &d, Now: now}))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("recorded %v, %v", paths, err)
	}
	return decompressed(t, paths[0])
}

func decompressed(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestReplay(t *testing.T) {
	good, other := recorded(t, "v1.2.3"), recorded(t, "v9")
	lines := strings.SplitAfter(good, "\n")
	const differs = "2026-03-01T12:00:00.000005Z prod/bunoraa: decision.Plan.Tiers[worker].Granted: recorded 7, replayed 0\n"
	broken := strings.Replace(good, `"Name":"worker","Wanted":2,"Granted":0`, `"Name":"worker","Wanted":2,"Granted":7`, 1)
	header := "TIME,NAMESPACE,NAME,TIER,WAITING,TAKEN,RUNNING,UNDELIVERED,PENDING,LENGTH,PERCENT-OF-TARGET,DEMAND,DEMAND-LIMITED-BY,DESIRED,GRANTED,READY,LIMITED-BY\n"
	csvRow := "2026-03-01T12:00:00Z,prod,bunoraa,worker,3,0,0,,,,,2,None,2,0,0,Reserve\n"
	tests := map[string]struct {
		in   string
		args []string
		want string
	}{
		"the same":            {in: good, want: shown(0, "", "2 decisions replayed, all the same\n")},
		"one of two":          {in: good, args: []string{"-n", "prod", "--name", "bunoraa"}, want: shown(0, "", "1 decisions replayed, all the same\n")},
		"of another name":     {in: good, args: []string{"--name", "shop"}, want: shown(0, "", "0 decisions replayed, all the same\n")},
		"a number changed":    {in: broken, want: shown(1, "", differs+"2 decisions replayed, 1 differ\n")},
		"the other one is as": {in: broken, args: []string{"-n", "test"}, want: shown(0, "", "1 decisions replayed, all the same\n")},
		"a series, and a difference beside it": {
			in: broken, args: []string{"-n", "prod", "--tier", "worker", "-o", "csv"},
			want: shown(1, differs+"1 decisions replayed, 1 differ\n", header+csvRow),
		},
		"another version": {in: other, want: shown(0, "Warning: - was recorded by version \"v9\" of the operator, and this is version \"v1.2.3\": "+
			"differences may come from that\n", "2 decisions replayed, all the same\n")},
		"cut": {in: good[:len(good)-5], want: shown(0, "Warning: - ends within line 3, which is left out: the operator was ended while it wrote, "+
			"or the file is not whole\n", "1 decisions replayed, all the same\n")},
		"a bad line": {in: lines[0] + "{}\n" + lines[1], want: shown(1, "error: -: line 2: not a record\n", "1 decisions replayed, all the same\n")},
		"a snapshot of nothing": {
			in:   lines[0] + `{"snapshot":{},"decision":1,"status":1}` + "\n" + lines[1],
			want: shown(1, "error: -: line 2: the snapshot has no MemoryBudget\n", "1 decisions replayed, all the same\n"),
		},
		"decisions are missing": {
			in:   lines[0] + strings.Replace(lines[1], `{"snapshot"`, `{"unrecorded":4,"snapshot"`, 1),
			want: shown(0, "", "1 decisions replayed, all the same; 4 more were made and not recorded\n"),
		},
		"no recording": {in: "kind: MemoryBudget\n", want: shown(1, "error: -: reading: line 1: not the header of a recording\n",
			"0 decisions replayed, all the same\n")},
		"a format that is none": {args: []string{"-o", "yaml"}, want: shown(1, "error: unable to match a printer suitable for the output format "+
			"\"yaml\", allowed formats are: summary,table,csv\nSee 'kubectl memorybudget replay -h' for help and examples\n", "")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
			_, got, _ := strings.Cut(invoke(tc.in, append([]string{"replay", "-"}, tc.args...)...), "\n")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// shown is what invoke shows of a command line.
func shown(code int, errOut, out string) string {
	return "-- exit status --\n" + string(rune('0'+code)) + "\n-- standard error --\n" + errOut + "-- standard output --\n" + out
}
