# Needs make and python3 >= 3.10 alone; everything else is fetched into .venv and the user's cache.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed
BENCH_INSTALLED = $(VENV)/.installed-bench
export VENV PYTHON

.PHONY: demo test bench lint setup julia image clean
.DELETE_ON_ERROR:

demo: image
	$(BIN)/softcorr demo --out demo-output

test: julia
	$(BIN)/softcorr julia exec --color=no julia/test/runtests.jl
	$(BIN)/python -m pytest

bench: image $(BENCH_INSTALLED)
	@for file in benchmarks/bench_*.py; do $(BIN)/python "$$file" || exit 1; done

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: image

# Not a stamp: looking costs a third of a second and notices a runtime that has gone.
julia: $(INSTALLED)
	@$(BIN)/softcorr julia install --no-image

# The runtime, and a system image of the Julia sources as they are: some minutes after each edit,
# which the tests do without.
image: $(INSTALLED)
	@$(BIN)/softcorr julia install

$(INSTALLED): pyproject.toml constraints.txt
	@sh tools/setup.sh 'torch,dev,parquet,treecorr' $@

$(BENCH_INSTALLED): $(INSTALLED)
	@sh tools/setup.sh 'bench' $@

clean:
	rm -rf $(VENV) demo-output bench-output build dist .pytest_cache .ruff_cache .mypy_cache
