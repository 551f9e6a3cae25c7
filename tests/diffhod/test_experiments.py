"""The experiments of DiffHOD on small boxes: mock data, calibration, both posteriors, resuming."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")
pytest.importorskip("emcee")
arviz = pytest.importorskip("arviz")

from pysoftcorr.cli.diffhod import COMMANDS  # noqa: E402
from pysoftcorr.diffhod.experiments.power import _identity, run_power_experiment  # noqa: E402
from pysoftcorr.diffhod.experiments.preparation import Bench, prepare  # noqa: E402
from pysoftcorr.diffhod.experiments.settings import FIDUCIAL, PowerSettings  # noqa: E402
from pysoftcorr.diffhod.experiments.strengths import (  # noqa: E402
    STRENGTHS,
    StrengthSettings,
    run_strength_experiment,
)
from pysoftcorr.diffhod.experiments.targets import PRIORS, Crowd  # noqa: E402
from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.inference import Posterior  # noqa: E402
from pysoftcorr.inference.workers import Workers  # noqa: E402
from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel  # noqa: E402

pytestmark = pytest.mark.slow

#: A box whose galaxies are few: a gradient takes milliseconds.
THETA = (12.5, 0.4, 12.0, 13.6, 1.0)
SMALL = {
    "fiducial": THETA, "mesh": 16, "k_max": 0.6, "covariance": 20, "calibration": 12,
    "chains": 2, "warmup": 10, "draws": 4, "walkers": 10, "walker_warmup": 2, "walker_draws": 6,
}  # fmt: skip


@pytest.fixture(scope="module")
def halos():
    return HaloCatalog.simulate(60.0, 32, mmin=1e12, seed=1)


@pytest.fixture(scope="module")
def made(halos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    # So few draws: both samplers say so.
    with (
        pytest.warns(UserWarning, match="^NUTS through DiffHOD: r-hat above 1.01: "),
        pytest.warns(UserWarning, match="^emcee on the exact HOD: r-hat above 1.01: "),
    ):
        return run_power_experiment(halos, folder, settings=PowerSettings(**SMALL)), folder


def test_experiment_keeps_all_that_it_found(made):
    result, folder = made
    assert result.nuts.draws.shape == (2, 4, 5)
    assert result.emcee.draws.shape == (10, 6, 5)
    assert result.emcee.efficiency()["evaluations"] == 60
    document = json.loads((folder / "summary.json").read_text())
    assert document["settings"]["fiducial"] == list(THETA)
    assert document == json.loads(json.dumps(result.to_dict()))
    assert (folder / "table.txt").read_text() == result.summary() + "\n"
    for name, posterior in (("nuts", result.nuts), ("emcee", result.emcee)):
        data = arviz.from_netcdf(str(folder / f"{name}.nc"), engine="h5netcdf")
        found = np.stack([data.posterior[n].values for n in PRIORS.names], axis=-1)
        np.testing.assert_array_equal(found, posterior.draws)
        np.testing.assert_array_equal(data.observed_data["power"], result.prepared.data)
        assert Posterior.read(folder / f"{name}.nc").to_dict() == posterior.to_dict()
    assert (result.nuts.draws[..., 1] > 0.01).all()
    p = result.prepared
    assert set(p.calibrations) == {"smooth", "exact"}
    assert 0 < p.model_variance < 0.5
    # Reweighted points have far less noise of their own than two catalogs of galaxies.
    assert p.calibrations["smooth"].scatter < 0.3 * p.calibrations["exact"].scatter
    np.testing.assert_array_equal(p.likelihood().covariance, (1 + p.model_variance) * p.covariance)


def test_the_same_call_reads_what_is_there(made, halos, monkeypatch):
    result, folder = made
    monkeypatch.setattr(
        "pysoftcorr.diffhod.experiments.preparation.mock_covariance",
        lambda *a, **k: pytest.fail("made anew"),
    )
    again = run_power_experiment(halos, folder, settings=PowerSettings(**SMALL))
    np.testing.assert_array_equal(again.nuts.draws, result.nuts.draws)
    np.testing.assert_array_equal(again.emcee.draws, result.emcee.draws)
    assert again.to_dict() == result.to_dict()


def test_processes_and_an_interruption_change_nothing(made, halos, tmp_path):
    """Two workers, and a run that was killed: the bits of one process in one go."""
    result, _ = made
    settings = PowerSettings(**SMALL)
    run_power_experiment(halos, tmp_path, settings=settings, workers=2, emcee=False)
    (tmp_path / "nuts-1.h5").unlink()  # as if killed before that chain had begun
    # Another name of the device: where it is computed makes no other run.
    elsewhere = replace(settings, device="cpu:0")
    again = run_power_experiment(halos, tmp_path, settings=elsewhere, emcee=False)
    np.testing.assert_array_equal(again.nuts.draws, result.nuts.draws)


def test_relaxed_trials_are_an_option(halos, tmp_path):
    settings = PowerSettings(**{
        **SMALL, "galaxies": "relaxed", "tau": 0.5, "chains": 1, "warmup": 10, "draws": 4,
    })  # fmt: skip
    made = run_power_experiment(halos, tmp_path, settings=settings, emcee=False)
    assert made.nuts.draws.shape == (1, 4, 5)
    bench = Bench(halos, tmp_path / "problem.h5", {"noise": 0, "seed": 1})
    bench.identity.update(draw="relaxed", tau=0.5, realizations=2, modulate=False, mesh=16,
                          k_max=0.6)  # fmt: skip
    near = np.array(THETA), np.diag([0.01] * 5)
    assert bench.smooth(near).model.reference is None
    assert bench.smooth(near).model.realizations == 2
    bench.device = "cpu:0"
    assert str(bench.new_smooth(near).model.device) == "cpu:0"
    assert "smooth: " in made.summary()


def test_priors_end_at_a_crowd_for_both_samplers(made, halos):
    """Where 20 times as many galaxies are expected; neither model is asked there."""
    _, folder = made
    identity = json.loads(h5py.File(folder / "problem.h5").attrs["identity"])
    bench = Bench(halos, folder / "problem.h5", identity)
    model = HODModel(**dict(zip(PRIORS.names, THETA, strict=True)))
    mean = (model.mean_ncen(halos.mass) + model.mean_nsat(halos.mass)).sum()
    few, many = list(THETA), list(THETA)
    few[3], many[3] = THETA[3] - 1.0, THETA[3] - 3.0
    for theta, there in ((few, True), (many, False)):
        other = HODModel(**dict(zip(PRIORS.names, theta, strict=True)))
        number = (other.mean_ncen(halos.mass) + other.mean_nsat(halos.mass)).sum()
        assert (number < 20 * mean) == there
        for target in (bench.exact_target(), bench.smooth_target()):
            assert math.isfinite(target.log_posterior(theta)) == there
    with pytest.raises(ValueError, match="galaxies are expected, the most is"):
        bench.crowd().refuse(many)


def prepared_by(halos, folder, **changes):
    settings = PowerSettings(**{**SMALL, **changes})
    bench = Bench(halos, folder / "problem.h5", _identity(halos, settings))
    with Workers(bench) as workers:
        return prepare(bench, workers, lambda text: None)


def test_only_whole_galaxies_are_corrected_to_second_order(halos, tmp_path, monkeypatch):
    """Second order needs whole galaxies and enough points."""
    monkeypatch.setattr("pysoftcorr.diffhod.experiments.preparation._QUADRATIC", 42)
    (tmp_path / "few").mkdir()
    sizes = {
        number: {
            name: len(c.coefficients)
            for name, c in prepared_by(halos, folder, calibration=number).calibrations.items()
        }
        for number, folder in ((41, tmp_path / "few"), (42, tmp_path))
    }
    assert sizes == {41: {"smooth": 6, "exact": 6}, 42: {"smooth": 6, "exact": 21}}


def test_noise_that_cannot_be_measured_is_all_in_the_likelihood(halos, tmp_path):
    """One set of relaxed trials; whole galaxies have a spare group."""
    (tmp_path / "relaxed").mkdir()
    found = prepared_by(halos, tmp_path / "relaxed", realizations=1, galaxies="relaxed", tau=0.5)
    assert found.calibrations["smooth"].scatter is None
    assert found.model_variance == 1
    found = prepared_by(halos, tmp_path, realizations=1)
    assert found.model_variance == found.calibrations["exact"].scatter < 1


def test_a_sample_far_sparser_than_the_priors(halos, tmp_path):
    """Where the priors begin there are more than 20 times as many galaxies."""
    sparse = (13.6, 0.2, 12.5, 14.3, 1.0)
    crowd = Crowd(halos.mass, sparse, modulate=False)
    assert crowd._galaxies(PRIORS.mean) > 20 * crowd._galaxies(sparse)
    found = prepared_by(halos, tmp_path, fiducial=sparse)
    assert found.center[0] > PRIORS.mean[0] + 0.3  # which are 3 sigma off


def test_other_settings_do_not_mix(made, halos):
    _, folder = made
    with pytest.raises(ValueError, match=r"density = 16.0 there, 8.0 here.*overwrite=True"):
        run_power_experiment(halos, folder, settings=PowerSettings(**{**SMALL, "density": 8.0}))
    # A temperature is of relaxed trials alone.
    again = run_power_experiment(halos, folder, settings=PowerSettings(**{**SMALL, "tau": 0.2}))
    assert again.nuts.draws.shape == (2, 4, 5)
    with pytest.raises(ValueError, match="halos = "):
        run_power_experiment(halos[1:], folder, settings=PowerSettings(**SMALL))
    with pytest.raises(ValueError, match="calibration = 5: must be 0 or at least 12"):
        PowerSettings(calibration=5)
    with pytest.raises(ValueError, match="galaxies = 'cold': must be one of reweighted, relaxed"):
        PowerSettings(galaxies="cold")
    for words, changes in (
        ("density = 0.0: must be from 0.1", {"density": 0.0}),
        ("tau", {"tau": 3.0}),
        ("sigma_logM", {"fiducial": (12.0, -1.0, 11.4, 13.3, 1.0)}),
        ("mesh", {"mesh": 1}),
    ):
        with pytest.raises(ValueError, match=words):
            PowerSettings(**changes)
    with pytest.raises(ValueError, match="no preset named 'huge'"):
        PowerSettings.preset("huge")


def test_other_noise_leaves_the_data_alone(made, halos, tmp_path):
    shutil.copytree(made[1], tmp_path, dirs_exist_ok=True)
    made = run_power_experiment(
        halos, tmp_path, settings=PowerSettings(**SMALL), emcee=False, noise_sets=1
    )
    (other,) = made.noise
    assert other.draws.shape == made.nuts.draws.shape
    assert (other.draws != made.nuts.draws).all()
    benches = [
        Bench(halos, tmp_path / name / "problem.h5", {"noise": n, "seed": 1})
        for n, name in ((0, "."), (1, "noise-1"))
    ]
    assert benches[0].seed("data", noise=False) == benches[1].seed("data", noise=False)
    assert benches[0].seed("exact noise") != benches[1].seed("exact noise")
    spread = made.noise_spread()
    medians = [p.diagnostics()["alpha"]["median"] for p in (made.nuts, other)]
    sds = [p.diagnostics()["alpha"]["sd"] for p in (made.nuts, other)]
    sigma = math.sqrt(np.mean(np.square(sds)))
    assert spread["alpha"]["spread"] == pytest.approx(
        abs(medians[0] - medians[1]) / math.sqrt(2) / sigma
    )


# ---------------------------------------------------------------------- alignment strengths
def test_strengths_through_the_catalog_and_exactly(run, tmp_path):
    """Both models recover the strengths that the data were made with, and agree."""
    halos = HaloCatalog.simulate(60.0, 32, mmin=1e12, seed=3)
    settings = StrengthSettings(
        hod=(12.2, 0.3, 12.0, 13.2, 1.0), covariance=30, realizations=3, warmup=30, draws=60,
        chains=2, seed=5,
    )  # fmt: skip
    made = run_strength_experiment(halos, tmp_path, settings=settings)
    assert list(made.posteriors) == ["DiffHOD", "exact expectation"]
    rows = made.rows()
    for row in rows.values():
        # One mock in ten thousand lies beyond 4 sigma.
        assert abs(row["mu_cen"]["bias"]) < 4
        assert abs(row["mu_sat"]["bias"]) < 4
        assert row["r_hat"] < 1.1
    for name in STRENGTHS.names:
        a, b = (rows[label][name] for label in rows)
        # Each averages three catalogs of its own: by chance apart by sqrt(2/3) sigma.
        assert abs(a["median"] - b["median"]) < 4 * math.sqrt(2 / 3) * max(a["sd"], b["sd"])
    assert json.loads((tmp_path / "strengths.json").read_text())["settings"]["mu_cen"] == 0.78
    again = run_strength_experiment(halos, tmp_path, settings=settings)
    for label, posterior in made.posteriors.items():
        np.testing.assert_array_equal(posterior.draws, again.posteriors[label].draws)
    with pytest.raises(ValueError, match=r"tau = 0.1 there, 0.3 here.*another folder"):
        run_strength_experiment(halos, tmp_path, settings=replace(settings, tau=0.3))
    with pytest.raises(ValueError, match="halos = "):
        run_strength_experiment(halos[1:], tmp_path, settings=settings)

    # The command resumes with the same folder. It adds tables of the same halos.
    halos.write(tmp_path / "halos.h5")
    tables = HaloTables.tabulate(halos, sites=0, progress=False).write(tmp_path / "tables.h5")
    options = [
        text for name, value in asdict(settings).items() if name != "hod"
        for text in (f"--{name.replace('_', '-')}", value)
    ]  # fmt: skip
    options += [
        text for name, value in zip(PRIORS.names, settings.hod, strict=True)
        for text in (f"--{name.replace('_', '-')}", value)
    ]  # fmt: skip
    code, out, err = run("diffhod", tmp_path / "halos.h5", "--statistic", "omega", *options,
                         "--model", tables, "--out", tmp_path, "--json")  # fmt: skip
    assert code == 0, err
    models = json.loads(out)["models"]
    assert list(models) == ["DiffHOD", "exact expectation", "tables"]
    assert models["DiffHOD"]["mu_cen"] == rows["DiffHOD"]["mu_cen"]
    for name in STRENGTHS.names:
        # Means of one realization of the galaxies' places, and over all of these.
        a, b = (models[label][name] for label in ("exact expectation", "tables"))
        assert abs(a["median"] - b["median"]) < 4 * max(a["sd"], b["sd"])
    assert (tmp_path / "strengths.png").stat().st_size > 10_000


def test_models_of_other_satellites_or_bins_are_refused(halos, tmp_path) -> None:
    other = HaloTables.tabulate(halos, bins="log:1:16:3", nodes=4, sites=0, progress=False)
    with pytest.raises(
        ValueError, match=r"model: bins = 3 of 1 to 16 Mpc/h: must be the 20 of 0\.1"
    ):
        run_strength_experiment(halos, tmp_path, model=other)
    with pytest.raises(ValueError, match="model: satellites = 'triaxial': must be 'nfw'"):
        run_strength_experiment(halos, tmp_path, model=Emulator.read())


# ---------------------------------------------------------------------- the command
@pytest.fixture(scope="module")
def file(halos, tmp_path_factory):
    path = tmp_path_factory.mktemp("halos") / "halos.h5"
    halos.write(path)
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
        (["--out", tmp_path, "--galaxies", "cold"], "must be one of reweighted, relaxed"),
        (["--out", tmp_path, "--tau", 0.2], "--tau: has no meaning with --galaxies reweighted"),
        (["--out", tmp_path, "--galaxies", "relaxed", "--density", 8], "--density: has no meaning"),
        (["--out", tmp_path, "--density", 0], "density 0.0: must be from 0.1 to 10000"),
        (["--out", tmp_path, "--device", "nowhere"], "--device 'nowhere': torch cannot use it"),
        (["--out", tmp_path, "--statistic", "omega", "--device", "cpu"], "--device: has no"),
        (["--out", tmp_path, "--sigma-logM", -1.0], "--sigma-logM -1.0: must be"),
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
    for setting in COMMANDS["diffhod"].options:
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
    assert {
        "logMmin",
        "mesh",
        "realizations",
        "calibration",
        "walker_warmup",
        "walker_draws",
    } <= seen
