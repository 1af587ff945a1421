// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// scalingBudget is what the tiers share in this proof: room for web and four pods of the others, of the six that they may have.
const scalingBudget = "2560Mi"

// Test9Scaling sends a burst of tasks to both queues while the web tier is under load. The tiers grow from nothing, and web by the CPU
// that it uses, and go back to what they had, within the budget, and every task is done exactly once.
func Test9Scaling(t *testing.T) {
	s := newScene(t)
	from := time.Now()
	s.create(s.budget(scaledTiers))
	s.awaitReady()
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionTrue, v1alpha1.ReasonAllFresh)
	s.awaitPods("worker", 0)
	s.awaitPods("ml", 0)
	line := s.follow()
	w := s.site()

	requests := load{url: "http://bunoraa-web:8000/", requests: 3000, concurrency: 5}
	served := s.startLoad("scaling", requests)
	w.publish(publication{Task: slowTask, Count: 100, Args: []any{5}, Batch: "burst"})
	w.publish(publication{Task: mailTask, Count: 500, Args: []any{1}, Batch: "burst"})
	w.publish(publication{Task: trainTask, Count: 50, Batch: "burst"})
	once(t, w.awaitDone(long, "burst"))
	if o := served(); o.lost(requests) > 0 {
		t.Errorf("%d of %d requests failed meanwhile", o.lost(requests), requests.requests)
	}
	s.awaitPods("worker", 0)
	s.awaitPods("ml", 0)
	s.awaitPods("web", 1)
	line.stop()

	if most := line.most("web"); most != 2 {
		t.Errorf("web had %d replicas at most", most)
	}
	if most := line.most("worker"); most < 2 {
		t.Errorf("worker had %d replicas at most", most)
	}
	if most := line.most("ml"); most < 1 {
		t.Errorf("ml had %d replicas at most", most)
	}
	h := s.heldByTiers(from)
	budget := resource.MustParse(scalingBudget)
	if h.samples == 0 || h.oomKills > 0 || h.together > budget.Value() {
		t.Errorf("in %d samples: %d OOM kills, %d bytes at most, with a budget of %d", h.samples, h.oomKills, h.together, budget.Value())
	}
	v := s.verdict()
	t.Logf("%d resource versions, highest exposure %d MiB, most memory %d MiB, at most %d pods of web, %d of worker and %d of ml",
		v.Changes, v.Highest>>20, h.together>>20, line.most("web"), line.most("worker"), line.most("ml"))
	must(t, write(filepath.Join(settings.results, "scaling.svg"), line.svg(s.memoryOverTime(from), budget.Value())))
}

// scaledTiers lets worker and ml follow their queues from zero, and web the CPU that it uses, and all go back soon.
func scaledTiers(mb *v1alpha1.MemoryBudget) {
	mb.Spec.Memory = resource.MustParse(scalingBudget)
	mb.Spec.Reserve = new(v1alpha1.Reserve("0"))
	for name, replicas := range map[string]v1alpha1.Replicas{
		"web":    {Min: new(int32(1)), Max: new(int32(2))},
		"worker": {Min: new(int32(0)), Max: tier(mb, "worker").Replicas.Max},
		"ml":     {Min: new(int32(0)), Max: tier(mb, "ml").Replicas.Max},
	} {
		scaled := tier(mb, name)
		scaled.Replicas = &replicas
		scaled.Scaling = &v1alpha1.Scaling{Behavior: &v1alpha1.ScalingBehavior{
			ScaleDown: &v1alpha1.ScalingRules{StabilizationWindowSeconds: new(int32(30))},
		}}
	}
	tier(mb, "web").Scaling.Metrics = []v1alpha1.Metric{{Resource: &v1alpha1.ResourceMetric{
		Name: v1alpha1.ResourceMetricCPU, TargetAverageValue: new(resource.MustParse("100m")),
	}}}
}

// moment is what tiers wanted and got at a time.
type moment struct {
	at               time.Time
	desired, granted map[string]int32
}

// timeline is what became of the tiers over time.
type timeline struct {
	moments []moment
	cancel  context.CancelFunc
	done    chan struct{}
}

// follow looks at the status every second until it is stopped.
func (s *scene) follow() *timeline {
	ctx, cancel := context.WithCancel(s.t.Context())
	l := &timeline{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for ctx.Err() == nil {
			if mb, ok := s.recorder.Seen("MemoryBudget/bunoraa", 0).(*v1alpha1.MemoryBudget); ok {
				l.moments = append(l.moments, momentOf(mb))
			}
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	}()
	return l
}

func (l *timeline) stop() {
	l.cancel()
	<-l.done
}

func momentOf(mb *v1alpha1.MemoryBudget) moment {
	m := moment{at: time.Now(), desired: map[string]int32{}, granted: map[string]int32{}}
	for _, t := range mb.Status.Tiers {
		m.desired[t.Name], m.granted[t.Name] = *t.Desired, *t.Granted
		if t.Demand != nil {
			m.desired[t.Name] = *t.Demand.Replicas
		}
	}
	return m
}

// most is how many replicas a tier was granted at most.
func (l *timeline) most(tier string) (most int32) {
	for _, m := range l.moments {
		most = max(most, m.granted[tier])
	}
	return most
}

// point is a value at a time.
type point struct {
	at    time.Time
	value float64
}

// memoryOverTime is what all pods of the tiers held together, in bytes.
func (s *scene) memoryOverTime(from time.Time) []point {
	s.t.Helper()
	pods, nodes := s.everyPod(), map[string]int64{}
	var points []point
	for _, r := range memory.since(from) {
		nodes[r.node] = 0
		for uid, u := range r.Pods {
			if pods[uid] != nil {
				nodes[r.node] += u.Usage
			}
		}
		var together int64
		for _, n := range nodes {
			together += n
		}
		points = append(points, point{r.at(), float64(together)})
	}
	return points
}

// svg draws for each tier what its metrics asked for and what it was granted, and below that the memory of all pods.
func (l *timeline) svg(memory []point, budget int64) []byte {
	begin, end := l.moments[0].at, l.moments[len(l.moments)-1].at
	p := plot{begin: begin, end: end}
	scaled := []string{"web", "worker", "ml"}
	for i, tier := range scaled {
		asked, granted := []point{}, []point{}
		for _, m := range l.moments {
			asked = append(asked, point{m.at, float64(min(m.desired[tier], 12))})
			granted = append(granted, point{m.at, float64(m.granted[tier])})
		}
		p.panel(i, fmt.Sprintf("%s: replicas asked for (12 and more as 12) and granted", tier), 12, asked, granted)
	}
	var mib []point
	for _, m := range memory {
		if !m.at.Before(begin) && !m.at.After(end) {
			mib = append(mib, point{m.at, m.value / (1 << 20)})
		}
	}
	limit := float64(budget >> 20)
	p.panel(len(scaled), fmt.Sprintf("memory of all pods in MiB, and the budget of %.0f", limit), limit, []point{{begin, limit}, {end, limit}}, mib)
	return p.document()
}
