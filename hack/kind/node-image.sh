#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Makes kind's node image from Go modules and Debian packages, for where no registry can be reached, and prints its name:
# kind's own files on a Debian root file system, with the control plane's images inside, as kind's images/base/Dockerfile
# and `kind build node-image` have it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

release=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=(systemd systemd-sysv dbus conntrack iptables nftables iproute2 ethtool util-linux mount kmod libseccomp2
  pigz e2fsprogs bash ca-certificates curl jq procps libc-bin)
# What of it an image with iptables needs.
iptables_packages=(libc6 libgcc-s1 iptables libxtables12 libip4tc2 libip6tc2 libmnl0 libnftnl11 libnfnetlink0 libnetfilter-conntrack3)
node_binaries=(kubeadm:usr/bin kubelet:usr/bin containerd:usr/local/bin ctr:usr/local/bin
  containerd-shim-runc-v2:usr/local/bin runc:usr/local/sbin
  ptp:opt/cni/bin loopback:opt/cni/bin host-local:opt/cni/bin portmap:opt/cni/bin)

debian=$build/debian
rootfs=$build/node
images=$build/images

# from_debian: the release's root file system, complete or not there at all.
from_debian() {
  local recipe="$mirror $release ${packages[*]}"
  if [[ -f $debian.ready && $(<"$debian.ready") == "$recipe" ]]; then return 0; fi
  rm -rf "$debian" "$debian.ready"
  say "making a root file system of Debian $release (a minute or more; log: $build/debootstrap.log)"
  logged debootstrap debootstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" "$release" "$debian" "$mirror"
  rm -rf "$debian"/var/cache/apt/archives/*.deb "$debian"/var/lib/apt/lists/* "$debian"/usr/share/{doc,man,locale}/*
  echo "$recipe" >"$debian.ready"
}

# from_kind: the static files, with the steps of the Dockerfile beside them.
from_kind() {
  local base
  base=$(cd "$root/hack/tools/kind" && GOWORK=off go mod download sigs.k8s.io/kind &&
    GOWORK=off go list -m -f '{{.Dir}}' sigs.k8s.io/kind)/images/base/files
  [[ -d $base ]] || die "kind's module has no $base"
  cp -r --no-preserve=mode,ownership "$base/." "$rootfs/"
  chmod 0755 "$rootfs"/usr/local/bin/* "$rootfs"/kind/bin/*

  rm -f "$rootfs"/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
    "$rootfs"/lib/systemd/system/{multi-user,local-fs,basic}.target.wants/* "$rootfs"/etc/systemd/system/*.wants/* \
    "$rootfs"/lib/systemd/system/sockets.target.wants/*{udev,initctl}*
  echo "ReadKMsg=no" >>"$rootfs/etc/systemd/journald.conf"
  chroot "$rootfs" systemctl enable kubelet.service containerd.service undo-mount-hacks.service
  chroot "$rootfs" systemctl mask systemd-binfmt.service
  mkdir -p "$rootfs/etc/kubernetes/manifests"
}

# binaries: what the Dockerfile and `kind build node-image` build or download.
binaries() {
  local pair
  for pair in "${node_binaries[@]}"; do
    install -D -m 0755 "$bin/${pair%%:*}" "$rootfs/${pair#*:}/${pair%%:*}"
  done
  install -D -m 0755 "$controlplane/kubectl" "$rootfs/usr/bin/kubectl"
  chroot "$rootfs" ctr oci spec |
    jq '.hooks.createContainer[.hooks.createContainer | length] |= . + {"path": "/kind/bin/mount-product-files.sh"} | del(.process.rlimits)' \
      >"$rootfs/etc/containerd/cri-base.json"
  version k8s.io/kubernetes "$here/modules/node" >"$rootfs/kind/version"
}

# network: containerd writes the network's configuration when the node gets its range of addresses.
network() {
  install -D -m 0644 "$here/cni.template" "$rootfs/etc/containerd/cni.template"
  cat >>"$rootfs/etc/containerd/config.toml" <<'EOF'
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_template = "/etc/containerd/cni.template"
EOF
  sed -i "s|^\( *sandbox_image = \).*|\1\"$1\"|" "$rootfs/etc/containerd/config.toml"
  grep -q "sandbox_image = \"$1\"" "$rootfs/etc/containerd/config.toml" || die "kind's containerd configuration names no sandbox image"
}

# iptables_tree: the files of kube-proxy's image, with all the libraries that any of iptables' extensions load.
iptables_tree() {
  local tree=$1 name
  rm -rf "$tree"
  mkdir -p "$tree"/usr/{bin,sbin,lib,lib64} "$tree"/run "$tree"/tmp
  for name in bin sbin lib lib64; do ln -s "usr/$name" "$tree/$name"; done
  chroot "$debian" dpkg-query --listfiles "${iptables_packages[@]}" | grep -E '^/(usr/)?(s?bin|lib|lib64)/' | sort -u |
    while read -r name; do [[ -d $debian$name ]] || echo ".$name"; done |
    tar -C "$debian" -c -T - | tar -C "$tree" -x --keep-directory-symlink
  for name in iptables ip6tables; do
    ln -sf xtables-nft-multi "$tree/usr/sbin/$name"
    ln -sf xtables-nft-multi "$tree/usr/sbin/$name-save"
    ln -sf xtables-nft-multi "$tree/usr/sbin/$name-restore"
  done
  chroot "$tree" /usr/sbin/iptables --version >/dev/null || die "iptables does not start in kube-proxy's image"
  for name in "$tree"/usr/lib/*/xtables/*.so; do
    ! chroot "$debian" ldd "${name#"$tree"}" | awk '$2 == "=>" {print $3}' | while read -r library; do
      [[ -e $tree$library ]] || echo "$library"
    done | grep . || die "a library of ${name##*/} is missing in kube-proxy's image"
  done
}

