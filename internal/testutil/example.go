// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package testutil

import "github.com/memorybudget/memorybudget/api/v1alpha1"

// MakeExample is the application that the documentation talks of: a Django shop with a web, a worker,
// an ML and a beat tier in 2Gi. It is valid and sets every kind of field that does not depend on a cluster.
func MakeExample(name, namespace string) *MemoryBudgetWrapper {
	return MakeMemoryBudget(name, namespace).
		Memory("2Gi").
		Image("registry.example/bunoraa:1.4").
		Django("core.settings.production").
		CeleryApp("core").
		Redis("bunoraa-broker", "url").
		Database(300, 10).
		Cache(50, 5).
		Tier(ExampleWebTier(), ExampleWorkerTier(), ExampleMLTier(), ExampleBeatTier())
}

// ExampleWebTier serves the shop.
func ExampleWebTier() v1alpha1.Tier {
	return MakeTier("web", v1alpha1.RoleWeb).Memory("512Mi").Replicas(1, 2, 4).Weight(2).
		Gunicorn("core.wsgi:application", func(g *v1alpha1.Gunicorn) {
			g.Workers, g.Threads = new(int32(2)), new(int32(2))
			g.HealthPath = "/healthz"
		}).Obj()
}

// ExampleWorkerTier runs the shop's tasks.
func ExampleWorkerTier() v1alpha1.Tier {
	return MakeTier("worker", v1alpha1.RoleWorker).Memory("512Mi").Replicas(0, 1, 8).
		Celery("celery", "emails").
		CeleryOptions(func(c *v1alpha1.Celery) { c.Concurrency = new(int32(2)) }).Obj()
}

// ExampleMLTier trains the shop's recommendations.
func ExampleMLTier() v1alpha1.Tier {
	return MakeTier("ml", v1alpha1.RoleML).Memory("768Mi").Replicas(0, 1, 2).
		CPU("250m", "1").
		ModelCache("2Gi").
		Celery("ml").
		CeleryOptions(func(c *v1alpha1.Celery) {
			c.Pool = v1alpha1.PoolSolo
			c.Tasks = []string{"recommendations.tasks.train_*", "recommendations.tasks.score_*"}
		}).
		Pod(&v1alpha1.Pod{TerminationGracePeriodSeconds: new(int64(600))}).Obj()
}

// ExampleBeatTier schedules the shop's tasks.
func ExampleBeatTier() v1alpha1.Tier {
	return MakeTier("beat", v1alpha1.RoleBeat).Memory("128Mi").Beat().Obj()
}
