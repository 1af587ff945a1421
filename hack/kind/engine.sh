#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# A Docker engine of our own, for machines on which none runs:
#
#   hack/kind/engine.sh start   starts it: own sockets, data, containerd, cgroups and bridge
#   hack/kind/engine.sh stop    stops it and removes all that it made
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. "$here/engine-remains.sh"

data=$build/docker

# configure: files rather than flags, so that no configuration of the machine's own engine is read.
configure() {
  local runtime=runc
  ! lacks_sys_resource || runtime=runc-unprivileged
  cat >"$run/containerd.toml" <<EOF
version = 2
root = "$data/containerd"
state = "$run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$run/containerd.sock"
EOF
  cat >"$run/daemon.json" <<EOF
{
  "hosts": ["unix://$run/docker.sock"],
  "containerd": "$run/containerd.sock",
  "data-root": "$data",
  "exec-root": "$run/exec",
  "pidfile": "$run/docker.pid",
  "bridge": "none",
  "cgroup-parent": "/$cgroup",
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "oom-score-adjust": 0,
  "default-runtime": "$runtime",
  "runtimes": {"runc-unprivileged": {"path": "$bin/runc-unprivileged"}}
}
EOF
}

# launch LOG COMMAND...: in the background, in cgroups of its own, which tell the engine's processes from all others.
launch() {
  local log=$1
  shift
  (
    while read -r directory; do
      # Two are enough; others, such as cpuset, take no process before they are set up.
      case $directory in */memory | */pids | /sys/fs/cgroup) ;; *) continue ;; esac
      mkdir -p "$directory/$cgroup-engine"
      echo "$BASHPID" >"$directory/$cgroup-engine/cgroup.procs"
    done < <(hierarchies)
    exec setsid "$@" </dev/null >"$log" 2>&1 9>&-
  ) &
}

start() {
  if find_engine; then return 0; fi
  need_root "start a Docker engine, and none runs here"
  if ! capable 21 || ! capable 12; then die "an engine needs CAP_SYS_ADMIN and CAP_NET_ADMIN, which this machine does not give"; fi
  if [[ -e $run ]]; then
    say "removing what an interrupted run left behind"
    stop
  fi
  unmount "$data"
  rm -rf "$data"
  command -v dockerd >/dev/null || need_packages docker.io
  command -v docker >/dev/null || need_packages docker-cli
  need_packages iptables nftables iproute2
  say "starting a Docker engine of our own (socket: $run/docker.sock, data: $data)"
  mkdir -p "$run/bin" "$data"
  remember
  configure
  if [[ -x /usr/bin/docker ]]; then ln -s /usr/bin/docker "$run/bin/docker"; fi
  launch "$build/containerd.log" containerd --config "$run/containerd.toml"
  launch "$build/dockerd.log" dockerd --config-file "$run/daemon.json"
  use_our_engine
  wait_for 60 "the Docker engine to answer (log: $build/dockerd.log)" docker info
  docker network inspect kind >/dev/null 2>&1 ||
    docker network create -o "com.docker.network.bridge.name=$bridge" kind >/dev/null
  docker network inspect -f '{{range .IPAM.Config}}{{println .Subnet}}{{end}}' kind | grep -F . >"$run/subnet"
}

# processes: those of the engine and of its containers, in whatever state it is.
processes() {
  local directory
  while read -r directory; do
    find "$directory/$cgroup" "$directory/$cgroup-engine" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done < <(hierarchies) | sort -un
}

gone() { [[ -z $(processes) ]]; }

kill_all() {
  local -a pids
  mapfile -t pids < <(processes)
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2>/dev/null || true
  gone
}

# stop_processes: in order where the engine still answers; what is left is killed.
stop_processes() {
  local pid containers
  if answers; then
    mapfile -t containers < <(docker ps -aq)
    ((${#containers[@]} == 0)) || docker rm -f -v "${containers[@]}" >/dev/null || true
    docker network rm kind >/dev/null 2>&1 || true
    pid=$(cat "$run/docker.pid" 2>/dev/null || true)
    if [[ -n $pid ]] && grep -qx "$pid" < <(processes); then
      kill -TERM "$pid"
      timeout 30 tail --pid="$pid" -f /dev/null || true
    fi
  fi
  wait_for 30 "the engine's processes to end: $(processes | tr '\n' ' ')" kill_all
}

stop() {
  [[ -e $run ]] || return 0
  need_root "stop the Docker engine that $here/engine.sh started"
  say "stopping the Docker engine"
  use_our_engine
  stop_processes
  local data_then=$data
  [[ ! -s $run/data ]] || data_then=$(<"$run/data")
  unmount "$data_then"
  remove_links
  if [[ -e $run/tables ]]; then
    clean_rules iptables
    clean_rules ip6tables
    clean_tables
    restore_sysctls
    remove_strays
  fi
  wait_for 10 "the kernel to give up the cgroups" remove_cgroups
  # Last what says that there is something to remove.
  rm -rf "$data_then"
  rm -rf "$run"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) die "usage: hack/kind/engine.sh start|stop" ;;
esac
