#!/usr/bin/env bash
# Completed four-step sagas per second, with real calls and fsync on. See README.md.
# usage: bench/sagas.sh [--seconds 5] [--concurrency 1,16,64,256]                 beside Restate and the bare calls
#        bench/sagas.sh alone [--store postgres://…] [--history 0] [the same]      the engine alone
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --profile "$profile" --locked -p saga --example load
if [ "${1:-}" = alone ]; then
    shift
    echo "| what | at once | sagas/s | p50 ms | p99 ms | CPU ms/saga | peak MB |"
    echo "|---|---:|---:|---:|---:|---:|---:|"
    exec "$target/$profile/examples/load" "$@"
fi
cargo build --quiet --profile "$profile" --locked -p isles
exec python3 bench/sagas/compare.py --load "$target/$profile/examples/load" --isles "$target/$profile/isles" "$@"
