#!/usr/bin/env bash
# Installs what the tests run against where it is missing, then runs all tests; arguments go to
# cargo test.
#
#   tests/run.sh
#   tests/run.sh --test integration -- tail
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
tests/toolchains.sh
exec cargo test --locked "$@"
