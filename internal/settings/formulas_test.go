// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// worker is the example's resource with one worker tier of the given size.
func worker(perPod string, options ...func(*v1alpha1.Celery)) (*v1alpha1.MemoryBudget, *v1alpha1.Tier) {
	mb := testutil.MakeExample("shop", "default").Obj()
	mb.Spec.Tiers = []v1alpha1.Tier{
		testutil.MakeTier("worker", v1alpha1.RoleWorker).Memory(perPod).Celery("celery").CeleryOptions(options...).Obj(),
	}
	return mb, &mb.Spec.Tiers[0]
}

// web is the same with one web tier.
func web(perPod string, options ...func(*v1alpha1.Gunicorn)) (*v1alpha1.MemoryBudget, *v1alpha1.Tier) {
	mb := testutil.MakeExample("shop", "default").Obj()
	mb.Spec.Tiers = []v1alpha1.Tier{
		testutil.MakeTier("web", v1alpha1.RoleWeb).Memory(perPod).Gunicorn("core.wsgi", options...).Obj(),
	}
	return mb, &mb.Spec.Tiers[0]
}

func concurrency(n int32) func(*v1alpha1.Celery) {
	return func(c *v1alpha1.Celery) { c.Concurrency = &n }
}

func maxMemory(quantity string) func(*v1alpha1.Celery) {
	return func(c *v1alpha1.Celery) { c.MaxMemoryPerChild = new(resource.MustParse(quantity)) }
}

func TestCeleryProcesses(t *testing.T) {
	mi := int64(1) << 20
	tests := map[string]struct {
		perPod       string
		options      []func(*v1alpha1.Celery)
		baseline     int64
		want         int32
		wantKiB      int64
		wantErr      string
		wantSmallest string
	}{
		// usable = 483183816 rounded down to tens, main = 68472 KiB:
		// (471859 KiB - 68472 KiB) x 0.85 / 2 + 68472 KiB
		"the guide's 512Mi holds two":   {perPod: "512Mi", want: 2, wantKiB: 239911},
		"as many as asked for":          {perPod: "512Mi", options: []func(*v1alpha1.Celery){concurrency(1)}, want: 1, wantKiB: 411351},
		"more than it would choose":     {perPod: "512Mi", options: []func(*v1alpha1.Celery){concurrency(4)}, want: 4, wantKiB: 154191},
		"a small pod":                   {perPod: "128Mi", want: 1, wantKiB: 110540},
		"never more than sixteen":       {perPod: "64Gi", want: 16},
		"torch imported: one of 512Mi":  {perPod: "512Mi", baseline: 342 * mi, want: 1, wantKiB: 454840},
		"torch imported: not two":       {perPod: "512Mi", options: []func(*v1alpha1.Celery){concurrency(2)}, baseline: 342 * mi, wantErr: "TierTooSmall", wantSmallest: "618Mi"},
		"torch imported: not in 400Mi":  {perPod: "400Mi", baseline: 342 * mi, wantErr: "TierTooSmall", wantSmallest: "504Mi"},
		"more than can start":           {perPod: "512Mi", options: []func(*v1alpha1.Celery){concurrency(12)}, wantErr: "TierTooSmall", wantSmallest: "608Mi"},
		"too small for any":             {perPod: "64Mi", wantErr: "TierTooSmall", wantSmallest: "119Mi"},
		"the threshold asked for":       {perPod: "512Mi", options: []func(*v1alpha1.Celery){maxMemory("180Mi"), concurrency(2)}, want: 2, wantKiB: 180 << 10},
		"fewer for a large threshold":   {perPod: "512Mi", options: []func(*v1alpha1.Celery){maxMemory("300Mi")}, want: 1, wantKiB: 300 << 10},
		"threshold and number too much": {perPod: "512Mi", options: []func(*v1alpha1.Celery){maxMemory("300Mi"), concurrency(2)}, wantErr: "TierTooSmall", wantSmallest: "593Mi"},
		"recycle loop":                  {perPod: "512Mi", options: []func(*v1alpha1.Celery){maxMemory("80Mi")}, wantErr: "raise it to at least 84Mi, or leave it out"},
		"recycle loop, as measured":     {perPod: "1Gi", options: []func(*v1alpha1.Celery){maxMemory("200Mi")}, baseline: 342 * mi, wantErr: "raise it to at least 438Mi"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb, tier := worker(tc.perPod, tc.options...)
			got, err := ForTier(mb, tier, Facts{BaselineBytes: tc.baseline})
			if tc.wantErr != "" {
				checkTooSmall(t, err, tc.wantErr, tc.wantSmallest)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Processes != tc.want || tc.wantKiB != 0 && got.Recycle.MaxMemoryKiB != tc.wantKiB {
				t.Errorf("%d processes of %d KiB, want %d of %d", got.Processes, got.Recycle.MaxMemoryKiB, tc.want, tc.wantKiB)
			}
		})
	}
}

