"""A small file of every kind that the package writes and reads, and what is read of each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import emulator_campaign, toy_universes
from pysoftcorr.mocks.anisotropic_results import Multipoles, ProjectedCorrelations
from pysoftcorr.mocks.box import BoxCorrelations
from pysoftcorr.mocks.campaign.file import Campaign
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.galaxies import GalaxyCatalog
from pysoftcorr.mocks.halos import HaloCatalog
from pysoftcorr.mocks.subhalos import Subhalos
from pysoftcorr.mocks.tabulated.ellipsoid_table import PairGrid
from pysoftcorr.mocks.tabulated.tables import HaloTables
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.leakage import Leakage
from pysoftcorr.sky.result import Correlation, CorrelationSet, read_result

EDGES = np.geomspace(0.1, 10, 6)


def plain(value: Any) -> Any:
    """A value as nested tuples that are equal where every bit of it is."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OU":
            return tuple(map(str, value.ravel()))
        return value.dtype.kind, value.shape, np.ascontiguousarray(value).tobytes()
    if isinstance(value, dict):
        return tuple((str(k), plain(v)) for k, v in sorted(value.items(), key=lambda kv: kv[0]))
    if isinstance(value, (list, tuple)):
        return tuple(plain(v) for v in value)
    if dataclasses.is_dataclass(value):
        return plain({f.name: getattr(value, f.name) for f in dataclasses.fields(value)})
    if type(value).__module__.startswith("torch"):
        return plain(value.numpy())
    if isinstance(value, Path):
        return ""
    state = getattr(value, "__dict__", None)
    return plain(state) if state else repr(value)


def correlation(name: str = "xip") -> Correlation:
    rng = np.random.default_rng(8)
    bins = Binning.log(0.1, 7, 5)
    given = {n: rng.normal(size=5) for n in ("theta", "logtheta", "value", "imag", "varshot")}
    drawn = {
        n: rng.normal(size=(6, 5)) + 1j * rng.normal(size=(6, 5))
        for n in ("aleatoric", "epistemic")
    }
    return Correlation(
        name=name, bins=bins, npairs=rng.integers(0, 99, 5), weight=rng.random(5), seed=12,
        settings={"clusters": 10, "nested": {"list": [1, 0.1, None, True]}}, version="9",
        aleatoric_method="bootstrap", **given, **drawn,
    )  # fmt: skip


def leakage() -> Leakage:
    rng = np.random.default_rng(9)
    k, n = 2, 5
    return Leakage(
        terms=("alpha", "beta"), values=rng.random(k), covariance=rng.random((k, k)), chi2=1.5,
        dof=8, p_value=0.4, detection=30.0, bins=Binning.log(0.1, 7, n), used=np.ones(n, bool),
        theta=rng.random(n), rho={"rho0": rng.random(n)}, tau={"tau0": rng.random(n)},
        tau_error={"tau0": rng.random(n)}, xi_sys=rng.random(n),
        xi_sys_covariance=rng.random((n, n)), samples=rng.random((10, k)), seed=3,
        settings={"noise": "tau"},
    )  # fmt: skip


def halos() -> HaloCatalog:
    rng = np.random.default_rng(1)
    n = 40
    mass = 10 ** rng.uniform(12, 14, n)
    radius = Cosmology("planck15").radius(mass, redshift=0.5, mdef="vir")
    sub = Subhalos(
        rng.random((9, 3)) * 50,
        np.sort(rng.random(9))[::-1] * 1e11,
        np.sort(rng.integers(n, size=9)),
    )
    return HaloCatalog(
        rng.random((n, 3)) * 50, mass, radius,
        rng.uniform(4, 12, n), rng.standard_normal((n, 3)), boxsize=50.0,
        b_to_a=rng.uniform(0.8, 0.9, n), c_to_a=rng.uniform(0.5, 0.7, n), subhalos=sub,
        cosmology="planck15", meta={"redshift": 0.5, "mdef": "vir"},
    )  # fmt: skip


def galaxies() -> GalaxyCatalog:
    rng = np.random.default_rng(2)
    n = 60
    return GalaxyCatalog(
        rng.random((n, 3)) * 50, rng.standard_normal((n, 3)), boxsize=50.0, seed=5,
        central=rng.random(n) < 0.5, host=rng.integers(30, size=n),
        scaled_radius=rng.random(n), params={"logMmin": 12.0},
    )  # fmt: skip


def in_a_box() -> BoxCorrelations:
    rng = np.random.default_rng(3)
    arrays = {
        f.name: rng.random(5)
        for f in dataclasses.fields(BoxCorrelations)
        if f.name not in ("edges", "settings", "version", "npairs", "npairs_1h", "npairs_2h")
        and f.default is dataclasses.MISSING
    }
    pairs = {n: rng.integers(9, 99, 5) for n in ("npairs", "npairs_1h", "npairs_2h")}
    return BoxCorrelations(edges=EDGES, settings={"boxsize": 50.0, "rows": 7}, **arrays, **pairs)


