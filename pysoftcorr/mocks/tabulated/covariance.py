"""Covariance of xi, omega and eta given the halos: which galaxies these hold, where, how turned.

In torch, as a function of all seven parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from pysoftcorr.mocks.tabulated.means import CellTables, MeanTables, mean_numbers, products
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.pair_variance import Orientation, Pairs
from pysoftcorr.mocks.tabulated.sites import Sites

__all__ = ["ChanceCovariance", "Expected", "Moments", "SiteCovariance", "flat", "tensor"]


class SiteCovariance:
    """Covariance of one box of galaxies about its mean, given the halos, from a sample of sites.

    Parameters
    ----------
    means : CellTables
        Of this box alone.
    sites : Sites
    """

    def __init__(self, means: CellTables, sites: Sites) -> None:
        self.means, self.bins = means, means.bins
        self.central = tensor(sites.central)
        self.logm, self.weight = tensor(sites.logm), tensor(sites.weight)
        count, logm = means.count.numpy(), means.logm.numpy()
        projection = MassNodes(sites.nodes).projection(
            count, np.clip(logm, sites.nodes[0], sites.nodes[-1])
        )
        self.projection = tensor(projection.T)
        self.of_others = flat(sites.of_centrals), flat(sites.of_satellites)
        self.own = tensor(sites.own)

    def __call__(self, params: torch.Tensor) -> torch.Tensor:
        """Covariance (3 b, 3 b) of xi, omega and eta at parameters (7,) in float64."""
        kinds = Orientation.of(params[0]), Orientation.of(params[1])
        pairs = self._pairs(params)
        dd = pairs.number(pairs.mean, pairs.mean)
        some = dd > 0
        dd = torch.where(some, dd, torch.ones_like(dd))
        xi = self.means(params).xi
        p, lam = self.means.occupation(params)
        now = Expected(
            kinds, (p + lam) @ self.means.count, dd, xi, pairs.omega(kinds) / dd,
            pairs.eta(kinds) / dd,
        )  # fmt: skip
        total = self._first(params, now)
        more = torch.cat([
            2 * (1 + xi) ** 2 * pairs.free_number() / dd**2,
            pairs.omega_variance(kinds, now.omega) / dd**2,
            pairs.eta_variance(kinds) / dd**2,
        ])  # fmt: skip
        total = total + torch.diag(more)
        empty = torch.where(some, 1.0, torch.nan).repeat(3)
        return total * empty * empty[:, None]

    def _pairs(self, params: torch.Tensor) -> Pairs:
        """Sums over pairs at parameters (7,)."""
        raise NotImplementedError

    def _first(self, params: torch.Tensor, now: Expected) -> torch.Tensor:
        """Part of single galaxies, or of single halos."""
        raise NotImplementedError

    def _around(
        self, params: torch.Tensor, of: tuple[torch.Tensor, torch.Tensor], shape: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Moments of centrals and of satellites of other halos, from those at the nodes."""
        cells = torch.stack(self.means.occupation(params)) @ self.projection
        found = ((each.float() @ part).view(shape) for each, part in zip(cells, of, strict=True))
        by_cen, by_sat = (part.double() for part in found)
        return by_cen, by_sat

    def _turned(self, every: Moments, held: torch.Tensor, now: Expected) -> torch.Tensor:
        """Covariance by the axes of the galaxies at sites, of which `held` (S,) are expected."""
        cen, sat = (kind.variances for kind in now.kinds)
        parts = torch.where(self.central[:, None], cen, sat)[:, [0, 1, 1, 2, 2]]
        along, axes = every.number[:, 2:7] / now.dd, 2 * every.pointing[:, 7:] / now.dd
        turned = torch.cat([along, axes], dim=2)  # S, 5, 2b
        weighted = (held[:, None] * parts)[..., None] * turned
        turned, weighted = (x.flatten(0, 1) for x in (turned, weighted))
        lower = turned.T @ weighted
        return torch.nn.functional.pad(lower, (self.bins, 0, self.bins, 0))


class ChanceCovariance(SiteCovariance):
    """Covariance of one box of galaxies, each at a place of its own, given the halos.

    Parameters
    ----------
    means : MeanTables
        Of this box alone.
    sites : Sites

    Notes
    -----
    To first order each galaxy adds its own neighbors to the pairs (the Hajek projection): a
    Bernoulli draw of variance p (1 - p) for a central, a Poisson process for satellites, an axis
    for either, all independent. Of a sum over pairs what is left is a sum over independent pairs,
    whose variance is added to the diagonal.
    """

    means: MeanTables

    def __init__(self, means: MeanTables, sites: Sites) -> None:
        super().__init__(means, sites)
        central, own_along, own_axes, pairs, along, axes = means.one_halo

        # Of the first with the second: axes are those of the first.
        def matrix(names: tuple[str, ...], *own: np.ndarray) -> torch.Tensor:
            two = np.stack([means.forms[name] for name in names], axis=2)
            two = two.reshape(-1, len(names) * self.bins)
            return tensor(np.vstack([two, np.hstack(own)]) if own else two)

        self.matrices = (
            matrix(("n_cc", "a_cc", "h_cc")),
            matrix(
                ("n_cs", "ac_cs", "as_cs", "h_cs"), central, own_along, 2 / 3 * central, own_axes
            ),
            matrix(("n_ss", "a_ss", "h_ss"), pairs, along, axes),
        )

    def _pairs(self, params: torch.Tensor) -> Pairs:
        return _ProfilePairs(self.means, self.matrices, params)

    def _first(self, params: torch.Tensor, now: Expected) -> torch.Tensor:
        by_cen, by_sat = self._around(params, self.of_others, self.own.shape[1:])
        p, lam = mean_numbers(params, self.logm)
        by_cen = by_cen + p[:, None, None] * self.own[0]
        by_sat = by_sat + lam[:, None, None] * self.own[1]
        every = Moments.of(by_cen, by_sat, now)
        there = every.there(self.central, now)
        # Of a Bernoulli draw p (1 - p), of a Poisson process the mean.
        held = torch.where(self.central, p, lam) * self.weight
        spread = torch.where(self.central, p * (1 - p), lam) * self.weight
        return there.T @ (spread[:, None] * there) + self._turned(every, held, now)


