# On a bare machine with Python >= 3.11 and make: `make run` does the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ORACLES := .venv-oracles
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test test-oracles lint evidence fit accuracy bench clean

run: $(VENV)/.run
	$(BIN)/mlsysim demo --report report

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest

test-oracles: $(ORACLES)/.done
	$(ORACLES)/bin/python tests/oracles/torch_counts.py
	$(ORACLES)/bin/python -m pytest -W ignore tests/models/test_modules.py

lint: $(VENV)/.dev
	$(BIN)/ruff check src tests tools benchmarks
	$(BIN)/ruff format --check src tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/models.py
	$(BIN)/python benchmarks/live.py
	$(BIN)/python benchmarks/logs.py --gigabytes 0.2
	$(BIN)/python benchmarks/traces.py
	$(BIN)/python benchmarks/sweep.py --memory 1e8 --dask 1e8

evidence: $(VENV)/.dev
	@test -n "$(FROM)" || { echo "usage: make evidence FROM=folder-of-published-tables"; exit 2; }
	$(BIN)/python tools/curate_evidence.py $(FROM)

fit: $(VENV)/.dev
	@test -n "$(FROM)" || { echo "usage: make fit FROM=folder-of-published-tables"; exit 2; }
	$(BIN)/python tools/fit.py $(FROM)
	$(BIN)/python tools/sharing.py $(FROM)
	$(BIN)/python tools/carried.py $(FROM)
	$(BIN)/python tools/factors.py

accuracy: $(VENV)/.dev
	@test -n "$(FROM)" || { echo "usage: make accuracy FROM=folder-of-published-tables"; exit 2; }
	$(BIN)/python tools/accuracy.py $(FROM)

clean:
	rm -rf $(VENV) $(ORACLES) report build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

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

# Large: PyTorch, transformers and JAX, to count with them what `make test` compares with.
$(ORACLES)/.done: pyproject.toml requirements/oracles.txt
	$(PYTHON) -m venv $(ORACLES)
	$(ORACLES)/bin/python -m pip --disable-pip-version-check --quiet install -r requirements/oracles.txt -e '.[dev]'
	@touch $@
