# Everything lives in .venv. PYTHON chooses the interpreter: make test PYTHON=python3.13
PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
OUT ?= out/default

.PHONY: help run test check bench clean

help:
	@echo "make run     install, run the default study, say where the report is"
	@echo "make test    install with the development tools, run every test"
	@echo "make check   ruff, pyright, import-linter"
	@echo "make bench   speed and memory against floors and against T-RECS (ARGS=--large for the long ones)"
	@echo "make clean   remove .venv and everything built; studies in out/ stay"

run: .venv/.run
	$(BIN)/echodrift run default --out $(OUT) $(ARGS)
	@echo "Report: $(OUT)/report.html"

# One process per core, whole files at a time: what a file prepares once is prepared once.
test: .venv/.dev
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

# pyright and import-linter look at a regular install: type checkers do not follow editable ones.
check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build .check
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target .check/site .
	rm -rf build
	PYTHONPATH=.check/site $(BIN)/lint-imports
	$(BIN)/pyright

bench: .venv/.dev
	$(BIN)/python benchmarks/run.py $(ARGS)

clean:
	rm -rf .venv .check build benchmarks/.venv-trecs echodrift.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[neural]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	@touch .venv/.run $@

$(BIN)/python:
	@for python in $(PYTHONS); do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "creating .venv with $$($$python --version)"; \
	        $$python -m venv .venv || { rm -rf .venv; exit 1; }; \
	        exit 0; \
	    fi; \
	done; \
	echo "echodrift needs Python 3.11 or newer, and none of these is: $(PYTHONS)." >&2; \
	echo "Name one: make $(or $(MAKECMDGOALS),run) PYTHON=/path/to/python3.12" >&2; \
	exit 1
