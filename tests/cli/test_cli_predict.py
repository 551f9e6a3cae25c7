"""``softcorr predict`` and its figures."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import numpy as np
import pytest

pytest.importorskip("torch")
matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from pysoftcorr import plots  # noqa: E402
from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.emulator.model_file import shipped_model  # noqa: E402
from pysoftcorr.mocks import BoxCorrelations  # noqa: E402
from pysoftcorr.mocks.design import PARAMETERS  # noqa: E402

EDGES = np.geomspace(0.2, 10, 5)
HOD = ["--logMmin", 12, "--sigma-logM", 0.26, "--logM0", 12, "--logM1", 13, "--alpha", 1]
POINT = [-0.5, 0.0, 12.0, 0.26, 12.0, 13.0, 1.0]


@pytest.fixture(scope="module")
def emulator():
    return Emulator.untrained("response", bins=EDGES, seed=3, members=2, width=8)


@pytest.fixture(scope="module")
def model(emulator, tmp_path_factory):
    return emulator.write(tmp_path_factory.mktemp("model") / "m.h5")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_table_and_files(run, model, emulator, tmp_path):
    code, out, err = run(
        "predict", *HOD, "--mu-cen", -0.5, "--model", model, "--seed", 4, "--jacobian",
        "--out", tmp_path / "p.ecsv", "--plot", tmp_path / "figures",
    )  # fmt: skip
    assert code == 0, err
    said = emulator.predict(POINT, seed=4)
    assert out == (
        "mu_cen = -0.5, mu_sat = 0, logMmin = 12, sigma_logM = 0.26, logM0 = 12, logM1 = 13, "
        f"alpha = 1\n\n{said.summary()}\n"
    )
    assert sorted(p.name for p in tmp_path.rglob("*.*")) == [
        "jacobians.png", "p.ecsv", "prediction.png",
    ]  # fmt: skip
    assert err.count("wrote ") == 3


def test_json(run, model, emulator):
    code, out, _ = run("predict", *HOD, "--mu-cen", -0.5, "--model", model, "--json")
    assert code == 0
    document = json.loads(out)
    said = emulator.predict(POINT, seed=1)
    assert document["omega"]["epistemic"] == said.omega.epistemic.tolist()
    assert "jacobian" not in document
    out = run("predict", *HOD, "--mu-cen", -0.5, "--model", model, "--json", "--jacobian")[1]
    np.testing.assert_allclose(json.loads(out)["jacobian"]["eta"], emulator.jacobian(POINT)["eta"])


def test_fixed_hod_and_what_changes_it(run, model):
    out = run("predict", "--hod", "mstar10.5", "--alpha", 1.1, "--model", model, "--json")[1]
    assert list(json.loads(out)["parameters"].items()) == list(
        zip(PARAMETERS, [0.78, 0.33, 12.54, 0.26, 12.68, 13.48, 1.1], strict=True)
    )


def test_outside(run, model):
    arguments = ["predict", "--hod", "mstar10.5", "--alpha", 3, "--model", model]
    code, _, err = run(*arguments)
    assert code == 0
    assert err.startswith("warning: outside of the training bounds")
    assert "--alpha 3 is outside of [0.6" in err
    code, out, err = run(*arguments, "--on-outside", "error")
    assert (code, out) == (2, "")
    assert "--alpha 3" in err
    assert run(*arguments, "--on-outside", "ignore")[2] == ""


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "--logMmin, --sigma-logM, --logM0, --logM1, --alpha: must be given, or a --hod"),
        ([*HOD, "--mu-cen", 2], r"--mu-cen 2: an alignment strength lies in \[-1, 1\]"),
        ([*HOD, "--mu-cen", "x"], "--mu-cen 'x': must be a number"),
        ([*HOD, "--passes", 1], "must be at least 2"),
        ([*HOD, "--model", "none.h5"], "no such emulator: none.h5"),
        ([*HOD, "--out", "p.txt"], "unknown suffix; use .ecsv"),
        (["--hod", "mstar8"], "must be one of mstar10.5"),
    ],
)
def test_refused(run, model, arguments, text):
    given = arguments if "--model" in arguments else [*arguments, "--model", model]
    code, out, err = run("predict", *given)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(text, err)


def test_without_a_model(run):
    try:
        shipped_model()
    except FileNotFoundError:
        code, out, err = run("predict", "--hod", "mstar10.5")
        assert (code, out) == (2, "")
        assert "has no trained emulator" in err
    else:
        assert run("predict", "--hod", "mstar10.5")[0] == 0


# ---------------------------------------------------------------------- figures
def box(edges):
    """Correlations as measured in a box; a bin without pairs, and one of negative xi."""
    n = len(edges) - 1
    every = dict.fromkeys((f.name for f in fields(BoxCorrelations)), None)
    numbers = {
        "xi": [0.5, -0.1, 1.5, np.nan], "omega": [1.0, np.nan, 3.0, np.nan],
        "eta": [1.0, np.nan, 3.0, np.nan],
    }  # fmt: skip
    made = {name: np.array(values)[:n] for name, values in numbers.items()}
    return BoxCorrelations(**{**every, **made, "edges": edges, "settings": {}, "version": "0"})


def test_prediction_is_drawn(emulator):
    said = emulator.predict(POINT)
    measured = box(EDGES)
    figure = plots.plot_prediction(said, measured=measured)
    assert len(figure.axes) == 6
    for ax, name in zip(figure.axes[:3], ("xi", "omega", "eta"), strict=True):
        values = getattr(said, name)
        curve = next(line for line in ax.lines if line.get_label() == "emulator")
        np.testing.assert_array_equal(curve.get_ydata(), values.mean)
        dots = {c.get_label(): c.lines[0] for c in ax.containers}
        shown = dots["one simulated box"].get_ydata()
        np.testing.assert_array_equal(shown, [0.5, 1.5] if name == "xi" else [1.0, 3.0])
        if name == "xi":  # below 0: open, at its absolute value
            negative = dots["one simulated box, negative"]
            assert negative.get_ydata().tolist() == [0.1]
            assert negative.get_markerfacecolor() == "white"
        for band, sigma in zip(ax.collections, (values.aleatoric, values.epistemic), strict=True):
            top = band.get_paths()[0].vertices[:, 1].max()
            assert top == pytest.approx((values.mean + sigma).max())
    assert figure.axes[0].get_yscale() == "log"
    with pytest.raises(ValueError, match="a figure is of one point"):
        plots.plot_prediction(emulator.predict([POINT, POINT]))
    with pytest.raises(ValueError, match="other bins"):
        plots.plot_prediction(said, measured=box(EDGES[1:]))


def test_jacobians_are_drawn(emulator):
    said, slopes = emulator.predict(POINT), emulator.jacobian(POINT)
    figure = plots.plot_jacobians(
        slopes, mean_xi=said.xi.mean, bins=emulator.edges, names=emulator.names
    )
    for ax, name in zip(figure.axes, ("xi", "omega", "eta"), strict=True):
        for j in range(7):
            expected = slopes[name][:, j] / (said.xi.mean if name == "xi" else 1)
            np.testing.assert_allclose(ax.lines[j].get_ydata(), expected)
            np.testing.assert_allclose(ax.lines[j].get_xdata(), emulator.r)
    with pytest.raises(ValueError, match="jacobian of xi: shape"):
        plots.plot_jacobians(
            emulator.jacobian([POINT]), mean_xi=said.xi.mean, bins=EDGES, names=emulator.names
        )
