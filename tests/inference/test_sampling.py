"""NUTS against grids, emcee and Pyro's own; posteriors without an emulator; files and figures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pyro = pytest.importorskip("pyro")
arviz = pytest.importorskip("arviz")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from helpers.analytic_emulator import HOD, AnalyticEmulator  # noqa: E402
from pysoftcorr import plots  # noqa: E402
from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.inference import (  # noqa: E402
    LogPosterior,
    Normal,
    Observation,
    Posterior,
    Priors,
    SimulatedModel,
    TruncatedNormal,
    Uniform,
    sample_posterior,
)
from pysoftcorr.inference.compiled import ValueAndGradient  # noqa: E402
from pysoftcorr.inference.sampling import _feet, _foot  # noqa: E402
from pysoftcorr.mocks import (  # noqa: E402
    HaloCatalog,
    HODModel,
    alignment_sums,
    expected_correlations,
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def emulator():
    return AnalyticEmulator()


@pytest.fixture(scope="module")
def unaligned(emulator):
    """The paper's experiment on the stand-in: a curved, correlated density with bounds."""
    return LogPosterior(emulator, Observation.unaligned(emulator.edges), fixed=HOD)


@pytest.fixture(scope="module")
def drawn(unaligned):
    return sample_posterior(unaligned, chains=4, warmup=300, draws=700, seed=3)


