# Two commands for users: `make demo` and `make test`. Both make their own virtual environment in .venv first.
PYTHON ?= python3.11
# Where pip finds torch. A CUDA device gets the default build; for the small CPU build give the index that
# pytorch.org names for it: make demo TORCH_INDEX=<url>
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint types imports wheel unit clean

demo: $(VENV)/installed
	$(BIN)/trocar demo

test: lint types imports wheel unit

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-test
	$(BIN)/mypy

imports: $(VENV)/installed-test
	$(BIN)/lint-imports

# What is packaged is whole: the wheel is unpacked elsewhere, and all of it imported from another directory.
wheel: $(VENV)/installed-test
	rm -rf build
	$(PIP) wheel --quiet --no-deps --wheel-dir build/wheel .
	$(PIP) install --quiet --no-deps --target build/wheel/site build/wheel/*.whl
	cd / && PYTHONPATH="$(CURDIR)/build/wheel/site" "$(CURDIR)/$(BIN)/python" "$(CURDIR)/tests/import_all.py" "$(CURDIR)/build/wheel/site"

unit: $(VENV)/installed-test
	$(BIN)/python -m pytest

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	$(PIP) install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(PIP) install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) runs build *.egg-info
