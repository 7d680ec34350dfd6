PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
PIP := $(RUN) -m pip install --quiet --quiet --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)

# One thread in each: the tests use nothing but small tensors, which more threads slow down.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup test proof lint types demo clean

help: ## Show the targets
	@echo "make TARGET [PYTHON=python3.11] [ARGS=...]"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: $(STAMP) ## Create .venv with everything the project needs

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "sim2sem needs Python 3.11 or newer, and $(PYTHON) is not." >&2; \
	  echo "Name one that is: make setup PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): pyproject.toml constraints.txt | $(RUN)
	$(PIP) '$(TORCH)'
	$(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

test: $(STAMP) ## Run the tests; ARGS="-k store" picks some
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
	  $(RUN) -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

proof: $(STAMP) ## Run the slow proofs of physics and numerics
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 \
	  $(RUN) -m pytest -n $(WORKERS) -m slow $(ARGS)

lint: $(STAMP) ## Check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(STAMP) ## Check the types of the packages
	$(RUN) -m mypy

demo: $(STAMP) ## Run the main job end to end in under 10 minutes
	$(RUN) examples/demo.py $(ARGS)

clean: ## Remove caches, build products and the output of the demo; .venv stays
	rm -rf build dist site demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
