"""Samplers in blocks on posteriors that are known: NUTS, emcee, resuming, files, warnings."""

from __future__ import annotations

import inspect
import math
import os
import time
import warnings
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pyro = pytest.importorskip("pyro")
pytest.importorskip("emcee")
arviz = pytest.importorskip("arviz")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from scipy import integrate  # noqa: E402

from helpers.analytic_emulator import HOD, AnalyticEmulator  # noqa: E402
from helpers.linear_posterior import (  # noqa: E402
    COVARIANCE,
    CUT,
    DATA,
    DESIGN,
    Linear,
    mcmc,
    nuts,
    walk_starts,
)
from pysoftcorr.diffhod.experiments.power import compare, table  # noqa: E402
from pysoftcorr.inference import (  # noqa: E402
    Observation,
    Posterior,
    Priors,
    sample_posterior,
)
from pysoftcorr.inference.ensemble import EnsemblePlan, run_emcee  # noqa: E402
from pysoftcorr.inference.nuts import NutsPlan, nuts_block, run_nuts  # noqa: E402
from pysoftcorr.inference.posterior import warn_of_problems  # noqa: E402
from pysoftcorr.inference.target import GaussianLikelihood, Target  # noqa: E402
from pysoftcorr.inference.workers import Workers  # noqa: E402

# ---------------------------------------------------------------------- samplers
PLAN = NutsPlan(chains=3, warmup=60, draws=300, block=50, seed=11)


@pytest.fixture(scope="module")
def linear():
    return nuts(Linear(), PLAN)[1]


def test_nuts_finds_the_gaussian(linear):
    mean, covariance = Linear().moments()
    sd = np.sqrt(np.diag(covariance))
    found = linear.diagnostics()
    assert linear.draws.shape == (3, 300, 3)
    for j, name in enumerate(linear.names):
        s = found[name]
        # 4 standard errors of a mean, and of a standard deviation, of so many samples
        error = 4 / math.sqrt(s["ess_bulk"])
        assert abs(linear.draws[..., j].mean() - mean[j]) < error * sd[j]
        assert abs(s["sd"] / sd[j] - 1) < error
        assert s["r_hat"] < 1.03
    assert linear.divergences == 0
    # A whitened Gaussian is easy: nearly every step is worth a sample.
    assert linear.efficiency()["ess_per_draw"] > 0.3


@pytest.mark.slow
def test_emcee_finds_the_same(linear):
    plan = EnsemblePlan(walkers=12, warmup=200, draws=1500, block=400, seed=3)
    arrays, found = mcmc(Linear(), plan)
    assert arrays["u"].shape == (1700, 12, 3)
    assert found.efficiency()["evaluations"] == 12 * 1500
    both = compare(linear, found, truth=[0.0, 0.0, 0.0])
    for row in both["parameters"].values():
        assert abs(row["difference"]) < 4 * row["difference_error"]
        assert row["difference_error"] < 0.15
    assert both["ratio"]["ess_per_draw"] > 5
    said = table(both)
    assert "difference/sigma" in said
    assert f"{both['ratio']['ess_per_draw']:.1f}" in said


@pytest.mark.slow
def test_bounds_are_kept_and_the_cut_posterior_is_right():
    """Against numerical integration: a cut normal prior is no normal posterior."""
    problem = Linear(CUT)
    found = nuts(problem, NutsPlan(chains=3, warmup=60, draws=300, block=100, seed=4))[1]
    assert (found.draws[..., 1] > 0).all()
    assert (abs(found.draws[..., 2]) < 1).all()
    target = problem.target()

    grid = [np.linspace(-2, 3, 41), np.linspace(1e-6, 2, 61), np.linspace(-1, 1, 41)[1:-1]]
    points = np.stack(np.meshgrid(*grid, indexing="ij"), axis=-1)
    chi = (points @ DESIGN.T - DATA) @ np.linalg.inv(np.linalg.cholesky(COVARIANCE)).T
    pull = (points - CUT.mean) / CUT.sd
    logs = -0.5 * ((chi**2).sum(axis=-1) + (pull**2).sum(axis=-1))
    assert logs[7, 5, 9] == pytest.approx(target.log_posterior(points[7, 5, 9]), rel=1e-12)

    def moment(power):
        values = np.exp(logs)
        by_b = integrate.simpson(integrate.simpson(values, x=grid[2]), x=grid[0], axis=0)
        return [float(integrate.simpson(by_b * grid[1] ** p, x=grid[1])) for p in power]

    norm, first, second = moment((0, 1, 2))
    mean, sd = first / norm, math.sqrt(second / norm - (first / norm) ** 2)
    s = found.diagnostics()["b"]
    error = 4 / math.sqrt(s["ess_bulk"])
    assert abs(found.draws[..., 1].mean() - mean) < error * sd
    assert abs(s["sd"] / sd - 1) < error


