#!/bin/sh
# Virtual environment and Python packages, called by make:
#   setup.sh EXTRAS STAMP
# The stamp is written last, so an interrupted run is simply done again. Every problem is one line.
set -eu

extras=$1
stamp=$2
venv=${VENV:-.venv}

fail() {
    echo "error: $*" >&2
    exit 2
}

find_python() {
    for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$python" >/dev/null 2>&1 &&
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

fail_of_pip() {
    fail "pip: $(grep -m1 -i error "$venv/pip.log" || tail -n 1 "$venv/pip.log")" \
        "(see $venv/pip.log; check the network, then make again)"
}

pip_install() {
    # What is never imported need not be compiled.
    "$venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check "$@" \
        >"$venv/pip.log" 2>&1
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    [ -n "$python" ] ||
        fail "Python 3.10 or newer is missing: install it, or name one with \`make PYTHON=...\`"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python cannot make virtual environments: run \`sudo apt-get install python3-venv\`," \
            "then make again"
    rm -rf "$venv"
    echo "making $venv"
    "$python" -m venv "$venv" ||
        fail "$python -m venv $venv failed: run \`sudo apt-get install python3-venv\`, then make again"
fi

if [ "$extras" = peers ] && ! "$venv/bin/python" -c 'import halotools' 2>/dev/null; then
    "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "halotools needs Python 3.11 or newer: name one with \`make PYTHON=...\`"
    command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
        fail "halotools needs a C compiler: run \`sudo apt-get install gcc\`, then make peers"
    echo "building halotools, which takes some minutes"
    printf '[build_ext]\nparallel = 4\n' >"$venv/build.cfg"
    pip_install --only-binary numpy 'setuptools>=77' wheel 'numpy<2.3' cython extension-helpers \
        setuptools-scm &&
        DIST_EXTRA_CONFIG="$PWD/$venv/build.cfg" pip_install --no-build-isolation halotools ||
        fail_of_pip
fi

echo "installing the Python packages (.[$extras]) into $venv"
if ! pip_install -c constraints.txt -e ".[$extras]"; then
    # The pinned torch may not be on offer for this machine.
    if ! pip_install -e ".[$extras]"; then
        fail_of_pip
    fi
    echo "note: constraints.txt could not be met here; the newest packages were taken"
fi
touch "$stamp"
