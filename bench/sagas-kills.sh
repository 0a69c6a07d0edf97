#!/usr/bin/env bash
# The shop's sagas under random SIGKILLs of control plane, data plane, orders, inventory and payments. See README.md.
# usage: bench/sagas-kills.sh [checkouts, 1000] [kills, 200]; ISLES_SEED repeats a run's choices
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release --locked --workspace --bins
export ISLES_CHECKOUTS=${1:-1000} ISLES_KILLS=${2:-200}
# The test starts a PostgreSQL of its own where tests have one.
export TEST_POSTGRES_URL=${TEST_POSTGRES_URL:-own}
exec cargo nextest run --profile soak --release --locked --workspace --no-capture -E 'package(shop-tests) and binary(kills)'