def test_a_killed_run_is_resumed_with_the_same_bits(tmp_path):
    plan = NutsPlan(chains=2, warmup=20, draws=30, block=10, seed=2)
    whole, _ = nuts(Linear(), plan)
    folder = tmp_path / "chains"
    folder.mkdir()

    class Killed(Exception):
        pass

    class Dying(Linear):
        """Ends the run in the middle of a block."""

        def __init__(self, after):
            super().__init__()
            self.left = after

        def model(self, params):
            self.left -= 1
            if self.left < 0:
                raise Killed
            return super().model(params)

    for after in (60, 90, 170):
        with pytest.raises(Killed):
            nuts(Dying(after), plan, folder)
        # another state of torch's generator, as another process would have
        torch.rand(7)
    again, _ = nuts(Linear(), plan, folder)
    for a, b in zip(whole, again, strict=True):
        for name in ("u", "potential", "gradients", "diverging", "block_step_size"):
            np.testing.assert_array_equal(a[name], b[name])


def test_emcee_is_resumed_with_the_same_bits(tmp_path):
    whole, _ = mcmc(Linear(), EnsemblePlan(walkers=8, warmup=20, draws=60, block=15, seed=2))
    mcmc(Linear(), EnsemblePlan(walkers=8, warmup=20, draws=15, block=15, seed=2), tmp_path)
    again, _ = mcmc(
        Linear(), EnsemblePlan(walkers=8, warmup=20, draws=60, block=15, seed=2), tmp_path
    )
    for name in ("u", "log_density", "accepted"):
        np.testing.assert_array_equal(whole[name], again[name])


def test_emcee_refuses_to_forget_draws(tmp_path):
    mcmc(Linear(), EnsemblePlan(walkers=8, warmup=10, draws=20, block=10, seed=2), tmp_path)
    with pytest.raises(ValueError, match=r"holds 30 draws, more than 10 \+ 10; ask for as many"):
        mcmc(Linear(), EnsemblePlan(walkers=8, warmup=10, draws=10, block=10, seed=2), tmp_path)


def test_chains_walk_with_the_mean_step_of_the_later_warm_up():
    plan = NutsPlan(chains=1, warmup=60, draws=20, block=10, seed=2)
    (chain,) = nuts(Linear(), plan)[0]
    kinds = [kind for _, kind in plan.blocks()]
    assert kinds == ["step", "metric", "metric", "step", "sample", "sample"]
    steps, sizes = chain["block_steps"], chain["block_step_size"]
    # Two thirds of four blocks; the first, of the longest way to the posterior, is not among them.
    expected = np.exp(np.average(np.log(sizes[1:4]), weights=steps[1:4]))
    assert sizes[4] == pytest.approx(expected, rel=1e-12)
    assert sizes[5] == sizes[4]


@pytest.mark.slow
def test_processes_give_the_bits_of_one():
    plan = NutsPlan(chains=2, warmup=20, draws=20, block=10, seed=2)
    one, _ = nuts(Linear(), plan)
    ensemble = EnsemblePlan(walkers=6, warmup=0, draws=8, block=4, seed=1)
    walk = mcmc(Linear(), ensemble)[0]["u"]
    rng = np.random.default_rng(5)
    with Workers(Linear(), 2) as workers:
        two = run_nuts(workers, plan, rng.normal(size=(2, 3)))
        again = run_emcee(workers, ensemble, walk_starts(6))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a["u"], b["u"])
    np.testing.assert_array_equal(walk, again["u"])


def test_workers_end_with_a_killed_parent(fresh, tmp_path):
    """The parent is killed while a worker waits: nothing of them is left after a moment."""
    done = fresh(
        """
        import os, signal, time
        from pysoftcorr.inference.workers import Workers

        class Nothing:
            def target(self):
                return self

            def pid(self):
                return os.getpid()

        def pid(target):
            return os.getpid()

        if __name__ == "__main__":
            with Workers(Nothing(), 2) as workers:
                print(workers.submit(pid).result(), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        """,
        ok=False,
        folder=tmp_path,
    )
    worker = int(done.stdout)
    for _ in range(200):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"process {worker} is still there")


