"""What differentiable statistics of pairs in soft bins have in common: values and derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.extras import need
from pysoftcorr.core.options import finite_numbers, mapping, numbers
from pysoftcorr.sky.soft_bins import WEIGHTINGS
from pysoftcorr.sky.soft_nodes import StatisticNodes
from pysoftcorr.sky.soft_statistic_kernels import FloatArray, Pairs, StatisticKernels

if TYPE_CHECKING:
    import torch

__all__ = ["SoftStatistic"]


class SoftStatistic(StatisticKernels):
    """A statistic of pairs of objects in soft bins, with its derivatives.

    Made by its subclasses, which say what the catalogs are.
    """

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
