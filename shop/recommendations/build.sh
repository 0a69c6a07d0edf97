#!/bin/sh
# Makes .venv from the lock; does nothing when the lock has not changed.
set -eu
cd "$(dirname "$0")"
lock=${1:-requirements.txt}
stamp=.venv/installed-$lock
if cmp -s "$lock" "$stamp" 2>/dev/null && [ -x .venv/bin/python ]; then
    exit 0
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "recommendations needs Python 3.11 or newer; set PYTHON to it (found: $("$python" --version 2>&1))" >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
cp "$lock" "$stamp"
