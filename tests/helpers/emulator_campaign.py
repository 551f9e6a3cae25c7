"""A campaign that is known exactly: smooth functions of the parameters and normal noise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pysoftcorr.mocks.alignment import order_parameter
from pysoftcorr.mocks.campaign.file import write_campaign
from pysoftcorr.mocks.campaign.rows import record_dtype
from pysoftcorr.mocks.design import training_design

EDGES = np.geomspace(0.1, 16.0, 7)
R = np.sqrt(EDGES[:-1] * EDGES[1:])


def truth(parameters: np.ndarray) -> dict[str, np.ndarray]:
    """Mean log xi (n, b), responses (n, 5, b), omega and eta (n, b), noise sigmas (n, b)."""
    p = np.atleast_2d(parameters)
    u = (p[:, 2] - 12.0)[:, None]  # log Mmin, from -1 to 1.2
    v = (p[:, 5] - 1.0 * p[:, 2] - 1.1)[:, None]
    w = (p[:, 6] - 1.0)[:, None]
    log_xi = 3.0 - 1.6 * np.log(R) + 0.8 * u - 0.3 * v + 0.2 * w * np.log(R)
    size = np.exp(-0.9 * np.log(R / 0.1) / 2 + 0.2 * u)
    part = 1 / (1 + np.exp(-(v + 0.5)))
    response = np.stack(
        [
            0.10 * size * part,
            0.30 * size * (1 - part),
            0.05 * size**2 * part**2,
            0.10 * size**2 * part * (1 - part),
            0.12 * size**2 * (1 - part) ** 2,
        ],
        axis=1,
    )
    cen, sat = order_parameter(p[:, 0])[:, None], order_parameter(p[:, 1])[:, None]
    omega = cen * response[:, 0] + sat * response[:, 1]
    eta = cen**2 * response[:, 2] + cen * sat * response[:, 3] + sat**2 * response[:, 4]
    noise = 0.01 * np.exp(0.6 * u) * (R / 1.0) ** -0.3
    return {
        "log_xi": log_xi,
        "response": response,
        "omega": omega,
        "eta": eta,
        "sigma_log_xi": 2 * noise,
        "sigma_omega": noise * (1.0 + 0.3 * np.abs(cen)),
        "sigma_eta": 0.7 * noise,
    }


def campaign(points: int = 200, realizations: int = 10, seed: int = 1, **changed: Any) -> Any:
    """A stand-in for `pysoftcorr.mocks.Campaign`; every twentieth row is not kept, and NaN."""
    rng = np.random.default_rng(seed)
    p = training_design(4 * points, seed=seed, sampling="random")
    p = p[p[:, 2] < 13.2][:points]
    n = len(p)
    true = truth(p)
    shape = (n, realizations, len(R))

    def about(mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
        return mean[:, None] + sigma[:, None] * rng.standard_normal(shape)

    # Of positions a small part of the noise, which the exact means have too.
    wobble = 1 + 0.02 * rng.standard_normal(shape)
    response = true["response"][:, None] * wobble[:, :, None]
    cen, sat = (order_parameter(p[:, k])[:, None, None] for k in (0, 1))
    expected_omega = cen * response[:, :, 0] + sat * response[:, :, 1]
    c, d, e = np.moveaxis(response[:, :, 2:], 2, 0)
    expected_eta = cen**2 * c + cen * sat * d + sat**2 * e
    zero = np.zeros_like(true["omega"])
    values = {
        "parameters": p,
        "edges": EDGES,
        "xi": np.exp(about(true["log_xi"], true["sigma_log_xi"])),
        "omega": expected_omega + about(zero, true["sigma_omega"]),
        "eta": expected_eta + about(zero, true["sigma_eta"]),
        "expected_omega": expected_omega,
        "expected_eta": expected_eta,
        "response": response,
        "kept": np.arange(n) % 20 != 7,
        "settings": {"seed": seed, "points": n, "halos": {"simulated": "exactly known"}},
        "path": Path("synthetic.h5"),
    }
    for name in ("xi", "omega", "eta"):
        values[name][~values["kept"]] = np.nan
    return SimpleNamespace(**{**values, **changed})


def write(path: Path, made: Any) -> None:
    """The file of a finished campaign that holds it."""
    n, realizations, bins = made.xi.shape
    records = np.zeros(n, dtype=record_dtype(realizations, bins))
    records["row"] = np.arange(n)
    records["kept"] = made.kept
    records["status"] = np.where(made.kept, 0, 2)[:, None]
    records["measured"] = np.stack([made.xi, made.omega, made.eta], axis=2)
    records["response"] = made.response
    halos = {"number": 1, "boxsize": 100.0, "meta": {}, "fingerprint": "0"}
    write_campaign(
        path,
        records,
        parameters=made.parameters,
        edges=made.edges,
        xi_matter=np.ones(bins),
        settings={**made.settings, "halos": halos, "cosmology": {}, "version": "0"},
    )
