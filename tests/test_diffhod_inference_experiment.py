"""The experiments of DiffHOD on small boxes: mock data, calibration, both posteriors, resuming."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")
pytest.importorskip("emcee")
arviz = pytest.importorskip("arviz")

from pysoftcorr.cli.diffhod import SETTINGS  # noqa: E402
from pysoftcorr.diffhod import power_spectrum  # noqa: E402
from pysoftcorr.diffhod.calibration import calibrate  # noqa: E402
from pysoftcorr.diffhod.corrected import Crowd  # noqa: E402
from pysoftcorr.diffhod.exact import ExactPower, mock_covariance  # noqa: E402
from pysoftcorr.diffhod.experiment import _identity, run_power_experiment  # noqa: E402
from pysoftcorr.diffhod.laplace import draw_within, laplace  # noqa: E402
from pysoftcorr.diffhod.preparation import Bench, prepare  # noqa: E402
from pysoftcorr.diffhod.settings import FIDUCIAL, PowerSettings  # noqa: E402
from pysoftcorr.diffhod.smooth import SmoothPower  # noqa: E402
from pysoftcorr.diffhod.strata import StratifiedDraws  # noqa: E402
from pysoftcorr.diffhod.strengths import (  # noqa: E402
    STRENGTHS,
    StrengthSettings,
    run_strength_experiment,
)
from pysoftcorr.diffhod.target import PRIORS, GaussianLikelihood, Target  # noqa: E402
from pysoftcorr.diffhod.workers import Workers  # noqa: E402
from pysoftcorr.mocks import HaloCatalog, HODModel  # noqa: E402

#: A box whose galaxies are few: a gradient takes milliseconds.
THETA = (12.5, 0.4, 12.0, 13.6, 1.0)
SMALL = {
    "fiducial": THETA, "mesh": 16, "k_max": 0.6, "covariance": 20, "calibration": 12,
    "chains": 2, "warmup": 12, "steps": 6, "walkers": 10, "burn": 4, "walker_steps": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def haloes():
    return HaloCatalog.simulate(60.0, 32, mmin=1e12, seed=1)


@pytest.fixture(scope="module")
def made(haloes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    return run_power_experiment(haloes, folder, settings=PowerSettings(**SMALL)), folder


# ---------------------------------------------------------------------- the exact side
def test_exact_power_is_that_of_the_populated_galaxies(haloes):
    exact = ExactPower(haloes, mesh=16, k_max=0.6, seed=4)
    each = []
    for seed in (3, 2**40, 5):
        names = PRIORS.names
        galaxies = HODModel(**dict(zip(names, THETA, strict=True))).populate(haloes, seed=int(seed))
        found = power_spectrum(galaxies.position, boxsize=60.0, mesh=16, k_max=0.6)
        np.testing.assert_allclose(found.k, exact.k, rtol=1e-12)
        each.append(found.power)
    np.testing.assert_allclose(exact.spectra(THETA, [3, 2**40, 5]), each, rtol=1e-9)
    np.testing.assert_array_equal(exact(THETA), exact(THETA))
    one, other = exact.mock(THETA, seed=1), exact.mock(THETA, seed=2)
    assert (one != other).any()
    assert (one != exact(THETA)).all()
    with pytest.raises(ValueError, match="theta must be logMmin, sigma_logM"):
        exact([1.0, 2.0])
    with pytest.raises(ValueError, match="makes no galaxies"):
        exact([16.0, 0.1, 16.0, 17.0, 1.0])


def exact_model():
    return HODModel(**dict(zip(PRIORS.names, THETA, strict=True)))


def test_a_group_is_the_mean_of_its_catalogues(haloes):
    exact = ExactPower(haloes, mesh=16, k_max=0.6, realisations=3, spare=1, seed=4)
    means = exact_model().mean_ncen(haloes.mass), exact_model().mean_nsat(haloes.mass)
    draws = StratifiedDraws(haloes, 3, seed=9)
    each = [
        power_spectrum(draws.draw(r, *means).position, boxsize=60.0, mesh=16, k_max=0.6).power
        for r in range(3)
    ]
    np.testing.assert_allclose(exact.group(THETA, draws), np.mean(each, axis=0), rtol=1e-9)
    np.testing.assert_array_equal(exact.drawn(THETA, 9), exact.group(THETA, draws))
    both = exact.each(THETA)
    np.testing.assert_array_equal(both[0], exact(THETA))
    assert (both[1] != both[0]).all()


def test_each_catalogue_of_a_group_is_a_fair_draw(haloes):
    """Numbers of galaxies of one catalogue over 200 groups; those of a group are even."""
    model = exact_model()
    means = model.mean_ncen(haloes.mass), model.mean_nsat(haloes.mass)
    number, size = 200, 4
    totals, squares = np.zeros((2, 2))
    for seed in range(number):
        draws = StratifiedDraws(haloes, size, seed=seed)
        drawn = [draws.draw(r, *means) for r in range(size)]
        found = np.array([len(drawn[2].centrals), len(drawn[2].host)])
        totals += found
        squares += found**2
        centrals = np.bincount(np.concatenate([d.centrals for d in drawn]), minlength=len(haloes))
        assert (abs(centrals - size * means[0]) < 1).all()
    variance = [(means[0] * (1 - means[0])).sum(), means[1].sum()]
    for total, square, mean, v in zip(totals, squares, means, variance, strict=True):
        # 4 standard errors of the mean, and of the variance of 200
        assert abs(total / number - mean.sum()) < 4 * math.sqrt(v / number)
        assert abs((square / number - (total / number) ** 2) / v - 1) < 4 * math.sqrt(2 / number)


def test_a_group_has_less_noise_than_independent_catalogues(haloes):
    exact = ExactPower(haloes, mesh=16, k_max=0.6, realisations=8, seed=4)
    groups = np.array([exact.drawn(THETA, seed) for seed in range(60)])
    single = np.array([exact.spectra(THETA, [seed])[0] for seed in range(200)])
    # Unbiased: 5 bins beyond 3.5 errors once in 400 tries.
    error = np.sqrt(groups.var(axis=0, ddof=1) / 60 + single.var(axis=0, ddof=1) / 200)
    assert (abs(groups.mean(axis=0) - single.mean(axis=0)) < 3.5 * error).all()
    # Independent, they would have 1/8 of the variance of one, give or take 20 % (60 of them).
    ratio = (groups.var(axis=0, ddof=1) / single.var(axis=0, ddof=1)).mean()
    assert ratio < 0.6 / 8


def test_covariance_has_its_floor():
    rng = np.random.default_rng(1)
    spectra = rng.normal([100.0, 10.0], [5.0, 1.0], size=(200, 2))
    mean, covariance = mock_covariance(spectra, floor=8e-5)
    np.testing.assert_allclose(mean, spectra.mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(spectra.T) + 8e-5 * np.diag(mean**2))
    with pytest.raises(ValueError, match="at least n \\+ 2 realisations"):
        mock_covariance(spectra[:3])
    with pytest.raises(ValueError, match="floor = -1"):
        mock_covariance(spectra, floor=-1)


# ---------------------------------------------------------------------- fixed random numbers
def calibration_problem(number, *, bend=0.0):
    """A model whose fixed noise is an offset, a slope, a bend and a ripple of shorter range."""
    rng = np.random.default_rng(2)
    bins, realisations = 6, 4
    points = rng.normal(size=(number, 3))
    covariance = np.diag(rng.uniform(0.5, 2.0, bins))
    truth = points @ rng.normal(size=(3, bins))
    root = np.sqrt(np.diag(covariance))
    slopes = 0.5 * rng.normal(size=(realisations, 3, bins)) * root
    offsets = 2.0 * rng.normal(size=(realisations, 1, bins)) * root
    bends = bend * rng.normal(size=(realisations, 1, bins)) * root
    phase = rng.uniform(0, 2 * np.pi, (realisations, 1, bins))
    waves = 5.0 * rng.normal(size=(realisations, 3, bins))
    ripple = 0.4 * math.sqrt(2) * np.sin(points @ waves + phase) * root
    square = (points[:, :1] * points[:, 1:2])[None]
    fixed = truth + offsets + points @ slopes + square * bends + ripple
    drawn = truth[:, None] + rng.normal(size=(number, 2, bins)) * root
    return points, np.moveaxis(fixed, 0, 1), drawn, covariance, truth


@pytest.mark.parametrize(("number", "coefficients"), [(30, 4), (1000, 10)])
def test_calibration_takes_out_what_is_smooth_and_measures_the_rest(number, coefficients):
    bend = 1.0 if coefficients == 10 else 0.0
    points, fixed, drawn, covariance, truth = calibration_problem(number, bend=bend)
    root = np.sqrt(np.diag(covariance))
    found = calibrate(points, fixed, drawn, covariance, quadratic=coefficients == 10)
    assert len(found.coefficients) == coefficients
    mean = fixed.mean(axis=1)
    corrected = np.array([found(p, m) for p, m in zip(points, mean, strict=True)])
    left = (corrected - truth) / root
    # The ripple of four, variance 0.16/4, and the error of the fit: so many numbers, two draws.
    expected = 0.16 / 4 + coefficients / number / 2
    assert np.mean(left**2) == pytest.approx(expected, rel=0.5 if number == 30 else 0.15)
    assert abs(left.mean(axis=0)).max() < 5 / math.sqrt(2 * number)
    assert found.scatter == pytest.approx(0.16 / 4, rel=0.35 if number == 30 else 0.1)
    before = (mean - truth) / root
    assert np.mean(before**2) > 5 * np.mean(left**2)
    assert found.offset == pytest.approx(math.sqrt(np.mean(before**2)), rel=0.2)
    for j in (0, 1):
        tensor = found(torch.as_tensor(points[j]), torch.as_tensor(mean[j]))
        np.testing.assert_allclose(tensor.numpy(), corrected[j], rtol=1e-12)


def test_calibration_with_few_sets():
    points, fixed, drawn, covariance, _ = calibration_problem(200)
    found = calibrate(points, fixed, drawn, covariance)
    alone = calibrate(points, fixed[:, :1], drawn, covariance)
    assert alone.scatter is None
    # With spare sets: the correction is that of those used, the scatter what one of them has.
    used = calibrate(points, fixed, drawn, covariance, used=1)
    np.testing.assert_array_equal(used.coefficients, alone.coefficients)
    assert used.scatter == pytest.approx(4 * found.scatter, rel=1e-12)


def test_calibration_refuses_too_few_points():
    with pytest.raises(ValueError, match="5 points: 2 parameters take at least 6"):
        calibrate(np.zeros((5, 2)), np.zeros((5, 1, 3)), np.zeros((5, 1, 3)), np.eye(3))
    with pytest.raises(ValueError, match="11 points: 2 parameters take at least 12"):
        calibrate(
            np.zeros((11, 2)), np.zeros((11, 1, 3)), np.zeros((11, 1, 3)), np.eye(3),
            quadratic=True,
        )  # fmt: skip
    with pytest.raises(ValueError, match="must be \\(p, d\\)"):
        calibrate(np.zeros((5, 2)), np.zeros((5, 3)), np.zeros((5, 3)), np.eye(3))


def test_smooth_power_does_not_remember_where_it_was(haloes):
    low, high = np.array(THETA) - 0.05, np.array(THETA) + 0.05
    options = {"seed": 3, "realisations": 2, "mesh": 16, "k_max": 0.6, "bounds": (low, high)}
    first = SmoothPower(haloes, **options)
    expected = first(THETA)
    assert first.each(THETA).shape == (2, expected.size)
    other = SmoothPower(haloes, **options)
    other([13.2, 0.1, 12.9, 14.1, 1.3])
    np.testing.assert_array_equal(other(THETA), expected)
    tensor = torch.tensor(THETA, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(other(tensor).sum(), tensor)[0].numpy()
    step = 1e-5
    for j in range(5):
        up, down = np.array(THETA), np.array(THETA)
        up[j] += step
        down[j] -= step
        by_difference = (first(up).sum() - first(down).sum()) / (2 * step)
        assert slope[j] == pytest.approx(by_difference, rel=1e-4, abs=1e-3 * abs(slope).max())
    assert (other.spectra(THETA, [1, 2])[0] != other.spectra(THETA, [2])[0]).any()
    np.testing.assert_array_equal(other.spectra(THETA, [1, 2])[1], other.spectra(THETA, [2])[0])


def test_spare_sets_are_given_and_not_averaged(haloes):
    options = {"seed": 3, "mesh": 16, "k_max": 0.6, "reference": THETA}
    plain = SmoothPower(haloes, realisations=2, **options)
    spare = SmoothPower(haloes, realisations=2, spare=1, **options)
    assert spare.each(THETA).shape == (3, plain.k.size)
    np.testing.assert_array_equal(spare(THETA), plain(THETA))
    np.testing.assert_allclose(spare.each(THETA)[:2].mean(dim=0), plain(THETA), rtol=1e-12)
    assert (spare.each(THETA)[2] != spare.each(THETA)[0]).all()


def test_laplace_of_a_bounded_prior():
    model = Target(lambda t: t, GaussianLikelihood([0.7, -3.0], np.eye(2)), STRENGTHS)
    peak, covariance = laplace(model, [0.0, 0.0])
    assert peak[0] == pytest.approx(0.7, abs=1e-6)
    assert peak[1] == pytest.approx(-0.9)  # half of a tenth of the range within
    np.testing.assert_allclose(covariance, np.eye(2), atol=1e-9)
    points = draw_within(STRENGTHS, peak, covariance, 50, np.random.default_rng(1))
    assert (abs(points) < 1).all()
    with pytest.raises(ValueError, match="lies out of the priors' bounds"):
        draw_within(STRENGTHS, peak + 50, 1e-6 * covariance, 1, np.random.default_rng(1))


# ---------------------------------------------------------------------- the experiment
def test_experiment_keeps_all_that_it_found(made):
    result, folder = made
    assert result.nuts.draws.shape == (2, 6, 5)
    assert result.emcee.draws.shape == (10, 6, 5)
    assert result.emcee.evaluations == 60
    document = json.loads((folder / "summary.json").read_text())
    assert document["settings"]["fiducial"] == list(THETA)
    assert document == json.loads(json.dumps(result.to_dict()))
    assert (folder / "table.txt").read_text() == result.report() + "\n"
    for name, posterior in (("nuts", result.nuts), ("emcee", result.emcee)):
        data = arviz.from_netcdf(str(folder / f"{name}.nc"), engine="h5netcdf")
        found = np.stack([data.posterior[n].values for n in PRIORS.names], axis=-1)
        np.testing.assert_array_equal(found, posterior.draws)
        np.testing.assert_array_equal(data.observed_data["power"], result.prepared.data)
    assert (result.nuts.draws[..., 1] > 0.01).all()
    p = result.prepared
    assert set(p.calibrations) == {"smooth", "exact"}
    assert 0 < p.model_variance < 0.5
    # Reweighted points have far less noise of their own than two catalogues of galaxies.
    assert p.calibrations["smooth"].scatter < 0.3 * p.calibrations["exact"].scatter
    np.testing.assert_array_equal(p.likelihood().covariance, (1 + p.model_variance) * p.covariance)


def test_the_same_call_reads_what_is_there(made, haloes, monkeypatch):
    result, folder = made
    monkeypatch.setattr(
        "pysoftcorr.diffhod.preparation.mock_covariance",
        lambda *a, **k: pytest.fail("made anew"),
    )
    again = run_power_experiment(haloes, folder, settings=PowerSettings(**SMALL))
    np.testing.assert_array_equal(again.nuts.draws, result.nuts.draws)
    np.testing.assert_array_equal(again.emcee.draws, result.emcee.draws)
    assert again.to_dict() == result.to_dict()


def test_processes_and_an_interruption_change_nothing(made, haloes, tmp_path):
    """Two workers, and a run that was killed: the bits of one process in one go."""
    result, _ = made
    settings = PowerSettings(**SMALL)
    run_power_experiment(haloes, tmp_path, settings=settings, workers=2, emcee=False)
    (tmp_path / "nuts-1.h5").unlink()  # as if killed before that chain had begun
    again = run_power_experiment(haloes, tmp_path, settings=settings, emcee=False)
    np.testing.assert_array_equal(again.nuts.draws, result.nuts.draws)


def test_relaxed_trials_are_an_option(haloes, tmp_path):
    settings = PowerSettings(**{**SMALL, "draw": "relaxed", "tau": 0.5, "steps": 4})
    made = run_power_experiment(haloes, tmp_path, settings=settings, emcee=False)
    assert made.nuts.draws.shape == (2, 4, 5)
    bench = Bench(haloes, tmp_path / "problem.h5", {"noise": 0, "seed": 1})
    bench.identity.update(draw="relaxed", tau=0.5, realisations=2, modulate=False, mesh=16,
                          k_max=0.6)  # fmt: skip
    near = np.array(THETA), np.diag([0.01] * 5)
    assert bench.smooth(near).model.reference is None
    assert bench.smooth(near).model.realisations == 2
    assert "smooth: " in made.report()


def test_priors_end_at_a_crowd_for_both_samplers(made, haloes):
    """Where 20 times as many galaxies are expected; neither model is asked there."""
    _, folder = made
    identity = json.loads(h5py.File(folder / "problem.h5").attrs["identity"])
    bench = Bench(haloes, folder / "problem.h5", identity)
    model = HODModel(**dict(zip(PRIORS.names, THETA, strict=True)))
    mean = (model.mean_ncen(haloes.mass) + model.mean_nsat(haloes.mass)).sum()
    few, many = list(THETA), list(THETA)
    few[3], many[3] = THETA[3] - 1.0, THETA[3] - 3.0
    for theta, there in ((few, True), (many, False)):
        other = HODModel(**dict(zip(PRIORS.names, theta, strict=True)))
        number = (other.mean_ncen(haloes.mass) + other.mean_nsat(haloes.mass)).sum()
        assert (number < 20 * mean) == there
        for target in (bench.exact_target(), bench.smooth_target()):
            assert math.isfinite(target.log_posterior(theta)) == there
    with pytest.raises(ValueError, match="galaxies are expected, the most is"):
        bench.crowd().refuse(many)


def prepared_by(haloes, folder, **changes):
    settings = PowerSettings(**{**SMALL, **changes})
    bench = Bench(haloes, folder / "problem.h5", _identity(haloes, settings))
    with Workers(bench) as workers:
        return prepare(bench, workers, lambda text: None)


def test_only_whole_galaxies_are_corrected_to_second_order(haloes, tmp_path, monkeypatch):
    """And only if there are points enough."""
    monkeypatch.setattr("pysoftcorr.diffhod.preparation._QUADRATIC", 42)
    (tmp_path / "few").mkdir()
    sizes = {
        number: {
            name: len(c.coefficients)
            for name, c in prepared_by(haloes, folder, calibration=number).calibrations.items()
        }
        for number, folder in ((41, tmp_path / "few"), (42, tmp_path))
    }
    assert sizes == {41: {"smooth": 6, "exact": 6}, 42: {"smooth": 6, "exact": 21}}


def test_noise_that_cannot_be_measured_is_all_in_the_likelihood(haloes, tmp_path):
    """One set of relaxed trials; whole galaxies have a spare group."""
    (tmp_path / "relaxed").mkdir()
    found = prepared_by(haloes, tmp_path / "relaxed", realisations=1, draw="relaxed", tau=0.5)
    assert found.calibrations["smooth"].scatter is None
    assert found.model_variance == 1
    found = prepared_by(haloes, tmp_path, realisations=1)
    assert found.model_variance == found.calibrations["exact"].scatter < 1


def test_a_sample_far_sparser_than_the_priors(haloes, tmp_path):
    """Where the priors begin there are more than 20 times as many galaxies."""
    sparse = (13.6, 0.2, 12.5, 14.3, 1.0)
    crowd = Crowd(haloes.mass, sparse, modulate=False)
    assert crowd._galaxies(PRIORS.mean) > 20 * crowd._galaxies(sparse)
    found = prepared_by(haloes, tmp_path, fiducial=sparse)
    assert found.centre[0] > PRIORS.mean[0] + 0.3  # which are 3 sigma off


def test_other_settings_do_not_mix(made, haloes):
    _, folder = made
    with pytest.raises(ValueError, match=r"density = 16.0 there, 8.0 here.*overwrite=True"):
        run_power_experiment(haloes, folder, settings=PowerSettings(**{**SMALL, "density": 8.0}))
    # A temperature is of relaxed trials alone.
    again = run_power_experiment(haloes, folder, settings=PowerSettings(**{**SMALL, "tau": 0.2}))
    assert again.nuts.draws.shape == (2, 6, 5)
    with pytest.raises(ValueError, match="haloes = "):
        run_power_experiment(haloes[1:], folder, settings=PowerSettings(**SMALL))
    with pytest.raises(ValueError, match="calibration = 5: must be 0 or at least 12"):
        PowerSettings(calibration=5)
    with pytest.raises(ValueError, match="draw = 'cold': must be one of reweighted, relaxed"):
        PowerSettings(draw="cold")
    for words, changes in (
        ("density = 0: must be 0.1", {"density": 0.0}),
        ("tau", {"tau": 3.0}),
        ("sigma_logM", {"fiducial": (12.0, -1.0, 11.4, 13.3, 1.0)}),
        ("mesh", {"mesh": 1}),
    ):
        with pytest.raises(ValueError, match=words):
            PowerSettings(**changes)
    with pytest.raises(ValueError, match="no preset named 'huge'"):
        PowerSettings.preset("huge")


def test_other_noise_leaves_the_data_alone(haloes, tmp_path):
    made = run_power_experiment(
        haloes, tmp_path, settings=PowerSettings(**SMALL), emcee=False, noise_sets=1
    )
    (other,) = made.noise
    assert other.draws.shape == made.nuts.draws.shape
    assert (other.draws != made.nuts.draws).all()
    benches = [
        Bench(haloes, tmp_path / name / "problem.h5", {"noise": n, "seed": 1})
        for n, name in ((0, "."), (1, "noise-1"))
    ]
    assert benches[0].seed("data", noise=False) == benches[1].seed("data", noise=False)
    assert benches[0].seed("exact noise") != benches[1].seed("exact noise")
    spread = made.noise_spread()
    medians = [p.summary()["alpha"]["median"] for p in (made.nuts, other)]
    sds = [p.summary()["alpha"]["sd"] for p in (made.nuts, other)]
    sigma = math.sqrt(np.mean(np.square(sds)))
    assert spread["alpha"]["spread"] == pytest.approx(
        abs(medians[0] - medians[1]) / math.sqrt(2) / sigma
    )


# ---------------------------------------------------------------------- alignment strengths
def test_strengths_through_the_catalogue_and_exactly(run, tmp_path):
    """Both models recover the strengths that the data were made with, and agree."""
    haloes = HaloCatalog.simulate(60.0, 32, mmin=1e12, seed=3)
    settings = StrengthSettings(
        hod=(12.2, 0.3, 12.0, 13.2, 1.0), covariance=30, realisations=3, warmup=30, steps=60,
        chains=2, seed=5,
    )  # fmt: skip
    made = run_strength_experiment(haloes, tmp_path, settings=settings, emulator=False)
    assert list(made.posteriors) == ["DiffHOD", "exact expectation"]
    rows = made.rows()
    for row in rows.values():
        # One mock in ten thousand lies beyond 4 sigma.
        assert abs(row["mu_cen"]["bias"]) < 4
        assert abs(row["mu_sat"]["bias"]) < 4
        assert row["r_hat"] < 1.1
    for name in STRENGTHS.names:
        a, b = (rows[label][name] for label in rows)
        # Each averages three catalogues of its own: by chance apart by sqrt(2/3) sigma.
        assert abs(a["median"] - b["median"]) < 4 * math.sqrt(2 / 3) * max(a["sd"], b["sd"])
    assert json.loads((tmp_path / "strengths.json").read_text())["settings"]["mu_cen"] == 0.78
    again = run_strength_experiment(haloes, tmp_path, settings=settings, emulator=False)
    for label, posterior in made.posteriors.items():
        np.testing.assert_array_equal(posterior.draws, again.posteriors[label].draws)
    with pytest.raises(ValueError, match=r"tau = 0.1 there, 0.3 here.*another folder"):
        run_strength_experiment(haloes, tmp_path, settings=replace(settings, tau=0.3))
    with pytest.raises(ValueError, match="haloes = "):
        run_strength_experiment(haloes[1:], tmp_path, settings=settings)

    # The command goes on with the same folder, and adds the emulator.
    haloes.write(tmp_path / "haloes.h5")
    options = [
        text for name, value in asdict(settings).items() if name != "hod"
        for text in (f"--{name.replace('_', '-')}", value)
    ]  # fmt: skip
    options += [
        text for name, value in zip(PRIORS.names, settings.hod, strict=True)
        for text in (f"--{name.replace('_', '-')}", value)
    ]  # fmt: skip
    code, out, err = run("diffhod", tmp_path / "haloes.h5", "--statistic", "omega", *options,
                         "--out", tmp_path, "--json")  # fmt: skip
    assert code == 0, err
    models = json.loads(out)["models"]
    assert list(models) == ["DiffHOD", "exact expectation", "emulator"]
    assert models["DiffHOD"]["mu_cen"] == rows["DiffHOD"]["mu_cen"]
    assert (tmp_path / "strengths.png").stat().st_size > 10_000


# ---------------------------------------------------------------------- the command
@pytest.fixture(scope="module")
def file(haloes, tmp_path_factory):
    path = tmp_path_factory.mktemp("haloes") / "haloes.h5"
    haloes.write(path)
    return path


def test_command_gives_what_the_api_gives(run, file, made, tmp_path):
    result, _ = made
    options = [
        text for name, value in SMALL.items() if name != "fiducial"
        for text in (f"--{name.replace('_', '-')}", value)
    ]  # fmt: skip
    options += [
        text for name, value in zip(PRIORS.names, THETA, strict=True)
        for text in (f"--{name.replace('_', '-')}", value)
    ]  # fmt: skip
    code, out, err = run("diffhod", file, *options, "--out", tmp_path / "o", "--workers", 1,
                         "--json")  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    ours = json.loads(json.dumps(result.to_dict()))
    assert document["nuts"] == ours["nuts"]
    assert document["emcee"] == ours["emcee"]
    assert document["prepared"] == ours["prepared"]
    assert (tmp_path / "o" / "posteriors.png").stat().st_size > 10_000


def test_command_refuses_in_one_line(run, file, tmp_path):
    for options, words in (
        ([], "--out: must be given"),
        (["--out", tmp_path, "--mu-cen", 0.3], "--mu-cen: has no meaning with --statistic power"),
        (["--out", tmp_path, "--statistic", "omega", "--mesh", 32], "--mesh: has no meaning"),
        (["--out", tmp_path, "--statistic", "omega", "--preset", "paper"], "--preset: has no"),
        (["--out", tmp_path, "--calibration", 3], "must be 0 or at least 12"),
        (["--out", tmp_path, "--draw", "cold"], "must be one of reweighted, relaxed"),
        (["--out", tmp_path, "--tau", 0.2], "--tau: has no meaning with --draw reweighted"),
        (["--out", tmp_path, "--draw", "relaxed", "--density", 8], "--density: has no meaning"),
        (["--out", tmp_path, "--density", 0], "density = 0: must be 0.1 to 10000"),
        (["--out", tmp_path, "--sigma-logM", -1.0], "sigma_logM"),
    ):
        code, out, err = run("diffhod", file, *options)
        lines = [x for x in err.splitlines() if x.startswith("error: ")]
        assert (code, out, len(lines)) == (2, "", 1), err
        assert words in lines[0]


def test_help_has_the_defaults_of_the_presets():
    """Written out there, so that help needs no torch."""
    small, paper = PowerSettings.preset("small"), PowerSettings.preset("paper")
    power = {**dict(zip(PRIORS.names, FIDUCIAL, strict=True))}
    omega = StrengthSettings()
    strengths = {**dict(zip(PRIORS.names, omega.hod, strict=True)), **asdict(omega)}
    seen = set()
    for setting in SETTINGS["diffhod"]:
        found = re.search(r"\[default: ([^\];]+)(.*)\]", setting.help)
        if found is None:
            continue
        name, first = setting.name, found[1]
        said = dict(re.findall(r"(paper|omega): ([^;]+)", found[2]))
        if name in strengths and name not in power and name not in asdict(small):
            assert first == f"{strengths[name]:g}", name
            continue
        expected = power.get(name, asdict(small).get(name))
        shown = expected if isinstance(expected, str) else f"{expected:g}"
        assert first == shown, name
        if name in asdict(small) and asdict(paper)[name] != expected:
            assert said.pop("paper") == f"{asdict(paper)[name]:g}", name
        if name in strengths and strengths[name] != expected:
            assert said.pop("omega") == f"{strengths[name]:g}", name
        assert not said, name
        seen.add(name)
    assert {"logMmin", "mesh", "realisations", "calibration", "burn", "walker_steps"} <= seen
