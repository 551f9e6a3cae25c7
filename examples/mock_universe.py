"""A mock universe from nothing: halos, galaxies with intrinsic alignments, xi, omega and eta.

    python examples/mock_universe.py

Writes ``halos.png``, ``slice.png``, ``correlations.png`` and ``galaxies.h5`` into the current
folder.
"""

import os

import matplotlib

matplotlib.use("Agg")

import numpy as np

from pysoftcorr.mocks import (
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    alignment_sums,
    box_correlations,
)
from pysoftcorr.plots import (
    plot_box_correlations,
    plot_box_slice,
    plot_halo_statistics,
    save_figure,
)

small = bool(os.environ.get("PYSOFTCORR_EXAMPLE_SMALL"))
halos = HaloCatalog.simulate(60.0 if small else 150.0, 32 if small else 128, mmin=3e11, seed=1)
print(halos.summary())

# Galaxies above 10^10 Msun; satellites point at their central galaxy more than observed ones do.
model = HODModel.preset("mstar10.0").with_parameters(mu_sat=0.6)
galaxies = model.populate(halos, seed=1)
print(f"\n{galaxies}")

result = box_correlations(galaxies)
sums = alignment_sums(galaxies)  # one pass over the pairs, then any strengths at no cost
expected = sums.at(model.mu_cen, model.mu_sat)
print("\n r [Mpc/h]       xi    omega  <omega>  d<omega>/dmu_sat")
for k in range(len(result.r)):
    print(
        f"{result.r[k]:10.3f} {result.xi[k]:8.2f} {result.omega[k]:8.4f} {expected.omega[k]:8.4f} "
        f"{expected.domega_dmu_sat[k]:8.4f}"
    )

# Without alignments nothing is left of the expectation.
assert np.nanmax(np.abs(sums.at(0.0, 0.0).omega)) < 1e-12

save_figure(plot_halo_statistics(halos), "halos.png")
save_figure(plot_box_slice(galaxies, halos=halos).figure, "slice.png")
save_figure(plot_box_correlations(result, expected=expected), "correlations.png")
galaxies.write("galaxies.h5", overwrite=True)
assert GalaxyCatalog.read("galaxies.h5") == galaxies
