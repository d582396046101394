#!/usr/bin/env bash
# Every test, with the programs they need. Arguments go to `cargo nextest run`. `make test` installs what this uses.
set -euo pipefail
cd "$(dirname "$0")/.."

# A missing server is then a failure, not a skipped test.
export MUSTER_REQUIRE_SERVERS=1
export MUSTER_TEST_SDK_PYTHON=$PWD/.tools/venv/bin/python
export MUSTER_TEST_KEDA_PYTHON=$PWD/.tools/venv-keda/bin/python

# The fuzz targets and the examples in the documentation first: the summary of the tests is to be the last thing said.
tools/fuzz-build.sh
# With what is off by default, too.
features=muster-server/aws,muster-sim/aws
cargo test --doc --workspace --features "$features" --locked --quiet
# What an earlier run left is not to be counted.
rm -f target/nextest/default/junit.xml
tools/redis.py .tools/venv-aws/bin/python tools/aws.py .tools/venv/bin/python tools/whisper.py \
  cargo nextest run --workspace --features "$features" --locked "$@"

# A suite that did not run has shown nothing. Not when some of the tests were asked for.
if [ $# -eq 0 ]; then
  tools/conformance.py "${CARGO_TARGET_DIR:-target}/nextest/default/junit.xml"
fi
