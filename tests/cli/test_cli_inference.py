"""``softcorr posterior`` and ``softcorr minimize``, and the descent itself."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")
pytest.importorskip("arviz")
from helpers.analytic_emulator import HOD, AnalyticEmulator  # noqa: E402
from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.inference import (  # noqa: E402
    LogPosterior,
    Minimization,
    Normal,
    Observation,
    Posterior,
    minimize,
    sample_posterior,
)
from pysoftcorr.mocks import HaloCatalog, HODModel  # noqa: E402

EDGES = np.geomspace(0.3, 12.0, 7)


# ---------------------------------------------------------------------- descent
@pytest.mark.slow
def test_quadratic_within_bounds():
    def loss(p):
        return (p["x"] - 0.3) ** 2 + 2 * (p["y"] - 4.0) ** 2 + 0.5 * (p["x"] - 0.3) * (p["y"] - 4)

    bounds = {"x": (-1, 1), "y": None}
    for method in ("adam", "lbfgs"):
        found = minimize(loss, bounds, start={"y": 1.0}, method=method)
        assert found.best["x"] == pytest.approx(0.3, abs=2e-3)
        assert found.best["y"] == pytest.approx(4.0, abs=2e-3)
        assert found.trace[0].tolist() == [0.0, 1.0]
        x, y = found.trace.T
        np.testing.assert_allclose(found.loss, loss({"x": x, "y": y}), rtol=1e-12)
        np.testing.assert_allclose(
            found.gradient[:, 0], 2 * (x - 0.3) + 0.5 * (y - 4), rtol=1e-9, atol=1e-12
        )
    assert found.converged
    assert found.steps < 30  # L-BFGS


def test_a_minimum_on_the_bound_is_approached_but_never_passed():
    found = minimize(lambda p: p["x"], {"x": (-0.5, 2.0)}, max_iter=800)
    assert found.trace.min() >= -0.5
    assert found.best["x"] == pytest.approx(-0.5, abs=5e-3)
    assert (np.diff(found.loss) <= 1e-12).all()


def test_parameters_that_made_the_data_are_found():
    emulator = AnalyticEmulator()
    truth = {"mu_cen": 0.45, "mu_sat": -0.25}
    params = torch.tensor([*truth.values(), *HOD.values()], dtype=torch.float64)
    made = emulator.mean_and_std(params)
    values = {name: made[name][0].numpy() for name in ("omega", "eta")}
    errors = {name: np.full(6, 0.01) for name in values}
    density = LogPosterior(emulator, Observation(emulator.edges, **values, errors=errors),
                           fixed=HOD)  # fmt: skip
    found = minimize(density, method="lbfgs", tol=1e-9)
    assert found.converged
    for name, value in truth.items():
        assert found.best[name] == pytest.approx(value, abs=1e-5)
    assert found.loss.min() < 1e-8
    # -ln likelihood is half of chi2, and what normalizes it.
    likelihood = minimize(density, method="lbfgs", objective="likelihood", max_iter=1)
    constant = 0.5 * 12 * np.log(2 * np.pi * 0.01**2)
    assert likelihood.loss[0] == pytest.approx(found.loss[0] / 2 + constant, rel=1e-12)


def test_prior_pulls():
    emulator = AnalyticEmulator()
    free = ("mu_cen", "logM1")  # the stand-in does not depend on log M1
    fixed = {"mu_sat": 0.1, **{k: v for k, v in HOD.items() if k != "logM1"}}
    density = LogPosterior(
        emulator, Observation.unaligned(emulator.edges), free=free, fixed=fixed,
        priors={"logM1": Normal(13.2, 0.2)},
    )  # fmt: skip
    found = minimize(density, objective="posterior", start={"logM1": 13.5}, method="lbfgs")
    assert found.best["logM1"] == pytest.approx(13.2, abs=1e-4)


def test_trace_in_a_file(tmp_path):
    found = minimize(lambda p: (p["x"] - 0.3) ** 2, {"x": (-1, 1)}, max_iter=20)
    found.write(tmp_path / "t.ecsv")
    back = Minimization.read(tmp_path / "t.ecsv")
    for name in ("trace", "loss", "gradient"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
    assert back.to_dict() == found.to_dict()
    (tmp_path / "no.ecsv").write_text("x\n1\n")
    with pytest.raises(ValueError, match="holds no trace"):
        Minimization.read(tmp_path / "no.ecsv")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        ((3,), {}, TypeError, "loss must be a function"),
        ((lambda p: p["x"],), {}, ValueError, "bounds must be given"),
        ((lambda p: p["x"], {"x": (1, 0)}), {}, ValueError, r"bounds of x = \(1, 0\)"),
        ((lambda p: p["x"], {"x": (0, 1)}), {"start": {"x": 1.0}}, ValueError, "not on them"),
        ((lambda p: p["x"], {"x": None}), {}, ValueError, "start of x must be given"),
        ((lambda p: p["x"], {"x": (0, 1)}), {"start": {"y": 1.0}}, ValueError, "y is not among"),
        ((lambda p: p["x"], {"x": (0, 1)}), {"method": "sgd"}, ValueError, "method = 'sgd'"),
        ((lambda p: p["x"], {"x": (0, 1)}), {"max_iter": 0}, ValueError, "max_iter = 0"),
        ((lambda p: p["x"], {"x": (0, 1)}), {"learning_rate": 0}, ValueError, "learning_rate = 0"),
        ((lambda p: 3.0, {"x": (0, 1)}), {}, TypeError, "must give a torch scalar"),
        ((lambda p: (p["x"] - 1).log(), {"x": (0, 1)}), {}, ValueError,
         "not finite.*at step 0, x = 0.5"),
    ],
)  # fmt: skip
def test_bad_descents(arguments, options, error, text):
    with pytest.raises(error, match=text):
        minimize(*arguments, **options)


# ---------------------------------------------------------------------- commands
@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.h5"
    Emulator.untrained("response", bins=EDGES, seed=1).write(path)
    return path


SHORT = ["--chains", 2, "--warmup", 30, "--draws", 20]


@pytest.mark.slow
def test_posterior_is_that_of_the_api(run, model, tmp_path):
    out, figures = tmp_path / "p.nc", tmp_path / "figures"
    code, said, err = run("posterior", "--hod", "mstar9.5", "--model", model, *SHORT, "--seed",
                          5, "--out", out, "--plot", figures, "--json")  # fmt: skip
    assert code == 0, err
    document = json.loads(said)
    emulator = Emulator.read(model)
    wanted = sample_posterior(emulator, Observation.unaligned(emulator.edges), chains=2, warmup=30,
                              draws=20, seed=5, fixed=HODModel.preset("mstar9.5"))  # fmt: skip
    np.testing.assert_allclose(Posterior.read(out).draws, wanted.draws, rtol=1e-10)
    row = wanted.diagnostics()["mu_cen"]
    assert document["parameters"]["mu_cen"]["mean"] == pytest.approx(row["mean"], rel=1e-10)
    assert document["fixed"]["logMmin"] == 11.61
    assert {path.name for path in figures.iterdir()} == {
        "corner.png", "correlations.png", "trace.png",
    }  # fmt: skip
    assert "warning: NUTS on Emulator: r-hat above 1.01" in err  # so few draws


@pytest.mark.slow
def test_posterior_with_its_check(run, model, tmp_path):
    halos = tmp_path / "halos.h5"
    HaloCatalog.simulate(50.0, 32, mmin=5e11, seed=3).write(halos)
    code, said, err = run("posterior", "--hod", "mstar10.0", "--model", model, *SHORT,
                          "--check", halos, "--realizations", 2)  # fmt: skip
    assert code == 0, err
    assert said.startswith("emulator:\n")
    assert "\nsimulation:\n" in said
    for word in ("mu_cen", "mu_sat", "r-hat", "ESS bulk", "acceptance", "divergences"):
        assert said.count(word) == 2


@pytest.mark.slow
def test_data_fixed_values_and_priors(run, model, tmp_path):
    emulator = Emulator.read(model)
    from astropy.table import Table

    path = tmp_path / "data.ecsv"
    Table({"r_lo": EDGES[:-1], "r_hi": EDGES[1:], "omega": np.zeros(6), "eta": np.zeros(6),
           "omega_err": np.full(6, 0.01), "eta_err": np.full(6, 0.02)}).write(path)  # fmt: skip
    fixed = {name: float(np.mean(emulator.bounds[name])) for name in emulator.names[3:]}
    options = [t for name, value in fixed.items() for t in ("--fixed", f"{name}={value}")]
    code, said, err = run(
        "posterior", "--data", path, "--model", model, *options, *SHORT, "--json",
        "--free", "mu_cen,mu_sat,logMmin", "--prior", "logMmin=truncated:12:0.2:11.5:12.5",
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(said)
    assert list(document["parameters"]) == ["mu_cen", "mu_sat", "logMmin"]
    assert document["priors"]["logMmin"]["kind"] == "TruncatedNormal"
    assert document["statistics"] == ["omega", "eta"]
    assert document["settings"]["noise"] == "data"


@pytest.mark.slow
def test_minimize_by_command(run, model, tmp_path):
    out = tmp_path / "t.ecsv"
    code, said, err = run("minimize", "--hod", "mstar10.0", "--model", model, "--start",
                          "mu_cen=0.5", "--method", "lbfgs", "--out", out, "--plot", tmp_path,
                          "--json")  # fmt: skip
    assert code == 0, err
    document = json.loads(said)
    assert document["start"] == {"mu_cen": 0.5, "mu_sat": 0.0}
    assert document["loss"] < 1e-4  # omega = 0 without alignments
    assert len(Minimization.read(out).loss) == document["steps"] + 1
    assert (tmp_path / "minimization.png").exists()


@pytest.mark.slow
def test_scale_cuts_by_command(run, model, tmp_path):
    path = tmp_path / "data.csv"
    rows = ["r_lo,r_hi,omega,omega_err"]
    for k, (low, high) in enumerate(pairwise(EDGES)):
        value = "" if k == 0 else 0.05 if k < 3 else 0.0  # no value in the first bin
        rows.append(f"{low:.5g},{high:.5g},{value},0.01")
    path.write_text("\n".join(rows))
    line = ["minimize", "--data", path, "--hod", "mstar10.0", "--model", model, "--max-iter", 3,
            "--method", "lbfgs", "--json"]  # fmt: skip
    bins = "edges:" + ",".join(f"{x:.6g}" for x in EDGES[3:])
    cuts = (["--r-min", f"{EDGES[3]:.5g}"], ["--bins", bins])
    losses = []
    for cut in cuts:
        code, said, err = run(*line, *cut)
        assert code == 0, err
        losses.append(json.loads(said)["loss"])
    assert losses[0] == losses[1] < 1e-4  # omega = 0 is all that is left
    code, said, err = run(*line)
    assert code == 2
    assert "omega in bins [0]: no value, or no pairs. --on-bad drop leaves these bins out" in err
    code, said, err = run(*line, "--r-min", 500)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "leave none of the bins" in err


@pytest.fixture(scope="module")
def boxed(tmp_path_factory):
    """A model that knows its box, its halos and the correlation between bins."""
    from pysoftcorr.emulator.correlation import BinCorrelation

    emulator = Emulator.untrained("response", bins=EDGES, seed=1)
    emulator.description["campaign"] = {
        "halos": {"boxsize": 100.0, "meta": {"mdef": "vir"}}, "redshift": 0.0,
        "cosmology": {"name": "planck18", "Om0": 0.3111},
    }  # fmt: skip
    steps = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    emulator.correlation = BinCorrelation(
        np.zeros(5), np.eye(5), {"omega": 0.5 ** steps[None]}, {"omega": np.zeros((1, 6))}
    )
    path = tmp_path_factory.mktemp("boxed") / "model.h5"
    return emulator.write(path)


def _table(path, *, errors=False, meta=None):
    from astropy.table import Table

    values = {"omega": np.linspace(0.05, 0, 6), "eta": np.zeros(6)}
    if errors:
        values |= {"omega_err": np.full(6, 0.01), "eta_err": np.full(6, 0.01)}
    table = Table({"r_lo": EDGES[:-1], "r_hi": EDGES[1:], **values})
    table.meta.update(meta or {})
    table.write(path, format=f"ascii.{path.suffix[1:]}")
    return path


@pytest.mark.slow
def test_boxes_by_command(run, boxed, tmp_path):
    csv = _table(tmp_path / "data.csv")
    line = ["minimize", "--hod", "mstar10.0", "--model", boxed, "--max-iter", 2, "--method",
            "lbfgs", "--objective", "likelihood", "--statistics", "omega", "--json"]  # fmt: skip
    losses = {}
    for name, more, text in (
        ("none", [], "do not say their box: their noise is taken as that of the emulator's, 100"),
        ("same", ["--boxsize", 100], None),
        ("sides", ["--boxsize", "50,100,200"], None),
        ("small", ["--boxsize", 60], "covariance is multiplied by 4.63"),
    ):
        code, said, err = run(*line, "--data", csv, *more)
        assert code == 0, err
        assert (text is None) == (err == "")
        assert text is None or text in err
        losses[name] = json.loads(said)["trace"]["loss"][0]
    assert losses["none"] == losses["same"] == losses["sides"]
    assert losses["small"] != losses["same"]
    assert "pass --boxsize SIDE" in run(*line, "--data", csv)[2]
    code, _, err = run(*line, "--data", csv, "--boxsize", "big")
    assert (code, err) == (2, "error: --boxsize 'big': must be a number or three\n")
    for meta, text in (
        ({"redshift": 0.5}, "the data have redshift 0.5, the emulator 0"),
        ({"mdef": "200c"}, "mass definition 200c, the emulator vir"),
        ({"cosmology": "WMAP9"}, "a cosmology of Om0 0.2865, the emulator 0.3111"),
    ):
        ecsv = _table(tmp_path / "data.ecsv", meta={**meta, "boxsize": 100})
        code, _, err = run(*line, "--data", ecsv)
        assert (code, len(err.splitlines())) == (2, 1)
        assert text in err
        assert "--on-outside warn" in err
        code, _, err = run(*line, "--data", ecsv, "--on-outside", "warn")
        assert code == 0
        assert text in err
        ecsv.unlink()


@pytest.mark.slow
def test_covariances_by_command(run, boxed, tmp_path):
    csv = _table(tmp_path / "data.csv")
    root = np.random.default_rng(1).normal(size=(12, 12))
    covariance = 1e-4 * (root @ root.T / 12 + np.eye(12))
    np.savetxt(tmp_path / "c.txt", covariance, header="covariance_from = 40")
    np.save(tmp_path / "c.npy", covariance)
    line = ["minimize", "--data", csv, "--hod", "mstar10.0", "--model", boxed, "--max-iter", 2,
            "--method", "lbfgs", "--objective", "likelihood", "--json"]  # fmt: skip

    def first(*more):
        code, said, err = run(*line, *more)
        assert code == 0, err
        assert err == ""
        return json.loads(said)["trace"]["loss"][0]

    emulator = Emulator.read(boxed)
    from pysoftcorr.inference import LogPosterior

    def wanted(likelihood, **cuts):
        data = Observation.read(csv, covariance=covariance, covariance_from=40).cut(**cuts)
        density = LogPosterior(
            emulator, data, fixed=HODModel.preset("mstar10.0"), likelihood=likelihood
        )
        return -density.log_likelihood([0.0, 0.0])

    text, array = tmp_path / "c.txt", tmp_path / "c.npy"
    assert first("--covariance", text) == pytest.approx(wanted("sellentin-heavens"), rel=1e-9)
    assert first("--covariance", array) == pytest.approx(wanted("gaussian"), rel=1e-9)
    assert first("--covariance", array, "--covariance-from", 40) == first("--covariance", text)
    for likelihood in ("gaussian", "hartlap"):
        found = first("--covariance", text, "--likelihood", likelihood)
        assert found == pytest.approx(wanted(likelihood), rel=1e-9)
    found = first("--covariance", text, "--r-min", f"{EDGES[2]:.5g}")
    assert found == pytest.approx(wanted("sellentin-heavens", r_min=EDGES[2]), rel=1e-9)
    (tmp_path / "data_cov.txt").write_text(text.read_text())
    assert first() == first("--covariance", text)
    code, _, err = run(*line, "--covariance-from", 14)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "--covariance-from 14: a covariance of 12 values must be from more than 14" in err
    assert "cut bins (--r-min" in err or "cut bins (r_min" in err
    code, _, err = run(*line, "--covariance", tmp_path / "none.npy")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "no such covariance" in err
    code, _, err = run("minimize", "--hod", "mstar10.0", "--model", boxed, "--covariance", text)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "goes with --data" in err


def test_what_is_refused(fails, model, tmp_path):
    where = ["--model", model]
    assert "--hod" in fails("posterior", *where)
    assert "no such file" in fails("posterior", "--data", tmp_path / "none.ecsv", *where)
    assert "mu_sat = nan: must be finite" in fails(
        "posterior", "--hod", "mstar10.0", "--free", "mu_cen", "--fixed", "mu_sat=nan", *where
    )
    assert "--fixed mu_sat=x: must be a number" in fails(
        "posterior", "--hod", "mstar10.0", "--free", "mu_cen", "--fixed", "mu_sat=x", *where
    )
    assert "must read uniform" in fails(
        "posterior", "--hod", "mstar10.0", "--prior", "mu_cen=flat", *where
    )
    assert "unknown suffix" in fails("posterior", "--hod", "mstar10.0", "--out", "p.txt", *where)
    assert "--check" in fails(
        "posterior", "--hod", "mstar10.0", "--epistemic", "--check", "h.h5", *SHORT, *where
    )
    assert "--start mu_cen=a" in fails(
        "minimize", "--hod", "mstar10.0", "--start", "mu_cen=a", *where
    )
    path = tmp_path / "bins.ecsv"
    from astropy.table import Table

    Table({"r_lo": [0.1, 1.0], "r_hi": [1.0, 2.0], "omega": [0.0, 0.0]}).write(path)
    said = fails("posterior", "--data", path, "--hod", "mstar10.0", *where)
    assert "the data have 2 bins" in said


def test_help_imports_nothing_heavy(fresh):
    code = """
        import sys
        import pysoftcorr.inference
        from pysoftcorr.cli import main
        try:
            main(["posterior", "--help"])
        except SystemExit as left:
            assert left.code == 0
        heavy = {"torch", "pyro", "arviz", "matplotlib", "h5py"} & set(sys.modules)
        assert not heavy, heavy
    """
    assert "--prior" in fresh(code).stdout
