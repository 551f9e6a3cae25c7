"""Alignments in closed form at a fixed HOD: of simulated galaxies, and of an emulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.extras import need
from pysoftcorr.core.options import MOST_REALIZATIONS, count, shown
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.inference.data import STATISTICS
from pysoftcorr.mocks.design import PARAMETERS
from pysoftcorr.mocks.points import with_cosmology
from pysoftcorr.sky.binning import Bins

__all__ = ["AlignmentResponse", "SimulatedModel", "alignment_response"]

FloatArray = npt.NDArray[np.float64]
_STRENGTHS = PARAMETERS[:2]
#: Relative to the largest value of a statistic: what rounding may amount to in float64.
_ROUNDING = 1e-11


class SimulatedModel:
    """xi, omega and eta of one HOD at any alignment strengths, without an emulator.

    The mean over all draws of the axes is exact at fixed positions; positions are averaged over
    the catalogs that are given. A check on an emulator: it goes where an `Emulator` does.

    Parameters
    ----------
    sums : sequence of AlignmentSums
        Realizations of one HOD, in the same bins: ``alignment_sums(galaxies, bins=bins)``.
    hod : HODModel or mapping of str to float
        HOD that they were populated by.
    noise : Emulator, HaloTables or mapping of str to array_like, shape (nbins,)
        Standard deviations: an emulator's aleatoric ones, so that two
        posteriors differ by their means alone; or numbers. Of tables of halos, their covariance.

    Attributes
    ----------
    names : tuple of str
        mu_cen, mu_sat and the parameters of the HOD.
    edges : ndarray, shape (nbins + 1,)
    bounds : dict of str to (float, float)
        [-1, 1] of the strengths; of the HOD its values.
    noise : Emulator or mapping
    correlation : BinCorrelation or None
        Between the bins of an emulator's noise.
    realizations : int
    responses : ndarray, shape (realizations, 5, nbins)
        A, B, C, D, E of omega = a_c A + a_s B and eta = a_c^2 C + a_c a_s D + a_s^2 E, where a is
        `pysoftcorr.mocks.alignment.order_parameter` of the strength.
    xi : ndarray, shape (realizations, nbins)

    Raises
    ------
    ValueError
        If there are no sums, their bins differ, or a bin is empty.
    TypeError
        If `sums` are none, or `noise` is of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.inference import SimulatedModel
    >>> from pysoftcorr.mocks import GalaxyCatalog, HODModel, alignment_sums
    >>> galaxies = GalaxyCatalog([[1, 1, 1], [1, 1, 3]], [[0, 0, 1], [0, 0, 1]], boxsize=30)
    >>> model = SimulatedModel([alignment_sums(galaxies, bins=[1, 3])],
    ...                        HODModel.preset("mstar10.0"), noise={"omega": [0.1]})
    >>> model.responses[0].round(4).ravel().tolist()
    [0.6667, 0.0, 0.6667, 0.0, 0.0]
    """

    def __init__(self, sums: Sequence[Any], hod: Any, *, noise: Any) -> None:
        torch = need("torch", "a posterior")
        if isinstance(sums, (str, bytes)) or not hasattr(sums, "__len__") or not len(sums):
            raise ValueError("sums must be at least one result of alignment_sums, in a list")
        for k, one in enumerate(sums):
            if not hasattr(one, "eta_cen_sat"):
                raise TypeError(f"sums[{k}] is no AlignmentSums, but {type(one).__name__}")
            if not np.array_equal(one.edges, sums[0].edges):
                raise ValueError(f"sums[{k}] has other bins than sums[0]")
            empty = np.flatnonzero(one.weight.sum(axis=0) == 0)
            if empty.size:
                raise ValueError(
                    f"sums[{k}] has no pairs in bins {empty[:5].tolist()}: take a larger box, or "
                    "wider bins"
                )
        values = hod if isinstance(hod, Mapping) else hod.to_dict()
        self.names = PARAMETERS
        self.hod = {name: float(values[name]) for name in PARAMETERS[2:]}
        self.edges: FloatArray = np.asarray(sums[0].edges)
        self.bounds: dict[str, tuple[float, float]] = {
            **{name: (-1.0, 1.0) for name in _STRENGTHS},
            **{name: (value, value) for name, value in self.hod.items()},
        }
        self.realizations = len(sums)
        self.responses: FloatArray = np.array([_responses(one) for one in sums])
        self.xi: FloatArray = np.array([2 * s.weight.sum(axis=0) / s.rr - 1 for s in sums])

        double = {"dtype": torch.float64}
        self._closed = AlignmentResponse(
            torch.tensor(self.xi.mean(axis=0), **double),
            torch.tensor(self.responses.mean(axis=0), **double),
            (0, 1),
        )
        self.noise = noise
        if hasattr(noise, "covariance"):
            #: Covariance of tables of halos.
            self.covariance = noise.covariance
        if hasattr(noise, "correlation"):
            self.correlation = noise.correlation
        self._std: dict[str, Any] = {}
        if isinstance(noise, Mapping):
            bins = self.edges.size - 1
            for name, std in noise.items():
                array = np.asarray(std, dtype=np.float64)
                if name not in STATISTICS:
                    raise ValueError(f"noise: {name!r} is none of {', '.join(STATISTICS)}")
                if array.shape != (bins,) or not (array > 0).all():
                    raise ValueError(f"noise of {name}: must be {bins} numbers above 0")
                self._std[name] = torch.tensor(array, **double)
        elif not hasattr(noise, "mean_and_std"):
            raise TypeError(f"noise must be an Emulator or a mapping, not {type(noise).__name__}")
        elif not np.allclose(np.asarray(noise.edges), self.edges, rtol=1e-6, atol=0):
            raise ValueError("noise: the emulator has other bins than the sums; use its edges")

    @classmethod
    def simulate(
        cls,
        halos: Any,
        hod: Any,
        *,
        noise: Any,
        realizations: int = 10,
        seed: Seed = None,
        bins: Bins | None = None,
    ) -> SimulatedModel:
        """Populate halos several times, and take the sums of each.

        Parameters
        ----------
        halos : HaloCatalog
        hod : HODModel
        noise
            As of `SimulatedModel`.
        realizations : int
        seed : int or numpy.random.Generator, optional
        bins : Binning, str or array_like, optional
            Bins in Mpc/h; by default those of `noise` if that is an emulator.

        Raises
        ------
        ValueError, TypeError
            As `SimulatedModel`, `HODModel.populate` and `alignment_sums`.
        """
        from pysoftcorr.mocks import alignment_sums

        if not hasattr(hod, "populate"):
            raise TypeError(f"hod = {shown(hod)}: must be an HODModel")
        count("realizations", realizations, most=MOST_REALIZATIONS)
        if bins is None and hasattr(noise, "edges"):
            bins = noise.edges
        root = root_seed(seed)
        seeds = np.random.SeedSequence(root).generate_state(realizations, np.uint32).tolist()
        sums = [alignment_sums(hod.populate(halos, seed=s), bins=bins) for s in seeds]
        return cls(sums, hod, noise=noise)

    @property
    def box(self) -> dict[str, Any]:
        """What is known of the box that the noise is of."""
        return dict(getattr(self.noise, "box", {}))

    def double(self) -> SimulatedModel:
        """Itself, with the noise in float64."""
        if hasattr(self.noise, "double"):
            self.noise = self.noise.double() or self.noise
        return self

    @property
    def has_noise(self) -> bool:
        """Whether the noise is known."""
        return bool(getattr(self.noise, "has_noise", True))

    def means(self, params: Any) -> dict[str, Any]:
        """Mean of each statistic, torch, at parameters (..., 7)."""
        return {name: self._closed.mean(name, params) for name in STATISTICS}

    def mean_and_std(self, params: Any) -> dict[str, tuple[Any, Any]]:
        """Mean and standard deviation of each statistic, torch, at parameters (..., 7).

        The HOD among them is not looked at: `bounds` says which it is.
        """
        if self._std:
            std = {name: value.expand(*params.shape[:-1], -1) for name, value in self._std.items()}
        else:
            std = {name: pair[1] for name, pair in self.noise.mean_and_std(params).items()}
        return {name: (self._closed.mean(name, params), std[name]) for name in std}


def _responses(sums: Any) -> FloatArray:
    weight = 2 * sums.weight.sum(axis=0)
    parts = (sums.omega_cen, sums.omega_sat, sums.eta_cen_cen, sums.eta_cen_sat, sums.eta_sat_sat)
    return np.array([part.sum(axis=0) / weight for part in parts])


class AlignmentResponse:
    """omega = a_c A + a_s B and eta = a_c^2 C + a_c a_s D + a_s^2 E, with a of the strengths.

    Parameters
    ----------
    xi : Tensor, shape (nbins,), or None
    responses : Tensor, shape (5, nbins)
    columns : tuple of int
        Places of mu_cen and mu_sat among the parameters.

    Attributes
    ----------
    std : callable or None
        Standard deviations of a statistic at parameters (..., n), where the network that gives
        them is known apart from that of the means.
    """

    def __init__(self, xi: Any, responses: Any, columns: tuple[int, int]) -> None:
        self.xi = xi
        self.std: Callable[[str, Any], Any] | None = None
        self.omega, self.eta = responses[:2], responses[2:]
        self.columns = list(columns)

    def mean(self, name: str, params: Any) -> Any:
        """Mean of a statistic at parameters (..., n), shape (..., nbins)."""
        if name == "xi":
            return self.xi.expand(*params.shape[:-1], -1)
        from pysoftcorr.mocks.strengths import order_parameter

        torch = need("torch", "a posterior")
        order = order_parameter(params[..., self.columns])
        if name == "omega":
            return order @ self.omega
        cen, sat = order[..., :1], order[..., 1:]
        return torch.cat([cen * cen, cen * sat, sat * sat], dim=-1) @ self.eta


def alignment_response(
    model: Any, names: tuple[str, ...], base: Any, statistics: tuple[str, ...]
) -> AlignmentResponse | None:
    """Closed form of a model at a fixed HOD; None for one that does not follow it.

    Whether it does is found out, not taken for granted: at 16 strengths besides the three that
    the responses are solved from.

    Parameters
    ----------
    model : CorrelationModel
    names : tuple of str
    base : Tensor, shape (n,)
        All parameters; the strengths in it play no role.
    statistics : tuple of str
        Which means matter.
    """
    torch = need("torch", "a posterior")
    if any(name not in names for name in _STRENGTHS):
        return None
    columns = (names.index("mu_cen"), names.index("mu_sat"))
    # Multiples of irrational numbers: spread evenly, and the same every time.
    k = torch.arange(16, dtype=torch.float64)
    tried = torch.stack(
        [2 * ((k * x) % 1) - 1 for x in (0.6180339887498949, 0.7548776662466927)], 1
    )
    strengths = torch.cat([torch.tensor([[1.0, 0], [0, 1], [1, 1]], dtype=torch.float64), tried])
    params = base.repeat(len(strengths), 1)
    params[:, list(columns)] = strengths
    with torch.no_grad():
        if hasattr(model, "covariance"):  # without errors, which may take long
            found = {name: (mean,) for name, mean in model.means(params).items()}
        else:
            found = model.mean_and_std(params)
        means = {name: pair[0].double() for name, pair in found.items()}
        zeros = torch.zeros_like(next(iter(means.values())))
        # Responses at (1, 0), (0, 1) and (1, 1).
        omega, eta = (means.get(name, zeros) for name in ("omega", "eta"))
        mixed = eta[2] - eta[0] - eta[1]
        solved = torch.stack([omega[0], omega[1], eta[0], mixed, eta[1]])
        xi = means["xi"][0] if "xi" in means else None
        closed = AlignmentResponse(xi, solved, columns)
        for name in statistics:
            scale = float(means[name].abs().max())
            differ = float((closed.mean(name, params) - means[name]).abs().max())
            if not differ <= _ROUNDING * scale:  # nor NaN
                return None
        closed.std = _variance_network(model, statistics, params, found)
    return closed


def _variance_network(
    model: Any, statistics: tuple[str, ...], params: Any, found: Any
) -> Callable[[str, Any], Any] | None:
    """Standard deviations by the part of a `ResponseNetwork` for them; None if they differ."""
    torch = need("torch", "a posterior")
    # A `SimulatedModel` has the noise of an emulator.
    network: Any = getattr(getattr(model, "noise", model), "network", None)
    # That of xi, a log-normal's, needs the mean.
    if not hasattr(network, "variances") or "xi" in statistics:
        return None
    rows = {"omega": 1, "eta": 2}

    def std(name: str, params: Any) -> Any:
        points = with_cosmology(params.reshape(-1, params.shape[-1]), network.names)
        values = network.variances(points)[..., rows[name], :].mean(dim=0).sqrt()
        return values.reshape(*params.shape[:-1], values.shape[-1])

    for name in statistics:
        if not torch.allclose(std(name, params), found[name][1], rtol=1e-10, atol=0):
            return None
    return std
