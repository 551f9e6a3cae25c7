"""The command ``tau``: its output against Python, its options, its figures, and its messages."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from astropy.table import Table

from helpers.leakage_mocks import sky
from helpers.real_stars import REAL_STARS, needs_real_stars
from pysoftcorr import (
    Catalog,
    CorrelationSet,
    Leakage,
    StarCatalog,
    fit_leakage,
    tau_statistics,
    xi_pm,
)
from pysoftcorr.cli.tau import _xip

BINS = "log:3:60:3"
SMALL = ("--bins", BINS, "--resampling", "jackknife:20", "--n-samples", 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Galaxies and stars, with names of columns of their own and a column of patches."""
    folder = tmp_path_factory.mktemp("tau")
    galaxies, stars = sky(1, (0.1, 1.0, 1.5), n_stars=150, n_galaxies=300, width=3.0)
    table = galaxies.to_table()
    table["good"] = np.arange(len(table)) % 3 > 0
    table["patch"] = np.arange(len(table)) % 18
    table.write(folder / "galaxies.fits")
    table = Table({"a": stars.ra, "d": stars.dec, "e1": stars.g1, "e2": stars.g2, "T": stars.T,
                   "m1": stars.g1_model, "m2": stars.g2_model, "Tm": stars.T_model,
                   "snr": np.arange(len(stars)), "patch": np.arange(len(stars)) % 18})  # fmt: skip
    table.write(folder / "stars.fits")
    return folder


@pytest.fixture
def catalogs(files):
    return [files / "galaxies.fits", files / "stars.fits", *STARS]


NAMED = {"ra": "a", "dec": "d", "g1": "e1", "g2": "e2", "g1_model": "m1", "g2_model": "m2",
         "T": "T", "T_model": "Tm"}  # fmt: skip
STARS = [part for pair in NAMED.items() for part in ("--stars-columns", "=".join(pair))]


def measured(files, *, galaxies=None, stars=None, **options):
    first = Catalog.read(files / "galaxies.fits", **(galaxies or {}))
    second = StarCatalog.read(files / "stars.fits", columns=NAMED, **(stars or {}))
    return tau_statistics(first, second, BINS, seed=1,
                          **({"resampling": "jackknife:20"} | options))  # fmt: skip


def test_values_are_those_of_python(run, files, catalogs, tmp_path):
    out, fit = tmp_path / "tau.h5", tmp_path / "fit.h5"
    code, text, _ = run("tau", *catalogs, *SMALL, "--json", "--out", out, "--leakage", fit)
    assert code == 0
    document = json.loads(text)
    want = measured(files)
    for name in want:
        np.testing.assert_allclose(document[name]["value"], want[name].value)
    found = fit_leakage(want)
    for term, value in found.value.items():
        np.testing.assert_allclose(document["leakage"]["value"][term], value, rtol=1e-6)
    assert list(CorrelationSet.read(out)) == list(want)
    np.testing.assert_allclose(Leakage.read(fit).values, found.values, rtol=1e-6)


