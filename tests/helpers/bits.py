"""Digests of what is computed, by name: two processes of other numbers of threads agree in all.

As a program it prints them: ``python -m tests.helpers.bits all``; without a word, the quick ones.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable

import numpy as np
import torch

from pysoftcorr import Catalog, diffhod, emulator, inference, mocks, xi_pm
from pysoftcorr.emulator import correlation
from tests.helpers.emulator_campaign import campaign

POINT = np.array([0.7, 0.2, 12.5, 0.26, 12.4, 13.0, 1.0])
#: The first is made quickly, and has all but ranks of subhalos.
KINDS = {
    "nfw": {"sites": 60, "rp_bins": "log:1:20:6", "pi_max": 20.0},
    "subhalos": {"sites": 0, "satellites": "subhalos"},
    "assembly": {"sites": 0, "assembly_split": 0.5},
    "triaxial": {"sites": 60, "satellites": "triaxial", "places": 3},
}


def digest(*values) -> str:
    """Hash of the bits of arrays and tensors, in dictionaries or not."""
    total = hashlib.sha256()
    for value in values:
        if isinstance(value, dict):
            value = digest(*value.values()).encode()
        elif isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        total.update(value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes())
    return total.hexdigest()[:12]


def rows(number: int) -> np.ndarray:
    return POINT + 0.02 * np.random.default_rng(2).standard_normal((number, 7))


def slopes(function: Callable, values: np.ndarray) -> torch.Tensor:
    """Gradient of the sum of all that a function makes of a tensor."""
    x = torch.tensor(values, requires_grad=True)
    sum(part.sum() for part in function(x)).backward()
    return x.grad


def halos(number: int, side: float) -> mocks.HaloCatalog:
    rng = np.random.default_rng(1)
    mass = 10 ** rng.uniform(12, 13.5, number)
    radius = np.cbrt(3 * mass / (4 * np.pi * 200 * 0.3 * 2.775e11))
    return mocks.HaloCatalog(
        rng.uniform(0, side, (number, 3)), mass, radius, rng.uniform(4, 9, number),
        rng.standard_normal((number, 3)), boxsize=side,
    )  # fmt: skip


def sky(every):
    ra, dec, w = np.random.default_rng(1).random((3, 20_000))
    g1, g2 = 0.1 * np.random.default_rng(2).standard_normal((2, 20_000))
    found = xi_pm(Catalog(ra=ra, dec=dec, g1=g1, g2=g2, w=w), "linear:0:2:2")
    yield "xi_pm", digest(found["xip"].varshot, found["xip"].value)


def smooth(every):
    """DiffHOD, of more halos than torch adds in one thread."""
    for number, mesh in ((2000, 16), (60_000, 32)):
        field = diffhod.DiffHOD(halos(number, 100.0), mesh=mesh, seed=1)
        grad = slopes(lambda t, field=field: field.power(t)[1:], POINT[2:])
        yield f"power of {number}", digest(field.power(POINT[2:])[1], grad)
    field = diffhod.DiffHOD(halos(60_000, 300.0), mesh=16, seed=1, reference=POINT[2:], density=1)
    bins = "log:2:8:3"
    found = field.correlations(POINT, bins=bins)
    yield "correlations", digest(*found, slopes(lambda t: field.correlations(t, bins=bins), POINT))
    pairs = field.galaxies(POINT)
    omega = diffhod.WeightedPairs(pairs.position, boxsize=300.0, bins=bins).orientation(
        torch.ones(len(pairs), dtype=torch.float64)
    ).omega  # fmt: skip
    axes = torch.as_tensor(pairs.axis).detach().numpy()
    yield "orientation", digest(omega(axes), slopes(lambda e: [omega(e)], axes))
    given = (pairs.position, pairs.weight.detach())
    found = diffhod.power_spectrum(*given, boxsize=300.0, mesh=32)
    yield "power_spectrum", digest(found.power, found.shot_noise)


def tables(every):
    box = mocks.HaloCatalog.simulate(50.0, 32, mmin=1e12, axis_alignment=0.5, subhalos=True, seed=3)
    for kind in KINDS if every else ("nfw",):
        options = KINDS[kind]
        made = mocks.HaloTables.tabulate(box, bins="log:0.3:12:12", progress=False, **options)
        yield kind, digest(*(part for b in made.boxes for part in (b.forms, b.one_halo)))
        more = {"assembly_cen": 0.3, "assembly_sat": -0.2} if kind == "assembly" else {}
        for points in (POINT, rows(40)):

            def predicted(x, made=made, more=more):
                said = made.predict(x, on_outside="ignore", **more)
                return [getattr(said, name).mean for name in made.statistics]

            length = len(np.atleast_2d(points))
            yield f"{kind} predict {length}", digest(*predicted(points))
            yield f"{kind} slopes {length}", digest(slopes(predicted, points))
            yield f"{kind} jacobian {length}", digest(made.jacobian(points, on_outside="ignore"))
        if made.boxes[0].sites is not None:
            yield f"{kind} covariance", digest(made.covariance(POINT, "hod"))
        if kind == "nfw":
            yield from posteriors(made, every)


def posteriors(made, every):
    truth = made.predict(POINT, on_outside="ignore")
    data = inference.Observation(
        made.edges, omega=truth.omega.mean, covariance=1e-5 * np.eye(len(truth.omega.mean))
    )
    fixed = dict(zip(made.names[2:], POINT[2:], strict=True))
    options = {"fixed": fixed, "chains": 2, "warmup": 8, "draws": 8, "seed": 1}
    for compiled in (False, True)[: 1 + every]:
        found = inference.sample_posterior(made, data, compiled=compiled, **options)
        yield f"posterior {compiled}", digest(found.draws)
    density = inference.LogPosterior(made, data, fixed=fixed)
    yield "log_likelihood", digest(density.log_likelihood(POINT[:2]), density.means(POINT[:2]))
    yield "minimize", digest(inference.minimize(density, max_iter=5).trace)


def networks(every):
    models = {k: emulator.Emulator.untrained(k, seed=1) for k in ("published", "response")}
    for kind, model in {**models, "shipped": emulator.Emulator.read()}.items():
        for points in (POINT, rows(2), rows(100 if every else 12)):

            def predicted(x, model=model):
                said = model.predict(x, passes=4, on_outside="ignore")
                three = (said.xi, said.omega, said.eta)
                return [y for one in three for y in (one.mean, one.aleatoric, one.epistemic)]

            length = len(np.atleast_2d(points))
            yield f"{kind} predict {length}", digest(*predicted(points))
            yield f"{kind} slopes {length}", digest(slopes(predicted, points))
            yield f"{kind} jacobian {length}", digest(model.jacobian(points, on_outside="ignore"))
        yield f"{kind} draws", digest(model.draws(POINT, passes=4))


def trainings(every):
    """Hashes of trained networks but the published one, whose gradients threads share (`train`)."""
    correlation._STEPS = 10
    split = emulator.split_campaign(campaign(120), seed=4)
    made = emulator.train(split, epochs=2, seed=3)
    yield "train", digest(*made.network.state_dict().values())


def main(every: bool = False) -> None:
    warnings.simplefilter("ignore")
    for part in (sky, smooth, tables, networks, trainings):
        for found, value in part(every):
            print(f"{found}: {value}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] == ["all"])
