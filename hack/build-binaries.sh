#!/bin/sh
# Copyright The MemoryBudget Authors.
# SPDX-License-Identifier: Apache-2.0

# Builds main packages of a Go module of its own, at the versions that its go.sum pins, and shows how far it is.
# What is already there for the same go.mod, go.sum, Go version and flags is not built again.
#
#   hack/build-binaries.sh MODULE_DIR OUTPUT_DIR NAME=PACKAGE...
#
# LDFLAGS       more linker flags
# CGO_ENABLED   0 unless set, so that no C compiler is needed
# STEP, STEPS   number of the first binary and of all, where this is one call of several
set -eu

if [ "$#" -lt 3 ]; then
	sed -n 's/^# \{0,1\}//p' "$0" | sed -n '4,11p' >&2
	exit 2
fi

script=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
module=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
shift 2

export GOWORK=off CGO_ENABLED="${CGO_ENABLED:-0}"
ldflags="-s -w ${LDFLAGS:-}"
total=${STEPS:-$#}
began=$(date +%s)

# want NAME PACKAGE prints what the binary is made of; a change of any of it is a reason to build again.
want() {
	{
		cat "$module/go.mod" "$module/go.sum" "$script"
		echo "$1 $2 $ldflags $CGO_ENABLED $goversion"
	} | cksum
}

# elapsed prints the time since the start as 1m05s.
elapsed() {
	seconds=$(($(date +%s) - began))
	printf '%dm%02ds' $((seconds / 60)) $((seconds % 60))
}

# watch LABEL LOG PID tells every ten seconds, while PID runs, how many packages are done.
watch() {
	ticks=0
	while kill -0 "$3" 2>/dev/null; do
		sleep 0.2
		ticks=$((ticks + 1))
		[ $((ticks % 50)) -eq 0 ] || continue
		echo "$1 ... $(grep -c -v '^go: ' "$2" || true) packages compiled, $(grep -c '^go: downloading' "$2" || true) modules downloaded, $(elapsed)"
	done
}

# build INDEX NAME PACKAGE
build() {
	label="[$1/$total] $2"
	if [ -x "$out/$2" ] && [ "$(cat "$out/.$2.stamp" 2>/dev/null)" = "$(want "$2" "$3")" ]; then
		return 0
	fi
	echo "$label: building $3 ($(elapsed))"
	log=$out/.$2.log
	rm -f "$out/.$2.stamp"
	# The package names that -v prints are the measure of progress.
	(cd "$module" && exec go build -v -trimpath -buildvcs=false -ldflags "$ldflags" -o "$out/$2" "$3") >"$log" 2>&1 &
	child=$!
	watch "$label" "$log" "$child"
	if ! wait "$child"; then
		echo "$label: FAILED after $(elapsed); the end of $log:" >&2
		tail -n 20 "$log" >&2
		return 1
	fi
	rm -f "$log"
	want "$2" "$3" >"$out/.$2.stamp"
	echo "$label: done ($(elapsed))"
}

goversion=$(cd "$module" && go version)

# One build at a time per output directory: a second one waits, then finds everything built.
exec 9>"$out/.lock"
if command -v flock >/dev/null 2>&1; then
	flock -n 9 || {
		echo "Waiting for another build into $out"
		flock 9
	}
fi

child=
trap 'if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; fi; exit 130' INT TERM
index=${STEP:-1}
for pair in "$@"; do
	build "$index" "${pair%%=*}" "${pair#*=}"
	index=$((index + 1))
done
