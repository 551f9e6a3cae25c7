"""SoftCorrelation where formulas meet their limits, and what it refuses."""

from __future__ import annotations

import hashlib
import warnings

import numpy as np
import pytest

from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.differentiable import SoftCorrelation
from pysoftcorr.sky.gravity import GravitySimulation

APPROACHES = ("naive", "soft", "hard", "gumbel")
BINS = "linear:0:90:3"


def stars(n=60, seed=1, **columns) -> Catalog:
    rng = np.random.default_rng(seed)
    given = {
        "ra": 150 + 1.5 * rng.random(n), "dec": 2 + 1.5 * rng.random(n),
        "g1": rng.normal(0, 0.2, n), "g2": rng.normal(0, 0.2, n), "w": rng.uniform(0.5, 1.5, n),
    }  # fmt: skip
    return Catalog(**{**given, **columns})


def assert_finite(sc, catalog, *, allow=()):
    """Value (but for the bins `allow`) and gradient are finite; the gradient is returned."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        value, rows = sc.value_and_jacobian(catalog)
        along = sc.jvp(catalog, {"ra": np.ones(len(catalog)), "w": np.ones(len(catalog))})
    expected = np.ones(sc.nbins, dtype=bool)
    expected[list(allow)] = False
    np.testing.assert_array_equal(np.isfinite(value), expected)
    for field, gradient in rows.items():
        assert np.isfinite(gradient).all(), field
    assert np.isfinite(along).all()
    return value, rows


@pytest.mark.parametrize("statistic", ["xip", "xim"])
@pytest.mark.parametrize("through", ["implicit", "unrolled", "one-step", "frozen"])
@pytest.mark.parametrize("approach", APPROACHES)
def test_coincident_objects(approach, through, statistic):
    catalog = stars()
    ra, dec = catalog.ra.copy(), catalog.dec.copy()
    ra[10:20], dec[10:20] = ra[0], dec[0]
    sc = SoftCorrelation(
        BINS, approach=approach, through=through, statistic=statistic, clusters=12, seed=1,
        max_iter=300,
    )  # fmt: skip
    assert_finite(sc, stars(ra=ra, dec=dec))


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize("through", ["implicit", "one-step", "frozen"])
def test_all_objects_in_one_place(approach, through):
    one = stars(n=20, ra=np.full(20, 10.0), dec=np.full(20, -3.0))
    sc = SoftCorrelation(BINS, approach=approach, through=through, clusters=3, seed=1)
    # The nearest of coincident centers is the first: the others are empty.
    _, rows = assert_finite(sc, one, allow=(0, 1, 2) if approach == "hard" else ())
    if approach != "gumbel":  # where shares differ, and with them what a displaced object carries
        np.testing.assert_allclose(rows["ra"], 0, atol=1e-12)


def test_an_object_on_a_center():
    # Symmetric about the origin, where an object and a center stay.
    ra = np.r_[0.0, np.tile([1.0, -1.0], 4), 30.0, 30.3, 29.6]
    dec = np.r_[0.0, 0.3, -0.3, 0.5, -0.5, -0.3, 0.3, -0.7, 0.7, 0.0, 0.2, 0.1]
    rng = np.random.default_rng(0)
    catalog = Catalog(ra=ra, dec=dec, g1=rng.normal(0, 0.1, 12), g2=rng.normal(0, 0.1, 12))
    for approach in ("soft", "gumbel"):
        sc = SoftCorrelation(
            "linear:0:2400:2", approach=approach, start=[[0.0, 0.0], [30.0, 0.1]], seed=1
        )
        assert_finite(sc, catalog)
        # The gradient there is that of its surroundings.
        near = Catalog(ra=ra + 1e-9 * (np.arange(12) == 0), dec=dec, g1=catalog.g1, g2=catalog.g2)
        at, beside = (sc.jacobian(c)["ra"] for c in (catalog, near))
        np.testing.assert_allclose(at, beside, rtol=1e-5, atol=1e-6 * np.abs(at).max())


@pytest.mark.slow
@pytest.mark.parametrize("approach", ["soft", "hard", "gumbel"])
def test_500_objects_in_300_clusters(approach):
    catalog = stars(n=500)
    sc = SoftCorrelation(BINS, approach=approach, clusters=300, seed=3)
    _, rows = assert_finite(sc, catalog)
    assert all(np.abs(gradient).max() > 0 for gradient in rows.values())
    pinned = sc.pin(catalog)
    i = int(np.argmax(np.abs(rows["dec"][1])))

    def moved(h):
        dec = catalog.dec + h * (np.arange(500) == i)
        return pinned.value(stars(n=500, dec=dec))

    if approach == "soft":
        h = 2e-6
        coarse, fine = (moved(h) - moved(-h)) / (2 * h), (moved(h / 2) - moved(-h / 2)) / h
        np.testing.assert_allclose((4 * fine - coarse) / 3, rows["dec"][:, i], rtol=1e-5)


@pytest.mark.parametrize("through", ["implicit", "one-step", "frozen"])
def test_as_many_clusters_as_objects_and_empty_ones(through):
    for approach in ("soft", "hard", "gumbel"):
        settings = {"approach": approach, "through": through, "seed": 2}
        assert_finite(SoftCorrelation(BINS, clusters=25, **settings), stars(n=25))
        # Fewer places than clusters: the rest are empty or coincide.
        twice = stars(n=24, ra=np.repeat(np.linspace(10, 11, 8), 3), dec=np.zeros(24))
        assert_finite(SoftCorrelation(BINS, clusters=12, **settings), twice)
    # A center on the other side of the sky holds nobody greedily.
    centers = [[150.4, 2.5], [151.1, 3.0], [151.0, 2.2], [330.0, -3.0]]
    sc = SoftCorrelation(BINS, approach="hard", start=centers, max_iter=1)
    assert_finite(sc, stars())


def test_coincident_centers_are_told():
    centers = np.array([[150.4, 2.5], [150.4, 2.5], [151.0, 2.2]])
    sc = SoftCorrelation(BINS, start=centers)
    with pytest.warns(UserWarning, match=r"no minimum|ill-conditioned"):
        rows = sc.jacobian(stars())
    assert all(np.isfinite(gradient).all() for gradient in rows.values())


def test_no_convergence_is_told():
    with pytest.warns(UserWarning, match=r"did not converge in \d+ steps.*raise max_iter"):
        SoftCorrelation(BINS, clusters=20, seed=1, max_iter=1, through="unrolled").value(stars())


@pytest.mark.parametrize("statistic", ["xip", "xim"])
def test_antipodal_and_polar_objects(statistic):
    ra = np.array([0.0, 180.0, 30.0, 210.0, 0.0, 10.0, 100.0])
    dec = np.array([0.0, 0.0, 40.0, -40.0, 90.0, -90.0, 89.0])
    rng = np.random.default_rng(2)
    catalog = Catalog(ra=ra, dec=dec, g1=rng.normal(0, 0.1, 7), g2=rng.normal(0, 0.1, 7))
    sc = SoftCorrelation("linear:0:10800:3", approach="naive", statistic=statistic)
    _, rows = assert_finite(sc, catalog)
    opposite = catalog[[0, 1, 2, 3]]
    _, rows = assert_finite(sc, opposite)
    assert all(np.abs(gradient).max() < 10 for gradient in rows.values())


@pytest.mark.parametrize("approach", APPROACHES)
@pytest.mark.parametrize("weighting", ["sigmoid", "gaussian"])
def test_a_bin_without_pairs(approach, weighting):
    bins = Binning.explicit([0.0, 60.0, 6000.0, 6010.0])
    sc = SoftCorrelation(
        bins, approach=approach, weighting=weighting, clusters=10, seed=1,
        sharpness=[1.0, 1.0, 5.0],
    )  # fmt: skip
    allow = (1, 2) if weighting == "gaussian" else (2,)
    _, rows = assert_finite(sc, stars(), allow=allow)
    for gradient in rows.values():
        np.testing.assert_array_equal(gradient[2], 0.0)
        assert np.abs(gradient[0]).max() > 0
    with pytest.warns(UserWarning, match=r"no pairs in bin.*2 of .*value is NaN, the gradient 0"):
        sc.value(stars())
    with pytest.warns(UserWarning, match="no pairs"):
        only = sc.vjp(stars(), [0.0, 0.0, 1.0])
    np.testing.assert_array_equal(only["ra"], 0.0)


def test_zero_weights_have_gradients():
    w = np.ones(60)
    w[:5] = 0.0
    for approach in APPROACHES:
        sc = SoftCorrelation(BINS, approach=approach, clusters=6, seed=1, use_weights=True)
        _, rows = assert_finite(sc, stars(w=w))
        np.testing.assert_array_equal(rows["g1"][:, :5], 0.0)
        assert np.all(np.abs(rows["w"][:, :5]).max(axis=0) > 0)


def test_one_object_and_one_cluster():
    with pytest.warns(UserWarning, match="no pairs in bins 0, 1, 2"):
        assert np.isnan(SoftCorrelation(BINS, approach="naive").value(stars(n=1))).all()
    with pytest.warns(UserWarning, match="no pairs"):
        rows = SoftCorrelation(BINS, clusters=1, seed=1).jacobian(stars())
    np.testing.assert_array_equal(rows["ra"], 0.0)


BITS = """
import hashlib, numpy as np
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.differentiable import SoftCorrelation
rng = np.random.default_rng(1)
n = 1500
cat = Catalog(ra=rng.uniform(0, 2, n), dec=rng.uniform(0, 2, n),
              g1=rng.normal(0, .1, n), g2=rng.normal(0, .1, n))
