"""Mass function and bias of a halo catalog, beside the published relations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.integrate import trapezoid

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.options import at_least_one
from pysoftcorr.core.random import stream
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.simulate import LPTField, cloud_in_cell

if TYPE_CHECKING:
    from pysoftcorr.mocks.halos import HaloCatalog

__all__ = ["HaloBias", "MassFunction", "halo_bias", "mass_function"]

FloatArray = npt.NDArray[np.float64]

#: Modes of the bias: up to this k (h/Mpc), or to this many fundamental modes of a small box.
_K_MAX, _FUNDAMENTAL = 0.08, 3.5
_MESH = 64


@dataclass(frozen=True)
class MassFunction:
    """Halos per volume and decade of mass; arrays of shape (nbins,).

    Attributes
    ----------
    edges : ndarray, shape (nbins + 1,)
        Msun/h.
    count : ndarray of int64
    density, error : ndarray
        dn/dlog10(M) in (Mpc/h)^-3 and its Poisson error.
    theory : ndarray or None
        That of `model`, averaged over the bin; None where the cosmology is not known, or
        `model` is not for these halos.
    model : str
    """

    edges: FloatArray
    count: npt.NDArray[np.int64]
    density: FloatArray
    error: FloatArray
    theory: FloatArray | None
    model: str

    def to_dict(self) -> dict[str, Any]:
        """Bins, counts, densities and theory as plain values for JSON."""
        return {
            "edges": self.edges.tolist(),
            "count": self.count.tolist(),
            "density": self.density.tolist(),
            "error": self.error.tolist(),
            "theory": None if self.theory is None else self.theory.tolist(),
            "model": self.model,
        }


@dataclass(frozen=True)
class HaloBias:
    """Large-scale bias of halos by mass; arrays of shape (nbins,).

    Attributes
    ----------
    mass : ndarray
        Median mass of each bin, Msun/h.
    bias, error : ndarray
        P_hm/P_mm with the matter of the same modes, and its error from their scatter.
    theory : ndarray
        Mean of `model` over the halos of the bin.
    model : str
    k_max : float
        Modes up to this are used, h/Mpc.
    """

    mass: FloatArray
    bias: FloatArray
    error: FloatArray
    theory: FloatArray
    model: str
    k_max: float


def mass_function(halos: HaloCatalog, *, decade: int = 5) -> MassFunction:
    """Mass function of a catalog, and the published one of its cosmology.

    Parameters
    ----------
    halos : HaloCatalog
        Its ``meta`` says which relation, mass definition and redshift; else Tinker et al. 2008,
        "vir" and 0.
    decade : int
        Bins a decade of mass.

    Returns
    -------
    MassFunction

    Raises
    ------
    ValueError
        If `decade` is below 1.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> from pysoftcorr.mocks.halo_statistics import mass_function
    >>> halos = HaloCatalog.simulate(50.0, 32, mmin=1e12, seed=1)
    >>> table = mass_function(halos)
    >>> bool(table.count.sum() == len(halos))
    True
    """
    at_least_one("decade", decade)
    meta, volume = halos.meta, checks.volume(halos.boxsize)
    low = np.log10(min(meta.get("mmin") or np.inf, float(halos.mass.min())))
    high = max(np.log10(float(halos.mass.max())), low + 1e-6)
    number = max(1, int(np.ceil((high - low) * decade)))
    log_edges = low + np.arange(number + 1) / decade
    if meta.get("mmax"):  # beyond it there are none
        log_edges[-1] = max(np.log10(meta["mmax"]), high)
    edges = 10.0**log_edges
    # Rounding must not leave the lightest halo out.
    edges[0] = min(edges[0], halos.mass.min())
    edges[-1] = max(edges[-1], halos.mass.max())
    count = np.histogram(halos.mass, edges)[0].astype(np.int64)
    width = np.diff(log_edges) * volume
    model, theory = str(meta.get("mass_function", "tinker08")), None
    if halos.cosmology is not None:
        world = Cosmology(halos.cosmology)
        fine = log_edges[:-1, None] + np.diff(log_edges)[:, None] * np.linspace(0, 1, 33)
        try:
            dn = world.mass_function(10.0 ** fine.ravel(), model=model, **_when(meta))
        except ValueError as error:
            # What the halos are is their file's affair: they are counted all the same.
            caution(f"no published mass function beside the halos: {_reason(error)}")
        else:
            dn = dn.reshape(fine.shape) * np.log(10.0)
            theory = trapezoid(dn, dx=1 / 32, axis=1)
    return MassFunction(edges, count, count / width, np.sqrt(count) / width, theory, model)


def halo_bias(halos: HaloCatalog, *, groups: int = 6) -> HaloBias | None:
    """Bias of simulated halos on large scales, in bins of mass of about equal weight.

    The matter is that of the same initial field, drawn again from the seed: what halos and
    matter share cancels, and with it the scatter from box to box.

    Parameters
    ----------
    halos : HaloCatalog
    groups : int
        Groups of mass, at most; each has 50 halos or more.

    Returns
    -------
    HaloBias or None
        None where the matter is not known: halos that `HaloCatalog.simulate` did not make.

    Examples
    --------
    >>> from pysoftcorr.mocks import HaloCatalog
    >>> from pysoftcorr.mocks.halo_statistics import halo_bias
    >>> halos = HaloCatalog.simulate(100.0, 32, mmin=1e12, seed=1)
    >>> found = halo_bias(halos, groups=2)
    >>> bool((abs(found.bias - found.theory) < 5 * found.error).all())
    True
    """
    at_least_one("groups", groups)
    meta = halos.meta
    if meta.get("source") != "HaloCatalog.simulate" or halos.cosmology is None:
        return None
    world = Cosmology(halos.cosmology)
    boxsize = checks.cube_side(halos.boxsize, "HaloCatalog.simulate makes no other")
    mesh = min(_MESH, int(meta["mesh"]))
    field = LPTField.draw(
        boxsize, mesh, world, meta["redshift"], stream(meta["seed"], "density field")
    )
    matter = fft.rfftn(field.density())
    fundamental = 2 * np.pi / boxsize
    k_max = max(_K_MAX, _FUNDAMENTAL * fundamental)
    whole, half = fft.fftfreq(mesh) * mesh, np.arange(mesh // 2 + 1)
    k = fundamental * np.sqrt(whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half**2)
    used = (k > 0) & (k <= k_max)
    # In the plane kz = 0 each mode is there twice, at k and -k.
    share = np.where(np.broadcast_to(half == 0, k.shape), 0.5, 1.0)[used]
    dark = matter[used]
    auto = np.abs(dark) ** 2
    model = str(meta["bias"])
    rows = []
    for part in _groups(halos.mass, groups):
        light = fft.rfftn(cloud_in_cell(halos.position[part], boxsize, mesh))[used]
        cross = (light * dark.conj()).real
        bias = np.sum(share * cross) / np.sum(share * auto)
        error = np.sqrt(np.sum(share * (cross - bias * auto) ** 2)) / np.sum(share * auto)
        theory = world.bias(halos.mass[part], model=model, **_when(meta)).mean()
        rows.append((np.median(halos.mass[part]), bias, error, theory))
    mass, bias, error, theory = np.array(rows).T
    return HaloBias(mass, bias, error, theory, model, float(k_max))


def _groups(mass: FloatArray, bins: int) -> list[npt.NDArray[np.int64]]:
    """Rows of halos by mass, each group a fixed range of its logarithm, the rare end together."""
    logs = np.log10(mass)
    edges = np.linspace(logs.min(), logs.max(), bins + 1)[1:-1]
    groups: list[npt.NDArray[np.int64]] = []
    number = np.digitize(logs, edges)
    for b in range(bins):
        part = np.flatnonzero(number == b)
        if part.size >= 50 or not groups:
            groups.append(part)
        else:
            groups[-1] = np.concatenate([groups[-1], part])
    return groups


def _reason(error: ValueError) -> str:
    """The message of a relation without advice to change what the catalog is of."""
    return str(error).partition(" Pass mdef=")[0].rstrip(".")


def _when(meta: dict[str, Any]) -> dict[str, Any]:
    return {
        "redshift": float(meta.get("redshift") or 0.0),
        "mdef": str(meta.get("mdef") or "vir"),
    }
