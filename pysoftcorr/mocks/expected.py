"""omega and eta for any alignment strengths, exactly and without drawing an orientation.

An axis e drawn about a reference n with <cos^2> = c has <e e^T> = A n n^T + (1 - A)/3, where
A = (3c - 1)/2, and axes of different galaxies are independent. At fixed positions the mean of
omega over all draws is therefore linear, and that of eta bilinear, in the order parameters of
centrals and satellites; their coefficients are pair sums of the reference axes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.notebook import html_rows, said
from pysoftcorr.core.options import flag, number
from pysoftcorr.mocks import alignment
from pysoftcorr.mocks import box as _pairs
from pysoftcorr.mocks.box import (
    COUNT,
    DRAWN_ETA,
    DRAWN_OMEGA,
    ETA,
    OMEGA1,
    OMEGA2,
    SEPARATION,
    WEIGHT,
    Bins,
)
from pysoftcorr.mocks.box_errors import ratio
from pysoftcorr.mocks.galaxies import GalaxyCatalog

__all__ = ["AlignmentSums", "ExpectedCorrelations", "alignment_sums", "expected_correlations"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ExpectedCorrelations:
    """Correlations averaged over all draws of the axes; arrays of shape (nbins,).

    Attributes
    ----------
    edges : ndarray, shape (nbins + 1,)
    r, npairs, xi : ndarray
        As in `BoxCorrelations`; they do not depend on axes.
    omega, eta : ndarray
    domega_dmu_cen, domega_dmu_sat, deta_dmu_cen, deta_dmu_sat : ndarray
        Exact derivatives with respect to the strengths; one-sided at 1 and -1.
    xi_1h, xi_2h, omega_1h, omega_2h, eta_1h, eta_2h : ndarray
        Pairs of the same and of different hosts, as in `BoxCorrelations`.
    mu_cen, mu_sat, gamma : float
    """

    edges: FloatArray
    r: FloatArray
    npairs: npt.NDArray[np.int64]
    xi: FloatArray
    omega: FloatArray
    eta: FloatArray
    domega_dmu_cen: FloatArray
    domega_dmu_sat: FloatArray
    deta_dmu_cen: FloatArray
    deta_dmu_sat: FloatArray
    xi_1h: FloatArray
    xi_2h: FloatArray
    omega_1h: FloatArray
    omega_2h: FloatArray
    eta_1h: FloatArray
    eta_2h: FloatArray
    mu_cen: float
    mu_sat: float
    gamma: float

    def _repr_html_(self) -> str:
        """Bins and values, as a table for notebooks."""
        rows = zip(self.edges[:-1], self.edges[1:], self.npairs, self.xi, self.omega, self.eta,
                   strict=True)  # fmt: skip
        return html_rows(
            ("r_lo", "r_hi", "npairs", "xi", "omega", "eta"),
            (list(map(said, row)) for row in rows),
            caption=f"mean over all axes, mu_cen = {self.mu_cen:g}, mu_sat = {self.mu_sat:g}; "
            "lengths in Mpc/h",
        )


@dataclass(frozen=True, eq=False)
class AlignmentSums:
    """Pair sums of the reference axes, split by centrals and satellites: all that strengths need.

    Arrays have shape (2, nbins): pairs of different, and of the same host.

    Attributes
    ----------
    edges : ndarray, shape (nbins + 1,)
    count, weight, separation : ndarray
        Sums of 1, w and w r over unordered pairs.
    rr : ndarray, shape (nbins,)
        Expected weight of ordered pairs of unclustered galaxies.
    omega_cen, omega_sat : ndarray
        Sums of w ((n_i . r)^2/r^2 - 1/3) over ordered pairs whose axis is of that kind.
    eta_cen_cen, eta_cen_sat, eta_sat_sat : ndarray
        Sums of w ((n_i . n_j)^2 - 1/3) over ordered pairs of these kinds.
    drawn_omega, drawn_eta : ndarray or None
        The same sums of the axes as drawn, over all ordered pairs, where they were asked for.

    Examples
    --------
    >>> from pysoftcorr.mocks import GalaxyCatalog, alignment_sums
    >>> galaxies = GalaxyCatalog([[1, 1, 1], [1, 1, 3]], [[0, 0, 1], [0, 0, 1]], boxsize=30)
    >>> sums = alignment_sums(galaxies, bins=[1, 3])
    >>> [sums.at(mu, 0.0).omega.round(6).tolist() for mu in (1.0, 0.0, -1.0)]
    [[0.666667], [0.0], [-0.333333]]
    """

    edges: FloatArray
    rr: FloatArray
    count: FloatArray
    weight: FloatArray
    separation: FloatArray
    omega_cen: FloatArray
    omega_sat: FloatArray
    eta_cen_cen: FloatArray
    eta_cen_sat: FloatArray
    eta_sat_sat: FloatArray
    drawn_omega: FloatArray | None = None
    drawn_eta: FloatArray | None = None

    def response(self) -> FloatArray:
        """Coefficients of omega and eta in the order parameters a of centrals and satellites.

        Returns
        -------
        ndarray, shape (5, nbins)
            A, B, C, D, E of the mean omega = a_cen A + a_sat B and eta = a_cen^2 C
            + a_cen a_sat D + a_sat^2 E; NaN in bins without pairs.
        """
        weight = 2 * self.weight.sum(axis=0)
        kinds = (
            self.omega_cen,
            self.omega_sat,
            self.eta_cen_cen,
            self.eta_cen_sat,
            self.eta_sat_sat,
        )
        return np.stack([ratio(kind.sum(axis=0), weight) for kind in kinds])

    def drawn(self) -> tuple[FloatArray, FloatArray]:
        """omega and eta of the axes as drawn, of shape (nbins,), as `box_correlations` has them.

        Raises
        ------
        ValueError
            If the sums were made without the drawn axes.
        """
        if self.drawn_omega is None or self.drawn_eta is None:
            raise ValueError("the drawn axes were not summed: pass drawn=True to alignment_sums")
        weight = 2 * self.weight.sum(axis=0)
        omega, eta = self.drawn_omega.sum(axis=0), self.drawn_eta.sum(axis=0)
        return ratio(omega, weight), ratio(eta, weight)

    def at(self, mu_cen: float, mu_sat: float) -> ExpectedCorrelations:
        """Correlations at two strengths, and their derivatives: a few operations a bin.

        Raises
        ------
        ValueError
            If a strength is outside [-1, 1].
        """
        c, s = _order("mu_cen", mu_cen), _order("mu_sat", mu_sat)
        return _evaluate(self, c, s, mu_cen, mu_sat)


def _order(name: str, mu: Any) -> tuple[float, float]:
    values = alignment._strength(mu, name)
    if values.ndim:
        raise TypeError(f"{name} must be one number, not an array of shape {values.shape}")
    return alignment.order_parameter(mu), alignment.order_parameter_derivative(mu)


def _evaluate(
    sums: AlignmentSums,
    cen: tuple[float, float],
    sat: tuple[float, float],
    mu_cen: float,
    mu_sat: float,
    gamma: float = 0.0,
    slopes: AlignmentSums | None = None,
) -> ExpectedCorrelations:
    """Correlations from sums and order parameters with their derivatives.

    With `slopes`, the derivatives of `sums` with respect to mu_sat, the satellites' own order
    parameters are in the sums already, and `sat` is (1, 0).
    """
    (a, da), (b, db) = cen, sat
    weight = 2 * sums.weight
    omega = a * sums.omega_cen + b * sums.omega_sat
    omega_c = da * sums.omega_cen
    eta = a * a * sums.eta_cen_cen + a * b * sums.eta_cen_sat + b * b * sums.eta_sat_sat
    eta_c = da * (2 * a * sums.eta_cen_cen + b * sums.eta_cen_sat)
    if slopes is None:
        omega_s = db * sums.omega_sat
        eta_s = db * (a * sums.eta_cen_sat + 2 * b * sums.eta_sat_sat)
    else:
        omega_s = slopes.omega_sat
        eta_s = a * slopes.eta_cen_sat + slopes.eta_sat_sat

    def mean(values: FloatArray) -> FloatArray:
        return ratio(values.sum(axis=0), weight.sum(axis=0))

    two, one = weight / sums.rr
    return ExpectedCorrelations(
        edges=sums.edges,
        r=ratio(sums.separation.sum(axis=0), sums.weight.sum(axis=0)),
        npairs=np.rint(sums.count.sum(axis=0)).astype(np.int64),
        xi=one + two - 1,
        omega=mean(omega),
        eta=mean(eta),
        domega_dmu_cen=mean(omega_c),
        domega_dmu_sat=mean(omega_s),
        deta_dmu_cen=mean(eta_c),
        deta_dmu_sat=mean(eta_s),
        xi_1h=one,
        xi_2h=two - 1,
        omega_1h=ratio(omega[1], weight[1]),
        omega_2h=ratio(omega[0], weight[0]),
        eta_1h=ratio(eta[1], weight[1]),
        eta_2h=ratio(eta[0], weight[0]),
        mu_cen=float(mu_cen),
        mu_sat=float(mu_sat),
        gamma=float(gamma),
    )


def alignment_sums(
    galaxies: GalaxyCatalog,
    *,
    bins: Bins | None = None,
    weights: npt.ArrayLike | None = None,
    periodic: bool = True,
    drawn: bool = False,
) -> AlignmentSums:
    """One pass over the pairs, for expectations at many strengths.

    Parameters
    ----------
    galaxies : GalaxyCatalog
        Their drawn axes play no role in the expectations.
    bins, weights, periodic
        As in `box_correlations`.
    drawn : bool
        Sum the drawn axes as well, in the same pass.

    Returns
    -------
    AlignmentSums

    Raises
    ------
    ValueError, TypeError
        As `box_correlations`.
    """
    cen, sat, edges = _kinds(galaxies, bins, weights, periodic, drawn)
    cc, cs, ss = _passes(cen, sat, edges, galaxies, periodic)
    sums = _collected(cc, cs, ss, edges, galaxies, weights, periodic)
    if not drawn:
        return sums
    every = cc + cs + ss
    return replace(sums, drawn_omega=every[..., DRAWN_OMEGA], drawn_eta=2 * every[..., DRAWN_ETA])


def expected_correlations(
    galaxies: GalaxyCatalog,
    mu_cen: float,
    mu_sat: float,
    *,
    gamma: float = 0.0,
    bins: Bins | None = None,
    weights: npt.ArrayLike | None = None,
    periodic: bool = True,
) -> ExpectedCorrelations:
    """The mean of omega and eta over all draws of the axes, with its derivatives.

    Parameters
    ----------
    galaxies : GalaxyCatalog
        Their drawn axes and the strengths of these play no role.
    mu_cen, mu_sat : float
        Alignment strengths in [-1, 1].
    gamma : float
        Strength of satellites by radius, mu_sat (r/Rvir)^gamma. Unless it is 0 the pairs of
        satellites are gone through three times.
    bins, weights, periodic
        As in `box_correlations`.

    Returns
    -------
    ExpectedCorrelations

    Raises
    ------
    ValueError
        If a strength is outside [-1, 1], and as `box_correlations`.
    TypeError
        If `galaxies` is no GalaxyCatalog.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks import GalaxyCatalog, expected_correlations
    >>> galaxies = GalaxyCatalog([[1, 1, 1], [1, 1, 3]], [[0, 0, 1], [0, 0, 1]], boxsize=30)
    >>> expected = expected_correlations(galaxies, 0.5, 0.0, bins=[1, 3])
    >>> expected.omega.round(4).tolist(), expected.domega_dmu_cen.round(4).tolist()
    ([0.0959], [0.3178])
    """
    c, s = _order("mu_cen", mu_cen), _order("mu_sat", mu_sat)
    gamma = number("gamma", gamma)
    if gamma == 0:
        sums = alignment_sums(galaxies, bins=bins, weights=weights, periodic=periodic)
        return _evaluate(sums, c, s, mu_cen, mu_sat)
    cen, sat, edges = _kinds(galaxies, bins, weights, periodic)
    radius = galaxies.scaled_radius[~galaxies.central]
    mu, factor = alignment.satellite_strength(float(mu_sat), gamma, radius)
    a, slope = alignment.order_parameter(mu), alignment.order_parameter_derivative(mu) * factor

    def collected(cc: Any, cs: Any, ss: Any) -> AlignmentSums:
        return _collected(cc, cs, ss, edges, galaxies, weights, periodic)

    cc, cs, ss = _passes(cen, sat.scaled(a), edges, galaxies, periodic)
    # The sums are linear in the strengths of satellites or, for eta of two of them, a quadratic
    # form, whose derivative along `slope` is half of a difference, exactly.
    half = slope / 2
    none = np.zeros_like(cc)
    up = _passes(None, sat.scaled(a + half), edges, galaxies, periodic)[2]
    down = _passes(None, sat.scaled(a - half), edges, galaxies, periodic)[2]
    bent = _passes(cen, sat.scaled(slope), edges, galaxies, periodic, within=False)[1]
    slopes = collected(none, bent, up - down)
    return _evaluate(
        collected(cc, cs, ss), c, (1.0, 0.0), mu_cen, mu_sat, float(gamma), slopes=slopes
    )


def _kinds(
    galaxies: GalaxyCatalog, bins: Any, weights: Any, periodic: bool, drawn: bool = False
) -> tuple[_pairs.BoxSet, _pairs.BoxSet, FloatArray]:
    """Centrals and satellites with their reference axes, and the bins."""
    if not isinstance(galaxies, GalaxyCatalog):
        raise TypeError(f"galaxies must be a GalaxyCatalog, not {type(galaxies).__name__}")
    flag("periodic", periodic)
    flag("drawn", drawn)
    if galaxies.reference is None:
        raise ValueError("galaxies: they have no axes, whose means these are; give `reference`")
    edges = _pairs.radial_edges(bins, galaxies.boxsize, periodic=periodic)
    every = _pairs.box_set(
        galaxies.position,
        galaxies.reference,
        weights,
        galaxies.host,
        boxsize=galaxies.boxsize,
        wrap=False,
    )
    if drawn:
        every = replace(every, drawn=galaxies.axis)
    return every.rows(galaxies.central), every.rows(~galaxies.central), edges


def _passes(
    cen: _pairs.BoxSet | None,
    sat: _pairs.BoxSet,
    edges: FloatArray,
    galaxies: GalaxyCatalog,
    periodic: bool,
    *,
    within: bool = True,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sums over pairs of centrals, of a central with a satellite, and of satellites."""

    def sums(first: _pairs.BoxSet | None, second: _pairs.BoxSet | None = None) -> FloatArray:
        if first is None or (not within and second is None):
            return np.zeros((2, len(edges) - 1, 8))
        return _pairs.pair_sums(
            first, second, edges, boxsize=galaxies.boxsize, periodic=periodic, split=True
        )

    return sums(cen), sums(cen, sat), sums(sat)


def _collected(
    cc: FloatArray,
    cs: FloatArray,
    ss: FloatArray,
    edges: FloatArray,
    galaxies: GalaxyCatalog,
    weights: Any,
    periodic: bool,
) -> AlignmentSums:
    total = float(len(galaxies) if weights is None else np.sum(np.asarray(weights)))
    every = cc + cs + ss
    return AlignmentSums(
        edges=edges,
        rr=total**2 * _pairs.shell_fraction(edges, galaxies.boxsize, periodic=periodic),
        count=every[..., COUNT],
        weight=every[..., WEIGHT],
        separation=every[..., SEPARATION],
        omega_cen=cc[..., OMEGA1] + cc[..., OMEGA2] + cs[..., OMEGA1],
        omega_sat=ss[..., OMEGA1] + ss[..., OMEGA2] + cs[..., OMEGA2],
        # both orders of a pair
        eta_cen_cen=2 * cc[..., ETA],
        eta_cen_sat=2 * cs[..., ETA],
        eta_sat_sat=2 * ss[..., ETA],
    )
