#!/usr/bin/env bash
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Writes an image of the example as a tarball that `docker load`, `ctr images import` and `kind load image-archive` take:
#
#   examples/bunoraa/image.sh shop OUT.tar       bunoraa:dev, the shop
#   examples/bunoraa/image.sh services OUT.tar   bunoraa-services:dev, its PostgreSQL, Redis and RabbitMQ
#
# With Docker and a registry in reach it builds the Dockerfile. Otherwise it makes the same image from Debian packages,
# as root, without Docker. RELEASE=sid takes the packages of another Debian release, and tags the image with its name.
# BUILDER=docker or BUILDER=debootstrap forces one of the ways.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${MEMORYBUDGET_BUILD:-$root/build}/bunoraa
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
release=${RELEASE:-trixie}

say() { echo "image: $*" >&2; }
die() { say "$*"; exit 1; }

# with_docker: whether a Docker engine runs here and can reach its registry.
with_docker() {
  timeout 5 docker info >/dev/null 2>&1 &&
    timeout 20 docker manifest inspect "debian:$release-slim" >/dev/null 2>&1
}

by_docker() {
  docker build --build-arg "RELEASE=$release" --file "$here/$dockerfile" --tag "$tag" "$here" >&2
  docker save --output "$out" "$tag"
}

# isolated COMMAND...: runs it so that its mounts and processes end with it.
isolated() { unshare --mount --pid --fork --kill-child "$@"; }

# packages: makes the layer of packages, $base.tar, unless it is there, made of the same list, script and mirror.
packages() {
  local stamp log=$base.log target=$base
  stamp="$mirror $release $(cat "$here/packages/$name.txt" "$here/packages/install.sh" | sha256sum)"
  if [[ -f $base.ready && $(<"$base.ready") == "$stamp" ]]; then return 0; fi
  [[ $(id -u) == 0 ]] || die "only root can make a root file system of $release"
  command -v debootstrap >/dev/null || die "debootstrap is not installed"
  rm -rf "$target" "$base.ready" "$base.tar"
  say "making a root file system of $release in $target (some minutes; log: $log)"
  {
    isolated debootstrap --variant=minbase "$release" "$target" "$mirror" &&
      cp "$here/packages/install.sh" "$here/packages/$name.txt" "$target/tmp" &&
      echo 'Acquire::Check-Valid-Until "false";' >"$target/tmp/apt.conf" && # a mirror may stand still
      APT_CONFIG=/tmp/apt.conf isolated --mount-proc="$target/proc" \
        chroot "$target" /tmp/install.sh "/tmp/$name.txt"
  } </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "no root file system of $release"; }
  rm -f "$target/tmp/install.sh" "$target/tmp/$name.txt" "$target/tmp/apt.conf"
  layer "$base.tar" --directory "$target" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
    --exclude=./etc/resolv.conf --exclude=./etc/hostname .
  echo "$stamp" >"$base.ready"
}

# layer OUT.tar ARGUMENT...: a layer whose content alone decides its bytes.
layer() {
  local out=$1
  shift
  tar --create --file "$out" --format=posix --pax-option=delete=atime,delete=ctime --sort=name --numeric-owner "$@"
}

# files: the files of the example as they lie in the image, in $base.files.
files() {
  local target=$base.files
  rm -rf "$target"
  if [[ $name == shop ]]; then
    mkdir -p "$target/app"
    cp -R "$here/app/." "$target/app"
    find "$target" -name __pycache__ -type d -prune -exec rm -rf {} +
  else
    mkdir -p "$target/usr/local/bin" "$target/data"
    cp "$here"/services/run-* "$target/usr/local/bin"
    chmod 1777 "$target/data"
  fi
  layer "$base.files.tar" --owner=0 --group=0 --mtime=@0 --directory "$target" .
}

digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# by_debootstrap: a docker-archive has the layers, a configuration named by its digest, and a manifest.
by_debootstrap() {
  local archive=$base.archive first second config
  packages
  files
  rm -rf "$archive"
  mkdir "$archive"
  first=$(digest "$base.tar")
  second=$(digest "$base.files.tar")
  ln "$base.tar" "$archive/$first.tar"
  ln "$base.files.tar" "$archive/$second.tar"
  cat >"$archive/config.json" <<EOF
{"architecture": "$(dpkg --print-architecture)", "os": "linux", "created": "1970-01-01T00:00:00Z",
 "config": {"User": "10001:10001", "WorkingDir": "$workdir", "Cmd": [$command],
  "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LC_ALL=C.UTF-8",
   "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$first", "sha256:$second"]}}
EOF
  config=$(digest "$archive/config.json").json
  mv "$archive/config.json" "$archive/$config"
  echo "[{\"Config\": \"$config\", \"RepoTags\": [\"$tag\"], \"Layers\": [\"$first.tar\", \"$second.tar\"]}]" \
    >"$archive/manifest.json"
  layer "$out.part" --hard-dereference --owner=0 --group=0 --mtime=@0 --directory "$archive" \
    manifest.json "$config" "$first.tar" "$second.tar"
  mv "$out.part" "$out"
  rm -rf "$archive"
}

(($# == 2)) || die "usage: examples/bunoraa/image.sh shop|services OUT.tar"
name=$1 out=$2
version=dev
[[ $release == trixie ]] || version=$release
case $name in
  shop) tag=bunoraa:$version dockerfile=Dockerfile workdir=/app command='"./start-all.sh"' ;;
  services) tag=bunoraa-services:$version dockerfile=services.Dockerfile workdir=/tmp command='"run-redis"' ;;
  *) die "unknown image $name" ;;
esac

mkdir -p "$build/cache" "$(dirname "$out")"
base=$build/cache/$name-$release
exec 9>"$base.lock"
flock 9
if [[ ${BUILDER:-} == docker ]] || { [[ -z ${BUILDER:-} ]] && with_docker; }; then by_docker; else by_debootstrap; fi
say "$tag is in $out ($(du -h "$out" | cut -f 1))"
