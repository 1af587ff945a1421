#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Loads images, each an archive as `docker save` writes it, into every node of the cluster:
#
#   hack/kind/load.sh ARCHIVE...
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

(($#)) || die "usage: hack/kind/load.sh ARCHIVE..."
find_engine || die "no Docker engine runs; make kind-up starts the cluster"
"$kind" load image-archive --name "$cluster" "$@"
