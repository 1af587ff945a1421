#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Deletes the kind cluster, and the Docker engine if up.sh started one. Built binaries and images stay in build/kind.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mkdir -p "$build"
exec 9>"$build/.lock"
flock -n 9 || { say "waiting for another kind-up or kind-down"; flock 9; }

others=
if find_engine && [[ -x $kind ]]; then
  "$kind" delete cluster --name "$cluster" --kubeconfig "$KUBECONFIG"
  others=$("$kind" get clusters 2>/dev/null)
fi
rm -f "$build/$cluster.complete" "$build/$cluster.yaml"
if [[ -n $others ]] && engine_is_ours; then
  say "the Docker engine stays for: $others"
  exit
fi
"$here/engine.sh" stop
rm -rf "$run-preload"
rm -f "$build/env"
