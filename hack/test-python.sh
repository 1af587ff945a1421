#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Runs test/python with real Django, Celery, gunicorn and Redis, in every environment this machine can have:
#
#   hack/test-python.sh [debian|SUITE|venv|all] [pytest arguments]
#
# all (the default): the packages of this Debian release, and those of a newer one ($newer) in a root file
# system; both need root, the second also the right to mount. Elsewhere: a virtual environment from PyPI.
# The first lines say which, and with what versions. An environment that cannot be made is a failure.
#
# SUITE may be any Debian release. sid shows what the newest Celery, Click and gunicorn change before
# users meet it; it is not part of all, since a test must not fail for what others released that day. It
# is made once: remove build/python/sid.ready to have it made anew.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${MEMORYBUDGET_BUILD:-$root/build}/python
newer=trixie
pytest=(-m pytest -n 4 -p no:cacheprovider -W ignore::DeprecationWarning)

# environments: prints the names of those that this machine can have.
environments() {
  if [[ $(id -u) != 0 ]] || ! command -v apt-get dpkg-query >/dev/null; then
    echo venv
    return
  fi
  echo debian
  if [[ $(. /etc/os-release && echo "${VERSION_CODENAME:-}") == "$newer" ]]; then
    return
  elif unshare --mount true 2>/dev/null; then
    echo "$newer"
  else
    echo "test-python: not run with the packages of $newer, since mounting is not permitted here" >&2
  fi
}

# in_suite NAME ARGUMENTS...: runs Python in a root file system. Its mounts are in a mount namespace of
# their own, so they are gone with it, however it ends.
in_suite() {
  local target=$build/$1
  shift
  mkdir -p "$target/src/test" "$target/src/package"
  TARGET=$target SOURCE=$root unshare --mount --propagation private bash -euc '
    mount -t proc proc "$TARGET/proc"
    mount --rbind /dev "$TARGET/dev"
    mount -t tmpfs tmpfs "$TARGET/tmp"
    mount --bind -o ro "$SOURCE/test/python" "$TARGET/src/test"
    mount --bind -o ro "$SOURCE/internal/settings/python" "$TARGET/src/package"
    exec chroot "$TARGET" /usr/bin/env -C /src/test PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C.UTF-8 \
      MEMORYBUDGET_PYTHON_SOURCE=/src/package "$@"' sandbox \
    MEMORYBUDGET_PYTHON_ENVIRONMENT="$MEMORYBUDGET_PYTHON_ENVIRONMENT" PYTHONDONTWRITEBYTECODE=1 \
    /usr/bin/python3 "$@"
}

# run NAME ARGUMENTS...: one environment.
run() {
  local name=$1
  shift
  bash "$root/hack/python-env.sh" "$name"
  cd "$root/test/python"
  export PYTHONDONTWRITEBYTECODE=1
  case $name in
    debian)
      export MEMORYBUDGET_PYTHON_ENVIRONMENT="this machine's Debian packages"
      /usr/bin/python3 "${pytest[@]}" "$@" ;;
    venv)
      export MEMORYBUDGET_PYTHON_ENVIRONMENT="a virtual environment from PyPI"
      "$build/venv/bin/python" "${pytest[@]}" "$@" ;;
    *)
      export MEMORYBUDGET_PYTHON_ENVIRONMENT="Debian packages of $name in a root file system"
      in_suite "$name" "${pytest[@]}" "$@" ;;
  esac
}

what=${1:-all}
(($# == 0)) || shift
if [[ $what == all ]]; then
  mapfile -t names < <(environments)
else
  names=("$what")
fi
status=0
for name in "${names[@]}"; do
  (run "$name" "$@") </dev/null || status=$?
done
exit "$status"
