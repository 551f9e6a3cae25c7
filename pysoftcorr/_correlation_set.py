"""Several correlation functions of the same data in the same bins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import Any

import numpy as np
from astropy.table import Table

from pysoftcorr import _covariance
from pysoftcorr._correlation import Correlation, FloatArray
from pysoftcorr._report import set_text, table_of
from pysoftcorr.binning import Binning


class CorrelationSet(Mapping[str, Correlation]):
    """Several statistics of the same data in the same bins, by name and in order.

    Parameters
    ----------
    correlations : iterable of Correlation
        With different names, the same bins, and resamples that belong together (row k of one
        and row k of another come from the same draw).
    name : str
        What they are together, such as "rho_statistics".

    Raises
    ------
    ValueError
        If there is none, names repeat, or bins differ.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.binning import Binning
    >>> from pysoftcorr.result import Correlation, CorrelationSet
    >>> zeros = dict.fromkeys(
    ...     ("theta", "logtheta", "value", "imag", "npairs", "weight", "varshot"), [0.0, 0.0])
    >>> both = CorrelationSet([
    ...     Correlation(name=name, bins=Binning.linear(0, 2, 2), **zeros)
    ...     for name in ("xip", "xim")], name="xi_pm")
    >>> list(both)
    ['xip', 'xim']
    >>> both.xim is both["xim"]
    True
    """

    def __init__(self, correlations: Iterable[Correlation], *, name: str = "") -> None:
        if isinstance(correlations, Mapping):
            correlations = correlations.values()
        items = list(correlations)
        if not items:
            raise ValueError("a CorrelationSet needs at least one correlation")
        for item in items:
            if not isinstance(item, Correlation):
                raise TypeError(f"a CorrelationSet holds Correlations, not {type(item).__name__}")
            if item.bins != items[0].bins:
                raise ValueError(
                    f"{item.name} has bins {item.bins}, {items[0].name} has {items[0].bins}"
                )
        if not isinstance(name, str):
            raise TypeError(f"name must be text, not {type(name).__name__}")
        folded = [item.name.lower() for item in items]
        twice = [item.name for item in items if folded.count(item.name.lower()) > 1]
        if twice:
            raise ValueError(f"names of statistics must differ: {', '.join(twice)}")
        self._items = {item.name: item for item in items}
        self.name = name

    def __getitem__(self, name: str) -> Correlation:
        try:
            return self._items[name]
        except KeyError:
            raise KeyError(f"no statistic {name!r}; there are {', '.join(self)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __getattr__(self, name: str) -> Correlation:
        items = self.__dict__.get("_items", {})
        if name in items:
            return items[name]
        raise AttributeError(f"{type(self).__name__} has no attribute or statistic {name!r}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._items]

    def __eq__(self, other: object) -> bool:
        """Whether name, order and every number are the same."""
        if not isinstance(other, CorrelationSet):
            return NotImplemented
        return (
            self.name == other.name
            and list(self) == list(other)
            and all(self[name] == other[name] for name in self)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<CorrelationSet{name}: {', '.join(self)}, {self.bins}>"

    def _first(self) -> Correlation:
        return next(iter(self._items.values()))

    @property
    def bins(self) -> Binning:
        """The bins all share."""
        return self._first().bins

    @property
    def settings(self) -> dict[str, Any]:
        """How the first statistic was made."""
        return self._first().settings

    @property
    def seed(self) -> int | None:
        """Seed of the first statistic."""
        return self._first().seed

    @property
    def version(self) -> str:
        """Version of pysoftcorr that made the first statistic."""
        return self._first().version

    def covariance(self, kind: str = "total", *, names: Iterable[str] | None = None) -> FloatArray:
        """Joint covariance of the real parts across statistics, from their shared resamples.

        Parameters
        ----------
        kind : {"total", "aleatoric", "epistemic"}
            "total" is the sum of those there are.
        names : iterable of str, optional
            Statistics, in the order wanted; all of them by default.

        Returns
        -------
        ndarray, shape (k nbins, k nbins)
            Blocks in the order of `names`, bins within each.

        Raises
        ------
        ValueError
            If there are no resamples of this kind, or they are of different number or method.
        KeyError
            If a name is none of the set's.
        """
        chosen = [self[name] for name in (self if names is None else names)]
        if not chosen:
            raise ValueError("names: at least one statistic is needed")
        if kind == "total":
            there = [
                k
                for k in ("epistemic", "aleatoric")
                if any(getattr(c, k) is not None for c in chosen)
            ]
            if not there:
                raise ValueError("there are no resamples, hence no covariance")
            parts = [self.covariance(k, names=[c.name for c in chosen]) for k in there]
            return sum(parts[1:], start=parts[0])
        if kind not in ("aleatoric", "epistemic"):
            raise ValueError(f"kind = {kind!r}: must be 'total', 'aleatoric' or 'epistemic'")
        resamples = [getattr(c, kind) for c in chosen]
        lacking = [c.name for c, r in zip(chosen, resamples, strict=True) if r is None]
        if lacking:
            raise ValueError(f"{', '.join(lacking)}: no {kind} resamples, hence no covariance")
        kinds = {
            (len(r), *((c.aleatoric_method, c.aleatoric_factor) if kind == "aleatoric" else ()))
            for c, r in zip(chosen, resamples, strict=True)
        }
        # A single resample has the factor NaN, which is unequal to itself.
        if len({repr(k) for k in kinds}) > 1:
            raise ValueError(f"the {kind} resamples of {', '.join(c.name for c in chosen)} differ")
        scale = (
            _covariance.factor(kind, len(resamples[0]))
            if kind == "epistemic"
            else chosen[0].aleatoric_factor
        )
        assert scale is not None
        return _covariance.covariance(np.hstack([r.real for r in resamples]), scale)

    def to_table(self) -> Table:
        """The tables of all statistics below one another, with a column ``statistic``."""
        return table_of(*self.values(), name=self.name)

    def to_dict(self) -> dict[str, dict[str, list[float | int | None]]]:
        """`Correlation.to_dict` of each, by name."""
        return {name: item.to_dict() for name, item in self.items()}

    def format_table(self) -> str:
        """`Correlation.format_table` of each, one after another."""
        return set_text(self)

    def plot(self, **kwargs: Any) -> Any:
        """Plot every statistic in a panel of its own; gives the figure.

        Takes what `pysoftcorr.plots.plot_correlation_set` takes.
        """
        from pysoftcorr.plots import plot_correlation_set

        return plot_correlation_set(self, **kwargs)

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write to one file; as `Correlation.write`."""
        from pysoftcorr.files import write_result

        write_result(self, path, overwrite=overwrite)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> CorrelationSet:
        """Read what `write` wrote; as `Correlation.read`."""
        from pysoftcorr.files import read_result

        result = read_result(path)
        if isinstance(result, Correlation):
            raise ValueError(
                f"{path} holds the single {result.name}; read it with Correlation.read"
            )
        return result
