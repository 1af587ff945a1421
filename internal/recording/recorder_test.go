// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package recording

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// steppingClock is later each time that it is looked at.
type steppingClock struct{ *clocktesting.FakePassiveClock }

func (c steppingClock) Now() time.Time {
	now := c.FakePassiveClock.Now().Add(time.Second)
	c.SetTime(now)
	return now
}

// newRecorder writes at once what is recorded.
func newRecorder(dir string, size int64, log logr.Logger) *Recorder {
	r := New(Options{
		Dir: dir, Bytes: size, Operator: "v1", Clock: steppingClock{clocktesting.NewFakePassiveClock(morning)}, Log: log,
	})
	r.stopped = true
	return r
}

func filesIn(t *testing.T, dir string) (paths []string, size int64) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", path, mode)
		}
		size += info.Size()
	}
	return paths, size
}

// readAll reads the records of files, which must all be whole.
func readAll(t *testing.T, paths ...string) (records []*Record) {
	t.Helper()
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found, err := readFrom(data)
		if !errors.Is(err, io.EOF) {
			t.Fatalf("%s: %v", path, err)
		}
		records = append(records, found...)
	}
	return records
}

func readFrom(data []byte) (records []*Record, err error) {
	reader, err := NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	for {
		record, err := reader.Next()
		if err != nil {
			return records, err
		}
		records = append(records, record)
	}
}

// TestARecordingIsBounded: old files go for new ones, before the directory holds more than it may.
func TestARecordingIsBounded(t *testing.T) {
	dir, s := filepath.Join(t.TempDir(), "new"), &observe.Snapshot{MemoryBudget: shop(), Now: morning}
	const most = 256 << 10
	r := newRecorder(dir, most, logr.Discard())
	for range 100 {
		s.Now = s.Now.Add(time.Minute)
		step(r, s)
		if _, size := filesIn(t, dir); size > most {
			t.Fatalf("%d bytes in %d", size, most)
		}
	}
	paths, size := filesIn(t, dir)
	if len(paths) < parts-1 || size < most/2 {
		t.Errorf("%d files, %d bytes of %d are kept", len(paths), size, most)
	}
	records := readAll(t, paths...)
	last, err := records[len(records)-1].Read()
	if err != nil || !last.Now.Equal(s.Now) || len(records) == 100 {
		t.Errorf("%d records, the last of %v, %v", len(records), last.Now, err)
	}
}

