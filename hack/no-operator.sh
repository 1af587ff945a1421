#!/bin/sh
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0

# Fails while an operator is installed in the cluster and has replicas: two at once do not see each other's writes in
# time, and together may go above a budget.
#
#   hack/no-operator.sh KUBECTL [ARGUMENTS...]
set -eu

deployments=$("$@" get deployments.apps --all-namespaces --no-headers \
	--selector app.kubernetes.io/name=memorybudget,app.kubernetes.io/component=controller-manager \
	--output custom-columns=NS:.metadata.namespace,NAME:.metadata.name,REPLICAS:.spec.replicas)
running=$(echo "$deployments" | awk '$3 > 0 {print $1 "/" $2}')
if [ -n "$running" ]; then
	{
		echo "An operator runs in the cluster already, and two may not act at once:"
		echo "$running"
		echo "Scale it to zero first."
	} >&2
	exit 1
fi
