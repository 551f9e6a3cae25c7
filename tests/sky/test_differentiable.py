"""SoftCorrelation: values and derivatives against a torch twin and finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.correlation import xi_pm
from pysoftcorr.sky.differentiable import SoftCorrelation
from pysoftcorr.sky.gravity import GravitySimulation
from pysoftcorr.sky.soft_kernels import gumbel_numbers

torch = pytest.importorskip("torch", reason="the twin is written in torch")
from helpers import soft_twin  # noqa: E402

BINS = "linear:0:60:3"
FIELDS = ("ra", "dec", "g1", "g2", "w")


def catalog_of(values) -> Catalog:
    return Catalog(**dict(zip(FIELDS, np.asarray(values), strict=True)))


def objects(n=45, seed=4, ra=359.6, dec=58.0, width=1.2):
    """Fields (5, N) of a patch across RA 0, where the turn of the shears matters."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            ra + width / np.cos(np.radians(dec)) * rng.random(n),
            dec + width * rng.random(n),
            rng.normal(0, 0.2, n),
            rng.normal(0, 0.2, n),
            rng.uniform(0.5, 1.5, n),
        ]
    )


def estimator(**options) -> SoftCorrelation:
    settings = {"clusters": 6, "seed": 2, "temperature": 0.4, "sharpness": [0.6, 0.5, 0.4]}
    if options.get("weighting") == "gaussian":
        settings["sharpness"] = [0.01, 0.008, 0.006]
    return SoftCorrelation(BINS, **{**settings, **options})


def twin(sc: SoftCorrelation, y, **options):
    """Value (nbins,) and Jacobian (nbins, 5, N) of the torch twin."""
    fields = torch.tensor(y, requires_grad=True)
    solution = sc._solve(catalog_of(y))
    n = y.shape[1]
    settings = {
        "approach": sc.approach, "m": sc.clustering.fuzziness, "tau": sc.temperature,
        "straight": sc.straight_through, "use_weights": sc.clustering.use_weights,
        "weighting": sc.weighting, "statistic": sc.statistic,
    }  # fmt: skip
    if sc.approach != "naive":
        settings["start"] = torch.tensor(solution.start.T.copy())
        settings["noise"] = torch.tensor(gumbel_numbers(2, n, sc.clustering.n_clusters))
    bins = [torch.tensor(row) for row in sc._bins]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thousands of small operations
    xi = soft_twin.estimate(fields, bins, **{**settings, **options})
    rows = [torch.autograd.grad(x, fields, retain_graph=True)[0].numpy() for x in xi]
    torch.set_num_threads(threads)
    return xi.detach().numpy(), np.stack(rows)


def stacked(rows) -> np.ndarray:
    return np.stack([rows[field] for field in FIELDS], axis=1)


def close(ours, theirs, rtol):
    """Equal to `rtol` of the largest entry of each bin and field."""
    scale = np.abs(theirs).max(axis=-1, keepdims=True)
    assert np.all(np.abs(ours - theirs) <= rtol * scale), np.max(np.abs(ours - theirs) / scale)


CASES = [
    {"approach": "naive"},
    {"approach": "naive", "statistic": "xim", "weighting": "gaussian"},
    {"approach": "soft"},
    {"approach": "soft", "statistic": "xim", "fuzziness": 1.6, "use_weights": True},
    {"approach": "soft", "weighting": "gaussian", "fuzziness": 2.7},
    {"approach": "hard"},
    {"approach": "hard", "statistic": "xim", "weighting": "gaussian"},
    {"approach": "gumbel"},
    {"approach": "gumbel", "statistic": "xim", "use_weights": True, "fuzziness": 1.7},
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c.values())))
def test_value_and_gradient_agree_with_the_twin(case):
    y = objects()
    sc = estimator(**case)
    value, rows = sc.value_and_jacobian(catalog_of(y))
    xi, gradient = twin(sc, y, fixed=600, sweeps=250)
    np.testing.assert_allclose(value, xi, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(value, sc.value(catalog_of(y)))
    close(stacked(rows), gradient, 1e-7)


def richardson(f, h):
    coarse, middle = (f(h) - f(-h)) / (2 * h), (f(h / 2) - f(-h / 2)) / h
    return (4 * middle - coarse) / 3


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c.values())))
def test_gradient_agrees_with_finite_differences(case):
    """Differences of the re-converged estimator: one object at a time, and all at once."""
    y = objects(n=70, seed=8)
    sc = estimator(**case).pin(catalog_of(y))
    rows = stacked(sc.jacobian(catalog_of(y)))
    rng = np.random.default_rng(1)
    for k in range(5):
        i = int(np.argmax(np.abs(rows[1, k])))
        for direction in (np.eye(70)[i], rng.normal(size=70)):
            move = np.zeros_like(y)
            move[k] = direction

            def moved(h, move=move):
                return sc.value(catalog_of(y + h * move))

            expected = rows[:, k] @ direction
            found = richardson(moved, 4e-5 if k < 2 else 1e-3)
            scale = np.abs(rows[:, k]).max(axis=1) + 1e-3 * np.abs(rows[:, k]).max()
            assert np.all(np.abs(found - expected) < 1e-6 * scale), (k, found, expected)


