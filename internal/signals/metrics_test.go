// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	externalv1beta1 "k8s.io/metrics/pkg/apis/external_metrics/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// metricsScene has a web server that is a Prometheus and an API server at once.
type metricsScene struct {
	t       *testing.T
	address string
	metrics *Metrics

	mu    sync.Mutex
	asked map[string]int
	// say answers what is asked for, by the query or the path of an external metric.
	say func(w http.ResponseWriter, what string)
	log strings.Builder
}

func newMetricsScene(t *testing.T) *metricsScene {
	t.Helper()
	s := &metricsScene{t: t, asked: map[string]int{}}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	s.address = web.URL
	var err error
	s.metrics, err = NewMetrics(MetricsOptions{
		Config: &rest.Config{Host: web.URL, QPS: -1}, Guard: anywhere, Interval: 10 * time.Millisecond,
		Log: funcr.New(s.write, funcr.Options{Verbosity: 9}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.metrics.Start(ctx) }()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-s.metrics.Events():
				s.mu.Lock()
				s.asked["woken "+e.Object.GetName()]++
				s.mu.Unlock()
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if strings.Contains(s.log.String(), canary) {
			t.Errorf("logged: %s", s.log.String())
		}
	})
	return s
}

func (s *metricsScene) write(prefix, args string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.WriteString(prefix + args + "\n")
}

func (s *metricsScene) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := r.FormValue("query")
	if what == "" {
		what = r.URL.Path + " " + r.FormValue("labelSelector")
	}
	s.mu.Lock()
	s.asked[what]++
	say := s.say
	s.mu.Unlock()
	say(w, what)
}

func (s *metricsScene) answer(say func(w http.ResponseWriter, what string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say = say
}

func (s *metricsScene) times(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[what]
}

// await waits until something holds.
func (s *metricsScene) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waiting for %s", what)
		}
	}
}

// rounds waits until something was asked so many times more.
func (s *metricsScene) rounds(what string, n int) {
	s.t.Helper()
	before := s.times(what)
	s.await(what, func() bool { return s.times(what) >= before+n })
}

// values is what the external metrics API says.
func values(t *testing.T, all ...string) string {
	t.Helper()
	list := externalv1beta1.ExternalMetricValueList{TypeMeta: metav1.TypeMeta{
		APIVersion: "external.metrics.k8s.io/v1beta1", Kind: "ExternalMetricValueList",
	}}
	for _, v := range all {
		list.Items = append(list.Items, externalv1beta1.ExternalMetricValue{MetricName: "orders", Value: resource.MustParse(v)})
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// scalesByValues is a resource with these metrics.
func scalesByValues(namespace, name string, metrics ...v1alpha1.Metric) *v1alpha1.MemoryBudget {
	return &v1alpha1.MemoryBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.MemoryBudgetSpec{Tiers: []v1alpha1.Tier{{Name: "web", Scaling: &v1alpha1.Scaling{Metrics: metrics}}}},
	}
}

func (s *metricsScene) query(text string) v1alpha1.Metric {
	return v1alpha1.Metric{Prometheus: &v1alpha1.PrometheusMetric{
		Address: s.address, Query: text, TargetAverageValue: new(resource.MustParse("100")),
	}}
}

func orders(labels map[string]string) v1alpha1.Metric {
	return v1alpha1.Metric{External: &v1alpha1.ExternalMetric{
		Name: "orders", MatchLabels: labels, TargetValue: new(resource.MustParse("100")),
	}}
}

const ordersPath = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/orders "

// TestMetricsAreAskedOnce: equal questions of a namespace are asked once however many resources ask them, and no longer than one does.
func TestMetricsAreAskedOnce(t *testing.T) {
	s := newMetricsScene(t)
	s.metrics.options.Interval = time.Hour
	s.answer(func(w http.ResponseWriter, what string) {
		if strings.HasPrefix(what, "/apis") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, values(t, "1500m", "2"))
			return
		}
		_, _ = io.WriteString(w, vector("7"))
	})
	shops := []*v1alpha1.MemoryBudget{
		scalesByValues("default", "a", s.query("up"), orders(map[string]string{"b": "1", "a": "2"})),
		scalesByValues("default", "b", orders(map[string]string{"a": "2", "b": "1"}), s.query("up")),
		scalesByValues("elsewhere", "c", s.query("up")),
	}
	for range 3 {
		for _, mb := range shops {
			s.metrics.Readings(mb)
		}
	}
	s.await("all to be woken", func() bool { return s.times("woken a") > 1 && s.times("woken b") > 1 && s.times("woken c") > 0 })
	if query, external := s.times("up"), s.times(ordersPath+"a=2,b=1"); query != 2 || external != 1 {
		t.Errorf("asked %d and %d times, want once for each namespace: %v", query, external, s.asked)
	}
	want := []observe.Reading{
		{Tier: "web", State: observe.ReadingRead, Milli: 3500}, {Tier: "web", Metric: 1, State: observe.ReadingRead, Milli: 7000},
	}
	if diff := cmp.Diff(want, s.metrics.Readings(shops[1])); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, mb := range shops {
		if left := len(s.metrics.asked); left == 0 {
			t.Errorf("nothing is asked for %d", i)
		}
		s.metrics.Forget(client.ObjectKeyFromObject(mb))
	}
	if len(s.metrics.asked)+len(s.metrics.servers)+len(s.metrics.users) != 0 {
		t.Errorf("left: %v %v %v", s.metrics.asked, s.metrics.servers, s.metrics.users)
	}
}

