// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package signals

import (
	"regexp"
	"strings"
)

// isCelerysOwn: the queue belongs to Celery itself, not to an application: remote control, events, and the queues in which
// RabbitMQ keeps tasks with an ETA until they are due.
func isCelerysOwn(queue string) bool {
	return strings.HasSuffix(queue, ".pidbox") || strings.HasPrefix(queue, eventExchange+".") || delayed.MatchString(queue)
}

// isCelerysOwnExchange: all queues of the exchange are Celery's own.
func isCelerysOwnExchange(exchange string) bool {
	return strings.HasSuffix(exchange, ".pidbox") || exchange == eventExchange
}

const eventExchange = "celeryev"

var delayed = regexp.MustCompile(`^celery_delayed_[0-9]+$`)
