// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/test/brokers"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// TestQueuesOwned: with the shipped Role the operator reads the broker, says which queue no tier takes, leaves that said when
// it starts anew, and takes it back. Neither a write nor an event tells the password.
func TestQueuesOwned(t *testing.T) {
	t.Parallel()
	const canary = "Canary-5e1f"
	redis := brokers.StartRedis(t, canary)
	s := newScene(t)
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-broker"},
		StringData: map[string]string{"url": "redis://:" + canary + "@" + redis.Address + "/0"},
	})
	options := manager.Options{
		WatchNamespaces: []string{s.namespace}, BrokerInterval: 200 * time.Millisecond,
		BrokerGuard: func(context.Context, netip.Addr) bool { return true },
	}
	s.operator = s.startOperator(fault{}, options)
	s.create(shop().Obj())
	owned := func(status metav1.ConditionStatus, reason string) metav1.Condition {
		return s.awaitCondition(v1alpha1.ConditionQueuesOwned, status, reason)
	}
	owned(metav1.ConditionUnknown, v1alpha1.ReasonBrokerSecretUnreadable)
	s.letReadSecrets()
	owned(metav1.ConditionTrue, v1alpha1.ReasonAllOwned)

	redis.Publish(t, "", "reports", "0")
	redis.Publish(t, "", "emails", "3")
	if c := owned(metav1.ConditionFalse, v1alpha1.ReasonUnownedQueues); !strings.Contains(c.Message, ": reports;") {
		t.Errorf("message: %s", c.Message)
	}
	s.awaitReady()
	s.settle()
	s.operator.stop()
	s.operator = s.startOperator(fault{}, options)
	s.quiet()
	redis.Do(t, "DEL", "reports")
	owned(metav1.ConditionTrue, v1alpha1.ReasonAllOwned)
	s.awaitReady()
	s.neverTells(canary)
	s.verdict()
}

// letReadSecrets gives the operator the Role that it ships with for that.
func (s *scene) letReadSecrets() {
	s.t.Helper()
	objects, err := testrbac.Kustomize(filepath.Join(testrbac.Root(), "config", "broker-secrets"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, object := range objects {
		object.SetNamespace(s.namespace)
	}
	if err := testrbac.Apply(s.t.Context(), cluster.RESTConfig(), objects); err != nil {
		s.t.Fatal(err)
	}
}

// neverTells checks that a text is in none of the operator's writes and events.
func (s *scene) neverTells(text string) {
	s.t.Helper()
	for _, c := range s.history() {
		if data, err := json.Marshal(c.Object); err != nil || strings.Contains(string(data), text) {
			s.t.Errorf("version %d tells it (%v)", c.Version, err)
		}
	}
	data, err := json.Marshal(list(s, &eventsv1.EventList{}, ""))
	if err != nil || strings.Contains(string(data), text) {
		s.t.Errorf("an event tells it (%v)", err)
	}
}
