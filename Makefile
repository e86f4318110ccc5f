# Each target sets up what it needs, in .venv. README.md says what they are for.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Universal: one lock for every Python from 3.11 on, and every system.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

.PHONY: run test pytest drill mutants coverage lint bench lock clean
.DELETE_ON_ERROR:

run: export DEMO = 1
run: .venv/made-run
	@$(BIN)/python manage.py serve

test: lint pytest

pytest: .venv/made-openai-1 # on two cores: half of its time is waiting for timeouts and browsers
	$(BIN)/python -m pytest -n 4 $(if $(COVERAGE),-p pytest_cov.plugin --cov)

drill: .venv/made-test
	$(BIN)/python -m pytest -m drill -n 2
	$(BIN)/python benchmarks/drill.py $(ARGS)

mutants: .venv/made-test
	$(BIN)/python -m benchmarks.mutants $(ARGS)

coverage: COVERAGE = yes
coverage: pytest

lint: .venv/made-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/typos

bench: .venv/made-test
	$(BIN)/python benchmarks/run.py $(ARGS)

lock: .venv/made
	$(PIP) install uv==0.13.9
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) proxy/tests/requirements-openai-1.in -o proxy/tests/requirements-openai-1.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*
	find . -name __pycache__ -prune -exec rm -rf {} +
	@echo "What the gateway recorded is still in var/."

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed. Name one: make run PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "This Python has no venv module. Install the package python3-venv (apt install python3-venv), then run make again." >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/made-run: .venv/made requirements.txt
	@echo "Installing the gateway's packages into .venv …"
	@$(PIP) install --require-hashes -r requirements.txt
	@touch $@

.venv/made-test: .venv/made-run requirements-dev.txt
	@echo "Installing the packages that tests need …"
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@

# The last openai 1.x is a client to be tested, beside the current one.
.venv/made-openai-1: .venv/made-test proxy/tests/requirements-openai-1.txt
	@echo "Installing openai 1.x into a folder of its own …"
	@rm -rf .venv/openai-1
	@$(PIP) install --require-hashes --target .venv/openai-1 -r proxy/tests/requirements-openai-1.txt
	@touch $@
