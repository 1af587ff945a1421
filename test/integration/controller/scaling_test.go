// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// quick are rules with which a tier follows its metrics at once.
func quick() *v1alpha1.Scaling {
	return &v1alpha1.Scaling{Behavior: &v1alpha1.ScalingBehavior{
		ScaleUp: &v1alpha1.ScalingRules{
			Policies: []v1alpha1.ScalingPolicy{{Type: v1alpha1.ScalingPolicyPods, Value: 100, PeriodSeconds: 1}},
		},
		ScaleDown: &v1alpha1.ScalingRules{StabilizationWindowSeconds: new(int32(1))},
	}}
}

// scaled is the shop with worker and ml tiers that scale from zero by their queues, two processes in each pod of worker and one
// in each of ml.
func scaled() *v1alpha1.MemoryBudget {
	mb := application("2Gi").Reserve("0").Tier(web(1, 1, 1), worker(0, 0, 8), ml(0, 0, 2)).Obj()
	for _, name := range []string{"worker", "ml"} {
		t := tier(mb, name)
		t.Replicas.Desired, t.Scaling = nil, quick()
	}
	tier(mb, "worker").Celery.Concurrency = new(int32(2))
	return mb
}

// scaling starts an operator that reads a Redis often, with these options besides, and the shop that scales by it.
func (s *scene) scaling(password string, besides ...func(*manager.Options)) *brokers.Redis {
	s.t.Helper()
	redis := s.reading(password, besides...)
	s.create(scaled())
	return redis
}

// reading starts an operator that reads a Redis often, with these options besides.
func (s *scene) reading(password string, besides ...func(*manager.Options)) *brokers.Redis {
	s.t.Helper()
	redis := brokers.StartRedis(s.t, password)
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-broker"},
		StringData: map[string]string{"url": "redis://:" + password + "@" + redis.Address + "/0"},
	})
	s.letReadSecrets()
	options := manager.Options{
		WatchNamespaces: []string{s.namespace}, BrokerInterval: 200 * time.Millisecond,
		BrokerGuard: func(context.Context, netip.Addr) bool { return true },
	}
	for _, change := range besides {
		change(&options)
	}
	s.operator = s.startOperator(fault{}, options)
	return redis
}

// publish puts tasks into a queue.
func publish(t *testing.T, redis *brokers.Redis, queue string, n int) {
	t.Helper()
	for range n {
		redis.Publish(t, "", queue, "0")
	}
}

// awaitDemand waits until the status of a tier satisfies a condition.
func (s *scene) awaitDemand(name, what string, holds func(v1alpha1.TierStatus) bool) {
	s.t.Helper()
	s.awaitStatus(what, func(mb *v1alpha1.MemoryBudget) error {
		for _, t := range mb.Status.Tiers {
			if t.Name == name && t.Demand != nil && holds(t) {
				return nil
			}
		}
		return fmt.Errorf("tiers: %+v", mb.Status.Tiers)
	})
}

// TestScaling: tiers follow their queues from zero and back, within the budget, and rest in between.
func TestScaling(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	redis := s.scaling("secret")
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0, "ml": 0})
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionTrue, v1alpha1.ReasonAllFresh)
	s.settle()
	s.quiet()

	publish(t, redis, "emails", 3)
	s.awaitReplicas(map[string]int{"worker": 2, "ml": 0})
	publish(t, redis, "ml", 1)
	s.awaitReplicas(map[string]int{"worker": 2, "ml": 1})

	publish(t, redis, "celery", 100)
	s.awaitReplicas(map[string]int{"worker": 5, "ml": 1})
	s.awaitDemand("worker", "the budget's limit", func(t v1alpha1.TierStatus) bool {
		return t.LimitedBy == v1alpha1.LimitedByBudget && *t.Demand.ReadyTasks == 103 && *t.Demand.Replicas == 52 &&
			strings.HasPrefix(t.Decision, "103 tasks waiting, 0 taken at a target of 2 per pod ask for 52, replicas.max is 8; wanted 8, granted 5: ")
	})

	// ML takes its fair share of what worker has borrowed.
	publish(t, redis, "ml", 1)
	s.awaitReplicas(map[string]int{"worker": 3, "ml": 2})
	redis.Do(t, "DEL", "celery", "emails", "ml")
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0, "ml": 0})
	s.settle()
	s.quiet()
	s.verdict()
}

