// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Test7Trouble does what cannot work, and reads in the status that it does not, and why, while the rest runs on.
func Test7Trouble(t *testing.T) {
	s := newScene(t)
	s.create(s.budget(threeInstances))
	s.awaitReady()

	t.Run("QueueWithoutOwner", func(t *testing.T) {
		s := s.of(t)
		s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionTrue, "")
		s.site().publish(publication{Task: mailTask, Count: 1, Args: []any{1}, Batch: "orphans", Queue: "orphans"})
		c := s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionFalse, v1alpha1.ReasonUnownedQueues)
		says(t, c, "orphans")
		s.change(func(mb *v1alpha1.MemoryBudget) {
			tier(mb, "worker").Celery.Queues = append(tier(mb, "worker").Celery.Queues, "orphans")
		})
		s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionTrue, "")
		once(t, s.site().awaitDone(patience, "orphans"))
		s.awaitReady()
	})
	t.Run("HardCodedSettingsModule", func(t *testing.T) {
		s := s.of(t)
		s.change(func(mb *v1alpha1.MemoryBudget) { tier(mb, "web").Gunicorn.Application = "core.legacy_wsgi:application" })
		c := s.awaitCondition(v1alpha1.ConditionSettingsApplied, metav1.ConditionFalse, v1alpha1.ReasonSettingsNotEffective)
		says(t, c, "SettingsModuleOverridden", "web")
		s.change(func(mb *v1alpha1.MemoryBudget) { tier(mb, "web").Gunicorn.Application = "core.wsgi:application" })
		s.awaitCondition(v1alpha1.ConditionSettingsApplied, metav1.ConditionTrue, "")
		s.awaitReady()
	})
	t.Run("NoSuchImage", func(t *testing.T) {
		s := s.of(t)
		s.change(func(mb *v1alpha1.MemoryBudget) { tier(mb, "ml").Image = "registry.invalid/bunoraa:none" })
		c := s.awaitCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPodsFailing)
		says(t, c, "ml", "ImagePull")
		s.servesAndWorks(t, "no-such-image")
		s.change(func(mb *v1alpha1.MemoryBudget) { tier(mb, "ml").Image = "" })
		s.awaitReady()
	})
	t.Run("UnreachableBroker", func(t *testing.T) {
		s := s.of(t)
		s.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "nobody"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "nobody"}, Ports: []corev1.ServicePort{{Port: 6379}},
		}})
		s.secret("bunoraa-unreachable", "redis://nobody:6379/0")
		s.broker("bunoraa-unreachable")
		c := s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionUnknown, v1alpha1.ReasonBrokerUnreachable)
		says(t, c, "nobody:6379")
		s.serves(t)
		s.broker("bunoraa-broker")
		s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionTrue, "")
	})
	t.Run("WrongBrokerPassword", func(t *testing.T) {
		s := s.of(t)
		s.awaitReady()
		s.secret("bunoraa-wrong", "redis://nobody:no-such-password@redis:6379/0")
		s.broker("bunoraa-wrong")
		c := s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionUnknown, v1alpha1.ReasonBrokerAuthenticationFailed)
		if strings.Contains(c.Message, "no-such-password") {
			t.Errorf("the message has the password: %s", c.Message)
		}
		s.serves(t)
		s.broker("bunoraa-broker")
		s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionTrue, "")
	})
	s.awaitReady()
	s.servesAndWorks(t, "in-the-end")
	s.verdict()
}

// of is the same scene for a part of a test.
func (s *scene) of(t *testing.T) *scene {
	part := *s
	part.t = t
	return &part
}

// says: a condition's message names what it is about.
func says(t *testing.T, c metav1.Condition, all ...string) {
	t.Helper()
	for _, text := range all {
		if !strings.Contains(c.Message, text) {
			t.Errorf("%s (%s) does not say %q: %s", c.Type, c.Reason, text, c.Message)
		}
	}
}

// serves: the web tier answers.
func (s *scene) serves(t *testing.T) {
	t.Helper()
	eventually(t, patience, "the shop's pages", func(ctx context.Context) error {
		return s.site().do(ctx, "GET", "/products/1/", nil, nil, nil)
	})
}

// servesAndWorks: the web tier answers, and the worker tier does its tasks.
func (s *scene) servesAndWorks(t *testing.T, batch string) {
	t.Helper()
	s.serves(t)
	w := s.site().of(t)
	w.publish(publication{Task: mailTask, Count: 5, Args: []any{1}, Batch: batch})
	once(t, w.awaitDone(patience, batch))
}

func (s *scene) secret(name, url string) {
	s.t.Helper()
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{"url": url}})
}

// broker makes another Secret the one with the broker's URL.
func (s *scene) broker(secret string) {
	s.t.Helper()
	s.change(func(mb *v1alpha1.MemoryBudget) { mb.Spec.Broker.Redis.URLFrom.SecretKeyRef.Name = secret })
}