def _in_two(kind: type, edges: list[float]) -> Callable[[Path], None]:
    """Correlations in bins of two coordinates, of arrays drawn at random."""

    def write(path: Path) -> None:
        rng = np.random.default_rng(11)
        shape = (EDGES.size - 1, len(edges) - 1)
        names = ("weight", "rr", "xi", "xi_gp", "xi_gx", "xi_pp", "xi_xx", "xi_px")
        made = {n: rng.random(shape) for n in names}
        kind(
            edges=EDGES, inner_edges=np.array(edges), separation=rng.random(shape[0]),
            npairs=rng.integers(9, 99, shape), settings={"boxsize": 50.0, "auto": True},
            version="9", covariance=None, **made,
        ).write(path, overwrite=True)  # fmt: skip

    return write


@functools.cache
def _tables(satellites: str, projected: bool) -> HaloTables:
    options = {"rp_bins": [0.5, 3, 9], "pi_max": 20.0} if projected else {}
    return HaloTables.tabulate(
        halos(), bins=[0.5, 2, 9], nodes=4, sites=8 if satellites != "subhalos" else 0,
        satellites=satellites, progress=False, **options,
    )  # fmt: skip


def _tabulated(satellites: str, projected: bool = False) -> Callable[[Path], Any]:
    return lambda path: _tables(satellites, projected).write(path, overwrite=True)


def _network() -> Any:
    from pysoftcorr.emulator import Emulator

    small = {"members": 2, "width": 4, "depth": 1, "variance_width": 4}
    return Emulator.untrained("response", bins=EDGES, seed=3, **small)


def _state() -> dict[str, Any]:
    import torch

    rng = torch.Generator().manual_seed(1)
    return {
        "settings": {"seed": 3, "rate": 0.1}, "epoch": 4, "curves": {"loss": [1.0, 0.5]},
        "network": {f"w{i}": torch.randn(5, 4, generator=rng) for i in range(6)},
        "optimizer": {0: {"step": torch.tensor(3.0)}}, "best": None,
    }  # fmt: skip


def _posterior() -> Any:
    from pysoftcorr.inference import Observation, Posterior

    rng = np.random.default_rng(4)
    seen = Observation(EDGES, xi=rng.random(5), omega=rng.random(5), covariance=np.eye(10))
    return Posterior(
        names=("mu_cen", "mu_sat"), draws=rng.random((2, 30, 2)),
        stats={"lp": rng.random((2, 30)), "diverging": np.zeros((2, 30), bool)},
        settings={"sampler": "NUTS", "seed": 4}, priors={},
        fixed={"logMmin": 12.0}, observation=seen, data={}, curves={"xi": rng.random((3, 5))},
    )  # fmt: skip


def _minimization() -> Any:
    from pysoftcorr.inference.minimization import Minimization

    rng = np.random.default_rng(6)
    return Minimization(
        names=("mu_cen",), trace=rng.random((9, 1)), loss=rng.random(9),
        gradient=rng.random((9, 1)), converged=True, settings={"method": "adam"},
    )  # fmt: skip


def _writes_training(path: Path) -> None:
    from pysoftcorr.emulator.training.checkpoint import write_checkpoint

    write_checkpoint(path, _state())


def _reads_training(path: Path) -> Any:
    from pysoftcorr.emulator.training.checkpoint import read_checkpoint

    return read_checkpoint(path)


_IDENTITY = {"seed": 4, "chains": 2}


def _writes_chain(path: Path) -> None:
    from pysoftcorr.inference.checkpoint import write_checkpoint

    rng = np.random.default_rng(7)
    write_checkpoint(path, _IDENTITY, {"draws": rng.random((50, 3)), "state": np.arange(9)})


def _reads_chain(path: Path) -> Any:
    from pysoftcorr.inference.checkpoint import read_checkpoint

    return read_checkpoint(path, _IDENTITY)


def _split(path: Path) -> None:
    from pysoftcorr.emulator.data import split_campaign

    split_campaign(emulator_campaign.campaign(40, 3), seed=2).write(path, overwrite=True)


def _universes(path: Path) -> None:
    from pysoftcorr.mocks.universes.file import write_universes

    toy = toy_universes.toy_universes(4, 9)
    names = ("parameters", "pairs", "xi", "response", "chance", "halos")
    kinds = [(n, getattr(toy, n).dtype, getattr(toy, n).shape[1:]) for n in names]
    records = np.zeros(4, dtype=[("row", "i8"), *kinds])
    records["row"] = np.arange(4)
    for name in names:
        records[name] = getattr(toy, name)
    write_universes(path, records, worlds=toy.worlds, edges=toy.edges, settings=toy.settings)


