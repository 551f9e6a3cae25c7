"""Does the PSF leak into galaxy shapes? Rho and tau statistics of a mock, and the fit of both.

    python examples/psf_leakage.py [STARS [GALAXIES.fits]]

The mock galaxies lie among the stars of a catalog (the simulated one by default) and have, beside
their own shapes, known parts alpha, beta and eta of the PSF's fields at their places, which are
means over the nearest stars. At separations of some times the width of that mean, galaxies see the
stars as these see one another. With a second name the mock is kept, for

    softcorr tau GALAXIES.fits STARS --bins log:4:40:5 --plot figures
"""

import os
import sys

import numpy as np
from scipy.spatial import cKDTree

from pysoftcorr import (
    Catalog,
    StarCatalog,
    demo_stars_path,
    fit_leakage,
    rho_statistics,
    tau_statistics,
)

# Four hundred stars tell no more than one term from the others.
TRUTH = {"beta": 1.0}


def interpolated(stars, field, xyz, width=1.0):
    """A complex field of the stars at other directions: the mean about them, `width` in arcmin."""
    distance, nearest = cKDTree(stars.xyz).query(xyz, k=10)
    # Relative to the nearest star, so that one far away counts where there is no other.
    square = (distance**2 - distance[:, :1] ** 2) / np.radians(width / 60) ** 2
    weight = np.exp(-0.5 * square)
    return (weight * field[nearest]).sum(axis=1) / weight.sum(axis=1)


def mock_galaxies(stars, n, *, shape_noise=0.02, seed=1, alpha=0.0, beta=0.0, eta=0.0):
    """Galaxies among the stars, with these parts of the PSF in their shapes."""
    rng = np.random.default_rng(seed)
    near = stars[rng.integers(len(stars), size=n)]
    dec = near.dec + rng.normal(0, 0.01, n)
    ra = near.ra + rng.normal(0, 0.01, n) / np.cos(np.radians(dec))
    xyz = Catalog(ra=ra, dec=dec).xyz
    p, q, w = (interpolated(stars, f, xyz) for f in stars.fields(reference="gatti"))
    e = rng.normal(0, shape_noise, (n, 2)) @ [1, 1j]
    e = e + alpha * p + beta * q + eta * w
    return Catalog(ra=ra, dec=dec, g1=e.real, g2=e.imag, name="mock galaxies")


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else demo_stars_path()
    stars = StarCatalog.read(path)
    small = "PYSOFTCORR_EXAMPLE_SMALL" in os.environ
    galaxies = mock_galaxies(stars, 1500 if small else 6000, **TRUTH)
    if len(sys.argv) > 2:
        galaxies.to_table().write(sys.argv[2], overwrite=True)
    bins = "log:4:40:5"  # arcmin
    print(rho_statistics(stars, bins).rho1.summary(), end="\n\n")
    tau = tau_statistics(galaxies, stars, bins, resampling="jackknife:40", seed=1)
    print(tau.tau0.summary(), end="\n\n")
    found = fit_leakage(tau, terms=list(TRUTH))
    print(found.summary(), end="\n\n")
    for name, value in found.value.items():
        print(f"{name}: {value:+.3f} +- {found.error[name]:.3f}, put in {TRUTH[name]}")


if __name__ == "__main__":
    main()