def test_what_it_prints(run, catalogs):
    code, text, _ = run("tau", *catalogs, *SMALL)
    assert code == 0
    for words in ("galaxies.fits: 300 objects", "stars.fits: 150 objects", "rho0 (", "tau5 (",
                  "alpha", "beta", "eta", "degrees of freedom", "part of xi+"):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["--reference", "model"], {"reference": "model"}),
        (["--no-subtract-mean"], {"subtract_mean": False}),
        (["--response", "0.5"], {"response": 0.5}),
        (["--select", "good"], {"galaxies": {"select": "good"}}),
        (["--stars-select", "snr > 30"], {"stars": {"select": "snr > 30"}}),
        (["--flip-g1"], {"galaxies": {"flip_g1": True}}),
        (["--stars-flip-g2"], {"stars": {"flip_g2": True}}),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_options_of_both_catalogs(run, files, catalogs, given, options):
    plain = ("--bins", BINS, "--resampling", "none", "--json")
    _, text, _ = run("tau", *catalogs, *plain, *given)
    document = json.loads(text)
    assert document["leakage"] is None
    want, other = measured(files, resampling=None, **options), measured(files, resampling=None)
    for name in want:
        np.testing.assert_allclose(document[name]["value"], want[name].value)
    assert not np.allclose(want.tau5.value, other.tau5.value, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("given", "options"),
    [
        (["--terms", "alpha,beta"], {"terms": ["alpha", "beta"]}),
        (["--covariance", "tau"], {"covariance": "tau"}),
        (["--theta-min", "5", "--terms", "beta"], {"theta_min": 5, "terms": ["beta"]}),
        (["--no-hartlap"], {"hartlap": False}),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_options_of_the_fit(run, files, catalogs, given, options):
    _, text, _ = run("tau", *catalogs, *SMALL, "--json", *given)
    document, want = json.loads(text)["leakage"], fit_leakage(measured(files), **options)
    assert document["terms"] == list(want.terms)
    np.testing.assert_allclose([*document["error"].values()], want.errors, rtol=1e-5)
    assert document["used"] == want.used.tolist()


def test_patches_of_columns(run, catalogs):
    code, text, _ = run("tau", *catalogs, "--bins", BINS, "--patches", "patch", "--stars-patches",
                        "patch", "--n-samples", 0, "--json")  # fmt: skip
    assert code == 0
    assert json.loads(text)["settings"]["resampling"].startswith("jackknife:patches")


def test_figures(run, catalogs, tmp_path):
    assert run("tau", *catalogs, *SMALL, "--plot", tmp_path / "all")[0] == 0
    names = {path.name for path in (tmp_path / "all").iterdir()}
    assert names == {
        "tau.png", "leakage.png", "contamination.png", "rho.png", "covariance.png"
    }  # fmt: skip
    for name in names:
        assert np.ptp(matplotlib.image.imread(tmp_path / "all" / name)[..., :3]) > 0.5
    pdf = tmp_path / "tau.pdf"
    assert run("tau", *catalogs, *SMALL, "--plot", pdf)[0] == 0
    assert pdf.read_bytes().startswith(b"%PDF")
    paper = tmp_path / "paper.png"
    assert run("tau", *catalogs, *SMALL, "--plot", paper, "--plot-style", "paper")[0] == 0
    assert np.shape(matplotlib.image.imread(paper))[1] == 1020  # 3.4 inches


@pytest.mark.parametrize("name", ["tau.sacc", "tau.sacc.fits", "tau.fits"])
def test_sacc(run, files, catalogs, tmp_path, name):
    sacc = pytest.importorskip("sacc")
    form = ("--format", "sacc") if name == "tau.fits" else ()
    assert run("tau", *catalogs, *SMALL, "--out", tmp_path / name, *form)[0] == 0
    want = measured(files)
    read = sacc.Sacc.load_fits(str(tmp_path / name))
    np.testing.assert_allclose(read.mean, np.concatenate([item.value for item in want.values()]))
    np.testing.assert_allclose(read.covariance.dense, want.covariance())


@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("response", [1.0, 0.7])
def test_xip_beside_the_leakage_is_of_the_shapes_of_tau(files, response, mean):
    galaxies = Catalog.read(files / "galaxies.fits")
    result = measured(files, response=response, subtract_mean=mean, resampling=None)
    shapes = galaxies.e - (np.average(galaxies.e, weights=galaxies.w) if mean else 0)
    # xi+ is bilinear in the shapes.
    centered = galaxies.replace(g1=shapes.real, g2=shapes.imag)
    want = xi_pm(centered, BINS).xip.value / response**2
    np.testing.assert_allclose(_xip(galaxies, result).value, want, rtol=1e-10)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("tau", "bare", "stars"), "--columns g1="),
        (("xi", "bare"), "--columns g1="),
        (("xi", "galaxies", "--catalog2", "bare"), "--catalog2-columns g1="),
        (("gammat", "galaxies", "bare"), "--sources-columns g1="),
    ],
)
def test_missing_shears_name_the_option_of_the_catalog(fails, files, tmp_path, command, option):
    bare = tmp_path / "bare.fits"
    Table({"ra": [10.0, 11.0], "dec": [0.0, 1.0], "shape": [0.1, 0.2]}).write(bare)
    places = {"bare": bare, "galaxies": files / "galaxies.fits", "stars": files / "stars.fits"}
    assert option in fails(*(places.get(part, part) for part in command))


