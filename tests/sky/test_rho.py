"""rho statistics: against TreeCorr and plain NumPy, both references, the real catalog."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.peers import reference, same_pairs
from helpers.real_stars import REAL_STARS, needs_real_stars
from helpers.sky_twins import field, pair_twin, stars
from pysoftcorr import StarCatalog, rho_statistics
from pysoftcorr.sky.binning import RADIANS, Binning
from pysoftcorr.sky.clustering import SoftClustering

LOG = Binning.log(1, 50, 8)
LINEAR = Binning.linear(0, 45, 8)
# the two fields of each statistic, the conjugated one first
PAIRS = {"rho1": "dd", "rho2": "ed", "rho3": "qq", "rho4": "dq", "rho5": "eq"}


def fields_of(cat):
    return {"e": cat.e, "d": cat.de, "q": cat.e * (cat.T - cat.T_model) / cat.T}


@pytest.mark.parametrize("where", [(150, 2, 1), (0, 85, 1), (359.9, -40, 2)])
def test_against_treecorr(where):
    treecorr = pytest.importorskip("treecorr")
    cat = stars(1, 300, *where)
    made = {
        k: treecorr.Catalog(ra=cat.ra, dec=cat.dec, ra_units="deg", dec_units="deg", w=cat.w,
                            g1=v.real, g2=v.imag)
        for k, v in fields_of(cat).items()
    }  # fmt: skip
    rho = rho_statistics(cat, LOG)
    assert list(rho) == list(PAIRS)
    for name, (a, b) in PAIRS.items():
        if a == b:
            done = reference("GGCorrelation", LOG, made[a])
        else:
            # <a* b>: xi+ is of the first with the conjugate of the second
            done = reference("GGCorrelation", LOG, made[b], made[a])
            np.testing.assert_allclose(rho[name].imag, done.xip_im, atol=1e-10)
        same_pairs(rho[name], done)
        np.testing.assert_allclose(rho[name].value, done.xip, atol=1e-10)
        np.testing.assert_allclose(rho[name].varshot, done.varxip, rtol=1e-10)


@pytest.mark.parametrize("bins", [LINEAR, LOG], ids=["linear", "log"])
def test_against_numpy(bins):
    """Bins from 0 on: no star makes a pair with itself."""
    cat = stars(2, 200, 20, 60, 1)
    fields, rho = fields_of(cat), rho_statistics(cat, bins)
    for name, (a, b) in PAIRS.items():
        twin = pair_twin(cat, bins, e1=fields[b], e2=fields[a])
        got = rho[name]
        orders = 1 if a == b else 2
        np.testing.assert_array_equal(got.npairs, orders * twin.npairs)
        np.testing.assert_allclose(got.weight, orders * twin.weight, rtol=1e-12)
        np.testing.assert_allclose(got.theta * RADIANS["arcmin"], twin.theta, rtol=1e-10)
        np.testing.assert_allclose(got.value, twin.xip.real, atol=1e-13)
        if a != b:
            np.testing.assert_allclose(got.imag, twin.xip.imag, atol=1e-13)


def test_reference_model():
    cat = stars(3, 150)
    star, model = rho_statistics(cat, LOG), rho_statistics(cat, LOG, reference="model")
    np.testing.assert_array_equal(star.rho1.value, model.rho1.value)
    e, q = cat.e_model, cat.e_model * (cat.T - cat.T_model) / cat.T_model
    np.testing.assert_allclose(model.rho2.value, pair_twin(cat, LOG, e1=cat.de, e2=e).xip.real,
                               atol=1e-13)  # fmt: skip
    np.testing.assert_allclose(model.rho3.value, pair_twin(cat, LOG, e1=q, e2=q).xip.real,
                               atol=1e-13)  # fmt: skip
    assert model.settings["reference"] == "model"
    with pytest.raises(ValueError, match="reference = 'both': must be one of star, model, gatti"):
        rho_statistics(cat, LOG, reference="both")


def test_a_cluster_for_every_star_changes_nothing():
    cat = stars(4, 100)
    naive, soft = (rho_statistics(cat, LINEAR, clusters=c, seed=1) for c in (None, 100))
    for name in naive:
        for what in ("value", "imag", "npairs", "weight", "theta", "varshot"):
            got, want = getattr(soft[name], what), getattr(naive[name], what)
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-13)


def test_resamples_belong_together():
    """Row k of every statistic comes from the same draw: rho of a known combination of fields."""
    cat = stars(5, 80)
    same = StarCatalog(
        ra=cat.ra, dec=cat.dec, g1=cat.g1, g2=cat.g2, w=cat.w, T=np.ones(80),
        g1_model=0.5 * cat.g1, g2_model=0.5 * cat.g2, T_model=np.full(80, 0.75),
    )  # fmt: skip
    rho = rho_statistics(
        same, "linear:0:60:3", clusters=20, assignments=5, resampling="bootstrap:5", seed=1
    )
    for rows in ("epistemic", "aleatoric"):
        one = getattr(rho.rho1, rows)
        for name, factor in {"rho2": 2, "rho3": 0.25, "rho4": 0.5, "rho5": 1}.items():
            np.testing.assert_allclose(getattr(rho[name], rows), factor * one, atol=1e-13)


def test_bad_input():
    cat = stars(6, 30)
    with pytest.raises(TypeError, match="stars must be a StarCatalog, not Catalog"):
        rho_statistics(field(1, 30), LOG)
    with pytest.raises(ValueError, match="stars has one object"):
        rho_statistics(cat[:1], LOG)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample'"):
        rho_statistics(cat, LOG, sample=10)


@pytest.fixture(scope="module")
def real():
    return StarCatalog.read(REAL_STARS)


@needs_real_stars
def test_real_catalog(real):
    """Everything by default, then both errors; bins of the paper."""
    naive = rho_statistics(real, "linear:0:45:8")
    assert naive.rho1.npairs.sum() > 1e5
    both = rho_statistics(
        real, "linear:0:45:8", clusters=100, assignments=50, resampling="bootstrap:50", seed=1
    )
    for name in both:
        assert np.isfinite(both[name].value).all()
        for sigma in (both[name].sigma_epistemic, both[name].sigma_aleatoric):
            assert np.isfinite(sigma).all()
            assert (sigma > 0).all()


@needs_real_stars
def test_memberships_of_the_real_catalog(real):
    """Measured apart from this package: .55 and 2.2 nats, median over stars."""
    fit = SoftClustering(n_clusters=100, seed=1).fit(real)
    assert fit.converged
    assert abs(np.median(fit.max_membership) - 0.55) < 0.03
    assert abs(np.median(fit.entropy) - 2.2) < 0.1
