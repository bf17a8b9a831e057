# All commands for developers and CI. They work on a fresh machine. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# `make down up` and `make generate lint` are sequences, even with --jobs in MAKEFLAGS.
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CLUSTER := $(BIN)/python -m tests.cluster
# Empty also if .venv has a link to a Python that an upgrade of the system has deleted.
HAS_PYTHON := $(shell [ -x $(BIN)/python ] && echo yes)
# Stopping needs the standard library only, so it works even if creating .venv has failed.
STOPPER = $(if $(HAS_PYTHON),$(BIN)/python,$(PYTHON)) -m tests.cluster
# More arguments for all runs of pytest: make test ARGS="-k name -x", or files, folders and node ids.
# Not -m, which is used to separate the tests that must run alone.
ARGS ?=
# Without a file among the arguments pytest collects `testpaths`, else the named files of the suite.
suite = --override-ini='testpaths=$(1)' $(addprefix --suite=,$(1))
# The suites of the files named in ARGS; both if none is named. A file that is to be left out names none.
JOINED := $(subst --ignore ,--ignore=,$(subst --ignore-glob ,--ignore-glob=,$(subst --deselect ,--deselect=,$(ARGS))))
NAMED := $(filter tests tests/% ./tests ./tests/%,$(JOINED))
IN_UNIT := $(if $(NAMED),$(filter tests tests/ ./tests ./tests/ tests/unit% ./tests/unit%,$(NAMED)),all)
IN_E2E := $(if $(NAMED),$(filter tests tests/ ./tests ./tests/ tests/e2e% ./tests/e2e% tests/attacks% ./tests/attacks%,$(NAMED)),all)
# Exit code 5: no test was selected. With ARGS, a run may have none of the named tests, but not all runs: those that
# have one note it in the file FOUND.
FOUND :=
OR_NONE = $(if $(FOUND),&& echo some >"$(FOUND)") || { code=$$?; [ $$code = 5 ] || exit $$code; echo "==> none of these here"; }
# $(call runs,TARGETS): make them one after the other, and with ARGS check that there was a test.
runs = $(foreach target,$(1),$(MAKE) --no-print-directory $(target);) :
runs_of_some = found=$$(mktemp); trap 'rm -f "$$found"' EXIT; \
	$(foreach target,$(1),$(MAKE) --no-print-directory $(target) FOUND="$$found";) \
	[ -s "$$found" ] || { echo "error: ARGS name no test of these suites" >&2; exit 1; }
RUNS = $(if $(strip $(ARGS)),$(runs_of_some),$(runs))
REFUSE_MARKERS = $(if $(filter -m%,$(ARGS)),$(error ARGS can not have -m, which separates the tests that must run alone. Use -k or files, or `make test-unit`))
# Unit tests wait for two fifths of their time, so there are more workers than processors.
UNIT_WORKERS ?= 4
# Cluster tests mostly wait. Each worker has a release of the service in its own namespace, and gets
# whole files.
WORKERS ?= 3

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

.PHONY: python-check
python-check:
	@command -v $(PYTHON) >/dev/null || { echo "error: no $(PYTHON) found. Install Python 3.11 or later, or say which: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }

# Two stamps: the locked packages take long and change rarely, the project itself takes seconds.
ifeq ($(HAS_PYTHON),)
.PHONY: $(LOCKED)
endif
# Without pip, its creation was interrupted.
$(LOCKED): requirements.lock | python-check
	@echo "==> venv: installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@touch $@

$(READY): pyproject.toml runtime/pyproject.toml $(LOCKED)
	@echo "==> venv: installing the service and the runtime (editable)"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) install --no-deps --no-build-isolation -e ./runtime
	@touch $@

.PHONY: venv
venv: $(READY) ## create .venv with the locked packages and the project

.PHONY: cluster
cluster: venv ## start or repair the cluster, without the service
	@$(CLUSTER) up

.PHONY: image
image: venv ## build the container image
	@$(CLUSTER) image

.PHONY: up
up: cluster ## start the service at http://localhost:5001/core4/api/v1, in a cluster
	@$(CLUSTER) deploy

# Checks the version only: stopping needs no virtual environment.
.PHONY: stopper-check
stopper-check:
	@[ -n "$(HAS_PYTHON)" ] || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or later is needed: make PYTHON=/path/to/python3.11" >&2; exit 1; }

.PHONY: down
down: stopper-check ## stop the service and delete the cluster; caches stay
	@$(STOPPER) down

.PHONY: clean-all
clean-all: stopper-check ## down, and also delete the caches, our Docker images and .venv
	@$(STOPPER) clean
	@$(MAKE) --no-print-directory clean

.PHONY: status
status: stopper-check ## show what runs
	@$(STOPPER) status || [ $$? = 3 ]

