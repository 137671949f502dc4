# Every target sets up what it needs; a second run does nothing again.
PYTHON ?= python3.11
VENV := .venv
# Processes that test side by side.
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet

.DEFAULT_GOAL := help
.PHONY: help setup browser test bench demo lint format wheel clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with the tested set of constraints.txt

$(BIN)/python:
	@echo "creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# torch comes first, by its exact pin, so that no other build of it is drawn in as a dependency.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing (the first time takes some minutes)"
	@$(PIP) install "$$(grep '^torch==' constraints.txt)"
	@$(PIP) install -c constraints.txt -e '.[test]'
	@touch $@

browser: setup ## install Chromium where there is none, for the tests of pages
	-@$(BIN)/python tests/browser.py

test: lint browser ## lint, type-check and test
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

bench: setup ## measure this machine beside peers, and check the marks (leave it alone meanwhile)
	@$(BIN)/python -m pytest -m benchmark -s tests/benchmarks

demo: setup ## train a small team and see what it learnt
	@$(BIN)/marl-meta demo

lint: setup ## ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: setup ## lay the code out and mend what ruff can mend
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

wheel: setup ## build dist/*.whl
	@$(BIN)/python -m build --wheel --no-isolation

clean: ## remove the environment, caches and builds (never runs/)
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
