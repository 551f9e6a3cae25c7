"""Fuzzy c-means on the sphere or in a plane: memberships, and clusters drawn from them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.checks import not_negative
from pysoftcorr.core.frozen import Frozen, frozen_array
from pysoftcorr.core.memory import refuse_beyond_memory
from pysoftcorr.core.notebook import html_facts
from pysoftcorr.core.options import at_least_one, choice, count, flag, number, numbers, positive
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.device.blocks import check_device
from pysoftcorr.sky.device.cmeans import Fit, Sweeps, seed_centers
from pysoftcorr.sky.geometry import AXES, FLAT, SKY, to_plane, unit_between
from pysoftcorr.sky.nearest import NearestMemberships

__all__ = ["Clustering", "SoftClustering"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ASSIGNMENTS = ("greedy", "sampled", "soft", "gumbel")
METRICS = ("chord", "radec")
Neighbors = int | str
#: Memberships up to which "auto" holds every object against every center.
_DENSE = 20_000_000
#: Centers of an object whose memberships "auto" keeps beyond that.
_KEPT = 16
#: Below this fuzziness powers of distances leave the range of numbers.
_SHARP = 1.1
#: Residual that conjugate gradients go down to, and their most steps.
_SOLVED, _STEPS = 1e-10, 3000


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
    neighbors : int, "auto" or "all"
        "all" holds every object against every center, N c numbers a sweep. A number k holds it
        against those around it, lets the others act through expansions of their sums (a fast
        multipole method; memberships are right to 1e-6 or better), and keeps the memberships in
        the k nearest centers. "auto" is "all" up to 2e7 memberships, 16 beyond.
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
    neighbors: Neighbors = "auto"
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
        object.__setattr__(self, "neighbors", _neighbors(self.neighbors, self.fuzziness))
        if self.device != "cpu" and self.neighbors not in ("all", "auto"):
            raise ValueError(
                f"neighbors = {self.neighbors!r}: must be 'all' or 'auto' with device = "
                f"{self.device!r}, which holds every object against every center"
            )
        object.__setattr__(self, "seed", root_seed(self.seed))

    def kept(self, n: int) -> int | None:
        """Memberships that are kept of each of `n` objects; None for all."""
        c = self.n_clusters
        if self.neighbors == "all" or self.device != "cpu":
            return None
        if self.neighbors == "auto":
            return None if n * c <= _DENSE or self.fuzziness < _SHARP else min(_KEPT, c)
        return None if int(self.neighbors) >= c else int(self.neighbors)

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
            More clusters than objects, impossible centers, metric="radec" for a flat catalog, or
            memberships that do not fit into memory.

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
        if self.kept(n) is None:
            refuse_beyond_memory(
                f"neighbors = {self.neighbors!r}: {n} x {c} memberships", 8.0 * n * c
            )
        u: FloatArray | NearestMemberships
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
    ) -> tuple[Fit, FloatArray | NearestMemberships]:
        """Converged centers and memberships, from `start` (c, D) or one uniform number a center."""
        (n, dims), c = x.shape, len(draws)
        v = np.empty((dims, c))
        if start is None:
            call("seed_centers", x, dims, n, w, c, draws, v)
        else:
            v[:] = start.T
        kept = self.kept(n)
        out = np.empty((n, c) if kept is None else n)
        history = np.empty((2, self.max_iter))
        outcome = np.zeros(2, dtype=np.int64)
        call(
            "fuzzy_cmeans" if kept is None else "sparse_cmeans", x, dims, n, w, c,
            float(self.fuzziness), float(self.tol), int(self.max_iter), int(self.accelerate),
            v, out, history, outcome,
        )  # fmt: skip
        objective, change = history[:, : outcome[0]].copy()
        made = Fit(np.ascontiguousarray(v.T), objective, change, bool(outcome[1]))
        if kept is None:
            return made, out
        return made, NearestMemberships.of(x, made.centers, self.fuzziness, out, kept)

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
    memberships : ndarray or NearestMemberships, shape (N, c)
        U; rows sum to 1. Where `neighbors` keeps the nearest centers alone, a
        :class:`~pysoftcorr.sky.nearest.NearestMemberships`, whose rows are arrays.
    objective : ndarray, shape (n_iter,)
        J of each accepted sweep; it does not rise (with `neighbors`, by no more than 1e-8 of it).
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
    memberships: FloatArray | NearestMemberships
    objective: FloatArray
    change: FloatArray
    converged: bool
    geometry: str = SKY
    xy_unit: str | None = None

    def __post_init__(self) -> None:
        for name in ("centers", "memberships", "objective", "change"):
            value = getattr(self, name)
            if not isinstance(value, NearestMemberships):
                object.__setattr__(self, name, frozen_array(value))

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
        u = self.memberships
        return u.values[:, 0] if isinstance(u, NearestMemberships) else u.max(axis=1)

    @property
    def entropy(self) -> FloatArray:
        """Shannon entropy of each object's memberships in nats, shape (N,)."""
        u = self.memberships
        if isinstance(u, NearestMemberships):
            return u.entropy
        return -np.sum(u * np.log(u, out=np.zeros_like(u), where=u > 0), axis=1)

    @property
    def sizes(self) -> FloatArray:
        """Sum of the memberships in each cluster, shape (c,)."""
        u = self.memberships
        return u.sizes if isinstance(u, NearestMemberships) else u.sum(axis=0)

    def predict(self, catalog: Catalog) -> FloatArray:
        """Memberships of other objects in these centers, shape (N, c).

        Raises
        ------
        ValueError
            A catalog of another geometry or unit, or more memberships than fit into memory.
        """
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
        n, c = len(x), self.n_clusters
        refuse_beyond_memory(f"memberships of {n} objects in {c} clusters", 8.0 * n * c)
        u = np.empty((n, c))
        v = np.ascontiguousarray(self.centers.T)
        call("memberships", x, x.shape[1], len(x), self.n_clusters,
             float(self.options.fuzziness), v, u)  # fmt: skip
        return u

    def vjp(self, catalog: Catalog, cotangent: npt.ArrayLike) -> dict[str, FloatArray]:
        """Gradient of a function of the centers with respect to every object.

        By the implicit function theorem at the converged centers: their second derivatives act
        through the near pairs and the expansions of `SoftClustering(neighbors=...)`, and conjugate
        gradients solve for them, at some tens of sweeps and without a matrix.

        Parameters
        ----------
        catalog : Catalog
            The objects that were clustered.
        cotangent : array_like, shape (c, 2)
            Derivative of the function by RA and Dec of each center, per degree, or by x and y.

        Returns
        -------
        dict
            "ra", "dec" (per degree) or "x", "y" (per unit of these), and "w", each of shape (N,);
            "w" is 0 unless the clustering uses weights.

        Raises
        ------
        ValueError
            Another catalog, or a cotangent of another shape or not finite; a fuzziness below 1.1.

        Warns
        -----
        UserWarning
            The centers have not converged, are at no minimum, or are not determined well enough for
            the solution.

        Examples
        --------
        >>> import numpy as np
        >>> from pysoftcorr import Catalog, SoftClustering
        >>> ra = np.r_[np.linspace(10, 10.1, 20), np.linspace(11, 11.1, 20)]
        >>> cat = Catalog(ra=ra, dec=0 * ra)
        >>> back = SoftClustering(n_clusters=2, seed=1).fit(cat).vjp(cat, [[1, 0], [1, 0]])
        >>> round(float(back["ra"].sum()), 6)  # a shift of all objects shifts both centers
        2.0
        """
        _check_catalog(catalog)
        n, c = len(catalog), self.n_clusters
        if catalog.geometry != self.geometry or n != len(self.memberships):
            raise ValueError(
                f"catalog: must be the {len(self.memberships)} objects that were clustered, of "
                f"geometry {self.geometry!r}; it is {catalog!r}"
            )
        given = numbers("cotangent", cotangent)
        if given.shape != (c, 2) or not np.isfinite(given).all():
            raise ValueError(f"cotangent has shape {given.shape}: must be ({c}, 2), finite numbers")
        if self.options.fuzziness < _SHARP:
            raise ValueError(
                f"fuzziness = {self.options.fuzziness}: must be {_SHARP} or more for a gradient"
            )
        if not self.converged:
            warnings.warn(
                "the centers have not converged, and their gradient is not exact; raise max_iter",
                stacklevel=2,
            )
        x = coordinates(catalog, self.options.metric)
        dims = x.shape[1]
        w = catalog.w if self.options.use_weights else np.ones(n)
        turn = np.pi / 180
        if dims == 3:
            east, north = _tangents(self.ra, self.dec)
            across = np.cos(turn * self.dec)[:, None]
            given = (given[:, :1] * east / across + given[:, 1:] * north) / turn
        places, weights, report = np.empty((n, dims)), np.empty(n), np.empty(3)
        call(
            "centers_pullback", x, dims, n, w, c, float(self.options.fuzziness),
            np.ascontiguousarray(self.centers.T), np.ascontiguousarray(given.T), _SOLVED, _STEPS,
            places, weights, report,
        )  # fmt: skip
        if report[2]:
            warnings.warn(
                "the centers are at no minimum of the objective (coincident centers?): their "
                "gradient is that of this fixed point; ask for fewer clusters or another seed",
                stacklevel=2,
            )
        elif report[1] > 1e3 * _SOLVED:
            warnings.warn(
                f"the gradient is right to {report[1]:.0e} alone: {_STEPS} steps of conjugate "
                "gradients were not enough; ask for fewer clusters",
                stacklevel=2,
            )
        if dims == 3:
            east, north = _tangents(catalog.ra, catalog.dec)
            across = np.cos(turn * catalog.dec)
            places = np.stack(
                [turn * across * (places * east).sum(1), turn * (places * north).sum(1)], axis=1
            )
        first, second = AXES[self.geometry]
        return {
            first: places[:, 0].copy(), second: places[:, 1].copy(),
            "w": weights if self.options.use_weights else np.zeros(n),
        }  # fmt: skip

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
        if isinstance(u, NearestMemberships):
            if kind == "greedy":
                return u.indices[:, 0].astype(np.int64)
            if kind == "sampled":
                return self._drawn(n, seed)
            refuse_beyond_memory(
                f"assignment = {kind!r}: shares of {objects} objects in {c} clusters, which "
                "'greedy' and 'sampled' do without",
                24.0 * objects * c,
            )
            u = u.toarray()
        if kind == "soft":
            return u.copy()
        if kind == "greedy":
            labels = np.empty(objects, dtype=np.int64)
            call("assign_greedy", u, c, objects, labels)
            return labels - 1
        if kind == "sampled":
            return self._drawn(n, seed)
        temperature = positive("temperature", temperature)
        noise = stream(root_seed(seed), "gumbel").gumbel(size=(objects, c))
        share = np.empty((objects, c))
        call("assign_gumbel", u, c, objects, noise, temperature, int(straight_through), share)
        return share

    def _drawn(self, n: int | None, seed: Seed) -> IntArray:
        draws = count("n", 1 if n is None else n, each=24.0 * len(self.memberships))
        (uniform,) = self.uniforms([draws], seed)
        labels = self.drawn_by(uniform)
        return labels[0] if n is None else labels

    def uniforms(self, numbers: Iterable[int], seed: Seed = None) -> Iterator[FloatArray]:
        """Random numbers (k, N) of sampled assignments, for each k of `numbers`.

        One stream, however it is cut.
        """
        rng = stream(root_seed(seed), "assignment")
        for k in numbers:
            yield rng.random((k, len(self.memberships)))

    def drawn_by(self, uniform: FloatArray) -> IntArray:
        """Labels (k, N) of the sampled assignments that random numbers (k, N) draw."""
        u = self.memberships
        if isinstance(u, NearestMemberships):
            return u.sampled(uniform)
        labels = np.empty(uniform.shape, dtype=np.int64)
        call(
            "assign_sampled", u, u.shape[1], len(u), len(uniform),
            np.ascontiguousarray(uniform), labels,
        )  # fmt: skip
        return labels - 1

    def __repr__(self) -> str:
        state = "converged" if self.converged else "not converged"
        return (
            f"<Clustering: {len(self.memberships)} objects in {self.n_clusters} clusters, "
            f"{state} in {self.n_iter} sweeps>"
        )

    def _repr_html_(self) -> str:
        """Sizes, convergence and memberships, as a table for notebooks."""
        return html_facts(
            f"{len(self.memberships)} objects in {self.n_clusters} clusters",
            (
                ("sweeps", self.n_iter),
                ("converged", "yes" if self.converged else "no"),
                ("fuzziness", self.options.fuzziness),
                ("median largest membership", float(np.median(self.max_membership))),
            ),
        )


def _neighbors(value: Any, fuzziness: float) -> Neighbors:
    """The option `neighbors`: a number (or its text), or one of two words."""
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if isinstance(value, str):
        if value not in ("auto", "all"):
            raise ValueError(f"neighbors = {value!r}: must be a whole number, 'auto' or 'all'")
        return value
    value = at_least_one("neighbors", value)
    if fuzziness < _SHARP:
        raise ValueError(
            f"neighbors = {value}: must be 'all' for a fuzziness below {_SHARP}; it is {fuzziness}"
        )
    return value


def _tangents(ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Unit vectors to the east and to the north, shape (N, 3)."""
    a, d = np.radians(ra), np.radians(dec)
    east = np.stack([-np.sin(a), np.cos(a), np.zeros_like(a)], axis=1)
    north = np.stack([-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)], axis=1)
    return east, north


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
