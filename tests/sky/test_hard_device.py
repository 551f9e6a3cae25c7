"""Hard-binned statistics on a GPU: every estimator is that of the CPU."""

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

from astropy.table import Table  # noqa: E402

from pysoftcorr import (  # noqa: E402
    Catalog,
    SoftClustering,
    SoftCorrelation,
    StarCatalog,
    gamma_t,
    landy_szalay,
    rho_statistics,
    tau_statistics,
    xi_pm,
)
from pysoftcorr.core.extras import MissingExtra  # noqa: E402
from pysoftcorr.sky.result import CorrelationSet  # noqa: E402
from pysoftcorr.sky.stars import demo_stars_path  # noqa: E402

has_triton = importlib.util.find_spec("triton") is not None
SKY, FLAT = "log:5:10000:4", "linear:0:45:4"


def catalog(geometry: str, n: int, seed: int = 5, w: str = "positive") -> Catalog:
    """Objects all over the sky or a plane, two of them at one place and two almost antipodes."""
    rng = np.random.default_rng(seed)
    weight = rng.uniform(0.5, 2, n)
    if w == "mixed":
        weight[::3] *= -0.2
        weight[::7] = 0.0
    more = {"g1": rng.normal(0, 0.1, n), "g2": rng.normal(0, 0.1, n), "w": weight}
    if geometry == "flat":
        x, y = rng.uniform(0, 60, (2, n))
        x[1:2], y[1:2] = x[0], y[0]
        return Catalog(x=x, y=y, xy_unit="arcmin", **more)
    ra, dec = rng.uniform(-1, 1, n) % 360, rng.uniform(-1, 89, n)
    ra[1], dec[1] = ra[0], dec[0]
    # Of antipodes themselves the direction is all rounding.
    ra[3], dec[3] = (ra[2] + 180) % 360, 0.1 - dec[2]
    return Catalog(ra=ra, dec=dec, **more)


def stars(n: int) -> StarCatalog:
    rng = np.random.default_rng(6)
    return StarCatalog(
        ra=rng.uniform(150, 151, n), dec=rng.uniform(2, 3, n), g1=rng.normal(0, 0.1, n),
        g2=rng.normal(0, 0.1, n), sigma=rng.uniform(1, 1.1, n), g1_model=rng.normal(0, 0.1, n),
        g2_model=rng.normal(0, 0.1, n), sigma_model=rng.uniform(1, 1.1, n),
    )  # fmt: skip


def near_stars(n: int) -> Catalog:
    rng = np.random.default_rng(7)
    return Catalog(
        ra=rng.uniform(150, 151, n), dec=rng.uniform(2, 3, n), g1=rng.normal(0, 0.1, n),
        g2=rng.normal(0, 0.1, n),
    )  # fmt: skip


#: Each statistic of about n objects on a device.
STATISTICS: dict[str, Callable[[int, str], CorrelationSet]] = {
    "xi, sky": lambda n, on: xi_pm(
        catalog("sky", n), SKY, device=on, resampling="bootstrap:2", seed=1
    ),
    "xi, sky, dropped": lambda n, on: xi_pm(
        catalog("sky", n), "linear:0:10800:3", device=on, coincident="drop"
    ),
    "xi, sky, kept": lambda n, on: xi_pm(catalog("sky", n), "linear:0:10800:3", device=on),
    "xi, flat": lambda n, on: xi_pm(catalog("flat", n), FLAT, device=on),
    "xi, narrow": lambda n, on: xi_pm(near_stars(n), "log:0.5:60:5", device=on),
    "xi, mixed weights": lambda n, on: xi_pm(catalog("flat", n, w="mixed"), FLAT, device=on),
    "xi, two": lambda n, on: xi_pm(
        catalog("sky", n), SKY, catalog2=catalog("sky", n + 40, 8), device=on,
        resampling="jackknife:3:match", seed=1,
    ),
    "xi, jackknife": lambda n, on: xi_pm(
        catalog("flat", n), FLAT, device=on, resampling="jackknife:3", seed=1
    ),
    "xi, patches drawn": lambda n, on: xi_pm(
        catalog("flat", n), FLAT, device=on, resampling="bootstrap:3:3", seed=1
    ),
    "xi, clusters": lambda n, on: xi_pm(
        catalog("flat", n), FLAT, clusters=12, assignments=2, resampling="jackknife:3:match",
        device=on, seed=1,
    ),
    "rho": lambda n, on: rho_statistics(stars(n), "linear:0:40:3", device=on),
    "tau": lambda n, on: tau_statistics(near_stars(n), stars(n + 9), "linear:1:40:2", device=on),
    "w": lambda n, on: landy_szalay(
        catalog("sky", n), catalog("sky", 2 * n, 9), SKY, device=on, resampling="jackknife:3",
        seed=1,
    ),
    "gamma_t, sky": lambda n, on: gamma_t(
        catalog("sky", n), catalog("sky", n, 11), SKY, device=on
    ),
    "gamma_t, flat": lambda n, on: gamma_t(
        catalog("flat", 1), catalog("flat", n, 11), FLAT, device=on, resampling="bootstrap:2",
        seed=1,
    ),
}  # fmt: skip
FIELDS = (
    "npairs",
    "weight",
    "theta",
    "logtheta",
    "value",
    "imag",
    "varshot",
    "aleatoric",
    "epistemic",
)