// TestADecisionThatCannotBeRecorded: it is counted and said once, and told in the next record.
func TestADecisionThatCannotBeRecorded(t *testing.T) {
	dir, s := filepath.Join(t.TempDir(), "in the way"), &observe.Snapshot{MemoryBudget: shop(), Now: morning}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	log := funcr.New(func(_, args string) { said = append(said, args) }, funcr.Options{})
	r := newRecorder(dir, 1<<20, log)
	step(r, s)
	step(r, s)
	if len(said) != 1 || !strings.Contains(said[0], "Recording failed") {
		t.Errorf("said %q", said)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	step(r, s)
	step(r, s)
	paths, _ := filesIn(t, dir)
	records := readAll(t, paths...)
	if len(records) != 2 || records[0].Unrecorded != 2 || records[1].Unrecorded != 0 {
		t.Errorf("%d records, the first after %d unrecorded ones", len(records), records[0].Unrecorded)
	}
	if len(said) != 2 || !strings.Contains(said[1], "Recording again") {
		t.Errorf("said %q", said)
	}
	for counter, want := range map[prometheus.Collector]float64{r.recorded: 2, r.unrecorded: 2} {
		if got := testutil.ToFloat64(counter); got != want {
			t.Errorf("counted %v, want %v", got, want)
		}
	}
}

// TestAFullDisk: what does not fit leaves the file as it was.
func TestAFullDisk(t *testing.T) {
	dir, s := t.TempDir(), &observe.Snapshot{MemoryBudget: shop(), Now: morning}
	r := newRecorder(dir, 8<<20, logr.Discard())
	step(r, s)
	good := r.files.current
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.files.current = full
	step(r, s)
	if r.files.current != nil && r.files.current != full {
		t.Error("another file is written")
	}
	r.files.current = good
	step(r, s)
	paths, _ := filesIn(t, dir)
	if records := readAll(t, paths...); len(records) != 2 || records[1].Unrecorded != 1 {
		t.Errorf("%d records", len(records))
	}
}

// TestNobodyWaitsForTheDisk: while nothing is written, records wait up to a bound and are left out beyond it.
func TestNobodyWaitsForTheDisk(t *testing.T) {
	r := New(Options{Dir: t.TempDir(), Bytes: 1 << 30, Clock: clocktesting.NewFakePassiveClock(morning)})
	big := fmt.Appendf(nil, "%q", strings.Repeat("x", mostQueued/3))
	for range 4 {
		r.add(&Record{Snapshot: big, Decision: []byte("1"), Status: []byte("1")}, nil)
	}
	if len(r.queue) != 2 || r.queued > mostQueued || testutil.ToFloat64(r.unrecorded) != 2 {
		t.Errorf("%d records wait, %d bytes", len(r.queue), r.queued)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Start(ctx); err != nil || len(r.queue) != 0 || testutil.ToFloat64(r.recorded) != 2 {
		t.Errorf("after the end %d records wait, %v", len(r.queue), err)
	}
}

// TestNothingIsRecordedUnlessAsked: without a recorder nothing happens.
func TestNothingIsRecordedUnlessAsked(*testing.T) {
	e := (*Recorder)(nil).Begin(&observe.Snapshot{})
	e.Decided(&decision.Decision{})
	e.Reported("", metav1.Time{}, v1alpha1.MemoryBudgetStatus{})
}

// TestWhatOthersInjectIsNotRecorded: containers of pods are recorded without what they are told, ConfigMaps without content; and the
// snapshot that is decided from keeps it.
func TestWhatOthersInjectIsNotRecorded(t *testing.T) {
	const canary = "Canary-4f1c"
	told := corev1.Container{
		Name: "sidecar", Env: []corev1.EnvVar{{Name: "TOKEN", Value: canary}}, Command: []string{canary}, Args: []string{canary},
		LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{canary}}}},
	}
	s := &observe.Snapshot{MemoryBudget: shop(), Now: morning}
	dir := t.TempDir()
	r := newRecorder(dir, 8<<20, logr.Discard())
	step(r, s)
	for i := range s.Pods {
		s.Pods[i].Spec.Containers = append(s.Pods[i].Spec.Containers, told)
		s.Pods[i].Spec.InitContainers = append(s.Pods[i].Spec.InitContainers, told)
		s.Pods[i].Spec.EphemeralContainers = []corev1.EphemeralContainer{{
			EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Env: told.Env},
		}}
	}
	s.ConfigMaps[0].Data = map[string]string{"settings": canary}
	step(r, s)
	if s.Pods[0].Spec.Containers[1].Env[0].Value != canary || s.ConfigMaps[0].Data["settings"] != canary {
		t.Error("recording changed the snapshot")
	}
	paths, _ := filesIn(t, dir)
	for _, record := range readAll(t, paths...) {
		for _, part := range [][]byte{record.Snapshot, record.Decision, record.Status} {
			if bytes.Contains(part, []byte(canary)) {
				t.Errorf("the recording holds it: %s", part)
			}
		}
	}
}

// TestReadingWhatIsNotWhole: a recording that was cut, changed, or is something else.
func TestReadingWhatIsNotWhole(t *testing.T) {
	dir, s := t.TempDir(), &observe.Snapshot{MemoryBudget: shop(), Now: morning}
	r := newRecorder(dir, 8<<20, logr.Discard())
	step(r, s)
	step(r, s)
	paths, _ := filesIn(t, dir)
	packed, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	plain := unpack(t, packed)
	lines := bytes.SplitAfter(plain, []byte("\n"))
	cases := map[string]struct {
		data []byte
		want int
		err  string
	}{
		"compressed":           {data: packed, want: 2, err: "EOF"},
		"not compressed":       {data: plain, want: 2, err: "EOF"},
		"cut while compressed": {data: packed[:len(packed)-400], want: 1, err: ErrCut.Error()},
		"cut":                  {data: plain[:len(plain)-1], want: 1, err: ErrCut.Error()},
		"only a header":        {data: lines[0], err: "EOF"},
		"a line of zeros":      {data: slices.Concat(lines[0], []byte("0\n"), lines[1]), err: "line 2: json: "},
		"a line of {}":         {data: slices.Concat(lines[0], []byte("{}\n"), lines[1]), err: "line 2: not a record"},
		"nothing":              {err: "the file is empty"},
		"something else":       {data: []byte("{}\n"), err: "line 1: not the header of a recording"},
		"no line":              {data: []byte("kind"), err: ErrCut.Error()},
		"a later format":       {data: []byte(`{"memorybudgetRecording": 2}` + "\n"), err: "line 1: the recording has format 2"},
		"a line without end": {
			data: slices.Concat(lines[0], bytes.Repeat([]byte(" "), longestLine+1), []byte("\n")), err: "line 2: longer than",
		},
		"damaged": {data: slices.Concat(packed[:200], []byte("damage"), packed[206:]), err: "line "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			records, err := readFrom(tc.data)
			if len(records) != tc.want || err == nil || !strings.HasPrefix(err.Error(), tc.err) {
				t.Errorf("read %d records, want %d, and %v, want %s", len(records), tc.want, err, tc.err)
			}
		})
	}
}

func unpack(t *testing.T, packed []byte) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
