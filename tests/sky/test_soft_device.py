"""Soft pairs on a GPU: the reach of bins anywhere, kernels by Triton's interpreter or CUDA."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.core.extras import MissingExtra  # noqa: E402
from pysoftcorr.sky.catalog import Catalog  # noqa: E402
from pysoftcorr.sky.device.soft import reaches  # noqa: E402
from pysoftcorr.sky.differentiable import SoftCorrelation  # noqa: E402

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
has_triton = importlib.util.find_spec("triton") is not None


@pytest.mark.parametrize("gauss", [False, True])
@pytest.mark.parametrize("flat", [False, True])
def test_weights_out_of_reach_are_below_rounding(gauss: bool, flat: bool) -> None:
    soft = SoftCorrelation(
        "log:2:40:5", approach="naive", weighting="gaussian" if gauss else "sigmoid"
    )
    for b, reach in enumerate(reaches(soft._bins, flat=flat, gauss=gauss)):
        ends = np.array(reach)
        theta = ends if flat else np.degrees(2 * np.arcsin(ends / 2)) * 60
        outside = [theta[1] * (1 + 1e-9)] + ([theta[0] * (1 - 1e-9)] if theta[0] > 0 else [])
        assert (soft.bin_weights(outside)[b] < 1.0001 * np.exp(-40)).all()


def test_a_bin_to_the_antipodes_reaches_everything() -> None:
    soft = SoftCorrelation("linear:0:10800:2", approach="naive")
    assert reaches(soft._bins, flat=False, gauss=False)[1].high == np.inf


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"device": "mps"}, ValueError, "device = 'mps': must be 'cpu' or a CUDA device"),
        ({"device": "gpu"}, ValueError, "device = 'gpu': must be"),
        pytest.param(
            {"device": "cuda"}, (ValueError, MissingExtra), "device = 'cuda'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
        pytest.param(
            {"device": "cuda", "approach": "soft"}, ValueError, "the approach 'naive'", marks=cuda
        ),
    ],
)  # fmt: skip
def test_devices_that_do_not_serve(options: dict[str, str], kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        SoftCorrelation("linear:0:45:3", **{"approach": "naive", **options})


def catalogs(n: int) -> dict[str, Catalog]:
    rng = np.random.default_rng(5)
    more = {"g1": rng.normal(0, 0.1, n), "g2": rng.normal(0, 0.1, n), "w": rng.uniform(0.5, 2, n)}
    ra, dec = rng.uniform(-1, 1, n) % 360, rng.uniform(-1, 89, n)
    ra[1], dec[1] = ra[0], dec[0]  # one place
    ra[3], dec[3] = ra[2] - 180 if ra[2] > 180 else ra[2] + 180, -dec[2]  # antipodes
    x, y = rng.uniform(0, 60, (2, n))
    x[1], y[1] = x[0], y[0]
    return {
        "sky": Catalog(ra=ra, dec=dec, **more),
        "flat": Catalog(x=x, y=y, xy_unit="arcmin", **more),
    }


CASES = [
    (geometry, statistic, weighting, coincident)
    for geometry in ("sky", "flat")
    for statistic in ("xip", "xim")
    for weighting in ("sigmoid", "gaussian")
    for coincident in ("keep", "drop")
]


def estimator(case: tuple[str, str, str, str], device: str) -> SoftCorrelation:
    geometry, statistic, weighting, coincident = case
    return SoftCorrelation(
        "log:5:10000:4" if geometry == "sky" else "linear:0:45:4", approach="naive",
        statistic=statistic, weighting=weighting, coincident=coincident, device=device,
    )  # fmt: skip


INTERPRETED = """
import os, warnings
os.environ["TRITON_INTERPRET"] = "1"
warnings.simplefilter("ignore")
import numpy as np
from test_soft_device import CASES, catalogs, estimator
from pysoftcorr.sky.device import blocks, soft as module
# Fewer programs and wider tiles, which take the interpreter less time.
blocks.PROGRAMS, module.PULL["COLUMNS"] = 4, 16
several = np.array([[0.0, 1.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
for case in CASES:
    soft = estimator(case, "cpu")
    stars = catalogs(40)[case[0]]
    value, rows = soft.value_and_jacobian(stars)
    solution = soft._solve(stars)
    cotangents = np.concatenate([np.eye(4)[1:], several])
    xi, back, met = soft._pairs(solution).gradients(cotangents)
    back = solution.of_columns(back)
    assert np.allclose(xi, value, rtol=1e-10, atol=0), case
    for one, other in zip(back, rows.values()):
        other = cotangents @ other
        assert np.allclose(one, other, rtol=1e-10, atol=1e-10 * np.abs(other).max()), case
    assert met == 1, case
print("fine")
"""


@pytest.mark.skipif(not has_triton, reason="Triton is not installed")
def test_kernels_in_the_interpreter(fresh: Callable[..., object]) -> None:
    paths = [str(Path(__file__).parent), *sys.path]
    code = f"import sys; sys.path[:] = {paths!r}\n" + INTERPRETED
    assert fresh(code).stdout == "fine\n"


@cuda
@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.filterwarnings("ignore:.*at one place")
def test_values_and_gradients_of_the_cpu(case: tuple[str, str, str, str]) -> None:
    stars = catalogs(700)[case[0]]
    value, rows = estimator(case, "cpu").value_and_jacobian(stars)
    soft = estimator(case, "cuda")
    xi, back = soft.value_and_jacobian(stars)
    np.testing.assert_allclose(xi, value, rtol=1e-10)
    np.testing.assert_array_equal(soft.value(stars), xi)
    for name, row in rows.items():
        np.testing.assert_allclose(back[name], row, rtol=1e-10, atol=1e-10 * np.abs(row).max())
    along = {"g1": np.cos(np.arange(700))}
    np.testing.assert_allclose(
        soft.jvp(stars, along), estimator(case, "cpu").jvp(stars, along), rtol=1e-8
    )
