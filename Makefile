# On a bare machine with Python >= 3.11 and make: `make run` does the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint evidence bench clean

run: $(VENV)/.run
	$(BIN)/mlsysim demo --report report

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests tools benchmarks
	$(BIN)/ruff format --check src tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/cost.py

evidence: $(VENV)/.dev
	@test -n "$(FROM)" || { echo "usage: make evidence FROM=folder-of-published-tables"; exit 2; }
	$(BIN)/python tools/curate_evidence.py $(FROM)

clean:
	rm -rf $(VENV) report build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml requirements/networks.txt | $(VENV)/bin/python
	@echo "Setting up $(VENV) (once) ..."
	$(PIP) install -e '.[all]'
	$(PIP) install --no-deps -r requirements/networks.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install -e '.[dev]'
	@touch $@
