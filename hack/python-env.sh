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

# suite NAME: a root file system, complete or not there at all.
suite() {
  local name=$1 target=$build/$1 wanted
  wanted="$mirror ${packages[*]}"
  if [[ -f $target.ready && $(<"$target.ready") == "$wanted" ]]; then return 0; fi
  [[ $(id -u) == 0 ]] || die "only root can make a root file system of $name"
  "$root/hack/install-packages.sh" debootstrap debian-archive-keyring
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
  debian) "$root/hack/install-packages.sh" "${packages[@]}" ;;
  venv) venv ;;
  *) suite "$1" ;;
esac
