# `make help` lists the targets. Everything runs in .venv, on the *installed* package: what is tested is what
# users get, and a module missing from the distribution cannot hide behind the working tree.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip -qq --disable-pip-version-check --no-input
WORKERS ?= 2

# Keeps the working tree off sys.path, for child processes too.
export PYTHONSAFEPATH := 1
# The matrices are small: more threads only add synchronisation, and noise to every timing.
export OPENBLAS_NUM_THREADS := 1

# The directories are listed as well: their times change when a file is deleted.
SOURCES := $(shell find river_attention -name __pycache__ -prune -o \( -type d -o -type f \) -print)
BUILD_FILES := pyproject.toml LICENSE $(wildcard README.md setup.py setup.cfg MANIFEST.in)
WHEELS := $(VENV)/wheels
INSTALLED := $(VENV)/.installed

PYTEST := $(PY) -m pytest -n $(WORKERS) --doctest-modules --pyargs river_attention tests
# What runs in C where that was built, once more on NumPy: what tells the two apart first.
ON_NUMPY := RIVER_ATTENTION_BACKEND=numpy $(PY) -m pytest -q -n $(WORKERS)

# More examples of what hypothesis makes up; tests/conftest.py knows how many.
THOROUGH := --hypothesis-profile=thorough

# Their memories are NumPy's where the core runs, too.
NUMPY_ANYWAY := Window or LSTM or Latent or Spiking

# Two pips must not change one environment at the same time.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-spark check format docs bench benchmarks clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 13

demo: $(INSTALLED) $(VENV)/.with-plot  ## progressive validation beside river's own models: a table and a picture
	$(PY) -m river_attention.demo

test: $(INSTALLED) $(VENV)/.with-test $(VENV)/.with-plot  ## the tests and doctests, without the slow ones
	$(PYTEST)
	$(ON_NUMPY) -k "not ($(NUMPY_ANYWAY))" tests/core tests/test_reference_predictions.py tests/estimators/test_time_step_contract.py

test-all: $(INSTALLED) $(VENV)/.with-test $(VENV)/.with-plot  ## the slow tests too, and all tests on NumPy
	$(PYTEST) -m "not spark" $(THOROUGH)
	$(ON_NUMPY) $(THOROUGH) tests

test-spark: $(INSTALLED) $(VENV)/.with-test $(VENV)/.with-spark  ## the tests on Spark, which needs a Java runtime
	@java -version >/dev/null 2>&1 || "$$JAVA_HOME/bin/java" -version >/dev/null 2>&1 || { \
		echo "make: Spark needs a Java runtime, version 17 or newer: apt install openjdk-17-jre-headless," \
			"brew install openjdk@17, or https://adoptium.net" >&2; exit 1; }
	$(PY) -m pytest -m spark --pyargs tests/keyed

check: $(INSTALLED) $(VENV)/.with-dev  ## lint, formatting, types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(INSTALLED) $(VENV)/.with-dev  ## sort the imports, apply safe fixes, format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(INSTALLED) $(VENV)/.with-plot  ## what one step costs, as a multiple of river's linear regression
	$(PY) benchmarks/throughput.py

# With DATA=DIR on the streams of a folder where the pages have them.
ON_DATA := $(if $(DATA),--data $(DATA))

benchmarks: $(INSTALLED) $(VENV)/.with-plot  ## measure again what the pages show (takes long), and write docs/modes.md
	$(PY) benchmarks/throughput.py --rounds 12 --steps 500 --json docs/measured/throughput.json
	$(PY) benchmarks/memory_tasks.py --json docs/measured/memory_tasks.json
	$(PY) docs/make_modes.py
	$(PY) benchmarks/throughput.py --blocks
	$(PY) benchmarks/scan.py
	for part in "" --ablate --coverage; do $(PY) benchmarks/accuracy.py $(ON_DATA) $$part || exit 1; done
	$(PY) benchmarks/accuracy.py --drift
	$(PY) benchmarks/classification.py
	$(PY) benchmarks/forecasting.py --horizon 12
	$(PY) benchmarks/late_labels.py $(ON_DATA)
	$(PY) benchmarks/multi_target.py $(ON_DATA)
	$(PY) benchmarks/transformer.py
	$(PY) benchmarks/spiking.py --raster docs/img/spiking.png
	$(PY) benchmarks/state.py
	$(PY) benchmarks/soak.py

docs: $(INSTALLED) $(VENV)/.with-docs  ## the site, in site/; a warning is an error
	$(PY) -m doctest docs/docstrings.py
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

clean:  ## remove everything that was generated
	rm -rf $(VENV) build dist site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f river_attention_demo.png river_attention/compiled/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "make: '$(PYTHON)' not found; name a Python of 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1), but 3.11 or newer is needed:" \
			"make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Creating $(VENV)"
	@"$(PYTHON)" -m venv --clear $(VENV)

# One wheel for all targets. setuptools copies what it finds in build/ into the wheel, deleted modules included:
# hence the clean-up before.
$(INSTALLED): $(SOURCES) $(BUILD_FILES) | $(PY)
	@echo "Installing the package into $(VENV)"
	@rm -rf build *.egg-info $(WHEELS)
	@$(PIP) wheel --no-deps --wheel-dir $(WHEELS) .
	@$(PIP) install --no-deps --force-reinstall $(WHEELS)/*.whl
	@rm -rf build *.egg-info
	@touch $@

# The dependencies, with those of one extra. They change with pyproject.toml only, so a mere change of the sources
# costs no look at the package index.
$(VENV)/.with-%: pyproject.toml | $(INSTALLED)
	@echo "Installing its dependencies into $(VENV), with those of [$*]"
	@$(PIP) install "$$(echo $(WHEELS)/*.whl)[$*]"
	@touch $@
