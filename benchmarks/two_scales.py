"""Correlations on two scales: their amplitude against TreeCorr, both errors, seconds.

    python benchmarks/two_scales.py measure OBJECTS RESULT.ecsv CLUSTERS ...
    python benchmarks/two_scales.py gradient OBJECTS CLUSTERS
    python benchmarks/two_scales.py draw RESULT.ecsv FIGURE.png

The first measures xi+ and xi- of a simulated field from 0.5 to 100 arcmin with each number of
clusters; the second the gradient; the third makes the figure of docs/two-scales.md.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np
from astropy.table import Table, vstack

from pysoftcorr import Binning, Catalog, SoftClustering, TwoScaleCorrelation, xi_pm
from pysoftcorr.sky.clustering import Clustering

#: Galaxies in a square arcmin; with 1e6 the field has a side of ten degrees.
DENSITY = 2.8
BINS = Binning.log(0.5, 100, 12)
SPLIT = 17.0
FUZZINESS = 1.3
DRAWS, PATCHES = 20, 25


def galaxies(n: int) -> Catalog:
    """Galaxies in a plane: a Gaussian shear field with xi+ near theta^-1/2, and shape noise."""
    rng = np.random.default_rng(1)
    side = float(np.sqrt(n / DENSITY))
    cells = 2 ** int(np.ceil(np.log2(side / 0.4)))
    k = 2 * np.pi * np.fft.fftfreq(cells, side / cells)
    square = k[None, :] ** 2 + k[:, None] ** 2
    square[0, 0] = np.inf
    kappa = np.fft.fft2(rng.normal(size=(cells, cells))) / square**0.375
    spread = np.sqrt(np.mean(np.abs(kappa) ** 2)) / cells
    shear = np.fft.ifft2(kappa * (k[None, :] + 1j * k[:, None]) ** 2 / square) * (0.05 / spread)
    x, y = rng.random((2, n)) * side
    column, row = ((q / side * cells).astype(int) % cells for q in (x, y))
    e = shear[row, column] + rng.normal(0, 0.2, n) + 1j * rng.normal(0, 0.2, n)
    e[np.abs(e) >= 1] = 0
    w = rng.uniform(0.5, 1.5, n)
    return Catalog(x=x, y=y, g1=e.real, g2=e.imag, w=w, xy_unit="arcmin")


@contextmanager
def quiet():
    """Where too few clusters are the question, what is said of them is no news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def clustered(catalog: Catalog, c: int) -> Clustering:
    """Clusters; how they are grouped need not have converged where no center is differentiated."""
    settings = SoftClustering(
        n_clusters=c, fuzziness=FUZZINESS, neighbors=16, seed=1, tol=1e-2, max_iter=60
    )
    with quiet():
        return settings.fit(catalog)


def treecorr_xi(catalog: Catalog, slop: float | None):
    """xi+ and xi- of TreeCorr; `slop` None is its default."""
    import treecorr

    stars = treecorr.Catalog(
        x=catalog.x, y=catalog.y, g1=catalog.g1, g2=catalog.g2, w=catalog.w,
        x_units="arcmin", y_units="arcmin",
    )  # fmt: skip
    more = {} if slop is None else {"bin_slop": slop}
    edges = BINS.edges
    done = treecorr.GGCorrelation(
        min_sep=edges[0], max_sep=edges[-1], nbins=BINS.nbins, sep_units="arcmin", **more
    )
    done.process(stars, num_threads=2)
    return done


def seconds(work: Callable[[], object]) -> tuple[object, float, float]:
    """What it gives, and seconds on the wall and of the processors."""
    wall, spent = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - spent


def rows(method: str, n: int, c: int, xi, spent: tuple[float, float]) -> Table:
    """A row for each statistic and bin."""
    parts = []
    for name in ("xip", "xim"):
        item = xi[name]
        table = Table({"theta": item.theta, "value": item.value, "shot": item.sigma_shot})
        table["epistemic"] = np.nan if item.sigma_epistemic is None else item.sigma_epistemic
        table["aleatoric"] = np.nan if item.sigma_aleatoric is None else item.sigma_aleatoric
        drawn = item.mean_epistemic
        table["drawn"] = np.nan if drawn is None else drawn
        for position, (column, what) in enumerate(
            [("method", method), ("statistic", name), ("objects", n), ("clusters", c)]
        ):
            table.add_column([what] * len(table), index=position, name=column)
        table["seconds"], table["processor"] = spent
        parts.append(table)
    return vstack(parts)


def treecorr_rows(method: str, n: int, done, spent: tuple[float, float]) -> Table:
    """A row for each statistic and bin of TreeCorr, with the columns of `rows`."""
    parts = []
    for name in ("xip", "xim"):
        table = Table({"theta": done.meanr, "value": getattr(done, name)})
        table["shot"] = np.sqrt(done.varxip)
        for column in ("epistemic", "aleatoric", "drawn"):
            table[column] = np.nan
        for position, (column, what) in enumerate(
            [("method", method), ("statistic", name), ("objects", n), ("clusters", 0)]
        ):
            table.add_column([what] * len(table), index=position, name=column)
        table["seconds"], table["processor"] = spent
        parts.append(table)
    return vstack(parts)


