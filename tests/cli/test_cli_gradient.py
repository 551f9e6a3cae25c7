"""``softcorr gradient``: what it prints, its check, its figures, its errors."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from pysoftcorr.cli.gradient import central_difference
from pysoftcorr.sky.differentiable import SoftCorrelation
from pysoftcorr.sky.gravity import GravitySimulation

pytestmark = pytest.mark.slow
SMALL = ["--galaxies", "60", "--clusters", "12"]
EXACT = [("soft", "implicit"), ("soft", "unrolled"), ("hard", "implicit"),
         ("gumbel", "implicit"), ("gumbel", "unrolled"), ("naive", "implicit")]  # fmt: skip


@pytest.fixture
def run(run):
    return partial(run, "gradient")


def found(run, *arguments):
    """The JSON object, of a run without fault."""
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.mark.parametrize(("approach", "through"), EXACT)
@pytest.mark.parametrize("seed", [3, 4])
def test_check_agrees(run, approach, through, seed):
    said = found(run, *SMALL, "--approach", approach, "--through", through, "--check",
                 "--seed", seed)  # fmt: skip
    check = said["check"]
    assert max(check["relative_error"]) < 1e-6
    assert np.all(np.abs(check["difference"]) > 1e-6)  # there was something to agree on
    assert np.all(np.array(check["uncertainty"]) < 1e-6 * np.abs(check["difference"]))


@pytest.mark.parametrize("through", ["one-step", "frozen"])
def test_check_finds_what_an_approximation_leaves_out(run, through):
    said = found(run, *SMALL, "--through", through, "--check", "--seed", 3)
    exact = found(run, *SMALL, "--check", "--seed", 3)
    assert max(said["check"]["relative_error"]) > 1e-3
    np.testing.assert_allclose(said["check"]["difference"], exact["check"]["difference"], rtol=1e-9)
    _, out, _ = run(*SMALL, "--through", through, "--check", "--seed", 3)
    assert "is an approximation" in out.splitlines()[-1]


def test_same_as_python(run):
    more = ["--G", "1.1", "--bins", "log:10:200:4", "--weighting", "gaussian",
            "--sharpness", "0.01", "--fuzziness", "1.7", "--statistic", "xim",
            "--seed", "9"]  # fmt: skip
    said = found(run, *SMALL, *more)
    result = GravitySimulation(60, seed=9).run(1.1)
    estimator = SoftCorrelation(
        "log:10:200:4", clusters=12, weighting="gaussian", sharpness=0.01, fuzziness=1.7,
        statistic="xim", seed=9,
    )  # fmt: skip
    np.testing.assert_array_equal(said["xi"], estimator.value(result.catalog))
    np.testing.assert_allclose(said["dxi_dG"], estimator.gradient_G(result), rtol=1e-9)
    assert said["sharpness"] == [0.01] * 4
    assert said["check"] is None
    assert said["G"] == said["settings"]["G"] == 1.1
    assert said["seed"] == 9


def test_text(run):
    code, out, err = run(*SMALL, "--check")
    assert (code, err) == (0, "")
    assert out.startswith("60 galaxies; soft, 12 clusters, through implicit; xip at G = 1\n")
    for word in ("dxi/dG", "finite difference", "relative error", "simulation", "clustering",
                 "pairs", "solve", "check", "start of Julia"):  # fmt: skip
        assert word in out
    rows = [line.split() for line in out.splitlines() if " to " in line]
    assert [row[0] for row in rows] == ["0", "53.333", "106.67"]
    said = found(run, *SMALL, "--check")
    np.testing.assert_allclose([float(row[3]) for row in rows], said["xi"], rtol=1e-8)
    np.testing.assert_allclose([float(row[4]) for row in rows], said["dxi_dG"], rtol=1e-8)


def test_seconds_of_every_stage(run):
    seconds = found(run, *SMALL, "--check")["seconds"]
    assert set(seconds) == {"start", "simulation", "clustering", "clusters", "pairs", "solve",
                            "total", "check"}  # fmt: skip
    stages = [seconds[k] for k in ("simulation", "clustering", "clusters", "pairs", "solve")]
    assert min(stages) > 0
    assert sum(stages) <= seconds["total"]


def test_empty_bin(run):
    code, out, err = run(*SMALL, "--bins", "edges:0,60,9000,9060", "--check", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["xi"][2] is None
    assert said["dxi_dG"][2] == 0.0
    assert said["check"]["relative_error"][2] is None
    assert max(said["check"]["relative_error"][:1]) < 1e-6
    assert len(err.splitlines()) == 1
    assert err.startswith("warning: no pairs in bin 2")
    code, out, _ = run(*SMALL, "--bins", "edges:9000,9060", "--check")
    assert code == 0
    assert "nothing to check" in out


@pytest.mark.parametrize("approach", ["soft", "naive"])
def test_figures(run, tmp_path, approach):
    pytest.importorskip("matplotlib")
    folder = tmp_path / "figures"
    code, out, err = run(*SMALL, "--approach", approach, "--plot", folder, "--json")
    assert code == 0
    json.loads(out)
    names = {"bin_weights.png", "xi_of_G.png", "gradient_arrows.png"}
    assert {path.name for path in folder.iterdir()} == names
    assert all(path.stat().st_size > 10_000 for path in folder.iterdir())
    assert [line.split()[0] for line in err.splitlines()] == ["wrote"] * 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--galaxies", "50"], "--clusters 100: more than the 50 objects"),
        (["--galaxies", "0"], "galaxies: 0 must be at least 1"),
        (["--galaxies", "many"], "--galaxies 'many': must be a whole number"),
        (["--approach", "best"], "approach: 'best' must be one of soft, naive, hard, gumbel"),
        (["--through", "it"], "must be one of implicit, one-step, unrolled, frozen"),
        (["--G", "-1"], "--G -1.0: must be finite and above 0"),
        (["--G", "nan"], "--G nan: must be finite"),
        (["--bins", "linear:5:1:3"], "bins must increase: hi = 1 is not above lo = 5"),
        (["--sharpness", "0"], "--sharpness 0 of bin 0: must be finite and above 0"),
        (["--temperature", "-2", "--approach", "gumbel"], "--temperature -2.0"),
        (["--fuzziness", "1"], "--fuzziness 1"),
        (["--plot", "/dev/null/figures"], "is not a folder"),
        (["stars.fits"], "unexpected extra argument"),
    ],
)
def test_errors_are_one_line(run, arguments, says):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert says in err


def test_config(run, tmp_path):
    config = tmp_path / "gradient.yaml"
    config.write_text("galaxies: 60\nclusters: 12\nG: 1\napproach: naive\ncheck: true\n")
    said = found(run, "--config", config)
    assert said["settings"]["approach"] == "naive"
    assert said["check"] is not None
    assert found(run, "--config", config, "--no-check")["check"] is None


# ---------------------------------------------------------------------- the differences themselves
STEPS = 10.0 ** np.arange(-2.0, -6.1, -0.5)


def test_central_difference_is_as_good_as_it_says():
    slope, unsure = central_difference(lambda x: np.array([np.exp(x), x**7]), 1.0, STEPS)
    np.testing.assert_allclose(slope, [np.e, 7.0], rtol=1e-9)
    assert np.all(np.abs(slope - [np.e, 7.0]) <= unsure + 1e-9)


def test_central_difference_finds_steps_below_a_jump():
    def jumps(x):
        return np.array([np.sin(x) + (x > 1.0 + 2e-4)])

    slope, unsure = central_difference(jumps, 1.0, STEPS)
    np.testing.assert_allclose(slope, np.cos(1.0), rtol=1e-8)
    assert unsure < 1e-7


def test_central_difference_knows_noise():
    rng = np.random.default_rng(1)
    slope, unsure = central_difference(lambda x: x + rng.normal(0, 1e-7, 20), 0.0, STEPS)
    assert np.all(unsure > 1e-9)
    assert np.mean(np.abs(slope - 1.0) < 10 * unsure) > 0.7


def test_central_difference_keeps_nan_and_refuses_steps():
    slope, _ = central_difference(lambda x: np.array([np.nan, 2 * x]), 0.0, STEPS)
    assert np.isnan(slope[0])
    assert slope[1] == pytest.approx(2.0)
    for steps in ([1e-2, 1e-3, 1e-4], [1e-4, 1e-3, 1e-2, 1e-1], [1e-2, 1e-3, 1e-4, -1e-5]):
        with pytest.raises(ValueError, match="at least four positive"):
            central_difference(lambda x: np.array([x]), 0.0, steps)
