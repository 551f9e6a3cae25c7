"""Fuzzy c-means on the sphere or in a plane: memberships, and clusters drawn from them."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.checks import not_negative
from pysoftcorr.core.frozen import Frozen, frozen_array
from pysoftcorr.core.options import at_least_one, choice, count, flag, number, numbers, positive
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.device.blocks import check_device
from pysoftcorr.sky.device.cmeans import Fit, Sweeps, seed_centers
from pysoftcorr.sky.geometry import AXES, FLAT, SKY, to_plane, unit_between

__all__ = ["Clustering", "SoftClustering"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ASSIGNMENTS = ("greedy", "sampled", "soft", "gumbel")
METRICS = ("chord", "radec")


@dataclass(frozen=True, kw_only=True)
class SoftClustering:
    """Settings of fuzzy c-means clustering.

    Objects i and centers k minimize ``J = sum_ik w_i U_ik^m d_ik^2`` with ``sum_k U_ik = 1``
    (Bezdek 1984; Berman et al. 2025, eqs. 15 to 18): memberships
    ``U_ik = 1 / sum_j (d_ik/d_jk)^(2/(m-1))`` and centers at the mean weighted by ``U^m``, in
    turn until they hold still.

    Parameters
    ----------
    n_clusters : int
        Number of clusters, at most the number of objects.
    fuzziness : float
        The exponent m > 1; near 1 memberships become sharp.
    metric : {"chord", "radec"}
        "chord": d is the straight distance. On the sky centers are then renormalized means of
        unit vectors, right across RA 0 and at the poles; of a flat catalog, means of x and y.
        "radec": RA and Dec in degrees as plane coordinates, as in the paper, for comparison.
    tol : float
        Converged once the Frobenius norm of the change of U falls below it.
    max_iter : int
        Most sweeps over the objects.
    accelerate : bool
        Once memberships change little from sweep to sweep, extrapolate from the last ones
        (Anderson 1965). J still never rises, and the minimum is the one that plain sweeps lead
        to; several times fewer are needed.
    use_weights : bool
        Weigh objects by the catalog's weights; by default all count alike.
    seed : int, numpy.random.Generator or None
        For the k-means++ start (Arthur & Vassilvitskii 2007).
    device : str
        Where the sweeps are made: "cpu", or a GPU such as "cuda", by Triton in float64. To rounding
        every sweep is the same.

    Raises
    ------
    ValueError, TypeError
        A setting that is not possible; a device that is not there.
    ImportError
        torch or Triton is not installed, and `device` is a GPU.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.sky.catalog import Catalog
    >>> from pysoftcorr.sky.clustering import SoftClustering
    >>> ra = np.r_[np.linspace(10, 10.1, 20), np.linspace(11, 11.1, 20)]
    >>> fit = SoftClustering(n_clusters=2, seed=1).fit(Catalog(ra=ra, dec=0 * ra))
    >>> np.sort(fit.ra).round(2)
    array([10.05, 11.05])
    >>> fit.memberships.shape, bool(fit.converged)
    ((40, 2), True)
    """

    n_clusters: int
    fuzziness: float = 2.0
    metric: str = "chord"
    tol: float = 1e-8
    max_iter: int = 2000
    accelerate: bool = True
    use_weights: bool = False
    seed: Seed = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("n_clusters", "max_iter"):
            object.__setattr__(self, name, at_least_one(name, getattr(self, name)))
        object.__setattr__(self, "fuzziness", number("fuzziness", self.fuzziness, above=1))
        object.__setattr__(self, "tol", positive("tol", self.tol))
        choice("metric", self.metric, METRICS)
        for name in ("accelerate", "use_weights"):
            object.__setattr__(self, name, flag(name, getattr(self, name)))
        object.__setattr__(self, "device", check_device(self.device))
        object.__setattr__(self, "seed", root_seed(self.seed))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)

    def fit(self, catalog: Catalog, *, centers: npt.ArrayLike | None = None) -> Clustering:
        """Cluster a catalog.

        Parameters
        ----------
        catalog : Catalog
            At least `n_clusters` objects.
        centers : array_like, shape (n_clusters, 2), optional
            RA and Dec in degrees, or x and y of a flat catalog in its unit, to start from, instead
            of a k-means++ draw.

        Returns
        -------
        Clustering

        Raises
        ------
        ValueError
            More clusters than objects, impossible centers, or metric="radec" for a flat catalog.

        Warns
        -----
        UserWarning
            `max_iter` sweeps were not enough.
        """
        _check_catalog(catalog)
        n, c = len(catalog), int(self.n_clusters)
        if c > n:
            raise ValueError(
                f"n_clusters = {c}: more than the {n} objects of the catalog; ask for at most {n}"
            )
        x = coordinates(catalog, self.metric)
        if self.use_weights:
            check_weights("SoftClustering: catalog", catalog)
        w = catalog.w if self.use_weights else np.ones(n)
        start = None if centers is None else self._start(centers, catalog)
        draws = stream(int(self.seed), "k-means++").random(c)  # type: ignore[arg-type]
        made, u = (self._on_cpu if self.device == "cpu" else self._on_device)(x, w, start, draws)
        if not made.converged:
            warnings.warn(
                f"fuzzy c-means: {self.max_iter} sweeps were not enough, the memberships still "
                f"change by {made.change[-1]:.1e} (tol = {self.tol:.1e}); raise max_iter",
                stacklevel=2,
            )
        return Clustering(
            options=self, centers=made.centers, memberships=u, objective=made.objective,
            change=made.change, converged=made.converged, geometry=catalog.geometry,
            xy_unit=catalog.xy_unit,
        )  # fmt: skip

    def _on_cpu(
        self, x: FloatArray, w: FloatArray, start: FloatArray | None, draws: FloatArray
    ) -> tuple[Fit, FloatArray]:
        """Converged centers and memberships, from `start` (c, D) or one uniform number a center."""
        (n, dims), c = x.shape, len(draws)
        v = np.empty((dims, c))
        if start is None:
            call("seed_centers", x, dims, n, w, c, draws, v)
        else:
            v[:] = start.T
        u = np.empty((n, c))
        history = np.empty((2, self.max_iter))
        outcome = np.zeros(2, dtype=np.int64)
        call(
            "fuzzy_cmeans", x, dims, n, w, c, float(self.fuzziness), float(self.tol),
            int(self.max_iter), int(self.accelerate), v, u, history, outcome,
        )  # fmt: skip
        objective, change = history[:, : outcome[0]].copy()
        return Fit(np.ascontiguousarray(v.T), objective, change, bool(outcome[1])), u

    def _on_device(
        self, x: FloatArray, w: FloatArray, start: FloatArray | None, draws: FloatArray
    ) -> tuple[Fit, FloatArray]:
        """`_on_cpu` on the device."""
        sweeps = Sweeps(x, w, len(draws), float(self.fuzziness), self.device)
        if start is None:
            start = seed_centers(x, w, draws, self.device)
        made = sweeps.fit(start, float(self.tol), int(self.max_iter), bool(self.accelerate))
        return made, sweeps.memberships()

    def _start(self, centers: npt.ArrayLike, catalog: Catalog) -> FloatArray:
        start = numbers("centers", centers)
        if start.shape != (self.n_clusters, 2):
            raise ValueError(
                f"centers has shape {start.shape}: must be ({self.n_clusters}, 2), "
                "RA and Dec in degrees, or x and y"
            )
        finite = np.isfinite(start).all(axis=1)
        if not finite.all():
            rows = np.flatnonzero(~finite)[:5].tolist()
            raise ValueError(f"centers are not finite in rows {rows} (counted from 0)")
        if catalog.geometry == FLAT:
            return start
        if np.abs(start[:, 0]).max() > 720 or np.abs(start[:, 1]).max() > 90:
            raise ValueError(
                "centers must be RA within 720 and Dec within 90 degrees, not up to "
                f"{np.abs(start[:, 0]).max():g} and {np.abs(start[:, 1]).max():g}"
            )
        return coordinates(Catalog(ra=start[:, 0], dec=start[:, 1]), self.metric)


@dataclass(frozen=True, kw_only=True, eq=False)
class Clustering(Frozen):
    """A converged (or stopped) fuzzy c-means clustering; made by `SoftClustering.fit`.

    Attributes
    ----------
    options : SoftClustering
        The settings.
    centers : ndarray, shape (c, 3) or (c, 2)
        Unit vectors, or RA and Dec in degrees where ``metric="radec"``; x and y of a flat catalog.
    memberships : ndarray, shape (N, c)
        U; rows sum to 1.
    objective : ndarray, shape (n_iter,)
        J of each accepted sweep; it does not rise.
    change : ndarray, shape (n_iter,)
        Frobenius norm of the change of U in each sweep.
    converged : bool
    geometry : {"sky", "flat"}
        That of the catalog.
    xy_unit : str or None
        Unit of x and y.
    """

    options: SoftClustering
    centers: FloatArray
    memberships: FloatArray
    objective: FloatArray
    change: FloatArray
    converged: bool
    geometry: str = SKY
    xy_unit: str | None = None

    def __post_init__(self) -> None:
        for name in ("centers", "memberships", "objective", "change"):
            object.__setattr__(self, name, frozen_array(getattr(self, name)))

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.centers)

    @property
    def n_iter(self) -> int:
        """Number of accepted sweeps."""
        return len(self.objective)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as plain values."""
        return self.options.settings

    @cached_property
    def ra(self) -> FloatArray:
        """Right ascension of the centers in degrees, shape (c,)."""
        self._check(SKY, "ra")
        if self.centers.shape[1] == 2:
            return self.centers[:, 0]
        x, y = self.centers[:, :2].T
        turned: FloatArray = frozen_array(np.degrees(np.arctan2(y, x)) % 360.0)
        return turned

    @cached_property
    def dec(self) -> FloatArray:
        """Declination of the centers in degrees, shape (c,)."""
        self._check(SKY, "dec")
        if self.centers.shape[1] == 2:
            return self.centers[:, 1]
        x, y, z = self.centers.T
        risen: FloatArray = frozen_array(np.degrees(np.arctan2(z, np.hypot(x, y))))
        return risen

    @property
    def x(self) -> FloatArray:
        """x of the centers of a flat catalog in `xy_unit`, shape (c,)."""
        self._check(FLAT, "x")
        return self.centers[:, 0]

    @property
    def y(self) -> FloatArray:
        """y of the centers of a flat catalog in `xy_unit`, shape (c,)."""
        self._check(FLAT, "y")
        return self.centers[:, 1]

    def _check(self, geometry: str, name: str) -> None:
        if self.geometry != geometry:
            own = " and ".join(AXES[self.geometry])
            raise AttributeError(f"centers of this clustering have {own}, and no {name}")

    @property
    def xyz(self) -> FloatArray:
        """Unit vectors of the centers, shape (c, 3); of a flat catalog as `Catalog.xyz`."""
        if self.geometry == FLAT:
            flat = self.centers * to_plane(str(self.xy_unit))
            return np.ascontiguousarray(np.pad(flat, ((0, 0), (0, 1))))
        if self.centers.shape[1] == 3:
            return self.centers
        return Catalog(ra=self.ra, dec=self.dec).xyz

    @property
    def max_membership(self) -> FloatArray:
        """Largest membership of each object, shape (N,)."""
        return self.memberships.max(axis=1)

    @property
    def entropy(self) -> FloatArray:
        """Shannon entropy of each object's memberships in nats, shape (N,)."""
        u = self.memberships
        return -np.sum(u * np.log(u, out=np.zeros_like(u), where=u > 0), axis=1)

    def predict(self, catalog: Catalog) -> FloatArray:
        """Memberships of other objects in these centers, shape (N, c)."""
        _check_catalog(catalog)
        if catalog.geometry != self.geometry:
            raise ValueError(
                f"catalog has geometry {catalog.geometry!r}, the clustering {self.geometry!r}"
            )
        x = coordinates(catalog, self.options.metric)
        if catalog.xy_unit != self.xy_unit:
            if "pixel" in (catalog.xy_unit, self.xy_unit):
                raise ValueError(
                    f"catalog is in {catalog.xy_unit}, the clustering in {self.xy_unit}"
                )
            x = x * unit_between(str(catalog.xy_unit), str(self.xy_unit))
        u = np.empty((len(x), self.n_clusters))
        v = np.ascontiguousarray(self.centers.T)
        call("memberships", x, x.shape[1], len(x), self.n_clusters,
             float(self.options.fuzziness), v, u)  # fmt: skip
        return u

    def assign(
        self,
        kind: str = "greedy",
        *,
        n: int | None = None,
        temperature: float = 0.1,
        straight_through: bool = False,
        seed: Seed = None,
    ) -> npt.NDArray[Any]:
        """Assign the objects to clusters by their memberships (Berman et al. 2025, section 2.3).

        Parameters
        ----------
        kind : {"greedy", "sampled", "soft", "gumbel"}
            The cluster of largest membership; one drawn from the memberships; all, in parts; or
            the relaxed draw ``softmax((log U + g)/temperature)`` with Gumbel noise g.
        n : int, optional
            For "sampled": how many draws; None for a single one.
        temperature : float
            For "gumbel".
        straight_through : bool
            For "gumbel": the single cluster that the relaxed draw falls into as the temperature
            goes to 0.
        seed : int, numpy.random.Generator or None
            For "sampled" and "gumbel".

        Returns
        -------
        ndarray
            Labels, int64 (N,), or (n, N) for `n` draws; shares, float64 (N, c), for "soft" and
            "gumbel".

        Raises
        ------
        ValueError
            An unknown `kind`, or a setting that is not possible.
        """
        choice("kind", kind, ASSIGNMENTS)
        u = self.memberships
        objects, c = u.shape
        if kind == "soft":
            return u.copy()
        if kind == "greedy":
            labels = np.empty(objects, dtype=np.int64)
            call("assign_greedy", u, c, objects, labels)
            return labels - 1
        if kind == "sampled":
            draws = count("n", 1 if n is None else n, each=24.0 * objects)
            uniform = stream(root_seed(seed), "assignment").random((draws, objects))
            sampled = np.empty((draws, objects), dtype=np.int64)
            call("assign_sampled", u, c, objects, draws, uniform, sampled)
            return sampled[0] - 1 if n is None else sampled - 1
        temperature = positive("temperature", temperature)
        noise = stream(root_seed(seed), "gumbel").gumbel(size=(objects, c))
        share = np.empty((objects, c))
        call("assign_gumbel", u, c, objects, noise, temperature, int(straight_through), share)
        return share

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        return (
            f"<Clustering: {len(self.memberships)} objects in {self.n_clusters} clusters, "
            f"{state} in {self.n_iter} sweeps>"
        )


def check_weights(whose: str, catalog: Catalog) -> None:
    """ValueError where weights are negative: a mean of two objects may lie anywhere then."""
    not_negative(
        catalog.w, whose, "clusters are weighted means",
        "leave those rows out, or take all pairs of objects, clusters=0",
    )  # fmt: skip


def _check_catalog(catalog: Catalog) -> None:
    if not isinstance(catalog, Catalog):
        raise TypeError(f"catalog must be a Catalog, not {type(catalog).__name__}")


def coordinates(catalog: Catalog, metric: str) -> FloatArray:
    """What is clustered: unit vectors (N, 3), RA and Dec in degrees, or x and y (N, 2)."""
    if catalog.geometry == FLAT:
        if metric == "radec":
            raise ValueError("metric = 'radec': is for catalogs on the sky; leave it out")
        return np.ascontiguousarray(np.stack([catalog.x, catalog.y], axis=1))
    if metric == "chord":
        return catalog.xyz
    return np.ascontiguousarray(np.stack([catalog.ra, catalog.dec], axis=1))
