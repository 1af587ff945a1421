#!/bin/sh
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Installs the packages of a list into the root file system it runs in, that of an image:
#
#   install.sh LIST
#
# Run by the Dockerfiles and by image.sh alike. Leaves no package lists, caches or documentation behind.
set -eu

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

mkdir -p /etc/dpkg/dpkg.cfg.d /etc/postgresql-common
{
  echo force-unsafe-io
  for path in share/doc share/info share/lintian share/locale share/man lib/libtorch-test; do
    echo "path-exclude /usr/$path/*"
  done
} >/etc/dpkg/dpkg.cfg.d/small

# Packages start no services, and PostgreSQL makes no data directory: services/run-postgres does.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf

apt-get update
xargs apt-get install -y --no-install-recommends <"$1"

groupadd --gid 10001 app
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /bin/sh app

apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /usr/sbin/policy-rc.d
rm -rf /usr/share/doc/* /usr/share/info/* /usr/share/lintian/* /usr/share/locale/* /usr/share/man/*
