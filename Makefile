# Everything runs in .venv. Each target first brings itself up to date; when nothing changed that takes no time.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help install run test lint bench soak

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

install: .venv/installed ## make .venv with everything the lab needs

run: install ## start the app; it prints its address
	@exec $(BIN)/python -m app

test: .venv/installed-dev ## run all tests, those in a real browser included
	@.ci/install-browser
	@$(BIN)/python -m pytest tests -v -rs --tb=short -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder # -v undoes the -q of pyproject.toml

lint: .venv/installed-dev ## check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: install ## time the things that should be fast
	@$(BIN)/python -m tinylab bench

soak: .venv/installed-dev ## kill jobs 50 times, resume them, compare; open 30 pages on one search (minutes)
	@$(BIN)/python tests/soak.py
	@$(BIN)/python tests/soak_pages.py

# The stamps are touched last, so that an installation that was interrupted is done again.
.venv/installed: requirements.txt pyproject.toml
	@echo "Installing into .venv (about two minutes the first time)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -qq $(PIP_FLAGS) -r requirements.txt
	@$(BIN)/python -m pip install -qq --no-deps -e .
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	@$(BIN)/python -m pip install -qq $(PIP_FLAGS) -r requirements-dev.txt
	@touch $@
