// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// metricsAPI stands in for the API server: a metrics API needs kubelets to ask.
type metricsAPI struct {
	client.Reader
	items  []metricsv1beta1.PodMetrics
	err    error
	listed []string
}

func (m *metricsAPI) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(options)
	m.listed = append(m.listed, o.Namespace+" "+o.LabelSelector.String())
	list.(*metricsv1beta1.PodMetricsList).Items = m.items
	return m.err
}

// podMetrics is what the metrics API says of a pod with a container beside the tier's.
func podMetrics(namespace, resourceName, pod, cpu string) metricsv1beta1.PodMetrics {
	usage := func(cpu string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("100Mi")}
	}
	return metricsv1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod, Labels: map[string]string{v1alpha1.NameLabel: resourceName}},
		Timestamp:  metav1.NewTime(usageBegan), Window: metav1.Duration{Duration: 15 * time.Second},
		Containers: []metricsv1beta1.ContainerMetrics{{Name: "mesh", Usage: usage("3")}, {Name: "app", Usage: usage(cpu)}},
	}
}

var usageBegan = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// scalesByCPU is a resource whose web tier is meant to use 100m a pod.
func scalesByCPU(namespace, name string) *v1alpha1.MemoryBudget {
	return &v1alpha1.MemoryBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.MemoryBudgetSpec{Tiers: []v1alpha1.Tier{{Name: "web", Scaling: &v1alpha1.Scaling{
			Metrics: []v1alpha1.Metric{{Resource: &v1alpha1.ResourceMetric{
				Name: v1alpha1.ResourceMetricCPU, TargetAverageValue: new(resource.MustParse("100m")),
			}}},
		}}}},
	}
}

type usageScene struct {
	t     *testing.T
	api   *metricsAPI
	clock *clocktesting.FakeClock
	usage *Usage
}

func newUsageScene(t *testing.T, namespaces ...string) *usageScene {
	t.Helper()
	s := &usageScene{t: t, api: &metricsAPI{}, clock: clocktesting.NewFakeClock(usageBegan)}
	s.usage = NewUsage(UsageOptions{Client: s.api, Namespaces: namespaces, Log: logr.Discard(), Clock: s.clock})
	return s
}

// read asks the metrics API and returns the resources that are woken.
func (s *usageScene) read() []string {
	s.t.Helper()
	s.clock.Step(usageInterval)
	pods, err := s.usage.list(s.t.Context())
	_, _, concerned := s.usage.take(pods, err)
	names := []string{}
	for _, key := range concerned {
		names = append(names, key.Name)
	}
	return names
}