@pytest.mark.parametrize("approach", ["soft", "gumbel"])
@pytest.mark.parametrize("fuzziness", [1.5, 2.0])
def test_implicit_is_unrolled(approach, fuzziness):
    stars = catalog_of(objects(n=80, seed=5))
    both = [
        estimator(approach=approach, fuzziness=fuzziness, through=through)
        for through in ("implicit", "unrolled")
    ]
    values, rows = zip(*(sc.value_and_jacobian(stars) for sc in both), strict=True)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)
    close(stacked(rows[0]), stacked(rows[1]), 1e-8)


@pytest.mark.parametrize("approach", ["soft", "gumbel"])
@pytest.mark.parametrize(("through", "sweeps"), [("one-step", 1), ("frozen", 0)])
def test_approximate_gradients_are_what_they_say(approach, through, sweeps):
    y = objects()
    sc = estimator(approach=approach, through=through)
    value, rows = sc.value_and_jacobian(catalog_of(y))
    close(stacked(rows), twin(sc, y, fixed=800, sweeps=sweeps)[1], 1e-7)
    exact = estimator(approach=approach)
    np.testing.assert_array_equal(value, exact.value(catalog_of(y)))
    assert np.max(np.abs(rows["ra"] - exact.jacobian(catalog_of(y))["ra"])) > 1e-6


@pytest.mark.parametrize("through", ["implicit", "unrolled", "one-step", "frozen"])
@pytest.mark.parametrize("approach", ["soft", "gumbel", "hard", "naive"])
def test_vjp_jvp_and_jacobian_are_one(approach, through):
    stars = catalog_of(objects(n=50, seed=6))
    sc = estimator(approach=approach, through=through, use_weights=True)
    rows = stacked(sc.jacobian(stars))
    rng = np.random.default_rng(3)
    cotangent, tangent = rng.normal(size=3), rng.normal(size=(5, 50))
    one = np.stack([sc.vjp(stars, cotangent)[f] for f in FIELDS])
    close(one, np.einsum("b,bfn->fn", cotangent, rows), 1e-12)
    along = sc.jvp(stars, dict(zip(FIELDS, tangent, strict=True)))
    np.testing.assert_allclose(along, np.einsum("bfn,fn->b", rows, tangent), rtol=1e-9)
    only = sc.jvp(stars, {"g2": tangent[3]})
    np.testing.assert_allclose(only, rows[:, 3] @ tangent[3], rtol=1e-9, atol=1e-14)


def test_straight_through_has_the_value_of_one_draw():
    y = objects()
    sc = estimator(approach="gumbel", straight_through=True)
    value, rows = sc.value_and_jacobian(catalog_of(y))
    xi, gradient = twin(sc, y, fixed=600, sweeps=250)
    np.testing.assert_allclose(value, xi, rtol=1e-9, atol=1e-12)
    close(stacked(rows), gradient, 1e-7)
    tangent = np.random.default_rng(0).normal(size=45)
    along = sc.jvp(catalog_of(y), {"ra": tangent})
    np.testing.assert_allclose(along, rows["ra"] @ tangent, rtol=1e-9)
    cold = estimator(approach="gumbel", temperature=1e-6)
    np.testing.assert_allclose(value, cold.value(catalog_of(y)), rtol=1e-9)


def test_literal_rule_hands_each_object_the_gradient_of_its_cluster():
    y = objects()
    stars = catalog_of(y)
    sc = estimator(approach="hard", rule="literal")
    labels = SoftClustering(n_clusters=6, seed=2, tol=1e-12).fit(stars).assign("greedy")
    rows = sc.jacobian(stars)
    part = np.eye(6)[labels] * y[4][:, None]
    mean = part.T @ stars.xyz
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    clusters = Catalog(
        ra=np.degrees(np.arctan2(mean[:, 1], mean[:, 0])),
        dec=np.degrees(np.arcsin(mean[:, 2])),
        g1=part.T @ y[2] / part.sum(0), g2=part.T @ y[3] / part.sum(0), w=part.sum(0),
    )  # fmt: skip
    by_cluster = estimator(approach="naive").jacobian(clusters)
    for field in FIELDS:
        np.testing.assert_allclose(rows[field], by_cluster[field][:, labels], rtol=1e-8, atol=1e-12)
    tangent = np.arange(45.0)
    np.testing.assert_allclose(sc.jvp(stars, {"dec": tangent}), rows["dec"] @ tangent, rtol=1e-9)


def test_sharp_bins_are_hard_bins():
    stars = catalog_of(objects(n=150, seed=9, width=1.0))
    hard = xi_pm(stars, BINS)
    for name in ("xip", "xim"):
        soft = estimator(approach="naive", statistic=name, sharpness=1e8).value(stars)
        np.testing.assert_allclose(soft, hard[name].value, rtol=1e-10)