def _reads_data(path: Path) -> Any:
    from pysoftcorr.emulator.data import read_data

    return read_data(path)


def _reads_model(path: Path) -> Any:
    from pysoftcorr.emulator.model_file import read_model

    return read_model(path)


def _reads_posterior(path: Path) -> Any:
    from pysoftcorr.inference import Posterior

    return Posterior.read(path)


def _reads_minimization(path: Path) -> Any:
    from pysoftcorr.inference.minimization import Minimization

    return Minimization.read(path)


def _pair_grid() -> PairGrid:
    rng = np.random.default_rng(5)
    axes = [np.linspace(0, 1, n) for n in (4, 3, 2, 5)]
    return PairGrid(*axes, rng.random((4, 3, 2, 5, 5)).astype(np.float32))


def _set() -> CorrelationSet:
    return CorrelationSet([correlation("rho1"), correlation("rho2")], name="rho")


#: By file name: what writes it, what reads it, and the packages it needs.
KINDS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any], tuple[str, ...]]] = {
    "result.fits": (lambda p: _set().write(p, overwrite=True), read_result, ()),
    "result.fits.gz": (lambda p: _set().write(p, overwrite=True), read_result, ()),
    "result.h5": (lambda p: _set().write(p, overwrite=True), read_result, ()),
    "result.ecsv": (lambda p: _set().write(p, overwrite=True), read_result, ()),
    "result.sacc": (lambda p: correlation().write(p, overwrite=True), read_result, ("sacc",)),
    "treecorr.fits": (
        lambda p: correlation().write(p, overwrite=True, format="treecorr"), read_result, ()),
    "treecorr.h5": (
        lambda p: correlation().write(p, overwrite=True, format="treecorr"), read_result, ()),
    "leakage.h5": (lambda p: leakage().write(p, overwrite=True), Leakage.read, ()),
    "halos.h5": (lambda p: halos().write(p, overwrite=True), HaloCatalog.read, ()),
    "galaxies.h5": (lambda p: galaxies().write(p, overwrite=True), GalaxyCatalog.read, ()),
    "galaxies.fits": (lambda p: galaxies().write(p, overwrite=True), GalaxyCatalog.read, ()),
    "galaxies.fits.gz": (lambda p: galaxies().write(p, overwrite=True), GalaxyCatalog.read, ()),
    "box.ecsv": (lambda p: in_a_box().write(p, overwrite=True), BoxCorrelations.read, ()),
    "box.h5": (lambda p: in_a_box().write(p, overwrite=True), BoxCorrelations.read, ()),
    "projected.ecsv": (
        _in_two(ProjectedCorrelations, [0.0, 5.0, 20.0]), ProjectedCorrelations.read, ()),
    "multipoles.ecsv": (
        _in_two(Multipoles, [0.0, 0.4, 0.7, 1.0]), Multipoles.read, ()),
    "tables.h5": (_tabulated("nfw"), HaloTables.read, ("torch",)),
    "tables_of_wp.h5": (_tabulated("nfw", True), HaloTables.read, ("torch",)),
    "triaxial.h5": (_tabulated("triaxial"), HaloTables.read, ("torch",)),
    "subhalos.h5": (_tabulated("subhalos"), HaloTables.read, ("torch",)),
    "campaign.h5": (
        lambda p: emulator_campaign.write(p, emulator_campaign.campaign(20, 2)), Campaign.read, ()),
    "ellipsoids.h5": (lambda p: _pair_grid().write(p), PairGrid.read, ()),
    "universes.h5": (_universes, _reads_data, ("torch",)),
    "split.h5": (_split, _reads_data, ("torch",)),
    "model.h5": (lambda p: _network().write(p, overwrite=True), _reads_model, ("torch",)),
    "training.checkpoint.h5": (_writes_training, _reads_training, ("torch",)),
    "chain.h5": (_writes_chain, _reads_chain, ()),
    "posterior.nc": (
        lambda p: _posterior().write(p, overwrite=True), _reads_posterior, ("arviz", "h5netcdf")),
    "trace.ecsv": (
        lambda p: _minimization().write(p, overwrite=True), _reads_minimization, ("torch",)),
}  # fmt: skip


def written(name: str, folder: Path) -> Path:
    """A file of a kind."""
    write, _, packages = KINDS[name]
    for package in packages:
        pytest.importorskip(package)
    write(folder / name)
    return folder / name


def read(name: str, path: Path) -> Any:
    """What is read of a file of a kind, as `plain` gives it."""
    return plain(KINDS[name][1](path))
