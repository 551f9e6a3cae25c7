"""Make the simulated star catalog that travels with the package: pysoftcorr/data/demo_stars.fits.

    python tools/make_demo_stars.py [FILE]

A field like the one COSMOS-Web covers, with the column names of its star catalogs. The PSF's
ellipticity and size are smooth in the field; the PSF model misses a part that is correlated over
some arcminutes, and every star is measured with noise. The same seed makes the same stars.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from astropy.table import Table

SEED = 20250409
STARS = 400
CENTER = (150.11, 2.20)  # deg
SIDE = 0.78  # deg
PIXEL = 0.03  # arcsec
TILT = 20.0  # deg, of the mosaic on the sky

#: Half of the stars lie in loose groups, as the brighter ones of a real field do.
GROUPS, GROUPED, GROUP_SIZE = 30, 0.5, 0.035  # number, fraction, deg

#: Root mean square of each correlated field (each component), and its scale in degrees.
PSF_E, PSF_E_SCALE = 0.012, 0.35
PSF_SIZE, PSF_SIZE_SCALE = 0.020, 0.30
MISSED_E, MISSED_E_SCALE = 0.006, 0.12
MISSED_SIZE, MISSED_SIZE_SCALE = 0.015, 0.15

#: Noise of a star's ellipticity (each component) and of its relative size.
NOISE_E, NOISE_SIZE = 0.012, 0.02
MEAN_E = -0.018 + 0.012j
MEAN_SIGMA = 0.92  # pixel


def smooth(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, rms: float, scale: float
) -> np.ndarray:
    """A Gaussian random field with correlation ``rms^2 exp(-r^2 / 2 scale^2)``, as 256 waves."""
    k = rng.normal(scale=1.0 / scale, size=(256, 2))
    phase = rng.uniform(0.0, 2.0 * np.pi, 256)
    waves = np.cos(np.outer(x, k[:, 0]) + np.outer(y, k[:, 1]) + phase)
    return rms * np.sqrt(2.0 / 256.0) * waves.sum(axis=1)


def positions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Offsets of the stars from the field's center in degrees, within the tilted square."""
    groups = rng.uniform(-0.5, 0.5, (GROUPS, 2)) * SIDE
    n = 4 * STARS
    near = groups[rng.integers(0, GROUPS, n)] + rng.normal(scale=GROUP_SIZE, size=(n, 2))
    far = rng.uniform(-0.5, 0.5, (n, 2)) * SIDE
    xy = np.where(rng.random((n, 1)) < GROUPED, near, far)
    xy = xy[(np.abs(xy) < 0.5 * SIDE).all(axis=1)][:STARS]
    assert len(xy) == STARS
    return xy[:, 0], xy[:, 1]


def make() -> Table:
    """The catalog."""
    rng = np.random.default_rng(SEED)
    x, y = positions(rng)
    tilt = np.deg2rad(TILT)
    east = np.cos(tilt) * x - np.sin(tilt) * y
    north = np.sin(tilt) * x + np.cos(tilt) * y
    dec = CENTER[1] + north
    ra = CENTER[0] + east / np.cos(np.deg2rad(dec))

    def field(rms: float, scale: float) -> np.ndarray:
        return smooth(rng, x, y, rms, scale)

    model_e = MEAN_E + field(PSF_E, PSF_E_SCALE) + 1j * field(PSF_E, PSF_E_SCALE)
    model_sigma = MEAN_SIGMA * (1.0 + field(PSF_SIZE, PSF_SIZE_SCALE))
    missed = field(MISSED_E, MISSED_E_SCALE) + 1j * field(MISSED_E, MISSED_E_SCALE)
    noise = rng.normal(scale=NOISE_E, size=(STARS, 2))
    star_e = model_e + missed + noise[:, 0] + 1j * noise[:, 1]
    star_sigma = model_sigma * (1.0 + field(MISSED_SIZE, MISSED_SIZE_SCALE))
    star_sigma = star_sigma * (1.0 + rng.normal(scale=NOISE_SIZE, size=STARS))

    columns = {
        "ra": (ra, "deg", 9),
        "dec": (dec, "deg", 9),
        "sig_vignet": (star_sigma, "pix", 7),
        "g1_vignet": (star_e.real, None, 8),
        "g2_vignet": (star_e.imag, None, 8),
        "sig_psfex": (model_sigma, "pix", 7),
        "g1_psfex": (model_e.real, None, 8),
        "g2_psfex": (model_e.imag, None, 8),
        "x": ((x + 0.5 * SIDE) * 3600.0 / PIXEL, "pix", 3),
        "y": ((y + 0.5 * SIDE) * 3600.0 / PIXEL, "pix", 3),
    }
    table = Table()
    for name, (values, unit, digits) in columns.items():
        # Rounded, so that the last bits of a machine's cosine do not change the file.
        table[name] = np.round(values, digits)
        table[name].unit = unit
    table.meta["SEED"] = SEED
    table.meta["ORIGIN"] = "simulated"
    return table


def main() -> None:
    """Write the catalog to the package, or to the file named on the command line."""
    here = Path(__file__).resolve().parents[1] / "pysoftcorr" / "data" / "demo_stars.fits"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else here
    table = make()
    table.write(target, overwrite=True)
    print(f"{len(table)} stars in {target}")


if __name__ == "__main__":
    main()
