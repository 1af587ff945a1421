#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Runs the proofs of test/e2e, as `make test-e2e` calls it:
#
#   hack/test-e2e.sh [PATTERN]      PATTERN is that of go test -run
#
# E2E_KUBECONFIG names the cluster; without it, there is a kind cluster for this run, which goes with it unless KEEP is
# set or it was there before.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pattern=${1:-.}
if [[ -z ${E2E_KUBECONFIG:-} ]]; then
  export E2E_KUBECONFIG=$PWD/build/kind/kubeconfig
  if [[ -z ${KEEP:-} && ! -e build/kind/env ]]; then
    trap 'make --no-print-directory kind-down' EXIT
  fi
  make --no-print-directory kind-up kind-load
fi
# gotestsum says last what failed, with all that it printed.
KUBECONFIG=$E2E_KUBECONFIG "$MEMORYBUDGET_TOOLS_BIN"/gotestsum --format standard-verbose -- \
  -tags e2e -count 1 -timeout 60m -run "$pattern" ./test/e2e
