"""A correlation function on two scales that can be differentiated."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.options import array, at_least_one, choice, numbers, positive, shown
from pysoftcorr.core.random import Seed
from pysoftcorr.sky.binning import Bins
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering, SoftClustering
from pysoftcorr.sky.differentiable import SoftCorrelation
from pysoftcorr.sky.geometry import FLAT, unit_between
from pysoftcorr.sky.groups import Groups
from pysoftcorr.sky.soft_bins import soft_bins
from pysoftcorr.sky.two_scales import Split

__all__ = ["TwoScaleCorrelation"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class TwoScaleCorrelation:
    """A shear correlation function in soft bins, of objects below a separation, of clusters above.

    What :class:`~pysoftcorr.SoftCorrelation` is for all pairs of objects in the bins that begin
    below `split`, and for pairs of clusters in the others. The clusters are found as
    `SoftClustering` finds them at survey scale, so that millions of objects have a gradient.

    Parameters
    ----------
    bins : Binning, str or array_like
    split : float
        Separation in the unit of the bins.
    clusters : int, SoftClustering or Clustering
        Number of clusters, their settings, or clusters that were found before.
    approach : {"hard", "soft"}
        "hard": each object belongs to one cluster, of which the derivative leaves none; clusters
        stand at the weighted mean of their members. "soft": objects belong in parts to the nearest
        centers, by their memberships in those that the clustering keeps, and clusters stand at
        these; the derivative goes through shares and centers, by `Clustering.vjp`.
    labels : array_like of int, shape (N,), optional
        For "hard": the cluster of each object, such as a draw of
        ``Clustering.assign("sampled")``, instead of that of its nearest center.
    weighting, sharpness, statistic, coincident
        As of `SoftCorrelation`.
    seed : int, numpy.random.Generator or None
        Of the k-means++ start where `clusters` is a number.

    Attributes
    ----------
    bins : Binning
    nbins : int
    near, far : SoftCorrelation
        What is measured of objects, and of clusters.

    Raises
    ------
    ValueError, TypeError
        A setting that is not possible; no bin on one side of the split.

    Notes
    -----
    A Clustering that is handed over is taken as it is for "hard", whose labels stay what they are
    while objects move. For "soft" the centers follow from the objects: they converge anew from
    those of the Clustering.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr import Catalog, SoftClustering, TwoScaleCorrelation
    >>> rng = np.random.default_rng(1)
    >>> cat = Catalog(ra=rng.uniform(0, 1, 300), dec=rng.uniform(0, 1, 300),
    ...               g1=rng.normal(0, 0.1, 300), g2=rng.normal(0, 0.1, 300))
    >>> fit = SoftClustering(n_clusters=100, fuzziness=1.3, seed=1).fit(cat)
    >>> xi = TwoScaleCorrelation("linear:0:60:4", split=30, clusters=fit)
    >>> xi.value(cat).shape, xi.vjp(cat, np.ones(4))["ra"].shape
    ((4,), (300,))
    """

    def __init__(
        self,
        bins: Bins,
        *,
        split: float,
        clusters: int | SoftClustering | Clustering,
        approach: str = "hard",
        labels: npt.ArrayLike | None = None,
        weighting: str = "sigmoid",
        sharpness: float | npt.ArrayLike | None = None,
        statistic: str = "xip",
        coincident: str = "keep",
        seed: Seed = None,
    ) -> None:
        self.approach = choice("approach", approach, ("hard", "soft"))
        self.bins, of_bins = soft_bins(bins, weighting, sharpness)
        cut = Split.of("TwoScaleCorrelation", self.bins, positive("split", split))
        self._cut, sharp, k = cut, of_bins[2], cut.near.nbins
        self.near, self.far = (
            SoftCorrelation(
                part, approach="naive", weighting=weighting, sharpness=of, statistic=statistic,
                coincident=coincident,
            )
            for part, of in ((cut.near, sharp[:k]), (cut.far, sharp[k:]))
        )  # fmt: skip
        self.clusters = _clusters(clusters, seed)
        self.labels = None if labels is None else _labels(labels, self.approach)

    @property
    def nbins(self) -> int:
        """Number of bins."""
        return self.bins.nbins

    def __repr__(self) -> str:
        return (
            f"<TwoScaleCorrelation: {self.far.statistic} in {self.bins}, of objects below "
            f"{self._cut.edge:g} {self.bins.unit}, of {self.clusters.n_clusters} clusters above>"
        )

    # ------------------------------------------------------------------ what it gives
    def pin(self, catalog: Catalog) -> TwoScaleCorrelation:
        """An equal estimator whose clusters are those of `catalog`, or start from there."""
        pinned = copy.copy(self)
        pinned.clusters = self._fit(catalog)
        return pinned

    def value(self, catalog: Catalog) -> FloatArray:
        """xi of each bin, shape (nbins,).

        Parameters
        ----------
        catalog : Catalog

        Raises
        ------
        ValueError
            No ellipticities, negative weights, more clusters than objects; labels or clusters of
            another number of objects.

        Warns
        -----
        UserWarning
            As of `SoftCorrelation.value`.
        """
        near = self.near.value(catalog)
        return np.concatenate([near, self.far.value(self._groups(catalog).clusters()[0])])

    def draws(self, catalog: Catalog, n: int, *, seed: Seed = None) -> FloatArray:
        """xi of `n` sampled assignments, shape (n, nbins): their spread is the epistemic error.

        Parameters
        ----------
        catalog : Catalog
        n : int
        seed : int, numpy.random.Generator or None
        """
        n, fit = at_least_one("n", n), self._fit(catalog)
        out = np.empty((n, self.nbins))
        out[:, : self.near.nbins] = self.near.value(catalog)
        for row, uniform in zip(out, fit.uniforms([1] * n, seed), strict=True):
            clusters, _ = Groups(catalog, fit, fit.drawn_by(uniform)[0]).clusters()
            row[self.near.nbins :] = self.far.value(clusters)
        return out

    def vjp(self, catalog: Catalog, cotangent: npt.ArrayLike) -> dict[str, FloatArray]:
        """Gradient of ``sum_b cotangent_b xi_b`` with respect to every object.

        Parameters
        ----------
        catalog : Catalog
        cotangent : array_like, shape (nbins,)

        Returns
        -------
        dict
            "ra", "dec" (per degree), "g1", "g2", "w", each of shape (N,). Of a flat catalog "x"
            and "y", per unit of these, take the place of the first two.

        Raises
        ------
        ValueError
            As for `value`; a cotangent of another shape, or not finite.

        Warns
        -----
        UserWarning
            As for `value`, and of "soft" as for `Clustering.vjp`.
        """
        return self.value_and_vjp(catalog, cotangent)[1]

    def value_and_vjp(
        self, catalog: Catalog, cotangent: npt.ArrayLike
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """`value` and `vjp` from one pass; parameters as of the latter."""
        given = numbers("cotangent", cotangent)
        if given.shape != (self.nbins,) or not np.isfinite(given).all():
            raise ValueError(
                f"cotangent has shape {given.shape}: must be ({self.nbins},), finite numbers"
            )
        groups = self._groups(catalog)
        clusters, there = groups.clusters()
        k = self.near.nbins
        below, out = _pull(self.near, catalog, given[:k])
        above, of_clusters = _pull(self.far, clusters, given[k:])
        for name, part in groups.pull(clusters, there, of_clusters).items():
            out[name] = out[name] + part
        return np.concatenate([below, above]), out

    # ------------------------------------------------------------------ clusters
    def _fit(self, catalog: Catalog) -> Clustering:
        fit = self.clusters
        if isinstance(fit, SoftClustering):
            return fit.fit(catalog)
        if self.approach == "soft":
            return fit.options.fit(catalog, centers=_coordinates(fit, catalog))
        if len(fit.memberships) != len(catalog):
            raise ValueError(
                f"clusters: a Clustering of {len(fit.memberships)} objects does not belong to a "
                f"catalog of {len(catalog)}"
            )
        return fit

    def _groups(self, catalog: Catalog) -> Groups:
        fit = self._fit(catalog)
        if self.approach == "soft":
            return Groups(catalog, fit)
        labels = fit.assign() if self.labels is None else self.labels
        if len(labels) != len(catalog):
            raise ValueError(
                f"labels: {len(labels)} do not belong to a catalog of {len(catalog)} objects"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < fit.n_clusters:
            raise ValueError(
                f"labels: run from {labels.min()} to {labels.max()}: must be 0 to "
                f"{fit.n_clusters - 1}, the clusters"
            )
        return Groups(catalog, fit, labels)


def _pull(
    xi: SoftCorrelation, catalog: Catalog, cotangent: FloatArray
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """xi, and the gradient of a sum of its bins."""
    xi._begin()
    value, rows = xi._pull(xi._solve(catalog), cotangent[None])
    return value, {name: row[0] for name, row in rows.items()}


def _clusters(given: Any, seed: Seed) -> SoftClustering | Clustering:
    if isinstance(given, Clustering):
        options = given.options
    elif isinstance(given, SoftClustering):
        options = given
    elif isinstance(given, (int, np.integer)) and not isinstance(given, bool):
        options = SoftClustering(n_clusters=int(given), seed=seed)
    else:
        raise TypeError(
            f"clusters = {shown(given)}: must be an integer, a SoftClustering or a Clustering"
        )
    if options.metric != "chord":
        raise ValueError(
            f"clusters has metric={options.metric!r}: only the chord can be differentiated; use "
            "metric='chord'"
        )
    return given if isinstance(given, Clustering) else options


def _labels(given: npt.ArrayLike, approach: str) -> IntArray:
    if approach != "hard":
        raise ValueError(
            f"labels: are those of a hard assignment; leave them out where it is {approach}"
        )
    return np.asarray(array("labels", given, (None,), np.int64))


def _coordinates(fit: Clustering, catalog: Catalog) -> FloatArray:
    """Centers (c, 2) as of the catalog."""
    if fit.geometry != catalog.geometry:
        raise ValueError(
            f"clusters: a Clustering of a catalog with geometry {fit.geometry!r} does not belong "
            f"to {catalog!r}"
        )
    if catalog.geometry == FLAT:
        scale = unit_between(str(fit.xy_unit), str(catalog.xy_unit))
        return np.stack([fit.x, fit.y], axis=1) * scale
    return np.stack([fit.ra, fit.dec], axis=1)