def on_grid(density, lows, highs, n=241):
    """Means, standard deviations and correlation of two parameters by brute force."""
    axes = [np.linspace(lo, hi, n) for lo, hi in zip(lows, highs, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    log_p = density(points)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = np.array([(p * points[..., k]).sum() for k in range(2)])
    centered = points - mean
    covariance = np.einsum("ij,ijk,ijl->kl", p, centered, centered)
    sd = np.sqrt(np.diag(covariance))
    return mean, sd, covariance[0, 1] / sd.prod()


def agrees(posterior, mean, sd, correlation=None, sigmas=4.5):
    """Within so many Monte-Carlo errors; the sd's is sd sqrt(kurtosis - 1)/(2 sqrt(ESS))."""
    rows = posterior.diagnostics()
    for k, name in enumerate(posterior.names):
        row, x = rows[name], posterior.flat[:, k]
        assert abs(row["mean"] - mean[k]) < sigmas * row["mcse"], name
        ess = min(row["ess_bulk"], row["ess_tail"])
        kurtosis = np.mean((x - x.mean()) ** 4) / x.var() ** 2
        error = row["sd"] * np.sqrt(kurtosis - 1) / (2 * np.sqrt(ess))
        assert abs(row["sd"] - sd[k]) < sigmas * error, name
    if correlation is not None:
        ess = min(row["ess_bulk"] for row in rows.values())
        found = np.arctanh(np.corrcoef(posterior.flat.T)[0, 1])
        # Fisher's z; 1.5: its error is that of a normal distribution, which this is not.
        assert abs(found - np.arctanh(correlation)) < 1.5 * sigmas / np.sqrt(ess)


# ---------------------------------------------------------------------- against other samplers
def test_nuts_against_a_grid(unaligned, drawn):
    mean, sd, correlation = on_grid(unaligned, (-1, -1), (1, 1))
    assert correlation < -0.5
    agrees(drawn, mean, sd, correlation)
    assert drawn.divergences == 0
    assert drawn.problems() == []
    assert drawn.settings["compiled"]
    assert drawn.settings["closed_form"]


@pytest.mark.slow
def test_nuts_against_emcee(emulator):
    """Other priors, a covariance, parameters of the HOD."""
    emcee = pytest.importorskip("emcee")
    free = ("mu_cen", "logMmin", "alpha")
    priors = {"mu_cen": TruncatedNormal(0.2, 0.5, -1, 1), "logMmin": Normal(12.0, 0.1),
              "alpha": Uniform(0.7, 1.3)}  # fmt: skip
    truth = torch.tensor([0.4, 0.3, *HOD.values()], dtype=torch.float64)
    made = emulator.mean_and_std(truth)
    rng = np.random.default_rng(1)
    values = {n: made[n][0].numpy() * (1 + 0.05 * rng.normal(size=6)) for n in ("xi", "omega")}
    sigma = np.concatenate([0.3 * np.abs(v) + 1e-3 for v in values.values()])
    shape = 0.4 ** np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
    data = Observation(emulator.edges, **values, covariance=shape * np.outer(sigma, sigma))
    fixed = {**{k: v for k, v in HOD.items() if k not in free}, "mu_sat": 0.3}
    density = LogPosterior(emulator, data, free=free, fixed=fixed, priors=priors)
    found = sample_posterior(density, chains=2, warmup=200, draws=500, seed=1, mass="diagonal")

    walkers = 96
    start = density.priors.draw(walkers, rng)
    sampler = emcee.EnsembleSampler(walkers, 3, density, vectorize=True)
    sampler._random.seed(4)
    sampler.run_mcmc(start, 700)
    chain = sampler.get_chain(discard=200)
    ess = chain.shape[0] * walkers / sampler.get_autocorr_time(tol=0).max()
    theirs = chain.reshape(-1, 3)
    rows = found.diagnostics()
    for k, name in enumerate(density.names):
        row, sd = rows[name], theirs[:, k].std()
        error = np.hypot(row["mcse"], sd / np.sqrt(ess))
        assert abs(row["mean"] - theirs[:, k].mean()) < 4.5 * error
        # Nearly normal: sd's error is sd/sqrt(2 ESS), doubled.
        error = sd * np.hypot(1 / np.sqrt(row["ess_tail"]), 1 / np.sqrt(ess)) * np.sqrt(2)
        assert abs(row["sd"] - sd) < 4.5 * error
    assert found.names == free


@pytest.mark.slow
def test_nuts_against_pyros_own(unaligned):
    """Pyro's own writing of the kernel, on the same potential: mean, sd and acceptance."""
    kernel = pyro.infer.NUTS(potential_fn=lambda z: unaligned.potential(z["u"]), full_mass=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        mcmc = pyro.infer.MCMC(
            kernel, num_samples=250, warmup_steps=100, disable_progbar=True,
            initial_params={"u": torch.zeros(2, dtype=torch.float64)},
        )  # fmt: skip
        mcmc.run()
    theirs = unaligned.priors.physical(mcmc.get_samples()["u"].numpy())
    ours = sample_posterior(unaligned, chains=1, warmup=100, draws=250, seed=2)
    for k, row in enumerate(ours.diagnostics().values()):
        x = theirs[:, k][None]
        error = np.hypot(float(arviz.mcse(x)), row["mcse"])
        assert abs(x.mean() - row["mean"]) < 4.5 * error
        ess = min(float(arviz.ess(x, method="tail")), row["ess_tail"])
        assert abs(x.std() - row["sd"]) < 4.5 * row["sd"] * np.sqrt(2 / ess)


# ---------------------------------------------------------------------- how it runs
@pytest.mark.slow
def test_a_chain_depends_on_its_own_seed_alone(unaligned):
    """Together or apart, compiled or not: rounding grows along a chain, so only short ones."""
    options = {"warmup": 5, "draws": 3, "seed": 7}
    together = sample_posterior(unaligned, chains=3, **options)
    again = sample_posterior(unaligned, chains=3, **options)
    np.testing.assert_array_equal(together.draws, again.draws)
    plain = sample_posterior(unaligned, chains=3, compiled=False, **options)
    assert not plain.settings["compiled"]
    np.testing.assert_allclose(plain.draws, together.draws, rtol=1e-6, atol=1e-9)
    other = sample_posterior(unaligned, chains=3, warmup=5, draws=3, seed=8)
    assert not np.allclose(other.draws, together.draws)


def test_global_random_state_is_left_alone(unaligned):
    torch.manual_seed(5)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    sample_posterior(unaligned, chains=2, warmup=10, draws=2, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_problems_are_said(emulator, unaligned):
    short = sample_posterior(unaligned, chains=2, warmup=20, draws=10, seed=1)
    assert any("effective draws below 100" in text for text in short.problems())
    single = sample_posterior(unaligned, chains=1, warmup=5, draws=2, seed=1)
    assert np.isnan(single.diagnostics()["mu_cen"]["r_hat"])
    assert single.to_dict()["parameters"]["mu_cen"]["r_hat"] is None
    said = single.problems()
    assert any("not defined: the 2 draws of each chain are too few" in text for text in said)
    assert not any("nan" in text for text in said)
    shallow = sample_posterior(unaligned, chains=1, warmup=5, draws=20, max_tree_depth=1, seed=1)
    assert shallow.stats["n_steps"].max() == 1
    assert any("greatest tree depth" in text for text in shallow.problems())


@pytest.mark.slow
def test_the_acceptance_aimed_at_is_reached(unaligned):
    options = {"chains": 2, "warmup": 400, "draws": 200, "seed": 4}
    low, high = (sample_posterior(unaligned, target_accept=a, **options) for a in (0.6, 0.95))
    assert low.acceptance < high.acceptance
    assert high.acceptance > 0.9
    assert low.stats["step_size"].max() > high.stats["step_size"].max()


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"chains": 0}, ValueError, "chains = 0: must be at least 1"),
        ({"draws": 1.5}, TypeError, "draws = 1.5: must be a whole number"),
        ({"mass": "full"}, ValueError, "mass = 'full'"),
        ({"target_accept": 1.0}, ValueError, "target_accept = 1.0: must be .*below 1"),
        ({"seed": -1}, ValueError, "seed = -1"),
        ({"free": "alpha"}, TypeError, "free: a LogPosterior has its own"),
    ],
)
def test_bad_settings(unaligned, options, error, text):
    with pytest.raises(error, match=text):
        sample_posterior(unaligned, **options)


