#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Installs the brokers that the Go tests run, redis-server and rabbitmq-server, the Celery that takes tasks from them, for
# Debian's own Python, and prometheus: as root on Debian. Does nothing where all are there, from wherever they came.
set -euo pipefail

wanted=()
command -v redis-server >/dev/null || wanted+=(redis-server)
[[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || command -v rabbitmq-server >/dev/null || wanted+=(rabbitmq-server)
command -v prometheus >/dev/null || wanted+=(prometheus)
/usr/bin/python3 -c 'import celery, redis' 2>/dev/null || wanted+=(python3-celery python3-redis)
exec "$(dirname "${BASH_SOURCE[0]}")/install-packages.sh" "${wanted[@]}"
