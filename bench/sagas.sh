#!/usr/bin/env bash
# Completed four-step sagas per second, with real calls and fsync on. See README.md.
# usage: bench/sagas.sh [--store postgres://…] [--seconds 5] [--history 0] [--concurrency 1,16,64,256]
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${PROFILE:-release}
cargo build --quiet --profile "$profile" --locked -p saga --example load
exec "${CARGO_TARGET_DIR:-target}/$profile/examples/load" "$@"