def test_no_start_of_finite_density(emulator):
    class Broken(AnalyticEmulator):
        def mean_and_std(self, params):
            made = super().mean_and_std(params)
            return {name: (mean * np.nan, std) for name, (mean, std) in made.items()}

    broken = Broken()
    with pytest.raises(ValueError, match="the posterior density is 0 or NaN at"):
        sample_posterior(broken, Observation.unaligned(broken.edges), fixed=HOD, seed=1)


def test_an_interrupt_leaves_nothing_behind(unaligned, monkeypatch, tmp_path):
    calls = []

    def interrupted(*_):
        calls.append(1)
        if len(calls) > 50:
            raise KeyboardInterrupt
        return 0.0

    from pysoftcorr.inference import nuts

    threads = torch.get_num_threads()
    monkeypatch.setattr(nuts, "_log_sum", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample_posterior(unaligned, chains=2, seed=1)
    assert torch.get_num_threads() == threads


# ---------------------------------------------------------------------- without an emulator
@pytest.fixture(scope="module")
def halos():
    return HaloCatalog.simulate(60.0, 64, mmin=3e11, seed=1)


def test_simulated_model_is_the_expectation(halos):
    edges = np.geomspace(0.2, 16.0, 8)
    hod = HODModel.preset("mstar10.0")
    galaxies = [hod.populate(halos, seed=s) for s in (1, 2)]
    noise = {name: np.full(7, 0.01) for name in ("omega", "eta")}
    model = SimulatedModel([alignment_sums(g, bins=edges) for g in galaxies], hod, noise=noise)
    for mu in ((0.7, -0.3), (-1.0, 1.0), (0.0, 0.0)):
        exact = [expected_correlations(g, *mu, bins=edges) for g in galaxies]
        params = torch.tensor([*mu, *model.hod.values()], dtype=torch.float64)
        found = model.mean_and_std(params)
        for name in ("omega", "eta"):
            wanted = np.mean([getattr(e, name) for e in exact], axis=0)
            np.testing.assert_allclose(found[name][0], wanted, rtol=1e-9, atol=1e-12)
            assert (found[name][1] == 0.01).all()
    np.testing.assert_allclose(model.xi, [expected_correlations(g, 0, 0, bins=edges).xi
                                          for g in galaxies], rtol=1e-12)  # fmt: skip
    density = LogPosterior(model, Observation.unaligned(edges), fixed=hod)
    assert density.closed_form
    with pytest.raises(ValueError, match="alpha cannot be free: this model has it at 1 alone"):
        LogPosterior(model, Observation.unaligned(edges), free="mu_cen,alpha", fixed=hod)
    with pytest.raises(ValueError, match=r"logMmin = 12\.54 is outside"):
        LogPosterior(model, Observation.unaligned(edges), fixed=HODModel.preset("mstar10.5"))


@pytest.mark.slow
def test_posterior_of_the_simulation_over_an_emulators_noise(halos):
    edges = np.geomspace(0.2, 16.0, 8)
    emulator = Emulator.untrained("response", bins=edges, seed=2)
    hod = HODModel.preset("mstar10.0")
    model = SimulatedModel.simulate(halos, hod, noise=emulator, realizations=2, seed=1)
    again = SimulatedModel.simulate(halos, hod, noise=emulator, realizations=2, seed=1)
    np.testing.assert_array_equal(model.responses, again.responses)
    params = torch.tensor([0.3, 0.2, *model.hod.values()], dtype=torch.float64)
    np.testing.assert_allclose(
        model.mean_and_std(params)["omega"][1],
        emulator.mean_and_std(params)["omega"][1],
        rtol=1e-6,
    )
    density = LogPosterior(model, Observation.unaligned(edges), fixed=hod)
    found = sample_posterior(density, chains=2, warmup=200, draws=500, seed=1)
    mean, sd, _ = on_grid(density, (-1, -1), (1, 1), n=101)
    agrees(found, mean, sd)
    assert found.settings["model"]["realizations"] == 2


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"sums": []}, ValueError, "at least one"),
        ({"sums": [3]}, TypeError, r"sums\[0\] is no AlignmentSums"),
        ({"noise": 0.1}, TypeError, "must be an Emulator or a mapping"),
        ({"noise": {"omega": [0.1]}}, ValueError, "must be 3 numbers above 0"),
        ({"noise": {"wp": [0.1] * 3}}, ValueError, "'wp' is none of"),
    ],
)
def test_bad_simulations(halos, change, error, text):
    hod = HODModel.preset("mstar10.0")
    if "sums" not in change:
        galaxies = hod.populate(halos, seed=1)
        change["sums"] = [alignment_sums(galaxies, bins=[0.5, 2, 6, 16])]
    with pytest.raises(error, match=text):
        SimulatedModel(**{"hod": hod, "noise": {"omega": [0.1] * 3}, **change})


