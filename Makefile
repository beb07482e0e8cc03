# Every target sets up what it needs by itself: Python 3.11, git and make are enough.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup dev demo test check format requirements benchmark soak soak-alerts screenshots wheel clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-14s %s\n", $$1, $$2}'

setup: ## Make .venv with the engine
	@$(PYTHON) bootstrap.py

dev: ## Make .venv with the engine and everything for tests
	@$(PYTHON) bootstrap.py --dev

demo: setup ## A simulated bot, its history, the page and alerts: open http://127.0.0.1:5174
	@$(BIN)/algowatch demo $(ARGS)

test: dev check ## All checks and tests
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: dev ## Format, lint, types, room boundaries
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .lint-imports.log 2>&1 || { cat .lint-imports.log; rm -f .lint-imports.log; exit 1; }; rm -f .lint-imports.log

format: dev ## Put the code into shape
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

soak: dev ## Kill the store 500 times and the engine 50 times: nothing may be lost; ask without a pause: nothing may be late (about twelve minutes)
	@ALGOWATCH_STORE_KILLS=500 $(BIN)/python -m pytest -q -s tests/soak
	@ALGOWATCH_ISOLATION_SECONDS=120 $(BIN)/python -m pytest -q -s tests/engine/test_isolation.py
	@ALGOWATCH_KILLS=50 $(BIN)/python -m pytest -q --timeout 900 tests/engine/test_main_job.py -k kill_9

benchmark: dev ## Recording beside prometheus_client, the engine beside Prometheus and VictoriaMetrics; ARGS=--quick is short
	@$(BIN)/python benchmarks/recording.py
	@$(BIN)/python benchmarks/engine.py $(ARGS)

soak-alerts: dev ## 300 kill -9 against a receiver that misbehaves, a flood against a cap, receivers that hang
	@$(BIN)/python benchmarks/alerts_soak.py $(ARGS)

screenshots: dev ## Draw the README's pictures from the running demo
	@$(BIN)/python tools/screenshots.py

wheel: dev ## Build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel

REQUIRE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command 'make requirements'

requirements: ## Renew the pinned, hashed requirement files (needs uv)
	@$(REQUIRE) --upgrade requirements/build.in -o requirements/build.txt
	@$(REQUIRE) --upgrade pyproject.toml --extra engine -o requirements/engine.txt
	@$(REQUIRE) --upgrade pyproject.toml --extra engine --group dev -o requirements/dev.txt

clean: ## Remove .venv and what tools left behind
	@rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
