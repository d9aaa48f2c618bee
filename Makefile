# make quickstart   the main job on simulated screens
# make test         style, types and tests
# make faults       the whole fault campaign of tests/faults
# make docs         the API reference and the pages of docs/, in build/docs

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
WORKDIR ?= build/quickstart

.PHONY: quickstart test faults lint docs clean

quickstart: $(VENV)/installed
	$(RUN) -m perturbjax.main --config=quickstart --workdir=$(WORKDIR)

test: lint
	$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=20

faults: $(VENV)/installed-test
	$(RUN) -m pytest tests/faults -m 'campaign or not campaign' --durations=20

lint: $(VENV)/installed-test
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

# The D rules name every public thing without a docstring; --strict ends with an error on a broken link.
docs: $(VENV)/installed-docs
	$(RUN) -m ruff check --select D100,D101,D102,D103,D106 perturbjax
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

$(VENV)/installed: setup.cfg setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'perturbjax needs Python 3.11 or later; name one with make PYTHON=python3.12'; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(RUN) -m pip install --quiet --editable '.[test]'
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(RUN) -m pip install --quiet --editable '.[docs]'
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
