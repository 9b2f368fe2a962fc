# make run    set up and serve on port 8080     make test   set up and run the tests
# make lint   ruff and mypy                     make bench  what a request and a chunk cost
# make failover  sixteen scenarios of misbehaving providers, in full timings (80 s)
# make money  kill -9, lost stores and the edges of budgets against a provider's own bill (some minutes)
# make e2e-real  against a real llama.cpp server (builds it: some minutes)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 2 --dist worksteal -q

.PHONY: run test lint format bench failover money e2e-real clean

run: $(VENV)/.installed
	$(BIN)/edgegate run

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-test
	$(BIN)/python -m tests.bench

failover: $(VENV)/.installed-test
	$(BIN)/python -m tests.failover

money: $(VENV)/.installed-test
	$(BIN)/python -m tests.money

e2e-real: $(VENV)/.installed-test
	tests/e2e_real/run

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-test: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,lint]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