class Expected(NamedTuple):
    """What is expected at parameters.

    Attributes
    ----------
    kinds : tuple of Orientation
        Of centrals, and of satellites.
    number : Tensor, shape ()
        Galaxies.
    dd, xi, omega, eta : Tensor, shape (b,)
        Ordered pairs, and the means.
    """

    kinds: tuple[Orientation, Orientation]
    number: torch.Tensor
    dd: torch.Tensor
    xi: torch.Tensor
    omega: torch.Tensor
    eta: torch.Tensor

    def changes(
        self, pairs: torch.Tensor, along: torch.Tensor, axes: torch.Tensor,
        galaxies: torch.Tensor | float = 0.0,
    ) -> torch.Tensor:  # fmt: skip
        """What more pairs do to the means, to first order, (..., 3 b).

        Parameters
        ----------
        pairs, along, axes : Tensor, shape (..., b)
            Ordered pairs more, and what they add to the numerators of omega and eta.
        galaxies : Tensor, shape (..., 1), or float
            Galaxies more.
        """
        part = pairs / self.dd
        return torch.cat([
            (1 + self.xi) * (part - 2 * galaxies / self.number),
            along / self.dd - self.omega * part,
            axes / self.dd - self.eta * part,
        ], dim=-1)  # fmt: skip


class Moments(NamedTuple):
    """Moments of neighbors of sites, (S, 12, b): of them, and times the orders of their axes."""

    number: torch.Tensor
    pointing: torch.Tensor

    @classmethod
    def of(cls, by_cen: torch.Tensor, by_sat: torch.Tensor, now: Expected) -> Moments:
        cen, sat = now.kinds
        return cls(by_cen + by_sat, cen.order * by_cen + sat.order * by_sat)

    def there(self, central: torch.Tensor, now: Expected, first: int = 7) -> torch.Tensor:
        """What a galaxy at each site does to the means, (S, 3 b).

        `first` is the place of the first component of the neighbors' axes.
        """
        cen, sat = now.kinds
        order = torch.where(central, cen.order, sat.order)[:, None]
        along = self.pointing[:, 1] + order * self.number[:, 2]
        axes = 2 * order * self.pointing[:, first]
        return now.changes(2 * self.number[:, 0], along, axes, 1.0)


class _ProfilePairs(Pairs):
    """Pairs of galaxies whose satellites have a profile."""

    def __init__(
        self, means: MeanTables, matrices: Sequence[torch.Tensor], params: torch.Tensor
    ) -> None:
        self.means, self.matrices = means, matrices
        p, lam = means.occupation(params)
        self.mean = (p, lam)
        self.variance = (p * (1 - p), lam)

    def _nodes(self, numbers: tuple[torch.Tensor, torch.Tensor]) -> list[torch.Tensor]:
        return [part @ self.means.projection for part in numbers]

    def _terms(
        self, x: tuple[torch.Tensor, torch.Tensor], y: tuple[torch.Tensor, torch.Tensor]
    ) -> list[tuple[torch.Tensor, ...]]:
        (xc, xs), (yc, ys) = self._nodes(x), self._nodes(y)
        of_centrals, mixed, of_satellites = self.matrices
        return [
            self._form(of_centrals, products(xc, yc)),
            self._form(mixed, products(xc, ys), x[0] * y[1]),
            self._form(mixed, products(yc, xs), x[1] * y[0]),
            self._form(of_satellites, products(xs, ys), x[1] * y[1]),
        ]

    def _form(self, matrix: torch.Tensor, *features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Terms of pairs of two halos, and of those within one."""
        return (torch.cat(features) @ matrix).split(self.means.bins)

    def _own(
        self, x: tuple[torch.Tensor, torch.Tensor], y: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        return (x[1] * y[0]) @ self.matrices[1][-len(x[0]) :, : self.means.bins]


def tensor(values: np.ndarray) -> torch.Tensor:
    """The values in the precision that they have."""
    return torch.as_tensor(np.ascontiguousarray(values))


def flat(values: np.ndarray) -> torch.Tensor:
    """Moments by node, (K, ...)."""
    return tensor(values.reshape(len(values), -1))