def test_a_run_of_other_settings_is_not_resumed(tmp_path):
    nuts(Linear(), NutsPlan(chains=1, warmup=20, draws=10, block=5, seed=2), tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(seed = 2 there, 3 here\).*to restart"):
        nuts(Linear(), NutsPlan(chains=1, warmup=20, draws=10, block=5, seed=3), tmp_path)
    (tmp_path / "nuts-0.h5").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"holds no checkpoint .*; pass overwrite=True to restart"):
        nuts(Linear(), NutsPlan(chains=1, warmup=20, draws=10, block=5, seed=2), tmp_path)


def test_a_finished_run_is_made_longer(tmp_path):
    short = NutsPlan(chains=1, warmup=20, draws=10, block=5, seed=2)
    first = nuts(Linear(), short, tmp_path)[0][0]
    longer = NutsPlan(chains=2, warmup=20, draws=25, block=5, seed=2)
    second = nuts(Linear(), longer, tmp_path)[0]
    assert len(second) == 2
    np.testing.assert_array_equal(second[0]["u"][:30], first["u"])
    assert len(second[0]["u"]) == 45


def test_the_state_of_torch_is_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    target = Linear().target()
    nuts_block(target, np.zeros(3), np.eye(3), 0.5, draws=12, adapt=True, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_are_counted():
    problem = Linear()
    target = problem.target()
    calls = []
    inner = target.model
    target.model = lambda params: (calls.append(1), inner(params))[1]
    block = nuts_block(target, np.zeros(3), np.eye(3), 0.5, draws=12, adapt=True, seed=1)
    assert int(block["gradients"].sum()) + int(block["extra"]) == len(calls)
    for u, potential in zip(block["u"], block["potential"], strict=True):
        assert float(target.potential(torch.as_tensor(u))) == pytest.approx(potential, rel=1e-12)


def test_plans_refuse_what_is_wrong():
    with pytest.raises(ValueError, match="warmup = 5: must be at least 10"):
        NutsPlan(chains=1, warmup=5, draws=10, seed=1)
    with pytest.raises(ValueError, match="target_accept = 1: must be below 1"):
        NutsPlan(chains=1, warmup=10, draws=10, target_accept=1, seed=1)
    with pytest.raises(ValueError, match="workers = 0: must be at least 1"):
        Workers(Linear(), 0)
    with pytest.raises(ValueError, match="walkers = 7: must be even"):
        EnsemblePlan(walkers=7, warmup=0, draws=10, seed=1)
    with (
        pytest.raises(ValueError, match="3 parameters take at least 6"),
        Workers(Linear()) as workers,
    ):
        run_emcee(workers, EnsemblePlan(walkers=4, warmup=0, draws=5, seed=1), np.zeros((4, 3)))
    starts = np.full((6, 3), 0.5)
    starts[1, 1] = -1

    class Bare(Linear):
        """Walked in the parameters themselves, which have bounds."""

        def target(self):
            return Target(self.model, GaussianLikelihood(DATA, COVARIANCE), self.priors)

    with (
        pytest.raises(ValueError, match=r"walkers \[1\] start where the posterior density is 0"),
        Workers(Bare(CUT)) as workers,
    ):
        run_emcee(workers, EnsemblePlan(walkers=6, warmup=0, draws=5, seed=1), starts)


# ---------------------------------------------------------------------- files
def test_arviz_reads_what_is_written(linear, tmp_path):
    path = tmp_path / "posterior.h5"
    linear.write(path)
    data = arviz.from_netcdf(str(path), engine="h5netcdf")
    np.testing.assert_array_equal(data.posterior["a"].values, linear.draws[..., 0])
    np.testing.assert_array_equal(data.observed_data["power"].values, DATA)
    assert data.attrs["inference_library"] == "pyro"
    assert int(data.sample_stats["diverging"].sum()) == linear.divergences
    outside = arviz.summary(data, round_to="none")
    ours = linear.diagnostics()
    for name in linear.names:
        assert ours[name]["r_hat"] == pytest.approx(outside.loc[name, "r_hat"], rel=1e-12)
        assert ours[name]["ess_bulk"] == pytest.approx(outside.loc[name, "ess_bulk"], rel=1e-12)
        assert ours[name]["ess_tail"] == pytest.approx(outside.loc[name, "ess_tail"], rel=1e-12)
    back = Posterior.read(path)
    np.testing.assert_array_equal(back.draws, linear.draws)
    np.testing.assert_array_equal(back.data["power"], DATA)
    assert back.to_dict() == linear.to_dict()
    assert back.efficiency() == linear.efficiency()
    assert Priors.from_dict(back.priors).members == Linear().priors.members
    assert "step size" in back.summary()


def test_an_ensemble_is_written_and_read(tmp_path):
    plan = EnsemblePlan(walkers=8, warmup=0, draws=6, seed=2)
    with pytest.warns(UserWarning, match="^emcee: "):
        found = mcmc(Linear(CUT), plan)[1]
    found.write(tmp_path / "walkers.nc")
    back = Posterior.read(tmp_path / "walkers.nc")
    np.testing.assert_array_equal(back.draws, found.draws)
    assert back.to_dict() == found.to_dict()
    assert back.divergences is None
    assert Priors.from_dict(back.priors).members == CUT.members
    assert "8 walkers of 0 + 6 draws" in back.summary()
    figures = back.plot_trace(), back.plot_corner()
    assert [len(figure.axes) for figure in figures] == [6, 9]
    plt.close("all")


# ---------------------------------------------------------------------- warnings
def warned(draw):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        draw()
    said = [str(w.message) for w in caught if w.category is UserWarning]
    assert all("\n" not in text for text in said)
    return said


def by_emulator(draws):
    emulator = AnalyticEmulator()
    observed = Observation.unaligned(emulator.edges)
    return lambda: sample_posterior(
        emulator, observed, fixed=HOD, chains=2, warmup=draws, draws=draws, seed=1
    )


def by_blocks(draws):
    plan = NutsPlan(chains=2, warmup=max(draws // 4, 10), draws=draws, block=100, seed=1)
    return lambda: nuts(Linear(), plan)


def by_ensemble(draws):
    plan = EnsemblePlan(walkers=16, warmup=min(draws, 500), draws=draws, block=500, seed=1)
    return lambda: mcmc(Linear(), plan)


@pytest.mark.parametrize(
    ("sampler", "title", "enough"),
    [
        (by_emulator, "NUTS on AnalyticEmulator", 600),
        (by_blocks, "NUTS", 300),
        (by_ensemble, "emcee", 5000),
    ],
)
def test_every_sampler_warns_alike(sampler, title, enough):
    said = warned(sampler(8))
    assert any(text.startswith(f"{title}: r-hat above 1.01: ") for text in said)
    assert any(text.startswith(f"{title}: effective draws below ") for text in said)
    assert warned(sampler(enough)) == []


def test_divergences_are_warned_of(linear):
    diverging = np.zeros((3, 300), dtype=bool)
    diverging[1, 4] = True
    wrong = replace(linear, stats={**linear.stats, "diverging": diverging})
    said = warned(lambda: warn_of_problems(wrong, "NUTS"))
    assert said == ["NUTS: 1 divergent trajectories; raise target_accept (now 0.8)"]


# ---------------------------------------------------------------------- Pyro's private names
def test_pyro_has_the_private_names_that_nuts_needs():
    """`LockstepNUTS` stands on them: a version of Pyro without them must not be allowed."""
    assert version("pyro-ppl").startswith("1.9."), "try the tests, and move the pin in pyproject"
    kernel = pyro.infer.NUTS(potential_fn=lambda z: (z["u"] ** 2).sum() / 2, full_mass=True)
    kernel.initial_params = {"u": torch.zeros(2, dtype=torch.float64)}
    kernel.setup(10)
    for name in (
        "_adapter", "_direction_threshold", "_find_reasonable_step_size", "_max_sliced_energy",
        "_max_stepsize", "_max_tree_depth", "_min_stepsize", "_t", "_warmup_steps",
        "inverse_mass_matrix", "step_size",
    ):  # fmt: skip
        assert hasattr(kernel, name), f"pyro.infer.NUTS has no {name} any more"
    assert list(inspect.signature(kernel._adapter.step).parameters) == ["t", "z", "accept_prob",
                                                                        "z_grad"]  # fmt: skip
