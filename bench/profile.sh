#!/bin/sh
# Says where the data plane's processor time goes under load; see README.md.
set -eu
cd "$(dirname "$0")/.."
# A build of its own: what people run has neither line tables nor frame pointers.
target="$(realpath "${CARGO_TARGET_DIR:-target}")/profile"
CARGO_TARGET_DIR="$target" CARGO_PROFILE_RELEASE_DEBUG=line-tables-only RUSTFLAGS="-Cforce-frame-pointers=yes" \
    nice -n 10 cargo build --quiet --locked --release -p proxy --example standalone
cd bench
exec python3 -m dataplane.profile --isles "$target/release/examples/standalone" "$@"
