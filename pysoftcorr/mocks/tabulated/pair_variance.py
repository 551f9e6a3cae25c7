"""Sums over pairs of galaxies, and the variance that is in pairs rather than in single galaxies."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from pysoftcorr.mocks.strengths import fourth_moment, order_parameter

__all__ = ["Orientation", "Pairs", "sum_of"]

#: Means of q^2, q = (a . D)^2/D^2 - 1/3, of axes without preference, and its slope in <q> where
#: their distribution is 1 + c P2.
_SQUARE, _SLOPE = 4 / 45, 4 / 21


class Orientation(NamedTuple):
    """Moments of axes of one kind, each of shape ().

    Of e' M e, with M traceless, the part about the reference is `order`; the variance is the sum
    over the components of M (see `site_neighbors.components`) squared, times `variances`.
    """

    order: torch.Tensor
    variances: torch.Tensor  # (3,): of the first component, of the next two, of the last two

    @classmethod
    def of(cls, mu: torch.Tensor) -> Orientation:
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


class Pairs:
    """Sums over ordered pairs of products of numbers of the first and of the second.

    Numbers are (centrals, satellites) of cells: `mean` the mean ones, `variance` their variances.
    """

    mean: Any
    variance: Any

    def _terms(self, x: Any, y: Any) -> list[tuple[torch.Tensor, ...]]:
        """Terms of centrals, of both in either order (last one's central first), of satellites.

        Pairs; q of the first one's reference, of both if they differ in kind, the central's before
        the satellite's; (a . b)^2 - 1/3 of the references.
        """
        raise NotImplementedError

    def _free(self, x: Any) -> list[tuple[torch.Tensor, ...]]:
        """`_terms` of x with itself, of pairs whose two numbers, or places, are independent."""
        return self._terms(x, x)

    def _own(self, x: Any, y: Any) -> torch.Tensor:
        """Number of satellites with their own central, where q is 2/3."""
        raise NotImplementedError

    def _free_own(self, x: Any) -> torch.Tensor:
        return self._own(x, x)

    def number(self, x: Any, y: Any) -> torch.Tensor:
        """Pairs."""
        return sum_of(self._terms(x, y), 0, 0, 0, 0)

    def free_number(self) -> torch.Tensor:
        """Pairs of which chance makes each by itself: the variance of their number."""
        return sum_of(self._free(self.variance), 0, 0, 0, 0)

    def omega(self, kinds: tuple[Orientation, Orientation]) -> torch.Tensor:
        """Numerator of omega."""
        _, q_cen, _, q_sat = _along(self._terms(self.mean, self.mean))
        return kinds[0].order * q_cen + kinds[1].order * q_sat

    def eta(self, kinds: tuple[Orientation, Orientation]) -> torch.Tensor:
        """Numerator of eta."""
        x = (kinds[0].order * self.mean[0], kinds[1].order * self.mean[1])
        return sum_of(self._terms(x, x), 2, 3, 3, 2)

    def omega_variance(
        self, kinds: tuple[Orientation, Orientation], omega: torch.Tensor
    ) -> torch.Tensor:
        """Variance of the numerator of omega that single galaxies do not make."""
        n_cen, q_cen, n_sat, q_sat = _along(self._terms(self.mean, self.variance))
        own = self._own(self.mean, self.variance)
        found = torch.zeros_like(omega)
        for kind, n, q, near in ((kinds[0], n_cen, q_cen, 0 * own), (kinds[1], n_sat, q_sat, own)):
            constant, slope, square = kind.variance_of_q()
            found = found + constant * n + slope * q + square * _squares(n, q, near)
        n_cen, q_cen, n_sat, q_sat = _along(self._free(self.variance))
        own = self._free_own(self.variance)
        cen, sat = kinds[0].order, kinds[1].order
        found = found + cen**2 * _squares(n_cen, q_cen, 0 * own)
        found = found + sat**2 * _squares(n_sat, q_sat, own)
        return found - 4 * omega * (cen * q_cen + sat * q_sat) + 2 * omega**2 * (n_cen + n_sat)

    def eta_variance(self, kinds: tuple[Orientation, Orientation]) -> torch.Tensor:
        """Variance of the numerator of eta that single galaxies do not make."""
        square = [kind.order**2 for kind in kinds]
        z = [(1 - s) * n + s * v for s, n, v in zip(square, self.mean, self.variance, strict=True)]
        certain = tuple(s * v for s, v in zip(square, self.variance, strict=True))
        x, y = (z[0], z[1]), (certain[0], certain[1])
        free = self._free(y)
        # By their axes all pairs vary, by numbers and places those that are free.
        number = self.number(x, x) - self.number(y, y) + sum_of(free, 0, 0, 0, 0)
        return 2 * (_SQUARE * number + _SLOPE * sum_of(free, 2, 3, 3, 2))


def sum_of(terms: list[tuple[torch.Tensor, ...]], *places: int) -> torch.Tensor:
    """One of each of the four terms, added up."""
    cc, cs, sc, ss = (term[place] for term, place in zip(terms, places, strict=True))
    return cc + cs + sc + ss


def _along(terms: list[tuple[torch.Tensor, ...]]) -> tuple[torch.Tensor, ...]:
    """Sums of 1 and of q of the reference, of first ones that are centrals and satellites."""
    cc, cs, sc, ss = terms
    return cc[0] + cs[0], cc[1] + cs[1], sc[0] + ss[0], sc[2] + ss[1]


def _squares(n: torch.Tensor, q: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
    """Sum of q^2, where that of `near` is 4/9 and the rest is nearly isotropic."""
    return _SQUARE * n + _SLOPE * q + (4 / 9 - _SQUARE - 2 / 3 * _SLOPE) * near
