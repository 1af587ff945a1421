#!/bin/sh
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0

# Fails while the cluster has MemoryBudgets, unless FORCE is set: removing the CRD removes them and their Deployments.
#
#   hack/no-memorybudgets.sh KUBECTL [ARGUMENTS...]
set -eu

if [ -n "${FORCE:-}" ]; then
	exit 0
fi
crd=$("$@" get customresourcedefinition memorybudgets.memorybudget.dev --ignore-not-found --output name)
if [ -z "$crd" ]; then
	exit 0
fi
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
tries=30
# A server that has just learned of the CRD may not list it among its resources for some seconds.
until left=$("$@" get memorybudgets.memorybudget.dev --all-namespaces --no-headers \
	--output custom-columns=NS:.metadata.namespace,NAME:.metadata.name 2>"$errors"); do
	tries=$((tries - 1))
	if [ "$tries" -eq 0 ] || ! grep -q "doesn't have a resource type" "$errors"; then
		cat "$errors" >&2
		exit 1
	fi
	sleep 1
done
if [ -n "$left" ]; then
	{
		echo "These MemoryBudgets, and every Deployment, Service and ConfigMap made for them, would be deleted with the CRD:"
		echo "$left"
		echo "Delete them first, or say FORCE=1."
	} >&2
	exit 1
fi