def test_too_few_patches_leave_the_statistics(run, catalogs):
    few = ("--bins", BINS, "--resampling", "jackknife:10", "--json")
    code, text, said = run("tau", *catalogs, *few)
    assert code == 0
    assert json.loads(text)["leakage"] is None
    assert "no leakage was fitted: " in said
    assert "needs at least 14 resamples, and there are 10" in said


def test_messages(fails, files, catalogs, tmp_path):
    galaxies, stars = files / "galaxies.fits", files / "stars.fits"
    few = ("--bins", BINS, "--resampling", "jackknife:10")
    for given, message in (
        ([*catalogs, "--terms", "gamma"], "--terms 'gamma': must be one of alpha, beta, eta"),
        ([*catalogs, "--covariance", "rho"], "must be one of joint, tau"),
        ([*catalogs, *few, "--terms", "alpha,beta,eta"], "needs at least 14 resamples"),
        ([*catalogs, "--resampling", "none", "--terms", "beta"], "--resampling none"),
        ([*catalogs, "--response", "-1"], "--response -1.0: must be finite and above 0"),
        ([*catalogs, "--leakage", tmp_path / "fit.fits"], "unknown suffix; use .h5 or .hdf5"),
        ([*catalogs, "--plot", tmp_path / "a.gif"], "unknown suffix"),
        ([*catalogs, "--theta-min", "500"], "--theta-min 500.0"),
        ([*catalogs, "--select", "nothing > 3"], "nothing"),
        ([*catalogs, "--stars-select", "snr > 1e9"], "no row"),
        ([galaxies, galaxies], "g1_model"),
        ([galaxies, tmp_path / "none.fits"], "none.fits"),
        ([*catalogs, "--patches", "patch"], "--stars-patches: must be given with --patches"),
    ):
        line = fails("tau", *given)
        assert message in line, line
        for python in ("=True", "=False", "None", "={", "terms=", "covariance="):
            assert python not in line, line
    assert stars.exists()


@pytest.mark.slow
@needs_real_stars
def test_a_mock_of_the_real_stars(run, tmp_path):
    """Galaxies with the residuals of the PSF in their shapes, and from 4 arcmin on their beta."""
    example = Path(__file__).resolve().parents[2] / "examples" / "psf_leakage.py"
    mock = runpy.run_path(str(example))["mock_galaxies"]
    galaxies, out = tmp_path / "galaxies.fits", tmp_path / "tau.fits"
    mock(StarCatalog.read(REAL_STARS), 3000, beta=1.0).to_table().write(galaxies)
    figure = tmp_path / "tau.pdf"
    chosen = ("--bins", "log:4:40:5", "--terms", "beta", "--covariance", "tau")
    code, text, _ = run("tau", galaxies, REAL_STARS, *chosen, "--json", "--out", out, "--plot",
                        figure)  # fmt: skip
    assert code == 0
    fit = json.loads(text)["leakage"]
    assert abs(fit["value"]["beta"] - 1) < 3 * fit["error"]["beta"]
    assert fit["value"]["beta"] > 2 * fit["error"]["beta"]
    assert figure.read_bytes().startswith(b"%PDF")
    assert CorrelationSet.read(out).covariance().shape == (45, 45)
