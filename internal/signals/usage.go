// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/workload"
)

const (
	// usageInterval is how often the metrics API is asked: the sync period of a HorizontalPodAutoscaler.
	usageInterval = 15 * time.Second
	// newFor is for how long each reading of a new pod concerns its resource: it may count by then.
	newFor = 6 * time.Minute
	// noticed is by which part of the target a pod's use has to move to concern its resource, as a divisor.
	noticed = 50
)

// UsageOptions are what readings of the metrics API depend on.
type UsageOptions struct {
	// Client asks the API server; nothing is cached.
	Client client.Reader
	// Namespaces are those to ask about, all if there is none.
	Namespaces []string
	// Log is told when the metrics API can no longer be read, and when it can again.
	Log logr.Logger
	// Clock is the real one unless set.
	Clock clock.WithTicker
	// Interval is how often it is asked: every 15 seconds unless set.
	Interval time.Duration
}

// Usage reads what the pods of all resources use that scale by it, all in one request.
type Usage struct {
	options UsageOptions
	events  chan event.GenericEvent
	// asked is told that there is somebody to ask for.
	asked chan struct{}

	mu    sync.Mutex
	users map[client.ObjectKey]*usageUser
	state observe.UsageState
	// failingSince is when readings began to fail, zero while they succeed.
	failingSince time.Time
}

// usageUser is a resource that scales by what its pods use.
type usageUser struct {
	// read: the metrics API was asked for it.
	read    bool
	targets []usageTarget
	pods    []observe.PodUsage
	// told are the pods of which the resource knows, since when, and what they used when it was last woken.
	told map[string]toldUsage
}

// usageTarget is what a pod is meant to use.
type usageTarget struct {
	name   v1alpha1.ResourceMetricName
	amount int64
}

type toldUsage struct {
	since time.Time
	used  observe.PodUsage
}

var (
	_ observe.UsageReader = (*Usage)(nil)
	_ manager.Runnable    = (*Usage)(nil)
)

// NewUsage asks nothing until a resource scales by what its pods use.
func NewUsage(options UsageOptions) *Usage {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Interval == 0 {
		options.Interval = usageInterval
	}
	return &Usage{
		options: options, events: make(chan event.GenericEvent), asked: make(chan struct{}, 1),
		users: map[client.ObjectKey]*usageUser{}, state: observe.UsageNotReadYet,
	}
}

// Events name the resources the use of whose pods is another than before.
func (u *Usage) Events() <-chan event.GenericEvent { return u.events }

// Usage is what is known of the pods of a resource, which are asked for from now on until the resource is forgotten or no longer
// scales by it.
func (u *Usage) Usage(mb *v1alpha1.MemoryBudget) observe.Usage {
	key, targets := client.ObjectKeyFromObject(mb), usageTargets(mb)
	if len(targets) == 0 {
		u.Forget(key)
		return observe.Usage{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	user := u.users[key]
	if user == nil {
		user = &usageUser{told: map[string]toldUsage{}}
		u.users[key] = user
		nudge(u.asked)
	}
	user.targets = targets
	if !user.read && u.failingSince.IsZero() {
		return observe.Usage{State: observe.UsageNotReadYet}
	}
	return observe.Usage{State: u.state, Pods: user.pods, FailingSince: u.failingSince}
}

// Forget asks no longer for a resource.
func (u *Usage) Forget(key client.ObjectKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.users, key)
}

// usageTargets are what the pods of the tiers are meant to use that scale by it.
func usageTargets(mb *v1alpha1.MemoryBudget) []usageTarget {
	var all []usageTarget
	for i := range mb.Spec.Tiers {
		tier := &mb.Spec.Tiers[i]
		for _, m := range observe.ResourceMetrics(tier) {
			all = append(all, usageTarget{m.Name, observe.UsageTarget(tier, m)})
		}
	}
	return all
}

// Start implements manager.Runnable: it asks again and again until the context ends.
func (u *Usage) Start(ctx context.Context) error {
	for {
		if u.wanted() {
			u.read(ctx)
		}
		if !pause(ctx, u.options.Clock, u.options.Interval, u.asked) {
			return nil
		}
	}
}

func (u *Usage) wanted() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.users) > 0
}

