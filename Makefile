# Everything a developer or CI does, on a fresh machine. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CLUSTER := $(BIN)/python -m tests.cluster
# Stopping needs the standard library only, so it works when making the environment has failed.
STOPPER = $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m tests.cluster
# More arguments for pytest: make test ARGS="-k name -x", or files, folders and node ids. All its runs
# get them; not -m, by which those tests are told apart that must be alone.
ARGS ?=
# Without a file among the arguments pytest collects `testpaths`; with some, those of the suite are left.
suite = --override-ini='testpaths=$(1)' $(addprefix --suite=,$(1))
# The suites that files named in ARGS belong to; both where none is named.
NAMED := $(filter tests tests/% ./tests ./tests/%,$(ARGS))
IN_UNIT := $(if $(NAMED),$(filter tests tests/ ./tests ./tests/ tests/unit% ./tests/unit%,$(NAMED)),all)
IN_E2E := $(if $(NAMED),$(filter tests tests/ ./tests ./tests/ tests/e2e% ./tests/e2e% tests/attacks% ./tests/attacks%,$(NAMED)),all)
# Exit code 5 is that no test was selected. A run that was given ARGS may have none of what they name.
OR_NONE = || { code=$$?; [ $$code = 5 ] || exit $$code; echo "==> none of these here"; }
# Of the unit tests' time two fifths are waiting for intervals: more workers than processors.
UNIT_WORKERS ?= 4
# Cluster tests wait more than they compute: each worker has a release of the service in a namespace
# of its own, and whole files go to one worker.
WORKERS ?= 3

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.PHONY: python-check
python-check:
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) found. Install Python 3.11 or later, or say which: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }

# Two stamps: the locked packages take long and change rarely, the project itself takes seconds.
$(LOCKED): requirements.lock | python-check
	@echo "==> venv: installing the locked packages into $(VENV)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@touch $@

$(READY): pyproject.toml runtime/pyproject.toml $(LOCKED)
	@echo "==> venv: installing the service and the runtime (editable)"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) install --no-deps --no-build-isolation -e ./runtime
	@touch $@

.PHONY: venv
venv: $(READY) ## .venv with the locked packages and the project

.PHONY: cluster
cluster: venv ## start or repair the cluster, without the service
	@$(CLUSTER) up

.PHONY: image
image: venv ## build the container image
	@$(CLUSTER) image

.PHONY: up
up: cluster ## the service at http://localhost:5001/core4/api/v1, in a cluster
	@$(CLUSTER) deploy

# Only its version: stopping needs no virtual environment.
.PHONY: stopper-check
stopper-check:
	@[ -x $(BIN)/python ] || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }

.PHONY: down
down: stopper-check ## stop what was started and delete the cluster; what makes the next start quick stays
	@$(STOPPER) down

.PHONY: clean-all
clean-all: stopper-check ## the same, and delete the cache, Docker's images of ours and what clean deletes
	@$(STOPPER) clean
	@$(MAKE) --no-print-directory clean

.PHONY: status
status: stopper-check ## what runs
	@$(STOPPER) status || true

.PHONY: demo
demo: up ## start the service and show what it does
	@$(BIN)/python -m tests.demo

.PHONY: test-unit
test-unit: venv ## the tests that need no cluster
	@echo "==> unit tests"
	@$(BIN)/pytest $(call suite,tests/unit) --numprocesses=$(UNIT_WORKERS) --dist=worksteal $(ARGS) $(if $(strip $(ARGS)),$(OR_NONE))

.PHONY: test-e2e
test-e2e: cluster ## the tests that need the cluster; starts it
	@echo "==> cluster tests"
	@$(BIN)/pytest $(call suite,tests/e2e tests/attacks) --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS) -m "not alone and not thorough" $(if $(strip $(ARGS)),$(OR_NONE))
	@echo "==> cluster tests that must have the cluster to themselves"
	@$(BIN)/pytest $(call suite,tests/e2e tests/attacks) $(ARGS) -m alone $(OR_NONE)

# One after the other also with make --jobs. Files of one suite leave the other out.
.PHONY: test
test: venv ## all tests; starts the cluster
	@$(if $(IN_UNIT),$(MAKE) --no-print-directory test-unit,:)
	@$(if $(IN_E2E),$(MAKE) --no-print-directory test-e2e,:)

