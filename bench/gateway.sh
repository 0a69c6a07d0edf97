#!/bin/sh
# Measures the gateway beside nginx and HAProxy; see README.md.
set -eu
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
profile="${PROFILE:-release}"
nice -n 10 cargo build --quiet --profile "$profile" -p proxy --example standalone
exec python3 bench/gateway.py --isles "Isles=$target/$profile/examples/standalone" "$@"
