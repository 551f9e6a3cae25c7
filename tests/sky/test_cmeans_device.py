"""Fuzzy c-means on a GPU: start, sweeps and memberships are those of the CPU."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr import Catalog, Clustering, SoftClustering  # noqa: E402
from pysoftcorr._julia import call  # noqa: E402
from pysoftcorr.core.extras import MissingExtra  # noqa: E402
from pysoftcorr.sky.clustering import coordinates  # noqa: E402
from pysoftcorr.sky.device import cmeans  # noqa: E402

has_triton = importlib.util.find_spec("triton") is not None


def catalog(kind: str, n: int) -> Catalog:
    rng = np.random.default_rng(3)
    w = rng.uniform(0.5, 2, n)
    w[::5] = 0.0
    if kind == "flat":
        x, y = rng.uniform(0, 60, (2, n))
        return Catalog(x=x, y=y, xy_unit="pixel", w=w)
    if kind == "coincident":  # fewer places than centers may be
        return Catalog(ra=1.0 + np.arange(n) % 9, dec=(np.arange(n) % 3) * 2.0, w=w)
    if kind == "pole":
        return Catalog(ra=rng.uniform(0, 360, n), dec=rng.uniform(85, 90, n), w=w)
    return Catalog(ra=rng.uniform(-1, 1, n) % 360, dec=rng.uniform(-1, 1, n), w=w)


#: Kind of catalog, and settings of a clustering.
CASES: list[tuple[str, dict[str, Any]]] = [
    ("zero", {}),
    ("pole", {"use_weights": True}),
    ("flat", {"fuzziness": 1.6}),
    ("flat", {"use_weights": True, "fuzziness": 3.0}),
    ("zero", {"metric": "radec", "accelerate": False}),
    ("coincident", {"fuzziness": 2.5}),
    ("coincident", {"use_weights": True}),
]


def both(
    case: tuple[str, dict[str, Any]], n: int, c: int, device: str, **more: Any
) -> tuple[Clustering, Clustering]:
    """A clustering by the CPU and one by a device."""
    kind, options = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, other = (
            SoftClustering(n_clusters=c, seed=1, device=on, **options, **more).fit(catalog(kind, n))
            for on in ("cpu", device)
        )
    return one, other


def compare(
    case: tuple[str, dict[str, Any]], n: int, c: int, device: str, sweeps: tuple[int, ...] = (1, 4)
) -> None:
    """A start and a few sweeps."""
    for most in sweeps:
        cpu, other = both(case, n, c, device, max_iter=most)
        for name in ("centers", "memberships", "objective", "change"):
            np.testing.assert_allclose(
                getattr(other, name), getattr(cpu, name), rtol=1e-10, atol=1e-12, err_msg=name
            )


def compare_converged(case: tuple[str, dict[str, Any]], n: int, c: int, device: str) -> None:
    """Extrapolated steps differ by rounding, the fixed point does not."""
    cpu, other = both(case, n, c, device, tol=1e-11, max_iter=3000)
    assert cpu.converged
    assert other.converged
    np.testing.assert_allclose(other.memberships, cpu.memberships, atol=1e-8)
    assert other.objective[-1] == pytest.approx(cpu.objective[-1], rel=1e-10, abs=1e-20)


INTERPRETED = """
import os
os.environ["TRITON_INTERPRET"] = "1"
import test_cmeans_device as tests
from pysoftcorr.sky import clustering
from pysoftcorr.sky.device import cmeans
# Another name of the CPU, on which tensors take the way of a GPU, by few programs.
clustering.check_device = str
cmeans.PROGRAMS, cmeans.STEP = 3, 200
for case in tests.CASES:
    tests.compare(case, 75, 5, "cpu:0", sweeps=(3,))
tests.compare(("zero", {}), 45, 40, "cpu:0", sweeps=(1,))
tests.compare_converged(tests.CASES[2], 30, 3, "cpu:0")
print("fine")
"""


@pytest.mark.skipif(not has_triton, reason="Triton is not installed")
def test_clusterings_in_the_interpreter(fresh: Callable[..., Any]) -> None:
    paths = [str(Path(__file__).parent), *sys.path]
    assert fresh(f"import sys; sys.path[:] = {paths!r}\n" + INTERPRETED).stdout == "fine\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_clusterings_of_the_cpu(case: tuple[str, dict[str, Any]]) -> None:
    compare(case, 3000, 70, "cuda")
    compare_converged(case, 3000, 70, "cuda")


@pytest.mark.parametrize("kind", ["zero", "flat", "coincident"])
@pytest.mark.parametrize("n", [30, 2500])
def test_the_start_is_that_of_the_cpu(kind: str, n: int) -> None:
    x = coordinates(catalog(kind, n), "chord")
    c, (_, dims) = 25, x.shape
    draws = np.random.default_rng(2).random(c)
    for w in (np.ones(n), catalog(kind, n).w):
        v = np.empty((dims, c))
        call("seed_centers", x, dims, n, w, c, draws, v)
        np.testing.assert_array_equal(cmeans.seed_centers(x, w, draws, "cpu"), v.T)


def test_a_draw_takes_an_object_with_mass() -> None:
    mass = torch.zeros(3 * cmeans.DRAWN, dtype=torch.float64)
    assert cmeans._draw(mass, 0.5) is None
    mass[cmeans.DRAWN + 7] = 2.0
    mass[cmeans.DRAWN + 9] = 1.0
    drawn = [cmeans._draw(mass, u) for u in (0.0, 0.5, 0.7, np.nextafter(1.0, 0.0), 1.0)]
    assert [i - cmeans.DRAWN for i in drawn if i is not None] == [7, 7, 9, 9, 9]


def test_an_extrapolation_solves_a_linear_problem() -> None:
    rng = np.random.default_rng(4)
    matrix = rng.normal(size=(6, 6))
    matrix *= 0.6 / np.abs(np.linalg.eigvals(matrix)).max()
    shift = rng.normal(size=6)
    solution = np.linalg.solve(np.eye(6) - matrix, shift)
    history, v = cmeans.Anderson(), np.zeros((3, 2))
    for _ in range(12):
        plain = (matrix @ v.ravel() + shift).reshape(3, 2)
        further = history.extrapolate(v, plain)
        v = plain if further is None else further
    np.testing.assert_allclose(v.ravel(), solution, rtol=1e-9)


@pytest.mark.parametrize(
    ("device", "kind", "text"),
    [
        ("gpu", ValueError, "device = 'gpu': must be 'cpu' or a CUDA device"),
        pytest.param(
            "cuda", (ValueError, MissingExtra), "device = 'cuda'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)  # fmt: skip
def test_devices_that_do_not_serve(device: str, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        SoftClustering(n_clusters=3, device=device)
