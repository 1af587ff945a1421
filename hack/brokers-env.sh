#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Installs the brokers that the Go tests run: redis-server and rabbitmq-server, as root on Debian. Their services are not
# started. Does nothing where both are there; fails, and says what is missing, where it cannot install them.
set -euo pipefail

say() { echo "brokers-env: $*" >&2; }
die() { say "$*"; exit 1; }

wanted=()
command -v redis-server >/dev/null || wanted+=(redis-server)
[[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] || command -v rabbitmq-server >/dev/null || wanted+=(rabbitmq-server)
((${#wanted[@]})) || exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  die "the Go tests need ${wanted[*]}, which are not installed; only root on Debian can install them from here"
fi

say "installing ${wanted[*]}"
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
trap 'rm -f "$log"' EXIT
if [[ ! -e $policy ]]; then
  trap 'rm -f "$log" "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
{
  apt-get -o DPkg::Lock::Timeout=600 update
  apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${wanted[@]}"
} </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "apt-get failed"; }
