# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# What a Docker engine leaves on a machine when it ends, and how it is removed. To be sourced by engine.sh, after lib.sh.
# shellcheck shell=bash disable=SC2154

# The name of the bridge is what the engine's rules are found by.
bridge=mbkind0
# The engine switches forwarding on; a node's kubelet and systemd set the others for the whole machine.
sysctls=(net/ipv4/ip_forward vm/overcommit_memory kernel/panic kernel/panic_on_oops
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes kernel/pid_max
  fs/protected_fifos fs/protected_hardlinks fs/protected_regular fs/protected_symlinks)
# What Docker and containerd make outside of the directories that they are given, files before directories.
strays=(/etc/docker/key.json /opt/containerd /run/containerd/fifo /run/containerd/runc /run/containerd/s /run/docker/plugins
  /etc/docker /run/containerd /run/docker)

# remember: the state of the machine before, for stop.
remember() {
  local name
  mkdir -p "$run/sysctl"
  for name in "${strays[@]}"; do
    [[ ! -e $name ]] || echo "$name"
  done >"$run/strays"
  for name in "${sysctls[@]}"; do
    [[ ! -e /proc/sys/$name ]] || cat "/proc/sys/$name" >"$run/sysctl/${name//\//.}"
  done
  iptables-save >"$run/iptables"
  ip6tables-save >"$run/ip6tables"
  nft list tables | sort >"$run/tables"
  echo "$data" >"$run/data"
}

# hierarchies: the directories in which this machine has a root of cgroups.
hierarchies() {
  local directory
  for directory in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    [[ ! -e ${directory%/}/cgroup.procs || -L ${directory%/} ]] || echo "${directory%/}"
  done
}

# unmount DIRECTORY: what is mounted on it and below, and below the engine's state.
unmount() {
  local target
  while read -r target; do
    umount -l "$target" || true
  done < <(awk -v run="$run/" -v data="${1:?}/" 'index($5 "/", run) == 1 || index($5 "/", data) == 1 {print $5}' /proc/self/mountinfo | tac)
}

# remove_links: the bridge and its ports; the kernel takes its time with those of containers that died.
remove_links() {
  local port
  for port in $(ip -o link show master "$bridge" 2>/dev/null | sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
    ip link delete "$port" 2>/dev/null || true
  done
  ! ip link show "$bridge" >/dev/null 2>&1 || ip link delete "$bridge"
}

# clean_rules iptables|ip6tables: takes out the chains and rules that were not there before and are Docker's.
# shellcheck disable=SC2001 # the beginning of every line, which no expansion replaces
clean_rules() {
  local command=$1 table chains rules policy subnet
  subnet=$(cat "$run/subnet" 2>/dev/null || echo none)
  for table in filter nat raw mangle; do
    # Asked by way of what is saved: naming a table would make it.
    "$command-save" | sed -n "/^\*$table\$/,/^COMMIT\$/p" >"$run/now"
    [[ -s $run/now ]] || continue
    sed -n "/^\*$table\$/,/^COMMIT\$/p" "$run/$command" >"$run/then"
    chains=$(grep -o '^:DOCKER[^ ]*' "$run/now" | grep -vxFf <(grep -o '^:[^ ]*' "$run/then" || true) || true)
    rules=$(grep '^-A' "$run/now" | grep -v '^-A DOCKER' | grep -vxFf <(grep '^-A' "$run/then" || true) | grep -F -e '-j DOCKER' -e " $bridge " -e " ${subnet%.*.*}." || true)
    policy=$(grep '^:FORWARD ' "$run/then" || true)
    if [[ -z $policy ]] && grep -q '^:FORWARD DROP' "$run/now"; then policy=':FORWARD ACCEPT [0:0]'; fi
    {
      echo "*$table"
      [[ -z $policy ]] || echo "$policy"
      [[ -z $rules ]] || sed 's/^-A/-D/' <<<"$rules"
      [[ -z $chains ]] || sed 's/^:/-F /' <<<"$chains"
      [[ -z $chains ]] || sed 's/^:/-X /' <<<"$chains"
      echo COMMIT
    } | "$command-restore" --noflush
  done
}

# clean_tables: removes tables that were not there before and now hold no rule and no chain but the empty built-in ones.
clean_tables() {
  local family name
  while read -r _ family name; do
    [[ $family == ip || $family == ip6 ]] || continue
    if ! nft list table "$family" "$name" |
      grep -vE '^(table .*\{|\s*chain (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING) \{|\s*type .* policy accept;|\s*\}|\s*)$' | grep -q .; then
      nft delete table "$family" "$name"
    fi
  done < <(nft list tables | sort | comm -13 "$run/tables" -)
}

restore_sysctls() {
  local name
  for name in "${sysctls[@]}"; do
    [[ ! -e $run/sysctl/${name//\//.} ]] || cat "$run/sysctl/${name//\//.}" >"/proc/sys/$name"
  done
}

remove_cgroups() {
  local directory
  while read -r directory; do
    find "$directory/$cgroup" "$directory/$cgroup-engine" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done < <(hierarchies)
  ! find /sys/fs/cgroup -type d -name "$cgroup*" | grep -q .
}

remove_strays() {
  local path
  for path in "${strays[@]}"; do
    if [[ ! -e $path ]] || grep -qxF "$path" "$run/strays" 2>/dev/null; then continue; fi
    case $path in
      /etc/docker | /run/containerd | /run/docker) rmdir --ignore-fail-on-non-empty "$path" ;;
      *) rm -rf "$path" ;;
    esac
  done
}
