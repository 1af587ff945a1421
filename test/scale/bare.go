// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	v1alpha1ac "github.com/memorybudget/memorybudget/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/memorybudget/memorybudget/controllers"
	"github.com/memorybudget/memorybudget/internal/decision"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/status"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// resource is the nth of the resources, with tiers for the web, for light and for heavy tasks.
func resource(namespace string, n, brokers int) *v1alpha1.MemoryBudget {
	queue := func(name string) string { return fmt.Sprintf("%s-%d", name, n) }
	return testutil.MakeMemoryBudget(fmt.Sprintf("shop-%d", n), namespace).Memory("4Gi").
		Django("core.settings.production").CeleryApp("core").Redis(brokerName(n%brokers), "url").
		Tier(
			testutil.MakeTier("web", v1alpha1.RoleWeb).Replicas(1, 1, 4).Gunicorn("core.wsgi:application").Obj(),
			testutil.MakeTier("worker", v1alpha1.RoleWorker).Replicas(0, 0, 8).Celery(queue("celery")).ScalesByQueue(5).Obj(),
			testutil.MakeTier("ml", v1alpha1.RoleML).Memory("512Mi").Replicas(0, 0, 2).Celery(queue("ml")).
				ScalesByQueue(1).CeleryOptions(func(c *v1alpha1.Celery) { c.Pool = v1alpha1.PoolSolo }).Obj(),
		).Obj()
}

// create makes the resources of a namespace.
func (s *scene) create(ctx context.Context, namespace string, n int) ([]*v1alpha1.MemoryBudget, error) {
	all := make([]*v1alpha1.MemoryBudget, n)
	return all, s.each(n, func(i int) error {
		all[i] = resource(namespace, i, len(s.brokers))
		return s.admin.Create(ctx, all[i])
	})
}

// each calls do with 0 to n-1, as many at a time as there are workers.
func (s *scene) each(n int, do func(int) error) error {
	next, done := make(chan int), make(chan error)
	for range s.workers {
		go func() {
			var first error
			for i := range next {
				if first == nil {
					first = do(i)
				}
			}
			done <- first
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	var first error
	for range s.workers {
		if err := <-done; first == nil {
			first = err
		}
	}
	return first
}

// bare writes what the operator would write of as many resources, in a namespace of their own, and tells how long that
// takes, and how many writes it is: nothing is decided and nothing read meanwhile.
func (s *scene) bare(ctx context.Context, namespace string) (time.Duration, int, error) {
	if err := s.namespace(ctx, namespace); err != nil {
		return 0, 0, err
	}
	all, err := s.create(ctx, namespace, s.resources)
	if err != nil {
		return 0, 0, err
	}
	prepared, count := make([]bodies, len(all)), 0
	for i, mb := range all {
		if prepared[i], err = bodiesOf(mb); err != nil {
			return 0, 0, err
		}
		count += len(prepared[i].children) + len(prepared[i].statuses)
	}
	owner := client.FieldOwner(controllers.FieldOwner)
	began := time.Now()
	err = s.each(len(all), func(i int) error {
		for _, body := range prepared[i].children {
			if err := s.admin.Apply(ctx, body, owner, client.ForceOwnership); err != nil {
				return err
			}
		}
		for _, body := range prepared[i].statuses {
			if err := s.admin.Status().Apply(ctx, body, owner, client.ForceOwnership); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(began), count, err
}

// bodies are what is written for one resource.
type bodies struct {
	children []runtime.ApplyConfiguration
	statuses []*v1alpha1ac.MemoryBudgetApplyConfiguration
}

// bodiesOf are all that the operator applies for a new resource, in its order.
func bodiesOf(mb *v1alpha1.MemoryBudget) (b bodies, err error) {
	decided := decision.Decide(&observe.Snapshot{MemoryBudget: mb, Now: time.Now()})
	for _, w := range decided.Writes {
		if w.Verb != decision.VerbApply {
			return b, fmt.Errorf("%s of %s %s is no apply", w.Verb, w.Kind, w.Name)
		}
		b.children = append(b.children, w.Object)
	}
	for _, state := range []observe.BrokerState{observe.BrokerNotReadYet, observe.BrokerRead} {
		next, err := statusOf(mb, state)
		if err != nil {
			return b, err
		}
		b.statuses = append(b.statuses, next)
	}
	return b, nil
}

// statusOf is a status as the operator writes it while the broker is in a state.
func statusOf(mb *v1alpha1.MemoryBudget, state observe.BrokerState) (*v1alpha1ac.MemoryBudgetApplyConfiguration, error) {
	snapshot := observe.Snapshot{MemoryBudget: mb, Now: time.Now(), Broker: observe.Broker{State: state}}
	for _, name := range observe.Queues(mb) {
		snapshot.Broker.Queues = append(snapshot.Broker.Queues, observe.Queue{Name: name})
	}
	decided := decision.Decide(&snapshot)
	next := status.Compute(mb.Status, status.Input{Snapshot: &snapshot, Decision: &decided, Now: metav1.NewTime(snapshot.Now)})
	data, err := json.Marshal(next)
	if err != nil {
		return nil, err
	}
	want := v1alpha1ac.MemoryBudgetStatus()
	if err := json.Unmarshal(data, want); err != nil {
		return nil, err
	}
	return v1alpha1ac.MemoryBudget(mb.Name, mb.Namespace).WithUID(mb.UID).WithStatus(want), nil
}
