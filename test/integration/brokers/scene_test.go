// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package brokers

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/signals"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// canary is a password that must be seen nowhere.
const canary = "Canary-8f3a^|~"

// readEvery is how often brokers are read.
const readEvery = 100 * time.Millisecond

// scene reads brokers for a shop.
type scene struct {
	t       *testing.T
	secrets client.Client
	brokers *signals.Brokers
	mu      sync.Mutex
	log     strings.Builder
	woken   map[string]int
}

// newScene reads often, and from this machine.
func newScene(t *testing.T, options signals.Options) *scene {
	t.Helper()
	s := &scene{t: t, secrets: fake.NewClientBuilder().Build(), woken: map[string]int{}}
	options.Secrets, options.Interval = s.secrets, readEvery
	options.Log = funcr.New(s.write, funcr.Options{Verbosity: 9})
	if options.Guard == nil {
		options.Guard = func(context.Context, netip.Addr) bool { return true }
	}
	s.brokers = signals.New(options)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.brokers.Start(ctx) }()
	go s.listen(ctx)
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the readings do not end")
		}
		if log := s.written(); strings.Contains(log, canary) {
			t.Errorf("the password is in the log:\n%s", log)
		}
	})
	return s
}

func (s *scene) write(prefix, args string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(&s.log, prefix, args)
}

func (s *scene) written() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *scene) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-s.brokers.Events():
			s.mu.Lock()
			s.woken[e.Object.GetName()]++
			s.mu.Unlock()
		}
	}
}

func (s *scene) wakes(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.woken[name]
}

// asleep waits until nothing that was done so far wakes a resource any more, and returns how often it was woken. Word of a reading comes
// after the reading is known.
func (s *scene) asleep(name string) int {
	last, since := s.wakes(name), time.Now()
	for time.Since(since) < 5*readEvery {
		time.Sleep(readEvery / 5)
		if now := s.wakes(name); now != last {
			last, since = now, time.Now()
		}
	}
	return last
}

// awaitLog waits until something is told that was not told before a point of the log.
func (s *scene) awaitLog(after int, text string) {
	s.t.Helper()
	eventually(s.t, text+" in the log", func() bool { return strings.Contains(s.written()[after:], text) })
}

// secret makes a Secret, or changes it.
func (s *scene) secret(name string, values map[string]string) {
	s.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Data: map[string][]byte{}}
	for key, value := range values {
		secret.Data[key] = []byte(value)
	}
	if err := client.IgnoreNotFound(s.secrets.Delete(s.t.Context(), secret.DeepCopy())); err != nil {
		s.t.Fatal(err)
	}
	if err := s.secrets.Create(s.t.Context(), secret); err != nil {
		s.t.Fatal(err)
	}
}

// redisShop takes tasks from the queue celery of the Redis whose URL is in the Secret "broker".
func redisShop(name string) *v1alpha1.MemoryBudget {
	return testutil.MakeMemoryBudget(name, "shop").Redis("broker", "url").
		Tier(testutil.MakeTier("worker", v1alpha1.RoleWorker).Celery("celery").Obj()).Obj()
}

// scaled makes all tiers of a shop scale by these queues.
func scaled(shop *v1alpha1.MemoryBudget, queues ...string) *v1alpha1.MemoryBudget {
	for i := range shop.Spec.Tiers {
		shop.Spec.Tiers[i].Celery.Queues = queues
		shop.Spec.Tiers[i].Scaling = &v1alpha1.Scaling{}
	}
	return shop
}

// rabbitShop is its like with a RabbitMQ.
func rabbitShop() *v1alpha1.MemoryBudget {
	mb := testutil.MakeMemoryBudget("shop", "shop").RabbitMQ("broker", "url").
		Tier(testutil.MakeTier("worker", v1alpha1.RoleWorker).Celery("celery").Obj()).Obj()
	mb.Spec.Broker.RabbitMQ.ManagementURLFrom = &v1alpha1.URLSource{
		SecretKeyRef: v1alpha1.SecretKeyReference{Name: "broker", Key: "management"},
	}
	return mb
}

// await waits until what is known of a broker is what is wanted, but for when readings began to fail.
func (s *scene) await(mb *v1alpha1.MemoryBudget, want observe.Broker) {
	s.t.Helper()
	var diff string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		got := s.brokers.Broker(mb)
		if strings.Contains(fmt.Sprintf("%+v", got), canary) {
			s.t.Fatal("the password is in what is known of the broker")
		}
		if diff = cmp.Diff(want, got, cmpopts.IgnoreFields(observe.Broker{}, "FailingSince")); diff == "" {
			return
		}
	}
	s.t.Fatalf("what is known of the broker (-want +got):\n%s\nlog:\n%s", diff, s.written())
}
