#!/usr/bin/env bash
# A fleet under waves of simulated bots while its processes are killed and frozen. `make chaos` installs what this uses.
# Settings are in crates/server/tests/all/chaos/mod.rs. Arguments go to `cargo nextest run`.
set -euo pipefail
cd "$(dirname "$0")/.."

export MUSTER_REQUIRE_SERVERS=1
# As `make test` builds it.
features=muster-server/aws,muster-sim/aws
tools/redis.py cargo nextest run --workspace --features "$features" --locked --profile chaos --run-ignored only --no-capture \
  -E 'binary_id(muster-server::all) & test(=chaos::long)' "$@"
