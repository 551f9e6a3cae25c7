"""Training: data sets and their files, losses, checkpoints, both recipes, calibration."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.resealed import changed

torch = pytest.importorskip("torch")

from helpers.emulator_campaign import EDGES, campaign, truth  # noqa: E402
from pysoftcorr.emulator import (  # noqa: E402
    Emulator,
    EmulatorData,
    Split,
    correlation,
    read_data,
    split_campaign,
    train,
)
from pysoftcorr.emulator.training.calibration import apply_factors, sigma_factors  # noqa: E402
from pysoftcorr.emulator.training.checkpoint import (  # noqa: E402
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from pysoftcorr.emulator.training.tasks import ResponseTask, Targets, beta_nll  # noqa: E402

SMALL = {"members": 2, "width": 48, "depth": 2, "seed": 3}


@pytest.fixture(scope="module")
def split() -> Split:
    return split_campaign(campaign(300), seed=4)


def state(emulator: Emulator) -> dict[str, np.ndarray]:
    return {name: t.numpy() for name, t in emulator.network.state_dict().items()}


def same(one: Emulator, other: Emulator) -> bool:
    a, b = state(one), state(other)
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(autouse=True)
def _few_steps_for_the_noise(request, monkeypatch):
    """Most of a short training is spent on the noise's correlation, which few tests look at."""
    if "learned" not in request.fixturenames:
        monkeypatch.setattr(correlation, "_STEPS", 10)


# ---------------------------------------------------------------------- data sets
def test_kept_rows_alone_are_used():
    made = campaign(60)
    data = EmulatorData.from_campaign(made)
    assert np.array_equal(data.row, np.flatnonzero(made.kept))
    assert data.description["left_out"] == {"not kept": 3, "xi <= 0": 0}
    assert np.array_equal(data.xi, made.xi[made.kept])
    np.testing.assert_allclose(data.expected_eta, made.expected_eta[made.kept].mean(1), rtol=1e-12)
    np.testing.assert_allclose(
        data.response_variance, made.response[made.kept].var(1, ddof=1), rtol=1e-12
    )


def test_rows_without_a_log_are_left_out_and_said():
    made = campaign(60)
    made.xi[3, 2, 1] = -0.01
    made.xi[11, 0, 0] = 0.0
    with pytest.warns(UserWarning, match=r"2 of 57 kept rows have an xi <= 0.*rows 3, 11\)"):
        data = EmulatorData.from_campaign(made)
    assert len(data) == 55
    assert not {3, 11} & set(data.row.tolist())


def test_split_is_by_parameter_point():
    made = campaign(200)
    split = split_campaign(made, seed=1)
    rows = [set(part.row.tolist()) for part in split]
    assert [len(part) for part in split] == [133, 19, 38]
    assert set.union(*rows) == set(np.flatnonzero(made.kept).tolist())
    assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]
    again = split_campaign(made, seed=1)
    assert all(np.array_equal(a.row, b.row) for a, b in zip(split, again, strict=True))
    assert not np.array_equal(split.test.row, split_campaign(made, seed=2).test.row)
    assert split.test.description["split_seed"] == 1
    assert split.test.description["part"] == "test"


def test_bad_data_are_refused():
    made = campaign(60)
    with pytest.raises(TypeError, match="campaign must be a"):
        split_campaign([1, 2])
    with pytest.raises(ValueError, match="none of its 60 rows"):
        split_campaign(campaign(60, kept=np.zeros(60, dtype=bool)))
    with pytest.raises(ValueError, match="at least 10"):
        split_campaign(campaign(9))
    with pytest.raises(ValueError, match="three positive numbers"):
        split_campaign(made, fractions=(0.8, 0.3, 0.1))
    made.omega[5, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"omega is not finite in 1 of 57 rows \(rows 5"):
        EmulatorData.from_campaign(made)
    data = EmulatorData.from_campaign(campaign(60))
    with pytest.raises(ValueError, match=r"eta has shape .* must be \(57, 10, 6\)"):
        EmulatorData(
            parameters=data.parameters, edges=EDGES, xi=data.xi, omega=data.omega,
            eta=data.eta[:, :, :2],
        )  # fmt: skip


