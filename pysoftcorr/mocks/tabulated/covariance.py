"""Covariance of xi, omega and eta given the halos: which galaxies these hold, where, how turned.

In torch, as a function of all seven parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from pysoftcorr.mocks.strengths import fourth_moment, order_parameter
from pysoftcorr.mocks.tabulated.means import MeanTables, mean_numbers, products
from pysoftcorr.mocks.tabulated.nodes import MassNodes
from pysoftcorr.mocks.tabulated.sites import Sites

__all__ = ["ChanceCovariance"]

#: Means of q^2, q = (a . D)^2/D^2 - 1/3, of axes without preference, and its slope in <q> where
#: their distribution is 1 + c P2.
_SQUARE, _SLOPE = 4 / 45, 4 / 21


class _Orientation(NamedTuple):
    """Moments of axes of one kind, each of shape ().

    Of e' M e, with M traceless, the part about the reference is `order`; the variance is the sum
    over the components of M (see `sites._components`) squared, times `variances`.
    """

    order: torch.Tensor
    variances: torch.Tensor  # (3,): of the first component, of the next two, of the last two

    @classmethod
    def of(cls, mu: torch.Tensor) -> _Orientation:
        order, fourth = order_parameter(mu), fourth_moment(mu)
        square = (2 * order + 1) / 3
        first = (9 * fourth - 6 * square + 1) / 4 - order * order
        second = 2 * (square - fourth)
        third = (1 - 2 * square + fourth) / 2
        return cls(order, torch.stack([first, second, third]).clamp(min=0))

    def variance_of_q(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Variance of q of a drawn axis as a polynomial in the q of its reference."""
        first, second, third = self.variances
        # Components of D D - 1/3: q; q/3 + 2/9 - q^2 of the next two; (2/3 - q)^2/4 of the last.
        return (
            second * 2 / 9 + third / 9,
            second / 3 - third / 3,
            first - second + third / 4,
        )


