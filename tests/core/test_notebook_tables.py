"""HTML of results: well-formed, escaped, short, and with the numbers of the results."""

from __future__ import annotations

from types import SimpleNamespace
from xml.etree import ElementTree

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from pysoftcorr import Catalog, SoftClustering
from pysoftcorr.core.notebook import ROWS, html_facts, html_rows, html_table, html_text
from pysoftcorr.core.progress import watched
from pysoftcorr.mocks import HaloCatalog, HODModel, box_correlations

HOSTILE = "<script>alert('&')</script>"


def cells(page):
    """The texts of all cells of a page that is well-formed."""
    root = ElementTree.fromstring(page)
    assert root.find(".//script") is None
    return [c.text or "" for c in root.iter() if c.tag in ("td", "th", "caption", "p", "pre")]


def test_text_is_escaped_wherever_it_stands():
    pages = (
        html_text(HOSTILE),
        html_rows([HOSTILE, "x"], [[HOSTILE, "1"]], caption=HOSTILE, notes=[HOSTILE]),
        html_facts(HOSTILE, [(HOSTILE, HOSTILE), ("none", None)]),
        html_table(Table({HOSTILE: [HOSTILE]})),
    )
    for page in pages:
        assert HOSTILE in cells(page)
        assert "none" not in cells(page)


def test_long_tables_are_cut_and_say_so():
    rows = [[str(k), "x"] for k in range(ROWS + 7)]
    said = cells(html_rows(["k", ""], rows))
    assert str(ROWS - 1) in said
    assert str(ROWS) not in said
    assert said[-1] == "and 7 more rows"
    assert "more rows" not in html_rows(["k", ""], rows[:ROWS])


def test_columns_of_tables_have_units_and_those_of_arrays_are_left_out():
    table = Table({"a": [1.23456789, np.nan] * u.deg, "pair": [[1, 2], [3, 4]], "n": [1, 2]})
    assert cells(html_table(table)) == ["a [deg]", "n", "1.235", "1", "nan", "2"]
    assert cells(html_table(table, columns=["n"], caption="c")) == ["c", "n", "1", "2"]


@pytest.fixture(scope="module")
def halos():
    return HaloCatalog.simulate(40.0, mesh=32, mmin=3e11, seed=1)


def test_catalogs_and_correlations_of_a_box(halos):
    galaxies = HODModel(
        mu_cen=0.5, mu_sat=0.2, logMmin=12.0, sigma_logM=0.3, logM0=12.0, logM1=13.0, alpha=1.0
    ).populate(halos, seed=1)
    measured = box_correlations(galaxies, bins="log:1:10:2", resampling="jackknife:27")
    said = cells(measured._repr_html_())
    assert {"xi", "xi_err", "omega", "omega_err", "eta_err", "npairs"} <= set(said)
    assert f"{measured.xi[1]:.4g}" in said
    assert f"errors: {measured.resampling}" in said
    said = cells(galaxies._repr_html_())
    assert str(int(galaxies.central.sum())) in said
    said = cells(halos._repr_html_())
    assert "concentration" in said
    assert said[0].startswith(f"{len(halos)} host halos")


def test_tables_and_their_predictions(halos):
    pytest.importorskip("torch")
    from pysoftcorr.mocks import HaloTables

    tables = HaloTables.tabulate(halos, bins="log:1:10:4", nodes=8, progress=False)
    assert str(len(halos)) in cells(tables._repr_html_())
    point = dict(zip(tables.names, (0.5, 0.2, 12.2, 0.3, 12.2, 13.2, 1.0), strict=True))
    one = tables.predict(point)
    said = cells(one._repr_html_())
    assert f"{float(one.xi.mean[0]):.4g}" in said
    assert "logMmin = 12.2" in said[-1]
    many = tables.predict([list(point.values())] * 3)
    assert cells(many._repr_html_())[0].startswith("3 points of mu_cen")


def test_posteriors_and_minima():
    pytest.importorskip("arviz")
    from pysoftcorr.inference import Minimization, Posterior

    rng = np.random.default_rng(1)
    posterior = Posterior(
        names=("mu_cen", HOSTILE), draws=rng.normal(0.3, 0.1, (2, 200, 2)), stats={},
        settings={"sampler": "NUTS", "warmup": 10, "seconds": 1.0},
    )  # fmt: skip
    said = cells(posterior._repr_html_())
    assert {"r-hat", "ESS bulk", HOSTILE} <= set(said)
    assert f"{posterior.flat[:, 0].mean():.4g}" in said
    assert all(text in posterior.summary() for text in said)
    found = Minimization(
        names=("a",), trace=np.array([[1.0], [0.25]]), loss=np.array([3.0, 1.0]),
        gradient=np.zeros((2, 1)), converged=True, settings={},
    )  # fmt: skip
    assert {"a", "1", "0.25"} <= set(cells(found._repr_html_()))


@pytest.mark.parametrize("neighbors", ["all", 4])
def test_clusterings(neighbors):
    rng = np.random.default_rng(1)
    stars = Catalog(ra=rng.uniform(0, 1, 60), dec=rng.uniform(0, 1, 60))
    fit = SoftClustering(n_clusters=8, neighbors=neighbors, seed=1).fit(stars)
    said = cells(fit._repr_html_())
    assert said[0] == "60 objects in 8 clusters"
    assert f"{np.median(fit.max_membership):.4g}" in said


def test_bars_are_shown_on_terminals_and_in_kernels_alone(monkeypatch):
    import sys

    stream = type("OutStream", (), {"isatty": lambda self: False, "__module__": "ipykernel.io"})()
    monkeypatch.setattr(sys, "stderr", stream)
    assert not watched()
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1))
    monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    assert watched()
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert not watched()
    monkeypatch.setenv("TQDM_DISABLE", "0")
    assert watched()
    monkeypatch.setattr(sys, "stderr", None)
    assert not watched()
