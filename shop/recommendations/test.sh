#!/bin/sh
# Runs the tests. With TEST_POSTGRES_URL set they also run on that PostgreSQL.
set -eu
cd "$(dirname "$0")"
./build.sh
./build.sh requirements-dev.txt
exec .venv/bin/python -m pytest -q -p no:cacheprovider "$@"