class ChanceCovariance:
    """Covariance of one box of galaxies about its mean, given the halos.

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

    def __init__(self, means: MeanTables, sites: Sites) -> None:
        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(values))

        self.means, self.bins = means, means.bins
        self.central = tensor(sites.central)
        self.logm, self.weight = tensor(sites.logm), tensor(sites.weight)
        count, logm = means.count.numpy(), means.logm.numpy()
        projection = MassNodes(sites.nodes).projection(
            count, np.clip(logm, sites.nodes[0], sites.nodes[-1])
        )
        self.projection = tensor(projection.T)
        size = (len(sites.nodes), -1)
        self.of_centrals = tensor(sites.of_centrals.reshape(size))
        self.of_satellites = tensor(sites.of_satellites.reshape(size))
        self.own = tensor(sites.own)
        self.shape = sites.own.shape[1:]
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

    def __call__(self, params: torch.Tensor) -> torch.Tensor:
        """Covariance (3 b, 3 b) of xi, omega and eta at parameters (7,) in float64."""
        kinds = _Orientation.of(params[0]), _Orientation.of(params[1])
        pairs = _Pairs(self.means, self.matrices, params)
        dd = pairs.number(pairs.mean, pairs.mean)
        some = dd > 0
        dd = torch.where(some, dd, torch.ones_like(dd))
        xi = self.means(params).xi
        omega, eta = pairs.omega(kinds) / dd, pairs.eta(kinds) / dd
        total = self._first(params, kinds, dd, xi, omega, eta)
        more = torch.cat([
            2 * (1 + xi) ** 2 * pairs.number(pairs.variance, pairs.variance) / dd**2,
            pairs.omega_variance(kinds, omega) / dd**2,
            pairs.eta_variance(kinds) / dd**2,
        ])  # fmt: skip
        total = total + torch.diag(more)
        empty = torch.where(some, 1.0, torch.nan).repeat(3)
        return total * empty * empty[:, None]

    def _first(
        self, params: torch.Tensor, kinds: tuple[_Orientation, _Orientation], dd: torch.Tensor,
        xi: torch.Tensor, omega: torch.Tensor, eta: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """Part of single galaxies."""
        cen, sat = kinds
        p, lam = self.means.occupation(params)
        number = (p + lam) @ self.means.count
        cells = torch.stack([p, lam]) @ self.projection
        by_cen = (cells[0].float() @ self.of_centrals).view(self.shape).double()
        by_sat = (cells[1].float() @ self.of_satellites).view(self.shape).double()
        p, lam = mean_numbers(params, self.logm)
        by_cen = by_cen + p[:, None, None] * self.own[0]
        by_sat = by_sat + lam[:, None, None] * self.own[1]
        every = by_cen + by_sat  # S, 12, b
        pointing = cen.order * by_cen + sat.order * by_sat

        d = every[:, 0]
        of_xi = (1 + xi) * (2 * d / dd - 2 / number)
        order = torch.where(self.central, cen.order, sat.order)[:, None]
        along, axes = every[:, 2:7] / dd, 2 * pointing[:, 7:] / dd
        of_omega = pointing[:, 1] / dd - 2 * omega * d / dd + order * along[:, 0]
        of_eta = -2 * eta * d / dd + order * axes[:, 0]
        # Of a Bernoulli draw p (1 - p), of a Poisson process the mean.
        held = torch.where(self.central, p, lam) * self.weight
        spread = torch.where(self.central, p * (1 - p), lam) * self.weight
        there = torch.cat([of_xi, of_omega, of_eta], dim=1)
        total = there.T @ (spread[:, None] * there)
        parts = torch.where(self.central[:, None], cen.variances, sat.variances)[:, [0, 1, 1, 2, 2]]
        turned = torch.cat([along, axes], dim=2)  # S, 5, 2b
        weighted = (held[:, None] * parts)[..., None] * turned
        turned, weighted = (x.flatten(0, 1) for x in (turned, weighted))
        lower = turned.T @ weighted
        return total + torch.nn.functional.pad(lower, (self.bins, 0, self.bins, 0))


class _Pairs:
    """Sums over ordered pairs of products of numbers of the first and of the second.

    Numbers are (centrals, satellites) of cells.
    """

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
        """Terms of centrals, of both in either order (last one's central first), of satellites."""
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

    def number(
        self, x: tuple[torch.Tensor, torch.Tensor], y: tuple[torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        """Pairs."""
        cc, cs, sc, ss = self._terms(x, y)
        return cc[0] + cs[0] + sc[0] + ss[0]

    def along(
        self, x: tuple[torch.Tensor, torch.Tensor], y: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Sums of 1 and of q of the reference, of first ones that are centrals and satellites.

        The last is the number of satellites with their own central, where q is 2/3.
        """
        cc, cs, sc, ss = self._terms(x, y)
        own = (x[1] * y[0]) @ self.matrices[1][-len(x[0]) :, : self.means.bins]
        return cc[0] + cs[0], cc[1] + cs[1], sc[0] + ss[0], sc[2] + ss[1], own

    def axes(
        self,
        x: tuple[torch.Tensor, torch.Tensor],
        y: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """(a . b)^2 - 1/3 of the references."""
        cc, cs, sc, ss = self._terms(x, y)
        return cc[2] + cs[3] + sc[3] + ss[2]

    def omega(self, kinds: tuple[_Orientation, _Orientation]) -> torch.Tensor:
        """Numerator of omega."""
        _, q_cen, _, q_sat, _ = self.along(self.mean, self.mean)
        return kinds[0].order * q_cen + kinds[1].order * q_sat

    def eta(self, kinds: tuple[_Orientation, _Orientation]) -> torch.Tensor:
        """Numerator of eta."""
        x = (kinds[0].order * self.mean[0], kinds[1].order * self.mean[1])
        return self.axes(x, x)

    def omega_variance(
        self, kinds: tuple[_Orientation, _Orientation], omega: torch.Tensor
    ) -> torch.Tensor:
        """Variance of the numerator of omega that single galaxies do not make."""
        n_cen, q_cen, n_sat, q_sat, own = self.along(self.mean, self.variance)
        found = torch.zeros_like(omega)
        for kind, n, q, near in ((kinds[0], n_cen, q_cen, 0 * own), (kinds[1], n_sat, q_sat, own)):
            constant, slope, square = kind.variance_of_q()
            found = found + constant * n + slope * q + square * _squares(n, q, near)
        n_cen, q_cen, n_sat, q_sat, own = self.along(self.variance, self.variance)
        cen, sat = kinds[0].order, kinds[1].order
        found = found + cen**2 * _squares(n_cen, q_cen, 0 * own)
        found = found + sat**2 * _squares(n_sat, q_sat, own)
        return found - 4 * omega * (cen * q_cen + sat * q_sat) + 2 * omega**2 * (n_cen + n_sat)

    def eta_variance(self, kinds: tuple[_Orientation, _Orientation]) -> torch.Tensor:
        """Variance of the numerator of eta that single galaxies do not make."""
        square = [kind.order**2 for kind in kinds]
        z = [(1 - s) * n + s * v for s, n, v in zip(square, self.mean, self.variance, strict=True)]
        certain = tuple(s * v for s, v in zip(square, self.variance, strict=True))
        x, y = (z[0], z[1]), (certain[0], certain[1])
        return 2 * (_SQUARE * self.number(x, x) + _SLOPE * self.axes(y, y))


def _squares(n: torch.Tensor, q: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """Sum of q^2, where that of `near` is 4/9 and the rest is nearly isotropic."""
    return _SQUARE * n + _SLOPE * q + (4 / 9 - _SQUARE - 2 / 3 * _SLOPE) * near
