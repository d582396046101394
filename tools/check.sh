#!/usr/bin/env bash
# Formatting, lints, documentation, and the files in deploy/. That docs/openapi.json and config.default.toml are current is checked by tests.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
.tools/venv-deploy/bin/python tools/deploy
# Outside the workspace. Compiling the first takes C libraries that nothing else needs: `make bench-audio` does.
cargo fmt --check --manifest-path bench/audio/Cargo.toml
cargo fmt --check --manifest-path bench/kit/Cargo.toml
cargo fmt --check --manifest-path bench/dispatch/Cargo.toml
cargo fmt --check --manifest-path bench/webhooks/Cargo.toml
cargo fmt --check --manifest-path bench/scaling/Cargo.toml
cargo check --quiet --manifest-path bench/dispatch/Cargo.toml --target-dir target
cargo check --quiet --manifest-path bench/webhooks/Cargo.toml --target-dir target
cargo check --quiet --manifest-path bench/scaling/Cargo.toml --target-dir target
# With what is off by default, too.
features=muster-server/aws,muster-sim/aws
cargo clippy --workspace --all-targets --features "$features" --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --features "$features" --no-deps --document-private-items --locked
# Licences and sources of what we depend on, where the tool is there (cargo install cargo-deny).
if cargo deny --version >/dev/null 2>&1; then
  cargo deny --locked check bans licenses sources
fi
