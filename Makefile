# Two commands do everything: `make demo` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
SDK_SOURCES := $(wildcard sdk_js/package-lock.json sdk_js/build.mjs sdk_js/src/*/*.ts)

.DEFAULT_GOAL := help
.PHONY: help demo test nightly soak faults lint bench setup browsers lock sdk migration clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/.run ## the main job on real purchases, end to end (ARGS=--once ends by itself)
	$(BIN)/homing demo $(ARGS)

test: $(VENV)/.dev browsers sdk ## the tests
	$(BIN)/python hatch_build.py test
	$(BIN)/pytest $(ARGS)

nightly: $(VENV)/.dev ## 20,000 rules of segments drawn anew, judged by every evaluator, and further tests that take long
	$(BIN)/pytest -m nightly $(ARGS)
	HOMING_TEST_EXAMPLES=20000 $(BIN)/pytest $(ARGS) tests/integration/test_segments_agree.py

soak: $(VENV)/.dev ## kill the processes of a shop at work for minutes, then judge its segments and campaigns (ARGS="--minutes 30")
	$(BIN)/python -W ignore -m tests.soak $(ARGS)

faults: $(VENV)/.dev ## break everything around campaigns while they are sent, then judge them (ARGS="--times 20")
	$(BIN)/python -W ignore -m tests.faults $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy strict, import layers, TypeScript
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python hatch_build.py check

bench: $(VENV)/.bench ## the benchmarks beside their baselines (ARGS="send --json")
	$(BIN)/homing bench $(or $(ARGS),send)

sdk: $(VENV)/.dev ## sdk_js/dist, where its sources changed
	$(BIN)/python hatch_build.py build

migration: $(VENV)/.dev ## write a migration from the models (ARGS="what changed")
	$(BIN)/python -m push_server.migrations.revise "$(ARGS)"

setup: $(VENV)/.dev ## the virtual environment alone

lock: ## resolve requirements anew, by version and hash
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --group dev -c requirements/run.txt -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml --extra bench -c requirements/dev.txt -o requirements/bench.txt

clean: ## what a build leaves
	rm -rf build dist $(VENV) node_modules sdk_js/node_modules bench/node_modules sdk_js/dist

# The marker files say which set of requirements the environment holds; dev holds run's too.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml hatch_build.py $(SDK_SOURCES) | $(VENV)/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

# Two hundred megabytes that nothing but `homing bench segments` needs, which runs without them too.
$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	touch $@

browsers: ## Debian's Firefox for the browser tests, where it is missing
	@command -v firefox-esr >/dev/null || { apt-get update -qq && apt-get install -y -qq firefox-esr; }
