"""Is the PSF model good? Rho statistics of a star catalog with both error bars.

    python examples/rho_statistics.py [CATALOG]

Without a catalog, the simulated stars that travel with the package are taken.
"""

import sys

from pysoftcorr import demo_stars_path
from pysoftcorr.sky.assessment import find
from pysoftcorr.sky.correlation import rho_statistics
from pysoftcorr.sky.stars import StarCatalog

stars = StarCatalog.read(sys.argv[1] if len(sys.argv) > 1 else demo_stars_path())
bins = "linear:0:45:8"  # arcmin
rho = rho_statistics(stars, bins, clusters=100, assignments=100, resampling="bootstrap:100", seed=1)
naive = rho_statistics(stars, bins)
print(rho.summary())
print(find(rho, naive=naive).summary())
