# Needs make and python3 >= 3.10 alone; everything else is fetched into .venv and the user's cache.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
BENCH_INSTALLED = $(VENV)/.installed-bench
DOCS_INSTALLED = $(VENV)/.installed-docs
# Parts of the tests, which `make -j2 test` takes two at once, the longest first; the examples in
# docstrings among them.
MOCKS = tests/mocks
SKY = tests/sky
MODELS = tests/inference tests/emulator tests/diffhod
SHOWN = tests/plots tests/test_examples.py pysoftcorr README.md docs/coming-from.md
# halotools and the NumPy that it builds on
PEERS = .venv-peers
export VENV PYTHON

.PHONY: demo docs docs-setup docs-links dist test test-julia test-mocks test-sky test-rest test-models test-shown test-compared test-quick test-long test-peers peers bench bench-record lint setup julia image clean
.DELETE_ON_ERROR:

demo: image
	$(BIN)/softcorr demo --out demo-output

test: test-rest test-mocks test-models test-sky test-julia test-shown test-compared

# Parts run side by side: libraries that take every core would wait for one another.
test-mocks test-sky test-rest test-models test-shown: export OMP_NUM_THREADS = 1

# Most of the time goes into compiling what is called once.
test-julia: julia
	$(BIN)/softcorr julia exec -O1 --color=no julia/test/runtests.jl

# Parts in Python start dozens of processes with a Julia of their own: compiling once is less. Models
# start few, and may be tested in the meantime.
test-mocks: image
	$(BIN)/python -m pytest $(MOCKS)

test-sky: image
	$(BIN)/python -m pytest $(SKY)

test-models: julia
	$(BIN)/python -m pytest $(MODELS)

test-shown: image
	$(BIN)/python -m pytest $(SHOWN)

test-rest: image
	$(BIN)/python -m pytest tests $(foreach part,$(MOCKS) $(SKY) $(MODELS) $(SHOWN),--ignore=$(part))

# Where halotools must be there, it is built once, beside what else there is to do.
ifeq ($(PYSOFTCORR_PEERS),require)
test-compared: test-peers
else
test-compared:
	@if $(MAKE) --no-print-directory peers; then $(MAKE) --no-print-directory test-peers; \
	else echo "note: without halotools nothing was compared with it"; fi
endif

test-quick: julia
	$(BIN)/python -m pytest -m "not slow" tests

# Thousands of drawn catalogs: an hour.
test-long: julia
	$(BIN)/python -m pytest -m long tests
	SOFTCORR_LONG=1 $(BIN)/softcorr julia exec --color=no julia/test/runtests.jl

test-peers: peers
	@$(PEERS)/bin/softcorr julia install --no-image
	$(PEERS)/bin/python -m pytest tests/peers

peers: $(PEERS)/.installed

bench: image $(BENCH_INSTALLED) peers
	@for file in benchmarks/bench_*.py; do \
		case "$$file" in *bench_box.py) bin=$(PEERS)/bin;; *) bin=$(BIN);; esac; \
		$$bin/python "$$file" || exit 1; done

# The same, stored for the page of the site; on a machine that does nothing else.
bench-record: image $(BENCH_INSTALLED) peers
	$(BIN)/python benchmarks/record.py $(filter-out bench_box.py,$(notdir $(wildcard benchmarks/bench_*.py)))
	$(PEERS)/bin/python benchmarks/record.py bench_box.py

# The site, in docs/_build/html; a warning is an error, and so is a link that leads nowhere. Notebooks
# are run, as many at once as there are cores, and those that did not change are not run again.
docs: julia $(DOCS_INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -q -j auto -b html docs docs/_build/html

docs-setup: $(DOCS_INSTALLED)

# Links to other sites; needs the network.
docs-links: julia $(DOCS_INSTALLED)
	$(BIN)/python -m sphinx -q -j auto -b linkcheck docs docs/_build/links

# Wheel and sdist, checked in empty environments.
dist:
	rm -rf dist
	$(BIN)/python -m build
	PYTHON=$(BIN)/python sh tools/check_dist.sh dist

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: image

# Not a stamp: looking costs a third of a second and notices a runtime that has gone.
julia: $(INSTALLED)
	@$(BIN)/softcorr julia install --no-image

# The runtime, and a system image of the Julia sources as they are: some minutes after each edit.
image: $(INSTALLED)
	@$(BIN)/softcorr julia install

$(INSTALLED): pyproject.toml constraints.txt
	@sh tools/setup.sh 'torch,dev,parquet,treecorr' $@

$(BENCH_INSTALLED): $(INSTALLED)
	@sh tools/setup.sh 'bench' $@

$(DOCS_INSTALLED): $(INSTALLED)
	@sh tools/setup.sh 'docs' $@

$(PEERS)/.installed: pyproject.toml
	@VENV=$(PEERS) sh tools/setup.sh peers $@

clean:
	rm -rf $(VENV) $(PEERS) docs/_build docs/reference/api docs/reference/commands.md docs/benchmarks.md demo-output bench-output build dist .pytest_cache .ruff_cache .mypy_cache
