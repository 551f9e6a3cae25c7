"""Soft clustering of many clusters: against the dense one, in every geometry; its gradient."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.sky_twins import all_sky, field
from pysoftcorr import Catalog
from pysoftcorr.sky import clustering
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.nearest import NearestMemberships


def clumps(seed, n, groups=60):
    """Objects in groups of very different widths over a thin background."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, 3, (groups, 2))[rng.integers(0, groups, n)]
    wide = rng.choice([1e-4, 1e-2, 0.3], n)[:, None]
    ra, dec = (at + wide * rng.normal(size=(n, 2))).T
    return Catalog(ra=200 + ra, dec=40 + dec, w=rng.uniform(0.2, 2, n))


def plane(seed, n):
    rng = np.random.default_rng(seed)
    return Catalog(x=rng.uniform(-40, 60, n), y=rng.gamma(2, 9, n), xy_unit="arcmin")


def start_of(fit):
    if fit.geometry == "sky":
        return np.stack([fit.ra, fit.dec], axis=1)
    return fit.centers


CASES = [
    (lambda: field(1, 3000, 0.1, 60, 3), 80, {}),
    (lambda: field(2, 2000, width=0.02), 120, {"fuzziness": 1.5, "use_weights": True}),
    (lambda: all_sky(3, 2500), 70, {"fuzziness": 3.0, "use_weights": True}),
    (lambda: all_sky(4, 1500), 40, {"fuzziness": 1.3}),
    (lambda: clumps(5, 3000), 90, {"use_weights": True}),
    (lambda: plane(6, 2500), 75, {"fuzziness": 2.5}),
    (lambda: field(7, 1500, width=2), 50, {"metric": "radec"}),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_dense_answer(case):
    """Dense sweeps from its centers stay there, and every membership is that of the formula."""
    make, c, options = CASES[case]
    cat = make()
    settings = {"n_clusters": c, "seed": case, "tol": 1e-8, "max_iter": 5000} | options
    fit = SoftClustering(neighbors=5, **settings).fit(cat)
    assert fit.converged
    assert np.all(np.diff(fit.objective) <= 1e-8 * fit.objective[0])
    again = SoftClustering(neighbors="all", **settings).fit(cat, centers=start_of(fit))
    u = fit.memberships
    assert isinstance(u, NearestMemberships)
    assert u.shape == again.memberships.shape
    np.testing.assert_allclose(u.toarray(), again.memberships, atol=1e-6)
    np.testing.assert_allclose(fit.objective[-1], again.objective[-1], rtol=1e-9)
    kept = np.sort(again.memberships, axis=1)[:, :-6:-1]
    np.testing.assert_allclose(u.values, kept, atol=1e-6)
    np.testing.assert_allclose(u.rest, 1 - kept.sum(axis=1), atol=1e-5)


@pytest.mark.parametrize("m", [2.0, 1.6])
@pytest.mark.filterwarnings("ignore:fuzzy c-means")
def test_a_thousand_clusters_descend(m):
    """More centers take the quasi-Newton way: it ends where the plain one stays."""
    cat = clumps(8, 4000, 400)
    fit = SoftClustering(n_clusters=600, fuzziness=m, neighbors=3, seed=1, max_iter=3000).fit(cat)
    assert fit.converged
    again = SoftClustering(n_clusters=600, fuzziness=m, neighbors="all", tol=1e-7).fit(
        cat, centers=start_of(fit)
    )
    np.testing.assert_allclose(fit.memberships.toarray(), again.memberships, atol=1e-6)
    plain = SoftClustering(
        n_clusters=600, fuzziness=m, neighbors=3, seed=1, max_iter=30, accelerate=False
    ).fit(cat)
    assert fit.objective[-1] < plain.objective[-1]


def test_objects_on_centers():
    """An object on one center or more belongs to these alone, and pulls no other."""
    cat = field(9, 400)
    rows = np.r_[np.arange(0, 300, 10), 0]
    start = np.stack([cat.ra[rows], cat.dec[rows]], axis=1)
    fits = []
    for neighbors in (4, "all"):
        with pytest.warns(UserWarning, match="sweeps were not enough"):
            fits.append(
                SoftClustering(n_clusters=31, max_iter=1, neighbors=neighbors).fit(
                    cat, centers=start
                )
            )
    np.testing.assert_allclose(fits[0].centers, fits[1].centers, atol=1e-9)


def test_more_clusters_than_places():
    ra = np.repeat([10.0, 11, 12], [50, 30, 20])
    fit = SoftClustering(n_clusters=6, seed=1, neighbors=3).fit(Catalog(ra=ra, dec=0 * ra))
    assert np.isfinite(fit.memberships.values).all()
    np.testing.assert_allclose(fit.memberships.values.sum(axis=1), 1)


def test_what_is_asked_of_it():
    cat = field(10, 900)
    fit = SoftClustering(n_clusters=40, seed=1, neighbors=6).fit(cat)
    u = fit.memberships
    dense = fit.predict(cat)
    np.testing.assert_array_equal(u[3], dense[3])
    np.testing.assert_array_equal(u[[5, 7]], dense[[5, 7]])
    np.testing.assert_array_equal(u[cat.ra > np.median(cat.ra)], dense[cat.ra > np.median(cat.ra)])
    np.testing.assert_array_equal(u.indices[:, 0], dense.argmax(axis=1))
    np.testing.assert_allclose(fit.max_membership, dense.max(axis=1), atol=1e-9)
    np.testing.assert_allclose(fit.entropy, -np.sum(dense * np.log(dense), axis=1), rtol=1e-10)
    np.testing.assert_allclose(fit.sizes, dense.sum(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(fit.assign(), dense.argmax(axis=1))
    np.testing.assert_array_equal(fit.assign("soft"), dense)
    like = SoftClustering(n_clusters=40, neighbors="all").fit(cat, centers=start_of(fit))
    for kind in ("sampled", "gumbel"):
        ours, theirs = fit.assign(kind, seed=4), like.assign(kind, seed=4)
        assert np.mean(np.isclose(ours, theirs, atol=1e-3)) > 0.999
    drawn = fit.assign("sampled", n=400, seed=2)
    share = np.stack([(drawn == k).mean(axis=0) for k in range(40)], axis=1)
    # 5 sigma of 400 draws, 36,000 of them at once
    assert np.all(np.abs(share - dense) < 5.5 * np.sqrt(dense * (1 - dense) / 400) + 0.02)
    with pytest.raises(IndexError, match="only rows can be taken"):
        u[:, 3]
    assert repr(u) == "<NearestMemberships: 900 objects in 40 clusters, 6 kept each>"


@pytest.mark.filterwarnings("ignore:fuzzy c-means")
@pytest.mark.parametrize(
    ("m", "k", "least", "most"), [(1.2, 12, 0, 0.02), (1.5, 12, 0, 0.6), (2.0, 5, 0.5, 1)]
)
def test_draws_of_the_kept_are_those_of_all(monkeypatch, m, k, least, most):
    """The same numbers draw the same clusters; few objects ask all centers where m is small."""
    cat = plane(11, 4000)
    fit = SoftClustering(
        n_clusters=90, fuzziness=m, neighbors=k, tol=1e-3, max_iter=40, seed=2
    ).fit(cat)
    u = fit.memberships
    uniform = np.random.default_rng(3).random((7, 4000))
    # Numbers where a kept membership begins or ends, and the ends of the line.
    edge = np.cumsum(np.sort(u.values[0])[::-1])
    uniform[:5, 0], uniform[5:, 0] = [0, edge[0], np.nextafter(edge[0], 0), edge[1], 1], [0.5, 0]
    asked = []
    whole = type(u)._drawn_of_all
    monkeypatch.setattr(
        type(u), "_drawn_of_all", lambda s, p, v: (asked.append(len(p)), whole(s, p, v))[1]
    )
    found = u.sampled(uniform)
    running = np.cumsum(u.toarray(), axis=1)
    running /= running[:, -1:]
    wanted = np.minimum((uniform[:, :, None] >= running).sum(axis=2), 89)
    np.testing.assert_array_equal(found[:, 1:], wanted[:, 1:])
    np.testing.assert_array_equal(found[:, 0], whole(u, u.places[:1], uniform[:, :1])[:, 0])
    assert least <= sum(asked) / 4000 <= most


def test_the_correlation_function_takes_it():
    from pysoftcorr import xi_pm

    rng = np.random.default_rng(3)
    cat = field(11, 600, width=2)
    cat = Catalog(ra=cat.ra, dec=cat.dec, g1=rng.normal(0, 0.1, 600), g2=rng.normal(0, 0.1, 600))
    fit = SoftClustering(n_clusters=50, seed=1, neighbors=8).fit(cat)
    dense = SoftClustering(n_clusters=50, neighbors="all").fit(cat, centers=start_of(fit))
    options = {"assignments": 20, "seed": 2}
    for assignment in ("greedy", "soft"):
        a, b = (
            xi_pm(cat, "log:5:60:4", clusters=f, assignment=assignment, **options)
            for f in (fit, dense)
        )
        np.testing.assert_allclose(a.xip.value, b.xip.value, rtol=1e-5, atol=1e-9)


def test_seeds_by_tiles(monkeypatch):
    """The start of many clusters is that of few: the same objects are drawn."""
    cat = field(12, 30_000, width=3)
    fits = []
    for c in (330, 340):  # 1e7 objects times centers lie between them
        with pytest.warns(UserWarning, match="sweeps were not enough"):
            fits.append(SoftClustering(n_clusters=c, seed=1, max_iter=1, neighbors=4).fit(cat))
    # one plain step from starts that share their first 330 draws
    moved = np.linalg.norm(fits[0].centers - fits[1].centers[:330], axis=1)
    assert np.median(moved) < 1e-4


@pytest.mark.parametrize("neighbors", [0, -3, True, "most", 2.5, None])
def test_bad_neighbors(neighbors):
    with pytest.raises((ValueError, TypeError), match="neighbors"):
        SoftClustering(n_clusters=5, neighbors=neighbors)


def test_sharp_memberships_are_dense():
    with pytest.raises(ValueError, match=r"neighbors = 4: must be 'all' for a fuzziness below 1.1"):
        SoftClustering(n_clusters=5, neighbors=4, fuzziness=1.05)
    assert SoftClustering(n_clusters=5, neighbors="4").neighbors == 4
    assert SoftClustering(n_clusters=10_000).kept(1_000_000) == clustering._KEPT
    assert SoftClustering(n_clusters=10_000, fuzziness=1.05).kept(1_000_000) is None
    assert SoftClustering(n_clusters=100).kept(10_000) is None
    assert SoftClustering(n_clusters=5, neighbors=8).kept(10_000) is None


def test_beyond_memory_is_said(monkeypatch):
    from pysoftcorr.core import memory

    monkeypatch.setattr(memory, "available_memory", lambda: 1e6)
    monkeypatch.setattr(memory, "_SMALL", 0)
    cat = field(13, 2000)
    with pytest.raises(ValueError, match=r"neighbors = 'all': 2000 x 100 memberships: must fit"):
        SoftClustering(n_clusters=100, neighbors="all").fit(cat)
    fit = SoftClustering(n_clusters=100, neighbors=4, seed=1).fit(cat)
    for ask in (fit.memberships.toarray, lambda: fit.assign("soft"), lambda: fit.predict(cat)):
        with pytest.raises(ValueError, match=r"2000 objects in 100 clusters.*must fit into mem"):
            ask()
    assert len(fit.assign("sampled", seed=1)) == 2000


@pytest.mark.slow
def test_same_bits_for_any_number_of_threads():
    code = """
import hashlib, numpy as np
from pysoftcorr import Catalog, SoftClustering
rng = np.random.default_rng(1)
cat = Catalog(ra=rng.uniform(10, 13, 5000), dec=rng.uniform(0, 3, 5000))
fit = SoftClustering(n_clusters=600, neighbors=4, seed=1, max_iter=60).fit(cat)
back = fit.vjp(cat, np.ones((600, 2)))
parts = (fit.centers, fit.memberships.values, fit.objective, fit.entropy, back["ra"])
print(hashlib.sha256(b"".join(a.tobytes() for a in parts)).hexdigest())
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    found = {
        subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYSOFTCORR_THREADS": str(threads)},
        ).stdout
        for threads in (1, 3)
    }
    assert len(found) == 1


# ---- the gradient --------------------------------------------------------------------------------

GRADIENTS = [
    (lambda: field(20, 500, 5, 50, 4), 30, {"use_weights": True}, 8),
    (lambda: all_sky(21, 400), 14, {"fuzziness": 1.6}, "all"),
    (lambda: plane(22, 400), 25, {"fuzziness": 2.5}, 6),
    (lambda: field(23, 400, width=2), 20, {"metric": "radec"}, 5),
]


@pytest.mark.parametrize("case", range(len(GRADIENTS)))
def test_gradient_against_finite_differences(case):
    make, c, options, neighbors = GRADIENTS[case]
    cat = make()
    cat = Catalog(w=np.random.default_rng(case).uniform(0.5, 2, len(cat)), **_places(cat))
    settings = {"n_clusters": c, "seed": 1, "tol": 1e-12, "max_iter": 20_000} | options
    fit = SoftClustering(neighbors=neighbors, **settings).fit(cat)
    start = start_of(fit)
    cotangent = np.random.default_rng(5).normal(size=(c, 2))
    back = fit.vjp(cat, cotangent)

    def value(changed):
        again = SoftClustering(neighbors="all", **settings).fit(changed, centers=start)
        return np.sum(cotangent * start_of(again))

    scale = np.abs(back[next(iter(back))]).max()
    for name in back:
        if name == "w" and not options.get("use_weights"):
            assert not back["w"].any()
            continue
        for i in (0, len(cat) // 2):
            h = 1e-4
            ends = []
            for sign in (1, -1):
                column = getattr(cat, name).copy()
                column[i] += sign * h
                ends.append(value(Catalog(**{**_places(cat), "w": cat.w, name: column})))
            slope = (ends[0] - ends[1]) / (2 * h)
            np.testing.assert_allclose(back[name][i], slope, rtol=1e-4, atol=1e-5 * scale)


def _places(cat):
    if cat.geometry == "flat":
        return {"x": cat.x, "y": cat.y, "xy_unit": cat.xy_unit}
    return {"ra": cat.ra, "dec": cat.dec}


def test_a_shift_of_all_moves_every_center():
    """The plane's shifts are shifts of the centers, its turns are turns of them."""
    cat = plane(24, 600)
    fit = SoftClustering(n_clusters=40, seed=1, neighbors=5, tol=1e-10).fit(cat)
    cotangent = np.random.default_rng(1).normal(size=(40, 2))
    back = fit.vjp(cat, cotangent)
    np.testing.assert_allclose(back["x"].sum(), cotangent[:, 0].sum(), atol=1e-5)
    np.testing.assert_allclose(back["y"].sum(), cotangent[:, 1].sum(), atol=1e-5)
    turned = np.sum(cotangent[:, 1] * fit.x - cotangent[:, 0] * fit.y)
    np.testing.assert_allclose(
        np.sum(back["y"] * cat.x - back["x"] * cat.y), turned, atol=1e-5 * np.abs(cotangent).sum()
    )


@pytest.mark.filterwarnings("ignore:the centers are at no minimum")
def test_bad_cotangents():
    cat = field(25, 200)
    fit = SoftClustering(n_clusters=10, seed=1).fit(cat)
    with pytest.raises(ValueError, match=r"cotangent has shape \(3, 2\): must be \(10, 2\)"):
        fit.vjp(cat, np.ones((3, 2)))
    with pytest.raises(ValueError, match="must be the 200 objects that were clustered"):
        fit.vjp(field(25, 30), np.ones((10, 2)))
    with pytest.warns(UserWarning, match="sweeps were not enough"):
        loose = SoftClustering(n_clusters=10, seed=1, max_iter=2).fit(cat)
    with pytest.warns(UserWarning, match="have not converged"):
        loose.vjp(cat, np.ones((10, 2)))