def test_as_many_clusters_as_objects_is_naive():
    stars = catalog_of(objects(n=20))
    for approach in ("soft", "hard"):
        sc = estimator(approach=approach, clusters=20)
        np.testing.assert_allclose(
            sc.value(stars), estimator(approach="naive").value(stars), rtol=1e-8
        )


@pytest.mark.parametrize("approach", ["soft", "hard", "gumbel", "naive"])
def test_gradients_know_the_symmetries(approach):
    stars = catalog_of(objects(n=60, seed=3))
    value, rows = estimator(approach=approach, use_weights=True).value_and_jacobian(stars)
    largest = np.abs(rows["ra"]).max()
    # a turn about the axis of the sphere; a common factor of weights, and of shears
    np.testing.assert_allclose(rows["ra"].sum(1), 0, atol=1e-11 * largest)
    np.testing.assert_allclose(rows["w"] @ stars.w, 0, atol=1e-12 * np.abs(rows["w"]).max())
    twice = rows["g1"] @ stars.g1 + rows["g2"] @ stars.g2
    np.testing.assert_allclose(twice, 2 * value, rtol=1e-10)
    heavy = Catalog(ra=stars.ra, dec=stars.dec, g1=stars.g1, g2=stars.g2, w=1e200 * stars.w)
    same, scaled = estimator(approach=approach, use_weights=True).value_and_jacobian(heavy)
    np.testing.assert_allclose(same, value, rtol=1e-12)
    np.testing.assert_allclose(1e200 * scaled["w"], rows["w"], rtol=1e-8, atol=1e-12 * largest)


@pytest.mark.slow
@pytest.mark.parametrize("approach", ["soft", "hard", "gumbel", "naive"])
def test_derivative_through_the_simulation(approach):
    simulation = GravitySimulation(120, seed=3, eccentricity=0.2, field_width=3.0)
    result = simulation.run()
    # "hard" with clusters far apart, so that no object changes its cluster
    sc = SoftCorrelation(
        "linear:0:160:3", approach=approach, clusters=8, seed=1, temperature=0.5
    ).pin(result.catalog)
    found = sc.gradient_G(result)
    expected = richardson(
        lambda h: sc.value(simulation.run(1.0 + h, derivative=False).catalog), 2e-5
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(found).max())
    rows = sc.jacobian(result.catalog)
    np.testing.assert_allclose(
        rows["ra"] @ result.dra_dG + rows["dec"] @ result.ddec_dG, found, rtol=1e-9
    )


def test_start_seed_and_pin():
    stars = catalog_of(objects(n=60))
    first, again = (estimator().value(stars) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    fit = SoftClustering(n_clusters=6, seed=2).fit(stars)
    for start in (fit, np.column_stack([fit.ra, fit.dec]), fit.xyz):
        sc = SoftCorrelation(BINS, start=start, sharpness=[0.6, 0.5, 0.4])
        np.testing.assert_allclose(sc.value(stars), first, rtol=1e-9)
    given = SoftCorrelation(BINS, clusters=fit, sharpness=[0.6, 0.5, 0.4])
    np.testing.assert_allclose(given.value(stars), first, rtol=1e-9)
    np.testing.assert_allclose(estimator().pin(stars).value(stars), first, rtol=1e-10)


def test_bin_weights():
    theta = np.array([[0.0, 10.0], [20.0, 1e4]])
    soft = SoftCorrelation(BINS).bin_weights(theta)
    assert soft.shape == (3, 2, 2)
    np.testing.assert_allclose(soft[0, :, 0], 0.5, rtol=1e-8)
    np.testing.assert_allclose(soft[0, 0, 1], 1 / (1 + np.exp(-10.0)) ** 2, rtol=1e-12)
    np.testing.assert_array_equal(soft[:, 1, 1], 0.0)
    bell = SoftCorrelation(BINS, weighting="gaussian").bin_weights(theta)
    np.testing.assert_allclose(bell[0], [[0.5, 1.0], [0.5, 0.0]], rtol=1e-12)
    one = SoftCorrelation("edges:0,1200", sharpness=0.1).bin_weights([300.0])
    degrees = SoftCorrelation(
        Binning.explicit([0, 20], unit="deg"),
        sharpness=0.1,
    )
    np.testing.assert_allclose(degrees.bin_weights([300.0]), one, rtol=1e-12)
    np.testing.assert_allclose(SoftCorrelation(BINS).sharpness, 1.0)


def test_timings_are_kept():
    sc = estimator()
    sc.jacobian(catalog_of(objects()))
    assert set(sc.timings) == {"clustering", "solve", "pairs", "clusters", "total"}
    parts = sum(seconds for name, seconds in sc.timings.items() if name != "total")
    assert 0 < parts <= sc.timings["total"]
    assert "6 clusters, implicit" in repr(sc)
