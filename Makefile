# Two commands for a fresh checkout: 'make demo' and 'make test'. Everything lands in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# many tests wait for other processes: three at a time keep two cores busy. A file's tests stay together, for what they
# share is made once; tests/conftest.py puts the files into an order
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test lint types bench clean

help: ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo ## Run the main job end to end on a local sandbox network
	$(BIN)/stellarstream demo $(DEMO_ARGS)

test: $(VENV)/.test ## Run every test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.test ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test ## Check types
	$(BIN)/mypy

bench: $(VENV)/.test ## Measure: prints ratios, takes a few minutes
	$(BIN)/python -m tests.benchmarks

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; say which with: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip

$(VENV)/.demo: $(BIN)/python setup.cfg setup.py pyproject.toml
	@echo "installing into $(VENV), once ..."
	$(BIN)/python -m pip install -qq --editable .
	@touch $@

$(VENV)/.test: $(BIN)/python setup.cfg setup.py pyproject.toml contrib/nebula-client/pyproject.toml
	@echo "installing into $(VENV), once ..."
	$(BIN)/python -m pip install -qq --editable '.[test]' --editable './contrib/nebula-client[stellar]'
	@touch $@ $(VENV)/.demo
