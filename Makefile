SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BAG ?=
JSON ?=
N ?= 200000
SEED ?= 1
IN_ENV := . tools/env.bash &&

.PHONY: help setup demo test fuzz lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: ## install ROS 2 (unless one is sourced) and build, all inside this folder
	@$(PYTHON) tools/bootstrap.py

demo: setup ## play a recording (BAG=path, default: a generated scene) into the nodes and show the result
	@$(IN_ENV) python demo/run.py $(if $(BAG),"$(BAG)")

test: setup ## run the tests
	@$(IN_ENV) pytest

fuzz: setup ## feed damaged messages to all decoders (N=how many, SEED=which)
	@$(IN_ENV) FUZZ_MESSAGES="$(N)" FUZZ_SEED="$(SEED)" pytest test/test_fuzz.py

lint: setup ## check style and types
	@$(IN_ENV) ruff check . && ruff format --check . && mypy

format: setup ## format the code
	@$(IN_ENV) ruff format . && ruff check --fix .

bench: setup ## measure speed (JSON=file: write the figures there too)
	@$(IN_ENV) python bench/run.py $(if $(JSON),--json "$(JSON)")

clean: ## remove everything that was installed, built or generated
	rm -rf .venv build install log dist .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
