"""Absurd options of figures: drawn, or refused by a message that names them."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt

from helpers import own_files
from pysoftcorr import plots
from tests.helpers.odd_inputs import SCALARS

mpl.use("Agg")


@pytest.fixture(scope="module")
def drawing():
    """Figures by name: the function and good arguments."""
    halos, galaxies = own_files.halos(), own_files.galaxies()
    posterior = own_files._posterior()
    curves = {name: posterior.curves["xi"] + 1 for name in ("xi", "xi_std")}
    posterior = dataclasses.replace(posterior, curves=curves)
    one, box = own_files.correlation(), own_files.in_a_box()
    theta = [12.0, 0.3, 12.0, 13.0, 1.0]
    return {
        "corner": (plots.plot_corner, {"posteriors": posterior}),
        "correlations": (plots.plot_posterior_correlations, {"posterior": posterior}),
        "occupation": (plots.plot_occupation, {"params": theta}),
        "covariance": (plots.plot_covariance, {"result": one}),
        "correlation": (plots.plot_correlation, {"correlation": one}),
        "slice": (plots.plot_box_slice, {"objects": galaxies, "halos": halos}),
        "box": (plots.plot_box_correlations, {"result": box}),
    }


OPTIONS = [
    ("corner", "truth"), ("corner", "levels"), ("corner", "names"), ("correlations", "statistics"),
    ("occupation", "params"), ("occupation", "temperatures"), ("occupation", "log_mass"),
    ("covariance", "which"), ("covariance", "correlation"), ("correlation", "style"),
    ("slice", "axis"), ("slice", "start"), ("slice", "depth"), ("slice", "length"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_drawn_or_refused_by_name(name, option, drawing):
    pytest.importorskip("torch")
    pytest.importorskip("corner")
    function, good = drawing[name]
    bad, refused = [], 0
    for odd, value in SCALARS.items():
        try:
            function(**{**good, option: value})
        except (ValueError, TypeError) as error:
            refused += 1
            if option not in str(error) or "\n" in str(error) or "iterable" in str(error):
                bad.append(f"{odd}: {type(error).__name__}: {error}")
        except Exception as error:
            bad.append(f"{odd}: {type(error).__name__}: {error}")
        plt.close("all")
    assert bad == []
    assert refused > len(SCALARS) // 3