def numbers(result: CorrelationSet) -> dict[str, np.ndarray]:
    """Every number of a result, by name."""
    return {
        f"{name} {field}": np.asarray(getattr(result[name], field))
        for name in result
        for field in FIELDS
        if getattr(result[name], field) is not None
    }


def compare(name: str, n: int, device: str) -> None:
    """Numbers of the CPU and of a device, to 1e-10 of the largest of their kind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cpu, other = (numbers(STATISTICS[name](n, on)) for on in ("cpu", device))
    assert cpu.keys() == other.keys()
    for key, value in cpu.items():
        top = np.nanmax(np.abs(value)) if np.isfinite(value).any() else 0.0
        np.testing.assert_allclose(other[key], value, rtol=1e-10, atol=1e-10 * top, err_msg=key)
        if key.endswith("npairs"):
            np.testing.assert_array_equal(other[key], value)


INTERPRETED = """
import os
os.environ["TRITON_INTERPRET"] = "1"
import test_hard_device as tests
from pysoftcorr.sky import clustering, estimate
# Another name of the CPU, on which tensors take the way of a GPU.
estimate.check_device = clustering.check_device = str
from pysoftcorr.sky.device import blocks, cmeans
# Fewer programs, which take the interpreter less time.
blocks.PROGRAMS = cmeans.PROGRAMS = 4
for name in tests.STATISTICS:
    tests.compare(name, 40, "cpu:0")
print("fine")
"""


@pytest.mark.skipif(not has_triton, reason="Triton is not installed")
def test_statistics_in_the_interpreter(fresh: Callable[..., Any]) -> None:
    paths = [str(Path(__file__).parent), *sys.path]
    assert fresh(f"import sys; sys.path[:] = {paths!r}\n" + INTERPRETED).stdout == "fine\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_of_the_cpu(name: str) -> None:
    compare(name, 700, "cuda")


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"device": "mps"}, ValueError, "device = 'mps': must be 'cpu' or a CUDA device"),
        ({"device": "cuda", "method": "treecorr"}, ValueError, "TreeCorr counts on the CPU"),
        pytest.param(
            {"device": "cuda"}, (ValueError, MissingExtra), "device = 'cuda'",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)  # fmt: skip
def test_devices_that_do_not_serve(options: dict[str, Any], kind: type, text: str) -> None:
    stars_, galaxies = stars(9), near_stars(9)
    calls = [
        lambda: xi_pm(galaxies, FLAT, **options),
        lambda: rho_statistics(stars_, FLAT, **options),
        lambda: tau_statistics(galaxies, stars_, FLAT, **options),
        lambda: landy_szalay(galaxies, galaxies, FLAT, **options),
        lambda: gamma_t(galaxies, galaxies, FLAT, **options),
    ]
    for call in calls:
        with pytest.raises(kind, match=text):
            call()


def test_a_result_says_where_it_was_made() -> None:
    assert xi_pm(near_stars(20), FLAT).settings["device"] == "cpu"


@pytest.mark.parametrize("command", ["xi", "wtheta", "gammat", "tau", "rho", "cluster", "gradient"])
def test_commands_name_the_device(command: str, fails: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "galaxies.ecsv"
    galaxies = near_stars(60)
    Table({"ra": galaxies.ra, "dec": galaxies.dec, "g1": galaxies.g1, "g2": galaxies.g2}).write(
        path
    )
    stars_ = demo_stars_path()
    places = {
        "wtheta": [path, path], "gammat": [path, path], "tau": [path, stars_], "rho": [stars_],
        "gradient": ["--approach", "naive"],
    }.get(command, [path])  # fmt: skip
    assert fails(command, *places, "--device", "mps").startswith(
        "error: --device 'mps': must be 'cpu' or a CUDA device"
    )


def test_clusters_to_differentiate_are_those_of_the_cpu() -> None:
    galaxies = near_stars(60)
    fit = SoftClustering(n_clusters=6, seed=1).fit(galaxies)
    value = SoftCorrelation("linear:1:40:2", clusters=fit).value(galaxies)
    object.__setattr__(fit.options, "device", "cuda")  # as if found on a GPU
    np.testing.assert_array_equal(
        SoftCorrelation("linear:1:40:2", clusters=fit).value(galaxies), value
    )
    with pytest.raises(ValueError, match="clusters has device='cuda'"):
        SoftCorrelation("linear:1:40:2", clusters=fit.options)