def test_files_keep_what_they_say(tmp_path: Path, split: Split):
    split.write(tmp_path / "split.h5")
    split.test.write(tmp_path / "test.h5")
    back = read_data(tmp_path / "split.h5")
    assert isinstance(back, Split)
    for one, other in zip(split, back, strict=True):
        assert np.array_equal(one.parameters, other.parameters)
        assert np.array_equal(one.row, other.row)
        assert one.description == other.description
        for name in ("xi", "omega", "eta", "expected_omega", "response", "response_variance"):
            np.testing.assert_allclose(
                getattr(other, name), getattr(one, name), rtol=2**-14, atol=1e-37
            )
    alone = EmulatorData.read(tmp_path / "test.h5")
    assert alone.response is None
    np.testing.assert_array_equal(alone.omega, back.test.omega)
    with pytest.raises(ValueError, match="not one part"):
        EmulatorData.read(tmp_path / "split.h5")
    with pytest.raises(FileExistsError):
        split.write(tmp_path / "split.h5")
    split.write(tmp_path / "whole.h5", mantissa_bits=23)
    found = read_data(tmp_path / "whole.h5")
    np.testing.assert_array_equal(found.train.eta, split.train.eta.astype(np.float32))


def test_a_test_split_of_full_size_is_small(tmp_path: Path):
    """1600 points, 10 realizations, 3 statistics, 20 bins, of normal noise: below 5 MB."""
    rng = np.random.default_rng(0)
    drawn = {n: rng.lognormal(size=(1600, 10, 20)) for n in ("xi", "omega", "eta")}
    exact = {f"expected_{n}": rng.normal(size=(1600, 20)) for n in ("omega", "eta")}
    data = EmulatorData(
        parameters=rng.random((1600, 7)), edges=np.geomspace(0.1, 16, 21), **drawn, **exact
    )
    data.write(tmp_path / "test.h5")
    assert (tmp_path / "test.h5").stat().st_size < 3.5e6


def test_foreign_and_damaged_files(tmp_path: Path, split: Split):
    with pytest.raises(FileNotFoundError, match="no such emulator data"):
        read_data(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"text\.h5 holds no"):
        read_data(tmp_path / "text.h5")
    path = tmp_path / "test.h5"
    split.test.write(path)
    with changed(path) as file:
        del file["omega"]
    with pytest.raises(ValueError, match=r"test\.h5 is damaged"):
        read_data(path)
    split.test.write(path, overwrite=True)
    with changed(path) as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ValueError, match="newer"):
        read_data(path)
    split.test.write(path, overwrite=True)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"test\.h5"):
        read_data(path)


# ---------------------------------------------------------------------- losses
def test_sufficient_statistics_give_the_loss_of_every_realization():
    g = torch.Generator().manual_seed(1)
    y = torch.randn(5, 10, 3, 4, generator=g, dtype=torch.float64)
    m = torch.randn(5, 3, 4, generator=g, dtype=torch.float64)
    v = torch.rand(5, 3, 4, generator=g, dtype=torch.float64) + 0.1
    whole = torch.stack([beta_nll(m, v, y[:, r], beta=0.5) for r in range(10)]).mean()
    target, spread = y.mean(1), y.var(1, correction=0)
    torch.testing.assert_close(beta_nll(m, v, target, spread, beta=0.5), whole, rtol=1e-13, atol=0)


def test_beta_passes_no_gradient():
    """d/dm = v^beta (m - y)/v, d/dv = v^beta [1/(2v) - (y - m)^2/(2v^2)]."""
    m = torch.tensor([0.3, -1.0], dtype=torch.float64, requires_grad=True)
    v = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([1.0, 1.0], dtype=torch.float64)
    for beta in (0.0, 0.5, 1.0):
        dm, dv = torch.autograd.grad(beta_nll(m, v, y, beta=beta), (m, v))
        weight = v.detach() ** beta / 2  # of two elements
        torch.testing.assert_close(dm, (weight * (m - y) / v).detach())
        torch.testing.assert_close(dv, (weight * (0.5 / v - (y - m) ** 2 / (2 * v**2))).detach())


