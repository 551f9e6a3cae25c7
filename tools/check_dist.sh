#!/bin/sh
# Check a wheel and an sdist in empty environments: check_dist.sh DIST-FOLDER
#
# The wheel is installed alone, imported and asked for its figures' style and its Julia sources; every
# extra is resolved; a wheel made from the sdist must hold the same files.
set -eu
dist=$(cd "$1" && pwd)
wheel=$(ls "$dist"/pysoftcorr-*.whl)
sdist=$(ls "$dist"/pysoftcorr-*.tar.gz)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"${PYTHON:-python3}" -m venv "$place/env"
bin=$place/env/bin
"$bin/pip" install --quiet --disable-pip-version-check "$wheel"
cd "$place"  # not the clone
"$bin/pip" check
"$bin/softcorr" --version
"$bin/python" - <<'PYTHON'
import importlib.metadata
import importlib.resources
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import pysoftcorr
from pysoftcorr.mocks import HODModel

version = importlib.metadata.version("pysoftcorr")
assert version == pysoftcorr.__version__, version
for sheet in ("pysoftcorr", "paper", "talk"):
    plt.style.use(f"pysoftcorr.plots.{sheet}")
files = importlib.resources.files("pysoftcorr")
for part in ("py.typed", "data/demo_stars.fits", "emulator/weights", "juliapkg.json",
             "_julia/SoftCorr/src/SoftCorr.jl", "_julia/SoftCorr/Project.toml"):
    assert files.joinpath(part).is_file() or files.joinpath(part).is_dir(), part
assert len(pysoftcorr.demo_stars()) > 100
HODModel.preset("mstar10.0")
for name in pysoftcorr.__all__:
    getattr(pysoftcorr, name)
print(f"wheel of {version}: imported, {len(pysoftcorr.__all__)} names")
PYTHON
for extra in $("$bin/python" -c '
from importlib.metadata import metadata
print(*metadata("pysoftcorr").get_all("Provides-Extra"))'); do
    case $extra in
        # halotools has no wheels, and wants an older NumPy.
        peers) continue ;;
    esac
    "$bin/pip" install --quiet --disable-pip-version-check --dry-run "pysoftcorr[$extra]"
    echo "extra $extra: can be installed"
done
"$bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$place/again" "$sdist"
"$bin/python" - "$wheel" "$place"/again/*.whl <<'PYTHON'
import sys
import zipfile

one, other = ({i.filename: i.CRC for i in zipfile.ZipFile(path).infolist()
               if ".dist-info/" not in i.filename} for path in sys.argv[1:])
assert one == other, sorted(set(one.items()) ^ set(other.items()))[:5]
print(f"sdist: makes the same wheel, {len(one)} files")
PYTHON
