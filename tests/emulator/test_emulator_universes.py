"""An emulator of universes: ten parameters, and errors that hold how universes differ."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers.toy_universes import CHANCE, SPREAD, mean_log_xi, toy_universes  # noqa: E402
from pysoftcorr.cli import main  # noqa: E402
from pysoftcorr.emulator import (  # noqa: E402
    Emulator,
    EmulatorData,
    OutsideBounds,
    Split,
    evaluate,
    split_campaign,
    train,
)
from pysoftcorr.inference import LogPosterior, Observation  # noqa: E402
from pysoftcorr.mocks.hod import PLANCK18, WITH_COSMOLOGY  # noqa: E402

POINT = [0.7, 0.2, 12.0, 0.26, 12.0, 13.0, 1.0]
WORLD = {"Omega_m": 0.29, "sigma_8": 0.78, "z": 0.6}
HOD = dict(zip(WITH_COSMOLOGY[2:7], POINT[2:], strict=True))


@pytest.fixture(scope="module")
def split() -> Split:
    return split_campaign(toy_universes())


@pytest.fixture(scope="module")
def emulator(split: Split) -> Emulator:
    return train(
        split, epochs=25, members=6, width=32, variance_width=16, batch=64, seed=3, device="cpu"
    )


# ---------------------------------------------------------------------- rows
def test_no_universe_is_in_two_parts(split: Split) -> None:
    numbers = [set(part.universe.tolist()) for part in split]
    assert [len(one) for one in numbers] == [32, 4, 12]
    assert len(set.union(*numbers)) == 48
    assert numbers[2] == set(range(36, 48))
    for part in split:
        assert part.parameters.shape[1] == 10
        assert part.names == WITH_COSMOLOGY


def test_rows_without_pairs_are_left_out() -> None:
    toy = toy_universes(16, 16)
    pairs, xi = toy.pairs.copy(), toy.xi.copy()
    pairs[2, 3, 1], pairs[15, 0, 4] = 9.0, 0.0  # the latter has a covariance
    xi[4, 5, 0] = -0.5
    data = EmulatorData.from_universes(replace(toy, pairs=pairs, xi=xi))
    assert len(data) == 16 * 16 - 3
    assert data.description["left_out"] == {"few pairs or xi <= 0": 3, "logMmin beyond reach": 0}
    assert len(data.chance) == 16 * 8 - 3
    # Rows and covariances go together.
    for k in (0, 17, len(data.chance) - 1):
        row = data.row[data.chance_row[k]]
        assert row % 16 < 8
    kept = data.take(data.universe == 15)
    assert len(kept) == 15
    assert len(kept.chance) == 7
    np.testing.assert_array_equal(kept.row[kept.chance_row], 15 * 16 + np.arange(1, 8))


@pytest.mark.parametrize("lost", [0.3, 0.75, 1.0])
def test_masses_end_where_most_hods_have_empty_bins(lost: float) -> None:
    toy = toy_universes(16, 64)
    logm = toy.parameters[..., 2]
    low, high = np.quantile(logm, [0, 1])
    end = low + 0.7 * (high - low)
    empty = (logm > end) & (np.random.default_rng(4).random(logm.shape) < lost)
    pairs = np.where(empty[..., None], 3.0, toy.pairs)
    settings = {**toy.settings, "logMmin": [11.5, 13.0]}
    data = EmulatorData.from_universes(replace(toy, pairs=pairs, settings=settings))
    reach = data.description["campaign"]["logMmin"][1]
    assert data.description["campaign"]["logMmin"][0] == 11.5
    if lost < 0.5:
        assert reach == 13.0
        assert len(data) == (~empty).sum()
    else:
        assert abs(reach - end) < 0.06 * (high - low)
        assert (data.parameters[:, 2] <= reach).all()
        left_out = data.description["left_out"]
        assert left_out["few pairs or xi <= 0"] == empty.sum()
        assert left_out["logMmin beyond reach"] == (~empty & (logm > reach)).sum()
    # Every part of a split ends there.
    parts = split_campaign(replace(toy, pairs=pairs, settings=settings))
    ends = [part.description["campaign"]["logMmin"][1] for part in parts]
    assert ends == [reach] * 3


def test_files_hold_the_same(tmp_path, split: Split, emulator: Emulator) -> None:
    split.test.write(tmp_path / "test.h5", mantissa_bits=23)
    again = EmulatorData.read(tmp_path / "test.h5")
    np.testing.assert_array_equal(again.universe, split.test.universe)
    np.testing.assert_allclose(again.chance, split.test.chance, rtol=1e-5)
    np.testing.assert_allclose(again.expected_omega, again.omega[:, 0])
    emulator.write(tmp_path / "model.h5")
    copy = Emulator.read(tmp_path / "model.h5")
    assert copy.names == WITH_COSMOLOGY
    assert copy.bounds == emulator.bounds
    assert copy.box["boxsize"] == 250
    np.testing.assert_array_equal(copy.predict(POINT).xi.mean, emulator.predict(POINT).xi.mean)


# ---------------------------------------------------------------------- parameters
def test_a_cosmology_that_is_not_given_is_plancks(emulator: Emulator) -> None:
    whole = emulator.predict([*POINT, *PLANCK18.values()])
    for short in (POINT, dict(zip(WITH_COSMOLOGY, POINT, strict=False)), np.array(POINT)):
        said = emulator.predict(short)
        np.testing.assert_array_equal(said.omega.mean, whole.omega.mean)
        assert said.parameters.shape == (10,)
    named = dict(zip(WITH_COSMOLOGY, POINT, strict=False)) | {"z": 0.6}
    later = emulator.predict(named)
    assert not np.allclose(later.xi.mean, whole.xi.mean, rtol=1e-2)
    tensor = torch.tensor([[*POINT], [*POINT]], dtype=torch.float64)
    mean, _ = emulator.mean_and_std(tensor)["xi"]
    np.testing.assert_allclose(mean[0].numpy(), whole.xi.mean, rtol=1e-5)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ([*POINT, 0.3], r"shape \(8,\); must be \(10,\)"),
        ([*POINT, 0.3, 0.8, -0.2], "z = -0.2: it is a redshift"),
        ([*POINT, 31.0, 0.8, 0.0], "Omega_m = 31"),
        ([*POINT, 0.3, np.nan, 0.0], "sigma_8 = nan: must be finite"),
        ({**HOD, "mu_cen": 0, "mu_sat": 0, "sigma8": 0.8}, "unknown sigma8"),
    ],
)
def test_parameters_without_meaning_are_refused(emulator: Emulator, params, words) -> None:
    with pytest.raises(ValueError, match=words):
        emulator.predict(params)


def test_bounds_hold_the_cosmology(emulator: Emulator) -> None:
    assert emulator.bounds["z"] == (0.0, 1.0)
    with pytest.warns(OutsideBounds, match=r"sigma_8 = 0.95 is outside of \[0.72, 0.9\]"):
        emulator.predict([*POINT, 0.3, 0.95, 0.0])
    inside = emulator.training_bounds.sample(64, seed=1)
    assert inside.shape == (64, 10)
    assert not emulator.training_bounds.outside(inside).any()


def test_derivatives_by_all_ten(emulator: Emulator) -> None:
    exact = Emulator(
        emulator.network, bins=emulator.edges, bounds=emulator.training_bounds
    ).double()
    at = np.array([*POINT, *WORLD.values()])
    slopes = exact.jacobian(at)
    for k in range(10):
        step = np.zeros(10)
        step[k] = 1e-5
        up, down = exact.predict(at + step), exact.predict(at - step)
        for name in ("xi", "omega", "eta"):
            finite = (getattr(up, name).mean - getattr(down, name).mean) / 2e-5
            np.testing.assert_allclose(slopes[name][:, k], finite, rtol=1e-5, atol=1e-8)


# ---------------------------------------------------------------------- means and errors
def test_means_are_those_over_universes(emulator: Emulator) -> None:
    """To the error of the mean of 32 universes: sqrt(10/32) of their spread, rms."""
    points = emulator.training_bounds.sample(200, seed=5)
    said = emulator.predict(points)
    log_xi = mean_log_xi(points[:, :7], points[:, 7:])
    s2 = np.log1p((said.xi.aleatoric / said.xi.mean) ** 2)
    off = np.log(said.xi.mean) - s2 / 2 + CHANCE["xi"] ** 2 / 2 - log_xi
    rms = np.sqrt((off**2).mean())
    assert rms < 1.5 * SPREAD * np.sqrt(10 / 32)
    # And says so: the members differ by other choices of universes.
    ratio = (said.xi.epistemic / said.xi.mean).mean() / rms
    assert 0.5 < ratio < 2


def test_errors_hold_the_spread_between_universes(emulator: Emulator, split: Split) -> None:
    points = emulator.training_bounds.sample(200, seed=6)
    said = emulator.predict(points)
    sigma = np.sqrt(np.log1p((said.xi.aleatoric / said.xi.mean) ** 2))
    true = np.hypot(SPREAD, CHANCE["xi"])
    # 32 draws know a standard deviation to 13 %; five bins are independent.
    assert abs(np.log(sigma.mean() / true)) < 0.2
    found = evaluate(emulator, split.test)
    assert found.universes == 12
    assert "12 universes that nothing was trained on" in found.summary()
    for name in ("xi", "omega", "eta"):
        both = found[name].calibration.coverage_total
        # 12 universes x 5 bins: 0.06, and as much of the emulator's sigma.
        assert abs(both[1] - 0.683) < 0.2
        assert both[2] > 0.85
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_correlation_is_that_of_both(emulator: Emulator) -> None:
    """Of omega nearly that given the halos, 0.3 between bins."""
    matrix = emulator.correlation.at("omega", torch.tensor(POINT, dtype=torch.float64))
    if matrix is None:
        pytest.skip("none was likelier")
    off = matrix.numpy()[~np.eye(5, dtype=bool)]
    assert abs(off.mean() - 0.3) < 0.15


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "published"}, "published.*: a campaign of universes is learned by 'response'"),
        ({"calibrate": "scatter"}, "calibrate = 'scatter'"),
        ({"targets": "drawn"}, "drawn"),
    ],
)
def test_recipes_that_want_noise_are_refused(split: Split, options, words) -> None:
    with pytest.raises(ValueError, match=words):
        train(split, epochs=1, members=2, device="cpu", **options)


def test_too_few_universes_are_refused() -> None:
    with pytest.raises(ValueError, match="12 are too few"):
        split_campaign(toy_universes(12, 8))


# ---------------------------------------------------------------------- posteriors
def _seen(emulator: Emulator, **box) -> Observation:
    return Observation.unaligned(emulator.edges, statistics=("omega",), **box)


def test_a_posterior_fixes_the_cosmology_unless_it_is_freed(emulator: Emulator) -> None:
    density = LogPosterior(emulator, _seen(emulator), fixed=HOD)
    assert {name: density.fixed[name] for name in PLANCK18} == PLANCK18
    assert density.closed_form
    free = LogPosterior(emulator, _seen(emulator), free=("mu_cen", "mu_sat", "z"), fixed=HOD)
    assert free.names == ("mu_cen", "mu_sat", "z")
    assert "z" not in free.fixed
    both = free.log_likelihood(np.array([[0.5, 0.1, 0.0]]))
    at = LogPosterior(emulator, _seen(emulator), fixed={**HOD, "z": 0.0})
    one = at.log_likelihood(np.array([[0.5, 0.1]]))
    np.testing.assert_allclose(both, one, rtol=1e-6)


def test_data_bring_their_cosmology(emulator: Emulator) -> None:
    box = {"redshift": 0.4, "cosmology": {"Om0": 0.3, "sigma8": 0.77}, "boxsize": 250.0}
    seen = _seen(emulator)
    seen.box.update(box)
    density = LogPosterior(emulator, seen, fixed=HOD)
    assert density.fixed["z"] == 0.4
    assert density.fixed["Omega_m"] == 0.3
    assert density.fixed["sigma_8"] == 0.77
    with pytest.raises(ValueError, match=r"redshift 0.4, the emulator 0.*leave Omega_m"):
        LogPosterior(emulator, seen, fixed={**HOD, "z": 0.0})


# ---------------------------------------------------------------------- command line
def _run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_commands_take_the_cosmology(tmp_path, capsys, emulator: Emulator, split: Split) -> None:
    model = tmp_path / "model.h5"
    emulator.write(model)
    options = ["--mu-cen", "0.7", "--mu-sat", "0.2"]
    for name, value in HOD.items():
        options += ["--" + name.replace("_", "-"), str(value)]
    command = ["predict", *options, "--model", str(model), "--json"]
    more = ["--Omega-m", "0.29", "--sigma-8", "0.78", "--z", "0.6"]
    assert _run([*command, *more]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["parameters"]["z"] == 0.6
    expected = emulator.predict([*POINT, *WORLD.values()], seed=1)
    np.testing.assert_allclose(said["xi"]["mean"], expected.xi.mean, rtol=1e-6)
    assert _run(command) == 0
    assert json.loads(capsys.readouterr().out)["parameters"]["Omega_m"] == 0.3111
    split.test.write(tmp_path / "test.h5")
    assert _run(["evaluate", str(model), str(tmp_path / "test.h5")]) == 0
    assert "universes" in capsys.readouterr().out
