#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Installs Debian packages that are not installed, as root; the services in them are not started:
#
#   hack/install-packages.sh PACKAGE...
#
# Does nothing where all are there. Fails, and names what is missing, where it cannot install them.
set -euo pipefail

die() { echo "install-packages: $*" >&2; exit 1; }

wanted=()
for package in "$@"; do
  dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || wanted+=("$package")
done
((${#wanted[@]})) || exit 0
if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
  die "not installed, and only root on Debian can install them from here: ${wanted[*]}"
fi

echo "install-packages: installing ${wanted[*]}" >&2
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
ours=()
trap 'rm -f "$log" "${ours[@]}"' EXIT
if [[ ! -e $policy ]]; then
  ours=("$policy")
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
{
  apt-get -o DPkg::Lock::Timeout=600 update
  apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${wanted[@]}"
} </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "apt-get failed"; }