digest = hashlib.sha256()
for approach in ("naive", "soft", "hard", "gumbel"):
    sc = SoftCorrelation("linear:0:90:4", approach=approach, clusters=40, seed=1)
    value, rows = sc.value_and_jacobian(cat)
    digest.update(value.tobytes())
    for array in rows.values():
        digest.update(array.tobytes())
    if approach != "naive":
        digest.update(sc.jvp(cat, {"ra": np.arange(n) / n}).tobytes())
print(digest.hexdigest())
"""


def test_same_bits_with_one_and_two_threads(fresh):
    one, two = (fresh(BITS, PYSOFTCORR_THREADS=threads).stdout.strip() for threads in "12")
    assert len(one) == 2 * hashlib.sha256().digest_size
    assert one == two


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"approach": "fuzzy"}, "approach = 'fuzzy': must be one of naive, soft, hard, gumbel"),
        ({"through": "magic"}, "through = 'magic': must be one of frozen, one-step, implicit"),
        ({"weighting": "box"}, "weighting = 'box': must be one of sigmoid, gaussian"),
        ({"statistic": "rho1"}, "statistic = 'rho1': must be one of xip, xim"),
        ({"rule": "paper"}, "rule = 'paper': must be one of exact, literal"),
        ({"sharpness": 0.0}, "sharpness = 0 of bin 0: must be finite and above 0"),
        ({"sharpness": [1.0, -2.0, 1.0]}, "sharpness = -2 of bin 1"),
        ({"sharpness": [1.0, 1.0, np.nan]}, "sharpness = nan of bin 2"),
        ({"sharpness": [1.0, 1.0]}, r"sharpness has shape \(2,\): must be one number or one a bin"),
        ({"temperature": 0.0}, "temperature = 0.0: must be finite and above 0"),
        ({"fuzziness": 1.0}, "fuzziness = 1.0: must be finite and above 1"),
        ({"straight_through": True}, "straight_through is of approach='gumbel', not of 'soft'"),
        ({"rule": "literal"}, "rule='literal' is of approach='hard', not of 'soft'"),
        ({"clusters": 0}, "clusters = 0: must be at least 1"),
        ({"max_iter": 0}, "max_iter = 0: must be at least 1"),
        ({"seed": -1}, "seed = -1: must not be negative"),
        ({"start": [[1.0, 2.0]], "clusters": 3}, "start has 1 centers but clusters = 3"),
        ({"start": [1.0, 2.0]}, r"start has shape \(2,\)"),
        ({"start": [[0.0, 0.0, 0.0]]}, "start: the vector of row 0 has no direction"),
        ({"clusters": SoftClustering(n_clusters=3, metric="radec")}, "metric='radec'"),
        ({"clusters": SoftClustering(n_clusters=3), "fuzziness": 3.0}, "give it once"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        SoftCorrelation(BINS, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"approach": 1}, "approach = 1: must be text"),
        ({"sharpness": "steep"}, "sharpness must hold real numbers"),
        ({"clusters": 2.5}, "clusters = 2.5: must be an integer"),
        ({"clusters": True}, "clusters = True: must be an integer"),
        ({"temperature": "hot"}, "temperature = 'hot': must be a number"),
        ({"straight_through": 1}, "straight_through = 1: must be True or False"),
        ({"max_iter": 1.5}, "max_iter = 1.5: must be a whole number"),
        ({"start": [["a", "b"]]}, "start must hold real numbers"),
    ],
)
def test_wrong_kinds(options, message):
    with pytest.raises(TypeError, match=message):
        SoftCorrelation(BINS, **options)
    with pytest.raises(TypeError, match="bins must be a Binning, text"):
        SoftCorrelation(3.0)


def test_bad_catalogs_and_arguments():
    sc = SoftCorrelation(BINS, clusters=10, seed=1)
    with pytest.raises(ValueError, match="has no ellipticities; give g1 and g2"):
        sc.value(Catalog(ra=np.arange(20.0), dec=np.zeros(20)))
    with pytest.raises(ValueError, match="clusters = 10: more than the 9 objects"):
        sc.value(stars(n=9))
    with pytest.raises(TypeError, match="catalog must be a Catalog, not ndarray"):
        sc.value(np.zeros((5, 9)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"cotangent has shape \(2,\): must be \(3,\)"):
        sc.vjp(stars(), [1.0, 2.0])
    with pytest.raises(ValueError, match="tangents has 'e1': must be among ra, dec, g1, g2, w"):
        sc.jvp(stars(), {"e1": np.zeros(60)})
    with pytest.raises(ValueError, match=r"tangents\['ra'\] must be 60 finite numbers"):
        sc.jvp(stars(), {"ra": np.zeros(3)})
    with pytest.raises(TypeError, match="result must be a SimulationResult"):
        sc.gradient_G(stars())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="run the simulation with derivative=True"):
        sc.gradient_G(GravitySimulation(20, seed=1).run(derivative=False))
