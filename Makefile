SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo up test check bench fuzz-build

WHISPER := .tools/venv/bin/python tools/whisper.py
DEMO := target/debug/muster-demo

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Hold a real meeting: two speakers, one bot, and a verdict
	@tools/setup.sh build browser speech python
	cargo build --locked -p muster-server -p muster-demo
	@$(WHISPER) $(DEMO) run

up: ## Leave server, sandbox and Whisper running, and print a link to join from your browser
	@tools/setup.sh build browser speech python
	cargo build --locked -p muster-server -p muster-demo
	@$(WHISPER) $(DEMO) up

test: ## Run every test, with real Chromium and real speech
	@tools/setup.sh build browser speech python easyrtc nextest
	@tools/test.sh

check: ## Check formatting, lints and documentation
	@tools/setup.sh build
	@tools/check.sh

bench: ## Run the benchmarks
	@tools/setup.sh build
	cargo bench --locked -p muster-audio --bench kernel

fuzz-build: ## Build the fuzz targets
	@tools/setup.sh build
	@tools/fuzz-build.sh
