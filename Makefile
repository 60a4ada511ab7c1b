# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check format types docs bench clean

demo: .venv/installed.stamp
	$(BIN)/brittle demo

test: .venv/test.stamp
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov=brittle --cov-report=term:skip-covered

check: .venv/test.stamp  ## format, lint, types, layers, fast tests: under two minutes
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" --durations=5

format: .venv/test.stamp
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/python docs/attack_table.py
	$(BIN)/python -m brittle.cli.gathered

docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/docs.stamp
	$(BIN)/mkdocs build --strict --quiet

bench: .venv/bench.stamp
	$(BIN)/python benchmarks/overhead.py

clean:
	rm -rf .venv site runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage

.venv/created.stamp:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "brittle needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed.stamp: .venv/created.stamp pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

.venv/test.stamp: .venv/installed.stamp tests/peers.txt
	$(PIP) --editable '.[test,dev,hf,keras,sklearn]' onnx onnxruntime
	$(PIP) --requirement tests/peers.txt --no-deps
	touch $@

.venv/docs.stamp: .venv/installed.stamp
	$(PIP) --editable '.[docs]'
	touch $@

.venv/bench.stamp: .venv/test.stamp
	$(PIP) --requirement benchmarks/requirements.txt --no-deps
	touch $@