// checkTooSmall expects a TierTooSmallError with the smallest pod, or another error by its text.
func checkTooSmall(t *testing.T, err error, want, smallest string) {
	t.Helper()
	var tooSmall *TierTooSmallError
	if want != "TierTooSmall" {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want one with %q", err, want)
		}
		return
	}
	if !errors.As(err, &tooSmall) {
		t.Fatalf("error = %v, want a TierTooSmallError", err)
	}
	if got := quantity(tooSmall.NeedBytes); got != smallest {
		t.Errorf("the smallest pod is %s, want %s", got, smallest)
	}
	if !strings.Contains(err.Error(), "raise perPod to at least "+smallest) {
		t.Errorf("the message does not say so: %v", err)
	}
}

func TestGunicornWorkers(t *testing.T) {
	mi := int64(1) << 20
	preload := func(g *v1alpha1.Gunicorn) { g.Preload = preloadEnabled }
	workers := func(n int32) func(*v1alpha1.Gunicorn) { return func(g *v1alpha1.Gunicorn) { g.Workers = &n } }
	tests := map[string]struct {
		perPod       string
		options      []func(*v1alpha1.Gunicorn)
		baseline     int64
		cpu          string
		want         int32
		wantRSS      int64
		wantErr      string
		wantSmallest string
	}{
		// (0.9 x 512Mi - 30Mi) x 0.85 / 2
		"the guide's 512Mi holds two": {perPod: "512Mi", want: 2, wantRSS: 191983779},
		"a small pod":                 {perPod: "128Mi", want: 1},
		"more than it would choose":   {perPod: "512Mi", options: []func(*v1alpha1.Gunicorn){workers(4)}, want: 4},
		"bounded by the CPU limit":    {perPod: "8Gi", cpu: "2", want: 5},
		"never more than sixteen":     {perPod: "64Gi", want: 16},
		"as measured":                 {perPod: "1Gi", baseline: 250 * mi, want: 2},
		"preload doubles the parent":  {perPod: "1Gi", options: []func(*v1alpha1.Gunicorn){preload}, baseline: 250 * mi, want: 1},
		"too small for any":           {perPod: "256Mi", baseline: 250 * mi, wantErr: "TierTooSmall", wantSmallest: "442Mi"},
		"more than can start":         {perPod: "512Mi", options: []func(*v1alpha1.Gunicorn){workers(8)}, wantErr: "TierTooSmall", wantSmallest: "753Mi"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb, tier := web(tc.perPod, tc.options...)
			if tc.cpu != "" {
				tier.CPU = &v1alpha1.CPU{Limit: new(resource.MustParse(tc.cpu))}
			}
			got, err := ForTier(mb, tier, Facts{BaselineBytes: tc.baseline})
			if tc.wantErr != "" {
				checkTooSmall(t, err, tc.wantErr, tc.wantSmallest)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Processes != tc.want || tc.wantRSS != 0 && got.Recycle.MaxRSSBytes != tc.wantRSS {
				t.Errorf("%d workers of %d bytes, want %d of %d", got.Processes, got.Recycle.MaxRSSBytes, tc.want, tc.wantRSS)
			}
		})
	}
}

