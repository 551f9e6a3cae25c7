#!/bin/sh
# An observer's day with the command line: does the PSF model hold, and does it leak into shapes?
#
#     sh examples/observer.sh [STARS.fits [FOLDER]]
#
# Without a catalog it takes the simulated stars of the package; results go to observer-output.
# PYTHON names the interpreter that has pysoftcorr.
set -eu
here=$(dirname "$0")
python=${PYTHON:-python3}
softcorr="$python -m pysoftcorr.cli"
stars=${1:-$($python -c 'import pysoftcorr; print(pysoftcorr.demo_stars_path())')}
out=${2:-observer-output}
mkdir -p "$out"

# Rho statistics: all pairs, errors of 30 patches; a figure as wide as a column; data for others.
$softcorr rho "$stars" --clusters 0 --resampling jackknife:30 --log "$out/log.txt" --overwrite \
    --plot "$out/rho.pdf" --plot-style paper --out "$out/rho.sacc"
# The same with soft clusters, which add an error of their own: for programs.
$softcorr rho "$stars" --quiet --json >"$out/rho.json"

# Galaxies with a known part of the PSF in their shapes; in real life, your shape catalog.
$python "$here/psf_leakage.py" "$stars" "$out/galaxies.fits" >"$out/mock.txt"
$softcorr tau "$out/galaxies.fits" "$stars" --bins log:4:40:5 --terms beta --overwrite \
    --resampling jackknife:30 --plot "$out/tau" --out "$out/tau.sacc" --leakage "$out/leakage.h5"

# Shear of the galaxies, and that around the stars.
$softcorr xi "$out/galaxies.fits" --bins log:4:40:5 --resampling jackknife:30 --quiet --overwrite \
    --format treecorr --out "$out/xi.txt" --plot "$out/xi.pdf" --plot-style paper
$softcorr gammat "$stars" "$out/galaxies.fits" --bins log:4:40:5 --resampling jackknife:30 --quiet
$softcorr cluster "$stars" --clusters 50 --out "$out/memberships.fits" --overwrite --quiet
