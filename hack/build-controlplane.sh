#!/bin/sh
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds etcd, the Kubernetes control plane, kubectl and kwok from Go modules: no root, no Docker, no downloaded binary.
#
#   hack/build-controlplane.sh [OUTPUT_DIR]      default: build/controlplane/bin
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../build/controlplane/bin}

kubernetes=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes \(v[^ ]*\).*|\1|p' "$here/controlplane/go.mod")
minor=${kubernetes#v1.}
minor=${minor%%.*}

# Without these the servers call themselves v0.0.0-master, and clients that compare versions go wrong.
version=k8s.io/component-base/version
STEP=1 STEPS=6 LDFLAGS="-X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor -X $version.gitTreeState=clean" \
	"$here/build-binaries.sh" "$here/controlplane" "$out" \
	etcd=go.etcd.io/etcd/server/v3 \
	kube-apiserver=k8s.io/kubernetes/cmd/kube-apiserver \
	kube-controller-manager=k8s.io/kubernetes/cmd/kube-controller-manager \
	kube-scheduler=k8s.io/kubernetes/cmd/kube-scheduler \
	kubectl=k8s.io/kubernetes/cmd/kubectl

STEP=6 STEPS=6 "$here/build-binaries.sh" "$here/kwok" "$out" kwok=sigs.k8s.io/kwok/cmd/kwok
