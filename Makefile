# Everything a newcomer or a server needs; `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install train test quick lint smoke verify slurm-test crash-test
.DEFAULT_GOAL := help

help:  ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/installed  ## Make .venv with everything in it.

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable '.[dev]'
	touch $@

train: install  ## Train the editor on ToyFaces, evaluate it, write a report; resumes where it stopped.
	$(BIN)/python -m e2eve.train

test: install  ## Run the tests.
	$(BIN)/python -m pytest -n auto

quick: install  ## Run the tests but the slow ones.
	$(BIN)/python -m pytest -n auto -m "not slow"

lint: install  ## Check style, format, types and structure; warn of known vulnerabilities.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy e2eve tests
	$(BIN)/python scripts/structure.py
	@$(BIN)/pip-audit --progress-spinner off --timeout 5 >$(VENV)/audit.txt 2>&1 || \
	  echo "Warning: known vulnerabilities, or no answer about them: see $(VENV)/audit.txt"

smoke: install  ## Walk the whole path at tiny size: train, evaluate, edit.
	$(BIN)/python scripts/smoke.py

verify: install  ## Compare with other libraries and with a known truth; needs about 15 minutes.
	$(BIN)/python -m pip install --quiet --editable '.[dev,verify]'
	$(BIN)/python scripts/verify.py

slurm-test: install  ## Bring up SLURM here and pass the tests that need it; skipped where it can't be had.
	scripts/slurm_test.sh

crash-test: install  ## Interrupt tiny runs at random moments and compare; TRIALS=200 takes 45 minutes on two cores.
	$(BIN)/python scripts/crash_test.py --trials $(or $(TRIALS),16) --at-once 2