// read asks once, and wakes the resources that see something else than before.
func (u *Usage) read(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, callLimit)
	pods, err := u.list(call)
	cancel()
	if ctx.Err() != nil {
		return
	}
	before, after, concerned := u.take(pods, err)
	if before != after {
		u.options.Log.Info("The metrics API is seen otherwise", "was", before, "is", after)
	}
	wake(ctx, u.events, concerned)
}

// podUsages are what pods use, by the resource that their label names.
type podUsages map[client.ObjectKey][]observe.PodUsage

func (u *Usage) list(ctx context.Context) (podUsages, error) {
	namespaces := u.options.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	pods := podUsages{}
	for _, namespace := range namespaces {
		list := &metricsv1beta1.PodMetricsList{}
		if err := u.options.Client.List(ctx, list, client.InNamespace(namespace), client.HasLabels{v1alpha1.NameLabel}); err != nil {
			return nil, fmt.Errorf("asking the metrics API: %w", err)
		}
		for i := range list.Items {
			item := &list.Items[i]
			key := client.ObjectKey{Namespace: item.Namespace, Name: item.Labels[v1alpha1.NameLabel]}
			if used, found := usageOf(item); found {
				pods[key] = append(pods[key], used)
			}
		}
	}
	for _, of := range pods {
		slices.SortFunc(of, func(a, b observe.PodUsage) int { return strings.Compare(a.Name, b.Name) })
	}
	return pods, nil
}

// usageOf is what the tier's container uses.
func usageOf(item *metricsv1beta1.PodMetrics) (observe.PodUsage, bool) {
	for i := range item.Containers {
		if c := &item.Containers[i]; c.Name == workload.AppContainer {
			return observe.PodUsage{
				Name: item.Name, At: item.Timestamp.Time, Window: item.Window.Duration,
				MilliCPU: c.Usage.Cpu().MilliValue(), MemoryBytes: c.Usage.Memory().Value(),
			}, true
		}
	}
	return observe.PodUsage{}, false
}

// take files a reading. What was read stays known when nothing can be read.
func (u *Usage) take(pods podUsages, err error) (before, after observe.UsageState, concerned []client.ObjectKey) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.options.Clock.Now()
	before = u.state
	turned := u.failingSince.IsZero() == (err != nil)
	if err != nil {
		u.state = usageStateOf(err)
		if u.failingSince.IsZero() {
			u.failingSince = now
		}
		if turned || before != u.state {
			concerned = slices.Collect(maps.Keys(u.users))
		}
		return before, u.state, concerned
	}
	u.state, u.failingSince = observe.UsageRead, time.Time{}
	for key, user := range u.users {
		known := user.read
		user.pods, user.read = pods[key], true
		if user.moved(now) || !known || turned {
			concerned = append(concerned, key)
		}
	}
	return before, u.state, concerned
}

// usageStateOf is all that is passed on of an error.
func usageStateOf(err error) observe.UsageState {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		return observe.UsageForbidden
	}
	return observe.UsageUnavailable
}

// moved says whether the pods use something else than when the resource was last woken, and remembers it then.
func (u *usageUser) moved(now time.Time) bool {
	moved := len(u.pods) != len(u.told)
	for _, p := range u.pods {
		before, known := u.told[p.Name]
		moved = moved || !known || now.Sub(before.since) < newFor || u.differs(before.used, p)
	}
	if !moved {
		return false
	}
	told := map[string]toldUsage{}
	for _, p := range u.pods {
		since := now
		if before, known := u.told[p.Name]; known {
			since = before.since
		}
		told[p.Name] = toldUsage{since: since, used: p}
	}
	u.told = told
	return true
}

// differs: a pod's use has moved by so much of a target that it may matter.
func (u *usageUser) differs(a, b observe.PodUsage) bool {
	return slices.ContainsFunc(u.targets, func(t usageTarget) bool {
		by := b.MilliCPU - a.MilliCPU
		if t.name == v1alpha1.ResourceMetricMemory {
			by = b.MemoryBytes - a.MemoryBytes
		}
		return max(by, -by)*noticed >= t.amount
	})
}
