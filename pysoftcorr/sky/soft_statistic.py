"""What differentiable statistics of pairs in soft bins have in common: values and derivatives."""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.extras import need
from pysoftcorr.core.options import finite_numbers, mapping, numbers
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.soft_bins import WEIGHTINGS

if TYPE_CHECKING:
    import torch

__all__ = ["Objects", "Pairs", "SoftStatistic"]

FloatArray = npt.NDArray[np.float64]
Columns = dict[str, FloatArray]


@dataclass(frozen=True)
class Objects:
    """Objects of one catalog as Julia takes them: a row a column, in its order."""

    argument: str  # of the method that was called
    names: tuple[str, ...]
    rows: FloatArray  # (c, N)
    units: FloatArray  # (c,): of the columns' own unit in that of `rows`

    def __len__(self) -> int:
        return self.rows.shape[1]


@dataclass(frozen=True)
class Pairs:
    """Everything that a statistic is taken of: one set of objects or two, bins and settings."""

    objects: tuple[Objects, ...]
    bins: FloatArray  # (3, nbins), in the unit of the rows
    options: tuple[int, ...]  # as julia/src/entries/softstatistics.jl has them
    numbers: FloatArray


class SoftStatistic(ABC):
    """A statistic of pairs of objects in soft bins, with its derivatives.

    Made by its subclasses, which say what the catalogs are.
    """

    #: What is estimated, in the order of the values.
    statistics: ClassVar[tuple[str, ...]]
    #: Names of the catalogs, in the order in which methods take them.
    catalogs: ClassVar[tuple[str, ...]]
    #: Columns that are vectors (N, 3), by the names of their components.
    _vectors: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: Column that may be left out of tensors: 1 then.
    _weights: ClassVar[str] = "w"
    _kind: ClassVar[int]
    #: Why some pairs have no direction, for a warning that counts those that are left out.
    _left_out: ClassVar[str] = ""

    bins: Binning
    weighting: str
    _bins: FloatArray

    @property
    def nbins(self) -> int:
        """Number of bins."""
        return self.bins.nbins

    @property
    def sharpness(self) -> FloatArray:
        """Sharpness of each bin, shape (nbins,)."""
        return self._bins[2].copy()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value: (nbins,), or (number of statistics, nbins) of several."""
        several = len(self.statistics) > 1
        return (len(self.statistics), self.nbins) if several else (self.nbins,)

    def __repr__(self) -> str:
        what = ", ".join(self.statistics)
        return f"<{type(self).__name__}: {what} in {self.bins}, {self.weighting}>"

    # ------------------------------------------------------------------ of its subclasses
    @abstractmethod
    def _prepare(self, *catalogs: Any) -> Pairs:
        """Checked catalogs as Julia takes them."""

    @abstractmethod
    def _catalog(self, argument: str, columns: Columns, **units: Any) -> Any:
        """The catalog of some columns: those of tensors."""

    # ------------------------------------------------------------------ what it gives
    def value(self, *catalogs: Any) -> FloatArray:
        """The statistic in each bin.

        Parameters
        ----------
        *catalogs
            Those that the class names, in its order.

        Returns
        -------
        ndarray
            Shape (nbins,), or (number of statistics, nbins), a row for each of `statistics`.

        Raises
        ------
        ValueError, TypeError
            Another number or kind of catalogs, columns that lack, weights that are negative.

        Warns
        -----
        UserWarning
            A bin has no pairs (NaN); pairs that are left out.
        """
        return self._values(self._given(catalogs))[0].reshape(self.shape)

    def vjp(self, *catalogs: Any, cotangent: npt.ArrayLike) -> dict[str, Any]:
        """Gradient of the sum of all values times `cotangent`, with respect to every object.

        Parameters
        ----------
        *catalogs
            As for `value`.
        cotangent : array_like, of the shape of the value

        Returns
        -------
        dict of str to ndarray, shape (N,)
            A gradient for each column; per degree for "ra" and "dec", per unit of the column for
            others. Of two catalogs a dict of such dicts, by the names of the catalogs.

        Raises
        ------
        ValueError, TypeError
            As for `value`; a cotangent of another shape, or not finite.
        """
        given = self._cotangent(cotangent)
        pairs = self._given(catalogs)
        rows = self._pull(pairs, given[None])[1]
        return self._named(pairs, [part[:, 0] for part in rows])

    def jvp(self, *catalogs: Any, tangents: Mapping[str, Any]) -> FloatArray:
        """Derivative of the value along a change of the objects.

        Parameters
        ----------
        *catalogs
            As for `value`.
        tangents : mapping of str to array_like, shape (N,)
            The change of some of the columns, 0 for the rest; of two catalogs mappings of such
            mappings, as `vjp` returns them.

        Returns
        -------
        ndarray
            Of the shape of the value.

        Raises
        ------
        ValueError, TypeError
            As for `value`; an unknown name, a change of another shape or not finite.
        """
        pairs = self._given(catalogs)
        return self._values(pairs, self._tangents(pairs, tangents))[1].reshape(self.shape)

    def hvp(
        self, *catalogs: Any, cotangent: npt.ArrayLike, tangents: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Second derivatives: how `vjp` changes as the objects do, a Hessian-vector product.

        Parameters
        ----------
        *catalogs
            As for `value`.
        cotangent, tangents
            As for `vjp` and `jvp`.

        Returns
        -------
        dict
            As of `vjp`.

        Raises
        ------
        ValueError, TypeError
            As for `vjp` and `jvp`.
        """
        given = self._cotangent(cotangent)
        pairs = self._given(catalogs)
        rows = self._pull(pairs, given[None], self._tangents(pairs, tangents))[2]
        return self._named(pairs, [part[:, 0] for part in rows])

    def jacobian(self, *catalogs: Any) -> dict[str, Any]:
        """Gradient of every value: a dict as of `vjp`, of arrays (\\*shape of the value, N).

        One pass over the pairs for each of the values: see `weight_jacobian` where weights alone
        change.
        """
        pairs = self._given(catalogs)
        rows = self._pull(pairs, self._each())[1]
        return self._named(
            pairs, [part.reshape(len(part), *self.shape, part.shape[-1]) for part in rows]
        )

    def value_and_weight_jacobian(self, *catalogs: Any) -> tuple[FloatArray, Any]:
        """The value and its derivatives by all weights, from one pass over the pairs.

        Sums over pairs are linear in the weight of each object: those of every object with all
        others make up the value, and are its derivatives as well.

        Parameters
        ----------
        *catalogs
            As for `value`.

        Returns
        -------
        value : ndarray
        by_weights : ndarray, shape (\\*shape of the value, N)
            Of two catalogs a dict of these by the names of the catalogs.

        Raises
        ------
        ValueError, TypeError
            As for `value`.
        """
        pairs = self._given(catalogs)
        value, by = self._by_weights(pairs)
        if len(by) == 1:
            return value, by[0]
        return value, dict(zip(self.catalogs, by, strict=True))

    def bin_weights(self, separation: npt.ArrayLike) -> FloatArray:
        """Weight of separations in every bin, shape (nbins, ...), in the unit of the bins."""
        given = finite_numbers("separation", separation)
        out = np.empty((self.nbins, given.size))
        gaussian = WEIGHTINGS[self.weighting]
        call("soft_bin_weights", given.size, given, gaussian, self.nbins, self._bins, out)
        return out.reshape((self.nbins, *given.shape))

    def torch(
        self, *catalogs: Mapping[str, torch.Tensor], xy_unit: str | None = None
    ) -> torch.Tensor:
        """The value as a node of a torch graph.

        Parameters
        ----------
        *catalogs : mapping of str to torch.Tensor
            The columns of each catalog by their names, as `vjp` returns them; weights may be left
            out. Any floating dtype and device; the work is done in float64 on the CPU.
        xy_unit : str, optional
            Unit of "x" and "y" of flat catalogs; arcmin by default.

        Returns
        -------
        torch.Tensor, of the shape of the value
            On the device and of the widest dtype of the inputs. Differentiable twice, also by
            `torch.func`; where weights alone ask for a derivative, from the pass of the value.

        Raises
        ------
        ImportError
            torch is not installed.
        ValueError, TypeError
            As for `value`; columns that lack or that there are not; no floating tensor.
        RuntimeError
            Third derivatives are asked for.
        """
        need("torch", f"{type(self).__name__}.torch")
        from pysoftcorr.sky import soft_torch

        self._count(catalogs)
        tensors: list[tuple[str, str, Any]] = []
        for argument, columns in zip(self.catalogs, catalogs, strict=True):
            given = self._components(mapping(argument, columns), lambda v: v.unbind(-1))
            names = self._columns(argument, "x" in given)
            unknown = [str(name) for name in given if name not in names]
            lacking = [name for name in names if name not in given and name != self._weights]
            if unknown or lacking:
                parts = [f"there is no {', '.join(unknown)}"] * bool(unknown)
                parts += [f"{', '.join(lacking)} must be given"] * bool(lacking)
                raise ValueError(f"{argument}: {'; '.join(parts)}: columns are {', '.join(names)}")
            for name in names:
                column = given.get(name)
                if column is None:
                    first = given[names[0]]
                    column = first.detach().new_ones(first.shape) if hasattr(first, "shape") else 1
                tensors.append((argument, name, column))
        units = {} if xy_unit is None else {"xy_unit": xy_unit}
        nodes = StatisticNodes(self, [(a, n) for a, n, _ in tensors], units)
        asking = {n for _, n, t in tensors if getattr(t, "requires_grad", False)}
        nodes.expecting = asking == {self._weights}
        return soft_torch.xi(nodes, *(t for _, _, t in tensors))

    def _components(self, given: dict[str, Any], split: Any) -> dict[str, Any]:
        """Columns with vectors in their components."""
        out: dict[str, Any] = {}
        for name, column in given.items():
            if name not in self._vectors:
                out[name] = column
                continue
            if getattr(column, "shape", (0,))[-1:] != (3,) or column.ndim != 2:
                raise ValueError(
                    f"{name} has shape {tuple(getattr(column, 'shape', ()))}: must be (N, 3)"
                )
            out.update(zip(self._vectors[name], split(column), strict=True))
        return out

    @abstractmethod
    def _columns(self, argument: str, flat: bool) -> tuple[str, ...]:
        """Names of the columns of a catalog, in Julia's order."""

    # ------------------------------------------------------------------ its arguments
    def _count(self, catalogs: Sequence[Any]) -> None:
        if len(catalogs) != len(self.catalogs):
            raise TypeError(
                f"{type(self).__name__} takes {' and '.join(self.catalogs)}; "
                f"{len(catalogs)} catalogs were given"
            )

    def _given(self, catalogs: Sequence[Any]) -> Pairs:
        self._count(catalogs)
        return self._prepare(*catalogs)

    def _cotangent(self, cotangent: npt.ArrayLike) -> FloatArray:
        given = numbers("cotangent", cotangent)
        if given.shape != self.shape:
            raise ValueError(f"cotangent has shape {given.shape}: must be {self.shape}")
        if not np.isfinite(given).all():
            raise ValueError("cotangent is not finite: put 0 where a bin is left out")
        return given

    def _each(self) -> FloatArray:
        size = int(np.prod(self.shape))
        return np.eye(size).reshape(size, *self.shape)

    def _tangents(self, pairs: Pairs, tangents: Mapping[str, Any]) -> list[FloatArray]:
        """Changes (c, N) of the rows of each set."""
        given = mapping("tangents", tangents)
        if len(pairs.objects) == 1:
            given = {pairs.objects[0].argument: given}
        known = [o.argument for o in pairs.objects]
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ValueError(f"tangents has {unknown[0]!r}: must be among {', '.join(known)}")
        along = []
        for objects in pairs.objects:
            rows = np.zeros_like(objects.rows)
            changes = mapping("tangents", given.get(objects.argument, {}))
            changes = self._components(
                {n: np.asarray(c) if n in self._vectors else c for n, c in changes.items()},
                lambda v: v.T,
            )
            for name, change in changes.items():
                if name not in objects.names:
                    raise ValueError(
                        f"tangents has {name!r}: must be among {', '.join(objects.names)}"
                    )
                array = numbers(f"tangents[{name!r}]", change)
                if array.shape != (len(objects),) or not np.isfinite(array).all():
                    raise ValueError(
                        f"tangents[{name!r}] must be {len(objects)} finite numbers; its shape is "
                        f"{array.shape}"
                    )
                rows[objects.names.index(name)] = array
            along.append(rows * objects.units[:, None])
        return along

    def _named(self, pairs: Pairs, parts: Sequence[FloatArray]) -> dict[str, Any]:
        """Dicts of what there is for each column, (c, ...)."""
        named = {
            o.argument: self._joined(dict(zip(o.names, part, strict=True)))
            for o, part in zip(pairs.objects, parts, strict=True)
        }
        return named if len(named) > 1 else named[pairs.objects[0].argument]

    def _joined(self, columns: Columns) -> Columns:
        """Columns with components in their vectors (..., 3)."""
        out = {}
        for name, parts in self._vectors.items():
            out[name] = np.stack([columns.pop(part) for part in parts], axis=-1)
        return {**out, **columns}

    # ------------------------------------------------------------------ the calls
    def _arguments(self, pairs: Pairs) -> tuple[Any, ...]:
        first, *others = pairs.objects
        second = others[0].rows if others else np.empty((0, 0))
        return (
            self._kind, np.array(pairs.options, dtype=np.int64), pairs.numbers, len(first),
            first.rows, second.shape[1], second, self.nbins, pairs.bins,
        )  # fmt: skip

    @staticmethod
    def _pair_of(along: Sequence[FloatArray] | None) -> tuple[int, FloatArray, FloatArray]:
        if along is None:
            return 0, np.empty(0), np.empty(0)
        first, *others = (np.ascontiguousarray(a) for a in along)
        return 1, first, others[0] if others else np.empty(0)

    def _values(self, pairs: Pairs, along: Sequence[FloatArray] | None = None) -> FloatArray:
        """The value and its derivative along changes of the rows, (2, V, nbins)."""
        out, report = np.empty((2, len(self.statistics), self.nbins)), np.zeros(1)
        call("soft_statistic", *self._arguments(pairs), *self._pair_of(along), out, report)
        self._warn(out[0], report[0])
        return out

    def _pull(
        self, pairs: Pairs, cotangents: FloatArray, along: Sequence[FloatArray] | None = None
    ) -> tuple[FloatArray, list[FloatArray], list[FloatArray]]:
        """The value; gradients (c, R, N) by the columns of each set; and how these change."""
        r = len(cotangents)
        shapes = [(o.rows.shape[0], r, len(o)) for o in pairs.objects]
        back = [np.empty(shape) for shape in shapes]
        more = [np.empty(shape if along is not None else 0) for shape in shapes]
        empty = [np.empty(0)] * (2 - len(shapes))
        value, report = np.empty((len(self.statistics), self.nbins)), np.zeros(1)
        call(
            "soft_statistic_pullback", *self._arguments(pairs), r,
            np.ascontiguousarray(cotangents), *self._pair_of(along), value, *back, *empty, *more,
            *empty, report,
        )  # fmt: skip
        self._warn(value, report[0])
        for parts in (back, more if along is not None else []):
            for part, objects in zip(parts, pairs.objects, strict=False):
                part *= objects.units[:, None, None]
        return value, back, more

    def _by_weights(self, pairs: Pairs) -> tuple[FloatArray, list[FloatArray]]:
        """The value, and its derivatives (*shape, N) by the weights of each set."""
        value = np.empty((len(self.statistics), self.nbins))
        by = [np.empty((len(o), *value.shape)) for o in pairs.objects]
        empty = [np.empty(0)] * (2 - len(by))
        call("soft_statistic_weights", *self._arguments(pairs), value, *by, *empty)
        self._warn(value, 0)
        parts = []
        for part, objects in zip(by, pairs.objects, strict=True):
            unit = objects.units[objects.names.index(self._weights)]
            parts.append(np.moveaxis(part * unit, 0, -1).reshape(*self.shape, len(objects)))
        return value.reshape(self.shape), parts

    def _warn(self, value: FloatArray, coincident: float) -> None:
        count = int(coincident)
        if count and self._left_out:
            warnings.warn(
                f"{count} pair{'s' if count > 1 else ''} of objects at one place {self._left_out}",
                stacklevel=4,
            )
        empty = np.flatnonzero(np.isnan(value).any(axis=0))
        if empty.size:
            warnings.warn(
                f"no pairs in bin{'s' if empty.size > 1 else ''} "
                f"{', '.join(map(str, empty))} of {self.bins}: the value is NaN, the gradient 0",
                stacklevel=4,
            )


