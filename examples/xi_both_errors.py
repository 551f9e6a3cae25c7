"""xi+ of a shear catalog: the aleatoric and the epistemic error, and all pairs beside them.

    python examples/xi_both_errors.py

Writes ``xi.png`` and ``xi.h5`` into the current folder.
"""

import matplotlib

matplotlib.use("Agg")

import numpy as np

from pysoftcorr.plots import plot_correlation_set, save_figure
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.correlation import xi_pm
from pysoftcorr.sky.result import CorrelationSet

rng = np.random.default_rng(4)
n = 600
ra, dec = rng.uniform(150.0, 151.0, n), rng.uniform(2.0, 3.0, n)

# A smooth E-mode: gamma = second derivatives of waves of potential, and shape noise on top.
k = rng.normal(scale=30.0, size=(40, 2))  # per degree
phase = np.outer(ra, k[:, 0]) + np.outer(dec, k[:, 1]) + rng.uniform(0, 2 * np.pi, 40)
# x runs West: RA grows to the East, which turns the sign of kx.
wave = np.exp(2j * np.arctan2(k[:, 1], -k[:, 0]))
gamma = 0.01 * np.cos(phase) @ wave + rng.normal(scale=0.02, size=(n, 2)) @ [1, 1j]
galaxies = Catalog(ra=ra, dec=dec, g1=gamma.real, g2=gamma.imag, name="simulated shears")

bins = "log:2:40:8"
naive = xi_pm(galaxies, bins, resampling="bootstrap:100", seed=1)
xi = xi_pm(galaxies, bins, clusters=150, assignments=100, resampling="bootstrap:100", seed=1)
for k in range(xi.bins.nbins):
    print(
        f"{xi.xip.theta[k]:6.2f} arcmin  xi+ = {xi.xip.value[k]:+.2e} "
        f"+- {xi.xip.sigma_aleatoric[k]:.1e} (aleatoric) "
        f"+- {xi.xip.sigma_epistemic[k]:.1e} (epistemic);  "
        f"all pairs {naive.xip.value[k]:+.2e} +- {naive.xip.sigma_aleatoric[k]:.1e}"
    )
save_figure(plot_correlation_set(xi, naive=naive), "xi.png")
xi.write("xi.h5", overwrite=True)
assert CorrelationSet.read("xi.h5") == xi
