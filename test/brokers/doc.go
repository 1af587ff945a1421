// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package brokers runs a real Redis or RabbitMQ for a test, on ports of its own of this machine, and a real Celery that takes
// tasks from it, and a real Prometheus; they end with the test. hack/brokers-env.sh installs them on Debian.
package brokers
