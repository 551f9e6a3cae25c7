"""Correlation functions that can be differentiated with respect to every object.

Algorithm 2 of Berman et al. 2025 (arXiv:2504.06174), sections 4 and 6: soft bins (eqs. 22 and 23)
over pairs of objects or of clusters, with the exact derivative through the clustering.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pysoftcorr._julia import call
from pysoftcorr.core.extras import need
from pysoftcorr.core.farm.blocks import farm_of
from pysoftcorr.core.farm.connection import check_workers
from pysoftcorr.core.options import (
    at_least_one,
    choice,
    finite_numbers,
    flag,
    mapping,
    numbers,
    positive,
)
from pysoftcorr.core.random import Seed
from pysoftcorr.sky.binning import Bins
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering, SoftClustering
from pysoftcorr.sky.device.blocks import check_device
from pysoftcorr.sky.geometry import PIXEL
from pysoftcorr.sky.gravity import SimulationResult
from pysoftcorr.sky.soft_bins import WEIGHTINGS, soft_bins
from pysoftcorr.sky.soft_jacobian import Output, checked_output, jacobian_bytes, receiving
from pysoftcorr.sky.soft_kernels import (
    APPROACHES,
    COINCIDENT,
    FIELDS,
    RULES,
    STATISTICS,
    THROUGH,
    SoftKernels,
    Solution,
)
from pysoftcorr.sky.soft_nodes import Nodes
from pysoftcorr.sky.starts import Start, clustering_of

if TYPE_CHECKING:
    import jax
    import torch

__all__ = ["SoftCorrelation"]

FloatArray = npt.NDArray[np.float64]


class SoftCorrelation(SoftKernels):
    """A shear correlation function in soft bins, and its derivatives.

    In bin b, with theta the separation of two points and W_b its weight in the bin,
    ``xi_b = sum W_b(theta) w1 w2 Re[g1' conj(g2')] / sum W_b(theta) w1 w2`` over pairs, with the
    shears turned to the great circle of the pair (for xi-, g2' is not conjugated).

    Parameters
    ----------
    bins : Binning, str or array_like
        Such as ``"linear:0:45:8"`` (arcmin).
    approach : {"soft", "naive", "hard", "gumbel"}
        What the points are. "soft" (b in the paper): fuzzy clusters at the c-means centers v_k,
        with weight sum_i U_ik w_i and the mean shear of those weights. "hard" (c): clusters of
        the objects nearest each center, at the weighted mean direction of these; derivatives
        hold the assignment fixed. "gumbel" (a): clusters by relaxed draws
        ``softmax((log U + g)/temperature)``, at their weighted mean. "naive": the objects.
    clusters : int, SoftClustering or Clustering, optional
        Number of clusters (100, or that of `start`), or their settings; a Clustering is also
        where to start from.
    through : {"implicit", "one-step", "unrolled", "frozen"}
        How the converged centers of "soft" and "gumbel" are differentiated. "implicit": exactly,
        by the implicit function theorem, one solve with the Hessian of the clustering objective.
        "one-step": one sweep from the converged centers (the paper's approximation). "unrolled":
        every plain sweep from the start, which is held fixed; exact where converged, slow.
        "frozen": the centers stay; memberships, means and weights change.
    weighting : {"sigmoid", "gaussian"}
        Eq. 22, ``1/(1 + e^(-s (theta - a))) 1/(1 + e^(s (theta - b)))`` for a bin from a to b, or
        eq. 23 with the center corrected, ``exp(-s (theta - (a + b)/2)^2)``.
    sharpness : float or array_like, shape (nbins,), optional
        s, in 1/arcmin ("sigmoid") or 1/arcmin^2 ("gaussian"), or in pixels where the bins are. By
        default 20 over the bin's width, which leaves 1 at the middle and 1/2 at the edges, and
        4 ln 2 over its square, which leaves 1/2 at the edges.
    statistic : {"xip", "xim"}
        xi+ or xi-.
    fuzziness : float, optional
        m of the c-means, 2 by default. Derivatives at an object that lies on a center are limits
        for m < 3; above, memberships have a cusp there and its derivative is taken as 0.
    temperature : float
        Of "gumbel".
    straight_through : bool
        For "gumbel": the value of the single cluster that an object would fall into, with the
        derivative of the relaxed draw.
    rule : {"exact", "literal"}
        For "hard": the exact gradient at fixed assignment, or the paper's literal rule that the
        gradient of an object is that of its cluster.
    coincident : {"keep", "drop"}
        Whether xi+ keeps pairs of points at one place (to 4e-15 rad). They have no direction, so
        that xi- leaves them out in any case; a warning counts them.
    use_weights : bool
        Weigh objects in the clustering too (`SoftClustering`).
    seed : int, numpy.random.Generator or None
        Of the k-means++ start and the Gumbel numbers: those of `SoftClustering` and
        ``Clustering.assign`` with the same seed. Drawn once: an estimate and its re-evaluation
        use the same numbers.
    start : array_like, shape (c, 2) or (c, 3), or Clustering, optional
        Centers to start from, RA and Dec in degrees (x and y in the unit of a flat catalog) or
        vectors, instead of a k-means++ draw. A
        start keeps neighboring catalogs on one branch of the clustering's many minima; see
        `pin`.
    max_iter : int
        Most steps to converge the clustering.
    device : str
        Where pairs of objects are summed: "cpu", or for approach="naive" a GPU such as "cuda", by
        Triton in float64: the value, `vjp`, `jvp` and `jacobian`. Second derivatives are those of
        the CPU.
    scheduler : str, optional
        Address of a running dask scheduler, whose workers have pysoftcorr and share the bins of
        `vjp` and `jacobian`: of a catalog that each of them holds. By default all is done in this
        process; the result is the same to rounding, and has the same bits for any workers.
    workers : int, optional
        Share them among so many processes of this machine, started for each call. A script must be
        guarded by ``if __name__ == "__main__":``.

    Attributes
    ----------
    bins : Binning
    nbins : int
    sharpness : ndarray, shape (nbins,)
    timings : dict of str to float
        Seconds of the last call: "clustering", "solve" (Hessian and implicit solve), "pairs",
        "clusters" (shares and their pull-back), "total".

    Raises
    ------
    ValueError, TypeError
        A setting that is not possible; a device that is not there.
    ImportError
        torch or Triton is not installed, and `device` is a GPU.
    ConnectionError
        Of `vjp` and `jacobian`: the scheduler does not answer or goes away.

    Notes
    -----
    The clustering is converged to rounding by Newton's method, so that derivatives are those of
    the re-converged estimate. All derivatives are finite, also for coincident and antipodal
    objects, an object on a center and empty clusters. A bin whose weights sum to nothing has
    value NaN and gradient 0. Results have the same bits for any number of threads.

    Pairs of 1,000 and more points are found by a tree, and their weights, polynomials of the
    squared separation in cells so small that they are exact to rounding, add up cell by cell: the
    cost does not grow with the number of bins. Of a bin's sum at most 1e-17 is left out, in weights
    below e^-64 and beyond the separation where all are below e^-46; where it could be more, the
    bin is summed pair by pair.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.sky.catalog import Catalog
    >>> from pysoftcorr.sky.differentiable import SoftCorrelation
    >>> rng = np.random.default_rng(1)
    >>> stars = Catalog(ra=rng.uniform(0, 1, 60), dec=rng.uniform(0, 1, 60),
    ...                 g1=rng.normal(0, 0.1, 60), g2=rng.normal(0, 0.1, 60))
    >>> sc = SoftCorrelation("linear:0:45:3", clusters=10, seed=1).pin(stars)
    >>> gradient = sc.jacobian(stars)
    >>> gradient["ra"].shape
    (3, 60)
    >>> def moved(h):
    ...     return Catalog(ra=stars.ra + h * (np.arange(60) == 7), dec=stars.dec,
    ...                    g1=stars.g1, g2=stars.g2)
    >>> difference = (sc.value(moved(1e-5)) - sc.value(moved(-1e-5))) / 2e-5
    >>> bool(np.allclose(difference, gradient["ra"][:, 7], rtol=1e-5))
    True
    """

    def __init__(
        self,
        bins: Bins,
        *,
        approach: str = "soft",
        clusters: int | SoftClustering | Clustering | None = None,
        through: str = "implicit",
        weighting: str = "sigmoid",
        sharpness: float | npt.ArrayLike | None = None,
        statistic: str = "xip",
        fuzziness: float | None = None,
        temperature: float = 0.1,
        straight_through: bool = False,
        rule: str = "exact",
        coincident: str = "keep",
        use_weights: bool = False,
        seed: Seed = None,
        start: npt.ArrayLike | Clustering | None = None,
        max_iter: int = 5000,
        device: str = "cpu",
        scheduler: str | None = None,
        workers: int | None = None,
    ) -> None:
        self.approach = choice("approach", approach, APPROACHES)
        self.through = choice("through", through, THROUGH)
        self.weighting = choice("weighting", weighting, WEIGHTINGS)
        self.statistic = choice("statistic", statistic, STATISTICS)
        self.rule = choice("rule", rule, RULES)
        self.coincident = choice("coincident", coincident, COINCIDENT)
        self.temperature = positive("temperature", temperature)
        self.straight_through = flag("straight_through", straight_through)
        if self.straight_through and self.approach != "gumbel":
            raise ValueError(
                f"straight_through is of approach='gumbel', not of {self.approach!r}; leave it out"
            )
        if self.rule == "literal" and self.approach != "hard":
            raise ValueError(
                f"rule='literal' is of approach='hard', not of {self.approach!r}; leave it out"
            )
        use_weights = flag("use_weights", use_weights)
        self.max_iter = at_least_one("max_iter", max_iter)
        self.device = check_device(device)
        if self.device != "cpu" and self.approach != "naive":
            raise ValueError(
                f"device = {device!r}: is of the approach 'naive', all pairs of objects, not of "
                f"{self.approach!r}, whose clusters are found on the CPU; leave it out"
            )
        self.scheduler, self.workers = scheduler, check_workers(scheduler, workers)
        if self.device != "cpu" and (scheduler is not None or workers is not None):
            name = "workers" if scheduler is None else "scheduler"
            raise ValueError(
                f"{name} = {getattr(self, name)!r}: workers count on CPUs; take device='cpu', or "
                f"leave out {name}"
            )
        self.bins, self._bins = soft_bins(bins, self.weighting, sharpness)
        self.clustering, self._start = clustering_of(clusters, start, fuzziness, use_weights, seed)
        self.timings: dict[str, float] = {}

    @property
    def sharpness(self) -> FloatArray:
        """Sharpness of each bin, shape (nbins,)."""
        return self._bins[2].copy()

    def __repr__(self) -> str:
        kind = self.approach
        if kind != "naive":
            kind += f", {self.clustering.n_clusters} clusters"
        if kind.startswith(("soft", "gumbel")):
            kind += f", {self.through}"
        return f"<SoftCorrelation: {self.statistic} in {self.bins}, {self.weighting}, {kind}>"

    # ------------------------------------------------------------------ what it gives
    def value(self, catalog: Catalog) -> FloatArray:
        """xi of each bin, shape (nbins,).

        Parameters
        ----------
        catalog : Catalog
            With ellipticities; for clusters at least as many objects as clusters.

        Raises
        ------
        ValueError
            No ellipticities, or more clusters than objects.
        KeyboardInterrupt
            Interrupted.

        Warns
        -----
        UserWarning
            The clustering did not converge; a bin has no pairs (NaN); pairs that xi- leaves out.
        """
        begun = self._begin()
        value = self._value(self._solve(catalog))
        self.timings["total"] = time.perf_counter() - begun
        return value

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
            As for `value`; the implicit solve is ill-conditioned, or its fixed point no minimum.
        """
        given = self._cotangent(cotangent)
        begun = self._begin()
        solution = self._solve(catalog)
        with farm_of("SoftCorrelation.vjp", self.scheduler, self.workers) as farm:
            if farm is None:
                _, rows = self._pull(solution, given[None, :])
                found = [row[0] for row in rows.values()]
            else:
                parts = self._shared(farm, solution, given[None, :])
                found = list(sum(part.rows[:, 0] for part in parts))  # type: ignore[arg-type]
        self.timings["total"] = time.perf_counter() - begun
        return dict(zip(FIELDS[catalog.geometry], found, strict=True))

    def jvp(self, catalog: Catalog, tangents: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Derivative of xi along a change of the objects, shape (nbins,).

        Parameters
        ----------
        catalog : Catalog
        tangents : mapping of str to array_like, shape (N,)
            The change of some of "ra", "dec" (degrees), "g1", "g2", "w"; 0 for the rest. For a
            flat catalog "x" and "y".

        Raises
        ------
        ValueError
            As for `value`; an unknown name, or a tangent of another shape or not finite.
        """
        along = self._tangents(catalog, tangents)
        begun = self._begin()
        out = self._push(self._solve(catalog), along)
        self.timings["total"] = time.perf_counter() - begun
        return out

    def hvp(
        self, catalog: Catalog, cotangent: npt.ArrayLike, tangents: Mapping[str, npt.ArrayLike]
    ) -> dict[str, FloatArray]:
        """Second derivatives: how `vjp` changes as the objects do, a Hessian-vector product.

        The Hessian of ``sum_b cotangent_b xi_b`` with respect to all objects, times a change of
        these: the reverse pass in numbers that carry their derivative along the change.

        Parameters
        ----------
        catalog : Catalog
        cotangent : array_like, shape (nbins,)
        tangents : mapping of str to array_like, shape (N,)
            As for `jvp`.

        Returns
        -------
        dict
            As of `vjp`.

        Raises
        ------
        ValueError
            As for `vjp` and `jvp`; ``rule="literal"``, which is the gradient of no function.

        Notes
        -----
        Exact for every approach. "one-step" and "frozen" hold the converged centers fixed that they
        start from, and "straight-through" draws theirs, in the second derivative as in the first.
        """
        given = self._cotangent(cotangent)
        along = self._tangents(catalog, tangents)
        begun = self._begin()
        rows = self._second(self._solve(catalog), along, given[None, :])
        self.timings["total"] = time.perf_counter() - begun
        return dict(zip(FIELDS[catalog.geometry], rows[:, 0], strict=True))

    def jacobian_size(self, n: int) -> int:
        """Bytes of the `jacobian` by n objects: 40 for each object and bin.

        Parameters
        ----------
        n : int

        Examples
        --------
        >>> from pysoftcorr.sky.differentiable import SoftCorrelation
        >>> SoftCorrelation("log:1:200:20", approach="naive").jacobian_size(100_000)
        80000000
        """
        return jacobian_bytes(at_least_one("n", n), self.nbins)

    def jacobian(
        self, catalog: Catalog, *, out: Output = None, overwrite: bool = False
    ) -> dict[str, FloatArray]:
        """Gradient of every bin, a dict as of `vjp` with arrays of shape (nbins, N).

        Parameters
        ----------
        catalog : Catalog
        out : path or ndarray of float64, shape (nbins, 5, N), optional
            Where the numbers go, some bins after the other: a file ``.npy``, which is then read as
            it is needed, or an array. The axes are bins, quantities in the order of the dict, and
            objects; `jacobian_size` says how large it is.
        overwrite : bool
            Whether a file that is there may be replaced.

        Raises
        ------
        ValueError, TypeError
            As for `value`; more than memory holds; an `out` that does not fit.
        OSError
            The file cannot be written.
        """
        target = self._target(catalog, out, overwrite)
        return self._jacobian(self._begin(), self._solve(catalog), target, overwrite)[1]

    def value_and_jacobian(
        self, catalog: Catalog, *, out: Output = None, overwrite: bool = False
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        """`value` and `jacobian` from one clustering; parameters as of the latter."""
        target = self._target(catalog, out, overwrite)
        return self._jacobian(self._begin(), self._solve(catalog), target, overwrite)

    def _target(self, catalog: Catalog, out: Output, overwrite: bool) -> Output:
        """`out`, or an array in its place, before anything is computed."""
        if not isinstance(catalog, Catalog):
            return None  # which `_solve` says
        n = len(catalog)
        target = checked_output(out, n, self.nbins, flag("overwrite", overwrite))
        return np.empty((self.nbins, 5, n)) if target is None else target

    def _jacobian(
        self, begun: float, solution: Solution, target: Output, overwrite: bool
    ) -> tuple[FloatArray, dict[str, FloatArray]]:
        n = solution.objects.shape[1]
        value = self._stream(solution, receiving(target, n, self.nbins, overwrite))
        assert target is not None
        found: FloatArray = (
            target
            if isinstance(target, np.ndarray)
            else np.load(target, mmap_mode="r", allow_pickle=False)
        )
        self.timings["total"] = time.perf_counter() - begun
        return value, {field: found[:, k] for k, field in enumerate(FIELDS[solution.geometry])}

    def gradient_G(self, result: SimulationResult) -> FloatArray:
        """dxi/dG through a simulation, shape (nbins,).

        sum_i dxi/dra_i dra_i/dG + dxi/ddec_i ddec_i/dG.

        Parameters
        ----------
        result : SimulationResult
            Of :meth:`pysoftcorr.sky.gravity.GravitySimulation.run`, with its derivative.

        Raises
        ------
        ValueError
            The run was made with ``derivative=False``; and as for `value`.
        """
        if not isinstance(result, SimulationResult):
            raise TypeError(f"result must be a SimulationResult, not {type(result).__name__}")
        if result.dra_dG is None or result.ddec_dG is None:
            raise ValueError("result has no derivative; run the simulation with derivative=True")
        return self.jvp(result.catalog, {"ra": result.dra_dG, "dec": result.ddec_dG})

    def pin(self, catalog: Catalog) -> SoftCorrelation:
        """An equal estimator that starts from the converged centers of `catalog`.

        Fuzzy c-means has many minima, and a k-means++ start may choose another one as soon as an
        object moves. From converged centers neighboring catalogs are followed smoothly: for
        finite differences, optimization and sampling.
        """
        pinned = copy.copy(self)
        pinned.timings = {}
        if self.approach != "naive":
            solution = self._solve(catalog)
            vectors = np.ascontiguousarray(solution.centers.T) * solution.unit
            pinned._start = Start(vectors, catalog.geometry, catalog.xy_unit == PIXEL)
        return pinned

    def bin_weights(self, theta: npt.ArrayLike) -> FloatArray:
        """Weight of separations `theta` in every bin, shape (nbins, ...) (Fig. 7).

        In arcmin, or in pixels where these are the unit of the bins.
        """
        given = finite_numbers("theta", theta)
        out = np.empty((self.nbins, given.size))
        gaussian = WEIGHTINGS[self.weighting]
        call("soft_bin_weights", given.size, given, gaussian, self.nbins, self._bins, out)
        return out.reshape((self.nbins, *given.shape))

    def torch(
        self,
        ra: torch.Tensor | None = None,
        dec: torch.Tensor | None = None,
        g1: torch.Tensor | None = None,
        g2: torch.Tensor | None = None,
        w: torch.Tensor | None = None,
        *,
        x: torch.Tensor | None = None,
        y: torch.Tensor | None = None,
        xy_unit: str | None = None,
    ) -> torch.Tensor:
        """xi as a node of a torch graph.

        Parameters
        ----------
        ra, dec, g1, g2, w : torch.Tensor, shape (N,)
            As in a `Catalog`, degrees; any floating dtype and device. The work is done in float64
            on the estimator's `device`.
        x, y : torch.Tensor, shape (N,)
            Instead of `ra` and `dec`: flat positions.
        xy_unit : str, optional
            Their unit; arcmin by default.

        Returns
        -------
        torch.Tensor, shape (nbins,)
            On the device and of the widest dtype of the inputs. Differentiable twice, also by
            `torch.func` (jacrev, jacfwd, hessian, jvp); batches of catalogs by ``torch.func.vmap``,
            one after the other.

        Raises
        ------
        ImportError
            torch is not installed.
        ValueError, TypeError
            As for `Catalog` and `value`; an argument that is no floating tensor; second derivatives
            of ``rule="literal"``.
        RuntimeError
            Third derivatives are asked for.

        Examples
        --------
        >>> import torch
        >>> sc = SoftCorrelation("linear:0:60:2", approach="naive")
        >>> ra = torch.tensor([10.0, 10.4, 10.8], dtype=torch.float64, requires_grad=True)
        >>> g = torch.tensor([0.1, 0.2, -0.1], dtype=torch.float64)
        >>> xi = sc.torch(ra, torch.zeros_like(ra), g, 0 * g)
        >>> xi.sum().backward()
        >>> ra.grad.shape
        torch.Size([3])
        """
        need("torch", "SoftCorrelation.torch")
        import torch

        from pysoftcorr.sky import soft_torch

        nodes, places = Nodes.of(self, (ra, dec), (x, y), xy_unit)
        if w is None and isinstance(places[0], torch.Tensor):
            w = torch.ones_like(places[0])
        return soft_torch.xi(nodes, *places, g1, g2, w)

    def jax(
        self,
        ra: jax.Array | None = None,
        dec: jax.Array | None = None,
        g1: jax.Array | None = None,
        g2: jax.Array | None = None,
        w: jax.Array | None = None,
        *,
        x: jax.Array | None = None,
        y: jax.Array | None = None,
        xy_unit: str | None = None,
    ) -> jax.Array:
        """xi as a function of JAX: under `jit`, `grad`, `vmap` and `jacrev`.

        Parameters
        ----------
        ra, dec, g1, g2, w : jax.Array, shape (N,)
            As in a `Catalog`, degrees; any floating dtype. The work is done in float64 on the CPU,
            by a callback to the host.
        x, y : jax.Array, shape (N,)
            Instead of `ra` and `dec`: flat positions.
        xy_unit : str, optional
            Their unit; arcmin by default.

        Returns
        -------
        jax.Array, shape (nbins,)
            Of the widest dtype of the inputs, which is float32 unless ``jax_enable_x64`` is set.
            Differentiable twice in reverse mode: use ``jax.jacrev(jax.grad(f))`` for a Hessian,
            since JAX has no forward mode for functions that bring their own gradient.

        Raises
        ------
        ImportError
            JAX is not installed.
        ValueError, TypeError
            As for `Catalog` and `value`; an argument that is no floating array. What is found wrong
            with values comes out of the running computation as JAX's own error, with this one's
            text.

        Notes
        -----
        A right ascension of 150 degrees in float32 is rounded to 0.03 arcsec, steps of 0.05: close
        pairs want ``jax.config.update("jax_enable_x64", True)``. Batches of catalogs by `vmap` are
        done one after the other. The callback runs in a thread of JAX: where juliacall was
        imported first, Julia belongs to the main thread and refuses it.

        Examples
        --------
        >>> import jax, jax.numpy as jnp                                  # doctest: +SKIP
        >>> sc = SoftCorrelation("linear:0:60:2", approach="naive")       # doctest: +SKIP
        >>> ra, g = jnp.array([10.0, 10.4, 10.8]), jnp.array([0.1, 0.2, -0.1])  # doctest: +SKIP
        >>> def total(ra):                                                # doctest: +SKIP
        ...     return sc.jax(ra, 0 * ra, g, 0 * g).sum()
        >>> jax.jit(jax.grad(total))(ra).shape                            # doctest: +SKIP
        (3,)
        """
        need("jax", "SoftCorrelation.jax", extra="jax")
        from pysoftcorr.sky import soft_jax

        nodes, places = Nodes.of(self, (ra, dec), (x, y), xy_unit)
        return soft_jax.xi(nodes, *places, g1, g2, w)

    # ------------------------------------------------------------------ its arguments
    def _cotangent(self, cotangent: npt.ArrayLike) -> FloatArray:
        given = numbers("cotangent", cotangent)
        if given.shape != (self.nbins,):
            raise ValueError(f"cotangent has shape {given.shape}: must be ({self.nbins},)")
        if not np.isfinite(given).all():
            raise ValueError(
                f"cotangent is not finite in bins {np.flatnonzero(~np.isfinite(given)).tolist()}: "
                "put 0 where a bin is left out"
            )
        return given

    @staticmethod
    def _tangents(catalog: Catalog, tangents: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Changes (5, N) in the order of `FIELDS`."""
        n = len(catalog)
        along = np.zeros((5, n))
        fields = FIELDS[catalog.geometry]
        for name, change in mapping("tangents", tangents).items():
            if name not in fields:
                raise ValueError(f"tangents has {name!r}: must be among {', '.join(fields)}")
            given = numbers(f"tangents[{name!r}]", change)
            if given.shape != (n,) or not np.isfinite(given).all():
                raise ValueError(
                    f"tangents[{name!r}] must be {n} finite numbers; its shape is {given.shape}"
                )
            along[fields.index(name)] = given
        return along
