// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// MetricsOptions are what readings of external metrics and Prometheus depend on.
type MetricsOptions struct {
	// Config is how the API server is asked for external metrics.
	Config *rest.Config
	// Secrets asks the API server; nothing is cached.
	Secrets client.Reader
	// Guard says which addresses may be connected to: that of NewGuard unless set.
	Guard Guard
	// Log is told when a metric can no longer be read, and when it can again.
	Log logr.Logger
	// Clock is the real one unless set.
	Clock clock.WithTicker
	// Interval is how often each metric is read: every 15 seconds unless set.
	Interval time.Duration
}

// Metrics reads the external metrics and asks the Prometheus queries of all resources that scale by them, each once however many do.
type Metrics struct {
	loops

	options  MetricsOptions
	external *externalAPI
	users    map[client.ObjectKey][]want
	asked    map[inquiry]*asked
	servers  map[serverKey]*server
}

// inquiry is what is asked: a query of a server or, where that is not set, an external metric. Equal ones are asked once.
type inquiry struct {
	server                    serverKey
	query                     string
	namespace, name, selector string
}

// want is a metric of a resource.
type want struct {
	inquiry    inquiry
	target     int64
	perReplica bool
	// told is what the resource last saw.
	told observe.Reading
}

// asked is an inquiry that is made again and again.
type asked struct {
	inquiry inquiry
	// server is nil for an external metric.
	server *server
	users  map[client.ObjectKey]bool
	cancel context.CancelFunc
	known  observe.Reading
}

var (
	_ observe.ReadingsReader = (*Metrics)(nil)
	_ manager.Runnable       = (*Metrics)(nil)
)

// NewMetrics asks nothing until a resource scales by an external metric or a query.
func NewMetrics(options MetricsOptions) (*Metrics, error) {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Interval == 0 {
		options.Interval = usageInterval
	}
	if options.Guard == nil {
		options.Guard = NewGuard()
	}
	external, err := newExternalAPI(options.Config)
	if err != nil {
		return nil, err
	}
	return &Metrics{
		loops: newLoops(), options: options, external: external,
		users: map[client.ObjectKey][]want{}, asked: map[inquiry]*asked{}, servers: map[serverKey]*server{},
	}, nil
}

// Readings are what is known of the metrics of a resource, which are read from now on until the resource is forgotten or no longer
// scales by them.
func (m *Metrics) Readings(mb *v1alpha1.MemoryBudget) []observe.Reading {
	key, wants, readings := client.ObjectKeyFromObject(mb), []want(nil), []observe.Reading(nil)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return nil
	}
	for i := range mb.Spec.Tiers {
		tier := &mb.Spec.Tiers[i]
		for n := range metricsOf(tier) {
			w, found := wantOf(mb.Namespace, &tier.Scaling.Metrics[n])
			if !found {
				continue
			}
			a := m.use(key, w.inquiry)
			w.told = a.known
			wants = append(wants, w)
			reading := a.known
			reading.Tier, reading.Metric = tier.Name, n
			readings = append(readings, reading)
		}
	}
	m.leave(key, wants)
	return readings
}

func metricsOf(tier *v1alpha1.Tier) []v1alpha1.Metric {
	if tier.Scaling == nil {
		return nil
	}
	return tier.Scaling.Metrics
}

// wantOf is what has to be asked for a metric.
func wantOf(namespace string, metric *v1alpha1.Metric) (w want, found bool) {
	target, perReplica, found := observe.ValueTarget(metric)
	w.target, w.perReplica = max(1, target.MilliValue()), perReplica
	switch {
	case metric.External != nil:
		w.inquiry = inquiry{
			namespace: namespace, name: metric.External.Name, selector: labels.Set(metric.External.MatchLabels).String(),
		}
	case metric.Prometheus != nil:
		w.inquiry = inquiry{server: serverKeyOf(namespace, metric.Prometheus), query: metric.Prometheus.Query}
	}
	return w, found
}

// Forget ends inquiries that no other resource makes.
func (m *Metrics) Forget(key client.ObjectKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leave(key, nil)
}

