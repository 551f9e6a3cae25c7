"""How the posterior of the two strengths tilts with the place where satellites live.

    python examples/where_satellites_live.py

Populates simulated boxes with satellites in spheres, in the ellipsoids of halos and on subhalos,
and gives the posterior of (mu_cen, mu_sat) from omega in a box of 100 Mpc/h, with the HOD fixed: of
galaxies without alignments, and of aligned ones; and from omega and xi together, whose scatter is
shared. Writes ``where_satellites_live.png``.
"""

import os

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from pysoftcorr.mocks import HaloCatalog, HODModel, alignment_sums
from pysoftcorr.mocks.alignment import order_parameter

small = bool(os.environ.get("PYSOFTCORR_EXAMPLE_SMALL"))
BOXES, DRAWS, SIDE, BINS = (3, 12, 60.0, "log:0.3:12:6") if small else (40, 15, 100.0, None)
MODEL = HODModel.preset("mstar10.5")
PLACES = {"nfw": "sphere (nfw)", "triaxial": "ellipsoid (triaxial)", "subhalos": "subhalos"}
TRUTHS = {"no alignments": (0.0, 0.0), "aligned": (MODEL.mu_cen, MODEL.mu_sat)}

# Responses of omega to the order parameters, and xi and omega as drawn, of every catalog.
mean = {place: [] for place in PLACES}
drawn = {(place, truth): [] for place in PLACES for truth in TRUTHS}
for box in range(BOXES):
    halos = HaloCatalog.simulate(SIDE, 64, mmin=1e12, subhalos=True, subhalo_mmin=2e11, seed=box)
    for place in PLACES:
        model = MODEL.with_parameters(satellites=place)
        for draw in range(DRAWS):
            galaxies = model.populate(halos, seed=1000 * box + draw)
            for truth, (mu_cen, mu_sat) in TRUTHS.items():
                axes = galaxies.realign(mu_cen=mu_cen, mu_sat=mu_sat, seed=draw)
                sums = alignment_sums(axes, bins=BINS, drawn=True)
                drawn[place, truth].append([sums.at(mu_cen, mu_sat).xi, sums.drawn()[0]])
            mean[place].append(sums.response()[:2])


def posterior(place, truth, with_xi=False, cells=401):
    """The posterior on a grid of mu_cen and mu_sat, uniform before, and its correlation."""
    response = np.nanmean(mean[place], axis=0)
    bins = response.shape[1]
    samples = np.array(drawn[place, truth])[:, 0 if with_xi else 1 :].reshape(
        -1, bins * (1 + with_xi)
    )
    samples = samples[np.isfinite(samples).all(axis=1)]
    n, p = samples.shape
    # Hartlap, Simon & Schneider 2007; xi is the mean one, so that its bins drop out of chi^2.
    precision = np.linalg.inv(np.cov(samples.T)) * (n - p - 2) / (n - 1)
    precision = precision[-bins:, -bins:]
    mu = np.linspace(-1, 1, cells)
    a = order_parameter(mu)
    data = order_parameter(np.array(TRUTHS[truth])) @ response
    cen, sat = np.meshgrid(a, a, indexing="ij")
    off = cen[..., None] * response[0] + sat[..., None] * response[1] - data
    chi2 = np.einsum("ija,ab,ijb->ij", off, precision, off)
    weight = np.exp(-0.5 * (chi2 - chi2.min()))
    weight /= weight.sum()
    x, y = np.meshgrid(mu, mu, indexing="ij")
    mx, my = (weight * x).sum(), (weight * y).sum()
    sx, sy = np.sqrt((weight * (x - mx) ** 2).sum()), np.sqrt((weight * (y - my) ** 2).sum())
    return mu, weight, (mx, sx, my, sy, (weight * (x - mx) * (y - my)).sum() / (sx * sy))


figure, panels = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
print(f"{'':>14}  {'place':<9} {'mu_cen':>16} {'mu_sat':>18} {'correlation':>12} {'with xi':>8}")
for panel, (truth, (mu_cen, mu_sat)) in zip(panels, TRUTHS.items(), strict=True):
    for line, (place, label) in zip(("C0-", "C1-", "C2--"), PLACES.items(), strict=True):
        mu, weight, (mx, sx, my, sy, r) = posterior(place, truth)
        both = posterior(place, truth, with_xi=True)[2][-1]
        print(
            f"{truth:>14}  {place:<9} {mx:7.3f} +- {sx:5.3f} {my:9.3f} +- {sy:5.3f} {r:12.2f} "
            f"{both:8.2f}"
        )
        # Contours around 68.3 and 95.4 % of the posterior.
        sorted_ = np.sort(weight.ravel())[::-1]
        levels = [sorted_[np.searchsorted(np.cumsum(sorted_), part)] for part in (0.954, 0.683)]
        style = {"colors": line[:2], "linestyles": line[2:]}
        panel.contour(mu, mu, weight.T, levels=levels, linewidths=1.8, **style)
        panel.plot([], [], line, label=f"{label}, correlation {r:.2f}")
    panel.plot(mu_cen, mu_sat, "k+", markersize=10)
    panel.set(xlabel=r"$\mu_{\rm cen}$", ylabel=r"$\mu_{\rm sat}$", title=truth, ylim=(-0.95, 0.75))
    panel.legend(loc="lower left", frameon=False)
figure.savefig("where_satellites_live.png", dpi=150)
