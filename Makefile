# The single entry: `make help` lists what there is.
# Builds always take the whole workspace. Cargo would otherwise settle the features of shared crates anew for each selection and build
# them again.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
DEBUG := $(TARGET)/debug

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: .tools .go ## See drift being found: a real control plane, an example application, some live edits
	@echo "Building (development profile: a fraction of the release build's time; make bench measures the release build)"
	@$(CARGO) build --workspace --bins
	@$(DEBUG)/demo

.PHONY: demo-down
demo-down: .tools ## End what make demo left running
	@$(CARGO) build --quiet --workspace --bins
	@$(DEBUG)/demo down

.PHONY: test
test: .tools .go .sshd .python .browser ## Run all tests; the first time, builds the control plane too
	@$(CARGO) build --workspace --bins
	@echo "Control plane and tools for the tests:"
	@$(DEBUG)/cluster tools
	@$(CARGO) test --workspace --no-fail-fast

.PHONY: test-old
test-old: .tools .go .python ## Run the cases of e2e/cases against Kubernetes 1.30, which is built the first time
	@$(CARGO) build --workspace --bins
	@DRIFTLINE_KUBERNETES=1.30 $(CARGO) test -p driftline-e2e --test e2e real_life -- --nocapture

.PHONY: prove-cases
prove-cases: .tools .go .python ## Prove on a real API server that the cases of e2e/cases (or CASES="...") are what they claim to be
	@$(CARGO) build --workspace --bins
	@tools="$$($(DEBUG)/cluster tools | xargs -d '\n' -n 1 dirname | sort -u | paste -sd :)"; \
	trap '$(DEBUG)/cluster --directory "$(CURDIR)/.driftline/prove" down' EXIT; \
	eval "$$($(DEBUG)/cluster --directory "$(CURDIR)/.driftline/prove" up | grep '^export ')"; \
	PATH="$$tools:$$PATH" PYTHONDONTWRITEBYTECODE=1 python3 e2e/cases/lib/prove.py $(CASES)

.PHONY: coexist
coexist: .tools .go .redis ## Try policies on top of the real Argo CD and the real Flux, which are built the first time (about 15 min)
	@$(CARGO) build --workspace --bins
	@$(CARGO) test --workspace --test e2e -- --ignored --nocapture coexist

.PHONY: bench
bench: .tools .go ## Measure the release build against the real control plane
	@$(CARGO) build --release --workspace --bins
	@$(TARGET)/release/bench

.PHONY: soak
soak: .tools .go ## Compare random objects of every kind for SECONDS (600), from SEED (random), of kinds with KIND in their name
	@$(CARGO) build --workspace --bins
	@SECONDS_TO_RUN="$(or $(SECONDS),600)" SEED="$(SEED)" KIND="$(KIND)" $(CARGO) test --workspace --test e2e -- --ignored --exact differential::soak

.PHONY: cluster
cluster: .tools .go ## Start a real control plane and print its kubeconfig
	@$(CARGO) build --workspace --bins
	@$(DEBUG)/cluster up

.PHONY: cluster-down
cluster-down: .tools ## End the control plane of make cluster
	@$(CARGO) build --quiet --workspace --bins
	@$(DEBUG)/cluster down

.PHONY: generate
generate: .tools ## Write the files that are made from code: crds/*.yaml, the chart's copies and README, the tables in docs
	@DRIFTLINE_GENERATE=1 $(CARGO) test --quiet --workspace --lib --bins --tests -- up_to_date the_guide_shows
	@rm -f charts/driftline/files/crds/*.yaml
	@cp crds/*.yaml charts/driftline/files/crds/
	@echo "Written: crds/*.yaml, charts/driftline/files/crds/*.yaml, charts/driftline/README.md, docs/policy.md, docs/never-drift.md, docs/metrics.md, docs/audit-report.schema.json. See what changed: git diff --stat"

.PHONY: manifests
manifests: ## Print the chart as plain manifests for kubectl apply, with image IMAGE:TAG and values SET="name=value ..."; takes helm
	@charts/manifests.sh --set image.repository="$(IMAGE)" $(if $(TAG),--set image.tag="$(TAG)") $(foreach value,$(SET),--set '$(value)')

.PHONY: rootfs
rootfs: .tools .go ## Lay out the image's root file system in target/rootfs, where there is no container engine
	@$(CARGO) build --release --workspace --bins
	@container/tools.sh $(TARGET)/rootfs-tools
	@rm -rf $(TARGET)/rootfs
	@container/rootfs.sh $(TARGET)/release $(TARGET)/rootfs-tools $(TARGET)/rootfs
	@du -sh $(TARGET)/rootfs

.PHONY: lint
lint: .tools ## Check formatting, lints, and (where cargo-deny is installed) licences and advisories
	@$(CARGO) fmt --all -- --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check; \
	else echo "cargo-deny is not installed, licences and advisories were not checked. Install: cargo install --locked cargo-deny"; fi

.PHONY: fmt
fmt: .tools ## Format the code
	@$(CARGO) fmt --all

.PHONY: check
check: .tools ## Type-check everything, the quickest answer while editing
	@$(CARGO) check --workspace --all-targets

.PHONY: build
build: .tools ## Build the release binaries
	@$(CARGO) build --release --workspace --bins
	@echo "Built: $(TARGET)/release/driftline, $(TARGET)/release/kubectl-driftline"

# What has to be on the machine, each with the command that brings it on Debian.
.PHONY: .tools
.tools:
	@missing=""; packages=""; \
	need() { missing="$$missing\n  $$1"; packages="$$packages $$2"; }; \
	command -v $(CARGO) >/dev/null || missing="$$missing\n  cargo (Rust 1.95 or newer): https://rustup.rs"; \
	command -v git >/dev/null || need git git; \
	command -v cc >/dev/null || need "a C compiler" build-essential; \
	if ! command -v pkg-config >/dev/null; then need pkg-config pkg-config; need "OpenSSL's headers" libssl-dev; \
	elif ! pkg-config --exists openssl; then need "OpenSSL's headers" libssl-dev; fi; \
	if [ -n "$$missing" ]; then printf "error: missing on this machine:$$missing\n" >&2; \
	if [ -n "$$packages" ]; then printf "On Debian: apt-get install$$packages\n" >&2; fi; exit 1; fi

.PHONY: .go
.go:
	@command -v go >/dev/null || { printf "error: missing on this machine:\n  go (1.26 or newer), which builds the control plane: https://go.dev/dl\n" >&2; exit 1; }

.PHONY: .python
.python:
	@command -v python3 >/dev/null || { printf "error: missing on this machine:\n  python3, for the scripts of e2e/cases\nOn Debian: apt-get install python3\n" >&2; exit 1; }

.PHONY: .sshd
.sshd:
	@command -v sshd >/dev/null || test -x /usr/sbin/sshd || { printf "error: missing on this machine:\n  sshd, for the tests of Git over ssh\nOn Debian: apt-get install openssh-server\n" >&2; exit 1; }

.PHONY: .browser
.browser:
	@test -n "$${DRIFTLINE_BROWSER:-}" || command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || command -v google-chrome-stable >/dev/null || { printf "error: missing on this machine:\n  Chromium, in which the tests open reports (DRIFTLINE_BROWSER names it elsewhere)\nOn Debian: apt-get install chromium-headless-shell\n" >&2; exit 1; }

.PHONY: .redis
.redis:
	@command -v redis-server >/dev/null || { printf "error: missing on this machine:\n  redis-server, for Argo CD\nOn Debian: apt-get install redis-server\n" >&2; exit 1; }
