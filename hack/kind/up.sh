#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Brings up a kind cluster of two nodes with metrics-server, and checks that it works. What is there already stays.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Which node image: kind's own (stock), one made here (local), or whichever can be had (auto).
node=${KIND_NODE:-auto}

choose_node() {
  [[ $node == auto ]] || return 0
  if registry_answers; then
    node=stock
  else
    say "no registry can be reached"
    node=local
  fi
}

# configuration: kind's, with what this machine and the node image need beyond cluster.yaml.
configuration() {
  cat "$here/cluster.yaml"
  if [[ $node == local ]]; then
    printf 'networking:\n  # The node image has a network of its own.\n  disableDefaultCNI: true\n'
  fi
  if lacks_sys_resource; then
    printf 'containerdConfigPatches:\n- |\n  [plugins."io.containerd.grpc.v1.cri"]\n    restrict_oom_score_adj = true\n'
  fi
}

exists() { "$kind" get clusters 2>/dev/null | grep -qx "$cluster"; }

# works: whether kind came to its end with the cluster, and it answers; a busy one may take its time.
works() {
  exists && [[ -e $build/$cluster.complete && -s $KUBECONFIG ]] &&
    (wait_for 60 "the API server of the cluster that is there" "$kubectl" get --raw /readyz --request-timeout 10s)
}

create() {
  local image arguments=()
  rm -f "$build/$cluster.complete"
  if exists; then
    say "deleting what is left of the cluster after an interrupted run or a crash"
    "$kind" delete cluster --name "$cluster"
  fi
  choose_node
  if [[ $node == local ]]; then
    say "taking a node image that is made here"
    image=$("$here/node-image.sh")
    arguments=(--image "$image")
  fi
  configuration >"$build/$cluster.yaml"
  "$kind" create cluster --name "$cluster" --config "$build/$cluster.yaml" --kubeconfig "$KUBECONFIG" "${arguments[@]}"
  echo "$node" >"$build/$cluster.complete"
}

# routes: between the nodes' ranges of pod addresses, and addresses of the node towards the rest of the world. kind's own
# network does this in its image; a restarted node needs it again.
routes() {
  local nodes name address range container pods=10.244.0.0/16
  [[ $(<"$build/$cluster.complete") == local ]] || return 0
  nodes=$("$kubectl" get nodes -o 'jsonpath={range .items[*]}{.metadata.name} {.status.addresses[?(@.type=="InternalIP")].address} {.spec.podCIDR}{"\n"}{end}')
  for container in $("$kind" get nodes --name "$cluster"); do
    while read -r name address range; do
      [[ $name == "$container" ]] || docker exec "$container" ip route replace "$range" via "$address"
    done <<<"$nodes"
    docker exec "$container" sh -c "iptables -t nat -C POSTROUTING -s $pods ! -d $pods -j MASQUERADE 2>/dev/null ||
      iptables -t nat -A POSTROUTING -s $pods ! -d $pods -j MASQUERADE"
  done
}

have_ranges() { ! "$kubectl" get nodes -o 'jsonpath={range .items[*]}{.spec.podCIDR}{"\n"}{end}' | grep -qx ''; }

# addon NAME VERSION: an image with one program, built from its module; loaded unless it is there. Prints its name.
addon() {
  local tag archive=$build/$1.tar container
  tag=memorybudget.local/$1:$2-$(sha256sum "$bin/$1" | cut -c1-12)
  for container in $("$kind" get nodes --name "$cluster"); do
    docker exec "$container" ctr -n k8s.io images ls -q "name==$tag" 2>/dev/null | grep -q . && continue
    "$bin/image" -tag "$tag" -output "$archive" -file "$bin/$1=/$1" -entrypoint "/$1"
    "$kind" load image-archive --name "$cluster" "$archive" >&2
    rm -f "$archive"
    break
  done
  echo "$tag"
}

metrics() { [[ $("$kubectl" top nodes --no-headers | grep -cv unknown) == $("$kubectl" get nodes -o name | wc -l) ]]; }

mkdir -p "$build"
exec 9>"$build/.lock"
flock -n 9 || { say "waiting for another kind-up or kind-down"; flock 9; }

"$here/binaries.sh" tools >&2
"$here/binaries.sh" addons >&2
"$here/engine.sh" start
find_engine || die "the Docker engine does not answer"
works || create

wait_for 120 "every node to get a range of pod addresses" have_ranges
routes
"$kubectl" taint nodes --all node-role.kubernetes.io/control-plane- >/dev/null 2>&1 || true
wait_for 180 "every node to be Ready" "$kubectl" wait node --all --for condition=Ready --timeout 1s
wait_for 180 "the system's pods to be Ready" "$kubectl" wait pod -n kube-system -l 'k8s-app!=metrics-server' --for condition=Ready --timeout 1s

metrics_server=$(addon metrics-server "$(version sigs.k8s.io/metrics-server "$here/modules/metrics-server")")
sed "s|METRICS_SERVER_IMAGE|$metrics_server|" "$here/metrics-server.yaml" | "$kubectl" apply --server-side -f - >/dev/null
wait_for 300 "metrics of every node (kubectl top nodes)" metrics
check=$(addon check dev)
"$here/check.sh" "$check"

{
  echo "export KUBECONFIG=$KUBECONFIG PATH=${kubectl%/*}:\$PATH"
  ! engine_is_ours || echo "export DOCKER_HOST=$DOCKER_HOST PATH=$run/bin:\$PATH"
} >"$build/env"
"$kubectl" get nodes -o wide >&2
say "the cluster $cluster is up: . $build/env, then kubectl, kind or docker; make kind-load loads images, make kind-down removes it"
