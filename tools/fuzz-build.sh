#!/usr/bin/env bash
# Builds the fuzz targets on the stable toolchain: without coverage, so they hold and link. Running one needs nightly and
# cargo-fuzz: `cargo +nightly fuzz run NAME`.
set -euo pipefail
cd "$(dirname "$0")/.."
# The workspace's target directory and profile: most dependencies are built once for both.
# Not --locked: fuzz/Cargo.lock follows the crates of the workspace by itself.
cargo build --manifest-path fuzz/Cargo.toml --target-dir target --bins
