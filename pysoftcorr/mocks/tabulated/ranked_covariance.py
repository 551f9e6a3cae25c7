"""Covariance of xi, omega and eta given the halos, of satellites on subhalos.

In torch, as a function of all seven parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from pysoftcorr.mocks.tabulated.covariance import Expected, Moments, SiteCovariance, flat, tensor
from pysoftcorr.mocks.tabulated.means import mean_numbers
from pysoftcorr.mocks.tabulated.pair_variance import Pairs
from pysoftcorr.mocks.tabulated.ranked_means import RankedMeanTables
from pysoftcorr.mocks.tabulated.sites import SiteLists, Sites

__all__ = ["RankedCovariance"]

Numbers = tuple[torch.Tensor, torch.Tensor]


class RankedCovariance(SiteCovariance):
    """Covariance of one box of galaxies given the halos, whose satellites are on subhalos.

    Parameters
    ----------
    means : RankedMeanTables
        Of this box alone.
    sites : Sites
        With their `lists`.

    Notes
    -----
    Galaxies of one halo are not independent: of N satellites, a Poisson number, the first N places
    of a fixed list are taken, and only those beyond its end are put at random. Halos are
    independent. To first order in these (the Hajek projection) the covariance is a sum over halos
    of that of what a halo's galaxies add to the pairs. With C (0 or 1) centrals and N satellites
    that is, on average over axes and random places,

        m(C, N) = C a + sum over j <= N of (u_j + C g_j + sum over i < j of k_ij),

    where a and u_j are what the central and the satellite of rank j do with other halos, g_j with
    one another, and k_ij two satellites. Its covariance, sum over C and N of P(C) P(N) m m' less
    that of the mean, is taken in full; a u of the first places and one of the random ones stand
    for all ranks of a halo. To that are added, given C and N, the covariances by the axis of each
    galaxy and by each random place, with the mean of the others. Factorial moments of N are those
    of independent galaxies, so that for these it plays no role, on average over halos, which
    places are in the list. Of pairs what is left is a sum over independent pairs: of those within
    a halo the number and the places only if one of the two is at random, and the axes of all.
    """

    means: RankedMeanTables

    def __init__(self, means: RankedMeanTables, sites: Sites) -> None:
        super().__init__(means, sites)
        if sites.lists is None:
            raise ValueError("sites: have no lists of the places in their halos")
        self.lists = _Lists(sites.lists, self.logm[self.central], self.weight[self.central])
        self.host, self.borrowed = tensor(sites.lists.host), tensor(sites.lists.borrowed)

    def _pairs(self, params: torch.Tensor) -> Pairs:
        return _RankedPairs(self.means, self.lists, params)

    def _first(self, params: torch.Tensor, now: Expected) -> torch.Tensor:
        lists = self.lists
        by_cen, by_sat = self._around(params, self.of_others, self.own.shape[1:])
        p, lam = mean_numbers(params, self.logm)
        centers = self.central
        of_halos = Moments.of(by_cen[centers], by_sat[centers], now)
        alone = of_halos.there(centers[centers], now)
        every = Moments.of(
            by_cen + p[:, None, None] * self.own[0], by_sat + lam[:, None, None] * self.own[1], now
        )
        listed = Moments.of(*self._around(params, lists.of_others, lists.shape), now)
        fixed, free = listed.there(lists.satellites, now, first=3).chunk(2)

        held = lists.held(params)
        central, pairs = lists.changes(now)
        total = self._numbers(held, central, pairs, alone, fixed, free)
        # Random places, about the mean of those of the halo.
        beyond, rows = held.beyond[self.host], self.borrowed
        tail = len(lists.of_rank)
        middle = free + held.centrals[:, None] * central[tail : tail + lists.halos]
        middle = middle + held.satellites[:, None] * pairs[tail + lists.halos :]
        away = every.there(centers, now)[rows] - middle[self.host[rows]]
        total = total + away.T @ ((beyond * self.weight)[rows, None] * away)
        number = torch.where(rows, beyond, lam - beyond)
        return total + self._turned(every, torch.where(centers, p, number) * self.weight, now)

    def _numbers(
        self, held: _Held, central: torch.Tensor, pairs: torch.Tensor, alone: torch.Tensor,
        fixed: torch.Tensor, free: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """Covariance by how many galaxies the halos hold, (3 b, 3 b).

        `central` and `pairs` are what the slots within halos do to the means, `alone`, `fixed` and
        `free` what a central and satellites do with other halos.
        """
        lists, halos = self.lists, self.lists.halos
        n = len(lists.of_rank)
        first, last = n + torch.arange(halos), n + halos + torch.arange(halos)
        weight = lists.weight
        found, total = [], torch.zeros((), dtype=alone.dtype)
        for there, chance in ((False, 1 - held.centrals), (True, held.centrals)):
            step = fixed[lists.of_rank] + pairs[:n]
            more, rising = free + pairs[first], pairs[last]
            if there:
                step = step + central[:n]
                more, rising = more + central[first], rising + central[last]
            value = lists.running(step)
            if there:
                value = value + alone[lists.of_number]
            end = value[lists.end]
            mean = torch.zeros_like(end).index_add(0, lists.of_number, held.chance[:, None] * value)
            ends = torch.stack([end, more, rising], dim=1)  # H, 3, 3b
            mean = mean + (held.moments[:, :1] @ ends)[:, 0]
            found.append(mean)
            often = (weight * chance)[lists.of_number] * held.chance
            total = total + value.T @ (often[:, None] * value)
            often = (weight * chance)[:, None, None] * held.moments
            total = total + ends.flatten(0, 1).T @ (often @ ends).flatten(0, 1)
            total = total - mean.T @ ((weight * chance)[:, None] * mean)
        differ = found[1] - found[0]
        often = weight * held.centrals * (1 - held.centrals)
        return total + differ.T @ (often[:, None] * differ)


class _Held(NamedTuple):
    """Numbers of galaxies in the sampled halos.

    Attributes
    ----------
    centrals, satellites : Tensor, shape (H,)
        Mean ones.
    chance : Tensor, shape (slots + H,)
        Of each number of satellites from 0 to that of places in the list.
    moments : Tensor, shape (H, 3, 3)
        Means, where there are more, of the products of 1, of the number beyond the list and of
        the sum of their ranks less 1.
    beyond, pairs_beyond : Tensor, shape (H,)
        Mean number of satellites beyond the list, and of pairs in which one of them is.
    """

    centrals: torch.Tensor
    satellites: torch.Tensor
    chance: torch.Tensor
    moments: torch.Tensor

    @property
    def beyond(self) -> torch.Tensor:
        return self.moments[:, 0, 1]

    @property
    def pairs_beyond(self) -> torch.Tensor:
        return self.moments[:, 0, 2]


class _Lists:
    """Places of satellites in the sampled halos."""

    def __init__(self, lists: SiteLists, logm: torch.Tensor, weight: torch.Tensor) -> None:
        self.logm, self.weight, self.halos = logm, weight, len(logm)
        self.of_others = flat(lists.of_centrals), flat(lists.of_satellites)
        self.shape = lists.of_centrals.shape[1:]
        self.satellites = torch.zeros(2 * self.halos, dtype=torch.bool)
        self.top = tensor(lists.top)
        self.central, self.slots = tensor(lists.central), tensor(lists.pairs)
        every = torch.arange(self.halos)
        self.of_rank = torch.repeat_interleave(every, self.top)
        size = self.top + 1
        # Numbers of satellites from 0 on, of each halo.
        self.of_number = torch.repeat_interleave(every, size)
        self.end = torch.cumsum(size, 0) - 1
        self.start = self.end - self.top
        self.number = torch.arange(len(self.of_number)) - self.start[self.of_number]
        self.some = torch.nonzero(self.number)[:, 0]
        self.log_factorial = torch.lgamma(self.number.double() + 1)

    def running(self, step: torch.Tensor) -> torch.Tensor:
        """Sums (slots + H, ...) over ranks up to each number of satellites, of values by rank."""
        sums = torch.cumsum(torch.cat([torch.zeros_like(step[:1]), step]), 0)
        # A halo's first row, of no satellite, adds none to the ranks gone through before.
        through = torch.arange(len(self.of_number)) - self.of_number
        return sums[through] - sums[through[self.start]][self.of_number]

    def changes(self, now: Expected) -> Numbers:
        """What pairs within halos do to the means, by slot: of a central, and of two satellites."""
        cen, sat = (kind.order for kind in now.kinds)
        n, q = self.central.unbind(1)
        of_centrals = now.changes(2 * n, cen * q + sat * 2 / 3 * n, 2 * cen * sat * q)
        n, along, axes = self.slots.unbind(1)
        return of_centrals, now.changes(n, sat * along, sat * sat * axes)

    def held(self, params: torch.Tensor) -> _Held:
        """Numbers at parameters (7,)."""
        p, lam = mean_numbers(params, self.logm)
        mean = lam[self.of_number]
        number = self.number.double()
        log = torch.log(mean.clamp(min=1e-290))
        chance = torch.exp(number * log - mean - self.log_factorial)
        sums = torch.cumsum(chance, 0)
        before = (sums - chance)[self.start]
        top = self.top.double()
        # E[N (N - 1) ... (N - k + 1)] where N is above the list: lam^k P(N > top - k).
        factorial = []
        for k in range(5):
            at = (self.end - k).clamp(min=0)
            more = (1 - (sums[at] - before)).clamp(min=0)
            more = torch.where(self.top >= k, more, torch.ones_like(more))
            factorial.append(lam**k * more)
        zero, one, two, three, four = factorial
        t = top * (top - 1)
        first = one - top * zero
        second = (two - t * zero) / 2
        square = two + one - 2 * top * one + top * top * zero
        mixed = (three + 2 * two - top * two - t * one + top * t * zero) / 2
        fourth = (four + 4 * three + 2 * two - 2 * t * two + t * t * zero) / 4
        moments = torch.stack([zero, first, second, first, square, mixed, second, mixed, fourth], 1)
        return _Held(p, lam, chance, moments.view(-1, 3, 3))


class _RankedPairs(Pairs):
    """Pairs of galaxies whose satellites are on subhalos.

    Numbers of satellites are those of the tables times a factor, of shape ().
    """

    def __init__(self, means: RankedMeanTables, lists: _Lists, params: torch.Tensor) -> None:
        self.means, self.lists = means, lists
        p, lam = means.occupation(params)
        one = torch.ones((), dtype=params.dtype)
        self.mean, self.variance = (p, one), (p * (1 - p), one)
        kinds, self.slots, _, _ = means.ranks(lam)
        self.mixed = means.applied(means.mixed, kinds, means.nodes)
        both = means.applied(means.of_satellites, kinds, kinds.shape[-1])
        self.of_satellites = (both @ kinds[:, None])[..., 0]
        self.within = (self.slots @ means.satellite_one).view(3, -1)
        self.held = lists.held(params)
        # The cell of mass of each sampled halo.
        self.cell = torch.searchsorted((means.logm[1:] + means.logm[:-1]) / 2, lists.logm)

    def _two_halo(self, x: Numbers, y: Numbers) -> list[torch.Tensor]:
        means = self.means
        first, second = (one[0] @ means.projection for one in (x, y))
        return [
            (means.applied(means.of_centrals, second, means.nodes) @ first[:, None])[..., 0],
            (self.mixed @ first[:, None])[..., 0] * y[1],
            (self.mixed @ second[:, None])[..., 0] * x[1],
            self.of_satellites * (x[1] * y[1]),
        ]

    def _own_central(self, numbers: torch.Tensor) -> torch.Tensor:
        """Terms of centrals, by cells, with their own satellites, (4, b)."""
        means = self.means
        held = numbers[means.cell_of] * self.slots
        return _of_central(held @ means.central_one, held @ means.central_axis_one[:, : means.bins])

    def _terms(self, x: Numbers, y: Numbers) -> list[tuple[torch.Tensor, ...]]:
        cc, cs, sc, ss = self._two_halo(x, y)
        cs = cs + self._own_central(x[0]) * y[1]
        sc = sc + self._own_central(y[0]) * x[1]
        return [tuple(term) for term in (cc, cs, sc, ss + self.within * (x[1] * y[1]))]

    def _own(self, x: Numbers, y: Numbers) -> torch.Tensor:
        return self._own_central(y[0])[0] * x[1]

    def _free(self, x: Numbers) -> list[tuple[torch.Tensor, ...]]:
        cc, cs, sc, ss = self._two_halo(x, x)
        own = self._free_central(x) * x[1]
        lists, held = self.lists, self.held
        n = len(lists.of_rank)
        number, pairs = lists.weight * held.beyond, lists.weight * held.pairs_beyond
        first, last = (part.flatten(1) for part in lists.slots[n:].chunk(2))
        pairs = number @ first + pairs @ last
        ss = ss + pairs.view(3, -1) * x[1] ** 2
        return [tuple(term) for term in (cc, cs + own, sc + own, ss)]

    def _free_own(self, x: Numbers) -> torch.Tensor:
        return self._free_central(x)[0] * x[1]

    def _free_central(self, x: Numbers) -> torch.Tensor:
        """Terms of centrals with their own satellites at random places, (4, b)."""
        lists, held = self.lists, self.held
        n = len(lists.of_rank)
        weight = lists.weight * x[0][self.cell] * held.beyond
        number, along = (weight @ lists.central[n : n + lists.halos].flatten(1)).view(2, -1)
        return _of_central(number, along)


def _of_central(number: torch.Tensor, along: torch.Tensor) -> torch.Tensor:
    """Terms of centrals with their own satellites, whose reference is the separation."""
    return torch.stack([number, along, 2 / 3 * number, along])