// TestSizedProperties: whatever is chosen fits, and what is refused would fit in the pod that the
// error names and in none that is smaller.
func TestSizedProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		main := rapid.Int64Range(20, 2000).Draw(t, "main") * mebi
		p := plan{parent: main, child: celeryChild, growth: taskGrowth}
		if rapid.Bool().Draw(t, "celery") {
			p.base, p.floor = main, main
		} else {
			p.floor, p.child = main, main
		}
		limit := rapid.Int64Range(16, 1<<20).Draw(t, "limit") * mebi
		asked := rapid.Int32Range(0, 64).Draw(t, "asked")
		threshold := int64(0)
		if rapid.Bool().Draw(t, "with threshold") {
			threshold = p.least() + rapid.Int64Range(0, 4000).Draw(t, "threshold")*mebi
		}
		got, err := p.sized(&TierTooSmallError{PodBytes: limit}, asked, maxProcesses, threshold)
		if err == nil {
			checkSized(t, p, limit, asked, threshold, got)
			return
		}
		var tooSmall *TierTooSmallError
		if !errors.As(err, &tooSmall) {
			t.Fatal(err)
		}
		checkNeed(t, p, tooSmall, asked, threshold)
	})
}

func checkSized(t *rapid.T, p plan, limit int64, asked int32, threshold int64, got sizing) {
	if asked > 0 && got.processes != asked || threshold > 0 && got.threshold != threshold {
		t.Fatalf("%+v is not what was asked for", got)
	}
	if got.threshold < p.least() || !p.holds(limit, got.processes, got.threshold) {
		t.Fatalf("%+v does not fit %d bytes", got, limit)
	}
}

func checkNeed(t *rapid.T, p plan, tooSmall *TierTooSmallError, asked int32, threshold int64) {
	need := tooSmall.NeedBytes
	if need <= tooSmall.PodBytes {
		t.Fatalf("needs %d, which is not more than the %d that there are", need, tooSmall.PodBytes)
	}
	if _, err := p.sized(&TierTooSmallError{PodBytes: need}, asked, maxProcesses, threshold); err != nil {
		t.Fatalf("does not fit the %d bytes that it asks for", need)
	}
	if _, err := p.sized(&TierTooSmallError{PodBytes: need - mebi}, asked, maxProcesses, threshold); err == nil {
		t.Fatalf("fits less than the %d bytes that it asks for", need)
	}
}

func TestSingleProcess(t *testing.T) {
	tests := map[string]struct {
		perPod       string
		pool         v1alpha1.Pool
		options      []func(*v1alpha1.Celery)
		baseline     int64
		wantThreads  int32
		wantSmallest string
	}{
		"solo":                      {perPod: "512Mi", pool: v1alpha1.PoolSolo, wantThreads: 1},
		"threads":                   {perPod: "512Mi", pool: v1alpha1.PoolThreads, wantThreads: 3},
		"threads as asked":          {perPod: "512Mi", pool: v1alpha1.PoolThreads, options: []func(*v1alpha1.Celery){concurrency(50)}, wantThreads: 50},
		"solo with torch in 256Mi":  {perPod: "256Mi", pool: v1alpha1.PoolSolo, baseline: 300 << 20, wantSmallest: "428Mi"},
		"threads without any room":  {perPod: "64Mi", pool: v1alpha1.PoolThreads, wantSmallest: "93Mi"},
		"threads that hardly start": {perPod: "100Mi", pool: v1alpha1.PoolThreads, wantThreads: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb, tier := worker(tc.perPod, append(tc.options, func(c *v1alpha1.Celery) { c.Pool = tc.pool })...)
			got, err := ForTier(mb, tier, Facts{BaselineBytes: tc.baseline})
			if tc.wantSmallest != "" {
				checkTooSmall(t, err, "TierTooSmall", tc.wantSmallest)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Processes != 1 || got.Threads != tc.wantThreads || got.Recycle != (Recycle{}) {
				t.Errorf("%d processes of %d threads, recycled %+v", got.Processes, got.Threads, got.Recycle)
			}
		})
	}
}