// TestScalingThroughOne: on its way to zero a tier has one replica for a while.
func TestScalingThroughOne(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	redis := s.scaling("secret")
	publish(t, redis, "emails", 8)
	s.awaitReplicas(map[string]int{"worker": 4})
	redis.Do(t, "DEL", "emails")
	s.awaitDemand("worker", "one replica", func(t v1alpha1.TierStatus) bool {
		return *t.Desired == 1 && t.Demand.LimitedBy == v1alpha1.DemandLimitedByThroughOne
	})
	s.awaitReplicas(map[string]int{"worker": 1})
	s.awaitReplicas(map[string]int{"worker": 0})

	// A worker that died with tasks leaves them where no list shows them: they bring a worker back.
	redis.Do(t, "HSET", "unacked", "tag", `[{"headers": {"id": "1"}}, "", "emails"]`)
	redis.Bind(t, "", "emails")
	s.awaitReplicas(map[string]int{"worker": 1})
	s.verdict()
}

// TestScalingWithoutSignal: while the broker refuses or is gone, no tier is made smaller, and that is told.
func TestScalingWithoutSignal(t *testing.T) {
	t.Parallel()
	const canary = "Canary-77ab"
	s := newScene(t)
	redis := s.scaling(canary)
	publish(t, redis, "emails", 4)
	s.awaitReplicas(map[string]int{"worker": 2})

	redis.Do(t, "CONFIG", "SET", "requirepass", "another")
	redis.Do(t, "DEL", "emails")
	redis.Do(t, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	s.awaitDemand("worker", "an unknown metric", func(t v1alpha1.TierStatus) bool {
		return t.Demand.LimitedBy == v1alpha1.DemandLimitedByUnknown && strings.HasPrefix(t.Decision, "the queues cannot be read")
	})
	s.settle()
	s.awaitReplicas(map[string]int{"worker": 2})

	redis.Do(t, "CONFIG", "SET", "requirepass", canary)
	s.awaitReplicas(map[string]int{"worker": 0})
	s.neverTells(canary)
	s.verdict()
}

// TestScalingHeld: a resource that only recommends, or is held, shows what would be done and does nothing; one that is drained goes to
// zero, whatever waits.
func TestScalingHeld(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	redis := s.scaling("secret")
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0})
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Policy = v1alpha1.PolicyRecommend })
	s.awaitSeen()
	publish(t, redis, "emails", 4)
	s.awaitDemand("worker", "the recommendation", func(t v1alpha1.TierStatus) bool { return *t.Desired == 2 && *t.Granted == 2 })
	s.settle()
	s.awaitReplicas(map[string]int{"worker": 0})
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Policy = v1alpha1.PolicyEnforce })
	s.awaitReplicas(map[string]int{"worker": 2})

	pause := func(pause v1alpha1.Pause) {
		s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Pause = pause })
		s.awaitSeen()
	}
	pause(v1alpha1.PauseHold)
	publish(t, redis, "emails", 4)
	s.awaitDemand("worker", "what is held back", func(t v1alpha1.TierStatus) bool { return *t.Desired == 4 && *t.Granted == 2 })
	s.settle()
	s.awaitReplicas(map[string]int{"worker": 2})
	pause(v1alpha1.PauseDrain)
	s.awaitReplicas(map[string]int{"web": 0, "worker": 0})
	pause(v1alpha1.PauseNone)
	s.awaitReplicas(map[string]int{"web": 1, "worker": 4})
	s.verdict()
}
