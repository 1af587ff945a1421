#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Builds, from Go modules at the versions that their go.sum pins, what runs in a cluster, into build/kind/bin:
#
#   hack/kind/binaries.sh tools    kubectl, into build/bin
#   hack/kind/binaries.sh addons   what is loaded into every cluster
#   hack/kind/binaries.sh node     what a node runs, for a node image of our own
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# module MODULE NAME=PACKAGE...
module() {
  local directory=$here/$1
  shift
  "$root/hack/build-binaries.sh" "$directory" "$bin" "$@"
}

# kubernetes_flags: for the linker; without them the programs call themselves v0.0.0-master.
kubernetes_flags() {
  local version minor package=k8s.io/component-base/version
  version=$(version k8s.io/kubernetes "$root/hack/controlplane")
  minor=${version#v1.}
  echo "-X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
}

kubernetes() {
  local package=k8s.io/kubernetes/cmd
  [[ $(version k8s.io/kubernetes "$here/modules/node") == "$(version k8s.io/kubernetes "$root/hack/controlplane")" ]] ||
    die "hack/kind/modules/node and hack/controlplane pin different versions of Kubernetes"
  LDFLAGS=$(kubernetes_flags) module modules/node kubeadm=$package/kubeadm kubelet=$package/kubelet kube-proxy=$package/kube-proxy
}

containerd() {
  local package=github.com/containerd/containerd/v2
  LDFLAGS="-X $package/version.Version=$(version $package "$here/modules/containerd")" \
    module modules/containerd containerd=$package/cmd/containerd ctr=$package/cmd/ctr \
    containerd-shim-runc-v2=$package/cmd/containerd-shim-runc-v2
}

plugins() {
  local package=github.com/containernetworking/plugins/plugins
  module modules/cni ptp=$package/main/ptp loopback=$package/main/loopback host-local=$package/ipam/host-local portmap=$package/meta/portmap
}

# The one that needs a C compiler.
runc() {
  need_packages gcc libc6-dev libseccomp-dev pkg-config
  CGO_ENABLED=1 GOFLAGS="${GOFLAGS:-} -tags=seccomp" module modules/runc runc=github.com/opencontainers/runc
}

programs() {
  # Of this repository, so their sources decide, which go build knows best.
  (cd "$here/programs" && GOWORK=off CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$bin/" ./...)
}

case ${1:-} in
  tools)
    LDFLAGS=$(kubernetes_flags) "$root/hack/build-binaries.sh" "$root/hack/controlplane" "${kubectl%/*}" kubectl=k8s.io/kubernetes/cmd/kubectl
    ;;
  node)
    programs
    runc
    containerd
    plugins
    kubernetes
    module modules/coredns coredns=github.com/coredns/coredns
    ;;
  addons)
    programs
    module modules/metrics-server metrics-server=sigs.k8s.io/metrics-server/cmd/metrics-server
    ;;
  *) die "usage: hack/kind/binaries.sh tools|addons|node" ;;
esac
