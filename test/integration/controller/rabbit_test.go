// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/test/brokers"
)

// scalingByRabbit starts an operator that reads a RabbitMQ often, and the shop that scales by queues of its virtual host "shop", of which
// emails is a quorum queue.
func (s *scene) scalingByRabbit() *brokers.RabbitMQ {
	s.t.Helper()
	rabbit := brokers.StartRabbitMQ(s.t)
	rabbit.VirtualHost(s.t, "shop")
	rabbit.Declare(s.t, "shop", "celery")
	rabbit.Call(s.t, http.MethodPut, "/api/queues/shop/emails", `{"durable":true,"arguments":{"x-queue-type":"quorum"}}`)
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "shop-broker"},
		StringData: map[string]string{"url": "amqp://guest:guest@" + rabbit.Address + "/shop", "management": "http://" + rabbit.Management},
	})
	s.letReadSecrets()
	s.operator = s.startOperator(fault{}, manager.Options{
		WatchNamespaces: []string{s.namespace}, BrokerInterval: 200 * time.Millisecond,
		BrokerGuard: func(context.Context, netip.Addr) bool { return true },
	})
	mb := scaled()
	mb.Spec.Broker = testutil.MakeMemoryBudget("", "").RabbitMQ("shop-broker", "url").Obj().Spec.Broker
	mb.Spec.Broker.RabbitMQ.ManagementURLFrom = &v1alpha1.URLSource{
		SecretKeyRef: v1alpha1.SecretKeyReference{Name: "shop-broker", Key: "management"},
	}
	s.create(mb)
	return rabbit
}

// take takes a task as a worker does that acknowledges it late.
func take(t *testing.T, rabbit *brokers.RabbitMQ, queue string) amqp.Delivery {
	t.Helper()
	connection, err := amqp.Dial("amqp://guest:guest@" + rabbit.Address + "/shop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}
	task, found, err := channel.Get(queue, false)
	if err != nil || !found {
		t.Fatalf("no task: %v", err)
	}
	return task
}

// TestScalingByRabbitMQ: a tier follows its queues in a RabbitMQ, whatever kind they are of, and the tasks that workers have taken from
// them. While RabbitMQ is away nothing is made smaller.
func TestScalingByRabbitMQ(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	rabbit := s.scalingByRabbit()
	says := func(waiting, taken int64, decision string) {
		t.Helper()
		s.awaitDemand("worker", decision, func(t v1alpha1.TierStatus) bool {
			return *t.Demand.ReadyTasks == waiting && *t.Demand.ReservedTasks == taken && strings.HasPrefix(t.Decision, decision)
		})
	}
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0, "ml": 0})
	for _, queue := range []string{"celery", "emails", "celery", "emails", "emails"} {
		rabbit.Publish(t, "shop", queue)
	}
	s.awaitReplicas(map[string]int{"worker": 3, "ml": 0})
	says(5, 0, "5 tasks waiting, 0 taken at a target of 2 per pod ask for 3")
	task := take(t, rabbit, "emails")
	says(4, 1, "4 tasks waiting, 1 taken at a target of 2 per pod ask for 3")
	for _, queue := range []string{"celery", "emails"} {
		rabbit.Call(t, http.MethodDelete, "/api/queues/shop/"+queue+"/contents", "")
	}
	s.awaitReplicas(map[string]int{"worker": 1})
	says(0, 1, "0 tasks waiting, 1 taken at a target of 2 per pod ask for 1")
	if err := task.Ack(false); err != nil {
		t.Fatal(err)
	}
	s.awaitReplicas(map[string]int{"web": 1, "worker": 0, "ml": 0})

	for range 4 {
		rabbit.Publish(t, "shop", "emails")
	}
	s.awaitReplicas(map[string]int{"worker": 2})
	s.awaitCondition(v1alpha1.ConditionSignalsFresh, metav1.ConditionTrue, v1alpha1.ReasonAllFresh)
	rabbit.Stop()
	s.awaitDemand("worker", "an unknown metric", func(t v1alpha1.TierStatus) bool {
		return t.Demand.LimitedBy == v1alpha1.DemandLimitedByUnknown && strings.HasPrefix(t.Decision, "the queues cannot be read")
	})
	s.settle()
	s.awaitReplicas(map[string]int{"web": 1, "worker": 2})
	s.verdict()
}
