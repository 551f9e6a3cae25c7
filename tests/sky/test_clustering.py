"""Fuzzy c-means: a plain NumPy twin, scikit-fuzzy, the sphere's awkward places, bad input."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.sky_twins import all_sky, field, random_rotation, replaced, rotated
from pysoftcorr import Catalog
from pysoftcorr.sky.clustering import Clustering, SoftClustering


def memberships_twin(x, v, m):
    """U of objects (N, D) in centers (c, D): the formula of Bezdek (1984)."""
    d2 = ((x[:, None] - v[None]) ** 2).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (d2[:, :, None] / d2[:, None, :]) ** (1 / (m - 1))
        u = 1 / ratio.sum(axis=2)
    on = d2 == 0
    hit = on.any(axis=1)
    u[hit] = on[hit] / on[hit].sum(axis=1, keepdims=True)
    return u


def cmeans_twin(x, v, m, sweeps, w=None, sphere=True):
    """Plain sweeps: the centers they end at, the memberships there, and J of every sweep."""
    w = np.ones(len(x)) if w is None else w
    J = []
    for sweep in range(sweeps):
        u = memberships_twin(x, v, m)
        d2 = ((x[:, None] - v[None]) ** 2).sum(axis=2)
        J.append(np.sum(w[:, None] * u**m * d2))
        if sweep < sweeps - 1:
            weight = w[:, None] * u**m
            v = weight.T @ x
            v /= np.linalg.norm(v, axis=1)[:, None] if sphere else weight.sum(axis=0)[:, None]
    return v, u, np.array(J)


def start_of(cat, c, seed=0):
    rows = np.random.default_rng(seed).choice(len(cat), c, replace=False)
    return np.stack([cat.ra[rows], cat.dec[rows]], axis=1)


def unit_vectors(radec):
    return Catalog(ra=radec[:, 0], dec=radec[:, 1]).xyz


def matched(a, b):
    """Rows of b in the order of the nearest rows of a."""
    order = np.argmin(((a[:, None] - b[None]) ** 2).sum(axis=2), axis=1)
    assert len(set(order)) == len(order)
    return order


# ---- against plain twins ------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2.0, 1.5, 3.0, 2.5, 1.05])
@pytest.mark.parametrize("use_weights", [False, True])
@pytest.mark.filterwarnings("ignore:fuzzy c-means")
def test_sweeps_against_numpy(m, use_weights):
    cat = field(1, 200, 0.1, 60, 3)
    start = start_of(cat, 9)  # on objects
    start[8] = start[7]  # and two in one place
    w = cat.w if use_weights else None
    fit = SoftClustering(
        n_clusters=9, fuzziness=m, accelerate=False, max_iter=6, use_weights=use_weights
    ).fit(cat, centers=start)
    v, u, J = cmeans_twin(cat.xyz, unit_vectors(start), m, 6, w)
    np.testing.assert_allclose(fit.objective, J, rtol=1e-12)
    np.testing.assert_allclose(fit.memberships, u, atol=1e-12)
    # after the last sweep the centers move once more
    weight = u**m if w is None else w[:, None] * u**m
    v = weight.T @ cat.xyz
    v /= np.linalg.norm(v, axis=1)[:, None]
    np.testing.assert_allclose(fit.xyz, v, atol=1e-12)


@pytest.mark.filterwarnings("ignore:fuzzy c-means")
def test_first_memberships_on_centers():
    """An object on a center belongs to it alone; on two, to both by half."""
    cat = field(2, 50)
    start = start_of(cat, 5)
    start[4] = start[3]
    fit = SoftClustering(n_clusters=5, max_iter=1).fit(cat, centers=start)
    expected = memberships_twin(cat.xyz, unit_vectors(start), 2)
    np.testing.assert_allclose(fit.memberships, expected, atol=1e-12)
    assert sorted(fit.memberships.max(axis=1))[-3:] == [1.0, 1.0, 1.0]
    assert np.count_nonzero(fit.memberships == 0.5) == 2


def test_flat_against_scikit_fuzzy():
    skfuzzy = pytest.importorskip("skfuzzy")
    cat = field(3, 250)
    for m in (2.0, 1.6):
        start = start_of(cat, 6)
        ours = SoftClustering(
            n_clusters=6, fuzziness=m, metric="radec", tol=1e-11, max_iter=20_000
        ).fit(cat, centers=start)
        plane = np.stack([cat.ra, cat.dec])
        u0 = memberships_twin(plane.T, start, m).T
        theirs = skfuzzy.cmeans(plane, 6, m, 1e-11, 20_000, init=u0)
        order = matched(theirs[0], ours.centers)
        np.testing.assert_allclose(ours.centers[order], theirs[0], atol=1e-7)
        np.testing.assert_allclose(ours.memberships[:, order], theirs[1].T, atol=1e-7)
        np.testing.assert_allclose(ours.objective[-1], theirs[4][-1], rtol=1e-9)


def test_flat_sweeps_against_numpy():
    cat = field(4, 150)
    start = start_of(cat, 5)
    fit = SoftClustering(n_clusters=5, metric="radec", accelerate=False).fit(cat, centers=start)
    plane = np.stack([cat.ra, cat.dec], axis=1)
    v, _, J = cmeans_twin(plane, start, 2, fit.n_iter, sphere=False)
    np.testing.assert_allclose(fit.objective, J, rtol=1e-11)
    np.testing.assert_allclose(fit.centers, v, atol=1e-8)


# ---- convergence --------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2.0, 1.5, 2.5])
@pytest.mark.parametrize("metric", ["chord", "radec"])
def test_objective_never_rises_and_acceleration_changes_nothing(m, metric):
    cat = field(5, 400, width=3)
    start = start_of(cat, 12)
    plain, fast = (
        SoftClustering(
            n_clusters=12, fuzziness=m, metric=metric, tol=1e-10, max_iter=20_000, accelerate=a
        ).fit(cat, centers=start)
        for a in (False, True)
    )
    for fit in (plain, fast):
        assert fit.converged
        assert np.all(np.diff(fit.objective) <= 1e-13 * fit.objective[0])
        assert fit.change[-1] < 1e-10
        assert fit.n_iter == len(fit.objective) == len(fit.change)
        np.testing.assert_allclose(fit.memberships.sum(axis=1), 1, atol=1e-13)
    # plain sweeps stop change/(1 - rho) short of the fixed point; rho reaches .99
    np.testing.assert_allclose(fast.centers, plain.centers, atol=1e-7)
    np.testing.assert_allclose(fast.memberships, plain.memberships, atol=1e-7)
    np.testing.assert_allclose(fast.objective[-1], plain.objective[-1], rtol=1e-12)
    assert fast.n_iter < plain.n_iter


def test_too_few_sweeps_are_told():
    with pytest.warns(UserWarning, match="3 sweeps were not enough.*raise max_iter"):
        fit = SoftClustering(n_clusters=8, max_iter=3, seed=1).fit(field(6, 100))
    assert not fit.converged
    assert fit.n_iter == 3
    assert "not converged in 3 sweeps" in repr(fit)


def test_the_answer_is_a_fixed_point():
    cat = field(7, 300)
    fit = SoftClustering(n_clusters=20, seed=1, tol=1e-11, max_iter=20_000).fit(cat)
    np.testing.assert_allclose(
        memberships_twin(cat.xyz, fit.centers, 2), fit.memberships, atol=1e-8
    )
    v = (fit.memberships**2).T @ cat.xyz
    v /= np.linalg.norm(v, axis=1)[:, None]
    np.testing.assert_allclose(v, fit.centers, atol=1e-9)


# ---- the sphere ---------------------------------------------------------------------------------


def test_across_ra_zero():
    """One sky at RA 0 and at RA 100: centers 100 degrees apart, in RA and nothing else."""
    cat = field(8, 200, 0, 20, 2)
    moved = replaced(cat, ra=(cat.ra + 100) % 360)
    start = start_of(cat, 6)
    a = SoftClustering(n_clusters=6, tol=1e-11).fit(cat, centers=start)
    b = SoftClustering(n_clusters=6, tol=1e-11).fit(moved, centers=start + np.array([[100, 0]]))
    np.testing.assert_allclose((a.ra + 100) % 360, b.ra, atol=1e-8)
    np.testing.assert_allclose(a.dec, b.dec, atol=1e-8)
    assert np.all((a.ra < 2) | (a.ra > 358))
    assert np.all((a.ra >= 0) & (a.ra < 360))


@pytest.mark.parametrize("sign", [1, -1])
def test_around_a_pole(sign):
    """A ring around the pole has its center there, not at Dec 89 and RA 180."""
    ra = np.arange(0, 360, 10.0)
    ring = Catalog(ra=ra, dec=np.full(36, sign * 89.0))
    fit = SoftClustering(n_clusters=1).fit(ring)
    assert abs(fit.dec[0]) > 90 - 1e-6
    assert np.sign(fit.dec[0]) == sign


@pytest.mark.parametrize("seed", [1, 2])
def test_rotation(seed):
    cat, turn = field(9, 150), random_rotation(seed)
    start = start_of(cat, 7)
    a = SoftClustering(n_clusters=7, tol=1e-11).fit(cat, centers=start)
    turned = rotated(cat, turn)
    rows = [np.flatnonzero((cat.ra == r) & (cat.dec == d))[0] for r, d in start]
    new = np.stack([turned.ra[rows], turned.dec[rows]], axis=1)
    b = SoftClustering(n_clusters=7, tol=1e-11).fit(turned, centers=new)
    np.testing.assert_allclose(b.xyz, a.xyz @ turn.T, atol=1e-9)
    np.testing.assert_allclose(b.memberships, a.memberships, atol=1e-8)


def test_order_of_objects():
    cat, mixed = field(10, 200), np.random.default_rng(1).permutation(200)
    start = start_of(cat, 8)
    a, b = (
        SoftClustering(n_clusters=8, tol=1e-11).fit(c, centers=start) for c in (cat, cat[mixed])
    )
    np.testing.assert_allclose(a.memberships[mixed], b.memberships, atol=1e-9)
    np.testing.assert_allclose(a.objective[-1], b.objective[-1], rtol=1e-12)


def test_every_object_twice_with_half_the_weight():
    cat = field(11, 150)
    twice = np.repeat(np.arange(150), 2)
    double = replaced(cat[twice], w=cat.w[twice] / 2)
    start = start_of(cat, 8)
    options = {"n_clusters": 8, "tol": 1e-11, "use_weights": True}
    a, b = (SoftClustering(**options).fit(c, centers=start) for c in (cat, double))
    np.testing.assert_allclose(a.centers, b.centers, atol=1e-10)
    np.testing.assert_allclose(a.memberships[twice], b.memberships, atol=1e-9)
    np.testing.assert_allclose(a.objective[-1], b.objective[-1], rtol=1e-12)


def test_weights_count_only_where_asked_for():
    cat = field(12, 100)
    plain = SoftClustering(n_clusters=5, seed=1).fit(cat)
    assert np.array_equal(
        plain.memberships,
        SoftClustering(n_clusters=5, seed=1).fit(replaced(cat, w=None)).memberships,
    )
    weighted = SoftClustering(n_clusters=5, seed=1, use_weights=True).fit(cat)
    assert not np.allclose(plain.memberships, weighted.memberships)


# ---- small and degenerate -----------------------------------------------------------------------


def test_as_many_clusters_as_objects():
    cat = field(13, 40)
    fit = SoftClustering(n_clusters=40, seed=1).fit(cat)
    assert fit.converged
    assert sorted(fit.assign()) == list(range(40))
    np.testing.assert_allclose(fit.max_membership, 1, atol=1e-9)
    np.testing.assert_allclose(fit.entropy, 0, atol=1e-6)


def test_more_clusters_than_places():
    """Ten objects in three places, six clusters: no NaN, and J = 0."""
    ra = np.repeat([10.0, 11, 12], [5, 3, 2])
    fit = SoftClustering(n_clusters=6, seed=1).fit(Catalog(ra=ra, dec=0 * ra))
    assert np.isfinite(fit.memberships).all()
    np.testing.assert_allclose(fit.memberships.sum(axis=1), 1)
    assert fit.objective[-1] < 1e-25


def test_one_cluster():
    cat = field(14, 60)
    fit = SoftClustering(n_clusters=1).fit(cat)
    np.testing.assert_array_equal(fit.memberships, 1)
    mean = cat.xyz.sum(axis=0)
    np.testing.assert_allclose(fit.xyz[0], mean / np.linalg.norm(mean), atol=1e-15)


@pytest.mark.parametrize("m", [1.0001, 1.01, 50.0, 1e6])
@pytest.mark.filterwarnings("ignore:fuzzy c-means")
def test_extreme_fuzziness(m):
    fit = SoftClustering(n_clusters=10, fuzziness=m, seed=1, max_iter=50).fit(all_sky(15, 200))
    u = fit.memberships
    assert np.isfinite(u).all()
    np.testing.assert_allclose(u.sum(axis=1), 1, atol=1e-12)
    if m < 1.001:
        assert np.mean(fit.max_membership > 1 - 1e-9) > 0.95  # hard but between two centers
    if m > 1e5:
        on_a_center = fit.max_membership == 1
        np.testing.assert_allclose(u[~on_a_center], 0.1, atol=1e-4)


def test_predict():
    cat, other = field(16, 100), field(17, 30)
    for metric in ("chord", "radec"):
        fit = SoftClustering(n_clusters=6, seed=1, metric=metric, fuzziness=1.7).fit(cat)
        x = other.xyz if metric == "chord" else np.stack([other.ra, other.dec], axis=1)
        u = fit.predict(other)
        np.testing.assert_allclose(u, memberships_twin(x, fit.centers, 1.7), atol=1e-12)
        np.testing.assert_allclose(fit.predict(cat), fit.memberships, atol=1e-7)


def test_seed():
    cat = field(18, 200)
    fits = [SoftClustering(n_clusters=15, seed=s).fit(cat) for s in (1, 1, 2)]
    assert np.array_equal(fits[0].memberships, fits[1].memberships)
    assert not np.array_equal(fits[0].memberships, fits[2].memberships)
    rng = SoftClustering(n_clusters=15, seed=np.random.default_rng(5)).fit(cat)
    again = SoftClustering(n_clusters=15, seed=np.random.default_rng(5)).fit(cat)
    assert np.array_equal(rng.memberships, again.memberships)
    # the seed that None came to is on record
    recorded = SoftClustering(n_clusters=15)
    assert np.array_equal(
        recorded.fit(cat).memberships,
        SoftClustering(n_clusters=15, seed=recorded.settings["seed"]).fit(cat).memberships,
    )


def test_kmeans_plus_plus_spreads_the_start():
    """One start in each of ten clumps far apart; a uniform draw would do so in 4e-4 of trials."""
    rng = np.random.default_rng(3)
    ra = np.repeat(np.arange(10) * 20.0, 30) + rng.normal(0, 0.01, 300)
    fit = SoftClustering(n_clusters=10, seed=5).fit(
        Catalog(ra=ra % 360, dec=rng.normal(0, 0.01, 300))
    )
    assert sorted(np.round(fit.ra / 20).astype(int) % 18) == list(range(10))


# ---- bad input ----------------------------------------------------------------------------------

BAD = [
    ({"n_clusters": 0}, ValueError, "n_clusters = 0: must be at least 1"),
    ({"n_clusters": 2.0}, TypeError, "n_clusters = 2.0: must be a whole number"),
    ({"n_clusters": True}, TypeError, "n_clusters = True: must be a whole number"),
    ({"fuzziness": 1.0}, ValueError, "fuzziness = 1.0: must be finite and above 1"),
    ({"fuzziness": 0.5}, ValueError, "fuzziness = 0.5"),
    ({"fuzziness": np.nan}, ValueError, "fuzziness = nan"),
    ({"fuzziness": np.inf}, ValueError, "fuzziness = inf"),
    ({"fuzziness": "2"}, TypeError, "fuzziness = '2': must be a number"),
    ({"metric": "plane"}, ValueError, "metric = 'plane': must be one of"),
    ({"tol": 0}, ValueError, "tol = 0: must be finite and above 0"),
    ({"tol": np.nan}, ValueError, "tol = nan"),
    ({"max_iter": 0}, ValueError, "max_iter = 0"),
    ({"seed": -3}, ValueError, "seed = -3"),
    ({"seed": "x"}, TypeError, "seed = 'x'"),
    ({"clusters": 3}, TypeError, "clusters"),
]


@pytest.mark.parametrize(("options", "kind", "message"), BAD)
def test_bad_settings(options, kind, message):
    with pytest.raises(kind, match=message):
        SoftClustering(**({"n_clusters": 5} | options))


def test_bad_catalogs_and_centers():
    cat = field(19, 20)
    with pytest.raises(ValueError, match="n_clusters = 21: more than the 20 objects of the catal"):
        SoftClustering(n_clusters=21).fit(cat)
    with pytest.raises(TypeError, match="catalog must be a Catalog, not ndarray"):
        SoftClustering(n_clusters=2).fit(cat.xyz)
    settings = SoftClustering(n_clusters=3)
    with pytest.raises(ValueError, match=r"centers has shape \(2, 2\): must be \(3, 2\)"):
        settings.fit(cat, centers=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"centers are not finite in rows \[0, 1, 2\]"):
        settings.fit(cat, centers=np.full((3, 2), np.nan))
    with pytest.raises(TypeError, match="catalog must be a Catalog, not list"):
        settings.fit(cat).predict([1, 2])


def test_repr_and_settings():
    fit = SoftClustering(n_clusters=4, seed=7).fit(field(20, 50))
    assert isinstance(fit, Clustering)
    assert repr(fit).startswith("<Clustering: 50 objects in 4 clusters, converged in ")
    assert fit.settings["seed"] == 7
    assert fit.settings["fuzziness"] == 2.0
