# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts of this directory share. To be sourced by bash.
# shellcheck shell=bash disable=SC2034
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/hack/kind
build=${MEMORYBUDGET_BUILD:-$root/build}/kind
bin=$build/bin
cluster=${KIND_CLUSTER:-memorybudget}
kind=${MEMORYBUDGET_TOOLS_BIN:-$root/build/bin}/kind
controlplane=${MEMORYBUDGET_CONTROLPLANE_BIN:-$root/build/controlplane/bin}
kubectl=${MEMORYBUDGET_TOOLS_BIN:-$root/build/bin}/kubectl
# The state of an engine of our own. Not below build: the path of a socket is short, and there is one engine per machine.
run=/run/memorybudget-kind
# The cgroup of its containers, so that theirs are told from another engine's.
cgroup=memorybudget-kind
export KUBECONFIG=$build/kubeconfig

say() { echo "kind: $*" >&2; }
die() { say "$*"; exit 1; }

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; tells what it waited for when the time is over.
wait_for() {
  local seconds=$1 what=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@" >"$build/wait.log" 2>&1; do
    if ((SECONDS >= deadline)); then
      tail -n 20 "$build/wait.log" >&2
      die "waited $seconds s for $what"
    fi
    sleep 0.2
  done
}

# logged NAME COMMAND...: runs a command into a log of that name, whose end is shown if it fails.
logged() {
  local log=$build/$1.log
  shift
  "$@" </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "failed: $* (log: $log)"; }
}

need_root() { [[ $(id -u) == 0 ]] || die "only root can $*"; }

# need_packages PACKAGE...: installs Debian packages that are missing.
need_packages() { "$root/hack/install-packages.sh" "$@"; }

# version MODULE DIRECTORY: the version of a module that the go.mod of a directory pins.
version() { sed -n "s|^[[:space:]]*\(require \)\{0,1\}$1 \(v[^ ]*\).*|\2|p" "$2/go.mod" | head -n 1; }

# capable NUMBER: whether root has a capability on this machine.
capable() {
  local bounding
  bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
  (((0x$bounding >> $1) & 1))
}

# lacks_sys_resource: whether containers can be given no CAP_SYS_RESOURCE here (capability 24).
lacks_sys_resource() { ! capable 24; }

# engine_is_ours: whether the engine in use is the one that engine.sh started.
engine_is_ours() { [[ ${DOCKER_HOST:-} == "unix://$run/docker.sock" ]]; }

answers() { timeout 10 docker info >/dev/null 2>&1; }

# use_our_engine: lets docker, and kind, talk to an engine of our own, with the client that came with it.
use_our_engine() {
  export DOCKER_HOST=unix://$run/docker.sock PATH=$run/bin:$PATH
}

# find_engine: a Docker engine that runs, the user's or our own, or fails.
find_engine() {
  if [[ -S $run/docker.sock ]]; then
    use_our_engine
    answers
  else
    command -v docker >/dev/null && answers
  fi
}

# registry_answers: whether the engine can pull; asked with the smallest image there is.
registry_answers() {
  local image=hello-world:latest there=0
  ! docker image inspect "$image" >/dev/null 2>&1 || there=1
  timeout 30 docker pull --quiet "$image" >/dev/null 2>&1 || return 1
  ((there)) || docker image rm "$image" >/dev/null 2>&1 || true
}
