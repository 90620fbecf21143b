# The environment is made from pinned, hashed requirements; a marker file remembers which.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The tests in which PostgreSQL itself runs our SQL, that of the guides included.
SQL_TESTS := tests/sql $(addprefix tests/contracts/test_,lists.py search.py hotel_suppliers.py) \
  $(addprefix tests/house/test_,operate.py rest_guide.py)
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input

# $(call told,WHAT,COMMAND): says what it does at once and every few seconds, as pip is silent for a minute or more.
told = echo "$(1) ..."; ( $(2) ) & job=$$!; trap 'kill $$job 2>/dev/null' INT TERM; passed=0; \
  while kill -0 $$job 2>/dev/null; do sleep 1; passed=$$(( passed + 1 )); \
  [ $$(( passed % 3 )) -ne 0 ] || echo "$(1) ... $$passed s"; done; wait $$job

.DEFAULT_GOAL := help
.PHONY: help run test test-15 test-docker test-faults fuzz check bench soak format lock clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Run everything offline on http://127.0.0.1:8000 (PORT and DATA_DIR move it)
	@$(BIN)/ecotrips demo

test: $(VENV)/.dev ## Run every test, but for those that take long
	@$(BIN)/python -m pytest -n 2

test-15: $(VENV)/.dev ## Run the tests of the SQL on another PostgreSQL (POSTGRES_BIN)
	@$(BIN)/python -m pytest -n 2 $(SQL_TESTS)

test-docker: $(VENV)/.dev ## Run the tests nearest to the SQL through testcontainers, on a Docker engine of their own (root)
	@$(BIN)/python -m tests.support.engine $(BIN)/python -m pytest -n 2 tests/contracts/test_lists.py tests/contracts/test_search.py tests/sql/test_access.py tests/sql/test_ledger.py

test-faults: $(VENV)/.dev ## Run what takes long: kill, restart, promote and flood whole servers; the books must be right
	@$(BIN)/python -m pytest -n 2 -m heavy

fuzz: $(VENV)/.dev ## Ten thousand requests made up from the OpenAPI document
	@FUZZ_REQUESTS=100 $(BIN)/python -m pytest -s tests/http/test_generated_requests.py

check: $(VENV)/.dev ## Lint, types, architecture contracts, SQL checks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/squawk sql/migrations/*.sql
	@$(BIN)/sqlfluff lint --disable-progress-bar --processes 2 sql/*.sql sql/functions sql/views sql/examples

bench: $(VENV)/.dev ## Measure against floors in under ten minutes; bench-<name> runs bench/<name> (bench/README.md)
	@$(BIN)/python -m bench $(BENCH)

soak: $(VENV)/.dev ## Mixed load for SOAK_MINUTES (30)
	@$(BIN)/python -m bench.soak

bench-%: $(VENV)/.dev
	@$(BIN)/python -m bench.$* $(BENCH)

format: $(VENV)/.dev ## Format the Python
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

lock: ## Pin the requirements again, with hashes and without index addresses (needs uv)
	uv pip compile -q pyproject.toml --extra build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	uv pip compile -q pyproject.toml --extra build --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -c requirements.lock -o requirements-dev.lock

clean: ## Remove the environment and all local data
	rm -rf $(VENV) .data .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON to one")'
	@$(call told,making a Python environment in $(VENV),$(PYTHON) -m venv $(VENV)) || { echo "python3 -m venv failed: install the venv module (on Debian: python3-venv)" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@$(call told,installing the requirements (once),$(PIP_INSTALL) --require-hashes -r requirements.lock) || { echo "the requirements could not be installed, as the line above says, or were stopped where there is none: run make again" >&2; exit 1; }
	@$(call told,installing the service,$(PIP_INSTALL) --no-build-isolation --no-deps -e .)
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@$(call told,installing the development requirements (once),$(PIP_INSTALL) --require-hashes -r requirements-dev.lock) || { echo "the requirements could not be installed, as the line above says, or were stopped where there is none: run make again" >&2; exit 1; }
	@touch $@
