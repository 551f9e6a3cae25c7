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

from pysoftcorr import _softbins
from pysoftcorr._julia import call
from pysoftcorr._softbins import FIELDS
from pysoftcorr._softestimator import SoftEstimator
from pysoftcorr.catalog import Catalog
from pysoftcorr.gravity import SimulationResult

if TYPE_CHECKING:
    import torch

__all__ = ["SoftCorrelation"]

FloatArray = npt.NDArray[np.float64]


class SoftCorrelation(SoftEstimator):
    """A shear correlation function in soft bins, and its derivatives.

    In bin b, with theta the separation of two points and W_b its weight in the bin,
    ``xi_b = sum W_b(theta) w1 w2 Re[g1' conj(g2')] / sum W_b(theta) w1 w2`` over pairs, with the
    shears turned to the great circle of the pair (for xi-, g2' is not conjugated).

    Parameters
    ----------
    bins : Binning or str
        Such as ``"linear:0:45:8"`` (arcmin).
    approach : {"soft", "naive", "hard", "gumbel"}
        What the points are. "soft" (b in the paper): fuzzy clusters at the c-means centres v_k,
        with weight sum_i U_ik w_i and the mean shear of those weights. "hard" (c): clusters of
        the objects nearest each centre, at the weighted mean direction of these; derivatives
        hold the assignment fixed. "gumbel" (a): clusters by relaxed draws
        ``softmax((log U + g)/temperature)``, at their weighted mean. "naive": the objects.
    clusters : int, SoftClustering or Clustering, optional
        Number of clusters (100, or that of `start`), or their settings; a Clustering is also
        where to start from.
    through : {"implicit", "one-step", "unrolled", "frozen"}
        How the converged centres of "soft" and "gumbel" are differentiated. "implicit": exactly,
        by the implicit function theorem, one solve with the Hessian of the clustering objective.
        "one-step": one sweep from the converged centres (the paper's approximation). "unrolled":
        every plain sweep from the start, which is held fixed; exact where converged, slow.
        "frozen": the centres stay; memberships, means and weights change.
    weighting : {"sigmoid", "gaussian"}
        Eq. 22, ``1/(1 + e^(-s (theta - a))) 1/(1 + e^(s (theta - b)))`` for a bin from a to b, or
        eq. 23 with the centre mended, ``exp(-s (theta - (a + b)/2)^2)``.
    sharpness : float or array_like, shape (nbins,), optional
        s, in 1/arcmin ("sigmoid") or 1/arcmin^2 ("gaussian"). By default 20 over the bin's width,
        which leaves 1 at the middle and 1/2 at the edges, and 4 ln 2 over its square, which leaves
        1/2 at the edges.
    statistic : {"xip", "xim"}
        xi+ or xi-.
    fuzziness : float, optional
        m of the c-means, 2 by default. Derivatives at an object that lies on a centre are limits
        for m < 3; above, memberships have a cusp there and its derivative is taken as 0.
    temperature : float
        Of "gumbel".
    straight_through : bool
        For "gumbel": the value of the single cluster that an object would fall into, with the
        derivative of the relaxed draw.
    rule : {"exact", "literal"}
        For "hard": the exact gradient at fixed assignment, or the paper's literal rule that the
        gradient of an object is that of its cluster.
    use_weights : bool
        Weigh objects in the clustering too (`SoftClustering`).
    seed : int, numpy.random.Generator or None
        Of the k-means++ start and the Gumbel numbers: those of `SoftClustering` and
        ``Clustering.assign`` with the same seed. Drawn once: an estimate and its re-evaluation
        use the same numbers.
    start : array_like, shape (c, 2) or (c, 3), or Clustering, optional
        Centres to start from, RA and Dec in degrees or vectors, instead of a k-means++ draw. A
        start keeps neighbouring catalogues on one branch of the clustering's many minima; see
        `pin`.
    max_iter : int
        Most steps to converge the clustering.

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
        A setting that is not possible.

    Notes
    -----
    The clustering is converged to rounding by Newton's method, so that derivatives are those of
    the re-converged estimate. All derivatives are finite, also for coincident and antipodal
    objects, an object on a centre and empty clusters. A bin whose weights sum to nothing has
    value NaN and gradient 0. Results have the same bits for any number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.catalog import Catalog
    >>> from pysoftcorr.differentiable import SoftCorrelation
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
            The clustering did not converge; a bin has no pairs (NaN).
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
            "ra", "dec" (per degree), "g1", "g2", "w", each of shape (N,).

        Raises
        ------
        ValueError
            As for `value`; a cotangent of another shape.

        Warns
        -----
        UserWarning
            As for `value`; the implicit solve is ill-conditioned, or its fixed point no minimum.
        """
        given = np.array(cotangent, dtype=np.float64)
        if given.shape != (self.nbins,):
            raise ValueError(f"cotangent has shape {given.shape}: must be ({self.nbins},)")
        begun = self._begin()
        _, rows = self._pull(self._solve(catalog), given[None, :])
        self.timings["total"] = time.perf_counter() - begun
        return {field: rows[field][0] for field in FIELDS}

    def jvp(self, catalog: Catalog, tangents: Mapping[str, npt.ArrayLike]) -> FloatArray:
        """Derivative of xi along a change of the objects, shape (nbins,).

        Parameters
        ----------
        catalog : Catalog
        tangents : mapping of str to array_like, shape (N,)
            The change of some of "ra", "dec" (degrees), "g1", "g2", "w"; 0 for the rest.

        Raises
        ------
        ValueError
            As for `value`; an unknown name, or a tangent of another shape or not finite.
        """
        n = len(catalog)
        along = np.zeros((5, n))
        for name, change in tangents.items():
            if name not in FIELDS:
                raise ValueError(f"tangents has {name!r}: must be among {', '.join(FIELDS)}")
            given = np.asarray(change, dtype=np.float64)
            if given.shape != (n,) or not np.isfinite(given).all():
                raise ValueError(
                    f"tangents[{name!r}] must be {n} finite numbers; its shape is {given.shape}"
                )
            along[FIELDS.index(name)] = given
        if self.approach == "hard" and self.rule == "literal":
            rows = self.jacobian(catalog)
            return np.sum([rows[f] @ along[k] for k, f in enumerate(FIELDS)], axis=0)
        begun = self._begin()
        solution = self._solve(catalog)
        along[4] /= solution.scale
        out = np.empty((2, self.nbins))
        call("softcorr_jvp", *self._arguments(solution, derivative=True), along, out)
        self.timings["total"] = time.perf_counter() - begun
        self._warn_of_empty_bins(out[0])
        return out[1]

    def jacobian(self, catalog: Catalog) -> dict[str, FloatArray]:
        """Gradient of every bin, a dict as of `vjp` with arrays of shape (nbins, N)."""
        return self.value_and_jacobian(catalog)[1]

    def value_and_jacobian(self, catalog: Catalog) -> tuple[FloatArray, dict[str, FloatArray]]:
        """`value` and `jacobian` from one clustering."""
        begun = self._begin()
        value, rows = self._pull(self._solve(catalog), np.eye(self.nbins))
        self.timings["total"] = time.perf_counter() - begun
        return value, rows

    def gradient_G(self, result: SimulationResult) -> FloatArray:
        """dxi/dG through a simulation, shape (nbins,).

        sum_i dxi/dra_i dra_i/dG + dxi/ddec_i ddec_i/dG.

        Parameters
        ----------
        result : SimulationResult
            Of :meth:`pysoftcorr.gravity.GravitySimulation.run`, with its derivative.

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
        """The same estimator, started from the converged centres of `catalog`.

        Fuzzy c-means has many minima, and a k-means++ start may choose another one as soon as an
        object moves. From converged centres neighbouring catalogues are followed smoothly: for
        finite differences, optimisation and sampling.
        """
        pinned = copy.copy(self)
        pinned.timings = {}
        if self.approach != "naive":
            pinned._start = np.ascontiguousarray(self._solve(catalog).centres.T)
        return pinned

    def bin_weights(self, theta: npt.ArrayLike) -> FloatArray:
        """Weight of separations `theta` (arcmin) in every bin, shape (nbins, ...) (Fig. 7)."""
        given = np.array(theta, dtype=np.float64, order="C")
        out = np.empty((self.nbins, given.size))
        gaussian = _softbins.WEIGHTINGS[self.weighting]
        call("soft_bin_weights", given.size, given, gaussian, self.nbins, self._bins, out)
        return out.reshape((self.nbins, *given.shape))

    def torch(
        self,
        ra: torch.Tensor,
        dec: torch.Tensor,
        g1: torch.Tensor,
        g2: torch.Tensor,
        w: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """xi as a node of a torch graph.

        Parameters
        ----------
        ra, dec, g1, g2, w : torch.Tensor, shape (N,)
            As in a `Catalog`, degrees; any floating dtype and device. The work is done in float64
            on the CPU.

        Returns
        -------
        torch.Tensor, shape (nbins,)
            On the device and of the widest dtype of the inputs. Differentiable once.

        Raises
        ------
        ImportError
            torch is not installed.
        ValueError, TypeError
            As for `Catalog` and `value`; an argument that is no floating tensor.

        Examples
        --------
        >>> import torch
        >>> from pysoftcorr.differentiable import SoftCorrelation
        >>> sc = SoftCorrelation("linear:0:60:2", approach="naive")
        >>> ra = torch.tensor([10.0, 10.4, 10.8], dtype=torch.float64, requires_grad=True)
        >>> g = torch.tensor([0.1, 0.2, -0.1], dtype=torch.float64)
        >>> xi = sc.torch(ra, torch.zeros_like(ra), g, 0 * g)
        >>> xi.sum().backward()
        >>> ra.grad.shape
        torch.Size([3])
        """
        from pysoftcorr._autograd import soft_correlation

        return soft_correlation(self, ra, dec, g1, g2, w)