.PHONY: demo
demo: up ## start the service and show what it does
	@$(BIN)/python -m tests.demo

# Compiled modules are kept, whatever the environment says: each worker and each process of a test would
# compile all of them again, a tenth of the run's processor time.
run-unit run-e2e: export PYTHONDONTWRITEBYTECODE :=

.PHONY: test-unit
test-unit: venv ## run the tests that need no cluster
	+@$(call RUNS,run-unit)

.PHONY: test-e2e
test-e2e: venv ## start the cluster and run the tests that need it
	+@$(REFUSE_MARKERS)$(call RUNS,run-e2e)

# One suite after the other. One without a file in ARGS is left out.
.PHONY: test
test: venv ## run all tests; starts the cluster
	+@$(REFUSE_MARKERS)$(call RUNS,$(if $(IN_UNIT),run-unit) $(if $(IN_E2E),run-e2e))

.PHONY: run-unit
run-unit: venv
	@echo "==> unit tests"
	@$(BIN)/pytest $(call suite,tests/unit) --numprocesses=$(UNIT_WORKERS) --dist=worksteal $(ARGS) $(if $(strip $(ARGS)),$(OR_NONE))

.PHONY: run-e2e
run-e2e: cluster
	@echo "==> cluster tests"
	@$(BIN)/pytest $(call suite,tests/e2e tests/attacks) --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS) -m "not alone and not thorough" $(if $(strip $(ARGS)),$(OR_NONE))
	@echo "==> cluster tests that must have the cluster to themselves"
	@$(BIN)/pytest $(call suite,tests/e2e tests/attacks) $(ARGS) -m alone $(OR_NONE)

# SEEDS: number of seeds. FIRST: the first one. To repeat one: make chaos SEEDS=1 FIRST=17
SEEDS ?= 5
FIRST ?= 1
.PHONY: chaos
chaos: cluster ## kill, restart and crash at random, with many seeds (SEEDS=5)
	@echo "==> chaos with $(SEEDS) seeds from $(FIRST); one of them again: make chaos SEEDS=1 FIRST=<seed>"
	@$(BIN)/pytest tests/e2e/test_chaos.py --verbose --chaos-seeds=$(FIRST):$(SEEDS) $(ARGS)

# ROUNDS: number of runs, each with other examples. pytest prints how to repeat a failure.
ROUNDS ?= 5
.PHONY: fuzz
fuzz: venv ## run the property tests with new random examples (ROUNDS=5)
	@for round in $$(seq $(ROUNDS)); do \
		echo "==> property tests with new examples, round $$round of $(ROUNDS)"; \
		$(BIN)/pytest tests/unit -m hypothesis --hypothesis-profile=fuzz --numprocesses=$(UNIT_WORKERS) --dist=worksteal $(ARGS) || exit 1; \
	done

# make test includes the quick ones.
.PHONY: attack
attack: cluster ## run all attacks on a service with little memory, the long ones too
	@echo "==> attacks"
	@$(BIN)/pytest $(call suite,tests/attacks) $(ARGS)

.PHONY: bench
bench: up ## measure throughput, costs and latencies (ARGS="--parts burst --sizes 300")
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: bench-docs
bench-docs: bench ## measure all, and write the figures and plots into the docs
	@$(BIN)/python -m tests.bench.report build/bench.json

# Smaller, or on PostgreSQL: make bench-journal ARGS="--jobs 100000 --records 2000000 --store postgresql"
.PHONY: bench-journal
bench-journal: venv ## measure queries of past jobs and logs among a million jobs (6 GB, minutes)
	@$(BIN)/python -m tests.bench.journal $(ARGS)

.PHONY: bench-loop
bench-loop: venv ## measure how long single requests block the API's event loop
	@$(BIN)/pytest tests/unit -m timed $(ARGS)

.PHONY: generate
generate: venv ## write the generated files: CRDs, chart values, tables of the docs, versions
	@$(BIN)/python crds/generate.py
	@$(BIN)/python charts/generate.py
	@$(BIN)/python runtime/generate.py

.PHONY: lint
lint: venv ## check format, style, types, layers, generated files, chart
	@echo "==> ruff format"
	@$(BIN)/ruff format --check .
	@echo "==> ruff check"
	@$(BIN)/ruff check .
	@echo "==> mypy"
	@$(BIN)/mypy
	@$(BIN)/mypy -m tests.conftest $(addprefix -p tests.,attacks bench cluster demo e2e support unit)
	@echo "==> import-linter"
	@$(BIN)/lint-imports
	@echo "==> generated files"
	@$(BIN)/python crds/generate.py --check
	@$(BIN)/python charts/generate.py --check
	@$(BIN)/python runtime/generate.py --check
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
clean: ## delete the files made in this checkout (not the cluster; see down)
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
