"""The emulator: xi, omega and eta of seven parameters, with both errors and derivatives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pysoftcorr.core.options import integer
from pysoftcorr.core.random import Seed, root_seed
from pysoftcorr.core.torch import steady
from pysoftcorr.core.version import __version__
from pysoftcorr.emulator.correlation import BinCorrelation
from pysoftcorr.emulator.data import STATISTICS, bin_centers
from pysoftcorr.emulator.domain import Bounds
from pysoftcorr.emulator.model_file import ModelFile, read_model, shipped_model, write_model
from pysoftcorr.emulator.network import network_config, network_of, new_network
from pysoftcorr.emulator.network import passes as _passes
from pysoftcorr.emulator.network.base import Network
from pysoftcorr.emulator.network.scaling import likely_scaling
from pysoftcorr.emulator.prediction import Predicted, Prediction
from pysoftcorr.mocks.box import DEFAULT_BINS, radial_edges
from pysoftcorr.mocks.points import check_values, table_of, with_cosmology
from pysoftcorr.sky.binning import Bins

__all__ = ["Emulator"]

FloatArray = npt.NDArray[np.float64]

_MOST_PASSES = 1_000_000
#: Of more rows products are split among threads by rows, which changes no bits.
_FEW = 1024


class Emulator:
    """Correlations of mock galaxies with intrinsic alignments, in milliseconds.

    Parameters
    ----------
    network : Network
        A copy of it is kept, in eval mode and without gradients of its weights.
    bins : Binning, str or array_like
        The b bins of the network in Mpc/h, as `pysoftcorr.mocks.box.radial_edges` takes them.
    bounds : Bounds
        The part of parameter space it was trained in.
    description : dict, optional
        Record of the training, as JSON can hold it; written beside the weights.
    correlation : BinCorrelation, optional
        Correlation between the bins of a realization, which the aleatoric errors leave out.

    Attributes
    ----------
    names : tuple of str
        The parameters, in their order.
    edges : ndarray, shape (b + 1,)
        Edges of the bins, Mpc/h.
    r : ndarray, shape (b,)
        Geometric centers of the bins, Mpc/h.

    Notes
    -----
    After Pandya et al. (2025, IAEmu). ``kind`` is "published" for their network and "response"
    for the ensemble of `pysoftcorr.emulator.network.response`.

    Examples
    --------
    >>> from pysoftcorr.emulator import Emulator
    >>> emulator = Emulator.untrained("response", seed=1)
    >>> said = emulator.predict([0.7, 0.2, 12.0, 0.26, 12.0, 13.0, 1.0])
    >>> said.omega.mean.shape, said.omega.epistemic.shape
    ((20,), (20,))
    >>> emulator.jacobian([0.7, 0.2, 12.0, 0.26, 12.0, 13.0, 1.0])["omega"].shape
    (20, 7)
    """

    def __init__(
        self,
        network: Network,
        *,
        bins: Bins = DEFAULT_BINS,
        bounds: Bounds,
        description: dict[str, Any] | None = None,
        correlation: BinCorrelation | None = None,
    ) -> None:
        self.edges: FloatArray = radial_edges(bins)
        if len(self.edges) != network.bins + 1:
            raise ValueError(
                f"bins are {len(self.edges) - 1}; the network was made for {network.bins}"
            )
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.names: tuple[str, ...] = network.names
        if bounds.names != self.names:
            raise ValueError(
                f"bounds are of {', '.join(bounds.names)}; the network takes "
                f"{', '.join(self.names)}"
            )
        self.training_bounds = bounds
        self.description: dict[str, Any] = {"version": __version__, **(description or {})}
        self.correlation = correlation
        for name, matrices in ({} if correlation is None else correlation.matrices).items():
            if matrices.shape[-1] != network.bins:
                raise ValueError(
                    f"correlation of {name} is of {matrices.shape[-1]} bins; the network was made "
                    f"for {network.bins}"
                )

    # ------------------------------------------------------------------ made, read, written
    @classmethod
    def untrained(
        cls,
        kind: str = "response",
        *,
        bins: Bins = DEFAULT_BINS,
        logMmin: tuple[float, float] = (11.0, 13.2),
        seed: Seed = 0,
        members: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        variance_width: int | None = None,
        variance_depth: int | None = None,
        dropout: float | None = None,
    ) -> Emulator:
        """An emulator with random weights, for trying things out.

        Parameters
        ----------
        kind : {"response", "published"}
        bins : Binning, str or array_like
            Mpc/h.
        logMmin : (float, float)
            Range of the training design.
        seed : int or numpy.random.Generator
        members, width, depth, variance_width, variance_depth : int, optional
            Shape of a response network, as `ResponseNetwork` takes them.
        dropout : float, optional
            Part of the units dropped in a pass.

        Raises
        ------
        ValueError, TypeError
            If the kind is unknown, or an option is out of range or has no meaning for it.
        """
        config = network_config(
            members=members, width=width, depth=depth, variance_width=variance_width,
            variance_depth=variance_depth, dropout=dropout,
        )  # fmt: skip
        bounds = Bounds.design(logMmin)
        root = root_seed(seed)
        edges = radial_edges(bins)
        scaling = likely_scaling(kind, edges, bounds.sample(512, seed=root))
        config["bins"] = len(edges) - 1
        network = new_network(kind, config, scaling, seed=root)
        return cls(network, bins=edges, bounds=bounds, description={"trained": False})

    @classmethod
    def read(cls, path: str | PathLike[str] | None = None) -> Emulator:
        """Read the emulator of a file; without a path, the one that comes with the package.

        Raises
        ------
        FileNotFoundError
            If the file is not there.
        ValueError
            If it holds no emulator, is damaged, or of a newer format.
        """
        source = shipped_model() if path is None else Path(path).expanduser()
        model = read_model(source)
        network = network_of(model.kind, model.config, model.weights, str(source))
        if len(model.edges) != network.bins + 1:
            raise ValueError(
                f"{source} is damaged: {len(model.edges)} edges for {network.bins} bins"
            )
        return cls(
            network, bins=model.edges, bounds=model.bounds, description=model.description,
            correlation=model.correlation,
        )  # fmt: skip

    def write(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write everything to one HDF5 file, whole or not at all; weights in float32.

        Raises
        ------
        ValueError
            If the suffix is not .h5 or .hdf5, or weights are not finite.
        FileExistsError
            If the file is there and `overwrite` is not set.
        OSError
            If nothing can be written there.
        """
        state = {name: t.detach().cpu().numpy() for name, t in self.network.state_dict().items()}
        model = ModelFile(
            kind=self.kind, config=self.network.config, weights=state, edges=self.edges,
            bounds=self.training_bounds, description=self.description,
            correlation=self.correlation,
        )  # fmt: skip
        return write_model(model, path, overwrite=overwrite)

    def __repr__(self) -> str:
        return (
            f"<Emulator {self.kind}: {self.network.n_parameters} weights, {self.network.bins} "
            f"bins of {self.edges[0]:g} to {self.edges[-1]:g} Mpc/h, logMmin "
            f"{self.training_bounds.box[2, 0]:g} to {self.training_bounds.box[2, 1]:g}>"
        )

    # ------------------------------------------------------------------ what it is
    @property
    def kind(self) -> str:
        """ "published" or "response"."""
        return self.network.kind

    @property
    def r(self) -> FloatArray:
        """Geometric centers of the bins, Mpc/h; an edge at 0 counts as a quarter of the next."""
        return bin_centers(self.edges)

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest values of each parameter in training."""
        return self.training_bounds.to_dict()

    @property
    def box(self) -> dict[str, Any]:
        """What is known of the boxes it learned from, by name.

        ``boxsize`` (Mpc/h), ``redshift``, ``cosmology``, ``mdef`` and ``satellites``, as far as the
        file says; empty where it was not trained on a campaign.
        """
        campaign = self.description.get("campaign") or {}
        halos = campaign.get("halos") or {}
        found = {
            "boxsize": halos.get("boxsize"),
            "redshift": campaign.get("redshift"),
            "cosmology": campaign.get("cosmology"),
            "mdef": (halos.get("meta") or {}).get("mdef"),
            # Campaigns say so where they are not placed isotropically.
            "satellites": campaign.get("satellites", "nfw") if campaign else None,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def dtype(self) -> torch.dtype:
        """Type of the numbers it computes with."""
        return next(self.network.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Device it computes on."""
        return next(self.network.parameters()).device

    def to(self, device: str | torch.device) -> Emulator:
        """Move it to a device, and give it back."""
        self.network.to(device)
        return self

    def double(self) -> Emulator:
        """Compute in float64 from now on; gives itself back."""
        self.network.double()
        return self

    def float(self) -> Emulator:
        """Compute in float32 from now on, as at the start; gives itself back."""
        self.network.float()
        return self

    # ------------------------------------------------------------------ what it says
    def predict(
        self, params: Any, *, passes: int = 50, seed: Seed = 0, on_outside: str = "warn"
    ) -> Prediction:
        """Mean, aleatoric and epistemic standard deviation of xi, omega and eta.

        Parameters
        ----------
        params : array_like or Tensor, shape (7,) or (n, 7); or mapping
            In the order of `names`; a mapping has them by name.
        passes : int
            Passes of Monte-Carlo dropout, at least 2; the members of an ensemble take them in turn.
        seed : int or numpy.random.Generator
            Seed of dropout. A point's prediction depends on no other point.
        on_outside : {"warn", "error", "ignore"}
            What to do about parameters outside of the training bounds.

        Returns
        -------
        Prediction
            Made of tensors, differentiable in `params`, where a tensor was given; of float64
            arrays otherwise. The mean is that of dropout off.

        Raises
        ------
        ValueError
            If shape or order are wrong, a value is NaN or has no meaning; or outside, if asked.
        TypeError
            If they are no numbers.

        Warns
        -----
        OutsideBounds
            With the parameter and the rows.
        """
        integer("passes", passes, least=2, most=_MOST_PASSES)
        root = root_seed(seed)
        table, single, is_tensor = table_of(params, self.names)
        values = self._checked(table, on_outside)
        with torch.set_grad_enabled(is_tensor and torch.is_grad_enabled()):

            def said(x: torch.Tensor) -> list[torch.Tensor]:
                mean, _ = _passes.ensemble(self.network, x)
                over = _passes.over_passes(self.network, x, passes, root)
                return [mean, _passes.root(over.variance), _passes.root(over.spread)]

            parts = self._steady(said, self._input(table))
            made = [self._output(part[0] if single else part, table) for part in parts]
        xi, omega, eta = (Predicted(*(part[..., k, :] for part in made)) for k in range(3))
        kept = table if is_tensor else values
        return Prediction(
            xi=xi, omega=omega, eta=eta, r=self.r, edges=self.edges.copy(),
            parameters=kept[0] if single else kept, names=self.names, passes=passes, seed=root,
        )  # fmt: skip

    def mean_and_std(self, params: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Mean and aleatoric standard deviation with dropout off, for use within torch.

        Parameters
        ----------
        params : Tensor, shape (..., 7)

        Returns
        -------
        dict of (Tensor, Tensor)
            Each of shape (..., b), by statistic; differentiable, of the dtype and on the device
            of `params`. Values are not checked.
        """
        lead = params.shape[:-1]
        full = with_cosmology(params, self.names)
        x = self._input(full.reshape(-1, len(self.names)))

        def said(x: torch.Tensor) -> list[torch.Tensor]:
            mean, variance = _passes.ensemble(self.network, x)
            return [mean, _passes.root(variance)]

        mean, std = self._steady(said, x)
        mean, std = (
            t.reshape(*lead, len(STATISTICS), self.network.bins).to(params.device, params.dtype)
            for t in (mean, std)
        )
        return {name: (mean[..., k, :], std[..., k, :]) for k, name in enumerate(STATISTICS)}

    def jacobian(self, params: Any, *, on_outside: str = "warn") -> dict[str, Any]:
        """Exact derivatives of the means with respect to the parameters.

        Parameters
        ----------
        params : array_like or Tensor, shape (7,) or (n, 7); or mapping
        on_outside : {"warn", "error", "ignore"}

        Returns
        -------
        dict of ndarray or Tensor
            "xi", "omega", "eta", each of shape (b, 7) or (n, b, 7), in physical units. Finite
            everywhere, also at strengths of -1, 0 and 1.

        Raises
        ------
        ValueError, TypeError
            As `predict`.
        """
        table, single, is_tensor = table_of(params, self.names)
        self._checked(table, on_outside)
        size = max(1, self.network.rows_at_once // self.network.members // len(self.names))

        def slopes(x: torch.Tensor) -> list[torch.Tensor]:
            return [torch.cat([self._jacobian(chunk) for chunk in x.split(size)])]

        with torch.set_grad_enabled(is_tensor and torch.is_grad_enabled()):
            made = self._output(self._steady(slopes, self._input(table))[0], table)
        made = made[0] if single else made
        return {name: made[..., k, :, :] for k, name in enumerate(STATISTICS)}

    def draws(self, params: Any, *, passes: int = 200, seed: Seed = 0) -> dict[str, Any]:
        """The mean of every pass of Monte-Carlo dropout: draws of what the truth might be.

        Returns
        -------
        dict of ndarray or Tensor
            "xi", "omega", "eta", each of shape (passes, b) or (passes, n, b).

        Raises
        ------
        ValueError, TypeError
            As `predict`.
        """
        integer("passes", passes, least=2, most=_MOST_PASSES)
        root = root_seed(seed)
        table, single, is_tensor = table_of(params, self.names)
        self._checked(table, "ignore")
        with torch.set_grad_enabled(is_tensor and torch.is_grad_enabled()):

            def means(x: torch.Tensor) -> list[torch.Tensor]:
                return [_passes.pass_means(self.network, x, passes, root)]

            (made,) = self._steady(means, self._input(table))
            made = self._output(made[:, 0] if single else made, table)
        return {name: made[..., k, :] for k, name in enumerate(STATISTICS)}

    def epistemic_covariance(
        self, params: Any, *, passes: int = 200, seed: Seed = 0
    ) -> dict[str, Any]:
        """Covariance between bins of the epistemic error, at one point.

        Parameters
        ----------
        params : array_like or Tensor, shape (7,); or mapping

        Returns
        -------
        dict of ndarray or Tensor, shape (b, b)
            By statistic.

        Raises
        ------
        ValueError, TypeError
            As `predict`; or if more than one point is given.
        """
        if not table_of(params, self.names)[1]:
            raise ValueError("params: a covariance is that of one point, shape (7,)")
        out = {}
        for name, draws in self.draws(params, passes=passes, seed=seed).items():
            away = draws - draws.mean(0)
            out[name] = away.T @ away / (passes - 1)
        return out

    # ------------------------------------------------------------------ in and out
    def _checked(self, table: Any, on_outside: str) -> FloatArray:
        values = table
        if isinstance(table, torch.Tensor):
            values = table.detach().to("cpu", torch.float64).numpy()
        check_values(values, self.names)
        self.training_bounds.check(values, on_outside)
        return np.array(values)

    def _input(self, table: Any) -> torch.Tensor:
        if isinstance(table, torch.Tensor):
            return table.to(self.device, self.dtype)
        return torch.as_tensor(table, dtype=self.dtype, device=self.device)

    def _output(self, made: torch.Tensor, like: Any) -> Any:
        if isinstance(like, torch.Tensor):
            return made.to(like.device, like.dtype)
        return made.cpu().numpy().astype(np.float64)

    def _steady(
        self, function: Callable[[torch.Tensor], Sequence[torch.Tensor]], x: torch.Tensor
    ) -> Sequence[torch.Tensor]:
        """Tensors that a function makes of rows, the same bits with any number of threads."""
        few = len(x) <= _FEW and x.device.type == "cpu"
        return steady(function, x) if few else function(x)

    def _jacobian(self, x: torch.Tensor) -> torch.Tensor:
        """By forward mode: rows do not touch each other, so one tangent serves them all."""

        def mean(points: torch.Tensor) -> torch.Tensor:
            return _passes.ensemble(self.network, points)[0]

        def along(direction: torch.Tensor) -> torch.Tensor:
            slope: torch.Tensor = torch.func.jvp(mean, (x,), (direction.expand_as(x),))[1]
            return slope

        unit = torch.eye(len(self.names), dtype=x.dtype, device=x.device)
        return torch.func.vmap(along, out_dims=-1)(unit)
