# The commands of this project. `make demo` shows the main job, `make test` runs every check; both set themselves up.
.PHONY: help demo test carry setup viewer build check fmt clippy wasm unit bench pictures clean
.DEFAULT_GOAL := help

export FIDELIO_TOOLS ?= $(CURDIR)/.tools
export PATH := $(FIDELIO_TOOLS)/bin:$(PATH)
export TRUNK_SKIP_VERSION_CHECK := true
export NO_COLOR ?=
ifeq ($(NO_COLOR),)
unexport NO_COLOR
endif

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: build ## Build everything and do the main job on this machine's processor
	cargo run --quiet --release -- run quickstart

test: fmt clippy wasm unit ## Run every check: format, lints, the wasm build, all tests with a real browser

build: viewer ## Build the release binary with the viewer inside
	cargo build --release

viewer: ## Build the site into viewer/dist
	.ci/setup.sh viewer
	cd viewer && trunk build --release

fmt:
	cargo fmt --all --check

clippy:
	.ci/setup.sh viewer
	cargo clippy --workspace --exclude fidelio-viewer --all-targets --locked -- -D warnings
	cargo clippy -p fidelio-viewer --all-targets --locked --target wasm32-unknown-unknown -- -D warnings

wasm: viewer
	cargo build -p fidelio-shared --locked --target wasm32-unknown-unknown

unit: viewer
	.ci/setup.sh browser
	.ci/setup.sh axe
	.ci/setup.sh nvrtc
	FIDELIO_AXE=$(FIDELIO_TOOLS)/axe/axe.min.js FIDELIO_NVRTC=$(FIDELIO_TOOLS)/cuda/nvidia/cu13/lib \
		cargo test --workspace --exclude fidelio-viewer --locked
	cargo test -p fidelio-viewer --locked

bench: build ## Run the benchmarks (results belong in PERFORMANCE.md)
	cargo bench -p fidelio

pictures: viewer ## Take README's pictures into .docs, and one of every view into tmp/screenshots
	.ci/setup.sh browser
	cargo test -p fidelio --test main --locked pictures -- --ignored

carry: build ## Put what a GPU host needs (no cargo, no network there) into target/carry: see runner/benches/gpu/run.sh
	rm -rf target/carry && mkdir -p target/carry
	cp target/release/fidelio target/carry/
	cp "$$(cargo bench -p fidelio --bench gpu --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*\/gpu-[^"]*\)".*/\1/p')" target/carry/gpu-bench
	cp runner/benches/gpu/*.py runner/benches/gpu/run.sh target/carry/
	strip target/carry/fidelio target/carry/gpu-bench
	du -h target/carry/*

clean: ## Remove everything that was built
	cargo clean
	rm -rf viewer/dist .tools
