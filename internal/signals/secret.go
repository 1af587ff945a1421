// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// origin is where a resource says that the URL of its broker is kept. Management is empty for a Redis.
type origin struct {
	namespace       string
	url, management v1alpha1.SecretKeyReference
}

func (o origin) isRabbitMQ() bool { return o.management.Name != "" }

// originOf is that of a resource. What is wrong with the resource is told in its place.
func originOf(mb *v1alpha1.MemoryBudget) (o origin, instead observe.BrokerState) {
	secret := settings.BrokerSecret(mb.Spec.Broker)
	if what := asksOf(mb); secret == nil || len(what.queues) == 0 && !what.scales() {
		return origin{}, observe.BrokerNone
	}
	o = origin{namespace: mb.Namespace, url: *secret}
	if rabbitmq := mb.Spec.Broker.RabbitMQ; rabbitmq != nil {
		if rabbitmq.ManagementURLFrom == nil {
			return origin{}, observe.BrokerManagementURLMissing
		}
		o.management = rabbitmq.ManagementURLFrom.SecretKeyRef
	}
	return o, observe.BrokerRead
}

// lookup reads the target of an origin from its Secrets. A fault says what is wrong with them; an error, that they could not
// be asked for now.
func lookup(ctx context.Context, secrets client.Reader, o origin) (t target, fault observe.Broker, err error) {
	text, fault, err := value(ctx, secrets, o.namespace, o.url)
	if err != nil || fault.State != "" {
		return target{}, fault, err
	}
	invalid := func(of v1alpha1.SecretKeyReference, why string) observe.Broker {
		return observe.Broker{State: observe.BrokerURLInvalid, Secret: of, Fault: why}
	}
	if !o.isRabbitMQ() {
		t, why := redisTarget(text)
		if why != "" {
			return target{}, invalid(o.url, why), nil
		}
		return t.in(o.namespace), observe.Broker{}, nil
	}
	amqp, broker, why := amqpTarget(text)
	if why != "" {
		return target{}, invalid(o.url, why), nil
	}
	if text, fault, err = value(ctx, secrets, o.namespace, o.management); err != nil || fault.State != "" {
		return target{}, fault, err
	}
	t, management, why := managementTarget(text)
	if why != "" {
		return target{}, invalid(o.management, why), nil
	}
	amqp = amqp.in(o.namespace)
	t.vhost = amqp.vhost
	t.amqp = endpoint{address: amqp.address, secure: amqp.secure, namespace: amqp.namespace, user: amqp.user, password: amqp.password}
	switch {
	case management.hasUser:
	case management.host != broker.host:
		// The user and password of AMQP are for its host alone: they are not sent to where another Secret says.
		return target{}, invalid(o.management, "has no user, and another host than the broker's own URL"), nil
	default:
		t.user, t.password = amqp.user, amqp.password
	}
	return t.in(o.namespace), observe.Broker{}, nil
}

// value reads a key of a Secret from the API server.
func value(
	ctx context.Context, secrets client.Reader, namespace string, ref v1alpha1.SecretKeyReference,
) (text string, fault observe.Broker, err error) {
	secret := &corev1.Secret{}
	err = secrets.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ref.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return "", observe.Broker{State: observe.BrokerSecretMissing, Secret: ref}, nil
	case apierrors.IsForbidden(err):
		return "", observe.Broker{State: observe.BrokerSecretForbidden, Secret: ref}, nil
	case err != nil:
		return "", observe.Broker{}, err
	}
	data, found := secret.Data[ref.Key]
	if !found {
		return "", observe.Broker{State: observe.BrokerSecretKeyMissing, Secret: ref}, nil
	}
	return string(data), observe.Broker{}, nil
}
