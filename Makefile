# make quickstart   the main job on simulated screens
# make test         style, types and tests

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
WORKDIR ?= /tmp/perturbjax-quickstart

.PHONY: quickstart test lint clean

quickstart: $(VENV)/installed
	$(RUN) -m perturbjax.main --config=experiments/quickstart.py --workdir=$(WORKDIR)

test: lint
	$(RUN) -m pytest -n auto --dist loadfile

lint: $(VENV)/installed-test
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

$(VENV)/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'perturbjax needs Python 3.11 or later; name one with make PYTHON=python3.12'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(RUN) -m pip install --quiet --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
