// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

func TestQueuesOwned(t *testing.T) {
	secret := v1alpha1.SecretKeyReference{Name: "broker", Key: "url"}
	failed := func(state observe.BrokerState) observe.Broker {
		return observe.Broker{State: state, Address: "redis:6379"}
	}
	waiting := func(queues ...string) observe.Broker {
		return observe.Broker{State: observe.BrokerRead, Address: "redis:6379", Waiting: queues}
	}
	cases := map[string]struct {
		broker observe.Broker
		want   string
		// wantMessage is part of the message.
		wantMessage string
	}{
		"no broker":         {want: "True NoBroker"},
		"not read yet":      {broker: failed(observe.BrokerNotReadYet), want: "Unknown NotReadYet"},
		"no tasks wait":     {broker: waiting(), want: "True AllOwned"},
		"tasks for a tier":  {broker: waiting("celery"), want: "True AllOwned"},
		"tasks for nobody":  {broker: waiting("celery", "emails"), want: "False UnownedQueues", wantMessage: "no tier takes: emails; add each to celery.queues of a tier"},
		"almost the name":   {broker: waiting("Celery"), want: "False UnownedQueues"},
		"many queues":       {broker: waiting("a", "b", "c", "d", "e", "f", "g"), want: "False UnownedQueues", wantMessage: ": a, b, c, d, e and 2 more;"},
		"hostile names":     {broker: waiting("a\x1b[31m\n€b", strings.Repeat("x", 100)), want: "False UnownedQueues", wantMessage: ": a?[31m??b, " + strings.Repeat("x", 64) + "...;"},
		"tasks for another": {broker: observe.Broker{State: observe.BrokerRead, Waiting: []string{"emails"}, Elsewhere: []string{"emails"}}, want: "True AllOwned"},
		"unreachable":       {broker: failed(observe.BrokerUnreachable), want: "Unknown BrokerUnreachable", wantMessage: "redis:6379"},
		"untrusted":         {broker: failed(observe.BrokerUntrusted), want: "Unknown BrokerUnreachable", wantMessage: "certificate"},
		"refuses":           {broker: failed(observe.BrokerRefuses), want: "Unknown BrokerAuthenticationFailed", wantMessage: "redis:6379"},
		"forbidden address": {broker: failed(observe.BrokerForbidden), want: "Unknown BrokerForbiddenAddress", wantMessage: "redis:6379"},
		"invalid answer":    {broker: failed(observe.BrokerAnswerInvalid), want: "Unknown BrokerAnswerInvalid", wantMessage: "redis:6379"},
		"no Secret":         {broker: observe.Broker{State: observe.BrokerSecretMissing, Secret: secret}, want: "Unknown BrokerSecretUnreadable", wantMessage: "no Secret broker"},
		"no key":            {broker: observe.Broker{State: observe.BrokerSecretKeyMissing, Secret: secret}, want: "Unknown BrokerSecretUnreadable", wantMessage: "Secret broker has no key url"},
		"no permission":     {broker: observe.Broker{State: observe.BrokerSecretForbidden, Secret: secret}, want: "Unknown BrokerSecretUnreadable", wantMessage: "a Role in this namespace"},
		"no URL":            {broker: observe.Broker{State: observe.BrokerURLInvalid, Secret: secret, Fault: "is empty"}, want: "Unknown BrokerURLInvalid", wantMessage: "The URL in key url of the Secret broker is empty"},
		"no management API": {broker: observe.Broker{State: observe.BrokerManagementURLMissing}, want: "Unknown ManagementURLMissing", wantMessage: "spec.broker.rabbitmq.managementURLFrom"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := running(t, shop().Obj())
			s.Broker = tc.broker
			c := meta.FindStatusCondition(compute(s, "").Conditions, v1alpha1.ConditionQueuesOwned)
			if got := string(c.Status) + " " + c.Reason; got != tc.want || !strings.Contains(c.Message, tc.wantMessage) {
				t.Errorf("got %q (%s), want %q (%s)", got, c.Message, tc.want, tc.wantMessage)
			}
		})
	}
}

// TestQueuesOwnedAfterRestart: an operator that has not read yet leaves what was said of the same spec.
func TestQueuesOwnedAfterRestart(t *testing.T) {
	said := metav1.Condition{
		Type: v1alpha1.ConditionQueuesOwned, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnownedQueues, Message: "emails",
	}
	for generation, want := range map[int64]string{3: "UnownedQueues emails", 2: "NotReadYet The broker was not read yet"} {
		said.ObservedGeneration = generation
		s := running(t, shop().Condition(said).Obj())
		s.Broker.State = observe.BrokerNotReadYet
		c := meta.FindStatusCondition(compute(s, "").Conditions, v1alpha1.ConditionQueuesOwned)
		if got := c.Reason + " " + c.Message; got != want {
			t.Errorf("said of generation %d, now of 3: %q, want %q", generation, got, want)
		}
	}
}