# ---------------------------------------------------------------------- files and figures
@pytest.mark.parametrize("suffix", [".nc", ".h5"])
def test_what_is_written_is_read(drawn, tmp_path, suffix):
    path = tmp_path / f"posterior{suffix}"
    drawn.write(path)
    back = Posterior.read(path)
    np.testing.assert_array_equal(back.draws, drawn.draws)
    assert back.names == drawn.names
    assert back.to_dict() == drawn.to_dict()
    for name, value in drawn.stats.items():
        np.testing.assert_array_equal(back.stats[name], value)
    for name, value in drawn.curves.items():
        np.testing.assert_array_equal(back.curves[name], value)
    np.testing.assert_array_equal(back.observation.vector, drawn.observation.vector)
    theirs = arviz.from_netcdf(str(path), engine="h5netcdf")
    assert float(arviz.rhat(theirs)["mu_cen"]) == drawn.diagnostics()["mu_cen"]["r_hat"]
    with pytest.raises(FileExistsError, match="overwrite=True"):
        drawn.write(path)
    drawn.write(path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_covariance_and_dropped_bins_survive_the_file(emulator, tmp_path):
    values = np.array([0.01, np.nan, 0.0, 0.01, 0.0, 0.0])
    data = Observation(emulator.edges, omega=values, errors={"omega": np.full(6, 0.003)},
                       on_bad="drop")  # fmt: skip
    found = sample_posterior(emulator, data, fixed=HOD, chains=1, warmup=5, draws=5, seed=1)
    found.write(tmp_path / "p.nc")
    back = Posterior.read(tmp_path / "p.nc").observation
    np.testing.assert_array_equal(back.covariance, data.covariance)
    assert back.rows.tolist() == data.rows.tolist()


def test_files_that_are_none(drawn, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        Posterior.read(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("text")
    with pytest.raises(ValueError, match="holds no posterior written by pysoftcorr"):
        Posterior.read(tmp_path / "text.nc")
    with pytest.raises(ValueError, match="unknown suffix"):
        drawn.write(tmp_path / "p.txt")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        drawn.write(tmp_path / "none" / "p.nc")
    (tmp_path / "text.nc").unlink()

    def broken(data, path):
        with open(path, "w") as file:
            file.write("half")
        raise KeyboardInterrupt

    monkeypatch.setattr("pysoftcorr.inference.netcdf.write", broken)
    with pytest.raises(KeyboardInterrupt):
        drawn.write(tmp_path / "p.nc")
    assert list(tmp_path.iterdir()) == []


def test_contours_hold_what_they_say():
    """Parts of a normal posterior, and of its draws, within the contours that corner draws."""
    draws = np.random.default_rng(3).normal(size=(4, 5000, 2))
    settings = {"sampler": "NUTS (pyro)", "seconds": 1.0}
    normal = Posterior(names=("a", "b"), draws=draws, stats={}, settings=settings)
    figure = plots.plot_corner(normal, levels=[0.6827, 0.9545])
    lines = figure.axes[2].collections[-1]
    paths = [path for path in lines.get_paths() if len(path)]
    assert len(paths) == 2
    for path, level in zip(paths, (0.9545, 0.6827), strict=True):
        # In two dimensions a part P lies within r^2 = -2 ln(1 - P); smoothing widens it.
        radius = np.hypot(*path.vertices.T)
        assert radius.mean() == pytest.approx(np.sqrt(-2 * np.log(1 - level)), rel=0.06)
        assert path.contains_points(normal.flat).mean() == pytest.approx(level, abs=0.03)


def test_corner_of_several(drawn):
    shifted = replace(drawn, draws=0.5 * drawn.draws)
    figure = plots.plot_corner({"one": drawn, "two": shifted}, truth={"mu_cen": 0.2})
    assert len(figure.axes) == 4
    top, _, pair, _ = figure.axes
    assert pair.get_xlabel() == r"$\mu_\mathrm{cen}$"
    assert pair.get_ylabel() == r"$\mu_\mathrm{sat}$"
    assert len(pair.collections) == 2 * 2  # fillings and lines, twice
    # Marginal densities: of one height, about their means, and within the axes.
    curves = [line.get_data() for line in top.lines if len(line.get_xdata()) > 2]
    for (x, y), posterior in zip(curves, (drawn, shifted), strict=True):
        assert y.max() == pytest.approx(1)
        mean = posterior.flat[:, 0].mean()
        assert (x * y).sum() / y.sum() == pytest.approx(mean, abs=0.02)
        assert y.max() < top.get_ylim()[1]
    # Quantiles of both, the truth.
    verticals = [line.get_xdata()[0] for line in top.lines if len(line.get_xdata()) == 2]
    for posterior in (drawn, shifted):
        wanted = np.quantile(posterior.flat[:, 0], [0.16, 0.5, 0.84])
        assert all(np.isclose(verticals, q, atol=2e-3).any() for q in wanted)
    assert 0.2 in verticals
    row = drawn.diagnostics()["mu_cen"]
    assert f"{row['median']:.2f}" in top.get_title()
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    masses = [f"{part} % of 2-D mass" for part in ("99.73", "95.45", "68.27")]
    assert said == ["one", "two", *masses, "median and 68 %", "truth"]
    with pytest.raises(ValueError, match="names: alpha"):
        plots.plot_corner(drawn, names=["alpha"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        plots.plot_corner(drawn, levels=[1.2])
    assert len(drawn.plot_corner(names=["mu_sat"]).axes) == 1
    few = replace(drawn, draws=drawn.draws[:1, :1])
    with pytest.raises(ValueError, match="1 draws of 2 parameters are too few"):
        plots.plot_corner(few)


def test_correlations_from_the_posterior(unaligned, drawn):
    figure = plots.plot_posterior_correlations(drawn, statistics=["omega"])
    (ax,) = figure.axes
    median = next(line for line in ax.lines if line.get_label() == "median")
    np.testing.assert_allclose(median.get_xdata(), drawn.observation.r)
    np.testing.assert_allclose(median.get_ydata(), np.median(drawn.curves["omega"], axis=0))
    # The curves are the model at draws: each is found among those of all draws.
    every = unaligned.predict(drawn.flat)["omega"][0]
    for curve in drawn.curves["omega"][:20]:
        assert np.abs(every - curve).max(axis=1).min() < 1e-12
    with pytest.raises(ValueError, match="wp not among"):
        plots.plot_posterior_correlations(drawn, statistics=["wp"])
    with pytest.raises(ValueError, match="no correlation functions"):
        plots.plot_posterior_correlations(replace(drawn, observation=None))


def test_traces(drawn):
    figure = drawn.plot_trace()
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_ydata(), drawn.draws[1, :, 0])
    assert len(figure.axes) == 4


# ---------------------------------------------------------------------- where chains begin
class TwoValleys:
    """Two normal densities in the prior's unbounded coordinates, of unlike mass and width."""

    def __init__(self, far=0.02):
        self.names = ("logMmin", "alpha")
        self.priors = Priors({"logMmin": Uniform(11, 14), "alpha": Uniform(0.5, 1.5)})
        self.peaks = torch.tensor([[-1.5, 0.0], [2.0, 0.3]], dtype=torch.float64)
        spread = torch.tensor([[[0.04, 0.03], [0.03, 0.09]], [[0.01, 0], [0, 0.01]]]).double()
        self.inverse, self.spread = torch.linalg.inv(spread), spread
        self.part = torch.tensor([1 - far, far], dtype=torch.float64)

    def potential(self, u):
        away = u[..., None, :] - self.peaks
        square = torch.einsum("...ki,kij,...kj->...k", away, self.inverse, away)
        height = self.part.log() - 0.5 * torch.logdet(self.spread)
        return -torch.logsumexp(height - 0.5 * square, dim=-1)

    def __call__(self, params):
        with torch.no_grad():
            return -self.potential(torch.tensor(self.priors.unbounded(params))).numpy()


def chains_begin(density, chains, seed):
    points = density.priors.unbounded(density.priors.draw(4, np.random.default_rng(seed)))
    potential = ValueAndGradient(density.potential, 2, batch=4, probes=points)
    starts, covariances = _feet(density, potential, chains, seed)
    return starts, np.array(covariances)


def test_chains_begin_where_the_mass_is_with_its_covariance():
    density = TwoValleys()
    starts, covariances = chains_begin(density, 40, 5)
    wanted = density.spread.numpy()
    side = (starts[:, 0] > 0).astype(int)
    np.testing.assert_allclose(covariances, wanted[side], rtol=2e-3, atol=1e-5)
    # By the mass of each valley: 2 % of 40 chains, and hardly ever four.
    assert side.sum() < 4
    away = starts - density.peaks.numpy()[side]
    square = np.einsum("ni,nij,nj->n", away, np.linalg.inv(wanted)[side], away)
    assert (square < 2 * 2 * 2).all()
    assert len(np.unique(starts, axis=0)) == 40


def test_a_second_valley_of_like_mass_is_not_left_out():
    starts, _ = chains_begin(TwoValleys(far=0.5), 40, 7)
    # Descents find both unless all four of the best draws lie on one side.
    assert 0 < (starts[:, 0] > 0).sum() < 40


def test_the_curvature_of_a_flat_potential_is_bounded():
    flat = ValueAndGradient(lambda u: 1e-6 * u.square().sum(-1) + 2 * u[..., 0].square(), 2)
    foot, covariance = _foot(flat, np.array([1.0, 1.0]))
    np.testing.assert_allclose(foot[0], 0, atol=1e-3)
    np.testing.assert_allclose(np.diag(covariance), [0.25, 10], rtol=1e-3)


def test_a_free_occupation_is_sampled_from_a_short_warmup(emulator):
    """Widths that differ a hundredfold: the curvature is known before the first step."""
    truth = {"mu_cen": 0.5, "mu_sat": 0.2, **HOD}
    row = torch.tensor(list(truth.values()), dtype=torch.float64)
    means = {k: v[0].numpy() for k, v in emulator.mean_and_std(row).items()}
    errors = {"xi": 0.01 * means["xi"], "omega": np.full(6, 0.003)}
    data = Observation(emulator.edges, xi=means["xi"], omega=means["omega"], errors=errors)
    free = ("mu_cen", "mu_sat", "logMmin", "alpha")
    fixed = {name: value for name, value in HOD.items() if name not in free}
    density = LogPosterior(emulator, data, free=free, fixed=fixed)
    posterior = sample_posterior(
        density, chains=4, warmup=150, draws=600, target_accept=0.9, seed=1
    )
    assert not posterior.problems()
    assert posterior.stats["n_steps"].max() < 128
    flat = posterior.draws.reshape(-1, 4)
    z = (flat.mean(axis=0) - [truth[name] for name in density.names]) / flat.std(axis=0)
    assert (np.abs(z) < 1).all()