// TestMetricsWake: a resource is woken when a value may change its demand, and left alone else.
func TestMetricsWake(t *testing.T) {
	told := observe.Reading{State: observe.ReadingRead, Milli: 10000}
	failing := observe.Reading{State: observe.ReadingUnreachable, Milli: 10000, FailingSince: time.Unix(1, 0)}
	is := func(milli int64) observe.Reading { return observe.Reading{State: observe.ReadingRead, Milli: milli} }
	cases := map[string]struct {
		told, known observe.Reading
		perReplica  bool
		want        bool
	}{
		"the same":                         {told, told, true, false},
		"less than a fiftieth more":        {told, is(10019), false, false},
		"a fiftieth more":                  {told, is(10020), false, true},
		"a fiftieth less":                  {told, is(9980), false, true},
		"another replica":                  {is(1000), is(1001), true, true},
		"which a ratio does not ask for":   {is(1000), is(1001), false, false},
		"something":                        {is(0), is(1), false, true},
		"nothing":                          {is(1), is(0), true, true},
		"it fails":                         {told, failing, false, true},
		"it still fails":                   {failing, failing, false, false},
		"it fails again":                   {failing, observe.Reading{State: failing.State, FailingSince: time.Unix(2, 0)}, false, true},
		"it fails otherwise":               {failing, observe.Reading{State: observe.ReadingRefuses, FailingSince: time.Unix(1, 0)}, false, true},
		"it is read":                       {failing, told, false, true},
		"more than can be counted becomes": {is(1 << 60), is(0), false, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := want{target: 1000, perReplica: tc.perReplica, told: tc.told}
			if got := w.concerns(tc.known); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

// TestMetricsFail: what was read stays known as something of before, resources are woken when that begins and ends, and another question is
// not kept waiting.
func TestMetricsFail(t *testing.T) {
	s := newMetricsScene(t)
	good := func(w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, vector("7")) }
	s.answer(good)
	shop := scalesByValues("default", "shop", s.query("bad"), s.query("good"))
	state := func(metric int) observe.Reading { return s.metrics.Readings(shop)[metric] }
	if got := state(0); got.State != observe.ReadingNotReadYet || got.Fresh() {
		t.Errorf("before it was read: %+v", got)
	}
	s.await("a value", func() bool { bad := state(0); return bad.Fresh() && bad.Milli == 7000 })
	s.answer(func(w http.ResponseWriter, what string) {
		if what == "bad" {
			_, _ = io.WriteString(w, vector("1", "2"))
			return
		}
		good(w, what)
	})
	s.await("it to fail", func() bool { return state(0).State == observe.ReadingNotANumber })
	failing := state(0)
	s.rounds("bad", 3)
	if got := state(0); got != failing || got.Milli != 7000 || got.FailingSince.IsZero() || got.Fresh() {
		t.Errorf("known: %+v, before %+v", got, failing)
	}
	if got := state(1); !got.Fresh() {
		t.Errorf("the other one: %+v", got)
	}
	woken := s.times("woken shop")
	s.rounds("bad", 3)
	if again := s.times("woken shop"); again != woken {
		t.Errorf("woken %d times while nothing changes", again-woken)
	}
	s.answer(good)
	s.await("the resource to be woken", func() bool { return s.times("woken shop") > woken })
	if got := state(0); !got.Fresh() {
		t.Errorf("known after that: %+v", got)
	}
}

// TestAnswersOfExternalMetrics: the values of all series are summed up, and no values are not zero.
func TestAnswersOfExternalMetrics(t *testing.T) {
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { http.Error(w, canary, code) }
	}
	body := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, text)
		}
	}
	cases := map[string]struct {
		say   func(http.ResponseWriter)
		milli int64
		want  observe.ReadingState
	}{
		"one":          {say: body(values(t, "250m")), milli: 250},
		"several":      {say: body(values(t, "1", "2500m", "-1")), milli: 2500},
		"zero":         {say: body(values(t, "0"))},
		"huge":         {say: body(values(t, "9E", "9E")), milli: mostMilli},
		"none":         {say: body(values(t)), want: observe.ReadingNotANumber},
		"below zero":   {say: body(values(t, "1", "-2")), want: observe.ReadingNotANumber},
		"no such API":  {say: status(http.StatusNotFound), want: observe.ReadingUnavailable},
		"forbidden":    {say: status(http.StatusForbidden), want: observe.ReadingDenied},
		"unauthorised": {say: status(http.StatusUnauthorized), want: observe.ReadingDenied},
		"broken":       {say: status(http.StatusServiceUnavailable), want: observe.ReadingUnavailable},
		"a page":       {say: body("<html>" + canary), want: observe.ReadingUnavailable},
		"another kind": {say: body(`{"kind":"Pod","apiVersion":"v1"}`), want: observe.ReadingNotANumber},
		"gigabytes": {say: func(w http.ResponseWriter) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, strings.Repeat(" ", 1<<16))
			}
		}, want: observe.ReadingUnavailable},
		"a redirect": {say: func(w http.ResponseWriter) {
			w.Header().Set("Location", "/followed")
			w.WriteHeader(http.StatusFound)
		}, want: observe.ReadingUnavailable},
		"half an answer": {say: func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"kind":`)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(1500 * time.Millisecond)
		}, want: observe.ReadingUnavailable},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var asked []string
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.URL.Path)
				tc.say(w)
			}))
			t.Cleanup(web.Close)
			api, err := newExternalAPI(&rest.Config{Host: web.URL, QPS: -1})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := contextFor(t, time.Second)
			defer cancel()
			milli, fault := api.ask(ctx, "default", "orders", "")
			if milli != tc.milli && tc.want == "" || fault.State != tc.want {
				t.Errorf("got %d, %+v", milli, fault)
			}
			if errors.Is(ctx.Err(), context.DeadlineExceeded) != (name == "half an answer") || slices.Contains(asked, "/followed") {
				t.Errorf("asked for %v, %v", asked, ctx.Err())
			}
		})
	}
}
