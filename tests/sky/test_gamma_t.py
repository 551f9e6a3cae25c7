"""Tangential shear: against TreeCorr, a known halo, clusters, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.peers import reference, same_pairs, treecorr_catalog
from helpers.sky_twins import all_sky, bearings, field, random_rotation, rotated, separations
from pysoftcorr import Catalog, gamma_t
from pysoftcorr.sky.binning import Binning

LOG = Binning.log(1, 50, 8)


@pytest.mark.parametrize("bins", [Binning.linear(0, 45, 6), LOG], ids=["linear", "log"])
@pytest.mark.parametrize("where", [(150, 2, 1), (10, 85, 1), (0, -30, 2)])
def test_against_treecorr(where, bins):
    lenses, sources = field(1, 120, *where), field(2, 400, *where)
    done = reference("NGCorrelation", bins, *map(treecorr_catalog, (lenses, sources)))
    got = gamma_t(lenses, sources, bins).gamma_t
    same_pairs(got, done)
    np.testing.assert_allclose(got.value + 1j * got.imag, done.xi + 1j * done.xi_im, atol=1e-10)
    np.testing.assert_allclose(got.varshot, done.varxi, rtol=1e-10)


def test_whole_sky_against_treecorr():
    lenses, sources, bins = all_sky(1, 150), all_sky(2, 300), Binning.log(1, 150, 6, unit="deg")
    done = reference("NGCorrelation", bins, *map(treecorr_catalog, (lenses, sources)))
    got = gamma_t(lenses, sources, bins).gamma_t
    same_pairs(got, done)
    np.testing.assert_allclose(got.value + 1j * got.imag, done.xi + 1j * done.xi_im, atol=1e-10)


@pytest.mark.parametrize("where", [(150, 2), (0, 0), (359.99, -60), (45, 88)])
def test_a_halo(where):
    """One lens; sources sheared along the circles around it by 0.1 / theta, and by 0.02 across."""
    lens = Catalog(ra=[where[0]], dec=[where[1]])
    sources = field(3, 500, *where)
    theta = np.degrees(separations(lens, sources)[0]) * 60
    # along the circle: the negative of the direction to the lens, squared
    shear = (-0.1 / theta - 0.02j) * np.conj(bearings(sources, lens)[:, 0] ** 2)
    sources = Catalog(ra=sources.ra, dec=sources.dec, g1=shear.real, g2=shear.imag)
    got = gamma_t(lens, sources, "log:5:30:4").gamma_t
    place = np.searchsorted(got.bins.edges, theta, side="right") - 1
    expected = [np.mean(0.1 / theta[place == k]) for k in range(4)]
    np.testing.assert_allclose(got.value, expected, rtol=1e-9)
    np.testing.assert_allclose(got.imag, 0.02, rtol=1e-9)


def test_rotation():
    lenses, sources, turn = field(4, 60), field(5, 200), random_rotation(5)
    a = gamma_t(lenses, sources, LOG).gamma_t
    b = gamma_t(rotated(lenses, turn), rotated(sources, turn), LOG).gamma_t
    np.testing.assert_allclose(a.value, b.value, atol=1e-11)
    np.testing.assert_allclose(a.imag, b.imag, atol=1e-11)


def test_clusters_and_errors():
    lenses, sources = field(6, 40), field(7, 90)
    naive = gamma_t(lenses, sources, LOG, resampling="bootstrap:10", seed=1).gamma_t
    assert naive.aleatoric.shape == (10, 8)
    fits = [
        gamma_t(lenses, sources, "linear:0:60:3", clusters=20, assignments=10, seed=s).gamma_t
        for s in (1, 1, 2)
    ]
    assert fits[0] == fits[1]
    assert fits[0] != fits[2]


def test_bad_input():
    lenses, sources = field(8, 20), field(9, 30)
    with pytest.raises(ValueError, match="gamma_t: sources has no g1 and g2"):
        gamma_t(lenses, Catalog(ra=sources.ra, dec=sources.dec), LOG)
    with pytest.raises(ValueError, match="method = 'trees': must be one of pairs, treecorr"):
        gamma_t(lenses, sources, LOG, method="trees")
    with pytest.raises(TypeError, match="gamma_t: lenses must be a Catalog, not list"):
        gamma_t([1, 2], sources, LOG)
