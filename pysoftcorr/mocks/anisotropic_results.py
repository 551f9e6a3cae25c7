"""Correlations in bins along and across a line of sight, with their projections and multipoles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from math import factorial
from os import PathLike
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from astropy.table import Table
from numpy.polynomial import Legendre, Polynomial

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.files import FileFormat, check_output, write_table
from pysoftcorr.core.lazy import plots
from pysoftcorr.core.notebook import html_table
from pysoftcorr.core.options import several
from pysoftcorr.core.version import __version__

__all__ = ["Multipoles", "ProjectedCorrelations"]

FloatArray = npt.NDArray[np.float64]
_Kind = TypeVar("_Kind", bound="_BinnedInTwo")


@dataclass(frozen=True, eq=False)
class _BinnedInTwo:
    """Pairs in bins of two coordinates: what both kinds of results hold, and their files."""

    edges: FloatArray
    inner_edges: FloatArray
    separation: FloatArray
    npairs: npt.NDArray[np.int64]
    weight: FloatArray
    rr: FloatArray
    xi: FloatArray
    xi_gp: FloatArray
    xi_gx: FloatArray
    xi_pp: FloatArray
    xi_xx: FloatArray
    xi_px: FloatArray
    settings: dict[str, Any]
    version: str = __version__
    covariance: FloatArray | None = None

    #: Names of the two coordinates in tables, and of what follows from the bins.
    _coordinates: ClassVar[tuple[str, str]]
    derived: ClassVar[tuple[str, ...]]
    _what: ClassVar[str]

    def __eq__(self, other: object) -> bool:
        """Whether every number and the record are the same; NaN equals NaN."""
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    __hash__ = None  # type: ignore[assignment]

    @property
    def has_shapes(self) -> bool:
        """Whether there are correlations of shapes with positions."""
        return bool(np.isfinite(self.xi_gp).any())

    @property
    def statistics(self) -> tuple[str, ...]:
        """Names of what follows from the bins and has values, in the order of the covariance."""
        return tuple(n for n in self.derived if np.isfinite(getattr(self, n)).any())

    @property
    def errors(self) -> dict[str, FloatArray]:
        """Standard deviation of each statistic, shape (nouter,); empty without a covariance."""
        if self.covariance is None:
            return {}
        sigma = np.sqrt(np.diag(self.covariance)).reshape(len(self.statistics), -1)
        return dict(zip(self.statistics, sigma, strict=True))

    @classmethod
    def combine(cls: type[_Kind], results: Sequence[_Kind]) -> _Kind:
        """Mean of several boxes, with the covariance of that mean by their scatter.

        Parameters
        ----------
        results : sequence of results of this class
            Two or more, of independent boxes in the same bins.

        Returns
        -------
        result of this class
            Correlations are means of those of the boxes; `npairs`, `weight` and `rr` are sums. Its
            `covariance`, of shape (k nouter, k nouter), is that of its `statistics` in their order;
            that of one box is ``settings["boxes"]`` times as large.

        Raises
        ------
        ValueError
            If there are fewer than two, or they differ in bins, box, line of sight or space, or are
            means themselves.
        TypeError
            If they are of another class.

        Warns
        -----
        UserWarning
            If there are no more boxes than values, so that the covariance has no inverse.
        """
        results = several("results", results, cls)
        _check_alike(results)
        first, boxes = results[0], len(results)
        names = first.statistics
        values = np.array([np.concatenate([getattr(r, n) for n in names]) for r in results])
        if boxes <= values.shape[1]:
            caution(
                f"results: the covariance of {values.shape[1]} values by {boxes} boxes has no "
                "inverse; errors of single bins may be used, or take more boxes or fewer bins"
            )
        pairs = np.array([r.npairs for r in results])
        weight = np.array([r.weight for r in results])
        each = weight.sum(axis=2)
        # A box without pairs in a bin has no mean separation there.
        along = np.where(each > 0, each * np.array([r.separation for r in results]), 0.0)
        total = each.sum(axis=0)
        mean = {
            n: np.mean([getattr(r, n) for r in results], axis=0)
            for n in _SQUARE
            if n.startswith("xi")
        }
        return replace(
            first,
            **mean,
            separation=np.where(total > 0, along.sum(axis=0), np.nan)
            / np.where(total > 0, total, 1),
            npairs=pairs.sum(axis=0),
            weight=weight.sum(axis=0),
            rr=np.sum([r.rr for r in results], axis=0),
            settings={**first.settings, "n": [r.settings["n"] for r in results], "boxes": boxes},
            covariance=np.cov(values, rowvar=False) / boxes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as lists, numbers and text, as JSON can hold them: NaN is None."""
        outer, inner = self._coordinates
        out: dict[str, Any] = {f"{outer}_edges": _plain(self.edges)}
        out[f"{inner}_edges"] = _plain(self.inner_edges)
        out[outer] = _plain(self.separation)
        out |= {name: _plain(getattr(self, name)) for name in self.derived}
        out["errors"] = {name: _plain(values) for name, values in self.errors.items()}
        if self.covariance is not None:
            out["covariance"] = _plain(self.covariance)
        out |= {name: _plain(getattr(self, name)) for name in _SQUARE}
        return out | {"settings": self.settings, "version": self.version}

    def to_table(self) -> Table:
        """One row a bin of the first coordinate; columns of both are arrays.

        Edges of the second coordinate, covariance, settings and version are JSON in
        ``meta["PYSOFTCORR"]``.
        """
        outer, inner = self._coordinates
        table = Table()
        table[f"{outer}_lo"], table[f"{outer}_hi"] = self.edges[:-1], self.edges[1:]
        table[outer] = self.separation
        for name in self.derived:
            table[name] = getattr(self, name)
            if name in self.errors:
                table[f"{name}_err"] = self.errors[name]
        for name in _SQUARE:
            table[name] = getattr(self, name)
        record: dict[str, Any] = {f"{inner}_edges": self.inner_edges.tolist()}
        if self.covariance is not None:
            record["covariance"] = self.covariance.tolist()
        record |= {"settings": self.settings, "version": self.version}
        table.meta["PYSOFTCORR"] = json.dumps(record)
        return table

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write to ECSV, whole or not at all; `read` gives an equal result.

        Raises
        ------
        ValueError
            If the suffix is not .ecsv; `to_table` gives a table that astropy writes otherwise.
        FileExistsError
            If the file is there and `overwrite` is not set.
        FileNotFoundError, OSError
            If nothing can be written there.
        """
        target = check_output(path, suffixes=(".ecsv",), overwrite=overwrite)
        write_table(self.to_table(), target, overwrite=overwrite)

    @classmethod
    def read(cls: type[_Kind], path: str | PathLike[str]) -> _Kind:
        """Read a file of `write`; FileNotFoundError, or ValueError where it is none."""
        form = FileFormat(f"pysoftcorr {cls._what}", cls._what)
        source = form.existing(path)
        table = form.read_table(source)
        outer, inner = cls._coordinates
        if f"{outer}_lo" not in table.colnames:
            raise form.foreign(source)
        with form.damage(source):
            record = json.loads(table.meta["PYSOFTCORR"])
            columns = {n: np.ma.filled(np.ma.asarray(table[n]), np.nan) for n in table.colnames}
            return cls(
                edges=np.append(columns[f"{outer}_lo"], columns[f"{outer}_hi"][-1:]),
                inner_edges=np.array(record[f"{inner}_edges"]),
                separation=columns[outer],
                **{name: columns[name] for name in _SQUARE},
                settings=record["settings"],
                version=record["version"],
                covariance=np.array(record["covariance"]) if "covariance" in record else None,
            )

    #: Settings in which realizations agree, as far as they are known.

    def _repr_html_(self) -> str:
        """The columns of one number a bin, as a table for notebooks."""
        return html_table(self.to_table(), caption="lengths in Mpc/h")


_OF_A_KIND = (
    "boxsize", "line_of_sight", "periodic", "auto", "weighted", "redshift_space", "redshift",
    "cosmology", "mdef", "satellites",
)  # fmt: skip
#: Arrays of a bin of both coordinates.
_SQUARE = ("npairs", "weight", "rr", "xi", "xi_gp", "xi_gx", "xi_pp", "xi_xx", "xi_px")


class ProjectedCorrelations(_BinnedInTwo):
    """Correlations in bins of rp and |pi|, and their projections along the line of sight.

    Attributes
    ----------
    edges : ndarray, shape (nrp + 1,)
        Edges of the bins (lo, hi] of rp, the separation across the line of sight, comoving Mpc/h.
    pi_edges : ndarray, shape (npi + 1,)
        Edges of the bins of |pi|, the separation along it, Mpc/h; the first is 0.
    rp : ndarray, shape (nrp,)
        Weighted mean rp of the pairs, Mpc/h; NaN without pairs.
    npairs : ndarray of int64, shape (nrp, npi)
        Pairs; of one set each counts once.
    weight, rr : ndarray, shape (nrp, npi)
        Sum of w_i w_j, of one set over both orders of a pair, and what it would be on average of
        unclustered objects.
    xi : ndarray, shape (nrp, npi)
        weight/rr - 1.
    xi_gp, xi_gx, xi_pp, xi_xx, xi_px : ndarray, shape (nrp, npi)
        Sums of shapes about pairs over `rr`: plus and cross with positions, plus-plus,
        cross-cross, and the mean of plus-cross and cross-plus. Plus is positive where shapes point
        along the separation. NaN without shapes.
    wp, w_gp, w_gx, w_pp, w_xx, w_px : ndarray, shape (nrp,)
        Twice the sum over |pi| of each times the width of the bin, Mpc/h.
    covariance : ndarray, or None
        Of the `statistics` of a mean of several boxes, made by `combine`; ``errors`` has their
        standard deviations by name.
    settings : dict
    version : str

    Examples
    --------
    >>> from pysoftcorr.mocks import projected_correlations
    >>> result = projected_correlations(
    ...     [[1.0, 1.0, 1.0], [3.0, 1.0, 4.0]], [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], boxsize=20,
    ...     rp_bins=[1, 4], pi_max=5, pi_bins=[0, 2.5, 5])
    >>> result.npairs.tolist(), result.rp.tolist()
    ([[0, 1]], [2.0])
    >>> result.w_gp.round(3).tolist(), result.w_pp.round(3).tolist(), result.w_xx.tolist()
    ([84.883], [84.883], [0.0])
    """

    _coordinates = ("rp", "pi")
    derived = ("wp", "w_gp", "w_gx", "w_pp", "w_xx", "w_px")
    _what = "projected correlations"

    @property
    def rp(self) -> FloatArray:
        """Weighted mean rp of the pairs, shape (nrp,), Mpc/h."""
        return self.separation

    @property
    def pi_edges(self) -> FloatArray:
        """Edges of the bins of |pi|, shape (npi + 1,), Mpc/h."""
        return self.inner_edges

    def _projected(self, name: str) -> FloatArray:
        return np.asarray(2.0 * (getattr(self, name) * np.diff(self.inner_edges)).sum(axis=1))

    @property
    def wp(self) -> FloatArray:
        """Projected correlation of positions, shape (nrp,), Mpc/h."""
        return self._projected("xi")

    @property
    def w_gp(self) -> FloatArray:
        """Projected position-shape correlation w_g+, shape (nrp,), Mpc/h."""
        return self._projected("xi_gp")

    @property
    def w_gx(self) -> FloatArray:
        """Cross component of `w_gp`, 0 on average by parity, shape (nrp,), Mpc/h."""
        return self._projected("xi_gx")

    @property
    def w_pp(self) -> FloatArray:
        """Projected shape-shape correlation w_++, shape (nrp,), Mpc/h."""
        return self._projected("xi_pp")

    @property
    def w_xx(self) -> FloatArray:
        """Projected correlation of the cross components, shape (nrp,), Mpc/h."""
        return self._projected("xi_xx")

    @property
    def w_px(self) -> FloatArray:
        """Plus with cross, 0 on average by parity, shape (nrp,), Mpc/h."""
        return self._projected("xi_px")

    def plot(self) -> Any:
        """Draw wp and the projected alignments, and xi(rp, pi) as a map; a matplotlib Figure."""
        return plots().plot_projected(self)


class Multipoles(_BinnedInTwo):
    """Correlations in bins of s and |mu|, and their multipoles about the line of sight.

    Attributes
    ----------
    edges : ndarray, shape (ns + 1,)
        Edges of the bins (lo, hi] of the separation s, comoving Mpc/h.
    mu_edges : ndarray, shape (nmu + 1,)
        Edges of the bins of |mu|, mu = pi/s, from 0 to 1.
    s : ndarray, shape (ns,)
        Weighted mean separation of the pairs, Mpc/h; NaN without pairs.
    npairs, weight, rr, xi, xi_gp, xi_gx, xi_pp, xi_xx, xi_px : ndarray, shape (ns, nmu)
        As of `ProjectedCorrelations`.
    xi0, xi2, xi4 : ndarray, shape (ns,)
        Monopole, quadrupole and hexadecapole of xi.
    gp2, gp4 : ndarray, shape (ns,)
        Quadrupole and hexadecapole of xi_gp in associated Legendre polynomials of order 2.
    gx2 : ndarray, shape (ns,)
        The same quadrupole of xi_gx, 0 on average by parity.
    ii0, ii2, ii4 : ndarray, shape (ns,)
        Multipoles of xi_pp + xi_xx.
    ii44 : ndarray, shape (ns,)
        Hexadecapole of xi_pp - xi_xx in the polynomial of order 4.
    covariance : ndarray, or None
        As of `ProjectedCorrelations`.
    settings : dict
    version : str

    Notes
    -----
    Of a correlation of spin m (0 of positions, 2 of xi_gp, 0 and 4 of the two of shapes with
    shapes), xi_lm = (2l+1)/2 (l-m)!/(l+m)! times the integral over mu from -1 to 1 of xi times
    L_l^m(mu), the associated Legendre polynomial: Singh et al. 2024, MNRAS 530, 3515. Bins of mu
    are taken as constant and the polynomials integrated exactly.

    In real space, where no direction is special, xi_gp goes as 1 - mu^2: all of it is in gp2, which
    is then (1 + xi) omega/2 for shapes that follow from 3-D axes as here, with omega of
    `box_correlations`.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks import multipoles
    >>> rng = np.random.default_rng(1)
    >>> result = multipoles(rng.uniform(0, 60, (10_000, 3)), boxsize=60, bins=[4, 8, 16])
    >>> bool(np.abs([result.xi0, result.xi2, result.xi4]).max() < 0.05)
    True
    """

    _coordinates = ("s", "mu")
    derived = ("xi0", "xi2", "xi4", "gp2", "gp4", "gx2", "ii0", "ii2", "ii4", "ii44")
    _what = "multipoles"

    @property
    def s(self) -> FloatArray:
        """Weighted mean separation of the pairs, shape (ns,), Mpc/h."""
        return self.separation

    @property
    def mu_edges(self) -> FloatArray:
        """Edges of the bins of |mu|, shape (nmu + 1,)."""
        return self.inner_edges

    def _moment(self, values: FloatArray, degree: int, order: int = 0) -> FloatArray:
        primitive = _associated(degree, order).integ()
        scale = (2 * degree + 1) * factorial(degree - order) / factorial(degree + order)
        return np.asarray(scale * (values * np.diff(primitive(self.inner_edges))).sum(axis=1))

    @property
    def xi0(self) -> FloatArray:
        """Monopole of xi, shape (ns,)."""
        return self._moment(self.xi, 0)

    @property
    def xi2(self) -> FloatArray:
        """Quadrupole of xi, shape (ns,)."""
        return self._moment(self.xi, 2)

    @property
    def xi4(self) -> FloatArray:
        """Hexadecapole of xi, shape (ns,)."""
        return self._moment(self.xi, 4)

    @property
    def gp2(self) -> FloatArray:
        """Quadrupole of the position-shape correlation, shape (ns,)."""
        return self._moment(self.xi_gp, 2, 2)

    @property
    def gp4(self) -> FloatArray:
        """Hexadecapole of the position-shape correlation, 0 in real space, shape (ns,)."""
        return self._moment(self.xi_gp, 4, 2)

    @property
    def gx2(self) -> FloatArray:
        """Quadrupole of the cross component, 0 on average by parity, shape (ns,)."""
        return self._moment(self.xi_gx, 2, 2)

    @property
    def ii0(self) -> FloatArray:
        """Monopole of xi_pp + xi_xx, shape (ns,)."""
        return self._moment(self.xi_pp + self.xi_xx, 0)

    @property
    def ii2(self) -> FloatArray:
        """Quadrupole of xi_pp + xi_xx, shape (ns,)."""
        return self._moment(self.xi_pp + self.xi_xx, 2)

    @property
    def ii4(self) -> FloatArray:
        """Hexadecapole of xi_pp + xi_xx, shape (ns,)."""
        return self._moment(self.xi_pp + self.xi_xx, 4)

    @property
    def ii44(self) -> FloatArray:
        """Hexadecapole of xi_pp - xi_xx, order 4, shape (ns,)."""
        return self._moment(self.xi_pp - self.xi_xx, 4, 4)

    def plot(self) -> Any:
        """Draw the multipoles of xi and of the alignments; a matplotlib Figure."""
        return plots().plot_multipoles(self)


@cache
def _associated(degree: int, order: int) -> Polynomial:
    """Associated Legendre polynomial of even order, without the Condon-Shortley phase."""
    derivative = Legendre.basis(degree).deriv(order).convert(kind=Polynomial)
    return derivative * Polynomial([1.0, 0.0, -1.0]) ** (order // 2)


def _check_alike(results: Sequence[Any]) -> None:
    """ValueError where results are not those of several boxes alike."""
    if len(results) < 2:
        raise ValueError(f"results: {len(results)} given; a scatter needs two boxes or more")
    for number, result in enumerate(results):
        if result.covariance is not None:
            raise ValueError(f"results[{number}] is a mean of boxes itself; give the boxes")
        for name in ("edges", "inner_edges"):
            if not np.array_equal(getattr(result, name), getattr(results[0], name)):
                raise ValueError(f"results[{number}] has other bins than results[0]")
        for name in _OF_A_KIND:
            one, other = (r.settings.get(name) for r in (results[0], result))
            if one != other:
                raise ValueError(
                    f"results[{number}] is of another {name} ({other!r}) than results[0] "
                    f"({one!r}): realizations are boxes of one kind"
                )
        if result.statistics != results[0].statistics:
            here, there = (", ".join(r.statistics) for r in (result, results[0]))
            raise ValueError(f"results[{number}] has {here}, and results[0] {there}")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)
    return type(a) is type(b) and bool(a == b)


def _plain(values: npt.NDArray[Any]) -> Any:
    if values.ndim == 2:
        return [_plain(row) for row in values]
    return [None if v != v else v for v in values.tolist()]