# archive IMAGE: writes the archive of one of the images that kubeadm names.
archive() {
  local base=${1##*/} program arguments=()
  program=${base%%:*}
  case $program in
    etcd | kube-apiserver | kube-controller-manager | kube-scheduler) arguments=(-file "$controlplane/$program=/usr/local/bin/$program") ;;
    kube-proxy)
      iptables_tree "$build/kube-proxy"
      arguments=(-tree "$build/kube-proxy" -file "$bin/kube-proxy=/usr/local/bin/kube-proxy")
      ;;
    coredns | pause) arguments=(-file "$bin/$program=/$program" -entrypoint "/$program") ;;
    *) die "kubeadm wants an image that is not known here: $1" ;;
  esac
  "$bin/image" -tag "$1" -output "$images/$program.tar" "${arguments[@]}"
}

# preload ARCHIVE...: a containerd on this machine, whose data is that of the node, imports the images.
preload() {
  # The path of a socket is short, so not below build.
  local directory=$run-preload pid
  rm -rf "$directory"
  mkdir -p "$directory"
  cat >"$directory/config.toml" <<EOF
version = 2
root = "$rootfs/var/lib/containerd"
state = "$directory/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$directory/containerd.sock"
EOF
  "$bin/containerd" --config "$directory/config.toml" </dev/null >"$build/preload.log" 2>&1 9>&- &
  pid=$!
  local ctr=("$bin/ctr" --address "$directory/containerd.sock" --namespace k8s.io)
  wait_for 30 "containerd to answer (log: $build/preload.log)" "${ctr[@]}" version
  local file
  for file in "$@"; do
    "${ctr[@]}" images import --snapshotter overlayfs "$file" >&2
  done
  kill "$pid"
  wait "$pid" || true
  rm -rf "$directory"
}

root_file_system() {
  local image wanted pause archives=()
  from_debian
  rm -rf "$rootfs" "$images"
  mkdir -p "$images"
  cp -a "$debian" "$rootfs"
  from_kind
  binaries
  wanted=$("$bin/kubeadm" config images list --kubernetes-version "$(<"$rootfs/kind/version")")
  for image in $wanted; do
    say "making $image"
    archive "$image"
    archives+=("$images/$(basename "${image%%:*}").tar")
    [[ $image != */pause:* ]] || pause=$image
  done
  network "$pause"
  preload "${archives[@]}"
  rm -rf "$images" "$build/kube-proxy"
}

# inputs: all that the image is made of.
inputs() {
  local name
  cat "$0" "$here/cni.template" "$root/hack/tools/kind/go.sum"
  for name in kubeadm kubelet kube-proxy containerd ctr containerd-shim-runc-v2 runc ptp loopback host-local portmap coredns; do
    cat "$bin/.$name.stamp"
  done
  sha256sum "$bin/pause" "$bin/image" | cut -d' ' -f1
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl; do cat "$controlplane/.$name.stamp"; done
}

if [[ ${1:-} == root-file-system ]]; then
  root_file_system
  exit
fi
need_root "make a root file system"
need_packages jq debootstrap debian-archive-keyring
"$root/hack/build-controlplane.sh" "$controlplane" >&2
"$here/binaries.sh" node >&2
tag=memorybudget/node:$(inputs | sha256sum | cut -c1-12)
if ! docker image inspect "$tag" >/dev/null 2>&1; then
  if [[ ! -f $rootfs.ready || $(<"$rootfs.ready") != "$tag" ]]; then
    say "making the node image (log: $build/node-image.log)"
    rm -f "$rootfs.ready"
    # Namespaces of its own: its mounts and processes end with it, however it ends.
    logged node-image unshare --mount --pid --fork --kill-child --mount-proc "$0" root-file-system
    echo "$tag" >"$rootfs.ready"
  fi
  say "importing the node image $tag"
  tar -C "$rootfs" -c . | docker import --change 'ENV container=docker' \
    --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' - "$tag" >/dev/null
fi
echo "$tag"
