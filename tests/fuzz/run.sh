#!/usr/bin/env bash
# Builds the fuzz targets with stable Rust and runs them, one after the other. With no target: all.
#
#   tests/fuzz/run.sh 20                   # as CI does
#   tests/fuzz/run.sh 600 sched torn       # ten minutes for each of two
#   FUZZ_CORPUS=DIR tests/fuzz/run.sh 600  # begin with what an earlier run found, and keep what this one finds
#
# In CI the order of the inputs is the same each time: a change is judged by what it changes.
# A finding is written to target/fuzz/findings/ and named; the exit status is 1 then.
set -euo pipefail
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
seconds=${1:?how many seconds for each target}
shift

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$here/../../target}/fuzz"
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz passes; a sanitizer would need nightly Rust, and finds only what unsafe code can do.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
# Beside the target: RUSTFLAGS are then not for build scripts.
cargo build --locked --quiet --release --manifest-path "$here/Cargo.toml" --target "$host"
fuzz="$CARGO_TARGET_DIR/$host/release/godebug-exporter-fuzz"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
findings="$CARGO_TARGET_DIR/findings"
mkdir -p "$findings"
targets=("$@")
if [ ${#targets[@]} = 0 ]; then mapfile -t targets < <(FUZZ_TARGET=list "$fuzz" 2>/dev/null); fi

status=0
for target in "${targets[@]}"; do
  export FUZZ_TARGET=$target
  found="${FUZZ_CORPUS:-$work}/$target"
  mkdir -p "$found"
  seeds=()
  for kind in corpus regressions; do
    if [ -d "$here/$kind/$target" ]; then seeds+=("$here/$kind/$target"); fi
  done
  log="$work/$target.log"
  if "$fuzz" "-max_total_time=$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -len_control=20 \
    ${CI:+-seed=1} -dict="$here/tokens.dict" -artifact_prefix="$findings/$target-" -print_final_stats=1 \
    "$found" "${seeds[@]}" >"$log" 2>&1; then
    verdict=ok
  else
    verdict=FAILED status=1
    tail -n 60 "$log"
  fi
  stat() { sed -n "s/^stat::$1: *//p" "$log"; }
  coverage=$(grep -o 'cov: [0-9]* ft: [0-9]* corp: [0-9]*' "$log" | tail -n 1)
  printf '%-10s %-6s %12s executions, %s/s, %s\n' "$target" "$verdict" \
    "$(stat number_of_executed_units)" "$(stat average_exec_per_sec)" "$coverage"
done
exit $status
