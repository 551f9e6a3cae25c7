"""SoftCorrelation of many objects: pairs through a tree, and where the Jacobian goes."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from pysoftcorr.core import memory
from pysoftcorr.sky import soft_jacobian
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.correlation import xi_pm
from pysoftcorr.sky.differentiable import SoftCorrelation

#: Above the number of points from which on a tree is used.
N = 1100
FIELDS = ("ra", "dec", "g1", "g2", "w")


def columns(n: int = N) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "ra": 150 + 2 * rng.random(n),
        "dec": 2 + 2 * rng.random(n),
        "g1": rng.normal(0, 0.2, n),
        "g2": rng.normal(0, 0.2, n),
        "w": rng.uniform(0.5, 1.5, n),
    }


def naive(bins: str = "log:1:150:8", **options: object) -> SoftCorrelation:
    return SoftCorrelation(bins, approach="naive", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statistic", "weighting"), [("xip", "sigmoid"), ("xim", "sigmoid"), ("xim", "gaussian")]
)
def test_derivatives_are_those_of_finite_differences(statistic, weighting):
    sc, objects = naive(statistic=statistic, weighting=weighting), columns()
    rng = np.random.default_rng(5)
    cotangent = rng.normal(size=sc.nbins)
    back = sc.vjp(Catalog(**objects), cotangent)
    along = {name: rng.normal(size=N) for name in FIELDS}
    along["ra"], along["dec"] = 0.01 * along["ra"], 0.01 * along["dec"]
    forward = cotangent @ sc.jvp(Catalog(**objects), along)

    def moved(h: float) -> float:
        catalog = Catalog(**{name: objects[name] + h * along[name] for name in FIELDS})
        return float(cotangent @ sc.value(catalog))

    h = 1e-3
    steps = [(moved(k * h) - moved(-k * h)) / (2 * k * h) for k in (1, 2)]
    difference = (4 * steps[0] - steps[1]) / 3
    total = sum(back[name] @ along[name] for name in FIELDS)
    assert total == pytest.approx(forward, rel=1e-9)
    assert total == pytest.approx(difference, rel=1e-6)


def test_ever_sharper_bins_give_the_hard_estimator():
    catalog = Catalog(**columns())
    hard = xi_pm(catalog, bins="log:1:150:8")
    soft = naive(sharpness=1e9).value(catalog)
    np.testing.assert_allclose(soft, hard.xip.value, rtol=1e-9, atol=1e-15)


def test_a_jacobian_in_parts_to_an_array_or_a_file(tmp_path, monkeypatch):
    sc, catalog = naive(), Catalog(**columns())
    value, whole = sc.value_and_jacobian(catalog)
    one = np.zeros(sc.nbins)
    one[3] = 1
    for name, row in sc.vjp(catalog, one).items():
        np.testing.assert_array_equal(row, whole[name][3])
    # three bins at a time
    monkeypatch.setattr(soft_jacobian, "AT_ONCE", 3 * soft_jacobian.WORK * N)
    array = np.full((sc.nbins, 5, N), np.nan)
    again, views = sc.value_and_jacobian(catalog, out=array)
    np.testing.assert_array_equal(again, value)
    target = tmp_path / "rows.npy"
    mapped = sc.jacobian(catalog, out=target)
    assert isinstance(mapped["ra"], np.memmap)
    assert list(mapped) == list(views) == list(whole) == list(FIELDS)
    for k, name in enumerate(FIELDS):
        np.testing.assert_array_equal(views[name], whole[name])
        np.testing.assert_array_equal(array[:, k], whole[name])
        np.testing.assert_array_equal(mapped[name], whole[name])
    np.testing.assert_array_equal(np.load(target), array)
    assert np.load(target).nbytes == sc.jacobian_size(N)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        sc.jacobian(catalog, out=target)
    sc.jacobian(catalog, out=str(target), overwrite=True)


def test_what_an_output_must_be(tmp_path):
    sc, catalog = SoftCorrelation("linear:0:60:3", clusters=3, seed=1), Catalog(**columns(20))
    wrong = [
        (np.zeros((3, 5, 19)), ValueError, r"must have shape \(3, 5, 20\)"),
        (np.zeros((3, 5, 20), np.float32), TypeError, "float64"),
        (np.broadcast_to(0.0, (3, 5, 20)), TypeError, "read-only"),
        (tmp_path / "rows.h5", ValueError, ".npy"),
        (tmp_path / "none" / "rows.npy", FileNotFoundError, "no folder"),
    ]
    for out, error, words in wrong:
        with pytest.raises(error, match=words):
            sc.jacobian(catalog, out=out)
    assert not list(tmp_path.iterdir())


def test_memory_is_said_beforehand(monkeypatch, tmp_path):
    sc, catalog = naive(), Catalog(**columns())
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 1e5)
    with pytest.raises(ValueError, match=r"out = None.*0\.352 MB|jacobian\.npy"):
        sc.jacobian(catalog)
    assert sc.jacobian(catalog, out=tmp_path / "rows.npy")["w"].shape == (8, N)


def test_a_jacobian_in_parts_warns_once(monkeypatch):
    monkeypatch.setattr(soft_jacobian, "AT_ONCE", 0)
    sc = SoftCorrelation("linear:5000:5300:3", clusters=3, seed=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = sc.jacobian(Catalog(**columns(20)))
    assert len(caught) == 1
    assert "no pairs" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert not rows["ra"].any()
