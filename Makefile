# Everything a newcomer needs, by name. `make` alone explains it.

# rustup's folder is not on the path of a shell that was open when rustup was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin

# What `make bench` measures: exchange, introspect, revocation or guard, and any further flags of `taskpass bench`.
BENCH ?= exchange

.DEFAULT_GOAL := help
.PHONY: help demo test bench fmt lint

help: ## Print this list
	@echo 'Taskpass: an OAuth authorization server for AI agents.'
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'Start with `make demo`. demo and test install what they lack with apt-get when they may,'
	@echo 'and otherwise print the one line that does.'

demo: ## Install what is lacking, build, and play the whole story on this machine
	@scripts/install-prerequisites demo
	cargo run -- demo

test: ## Formatting, lints, unit and integration tests on SQLite and PostgreSQL, conformance suites
	@scripts/test

bench: ## Measure a release build: make bench, make bench BENCH='introspect --json'
	@scripts/install-prerequisites demo
	cargo run --release -- bench $(BENCH)

fmt: ## Format the Rust code
	cargo fmt --all

lint: ## Formatting and clippy, warnings refused
	@scripts/install-prerequisites demo
	cargo fmt --all -- --check
	cargo clippy --all-targets -- -D warnings