# SEEDS: how many. FIRST: the first seed, to repeat one: make chaos SEEDS=1 FIRST=17
SEEDS ?= 5
FIRST ?= 1
.PHONY: chaos
chaos: cluster ## kill, restart and crash at random, with many seeds (SEEDS=5)
	@echo "==> chaos with $(SEEDS) seeds from $(FIRST); one of them again: make chaos SEEDS=1 FIRST=<seed>"
	@$(BIN)/pytest tests/e2e/test_chaos.py --verbose --chaos-seeds=$(FIRST):$(SEEDS) $(ARGS)

# ROUNDS: how often, each time with other examples. pytest prints how to repeat what it finds.
ROUNDS ?= 5
.PHONY: fuzz
fuzz: venv ## the property tests with new random examples (ROUNDS=5)
	@for round in $$(seq $(ROUNDS)); do \
		echo "==> property tests with new examples, round $$round of $(ROUNDS)"; \
		$(BIN)/pytest tests/unit -m hypothesis --hypothesis-profile=fuzz --numprocesses=$(UNIT_WORKERS) --dist=worksteal $(ARGS) || exit 1; \
	done

# make test has those of them that are quick.
.PHONY: attack
attack: cluster ## all attacks on a service with little memory, the long ones too
	@echo "==> attacks"
	@$(BIN)/pytest $(call suite,tests/attacks) $(ARGS)

.PHONY: bench
bench: up ## measure throughput and latencies
	@$(BIN)/python -m tests.bench

# Smaller, or on PostgreSQL: make bench-journal ARGS="--jobs 100000 --records 2000000 --store postgresql"
.PHONY: bench-journal
bench-journal: venv ## measure finding past jobs and logs among a million jobs (6 GB, minutes)
	@$(BIN)/python -m tests.bench.journal $(ARGS)

.PHONY: bench-loop
bench-loop: venv ## measure how long single requests keep the API's event loop
	@$(BIN)/pytest tests/unit -m timed $(ARGS)

.PHONY: generate
generate: venv ## write the files that follow from others: CRDs, chart values, tables of the docs
	@$(BIN)/python crds/generate.py
	@$(BIN)/python charts/generate.py

.PHONY: lint
lint: venv ## format, lint, types, layers, generated files, chart
	@echo "==> ruff format"
	@$(BIN)/ruff format --check .
	@echo "==> ruff check"
	@$(BIN)/ruff check .
	@echo "==> mypy"
	@$(BIN)/mypy
	@$(BIN)/mypy -p tests.cluster -p tests.support -p tests.demo -p tests.bench
	@echo "==> import-linter"
	@$(BIN)/lint-imports
	@echo "==> generated files"
	@$(BIN)/python crds/generate.py --check
	@$(BIN)/python charts/generate.py --check
	@if [ -f charts/core4/values.yaml ]; then echo "==> helm lint"; "$$($(CLUSTER) binary helm)" lint --strict charts/core4 --values charts/core4/ci/demo-values.yaml; fi

.PHONY: format
format: venv ## format the sources
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# requirements.lock is all that a checkout needs; the image needs two parts of it: what runs, and what builds.
UV_COMPILE = $(VENV)/.uv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-annotate --no-emit-package core4 --quiet
.PHONY: lock
lock: venv ## write the lock files anew from pyproject.toml
	@echo "==> lock"
	@[ -x $(VENV)/.uv/bin/uv ] || { $(PYTHON) -m venv $(VENV)/.uv && $(VENV)/.uv/bin/python -m pip --quiet --disable-pip-version-check install 'uv>=0.8,<1'; }
	@$(UV_COMPILE) pyproject.toml --all-extras --group dev --upgrade --output-file requirements.lock
	@$(UV_COMPILE) pyproject.toml --extra all --constraint requirements.lock --output-file requirements-image.lock
	@$(UV_COMPILE) --group build --constraint requirements.lock --output-file requirements-build.lock

.PHONY: clean
clean: ## delete what was made in this checkout (not the cluster; see down)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
