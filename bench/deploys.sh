#!/usr/bin/env bash
# Many deploys of each strategy, one after the other, under load of every kind; then a rollback, and scaling. See README.md.
# usage: bench/deploys.sh [100]
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release --locked --workspace --bins
export ISLES_DEPLOYS=${1:-100}
exec cargo nextest run --profile soak --release --locked --workspace --no-capture \
    -E 'package(isles) and binary(deploys) and test(lose_no_request)'
