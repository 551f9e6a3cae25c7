"""Tables of halos: xi, omega and eta of any HOD in expectation, in milliseconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.files import HDF5, FileFormat, check_output
from pysoftcorr.core.notebook import html_facts
from pysoftcorr.core.options import choice, positive, several
from pysoftcorr.core.torch import steady
from pysoftcorr.core.version import __version__
from pysoftcorr.mocks import checks
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.mocks.design import parameter_bounds
from pysoftcorr.mocks.hod import FEW_HALOS, PARAMETERS, lighter_halos
from pysoftcorr.mocks.points import check_values, in_rows, table_of
from pysoftcorr.mocks.satellites import SATELLITES
from pysoftcorr.mocks.tabulated.assembly import with_assembly
from pysoftcorr.mocks.tabulated.box import BoxTables
from pysoftcorr.mocks.tabulated.cosmic import mean_tables
from pysoftcorr.mocks.tabulated.errors import KINDS, TableErrors
from pysoftcorr.mocks.tabulated.files import read_box, same_box, write_box
from pysoftcorr.mocks.tabulated.making import tabulated_boxes
from pysoftcorr.mocks.tabulated.means import CellTables, Means, mean_numbers
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.prediction import (
    PROJECTED,
    STATISTICS,
    Mean,
    TabulatedPrediction,
)
from pysoftcorr.mocks.tabulated.projected import Projection
from pysoftcorr.mocks.tabulated.projected_means import ProjectedMeanTables
from pysoftcorr.sky.binning import Bins

__all__ = ["FORMAT", "HaloTables"]

FloatArray = npt.NDArray[np.float64]

FORMAT = FileFormat("pysoftcorr halo tables", "tables of halos")
#: What galaxies below the lightest halo may add up to, as in `HODModel.populate`.
_UNRESOLVED = 0.01
#: Fewer galaxies than these in all boxes are none.
_NONE = 1e-6
#: Halos above it that log Mmin has at least, in `HaloTables.bounds`.
_FEW_HALOS = 20
#: Points at once, outside of torch.
_ROWS = 128


class HaloTables:
    """Correlations of the galaxies of a halo catalog in expectation, at any parameters.

    `tabulate` and `read` make it. The expectation is over galaxies, their places and orientations;
    the halos are those tabulated. The means are exact but for the interpolation in mass between
    `nodes`: no training, and no error of an emulator.

    Parameters
    ----------
    nodes : array_like, shape (K,)
        log10 masses (Msun/h) of the nodes.
    edges : array_like, shape (b + 1,)
        Edges of the bins, Mpc/h.
    boxes : sequence of BoxTables
    satellites : str
        Where satellites live.
    record : dict, optional
        Cosmology and the record of the halos, as JSON can hold it.
    projection : Projection, optional
        Bins of rp, pi_max and line of sight of the projected sums of the boxes.
    assembly_split : float, optional
        Part of the halos of a mass that are kept apart as less concentrated.

    Attributes
    ----------
    names : tuple of str
        The parameters, in their order.
    edges : ndarray, shape (b + 1,)
        Edges of the bins, Mpc/h.
    r : ndarray, shape (b,)
        Geometric centers of the bins, Mpc/h.
    nodes : ndarray, shape (K,)
    boxes : tuple of BoxTables
    satellites : str
    record : dict
    projection : Projection or None
        Bins of rp (`edges`), `pi_max` and `line_of_sight` of wp, w_g+ and w_++; None without them.
    assembly_split : float or None
    statistics : tuple of str
        xi, omega, eta; wp, w_gp and w_pp, where they were tabulated.
    bounds : dict
        Lowest and highest values of each parameter for which the halos are enough.

    Notes
    -----
    After Zheng & Guo (2016, MNRAS 458, 4015) and Lange et al. (2019, TabCorr), with orientations,
    and with satellites by convolution instead of by draws.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks import HaloCatalog, HaloTables
    >>> rng = np.random.default_rng(1)
    >>> mass = 10 ** rng.uniform(12, 14, 300)
    >>> halos = HaloCatalog(
    ...     rng.uniform(0, 40, (300, 3)), mass, 0.97 * (mass / 1e14) ** (1 / 3), np.full(300, 6.0),
    ...     rng.normal(size=(300, 3)), boxsize=40.0)
    >>> tables = HaloTables.tabulate(halos, bins="log:0.1:10:8", nodes=10, progress=False)
    >>> point = dict(mu_cen=0.7, mu_sat=0.2, logMmin=12.5, sigma_logM=0.3, logM0=12.5, logM1=13.5,
    ...              alpha=1.0)
    >>> tables.predict(point).omega.mean.shape, tables.jacobian(point)["omega"].shape
    ((8,), (8, 7))
    """

    names: tuple[str, ...] = PARAMETERS

    def __init__(
        self,
        nodes: npt.ArrayLike,
        edges: npt.ArrayLike,
        boxes: Sequence[BoxTables],
        *,
        satellites: str = "nfw",
        record: dict[str, Any] | None = None,
        projection: Projection | None = None,
        assembly_split: float | None = None,
    ) -> None:
        self._nodes = MassNodes(nodes)
        self.nodes = self._nodes.logm
        self.edges = radial_edges(np.asarray(edges))
        self.boxes = tuple(boxes)
        self.satellites = choice("satellites", satellites, SATELLITES)
        self.record = dict(record or {})
        self.projection, self.assembly_split = projection, assembly_split
        groups = 1 if assembly_split is None else 2
        shape = (groups * self._nodes.cells,)
        for box in self.boxes:
            number = groups * len(self.nodes) if box.kinds is None else box.kinds.number
            size = (number, number, len(self.edges) - 1)
            if box.count.shape != shape or box.forms.shape[1:] != size:
                raise ValueError(
                    f"boxes: sums of shapes {box.count.shape} and {box.forms.shape[1:]} do not "
                    f"belong to these nodes and edges, {shape} and {size}"
                )
            self._check_projected(box, number)
        if not self.boxes:
            raise ValueError("boxes: at least one is needed")

    def _check_projected(self, box: BoxTables, number: int) -> None:
        if (box.projected is None) != (self.projection is None):
            raise ValueError("boxes: some have projected sums, and others or the tables do not")
        if box.projected is None or self.projection is None:
            return
        bins = len(self.projection.edges) - 1
        one, forms = box.projected.one_halo.shape[1:], box.projected.forms.shape[1:]
        if one != (len(box.count), bins) or forms != (number, number, bins):
            raise ValueError(
                f"boxes: projected sums of shapes {one} and {forms} do not belong to these nodes "
                f"and {bins} bins of rp"
            )

    # ------------------------------------------------------------------ made, read, written
    @classmethod
    def tabulate(
        cls,
        halos: Any,
        *,
        bins: Bins | None = None,
        rp_bins: Bins | None = None,
        pi_max: float | None = None,
        line_of_sight: str = "z",
        satellites: str = "nfw",
        nodes: int | npt.ArrayLike = 40,
        concentration_groups: int = 1,
        assembly_split: float | None = None,
        places: int = 4,
        sites: int = 800,
        subvolumes: int = 0,
        progress: bool = True,
        scheduler: str | None = None,
        workers: int | None = None,
    ) -> HaloTables:
        """Tabulate halos: one pass over their pairs.

        Parameters
        ----------
        halos : HaloCatalog, or sequence of HaloCatalog
            Several boxes of one universe are added up; each is kept.
        bins : Binning, str or array_like, optional
            Mpc/h; by default 20 bins from 0.1 to 16.
        rp_bins : Binning, str or array_like, optional
            Bins of rp in Mpc/h, for wp, w_g+ and w_++ in real space as `projected_correlations`
            measures them; by default none. They take a pass of their own, out to `pi_max`.
        pi_max : float, optional
            Largest |pi| in Mpc/h; 40 by default, half of the box at most.
        line_of_sight : {"z", "x", "y"}
            Side of the box that is the line of sight.
        satellites : {"nfw", "triaxial", "subhalos"}
            Where satellites live, as `HODModel` has them: "nfw" is an isotropic NFW profile,
            "triaxial" one stretched into the ellipsoid of the halo, "subhalos" the subhalos of the
            catalog. Where it lacks shapes, the expectation is over those that are drawn, too.
        nodes : int or array_like
            Number of nodes, even in log mass, besides the 22 heaviest halos; or all of them as
            log10 of Msun/h.
        concentration_groups : int
            Groups of concentration that halos of like mass are parted into: more than one where
            concentrated halos cluster otherwise than others, as in N-body simulations, since the
            profile is a mean over halos. The pass takes the square of it in memory and time.
        assembly_split : float, optional
            Keep halos apart that are more and less concentrated than this part of those of their
            mass, 0.5 as a rule: `predict` then takes `assembly_cen` and `assembly_sat` as of
            `HODModel`. Such tables have no covariance.
        places : int
            Places in a halo, on average, of satellites that are not in spheres; heavy halos have
            more. Triaxial ones are summed over them, less the same in spheres; those on subhalos
            where there are more of them than subhalos. The pass takes the square of it in time.
        sites : int
            Halos in all that stand for the others in the covariance of galaxies given the halos;
            0 for none, and no covariance. They make it right to about 3 % of an error.
        subvolumes : int
            Along a side of each box: parts that are left out in turn, for the cosmic covariance
            of one box; 3 will do, 0 for none. All together they take one to three passes over the
            pairs, more where parts are hardly larger than the last edge. Several boxes make a
            better covariance, without.
        progress : bool
            Show a progress bar, with the memory needed, where standard error is a terminal.
        scheduler : str, optional
            Address of a running dask scheduler, whose workers have pysoftcorr and share boxes,
            their sub-volumes and sites; by default all is done in this process. The tables are
            the same to rounding, and have the same bits for any workers.
        workers : int, optional
            Share them among so many processes of this machine, started for the call, each of which
            takes the memory of a pass. A script must be guarded by
            ``if __name__ == "__main__":``.

        Returns
        -------
        HaloTables

        Raises
        ------
        ValueError
            If satellites want subhalos and the halos have none; if the box is too small: halo pairs
            are needed out to the last edge and twice the largest radius, within half of the box,
            and sub-volumes as large as the last edge; if boxes differ in cosmology; or a column of
            the halos has NaN or values that its unit does not allow.
        TypeError
            If `halos` are none.
        ConnectionError
            If the scheduler does not answer or goes away.
        """
        made = tabulated_boxes(
            halos, bins=bins, rp_bins=rp_bins, pi_max=pi_max, line_of_sight=line_of_sight,
            satellites=satellites, nodes=nodes, concentration_groups=concentration_groups,
            places=places, assembly_split=assembly_split, sites=sites, subvolumes=subvolumes,
            progress=progress, scheduler=scheduler, workers=workers,
        )  # fmt: skip
        return cls(
            made.nodes, made.edges, made.boxes, satellites=satellites, record=made.record,
            projection=made.projection, assembly_split=assembly_split,
        )  # fmt: skip

    @classmethod
    def merge(cls, tables: Iterable[HaloTables]) -> HaloTables:
        """Tables of several boxes of one universe as one.

        Parameters
        ----------
        tables : iterable of HaloTables
            With the same nodes, bins and satellites: tabulate the second with
            ``nodes=first.nodes, bins=first.edges``.

        Raises
        ------
        ValueError
            If there are none, they differ in these or in cosmology, or have a box in common.
        TypeError
            If `tables` is no list of tables.
        """
        parts = several("tables", tables, HaloTables)
        if not parts:
            raise ValueError("tables is empty: must be HaloTables, one at least")
        first = parts[0]
        for one in parts[1:]:
            for name, option in (("nodes", "nodes"), ("edges", "bins")):
                if not np.array_equal(getattr(one, name), getattr(first, name)):
                    raise ValueError(
                        f"tables differ in {name}: tabulate with {option}=first.{name}, or all "
                        "boxes in one call"
                    )
            if one.satellites != first.satellites:
                raise ValueError(f"satellites = {one.satellites!r}: the first has "
                                 f"{first.satellites!r}")  # fmt: skip
            if one.assembly_split != first.assembly_split:
                raise ValueError("tables differ in assembly_split; tabulate both with the same")
            if one.projection != first.projection:
                raise ValueError("tables differ in rp_bins, pi_max or line_of_sight; tabulate both "
                                 "with the same, or none")  # fmt: skip
            if one.record.get("cosmology") != first.record.get("cosmology"):
                raise ValueError("tables are of different cosmologies")
        boxes = [box for one in parts for box in one.boxes]
        if len({box.fingerprint for box in boxes}) < len(boxes):
            raise ValueError("tables have a box in common, which would count twice")
        return cls(first.nodes, first.edges, boxes, satellites=first.satellites,
                   record=first.record, projection=first.projection,
                   assembly_split=first.assembly_split)  # fmt: skip

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the tables to HDF5, whole or not at all; `read` gives equal ones.

        Raises
        ------
        ValueError
            If the suffix is neither .h5 nor .hdf5.
        FileExistsError
            If the file is there and `overwrite` is not set.
        OSError
            If nothing can be written there.
        """
        target = check_output(path, suffixes=HDF5, overwrite=overwrite)
        with FORMAT.writing(target, overwrite=overwrite) as file:
            file.attrs["version"] = __version__
            file.attrs["parameters"] = json.dumps(list(PARAMETERS))
            file.attrs["satellites"] = self.satellites
            file.attrs["boxes"] = len(self.boxes)
            file.create_dataset("record", data=json.dumps(self.record), dtype=h5py.string_dtype())
            file["nodes"], file["edges"] = self.nodes, self.edges
            file["nodes"].attrs["unit"], file["edges"].attrs["unit"] = "log10 Msun/h", "Mpc/h"
            if self.assembly_split is not None:
                file.attrs["assembly_split"] = self.assembly_split
            if self.projection is not None:
                file["rp_edges"] = self.projection.edges
                file["rp_edges"].attrs["unit"] = "Mpc/h"
                file.attrs["pi_max"] = self.projection.pi_max
                file.attrs["line_of_sight"] = self.projection.line_of_sight
            for k, box in enumerate(self.boxes):
                write_box(file.create_group(f"box{k}"), box)
        return target

    @classmethod
    def read(cls, path: str | PathLike[str]) -> HaloTables:
        """Read a file of `write`.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it holds no tables, is damaged, or of a newer format.
        """
        with FORMAT.reading(path) as file:
            names = json.loads(file.attrs["parameters"])
            if tuple(names) != PARAMETERS:
                raise ValueError(f"its parameters are {', '.join(map(str, names))}")
            boxes = [read_box(file[f"box{k}"]) for k in range(int(file.attrs["boxes"]))]
            projection = None
            if "rp_edges" in file:
                pi_max, sight = float(file.attrs["pi_max"]), str(file.attrs["line_of_sight"])
                projection = Projection.of(np.asarray(file["rp_edges"]), pi_max, sight)
            return cls(
                np.asarray(file["nodes"]),
                np.asarray(file["edges"]),
                boxes,
                satellites=str(file.attrs["satellites"]),
                record=json.loads(file["record"].asstr()[()]),
                projection=projection,
                assembly_split=(
                    float(file.attrs["assembly_split"]) if "assembly_split" in file.attrs else None
                ),
            )

    def __eq__(self, other: object) -> bool:
        """Whether every number and the record are the same."""
        if not isinstance(other, HaloTables):
            return NotImplemented
        return (
            np.array_equal(self.nodes, other.nodes)
            and np.array_equal(self.edges, other.edges)
            and self.satellites == other.satellites
            and self.record == other.record
            and self.projection == other.projection
            and self.assembly_split == other.assembly_split
            and len(self.boxes) == len(other.boxes)
            and all(map(same_box, self.boxes, other.boxes))
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        sizes = " and ".join(sorted({checks.box_text(box.boxsize) for box in self.boxes}))
        number = sum(box.halos for box in self.boxes)
        boxes = "a box" if len(self.boxes) == 1 else f"{len(self.boxes)} boxes"
        return (
            f"<HaloTables {self.satellites}: {number} halos of 10**{self.nodes[0]:.4g} to "
            f"10**{self.nodes[-1]:.4g} Msun/h in {boxes} of {sizes} Mpc/h, {len(self.nodes)} "
            f"nodes, {len(self.edges) - 1} bins of {self.edges[0]:g} to {self.edges[-1]:g} Mpc/h"
            f"{self._of_projection()}>"
        )

    def _of_projection(self) -> str:
        if self.projection is None:
            return ""
        edges = self.projection.edges
        return (
            f", {len(edges) - 1} of rp {edges[0]:g} to {edges[-1]:g} Mpc/h within |pi| of "
            f"{self.projection.pi_max:g} along {self.projection.line_of_sight}"
        )

    # ------------------------------------------------------------------ what it is
    @property
    def kind(self) -> str:
        """ "tables"."""
        return "tables"

    @property
    def statistics(self) -> tuple[str, ...]:
        """What `predict` gives: xi, omega and eta; wp, w_gp and w_pp if tabulated."""
        return STATISTICS if self.projection is None else (*STATISTICS, *PROJECTED)

    @property
    def r(self) -> FloatArray:
        """Geometric centers of the bins, Mpc/h; an edge at 0 counts as a quarter of the next."""
        low = np.where(self.edges[:-1] > 0, self.edges[:-1], self.edges[1:] / 4)
        return np.asarray(np.sqrt(low * self.edges[1:]))

    @property
    def has_noise(self) -> bool:
        """Whether `covariance` knows all that a measurement scatters by."""
        return self.knows("total")

    def knows(self, kind: str) -> bool:
        """Whether `covariance` can give this kind."""
        return self._errors.lacks(choice("kind", kind, KINDS)) is None

    @property
    def box(self) -> dict[str, Any]:
        """What is known of the boxes: boxsize, redshift, cosmology, mdef and satellites."""
        meta = self.record.get("meta", {})
        sizes = {one.boxsize for one in self.boxes}
        known = {
            "boxsize": sizes.pop() if len(sizes) == 1 else None,
            "redshift": meta.get("redshift"),
            "cosmology": self.record.get("cosmology"),
            "mdef": meta.get("mdef"),
            "satellites": self.satellites,
        }
        return {name: value for name, value in known.items() if value is not None}

    @property
    def volume(self) -> float:
        """Volume of all boxes together, (Mpc/h)^3."""
        return float(sum(box.volume for box in self.boxes))

    @cached_property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest values of each parameter for which the halos are enough.

        log Mmin goes from the lightest halo to where 20 are above it; the other four as far as
        those of `training_design` at such log Mmin. An HOD within may still need lighter halos
        than there are: `predict` warns of that.
        """
        count, logm = self._cells
        above = np.cumsum(count[::-1])[::-1]
        high = logm[np.flatnonzero(above >= min(_FEW_HALOS, above[0]))[-1]]
        low = float(logm[0])
        high = max(float(high), low + 1e-6)
        found = {"mu_cen": (-1.0, 1.0), "mu_sat": (-1.0, 1.0), "logMmin": (low, high)}
        for name, (least, most) in parameter_bounds(np.linspace(low, high, 65)).items():
            found[name] = (float(least.min()), float(most.max()))
        return found

    def double(self) -> HaloTables:
        """Itself: it computes in float64."""
        return self

    # ------------------------------------------------------------------ what it says
    def predict(
        self, params: Any, *, on_outside: str = "warn", assembly_cen: Any = 0.0,
        assembly_sat: Any = 0.0,
    ) -> TabulatedPrediction:  # fmt: skip
        """Expected xi, omega and eta, wp, w_g+ and w_++ if tabulated, and mean numbers of galaxies.

        Parameters
        ----------
        params : array_like or Tensor, shape (7,) or (n, 7); or mapping
            In the order of `names`; a mapping has them by name.
        on_outside : {"warn", "error", "ignore"}
            What to do about HODs of which halos lighter than the lightest one would hold more than
            1 % of the galaxies.
        assembly_cen, assembly_sat : float, array_like or Tensor, shape () or (n,)
            Assembly bias in [-1, 1], as of `HODModel`, of tables with `assembly_split`.

        Returns
        -------
        TabulatedPrediction
            Made of tensors, differentiable in `params` and in tensors of assembly bias, where
            `params` is one; of float64 arrays otherwise.

        Raises
        ------
        ValueError
            If shape or order are wrong, a value is NaN or has no meaning, or an HOD makes no
            galaxies; or outside, if asked.
        TypeError
            If they are no numbers.

        Warns
        -----
        UserWarning
            With the row.
        """
        table, single, is_tensor = table_of(params)
        values = self._checked(table, on_outside)
        with torch.set_grad_enabled(is_tensor and torch.is_grad_enabled()):
            x = with_assembly(_double(table), self.assembly_split, assembly_cen, assembly_sat)
            rows = len(x) if is_tensor else _ROWS
            every = steady(lambda x: self._evaluated(x, rows), x)
            found = Means(*every[: len(Means._fields)])
            sky = dict(zip(PROJECTED, every[len(Means._fields) :], strict=False))
            boxes, number = len(self.boxes), found.centrals + found.satellites
            self._say_unresolved(values, number.detach().numpy(), on_outside)
            made = [*found[:3], number / self.volume, found.satellites / number,
                    found.centrals / boxes, found.satellites / boxes]  # fmt: skip
            out = [_like(part[0] if single else part, table) for part in made]
            seen = {
                name: Mean(_like(part[0] if single else part, table)) for name, part in sky.items()
            }
        kept = table if is_tensor else values
        return TabulatedPrediction(
            Mean(out[0]), Mean(out[1]), Mean(out[2]), out[3], out[4], out[5], out[6],
            self.r, self.edges.copy(), kept[0] if single else kept, self.names,
            **seen, projection=self.projection,
        )  # fmt: skip

    def _evaluated(self, x: torch.Tensor, rows: int) -> list[torch.Tensor]:
        """`Means` and, if these were tabulated, means in bins of rp, of so many rows at a time."""
        made = list(map(torch.cat, zip(*map(self._means, x.split(rows)), strict=True)))
        if self._projected_means is not None:
            parts = map(self._projected_means, x.split(_ROWS))
            made += map(torch.cat, zip(*parts, strict=True))
        return made

    def means(self, params: torch.Tensor) -> dict[str, torch.Tensor]:
        """Means for use within torch, each of shape (..., b), at parameters (..., 7).

        Differentiable, of the dtype of `params`, whose values are not checked.
        """

        def found(x: torch.Tensor) -> list[torch.Tensor]:
            on_sky = () if self._projected_means is None else self._projected_means(x)
            return [*self._means(x)[:3], *on_sky]

        made = steady(found, params.double())
        return {n: mean.to(params.dtype) for n, mean in zip(self.statistics, made, strict=True)}

    def mean_and_std(self, params: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Means for use within torch, and the standard deviations of one box about them.

        Parameters
        ----------
        params : Tensor, shape (..., 7)

        Returns
        -------
        dict of (Tensor, Tensor)
            Each of shape (..., b), by statistic; differentiable, of the dtype of `params`. Values
            are not checked. The deviations are those of ``covariance(kind="total")``, which takes
            some 20 ms a point; NaN where the tables cannot tell, as of wp, w_gp and w_pp. `means`
            leaves them out.
        """
        means = self.means(params)
        std = torch.full((*params.shape[:-1], 3 * self._means.bins), torch.nan, dtype=params.dtype)
        if self._errors.lacks("total") is None:
            flat = params.double().reshape(-1, len(PARAMETERS))

            def found(x: torch.Tensor) -> list[torch.Tensor]:
                return [torch.stack([self._errors(r, "total").diagonal().sqrt() for r in x])]

            std = steady(found, flat)[0].reshape(std.shape).to(params.dtype)
        parts = std.split(self._means.bins, dim=-1)
        known = dict(zip(STATISTICS, parts, strict=True))
        return {n: (m, known.get(n, torch.full_like(m, torch.nan))) for n, m in means.items()}

    def covariance(self, params: Any, kind: str = "total", *, volume: float | None = None) -> Any:
        """Covariance of a measured xi, omega and eta about the means of `predict`.

        Parameters
        ----------
        params : array_like or Tensor, shape (7,) or (n, 7); or mapping
        kind : {"total", "hod", "cosmic"}
            "hod": by the galaxies and their orientations, given the halos; "cosmic": by the halos,
            of the measurement and of these tables themselves; "total": their sum.
        volume : float, optional
            Volume of the measurement, (Mpc/h)^3; by default that of one of the boxes.

        Returns
        -------
        ndarray or Tensor, shape (3 b, 3 b) or (n, 3 b, 3 b)
            xi in all bins, then omega, then eta; a Tensor, differentiable, where `params` is one.
            NaN in bins that no pair can be in.

        Raises
        ------
        ValueError
            If the tables have not what it takes: sites of galaxies, or several boxes or
            sub-volumes.

        Notes
        -----
        "hod" is analytic: to first order in what one galaxy adds to the pairs (the Hajek
        projection), of satellites on subhalos in what all galaxies of a halo do, since one number
        says which are there; from a sample of sites with their neighbors, and the variance of
        independent pairs. It goes with 1/volume, and needs more than some pairs in a bin.

        "cosmic" is C (1/volume + 1/V), with V the volume of all boxes: the means of the tables
        have such an error themselves. C is the scatter between the boxes, or, where every box has
        `subvolumes`, the jackknife over those. That is conservative: in boxes of 100 Mpc/h its
        errors are 1.3 times too large on average, more at separations near the size of a
        sub-volume. Correlations are shrunk as Schaefer & Strimmer (2005) do; errors of N boxes
        are known to 1/sqrt(2 (N - 1)): a dozen boxes at least.
        """
        choice("kind", kind, KINDS)
        if volume is not None:
            volume = positive("volume", volume)
        missing = self._errors.lacks(kind)
        if missing is not None:
            raise ValueError(f"kind = {kind!r}: {missing}")
        table, single, is_tensor = table_of(params)
        self._checked(table, "ignore")
        with torch.set_grad_enabled(is_tensor and torch.is_grad_enabled()):

            def found(x: torch.Tensor) -> list[torch.Tensor]:
                return [torch.stack([self._errors(row, kind, volume) for row in x])]

            (made,) = steady(found, _double(table))
            return _like(made[0] if single else made, table)

    def jacobian(
        self, params: Any, *, on_outside: str = "warn", assembly_cen: Any = 0.0,
        assembly_sat: Any = 0.0,
    ) -> dict[str, Any]:  # fmt: skip
        """Exact derivatives of the means with respect to the parameters.

        Parameters
        ----------
        params : array_like or Tensor, shape (7,) or (n, 7); or mapping
        on_outside : {"warn", "error", "ignore"}
        assembly_cen, assembly_sat : float, array_like or Tensor, shape () or (n,)
            As of `predict`; derivatives by them come from it, through torch.

        Returns
        -------
        dict of ndarray or Tensor
            "xi", "omega", "eta", each of shape (b, 7) or (n, b, 7); "wp", "w_gp", "w_pp" if
            tabulated.

        Raises
        ------
        ValueError, TypeError
            As `predict`.
        """
        table, single, is_tensor = table_of(params)
        values = self._checked(table, on_outside)
        with torch.set_grad_enabled(is_tensor and torch.is_grad_enabled()):
            x = with_assembly(_double(table), self.assembly_split, assembly_cen, assembly_sat)
            central, satellite = self._means.occupation(x.detach())
            number = (central + satellite) @ self._means.count
            self._say_unresolved(values, number.numpy(), on_outside)
            made = [part for every in steady(self._slopes, x) for part in every.unbind(1)]
            out = [_like(part[0] if single else part, table) for part in made]
        return dict(zip(self.statistics, out, strict=True))

    # ------------------------------------------------------------------ parts
    def _slopes(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Derivatives (n, 3, b, 7) of xi, omega and eta; of means in bins of rp, if tabulated."""
        tables = [t for t in (self._means, self._projected_means) if t is not None]
        parts = x.split(_ROWS // 8)
        return [torch.cat([table.slopes(rows) for rows in parts]) for table in tables]

    @cached_property
    def _cells(self) -> tuple[FloatArray, FloatArray]:
        """Number of halos and mean log mass of the cells that have any, over all boxes."""
        groups = (-1, self._nodes.cells)
        count = np.sum([b.count.reshape(groups).sum(axis=0) for b in self.boxes], axis=0)
        logm = np.sum([(b.count * b.logm).reshape(groups).sum(axis=0) for b in self.boxes], axis=0)
        some = count > 0
        return count[some], np.clip(logm[some] / count[some], self.nodes[0], self.nodes[-1])

    @cached_property
    def _lighter(self) -> tuple[torch.Tensor, torch.Tensor]:
        """log masses below the lightest halo, and halos that a full catalog would have there.

        None of tables of few halos, or of halos of like mass, as `HODModel.unresolved` has it.
        """
        count, logm = self._cells
        near = int(count[logm < self.nodes[0] + np.log10(2)].sum())
        mass, halos = lighter_halos(10.0 ** self.nodes[0], near)
        halos = halos * np.abs(np.gradient(np.log10(mass)))
        halos[[0, -1]] /= 2
        if near < FEW_HALOS or near == int(count.sum()):
            halos[:] = 0
        return torch.from_numpy(np.log10(mass)), torch.from_numpy(halos)

    @cached_property
    def _means(self) -> CellTables:
        """Means of all boxes together."""
        return mean_tables(self.boxes, self._nodes, self.edges, assembly_split=self.assembly_split)

    @cached_property
    def _projected_means(self) -> ProjectedMeanTables | None:
        """Means in bins of rp of all boxes together."""
        boxes = [box.projected for box in self.boxes if box.projected is not None]
        if self.projection is None:
            return None
        some = np.sum([box.count for box in self.boxes], axis=0) > 0
        return ProjectedMeanTables(self._means, boxes, some, self.projection, self.volume)

    @cached_property
    def _errors(self) -> TableErrors:
        return TableErrors(self.boxes, self._nodes, self.edges)

    def _checked(self, table: Any, on_outside: str) -> FloatArray:
        """Parameters as an array; complains as `predict` says."""
        choice("on_outside", on_outside, ("warn", "error", "ignore"))
        values = table
        if isinstance(table, torch.Tensor):
            values = table.detach().to("cpu", torch.float64).numpy()
        check_values(values)
        return np.array(values)

    def _say_unresolved(self, values: FloatArray, number: FloatArray, on_outside: str) -> None:
        """Complain of HODs without galaxies, and of those that need lighter halos."""
        none = np.flatnonzero(~(number > _NONE))
        if none.size:
            raise ValueError(
                f"params: this HOD makes no galaxies in these halos{in_rows(none, len(values))}; "
                "lower logMmin or logM1"
            )
        if on_outside == "ignore":
            return
        with torch.no_grad():
            logm, halos = self._lighter
            central, satellite = mean_numbers(torch.from_numpy(values), logm)
            held = (central + satellite) @ halos
        below = held.numpy() / (held.numpy() + number)
        rows = np.flatnonzero(below > _UNRESOLVED)
        if not rows.size:
            return
        text = (
            f"logMmin = {values[rows[0], 2]:g}: halos below 10**{self.nodes[0]:.4g} Msun/h, the "
            f"lightest that were tabulated, would hold about {100 * below[rows[0]]:.2g} % of the "
            f"galaxies of this HOD{in_rows(rows, len(values))}; tabulate lighter halos, or raise "
            "logMmin"
        )
        if on_outside == "error":
            raise ValueError(text)
        caution(text)

    def _repr_html_(self) -> str:
        """Boxes, nodes and bins, as a table for notebooks."""
        sizes = " and ".join(sorted({checks.box_text(box.boxsize) for box in self.boxes}))
        return html_facts(
            f"Tables of halos, satellites: {self.satellites}",
            (
                ("boxes", len(self.boxes)),
                ("sides [Mpc/h]", sizes),
                ("halos", sum(box.halos for box in self.boxes)),
                ("log10 mass [Msun/h]", f"{self.nodes[0]:.4g} to {self.nodes[-1]:.4g}"),
                ("nodes", len(self.nodes)),
                ("bins", len(self.edges) - 1),
                ("r [Mpc/h]", f"{self.edges[0]:g} to {self.edges[-1]:g}"),
                ("projection", self._of_projection().lstrip(", ") or None),
                ("parameters", ", ".join(self.names)),
            ),
        )


def _double(table: Any) -> torch.Tensor:
    if isinstance(table, torch.Tensor):
        return table.to("cpu", torch.float64)
    return torch.as_tensor(table, dtype=torch.float64)


def _like(made: torch.Tensor, table: Any) -> Any:
    if isinstance(table, torch.Tensor):
        return made.to(table.device, table.dtype)
    return made.numpy()
