"""The emulator's forward pass, one call against one simulation, and NUTS against plain Pyro.

The shipped emulator where there is one, else networks of the same sizes that learned nothing:
they take the same time. Numbers of draws of NUTS, and of points, may be given: 1000 and 32768.
"""

from __future__ import annotations

import sys
import time

import arviz
import numpy as np
import torch
from timing import heading, in_turn, load, once, ratio

from pysoftcorr.emulator import Emulator
from pysoftcorr.inference import Observation, sample_posterior
from pysoftcorr.mocks import HaloCatalog, HODModel, box_correlations, training_design

EDGES = np.geomspace(0.1, 16.0, 21)


def emulators() -> dict[str, Emulator]:
    """Both networks; the shipped emulator in the place of its own kind."""
    every = {k: Emulator.untrained(k, bins=EDGES, seed=1) for k in ("published", "response")}
    try:
        shipped = Emulator.read()
    except (FileNotFoundError, ValueError):
        print("  no emulator is shipped: untrained networks of the same sizes")
    else:
        every[shipped.kind] = shipped
    return every


def forward(emulator: Emulator, points: int, device: str) -> float:
    """Least seconds of means and aleatoric errors of so many points, in chunks."""
    design = torch.tensor(training_design(points, seed=1), dtype=torch.float32, device=device)
    at = emulator.to(device)

    def work() -> None:
        with torch.inference_mode():
            for chunk in design.split(1024 if device == "cpu" else 32768):
                at.mean_and_std(chunk)
        if device == "cuda":
            torch.cuda.synchronize()

    work()
    seconds = min(once(work) for _ in range(3))
    emulator.to("cpu")
    return seconds


def against_simulation(emulator: Emulator, side: float) -> None:
    """One prediction, with 50 passes and with one, against populate + correlate."""
    halos = HaloCatalog.simulate(side, 128, mmin=3e11, seed=1)
    model = HODModel.preset("mstar10.0")
    params = [model.mu_cen, model.mu_sat, model.logMmin, model.sigma_logM, model.logM0,
              model.logM1, model.alpha]  # fmt: skip
    tensor = torch.tensor(params)

    def simulate() -> None:
        box_correlations(model.populate(halos, seed=1), bins=emulator.edges)

    def means() -> None:
        with torch.inference_mode():
            emulator.mean_and_std(tensor)

    done = in_turn(3, simulation=simulate, predict=lambda: emulator.predict(params), mean=means)
    print(
        f"  simulation ({side:.0f} Mpc/h, {len(halos)} halos) {done['simulation'].median:.2f} s; "
        f"predict with 50 passes {1e3 * done['predict'].median:.1f} ms, "
        f"{ratio(done['simulation'], done['predict'])}; mean and aleatoric error alone "
        f"{1e3 * done['mean'].median:.2f} ms, {ratio(done['simulation'], done['mean'])} ({load()})"
    )


def obvious(emulator: Emulator, draws: int, seed: int) -> tuple[float, np.ndarray]:
    """Seconds and draws of the model as one would write it in Pyro (B25, section 7)."""
    import pyro
    import pyro.distributions as dist

    hod = HODModel.preset("mstar10.0").to_dict()
    rest = torch.tensor([hod[name] for name in emulator.names[2:] if name in hod])
    bins = len(emulator.edges) - 1
    zeros, eye = torch.zeros(bins), torch.eye(bins)

    def model() -> None:
        mu_cen = pyro.sample("mu_cen", dist.Uniform(-1.0, 1.0))
        mu_sat = pyro.sample("mu_sat", dist.Uniform(-1.0, 1.0))
        params = torch.cat([torch.stack([mu_cen, mu_sat]), rest])
        mean, std = emulator.mean_and_std(params)["omega"]
        error = (std**2 + 1e-6).sqrt()
        found = None if emulator.correlation is None else emulator.correlation.at("omega", params)
        covariance = error[:, None] * (eye if found is None else found) * error
        pyro.sample("omega", dist.MultivariateNormal(mean, covariance), obs=zeros)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kernel = pyro.infer.NUTS(model)
        mcmc = pyro.infer.MCMC(kernel, draws, draws, disable_progbar=True)
        began = time.perf_counter()
        mcmc.run()
        seconds = time.perf_counter() - began
    made = mcmc.get_samples()
    return seconds, np.stack([made[n].double().numpy() for n in ("mu_cen", "mu_sat")], -1)[None]


def effective(samples: np.ndarray) -> float:
    """The least bulk effective sample size of the parameters."""
    return min(float(arviz.ess(samples[..., k], method="bulk")) for k in range(samples.shape[-1]))


def nuts(emulator: Emulator, draws: int) -> None:
    """draws + draws steps for two parameters: ours with one chain and with four, theirs."""
    data = Observation.unaligned(emulator.edges)
    hod = HODModel.preset("mstar10.0", satellites=emulator.box.get("satellites", "nfw"))
    rates = {}
    for name, chains in (("one chain", 1), ("four chains", 4)):
        began = time.perf_counter()
        found = sample_posterior(
            emulator, data, fixed=hod, chains=chains, warmup=draws, draws=draws, seed=1,
            progress=False,
        )  # fmt: skip
        seconds, ess = time.perf_counter() - began, effective(found.draws)
        rates[name] = ess / seconds
        _line(f"pysoftcorr, {name}", seconds, ess, found.flat)
    seconds, samples = obvious(emulator, draws, seed=1)
    ess = effective(samples)
    _line("plain Pyro, one chain", seconds, ess, samples.reshape(-1, 2))
    theirs = ess / seconds
    print(
        f"  ESS per second: {rates['one chain'] / theirs:.1f}x with one chain, "
        f"{rates['four chains'] / theirs:.1f}x with four ({load()})"
    )


def _line(name: str, seconds: float, ess: float, flat: np.ndarray) -> None:
    means = ", ".join(
        f"{m:+.3f} +- {s:.3f}" for m, s in zip(flat.mean(0), flat.std(0), strict=True)
    )
    print(f"  {name}: {seconds:.1f} s, ESS {ess:.0f}, {ess / seconds:.0f}/s; mu {means}")


def main() -> None:
    """All comparisons."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    points = int(sys.argv[2]) if len(sys.argv) > 2 else 32768
    every = emulators()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    heading(f"forward pass of {points:,} points, float32")
    for kind, emulator in every.items():
        for device in devices:
            seconds = forward(emulator, points, device)
            print(f"  {kind}, {device}: {seconds:.3f} s ({load()})")
    heading("one prediction against one simulation")
    for kind, emulator in every.items():
        print(f"  {kind}:")
        against_simulation(emulator, 150.0)
    # Small tensors: threads would wait for one another, theirs too.
    torch.set_num_threads(1)
    for kind, emulator in every.items():
        heading(f"NUTS, {draws} + {draws} draws of mu_cen and mu_sat, {kind}, one thread")
        nuts(emulator, draws)


if __name__ == "__main__":
    main()
