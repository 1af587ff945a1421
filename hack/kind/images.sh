#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Builds the operator's image and those of the example, and loads them into the cluster:
#
#   hack/kind/images.sh IMAGE BINARY VERSION
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

(($# == 3)) || die "usage: hack/kind/images.sh IMAGE BINARY VERSION"
image=$1 binary=$2 version=$3
archives=$build/archives
example=$root/examples/bunoraa/image.sh

# operator: with the Dockerfile where its base can be pulled, else the same layout around the same static binary.
operator() {
  local label labels=()
  if registry_answers; then
    docker build --build-arg "VERSION=$version" --tag "$image" "$root"
    docker save --output "$archives/operator.tar" "$image"
    return
  fi
  while read -r label; do
    labels+=(-label "${label/\$\{VERSION\}/$version}")
  done < <(sed -n 's/.*\(org\.opencontainers\.image\.[a-z]*\)="\([^"]*\)".*/\1=\2/p' "$root/Dockerfile")
  need_packages ca-certificates
  "$bin/image" -tag "$image" -output "$archives/operator.tar" -file "$binary=/memorybudget" -entrypoint /memorybudget \
    -file /etc/ssl/certs/ca-certificates.crt=/etc/ssl/certs/ca-certificates.crt -user 65532:65532 "${labels[@]}"
}

find_engine || die "no Docker engine runs; make kind-up starts the cluster"
rm -rf "$archives"
mkdir -p "$archives"
"$here/binaries.sh" addons >&2
say "making $image"
operator
loads=("$archives/operator.tar")
if [[ -x $example ]]; then
  for name in shop services; do
    say "making the example's image: $name"
    "$example" "$name" "$archives/$name.tar"
    loads+=("$archives/$name.tar")
  done
fi
"$here/load.sh" "${loads[@]}"
rm -rf "$archives"
