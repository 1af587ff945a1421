#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Checks that the cluster's network works: on every node a pod asks, for each node, a Service that only a pod on that node
# backs, by the Service's name and by its address. Nodes can be Ready with all of this broken.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

namespace="kind-check"
image=$1
mapfile -t nodes < <("$kubectl" get nodes -o name | cut -d/ -f2)

# server NODE: a pod on the node and its Service, both called after the node.
server() {
  cat <<EOF
---
apiVersion: v1
kind: Service
metadata: {name: $1, namespace: $namespace}
spec:
  selector: {server: $1}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: $namespace, labels: {server: $1}}
spec:
  nodeName: $1
  enableServiceLinks: false
  containers: [{name: check, image: "$image", imagePullPolicy: Never, args: [serve]}]
EOF
}

# client NODE: a pod on the node that asks all Services.
client() {
  local node address questions=()
  for node in "${nodes[@]}"; do
    address=$("$kubectl" get service -n "$namespace" "$node" -o 'jsonpath={.spec.clusterIP}')
    questions+=("\"$node=http://$node.$namespace.svc.cluster.local\"" "\"$node=http://$address\"")
  done
  cat <<EOF
---
apiVersion: v1
kind: Pod
metadata: {name: ask-$1, namespace: $namespace, labels: {role: client}}
spec:
  nodeName: $1
  restartPolicy: OnFailure
  enableServiceLinks: false
  containers: [{name: check, image: "$image", imagePullPolicy: Never, args: [get, $(IFS=,; echo "${questions[*]}")]}]
EOF
}

# answered: whether every client got all its answers. A busy node may take more than one attempt to start it.
answered() {
  local phases
  phases=$("$kubectl" get pods -n "$namespace" -l role=client -o 'jsonpath={.items[*].status.phase}')
  echo "they are: $phases"
  [[ $phases =~ ^Succeeded( Succeeded)*$ ]]
}

# said NODE: what the client on the node said last.
said() {
  "$kubectl" logs -n "$namespace" "ask-$1" --previous 2>/dev/null || "$kubectl" logs -n "$namespace" "ask-$1"
}

remove() { "$kubectl" delete namespace "$namespace" --ignore-not-found --timeout 180s >/dev/null; }

remove
trap 'remove || say "namespace $namespace is not gone yet"' EXIT
"$kubectl" create namespace "$namespace" >/dev/null
wait_for 30 "the default service account of namespace $namespace" "$kubectl" get serviceaccount -n "$namespace" default
for node in "${nodes[@]}"; do server "$node"; done | "$kubectl" apply -f - >/dev/null
for node in "${nodes[@]}"; do client "$node"; done | "$kubectl" apply -f - >/dev/null
if ! (wait_for 300 "the pods in namespace $namespace that ask for Services" answered); then
  for node in "${nodes[@]}"; do said "$node" 2>&1 | sed "s/^/kind: on $node: /" >&2 || true; done
  die "a pod does not reach a Service: the network of the cluster does not work"
fi
for node in "${nodes[@]}"; do "$kubectl" logs -n "$namespace" "ask-$node" | sed "s/^/kind: on $node: /" >&2; done