def test_targets_about_the_exact_mean(split: Split):
    """Their loss is that of the drawn values about any m, on average over the noise of axes."""
    drawn, exact = (Targets.of(split.train, kind) for kind in ("drawn", "expected"))
    m = drawn.mean + 0.01
    every = (drawn.drawn - m[:, None]).square().mean(dim=1)
    torch.testing.assert_close((drawn.mean - m).square() + drawn.spread, every,
                               rtol=1e-4, atol=1e-9)  # fmt: skip
    true = truth(split.train.parameters)
    m = torch.as_tensor(np.stack([true["log_xi"], true["omega"], true["eta"]], 1)).float()
    ratio = ((exact.mean - m).square() + exact.spread).mean(dim=(0, 2)) / (
        (drawn.drawn - m[:, None]).square().mean(dim=(0, 1, 3))
    )
    # 199 rows x 6 bins x 9 degrees of freedom: the two differ by the noise of ybar alone, whose
    # part in the variance is 1/10 with a relative scatter of sqrt(2/1194); 5 of them.
    assert (ratio - 1).abs().max() < 5 * 0.1 * np.sqrt(2 / 1194)
    assert exact.error[:, 1:].mean() < 0.1 * drawn.error[:, 1:].mean()


# ---------------------------------------------------------------------- checkpoints
def test_checkpoint_round_trip(tmp_path: Path):
    kept = {
        "tensors": {0: {"step": torch.tensor(3.0), "m": torch.randn(2, 3)}, 1: {}},
        "bytes": torch.arange(5, dtype=torch.uint8),
        "curve": [0.1, 1 / 3, float("inf")],
        "text": "tensor:0",
        "none": None,
    }
    write_checkpoint(tmp_path / "a.h5", kept)
    back = read_checkpoint(tmp_path / "a.h5")
    assert torch.equal(back["tensors"][0]["m"], kept["tensors"][0]["m"])
    assert back["bytes"].dtype == torch.uint8
    assert back["tensors"][0]["step"].shape == ()
    assert {k: back[k] for k in ("curve", "text", "none")} == {
        k: kept[k] for k in ("curve", "text", "none")
    }
    with pytest.raises(TypeError, match="/f: function"):
        write_checkpoint(tmp_path / "b.h5", {"f": lambda: None})
    assert not (tmp_path / "b.h5").exists()
    (tmp_path / "c.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:900])
    with pytest.raises(ValueError, match=r"is damaged: .*; delete it to start again"):
        read_checkpoint(tmp_path / "c.h5")


class _Stop:
    """Interrupts the validation of one epoch, as Ctrl-C would."""

    def __init__(self, at: int) -> None:
        self.calls, self.at, self.real = 0, at, ResponseTask.validate

    def __call__(self, task: ResponseTask) -> dict[str, float]:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.real(task)


@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_the_same(tmp_path: Path, split: Split, monkeypatch):
    keywords = {**SMALL, "epochs": 6, "dropout": 0.1}
    whole = train(split, **keywords)
    out = tmp_path / "model.h5"
    stop = _Stop(4)
    with monkeypatch.context() as patch:
        patch.setattr(ResponseTask, "validate", lambda task: stop(task))
        with pytest.raises(KeyboardInterrupt, match=r"3 of 6 epochs are kept in .*checkpoint\.h5"):
            train(split, out=out, **keywords)
    assert checkpoint_path(out).exists()
    assert not out.exists()
    with pytest.raises(ValueError, match=r"another run \(seed is 3 there and 5 here\)"):
        train(split, out=out, **{**keywords, "seed": 5})
    resumed = train(split, out=out, **keywords)
    assert same(whole, resumed)
    curves = [e.description["training"]["curves"] for e in (whole, resumed)]
    assert curves[0] == curves[1]
    # All but what is timed, which stands apart.
    assert whole.description["training"] == resumed.description["training"]
    assert set(resumed.description["timing"]) == {"seconds"}
    assert len(curves[0]["score"]) == 6
    assert not checkpoint_path(out).exists()
    assert same(Emulator.read(out), whole)


def test_a_finished_run_is_not_done_again(tmp_path: Path, split: Split):
    """A kill between the model and the end of the command leaves nothing to train."""
    out = tmp_path / "model.h5"
    first = train(split, out=out, epochs=2, **SMALL)
    before = out.read_bytes()
    checkpoint_path(out).write_bytes(b"left by the kill")
    with pytest.warns(UserWarning, match=r"model\.h5 is the finished model of this run: nothing"):
        again = train(split, out=out, epochs=2, **SMALL)
    assert same(first, again)
    assert first.description["training"] == again.description["training"]
    assert (os.listdir(tmp_path), out.read_bytes()) == (["model.h5"], before)
    for other, said in (
        ({"epochs": 3}, r"recipe is .*epochs.*overwrite=True"),
        ({"seed": 8}, "seed is 3 there and 8 here"),
        ({"depth": 4}, "network is "),
    ):
        with pytest.raises(FileExistsError, match=said):
            train(split, out=out, **{**SMALL, "epochs": 2, **other})
    drawn = replace(split.train, omega=split.train.omega * 1.5)
    with pytest.raises(FileExistsError, match="values is "):
        train(Split(drawn, split.validation, split.test), out=out, epochs=2, **SMALL)
    with pytest.raises(FileExistsError, match="is there already; pass overwrite=True"):
        train(split, out=out, epochs=2, resume=False, **SMALL)
    out.write_bytes(before[:-300])
    with pytest.raises(FileExistsError, match="is there already"):
        train(split, out=out, epochs=2, **SMALL)
    train(split, out=out, epochs=2, overwrite=True, **SMALL)
    assert Emulator.read(out).description["training"] == first.description["training"]


def test_restart(tmp_path: Path, split: Split, monkeypatch):
    out, stop = tmp_path / "model.h5", _Stop(2)
    with monkeypatch.context() as patch:
        patch.setattr(ResponseTask, "validate", lambda task: stop(task))
        with pytest.raises(KeyboardInterrupt):
            train(split, out=out, epochs=3, **SMALL)
    found = train(split, out=out, **{**SMALL, "epochs": 2, "seed": 9}, resume=False)
    assert found.description["training"]["epochs_run"] == 2


def test_seeds_and_the_global_state(split: Split):
    torch.manual_seed(11)
    before = torch.get_rng_state()
    one, two = (train(split, epochs=2, **SMALL) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert same(one, two)
    assert not same(one, train(split, epochs=2, **{**SMALL, "seed": 4}))


# ---------------------------------------------------------------------- what is learned
@pytest.fixture(scope="module")
def learned(split: Split) -> Emulator:
    return train(split, epochs=80, members=2, dropout=0.0, seed=3)


def _off(emulator: Emulator, split: Split) -> dict[str, float]:
    """Mean |error| over mean |truth| on the test set, against what is true."""
    true = truth(split.test.parameters)
    said = emulator.predict(split.test.parameters, on_outside="ignore")
    found = {"xi": np.abs(np.log(said.xi.mean) - true["log_xi"]).mean()}
    for name in ("omega", "eta"):
        off = np.abs(getattr(said, name).mean - true[name])
        found[name] = off.mean() / np.abs(true[name]).mean()
    return found


@pytest.mark.slow
def test_response_learns_the_truth(learned: Emulator, split: Split):
    """Noise of 1 to 4 % in each of 10 realizations of 200 points: 3 % is well within reach."""
    found = _off(learned, split)
    assert max(found.values()) < 0.03, found


@pytest.mark.slow
def test_predicted_errors_are_those_of_the_noise(learned: Emulator, split: Split):
    true = truth(split.test.parameters)
    said = learned.predict(split.test.parameters, on_outside="ignore")
    for name in ("omega", "eta"):
        ratio = np.log10(getattr(said, name).aleatoric / true[f"sigma_{name}"])
        # 28 validation rows x 10 realizations calibrate each bin: 1/sqrt(2 x 28 x 9) = 4.5 %,
        # 0.02 dex a bin; the positions' part of the noise, 2 % of the signal, is left out of it.
        assert abs(ratio.mean()) < 0.05, name


@pytest.mark.slow
def test_exact_means_are_worth_having(learned: Emulator, split: Split):
    """A network like it on means of drawn axes, whose noise is that of 10 realizations."""
    drawn = train(split, epochs=80, targets="drawn", members=2, dropout=0.0, seed=3)
    exact, noisy = _off(learned, split), _off(drawn, split)
    assert exact["omega"] < 0.5 * noisy["omega"]
    assert exact["eta"] < 0.5 * noisy["eta"]
    assert drawn.description["training"]["recipe"]["targets"] == "drawn"


@pytest.mark.slow
@pytest.mark.parametrize("sufficient", [True, False])
def test_published_learns(split: Split, sufficient: bool):
    epochs = 6 if sufficient else 1
    made = train(
        split, kind="published", epochs=epochs, sufficient=sufficient, seed=1, learning_rate=1e-3,
        batch=32 if sufficient else 256,
    )  # fmt: skip
    training = made.description["training"]
    assert made.kind == "published"
    # Guessing the mean of each statistic has an MSE of the variance, 1.
    assert training["curves"]["mse"][training["best_epoch"] - 1] < 0.75
    json.dumps(training, allow_nan=False)


@pytest.mark.slow
def test_early_stopping_keeps_the_best(split: Split):
    made = train(split, epochs=60, patience=2, learning_rate=0.05, **SMALL)
    training = made.description["training"]
    score = training["curves"]["score"]
    assert training["epochs_run"] < 60
    assert training["epochs_run"] - training["best_epoch"] == 2
    assert min(score) == score[training["best_epoch"] - 1]
    assert training["stopped"] == "no better score for 2 epochs"


@pytest.mark.slow
def test_calibration_scales_the_errors(learned: Emulator, split: Split):
    rows = Targets.of(split.validation, "expected")
    network = Emulator(learned.network, bins=EDGES, bounds=learned.training_bounds).network
    for by in ("scatter", "coverage", "likelihood"):
        for per in ("bin", "statistic"):
            factors = sigma_factors(network, rows, by=by, per=per)
            assert factors.shape == (3, 6)
            if per == "statistic":
                assert (factors == factors[:, :1]).all()
    # Calibrated by the scatter already: nothing is left to do. Twice the errors want half.
    left = sigma_factors(network, rows, by="scatter")
    torch.testing.assert_close(left, torch.ones_like(left), rtol=1e-4, atol=0)
    apply_factors(network, torch.full((3, 6), 2.0))
    half = sigma_factors(network, rows, by="scatter")
    torch.testing.assert_close(half, 0.5 * torch.ones_like(left), rtol=1e-4, atol=0)


# ---------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"kind": "other"}, ValueError, "kind = 'other'"),
        ({"epoch": 3}, TypeError, "epoch"),
        ({"epochs": 0}, ValueError, "epochs = 0"),
        ({"epochs": 1.5}, TypeError, "whole number"),
        ({"batch": 1}, ValueError, "batch = 1"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate = -1"),
        ({"targets": "both"}, ValueError, "targets = 'both'"),
        ({"calibrate": "yes"}, ValueError, "calibrate = 'yes'"),
        ({"sufficient": False}, ValueError, "sufficient = False"),
        ({"kind": "published", "targets": "expected"}, ValueError, "sufficient=True"),
        ({"kind": "published", "calibrate": "scatter"}, ValueError, "not calibrated"),
        ({"widths": 3}, TypeError, "widths"),
        ({"members": 65}, ValueError, "members = 65: must be from 1 to 64"),
        ({"dropout": 1.0}, ValueError, "dropout = 1.0: must be below 1"),
        ({"kind": "published", "members": 2}, TypeError, "members"),
        ({"clip": 0.0}, ValueError, "clip = 0"),
        ({"device": "abacus"}, ValueError, "device = 'abacus'"),
        ({"seed": -1}, ValueError, "seed = -1"),
        ({"out": "model.txt"}, ValueError, "unknown suffix"),
    ],
)
def test_bad_keywords(split: Split, keywords: dict, error: type, text: str):
    with pytest.raises(error, match=text):
        train(split, **keywords)


def test_nothing_trains_on_the_test_part(split: Split):
    with pytest.raises(ValueError, match="nothing may train on"):
        train(split.test)


def test_data_that_lack_something(split: Split):
    bare = Split(*(part.take(np.arange(10)) for part in split))
    none = [
        EmulatorData(parameters=p.parameters, edges=p.edges, xi=p.xi, omega=p.omega, eta=p.eta)
        for p in bare
    ]
    with pytest.raises(ValueError, match="no exact expectations"):
        train(Split(*none))
    with pytest.raises(ValueError, match="no response functions"):
        train(Split(*none), targets="drawn")


def test_a_rate_that_is_too_high_is_said(split: Split):
    with pytest.raises(ValueError, match=r"learning rate, 1e\+30, may be too high"):
        train(split, epochs=3, learning_rate=1e30, **SMALL)


def test_data_sets_need_no_torch(fresh):
    fresh(
        """
        import sys
        from pysoftcorr.emulator.data import EmulatorData
        from pysoftcorr.emulator.data import read_data
        from pysoftcorr.emulator import evaluation as metrics
        assert "torch" not in sys.modules
        """
    )
