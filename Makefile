SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BAG ?=
JSON ?=
N ?= 200000
SEED ?= 1
KILLS ?= 1000
PEER := build/bench/whylogs
IN_ENV := . tools/env.bash &&

.PHONY: help setup demo test test-long fuzz lint format bench bench-bags bench-memory bench-accuracy bench-detection bench-live soak clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: ## install ROS 2 (unless one is sourced) and build, all inside this folder
	@$(PYTHON) tools/bootstrap.py

demo: setup ## play a recording (BAG=path, default: a generated scene) into the nodes and show the result
	@$(IN_ENV) python demo/run.py $(if $(BAG),"$(BAG)")

test: setup ## run the tests
	@$(IN_ENV) pytest

test-long: setup ## run the tests with more cases: recordings in real time, more rates and clocks
	@$(IN_ENV) pytest -m 'long or not long'

fuzz: setup ## feed damaged messages to all decoders (N=how many, SEED=which)
	@$(IN_ENV) FUZZ_MESSAGES="$(N)" FUZZ_SEED="$(SEED)" pytest test/test_fuzz.py

lint: setup ## check style and types
	@$(IN_ENV) ruff check . && ruff format --check . && mypy

format: setup ## format the code
	@$(IN_ENV) ruff format . && ruff check --fix .

bench: setup $(PEER) ## measure speed beside memcpy, KLL, rclpy and whylogs (JSON=file: write the figures there too)
	@$(IN_ENV) PYTHONPATH="$(PEER):$$PYTHONPATH" OPENBLAS_NUM_THREADS=1 python bench/run.py $(if $(JSON),--json "$(JSON)")

bench-bags: setup ## profile recordings of each format beside merely reading them (in EDGE_PROFILER_DATA too)
	@$(IN_ENV) python bench/bags.py $(if $(JSON),--json "$(JSON)")

bench-memory: setup ## measure memory after 1,000 and 100,000 messages of each kind
	@$(IN_ENV) python bench/memory.py

bench-accuracy: setup ## compare profiles with samples of real recordings (in EDGE_PROFILER_DATA)
	@$(IN_ENV) python bench/accuracy.py $(if $(JSON),--json "$(JSON)")

bench-detection: setup ## put faults into recordings (in EDGE_PROFILER_DATA) and count what is named right
	@$(IN_ENV) python bench/detection/matrix.py $(if $(JSON),--json "$(JSON)")
	@$(IN_ENV) python bench/detection/week.py

bench-live: setup ## play 10 GB/min over DDS into the profiler, and measure what it takes
	@$(IN_ENV) python bench/live/run.py $(if $(JSON),--json "$(JSON)")

soak: setup ## kill the bridge KILLS times, after outages of 36 hours and 30 days: nothing may be lost
	@$(IN_ENV) for run in wire outage cap merges kills; do \
		python bench/soak.py $$run --kills "$(KILLS)"; done

# whylogs needs an older NumPy and pandas, which go before those of the environment.
$(PEER): tools/requirements/bench.txt
	@rm -rf $@
	@if $(IN_ENV) python -m pip install --quiet --disable-pip-version-check --target $@.part -r $<; \
		then mv $@.part $@; \
		else rm -rf $@.part; echo 'whylogs cannot be installed here: its column stays empty'; fi

clean: ## remove everything that was installed, built or generated
	rm -rf .venv build install log dist .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
