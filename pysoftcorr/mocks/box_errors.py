"""Covariance of xi, omega and eta in a box: of its sub-volumes, or of several boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.random import stream
from pysoftcorr.mocks.shell_coverage import covered_pairs
from pysoftcorr.mocks.subvolumes import Plan, SubVolumes
from pysoftcorr.sky.covariances import covariance
from pysoftcorr.sky.patch_pairs import PairWeights
from pysoftcorr.sky.resampling import Jackknife

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Statistics in the order of every covariance.
STATISTICS = ("xi", "omega", "eta")


def ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    """a/b, NaN where b is 0."""
    out = np.full(np.broadcast(a, b).shape, np.nan)
    return np.divide(a, b, out=out, where=b != 0)


def pair_weights(plan: Plan, labels: tuple[IntArray, ...], seed: int) -> tuple[PairWeights, float]:
    """Weights of pairs in every resample, and the factor of their covariance."""
    n = plan.cells.n
    if isinstance(plan.way, Jackknife):
        weights = PairWeights.jackknife(labels, n, plan.way.cross_patch_weight)
        return weights, (n - 1) / n
    rng = stream(seed, "bootstrap of sub-volumes")
    times = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(plan.way.n)]
    weights = PairWeights.bootstrap(
        labels, np.array(times, dtype=np.float64), plan.way.cross_patch_weight
    )
    return weights, 1.0 / (plan.way.n - 1)


def resampled_sums(weights: PairWeights, pairs: FloatArray) -> FloatArray:
    """Sums (R, nbins, nsums) of every resample, of those of each two cells.

    Parameters
    ----------
    weights : PairWeights
    pairs : ndarray, shape (n (n + 1)/2, nbins, nsums)
        In the order 00, 01, 11, 02, 12, 22, ...; the first of the sums is the number of pairs.
    """
    q, p = np.tril_indices(weights.n_patches)
    some = np.flatnonzero(pairs[:, :, 0].any(axis=1))
    p, q = p[some], q[some]
    one, two = weights.part[:, p], weights.part[:, q]
    each = np.where(p == q, weights.own[:, p], one * two if weights.product else one + two)
    # einsum and not BLAS, whose bits depend on the number of threads.
    return np.asarray(np.einsum("rp,pbs->rbs", each, pairs[some]))


def uniform_pairs(weights: PairWeights, fractions: FloatArray) -> FloatArray:
    """Weighted part of the pairs of uniform points that each resample has, shape (R, nbins).

    Parameters
    ----------
    weights : PairWeights
    fractions : ndarray, shape (nbins, n, n)
        Of `SubVolumes.pair_fractions`.
    """
    within = np.einsum("bpp->bp", fractions)
    part = weights.part
    if weights.product:
        between = np.einsum("rp,bpq,rq->rb", part, fractions, part)
        between -= np.einsum("rp,bp->rb", part**2, within)
    else:
        either = fractions.sum(axis=1) + fractions.sum(axis=2) - 2 * within
        between = np.einsum("rp,bp->rb", part, either)
    return np.asarray(np.einsum("rp,bp->rb", weights.own, within) + between)


@dataclass(frozen=True)
class Placed:
    """Objects and their cells: labels and weights (N,), positions and unit axes (N, 3)."""

    label: IntArray
    position: FloatArray
    weight: FloatArray
    axis: FloatArray | None


def resampled_statistics(
    weights: PairWeights,
    cells: SubVolumes,
    edges: FloatArray,
    count: FloatArray,
    sums: FloatArray,
    sets: Sequence[Placed],
) -> dict[str, FloatArray]:
    """xi, omega and eta, each (R, nbins), of every resample.

    Parameters
    ----------
    weights : PairWeights
    cells : SubVolumes
    edges : ndarray, shape (nbins + 1,)
        Mpc/h.
    count : ndarray, shape (R, nbins)
        Pairs of each resample, weighted.
    sums : ndarray, shape (R, nbins, 3)
        Pairs, and those with the angles of omega and of eta, over RR of the whole box.
    sets : sequence of Placed
        One, or both of which pairs are made.

    Notes
    -----
    With DD, DR and RR of the resample, each for the mean densities of what it holds, xi is
    (DD - D1R - D2R + RR)/RR (Landy & Szalay 1993), and omega has the mean angles of D1R taken off:
    otherwise the fluctuations beside the faces of sub-volumes that are left out come in at first
    order, and exceed the error at large r tenfold. The box is whole: its own first order, which is
    0 but for a box that is not periodic, where its faces cut shells, is added back.
    """
    uniform = cells.pair_fractions(edges)
    rr = uniform_pairs(weights, uniform[0])
    drawn = weights.times / weights.times.mean(axis=1, keepdims=True)
    density, first = [], []
    order = np.zeros(rr.shape)
    for s in sets:
        held = np.bincount(s.label, weights=s.weight, minlength=cells.n)
        a = (drawn * held).sum(axis=1, keepdims=True) / s.weight.sum()
        pairs, aligned = covered_pairs(
            cells, edges, uniform, s.position, s.weight, s.axis if s is sets[0] else None
        )
        density.append(a)
        first.append(ratio(uniform_pairs(weights, pairs), a * rr))
        order += ratio(np.einsum("rp,bpq->rb", drawn, pairs), a) - 1
        if s is sets[0] and aligned is not None:
            tilt = -ratio(uniform_pairs(weights, aligned), a * rr)
            tilt += ratio(np.einsum("rp,bpq->rb", drawn, aligned), a)
    if len(sets) == 1:
        density, first, order = density * 2, first * 2, order * 2
    natural, omega, eta = np.moveaxis(ratio(sums, (density[0] * density[1] * rr)[:, :, None]), 2, 0)
    xi = natural - first[0] - first[1] + 1 + order
    some = count > 0
    # A mean over few pairs is one of these: the correction is of their number, not of what is.
    weight = np.where(np.abs(xi + 1 - natural) < 0.5 * natural, xi + 1, natural)
    weight = np.where(some, weight, 0.0)
    if sets[0].axis is not None:
        omega = omega + tilt
    return {
        "xi": np.where(some, xi, -1.0),
        "omega": ratio(omega, weight),
        "eta": ratio(eta, weight),
    }


def joint_covariance(
    resamples: Mapping[str, FloatArray], known: Mapping[str, FloatArray], scale: float
) -> FloatArray | None:
    """Covariance of the statistics that have values, one after the other.

    Parameters
    ----------
    resamples : mapping of str to ndarray, shape (R, nbins)
    known : mapping of str to ndarray of bool, shape (nbins,)
        Where each statistic has a value of which the scatter is an error.
    scale : float
        What the sum of squares about the mean is multiplied by.

    Returns
    -------
    ndarray, shape (k nbins, k nbins), or None
        NaN in the rows and columns of values that are not known.
    """
    names = [name for name in STATISTICS if known[name].any()]
    if not names:
        return None
    there = np.concatenate([known[name] for name in names])
    samples = np.hstack([resamples[name] for name in names])
    matrix = covariance(samples, scale)
    # Resamples that are all alike know nothing of the error: pairs of a single sub-volume.
    size = np.nanmax(np.abs(np.where(np.isfinite(samples), samples, 0.0)), axis=0)
    there &= np.diag(matrix) > (1e-12 * size) ** 2
    matrix[~there] = np.nan
    matrix[:, ~there] = np.nan
    return (matrix + matrix.T) / 2


def warn_of_rank(matrix: FloatArray | None, samples: int, what: str) -> None:
    """Caution where a covariance is singular, or nearly."""
    if matrix is None:
        return
    values = int(np.isfinite(np.diag(matrix)).sum())
    if samples > values + 2:
        return
    caution(
        f"the covariance of {values} values rests on {samples} {what}: errors of single values are "
        f"good, its inverse is not. A fit needs more than {values + 2} of them (the factor of "
        "Hartlap et al. 2007 that unbiases an inverse is (n - p - 2)/(n - 1)): take more, or fit "
        "fewer bins or statistics"
    )
