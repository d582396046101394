SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo up release test chaos check bench bench-audio bench-report bench-dispatch bench-webhooks bench-scaling render fuzz-build

WHISPER := .tools/venv/bin/python tools/whisper.py
DEMO := target/debug/muster-demo
# Not --locked: the lock files of bench/ follow the crates of the workspace by themselves, as that of fuzz/ does.
BENCH_DISPATCH := cargo run --quiet --release --manifest-path bench/dispatch/Cargo.toml --target-dir target
BENCH_WEBHOOKS := cargo run --quiet --release --manifest-path bench/webhooks/Cargo.toml --target-dir target
BENCH_SCALING := cargo run --quiet --release --manifest-path bench/scaling/Cargo.toml --target-dir target
BENCH_AUDIO := cargo run --quiet --release --manifest-path bench/audio/Cargo.toml --target-dir target

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Hold a real meeting: two speakers, one bot, and a verdict
	@tools/setup.sh build browser speech python
	cargo build --locked -p muster-server -p muster-demo
	@$(WHISPER) $(DEMO) run

up: ## Leave server, sandbox and Whisper running, and print a link to join from your browser
	@tools/setup.sh build browser speech python
	cargo build --locked -p muster-server -p muster-demo
	@$(WHISPER) $(DEMO) up

release: ## Build target/release/muster with every backend
	@tools/setup.sh build
	cargo build --release --locked -p muster-server --features aws

test: ## Run every test, with real Chromium and real speech
	@tools/setup.sh build browser speech python easyrtc redis aws keda nextest
	@tools/test.sh

chaos: ## Kill and freeze the processes of a fleet for ten minutes, under waves of a thousand simulated bots
	@tools/setup.sh build redis nextest
	@tools/chaos.sh

check: ## Check formatting, lints, documentation and what is in deploy/
	@tools/setup.sh build deploy
	@tools/check.sh

bench: ## Run the benchmarks
	@tools/setup.sh build
	cargo bench --locked -p muster-audio --bench kernel

bench-audio: ## Measure the audio path against other libraries
	@tools/setup.sh build peers
	@$(BENCH_AUDIO)

bench-report: ## The same, and write docs/audio.md's last run and charts
	@tools/setup.sh build peers
	@$(BENCH_AUDIO) -- report docs "$$(date -u +%F)"

bench-dispatch: ## Measure from create call to claim against other job queues
	@tools/setup.sh build redis queues
	@$(BENCH_DISPATCH)

bench-webhooks: ## Measure how fast webhooks are taken, and what sick receivers cost healthy ones
	@tools/setup.sh build redis
	@$(BENCH_WEBHOOKS)

render: ## Write deploy/kubernetes, of the chart
	@tools/setup.sh deploy
	@.tools/venv-deploy/bin/python tools/deploy render

bench-scaling: ## Measure how the fleet sizes itself: a simulated week, and a Monday at nine for real
	@tools/setup.sh build browser redis
	@$(BENCH_SCALING)

fuzz-build: ## Build the fuzz targets
	@tools/setup.sh build
	@tools/fuzz-build.sh
