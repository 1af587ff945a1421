// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/observe"
)

// queuesOwned: no tasks wait in the broker that no tier takes.
func (f *facts) queuesOwned() metav1.Condition {
	is := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return condition(v1alpha1.ConditionQueuesOwned, status, reason, "%s", message)
	}
	broker := &f.Snapshot.Broker
	state := broker.State
	if len(observe.Queues(f.mb)) == 0 {
		state = observe.BrokerNone // It may be read for Redis streams and lists, all the same.
	}
	switch state {
	case observe.BrokerNone:
		return is(metav1.ConditionTrue, v1alpha1.ReasonNoBroker, "No tier takes tasks from a broker of this resource")
	case observe.BrokerNotReadYet:
		return f.queuesAsBefore(is(metav1.ConditionUnknown, v1alpha1.ReasonNotReadYet, "The broker was not read yet"))
	case observe.BrokerRead:
		unowned := f.unowned()
		if len(unowned) == 0 {
			return is(metav1.ConditionTrue, v1alpha1.ReasonAllOwned, "A tier takes the tasks of each queue in which tasks wait")
		}
		return is(metav1.ConditionFalse, v1alpha1.ReasonUnownedQueues, fmt.Sprintf(
			"Tasks wait in queues that no tier takes: %s; add each to celery.queues of a tier, or route its tasks to a queue of one",
			names(unowned)))
	default:
		reason, message := unread(broker)
		return is(metav1.ConditionUnknown, reason, message)
	}
}

// queuesAsBefore keeps what was known of this spec when the operator has only just started.
func (f *facts) queuesAsBefore(unless metav1.Condition) metav1.Condition {
	was := meta.FindStatusCondition(f.previous, v1alpha1.ConditionQueuesOwned)
	if was != nil && was.ObservedGeneration == f.mb.Generation {
		return *was
	}
	return unless
}

// unowned are the queues in which tasks wait and which neither this resource nor one beside it takes.
func (f *facts) unowned() []string {
	owned := append(observe.Queues(f.mb), f.Snapshot.Broker.Elsewhere...)
	return slices.DeleteFunc(slices.Clone(f.Snapshot.Broker.Waiting), func(queue string) bool {
		return slices.Contains(owned, queue)
	})
}

// unread is why the queues of a broker are not known.
func unread(broker *observe.Broker) (reason, message string) {
	secret := fmt.Sprintf("Secret %s", broker.Secret.Name)
	at := "The broker at " + plain(broker.Address, longestAddress)
	switch broker.State {
	case observe.BrokerSecretMissing:
		return v1alpha1.ReasonBrokerSecretUnreadable, fmt.Sprintf("There is no %s, which spec.broker names", secret)
	case observe.BrokerSecretKeyMissing:
		return v1alpha1.ReasonBrokerSecretUnreadable,
			fmt.Sprintf("The %s has no key %s, which spec.broker names", secret, broker.Secret.Key)
	case observe.BrokerSecretForbidden:
		return v1alpha1.ReasonBrokerSecretUnreadable, fmt.Sprintf("The operator may not get the %s: its queues are known once "+
			"a Role in this namespace lets it (chart: brokerSecrets.namespaces; kustomize: config/broker-secrets)", secret)
	case observe.BrokerURLInvalid:
		return v1alpha1.ReasonBrokerURLInvalid,
			fmt.Sprintf("The URL in key %s of the %s %s", broker.Secret.Key, secret, broker.Fault)
	case observe.BrokerManagementURLMissing:
		return v1alpha1.ReasonManagementURLMissing,
			"spec.broker.rabbitmq.managementURLFrom is not set, so there is no management API to ask for the queues"
	case observe.BrokerForbidden:
		return v1alpha1.ReasonBrokerForbiddenAddress, at + " has an address that the operator does not connect to: one of its own " +
			"machine, of the local link, or of the API server"
	case observe.BrokerRefuses:
		return v1alpha1.ReasonBrokerAuthenticationFailed, at + " refuses the user or password of its URL, or what they ask for"
	case observe.BrokerUntrusted:
		return v1alpha1.ReasonBrokerUnreachable, at + " has a certificate that the operator does not trust"
	case observe.BrokerUnreachable:
		return v1alpha1.ReasonBrokerUnreachable, at + " cannot be connected to, or does not answer within 5 seconds"
	case observe.BrokerNone, observe.BrokerNotReadYet, observe.BrokerRead, observe.BrokerAnswerInvalid:
	}
	return v1alpha1.ReasonBrokerAnswerInvalid, at + " does not answer as such a broker does, or holds more than can be looked at"
}

const (
	// mostNames is how many names are told, longestName and longestAddress how many characters of each.
	mostNames, longestName, longestAddress = 5, 64, 264
)

// names tells a few names of a list.
func names(all []string) string {
	var told []string
	for _, name := range all[:min(len(all), mostNames)] {
		told = append(told, plain(name, longestName))
	}
	text := strings.Join(told, ", ")
	if more := len(all) - len(told); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// plain is a name of somebody else in printable ASCII, cut.
func plain(name string, most int) string {
	clean := []byte{}
	for _, r := range name {
		if len(clean) == most {
			return string(clean) + "..."
		}
		if r <= ' ' || r > '~' {
			r = '?'
		}
		clean = append(clean, byte(r))
	}
	return string(clean)
}