func TestUsageIsKnown(t *testing.T) {
	s := newUsageScene(t)
	shop, other := scalesByCPU("default", "shop"), scalesByCPU("elsewhere", "shop")
	if got := s.usage.Usage(shop); got.State != observe.UsageNotReadYet {
		t.Errorf("before it was read: %v", got)
	}
	s.usage.Usage(other)
	s.api.items = []metricsv1beta1.PodMetrics{
		podMetrics("default", "shop", "b", "20m"), podMetrics("elsewhere", "shop", "c", "30m"), podMetrics("default", "shop", "a", "10m"),
	}
	if woken := s.read(); len(woken) != 2 {
		t.Errorf("woken: %v", woken)
	}
	pod := func(name string, milli int64) observe.PodUsage {
		return observe.PodUsage{Name: name, MilliCPU: milli, MemoryBytes: 100 << 20, At: usageBegan, Window: 15 * time.Second}
	}
	want := observe.Usage{State: observe.UsageRead, Pods: []observe.PodUsage{pod("a", 10), pod("b", 20)}}
	if diff := cmp.Diff(want, s.usage.Usage(shop)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{" " + v1alpha1.NameLabel}, s.api.listed); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

// TestUsageByNamespace: an operator that acts in some namespaces has no rights in others.
func TestUsageByNamespace(t *testing.T) {
	s := newUsageScene(t, "a", "b")
	s.usage.Usage(scalesByCPU("a", "shop"))
	s.read()
	if diff := cmp.Diff([]string{"a " + v1alpha1.NameLabel, "b " + v1alpha1.NameLabel}, s.api.listed); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

// TestUsageWakes: a resource is woken when what its pods use may change its demand, and left alone else.
func TestUsageWakes(t *testing.T) {
	s := newUsageScene(t)
	shop := scalesByCPU("default", "shop")
	is := func(what string, want int, pods ...metricsv1beta1.PodMetrics) {
		t.Helper()
		s.api.items = pods
		s.usage.Usage(shop)
		if woken := s.read(); len(woken) != want {
			t.Errorf("%s: woken %v", what, woken)
		}
	}
	s.usage.Usage(shop)
	is("at first", 1)
	is("no pods, as before", 0)
	is("a new pod", 1, podMetrics("default", "shop", "a", "50m"))
	is("still new", 1, podMetrics("default", "shop", "a", "50m"))
	s.clock.Step(newFor)
	is("no longer new", 0, podMetrics("default", "shop", "a", "50m"))
	is("less than a fiftieth of the target more", 0, podMetrics("default", "shop", "a", "51m"))
	is("a fiftieth more", 1, podMetrics("default", "shop", "a", "52m"))
	is("a fiftieth less than that", 1, podMetrics("default", "shop", "a", "50m"))
	is("the pod is gone", 1)
	s.usage.Forget(client.ObjectKeyFromObject(shop))
	if woken := s.read(); len(woken) != 0 || s.usage.wanted() {
		t.Errorf("forgotten: woken %v", woken)
	}
}

// TestUsageFails: what was read stays known, as something of before, and the resource is woken when that begins and ends.
func TestUsageFails(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "metrics.k8s.io", Resource: "pods"}, "", errors.New("no"))
	for name, tc := range map[string]struct {
		err  error
		want observe.UsageState
	}{
		"no answer": {context.DeadlineExceeded, observe.UsageUnavailable}, "no right": {forbidden, observe.UsageForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			s := newUsageScene(t)
			shop := scalesByCPU("default", "shop")
			s.usage.Usage(shop)
			s.api.items = []metricsv1beta1.PodMetrics{podMetrics("default", "shop", "a", "50m")}
			s.read()
			s.clock.Step(newFor)
			s.read()
			s.api.err = tc.err
			if woken := s.read(); len(woken) != 1 {
				t.Errorf("when it begins: woken %v", woken)
			}
			since := s.clock.Now()
			if woken := s.read(); len(woken) != 0 {
				t.Errorf("while it lasts: woken %v", woken)
			}
			got := s.usage.Usage(shop)
			if got.State != tc.want || got.Fresh() || !got.FailingSince.Equal(since) || len(got.Pods) != 1 {
				t.Errorf("known: %+v", got)
			}
			s.api.err = nil
			if woken := s.read(); len(woken) != 1 {
				t.Errorf("when it ends: woken %v", woken)
			}
			if got := s.usage.Usage(shop); !got.Fresh() {
				t.Errorf("known after that: %+v", got)
			}
		})
	}
}

// TestUsageGathers: resources that begin to ask one after the other, as they do when the operator starts, are asked for together.
func TestUsageGathers(t *testing.T) {
	s := newUsageScene(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.usage.Start(ctx) }()
	s.awaitTimers(1)
	for _, name := range []string{"a", "b", "c"} {
		s.usage.Usage(scalesByCPU("default", name))
		s.awaitTimers(2)
	}
	if len(s.api.listed) != 0 {
		t.Error("asked for the first alone")
	}
	s.clock.Step(gathering)
	for woken := map[string]bool{}; len(woken) < 3; {
		select {
		case e := <-s.usage.Events():
			woken[e.Object.GetName()] = true
		case <-time.After(5 * time.Second):
			t.Fatalf("woken: %v", woken)
		}
	}
	cancel()
	if err := <-ended; err != nil || len(s.api.listed) != 1 {
		t.Errorf("asked %d times, %v", len(s.api.listed), err)
	}
}

// awaitTimers waits until so many timers have been set and are not over.
func (s *usageScene) awaitTimers(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); s.clock.Waiters() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%d timers", s.clock.Waiters())
		}
	}
}
