// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Test8Brokers runs the shop's tasks with both brokers, and with a newer Celery where its image is there. Redis with the
// Celery of the shop's own image is what all other proofs use.
func Test8Brokers(t *testing.T) {
	for _, tc := range []struct {
		name, image string
		broker      func(*v1alpha1.MemoryBudget)
	}{
		{"RabbitMQ", settings.shopImage, rabbitMQ},
		{"RedisNewerCelery", settings.newShopImage, func(*v1alpha1.MemoryBudget) {}},
		{"RabbitMQNewerCelery", settings.newShopImage, rabbitMQ},
	} {
		if tc.image == "" {
			t.Logf("%s was not run: there is no image with a newer Celery", tc.name)
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			testBroker(t, func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = tc.image }, tc.broker)
		})
	}
}

func rabbitMQ(mb *v1alpha1.MemoryBudget) {
	of := func(key string) v1alpha1.SecretKeyReference {
		return v1alpha1.SecretKeyReference{Name: "bunoraa-rabbitmq", Key: key}
	}
	mb.Spec.Broker = &v1alpha1.Broker{RabbitMQ: &v1alpha1.RabbitMQBroker{
		URLFrom:           v1alpha1.URLSource{SecretKeyRef: of("url")},
		ManagementURLFrom: &v1alpha1.URLSource{SecretKeyRef: of("managementURL")},
	}}
}

func testBroker(t *testing.T, changes ...func(*v1alpha1.MemoryBudget)) {
	s := newScene(t, "rabbitmq")
	s.create(s.budget(append(changes, threeInstances)...))
	mb := s.awaitReady()
	for i := range mb.Status.Tiers {
		if r := mb.Status.Tiers[i].Runtime; r != nil {
			t.Logf("%s: Python %s, Celery %s, Django %s, gunicorn %s", mb.Status.Tiers[i].Name, r.Python, r.Celery, r.Django, r.Gunicorn)
		}
	}
	if err := is(mb, v1alpha1.ConditionSettingsApplied, metav1.ConditionTrue, ""); err != nil {
		t.Error(err)
	}
	began, w := time.Now(), s.site()
	w.publish(publication{Task: mailTask, Count: 100, Args: []any{1}, Batch: "tasks"})
	w.publish(publication{Task: stockTask, Count: 30, Batch: "tasks"})
	w.publish(publication{Task: trainTask, Count: 5, Batch: "tasks"})
	all := w.awaitDone(long, "tasks")
	once(t, all)
	for name, place := range map[string]string{mailTask: "worker", stockTask: "worker", trainTask: "ml"} {
		for _, ran := range all[name].RanOn {
			if tierOf(ran.Hostname) != place {
				t.Errorf("%s ran on %s, want the %s tier", name, ran.Hostname, place)
			}
		}
	}
	s.awaitCondition(v1alpha1.ConditionQueuesOwned, metav1.ConditionTrue, "")
	s.taskSurvives(t, "rollout", v1alpha1.DrainFinish, func() {
		s.change(func(mb *v1alpha1.MemoryBudget) { tier(mb, "worker").Celery.MaxTasksPerChild = new(int32(400)) })
	})
	if kills := s.heldByTiers(began).oomKills; kills > 0 {
		t.Errorf("%d processes were killed for want of memory", kills)
	}
	s.verdict()
}