class StatisticNodes:
    """A statistic and its derivatives, from arrays of columns, for the graphs of torch."""

    def __init__(
        self, statistic: SoftStatistic, columns: Sequence[tuple[str, str]], units: dict[str, Any]
    ) -> None:
        self.statistic, self.columns, self.units = statistic, columns, units
        single = len(statistic.catalogs) == 1
        self.fields = tuple(name if single else f"{a}[{name!r}]" for a, name in columns)
        #: Whether the derivatives by weights are kept with the value, which gives them as well.
        self.expecting = False
        self._kept: tuple[list[FloatArray], list[FloatArray]] | None = None
        self._wanted: Sequence[bool] = ()

    def wanting(self, wanted: Sequence[bool]) -> StatisticNodes:
        """These, of whose gradients only some columns' are asked for."""
        nodes = copy.copy(self)
        nodes._wanted = wanted
        return nodes

    def _kept_of(self, arrays: Sequence[FloatArray]) -> list[FloatArray] | None:
        """Derivatives by weights of each set, where they are known and all that is wanted."""
        weights = [name == self.statistic._weights for _, name in self.columns]
        others = any(w and not of for w, of in zip(self._wanted, weights, strict=False))
        if self._kept is None or not self._wanted or others:
            return None
        kept, by = self._kept
        same = all(np.array_equal(a, b) for a, b in zip(kept, arrays, strict=True))
        return by if same else None

    def _at(self, arrays: Sequence[FloatArray]) -> Pairs:
        of_catalogs: dict[str, Columns] = {}
        for (argument, name), array in zip(self.columns, arrays, strict=True):
            of_catalogs.setdefault(argument, {})[name] = array
        made = [self.statistic._catalog(a, c, **self.units) for a, c in of_catalogs.items()]
        return self.statistic._prepare(*made)

    def value(self, arrays: Sequence[FloatArray]) -> FloatArray:
        """The value."""
        if self.expecting:
            value, by = self.statistic._by_weights(self._at(arrays))
            self._kept = list(arrays), by
            return value
        return self.statistic._values(self._at(arrays))[0].reshape(self.statistic.shape)

    def pull(self, cotangent: FloatArray, arrays: Sequence[FloatArray]) -> list[FloatArray]:
        """Gradients of a sum of the values by each column, (N,)."""
        by = self._kept_of(arrays)
        if by is not None:
            axes = tuple(range(cotangent.ndim))
            rows = iter(np.tensordot(cotangent, part, (axes, axes)) for part in by)
            return [
                next(rows) if name == self.statistic._weights else np.zeros_like(array)
                for (_, name), array in zip(self.columns, arrays, strict=True)
            ]
        back = self.statistic._pull(self._at(arrays), cotangent[None])[1]
        return [row[0] for part in back for row in part]

    def push(self, tangents: Sequence[FloatArray], arrays: Sequence[FloatArray]) -> FloatArray:
        """Derivative of the value along changes of the columns."""
        pairs = self._at(arrays)
        found = self.statistic._values(pairs, self._along(pairs, tangents))
        return found[1].reshape(self.statistic.shape)

    def second(
        self,
        cotangent: FloatArray,
        tangents: Sequence[FloatArray],
        arrays: Sequence[FloatArray],
    ) -> list[FloatArray]:
        """How `pull` changes along changes of the columns."""
        pairs = self._at(arrays)
        rows = self.statistic._pull(pairs, cotangent[None], self._along(pairs, tangents))[2]
        return [row[0] for part in rows for row in part]

    def bend(
        self,
        one: Sequence[FloatArray],
        other: Sequence[FloatArray],
        arrays: Sequence[FloatArray],
    ) -> FloatArray:
        """Second derivative of each value along two changes."""
        pairs = self._at(arrays)
        rows = self.statistic._pull(pairs, self.statistic._each(), self._along(pairs, one))[2]
        columns = [row for part in rows for row in part]
        total = sum(row @ change for row, change in zip(columns, other, strict=True))
        return np.asarray(total).reshape(self.statistic.shape)

    @staticmethod
    def _along(pairs: Pairs, tangents: Sequence[FloatArray]) -> list[FloatArray]:
        rest = list(tangents)
        along = []
        for objects in pairs.objects:
            rows, rest = rest[: len(objects.names)], rest[len(objects.names) :]
            along.append(np.stack(rows) * objects.units[:, None])
        return along
