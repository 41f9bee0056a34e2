# Every target makes what it needs, the virtual environment included, and is quick when that is there.
.DEFAULT_GOAL := help
.PHONY: help setup model demo test check lint format clean

PYTHON ?= $(or $(firstword $(foreach name,python3.11 python3,$(if $(shell command -v $(name)),$(name)))),python3)
# On a machine with a GPU: make EXTRAS=gpu-engine,training,dev
EXTRAS ?= cpu-engine,training,dev
CODE = $(wildcard charter.py) $(sort $(foreach folder,judges service training deploy tests,$\
	$(if $(wildcard $(folder)/*.py $(folder)/*/*.py),$(folder))))
BIN = .venv/bin

# Spinning OpenMP threads make everything several times slower on shared cores. Models come from packages, not a hub.
export OMP_WAIT_POLICY = PASSIVE
export HF_HUB_OFFLINE = 1

help: ## Print the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

setup: ## Make or bring up to date the virtual environment .venv
	@$(PYTHON) deploy/environment.py --extras $(EXTRAS)

model: setup ## Convert the embedded model into the cache, once
	@$(BIN)/python -m judges.engine.embedded

demo: model ## Run the whole path on the embedded model; the report is in runs/demo
	$(BIN)/charter demo

test: check ## Everything: lint, types, all tests
	$(BIN)/pytest -m slow

check: lint ## The fast part: lint, types, quick tests
	$(BIN)/pytest -m 'not slow' --numprocesses auto --maxprocesses 4

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(CODE)

format: setup ## Put the code in our format, and fix what ruff can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## Remove the virtual environment and tools' caches; runs/ stays
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +
