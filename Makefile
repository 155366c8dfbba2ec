# Every command a person needs. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
DATA ?= meps

# The first of these that is Python 3.11 or 3.12 makes the environment.
PYTHON ?= $(shell for name in python3.11 python3.12 python3 python; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo "$$name" && break; done)

.PHONY: help setup demo app test lint types layers check lock clean test-oracle browser

help: ## List the commands
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

setup: $(READY) ## Make .venv with the locked versions
$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Sluicegate needs Python 3.11 or 3.12, and none is on the PATH. Install one, or: make PYTHON=/path/to/python3.12 …" >&2; exit 2; fi
	@echo "Setting up $(VENV) with $(PYTHON) and the versions in requirements.lock (a few minutes the first time) …"
	"$(PYTHON)" -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## The main job on packaged real data, to a verified bundle (DATA=lending-club for finance)
	$(PY) -m app.demo --data "$(DATA)"

app: $(READY) ## Open the review app on what the demo left
	@test -d .demo/workspace || { echo "There is no demo workspace yet: run make demo first." >&2; exit 2; }
	$(VENV)/bin/sluice app --workspace .demo/workspace

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing Chromium for the browser tests …"; apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
		else \
			echo "The browser tests need Chromium, and none is on the PATH. Install it (Debian: apt install chromium), then run make test again." >&2; exit 2; \
		fi; }

test: $(READY) browser ## All tests, browser and Postgres ones included
	$(PY) -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(READY) ## Style
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(READY) ## Types, strict
	$(VENV)/bin/mypy

layers: $(READY) ## Who may import whom
	$(VENV)/bin/lint-imports

check: lint types layers test ## Everything that CI runs

test-oracle: $(READY) ## Inference against the peer library `mbi`, in its own environment under .venvs/
	$(PY) -m pytest -m oracle tests/generators $(ARGS)

bench-%: $(READY) ## A benchmark side by side with public peers: bench-generators, bench-attacks, bench-quality
	$(PY) tests/benchmarks/bench_$*.py $(ARGS)

lock: $(READY) ## Write requirements.lock anew from what pyproject.toml allows
	"$(PYTHON)" -m venv .venvs/lock
	.venvs/lock/bin/python -m pip install --quiet torch==2.13.0
	.venvs/lock/bin/python -m pip install --quiet hatchling editables
	.venvs/lock/bin/python -m pip install --quiet --no-build-isolation --editable '.[dev]'
	{ echo '# What `make setup` installs, exactly. Made by `make lock` from pyproject.toml. Versions, no hashes: torch has several builds.'; \
	  .venvs/lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock

clean: ## Remove what the commands made
	rm -rf $(VENV) .venvs .demo .bench .pytest_cache .mypy_cache .ruff_cache
