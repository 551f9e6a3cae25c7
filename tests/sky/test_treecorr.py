"""method="treecorr": the same result object, and the same numbers as our own pairs."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from helpers.sky_twins import field, stars
from pysoftcorr import Catalog, landy_szalay, rho_statistics, xi_pm
from pysoftcorr.sky.binning import Binning

needs_treecorr = pytest.mark.skipif(
    importlib.util.find_spec("treecorr") is None, reason="TreeCorr is missing"
)
# TreeCorr lets a pair stray from its bin by a tenth of it: compare the bulk, not the last digit
BINS = [Binning.linear(0, 45, 5), Binning.log(1, 50, 6)]


def same(ours, theirs, *, sigmas=0.1):
    """Values within a tenth of the shot noise; counts within a per cent."""
    assert list(ours) == list(theirs)
    for name in ours:
        a, b = ours[name], theirs[name]
        np.testing.assert_allclose(a.npairs, b.npairs, rtol=0.01, atol=10)
        np.testing.assert_allclose(a.weight, b.weight, rtol=0.02)
        np.testing.assert_allclose(a.theta, b.theta, rtol=2e-3)
        assert np.all(np.abs(a.value - b.value) < sigmas * a.sigma_shot + 1e-12)
        assert np.all(np.abs(a.imag - b.imag) < sigmas * a.sigma_shot + 1e-12)
        np.testing.assert_allclose(a.sigma_shot, b.sigma_shot, rtol=0.01)
        assert b.settings["method"] == "treecorr"
        assert b.epistemic is None
        assert b.aleatoric is None


@needs_treecorr
@pytest.mark.parametrize("bins", BINS, ids=["linear", "log"])
def test_same_as_pairs(bins):
    cat, other = field(1, 400), field(2, 300)
    same(xi_pm(cat, bins), xi_pm(cat, bins, method="treecorr"))
    same(xi_pm(cat, bins, catalog2=other), xi_pm(cat, bins, catalog2=other, method="treecorr"))
    same(landy_szalay(cat, other, bins), landy_szalay(cat, other, bins, method="treecorr"))
    psf = stars(3, 400)
    for reference in ("star", "model"):
        same(
            rho_statistics(psf, bins, reference=reference),
            rho_statistics(psf, bins, reference=reference, method="treecorr"),
        )


@needs_treecorr
def test_no_star_makes_a_pair_with_itself():
    """rho2 of bins from 0 on, where TreeCorr's own cross-correlation counts self pairs."""
    psf = stars(4, 60)
    ours = rho_statistics(psf, "linear:0:3:1")
    theirs = rho_statistics(psf, "linear:0:3:1", method="treecorr")
    for name in ours:
        assert ours[name].npairs[0] == theirs[name].npairs[0] > 0
        np.testing.assert_allclose(ours[name].weight, theirs[name].weight, rtol=1e-10)


@needs_treecorr
def test_bins_without_pairs():
    cat = field(5, 50, width=0.2)
    with pytest.warns(UserWarning, match="xi_pm: 2 of 3 bins hold no pairs"):
        xi = xi_pm(cat, "linear:0:60:3", method="treecorr").xip
    assert np.isnan(xi.value[2])
    assert np.isnan(xi.theta[2])
    assert xi.npairs[2] == 0
    with pytest.warns(UserWarning, match="landy_szalay: 2 of 3 bins hold no pairs"):
        w = landy_szalay(cat, cat, "linear:0:60:3", method="treecorr").w
    assert np.isnan(w.value[2])
    assert np.isnan(w.varshot[2])


@needs_treecorr
def test_write_and_read(tmp_path):
    xi = xi_pm(field(6, 80), "linear:3:45:4", method="treecorr")
    xi.write(tmp_path / "xi.h5")
    assert type(xi).read(tmp_path / "xi.h5") == xi


@needs_treecorr
def test_what_it_cannot_do():
    cat = field(7, 60)
    with pytest.raises(ValueError, match="method='treecorr' takes linear or log bins, not edges"):
        xi_pm(cat, "edges:1,2,5", method="treecorr")
    for asked in (
        {"assignments": 5, "clusters": 6},
        {"resampling": "jackknife:5"},
        {"resampling": "leave-out:0.3"},
    ):
        with pytest.raises(ValueError, match="leave out clusters, assignments and resampling"):
            xi_pm(cat, BINS[0], method="treecorr", **asked)
    with pytest.raises(ValueError, match="no g1 and g2"):
        xi_pm(Catalog(ra=cat.ra, dec=cat.dec), BINS[0], method="treecorr")


def test_without_treecorr(monkeypatch):
    monkeypatch.setitem(sys.modules, "treecorr", None)
    with pytest.raises(ImportError, match=r"pip install 'pysoftcorr\[treecorr\]'"):
        xi_pm(field(8, 20), BINS[0], method="treecorr")
