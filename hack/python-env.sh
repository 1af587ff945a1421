#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prepares one environment in which the Python tests run with real Django, Celery, gunicorn and Redis:
#
#   hack/python-env.sh debian   the packages of this Debian machine's release, with /usr/bin/python3
#   hack/python-env.sh SUITE    a root file system of another Debian release, build/python/SUITE (root)
#   hack/python-env.sh venv     a virtual environment from PyPI, build/python/venv (needs redis-server)
#
# Does nothing where it is ready. Fails, and says what is missing, where it cannot be made.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${MEMORYBUDGET_BUILD:-$root/build}/python
packages=(python3 python3-django python3-celery python3-redis python3-django-redis python3-gunicorn
  gunicorn python3-pytest python3-pytest-xdist python3-psycopg2 redis-server)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

say() { echo "python-env: $*" >&2; }
die() { say "$*"; exit 1; }

# missing PACKAGE...: prints those that are not installed.
missing() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
  done
}

# forbid_services: keeps the packages (redis-server) from starting services, until this script ends.
forbid_services() {
  local policy=/usr/sbin/policy-rc.d
  [[ ! -e $policy ]] || return 0
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
}

# install PACKAGE...: installs what is missing; services of the packages are not started.
install() {
  local wanted
  mapfile -t wanted < <(missing "$@")
  ((${#wanted[@]})) || return 0
  [[ $(id -u) == 0 ]] || die "not installed, and only root can: ${wanted[*]}"
  say "installing ${wanted[*]}"
  export DEBIAN_FRONTEND=noninteractive
  forbid_services
  {
    apt-get -o DPkg::Lock::Timeout=600 update
    apt-get -o DPkg::Lock::Timeout=600 install -y --no-install-recommends "${wanted[@]}"
  } </dev/null >"$build/apt.log" 2>&1 || { tail -n 20 "$build/apt.log" >&2; die "apt-get failed"; }
}

# suite NAME: a root file system, complete or not there at all.
suite() {
  local name=$1 target=$build/$1 wanted
  wanted="$mirror ${packages[*]}"
  if [[ -f $target.ready && $(<"$target.ready") == "$wanted" ]]; then return 0; fi
  [[ $(id -u) == 0 ]] || die "only root can make a root file system of $name"
  install debootstrap debian-archive-keyring
  rm -rf "$target" "$target.ready"
  say "making a root file system of $name in $target (about a minute; log: $target.log)"
  debootstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" "$name" "$target" "$mirror" \
    </dev/null >"$target.log" 2>&1 || { tail -n 20 "$target.log" >&2; die "debootstrap failed"; }
  rm -rf "$target"/var/cache/apt/archives/*.deb "$target"/var/lib/apt/lists/*
  echo "$wanted" >"$target.ready"
}

# venv: for machines with neither root nor Debian.
venv() {
  local requirements=$root/test/python/requirements.txt
  command -v redis-server >/dev/null || die "redis-server is not installed; install it to run the Python tests"
  if cmp -s "$requirements" "$build/venv.ready"; then return 0; fi
  rm -rf "$build/venv" "$build/venv.ready"
  say "making a virtual environment in $build/venv"
  python3 -m venv "$build/venv"
  "$build/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
  cp "$requirements" "$build/venv.ready"
}

(($# == 1)) || die "usage: hack/python-env.sh debian|SUITE|venv"
mkdir -p "$build"
exec 9>"$build/.lock"
flock 9
case $1 in
  debian) install "${packages[@]}" ;;
  venv) venv ;;
  *) suite "$1" ;;
esac
