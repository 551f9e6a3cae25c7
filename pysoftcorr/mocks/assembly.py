"""Assembly bias: occupations that depend on concentration at fixed mass (the decorated HOD)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["concentrated", "decoration"]

FloatArray = npt.NDArray[np.float64]

#: Bins of mass in which halos are ranked: their width in dex, and the fewest halos.
_WIDTH, _FEW = 0.1, 20


def concentrated(mass: FloatArray, concentration: FloatArray, split: float = 0.5) -> Any:
    """Whether the concentration of a halo is above a percentile of halos of its mass.

    Parameters
    ----------
    mass : ndarray, shape (N,)
        Msun/h.
    concentration : ndarray, shape (N,)
        Above 0.
    split : float
        Part of the halos below, between 0 and 1.

    Returns
    -------
    ndarray of bool, shape (N,)
        Halos are ranked in bins of 0.1 dex, the heaviest ones in bins of 20 halos at least, by
        concentration over that of the power law of mass that fits all of them best: within a bin
        it is not mass that decides.

    Raises
    ------
    ValueError
        If concentration follows from mass alone, so that there is nothing to rank by.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.mocks.assembly import concentrated
    >>> concentrated(np.full(4, 1e13), np.array([5.0, 9.0, 7.0, 6.0])).tolist()
    [False, True, True, False]
    """
    logm, logc = np.log10(mass), np.log(concentration)
    center = logm - logm.mean()
    spread = float(center @ center)
    slope = float(center @ logc) / spread if spread > 1e-12 * logm.size else 0.0
    relative = logc - slope * center
    if logm.size > 1 and float(np.ptp(relative)) < 1e-9:
        raise ValueError(
            "concentration: follows from mass in these halos, so that none is more concentrated "
            "than others of its mass; leave assembly_cen and assembly_sat at 0, or take halos "
            "whose concentrations scatter"
        )
    bins = _mass_bins(logm)
    order = np.lexsort((relative, bins))
    number = np.bincount(bins)
    first = np.cumsum(number) - number
    rank = np.empty(logm.size)
    rank[order] = np.arange(logm.size) - first[bins[order]]
    return (rank + 0.5) / number[bins] > split


def _mass_bins(logm: FloatArray) -> npt.NDArray[np.int64]:
    """Bins of the least width and number, from the lightest halo on."""
    bins = ((logm - logm.min()) / _WIDTH).astype(np.int64)
    number = np.bincount(bins)
    # From the heaviest down, bins are joined until they hold enough; the lightest takes the rest.
    joined, held = np.zeros(number.size, dtype=np.int64), 0
    label = 0
    for k in range(number.size - 1, -1, -1):
        joined[k] = label
        held += int(number[k])
        if held >= _FEW:
            label, held = label + 1, 0
    if held and label:
        joined[joined == label] = label - 1
    return joined[bins]


def decoration(
    mean: Any, strength: Any, upper: Any, split: float, most: float, module: Any = np
) -> Any:
    """What assembly bias adds to mean numbers; the mean over both kinds of halos stays.

    Parameters
    ----------
    mean : array_like, shape (N,)
        Mean numbers without it.
    strength : float or array
        In [-1, 1]: part of the largest change that is possible, to more galaxies in concentrated
        halos if positive.
    upper : array_like of bool, shape (N,)
        Whether a halo is `concentrated`.
    split : float
        Part of the halos that are not.
    most : float
        Largest mean number: 1 of centrals, infinite of satellites.
    module : module
        numpy, or torch.

    Notes
    -----
    Hearin et al. 2016, MNRAS 460, 2552, eq. 6 to 16, as halotools' HeavisideAssembias. With parts
    f and 1 - f of concentrated and other halos, numbers of the first change by strength times the
    smaller of most - mean and mean (1 - f)/f, or, where it is negative, of mean and
    (most - mean)(1 - f)/f, those of the others by -f/(1 - f) times that.
    """
    ratio = split / (1 - split)
    room = most - mean
    up = module.minimum(room, mean * ratio)
    down = module.minimum(mean, room * ratio)
    change = strength * module.where(strength > 0, up, down)
    return module.where(upper, change, -change * (1 - split) / split)