def two_scales(catalog: Catalog, fit: Clustering):
    """xi+ and xi- with both errors."""
    with quiet():
        return xi_pm(
            catalog, BINS, clusters=fit, split=SPLIT, assignments=DRAWS,
            resampling=f"jackknife:{PATCHES}", seed=1,
        )  # fmt: skip


def measure(n: int, numbers: list[int]) -> Table:
    """All of it, with seconds."""
    catalog = galaxies(n)
    xi_pm(catalog[:2000], BINS)
    found = []
    for c in numbers:
        fit, *clustering = seconds(lambda c=c: clustered(catalog, c))
        xi, *spent = seconds(lambda fit=fit: two_scales(catalog, fit))
        print(f"{n} x {c}: {fit}, {clustering[0]:.0f} s (processor {clustering[1]:.0f} s); "
              f"both errors {spent[0]:.0f} s (processor {spent[1]:.0f} s)", flush=True)  # fmt: skip
        found.append(rows("two scales", n, c, xi, tuple(spent)))
        found[-1]["clustering"] = clustering[1]
    for method, slop in (("TreeCorr", None), ("bin_slop=0", 0)):
        done, *spent = seconds(lambda slop=slop: treecorr_xi(catalog, slop))
        print(f"{method}: {spent[0]:.0f} s (processor {spent[1]:.0f} s)", flush=True)
        found.append(treecorr_rows(method, n, done, tuple(spent)))
        found[-1]["clustering"] = np.nan
    xi, *spent = seconds(lambda: xi_pm(catalog, BINS))
    found.append(rows("all pairs", n, 0, xi, tuple(spent)))
    found[-1]["clustering"] = np.nan
    return vstack(found)


def gradient(n: int, c: int) -> None:
    """Seconds of values and gradients of xi+ and xi- in soft bins."""
    catalog = galaxies(n)
    fit, *spent = seconds(lambda: clustered(catalog, c))
    print(f"clustering {spent[0]:.0f} s (processor {spent[1]:.0f} s)", flush=True)
    for approach in ("hard", "soft"):
        for statistic in ("xip", "xim"):
            xi = TwoScaleCorrelation(
                BINS, split=SPLIT, clusters=fit, approach=approach, statistic=statistic
            )
            with quiet():
                (_, slope), *spent = seconds(lambda x=xi: x.value_and_vjp(catalog, np.ones(12)))
            print(f"{approach} {statistic}: {spent[0]:.0f} s (processor {spent[1]:.0f} s), "
                  f"rms by x {slope['x'].std():.2e}", flush=True)  # fmt: skip


def draw(found: Table, path: str) -> None:
    """The figure: differences from all pairs, and both errors by the number of clusters."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 4.0), constrained_layout=True)
    ours = found[found["method"] == "two scales"]
    numbers = sorted(set(ours["clusters"]))
    colors = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(numbers)))
    edge = BINS.edges[np.searchsorted(BINS.edges, SPLIT * (1 - 1e-9))]

    def of(method: str, statistic: str, c: int = 0) -> Table:
        chosen = (found["method"] == method) & (found["statistic"] == statistic)
        return found[chosen & (found["clusters"] == c)]

    for axis, statistic in zip(axes, ("xip", "xim"), strict=False):
        exact = of("all pairs", statistic)["value"]
        for c, color in zip(numbers, colors, strict=True):
            item = of("two scales", statistic, c)
            axis.plot(item["theta"], 100 * (item["value"] / exact - 1), "o-", ms=3, color=color,
                      label=f"{c:,} clusters")  # fmt: skip
        for method, style, label in (("TreeCorr", "x--", "TreeCorr, default"),
                                     ("bin_slop=0", "+:", "TreeCorr, bin_slop=0")):  # fmt: skip
            item = of(method, statistic)
            axis.plot(item["theta"], 100 * (item["value"] / exact - 1), style, color="C3", ms=4,
                      label=label)  # fmt: skip
        axis.axvline(edge, color="0.6", lw=1)
        axis.axhline(0, color="0.6", lw=1)
        axis.set(xscale="log", xlabel=r"$\theta$ [arcmin]")
        axis.set_ylabel(
            rf"$\xi_{'+' if statistic == 'xip' else '-'}$: difference from all pairs [%]"
        )
        axis.set_yscale("symlog", linthresh=1)
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    for b, style in ((int(np.searchsorted(BINS.edges, edge)), "-"), (BINS.nbins - 1, "--")):
        label = f"{BINS.edges[b]:.0f}-{BINS.edges[b + 1]:.0f} arcmin"
        for column, color in (("epistemic", "C0"), ("aleatoric", "C1")):
            y = [of("two scales", "xip", c)[column][b] for c in numbers]
            axes[2].loglog(numbers, y, "o" + style, ms=3, color=color, label=f"{column}, {label}")
    axes[2].set(xlabel="clusters", ylabel=r"$\sigma$ of $\xi_+$")
    axes[2].legend(fontsize=7, frameon=False, handlelength=3.5)
    figure.savefig(path, dpi=130)


def main(words: list[str]) -> None:
    """Measure, time the gradient, or draw the figure, by the first word."""
    if words[0] == "measure":
        n, path, *numbers = words[1:]
        measure(int(n), [int(c) for c in numbers]).write(path, overwrite=True)
    elif words[0] == "gradient":
        gradient(int(words[1]), int(words[2]))
    else:
        draw(Table.read(words[1]), words[2])


if __name__ == "__main__":
    main(sys.argv[1:])
