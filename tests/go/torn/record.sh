#!/usr/bin/env bash
# Records tests/fixtures/torn/goRELEASE.zst anew, with the Go releases that tests/toolchains.sh
# installs, and zstd: how each kind of logger tears traces at each rate. Takes some 12 minutes.
#
#   tests/go/torn/record.sh [RELEASE…]
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/godebug-exporter
fixtures=$PWD/../../fixtures/torn
most=()
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

if [[ $# -eq 0 ]]; then set -- 1.19 1.21 1.22 1.24 1.26 1.27; fi
mkdir -p -- "$fixtures"
for release in "$@"; do
    export GOROOT=$cache/go/$release GOTOOLCHAIN=local GOFLAGS=-mod=mod CGO_ENABLED=0 GOCACHE=$cache/go-build
    "$GOROOT/bin/go" build -trimpath -o "$work/torn" .
    rm -f -- "$work/cells"
    for logger in std slog zap logfmt klog epoch words imitation long several mixed; do
        # Such lines are large.
        if [[ $logger == long ]]; then most=(-torn 6 -blocks 1); else most=(); fi
        for rate in 1000 10000 50000 0; do
            for detail in false true; do
                "$work/torn" -logger "$logger" -rate "$rate" -detail="$detail" "${most[@]}" \
                    -name "$release $logger $rate $detail" -o "$work/cells"
            done
        done
    done
    zstd --quiet --force -19 --long=24 -o "$fixtures/go$release.zst" "$work/cells"
    printf '%s: %s bytes\n' "$release" "$(stat -c %s "$fixtures/go$release.zst")"
done
