"""How sure is the clustering? Centers, memberships, entropy, and what a broad one does.

    python examples/clustering_diagnostics.py

Writes figures into the current folder.
"""

import matplotlib

matplotlib.use("Agg")

import numpy as np

from pysoftcorr import demo_stars, plots
from pysoftcorr.sky.assessment import find
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.correlation import rho_statistics

stars = demo_stars()
bins = "linear:0:40:4"
naive = rho_statistics(stars, bins)
for fuzziness in (1.3, 2.0):
    fit = SoftClustering(n_clusters=80, fuzziness=fuzziness, seed=1).fit(stars)
    greedy = rho_statistics(
        stars, bins, clusters=fit, assignments=50, resampling="bootstrap:50", seed=1
    )
    soft = rho_statistics(stars, bins, clusters=fit, assignment="soft")
    found = find(greedy, naive=naive, soft=soft)
    print(
        f"m = {fuzziness}: {fit.n_iter} sweeps, median largest membership "
        f"{np.median(fit.max_membership):.2f}, median entropy {np.median(fit.entropy):.2f} nats; "
        f"rho1 amplitude greedy {found.amplitude['greedy']['rho1']:.2f}, "
        f"soft {found.amplitude['soft']['rho1']:.2f}; "
        f"epistemic / aleatoric {found.median['rho1']:.2f}"
    )

plots.save_figure(plots.plot_centers(stars, fit).figure, "centers.png")
plots.save_figure(plots.plot_memberships(fit).figure, "memberships.png")
plots.save_figure(plots.plot_membership_histograms(fit), "membership_histograms.png")
plots.save_figure(plots.plot_pair_crossing(stars, fit, bins), "pair_crossing.png")