// use makes an inquiry for a resource.
func (m *Metrics) use(key client.ObjectKey, of inquiry) *asked {
	a := m.asked[of]
	if a == nil {
		ctx, cancel := context.WithCancel(m.ctx)
		a = &asked{
			inquiry: of, users: map[client.ObjectKey]bool{}, cancel: cancel, known: observe.Reading{State: observe.ReadingNotReadYet},
		}
		if of.server != (serverKey{}) {
			a.server = m.serverOf(of.server)
			a.server.inquiries++
		}
		m.asked[of] = a
		m.running.Go(func() { m.follow(ctx, a) })
	}
	a.users[key] = true
	return a
}

func (m *Metrics) serverOf(key serverKey) *server {
	s := m.servers[key]
	if s == nil {
		s = newServer(key, m.options.Secrets, m.options.Guard, m.options.Clock)
		m.servers[key] = s
	}
	return s
}

// leave takes a resource from the inquiries that it no longer makes.
func (m *Metrics) leave(key client.ObjectKey, stays []want) {
	before := m.users[key]
	m.users[key] = stays
	if len(stays) == 0 {
		delete(m.users, key)
	}
	for _, w := range before {
		if a := m.asked[w.inquiry]; a != nil && a.users[key] && !makes(stays, w.inquiry) {
			m.end(key, a)
		}
	}
}

func makes(wants []want, of inquiry) bool {
	for _, w := range wants {
		if w.inquiry == of {
			return true
		}
	}
	return false
}

// end takes a resource from an inquiry, which ends with the last one, and so does its server.
func (m *Metrics) end(key client.ObjectKey, a *asked) {
	if delete(a.users, key); len(a.users) > 0 {
		return
	}
	a.cancel()
	delete(m.asked, a.inquiry)
	if a.server == nil {
		return
	}
	if a.server.inquiries--; a.server.inquiries == 0 {
		delete(m.servers, a.server.key)
	}
}

// follow makes an inquiry again and again.
func (m *Metrics) follow(ctx context.Context, a *asked) {
	if a.server != nil {
		defer a.server.close()
	}
	for {
		milli, fault := m.ask(ctx, a)
		if ctx.Err() != nil {
			return
		}
		m.take(a, milli, fault)
		if !pause(ctx, m.options.Clock, m.options.Interval, nil) {
			return
		}
	}
}

func (m *Metrics) ask(ctx context.Context, a *asked) (milli int64, fault observe.Reading) {
	if a.server != nil {
		return a.server.ask(ctx, a.inquiry.query)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return m.external.ask(ctx, a.inquiry.namespace, a.inquiry.name, a.inquiry.selector)
}

// take files a reading, and wakes the resources that see something else than before. What was read stays known when nothing can be read.
func (m *Metrics) take(a *asked, milli int64, fault observe.Reading) {
	m.mu.Lock()
	before := a.known
	if fault.State == "" {
		a.known = observe.Reading{State: observe.ReadingRead, Milli: milli}
	} else {
		a.known.State, a.known.Secret = fault.State, fault.Secret
		if before.FailingSince.IsZero() {
			a.known.FailingSince = m.options.Clock.Now()
		}
	}
	after := a.known
	var concerned []client.ObjectKey
	for key := range a.users {
		for i := range m.users[key] {
			if w := &m.users[key][i]; w.inquiry == a.inquiry && w.concerns(after) {
				concerned = append(concerned, key)
			}
		}
	}
	m.mu.Unlock()
	if before.State != after.State {
		m.options.Log.Info("A metric is seen otherwise", "of", a.inquiry.String(), "was", before.State, "is", after.State)
	}
	m.wake(concerned)
}

// concerns says whether what is known is so far from what a resource last saw that it may matter.
func (w *want) concerns(known observe.Reading) bool {
	told := &w.told
	if told.State != known.State || told.Secret != known.Secret || !told.FailingSince.Equal(known.FailingSince) {
		return true
	}
	by := max(known.Milli-told.Milli, told.Milli-known.Milli)
	return by >= max(1, w.target/noticed) || (known.Milli == 0) != (told.Milli == 0) ||
		w.perReplica && ceil(known.Milli, w.target) != ceil(told.Milli, w.target)
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }

// String is what may be told of an inquiry.
func (i inquiry) String() string {
	if i.server != (serverKey{}) {
		return "Prometheus " + i.server.String()
	}
	return "external metric " + i.namespace + "/" + i.name
}
