"""The command line: every command, its output, and where it comes from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table

import pysoftcorr
from helpers.real_stars import REAL_STARS, needs_real_stars
from pysoftcorr import demo_stars, demo_stars_path
from pysoftcorr.sky.assessment import find
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.correlation import landy_szalay, rho_statistics, xi_pm
from pysoftcorr.sky.result import CorrelationSet
from pysoftcorr.sky.stars import StarCatalog

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--clusters", "20", "--assignments", "6", "--resampling", "bootstrap:5",
         "--bins", "linear:0:40:4"]  # fmt: skip
#: Of the columns written with few decimals, where another machine's last bit may show.
DECIMALS = {"x": 2e-3, "y": 2e-3, "sig_vignet": 2e-7, "sig_psfex": 2e-7}
KEYS = ["theta", "value", "imag", "npairs", "sigma_shot", "sigma_epistemic", "sigma_aleatoric"]
BESIDE = ["all_pairs", "all_pairs_imag", "noise_excess"]


@pytest.fixture
def stars(tmp_path):
    """Eighty of the demo's stars."""
    path = tmp_path / "stars.fits"
    Table.read(demo_stars_path())[:80].write(path)
    return str(path)


def softcorr(*arguments, **options):
    """Run a command in a process of its own."""
    package = str(Path(pysoftcorr.__file__).resolve().parents[1])
    env = {**os.environ, "PYTHONPATH": package, **options.pop("env", {})}
    command = [sys.executable, "-m", "pysoftcorr.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, env=env, **options
    )


def rho(path, **more):
    """Rho statistics of the file by the Python API."""
    options = {"clusters": 20, "assignments": 6, "resampling": "bootstrap:5", "seed": 1} | more
    return rho_statistics(StarCatalog.read(path), "linear:0:40:4", **options)


# ---------------------------------------------------------------------- what it prints
def test_version_and_help(run):
    assert run("--version")[:2] == (0, f"softcorr {pysoftcorr.__version__}\n")
    for arguments in ([], ["--help"]):
        code, out, _ = run(*arguments)
        assert code == 0
        assert all(name in out for name in ("rho", "xi", "wtheta", "cluster", "demo", "julia"))


def test_help_names_every_setting_and_its_default(run):
    code, out, _ = run("rho", "--help")
    assert code == 0
    for option in ("--columns", "--clusters", "--bins", "--assignments", "--resampling"):
        assert option in out
    assert "linear:0:45:8" in out


def test_help_imports_nothing_heavy(fresh):
    done = fresh("""
        import sys
        from pysoftcorr.cli import main
        try:
            main(["rho", "--help"])
        except SystemExit:
            pass
        heavy = {"numpy", "scipy", "astropy", "matplotlib", "torch", "h5py", "juliacall", "pandas"}
        print("HEAVY", sorted(heavy & set(sys.modules)))
    """)
    assert "HEAVY []" in done.stdout


@pytest.mark.slow
def test_table_and_finding(run, stars):
    code, out, err = run("rho", stars, *SMALL)
    assert code == 0, err
    assert "StarCatalog stars.fits: 80 objects" in out
    naive = rho(stars, clusters=None, assignments=0, resampling=None)
    assert rho(stars).with_all_pairs(naive).summary() in out
    assert "sigma_epistemic / sigma_aleatoric" in out
    assert "Finding:" in out


def test_json_is_one_object_with_the_numbers_of_the_api(run, stars):
    code, out, err = run("rho", stars, *SMALL, "--json")
    assert code == 0, err
    document = json.loads(out)  # fails on anything before or after it
    expected = rho(stars)
    for name, item in expected.items():
        assert list(document[name]) == KEYS + BESIDE
        np.testing.assert_allclose(document[name]["value"], item.value, rtol=1e-12)
        np.testing.assert_allclose(
            document[name]["sigma_epistemic"], item.sigma_epistemic, rtol=1e-12
        )
        np.testing.assert_allclose(
            document[name]["sigma_aleatoric"], item.sigma_aleatoric, rtol=1e-12
        )
    assert document["seed"] == 1
    assert document["version"] == pysoftcorr.__version__
    assert document["settings"]["command"]["clusters"] == 20
    assert Binning.from_dict(document["bins"]) == expected.rho1.bins
    assert document["finding"]["skip_clustering"] in (True, False)


@pytest.mark.slow
def test_stdout_holds_nothing_but_json_in_a_process_of_its_own(stars, tmp_path):
    far = "edges:0,20,4000,4001"  # a bin without pairs: a warning, and null in the JSON
    done = softcorr("rho", stars, *SMALL[:6], "--bins", far, "--json", "--plot", tmp_path / "f")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["rho1"]["value"][2] is None
    assert document["rho1"]["npairs"][2] == 0
    assert "NaN" not in done.stdout
    warnings = [line for line in done.stderr.splitlines() if "no pairs" in line]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: ")
    assert "Traceback" not in done.stderr


@needs_real_stars
def test_the_real_catalog_with_no_options_but_its_path(run):
    code, out, err = run("rho", REAL_STARS, "--json")
    assert code == 0, err
    document = json.loads(out)
    for name in ("rho1", "rho2", "rho3", "rho4", "rho5"):
        for key in KEYS:
            assert len(document[name][key]) == 8
            assert np.isfinite(document[name][key]).all()
        assert min(document[name]["sigma_epistemic"]) > 0
        assert min(document[name]["sigma_aleatoric"]) > 0


# ---------------------------------------------------------------------- the other commands
def test_xi_naive(run, stars):
    columns = {"g1": "g1_vignet - g1_psfex", "g2": "g2_vignet - g2_psfex"}
    pairs = [text for k, v in columns.items() for text in ("--columns", f"{k}={v}")]
    code, out, err = run(
        "xi", stars, *pairs, "--clusters", 0, "--resampling", "none", "--bins", "log:1:40:4",
        "--flip-g2", "--json",
    )  # fmt: skip
    assert code == 0, err
    document = json.loads(out)
    expected = xi_pm(Catalog.read(stars, columns=columns, flip_g2=True), "log:1:40:4")
    np.testing.assert_allclose(document["xim"]["value"], expected.xim.value, rtol=1e-12)
    np.testing.assert_allclose(document["xip"]["npairs"], expected.xip.npairs)
    assert document["xip"]["sigma_epistemic"] == [None] * 4
    assert document["finding"] is None


def test_wtheta(run, tmp_path, stars):
    rng = np.random.default_rng(3)
    path = tmp_path / "randoms.csv"
    Table({"ra": rng.uniform(149.7, 150.5, 300), "dec": rng.uniform(1.8, 2.6, 300)}).write(path)
    code, out, err = run("wtheta", stars, path, *SMALL, "--json")
    assert code == 0, err
    expected = landy_szalay(
        Catalog.read(stars), Catalog.read(path), "linear:0:40:4",
        clusters=20, assignments=6, resampling="bootstrap:5", seed=1,
    )  # fmt: skip
    document = json.loads(out)
    np.testing.assert_allclose(document["w"]["value"], expected.w.value, rtol=1e-12)
    np.testing.assert_allclose(
        document["w"]["sigma_epistemic"], expected.w.sigma_epistemic, rtol=1e-12
    )


def test_treecorr_gives_the_naive_value_alone(run, stars):
    pytest.importorskip("treecorr")
    bins = "linear:5:40:4"
    code, out, err = run("rho", stars, "--method", "treecorr", "--bins", bins, "--json")
    assert code == 0, err
    document = json.loads(out)
    expected = rho_statistics(StarCatalog.read(stars), bins, method="treecorr")
    for name, theirs in expected.items():
        np.testing.assert_array_equal(document[name]["npairs"], theirs.npairs)
        np.testing.assert_allclose(document[name]["value"], theirs.value, rtol=1e-12)
        assert document[name]["sigma_epistemic"] == [None] * 4
        assert document[name]["sigma_aleatoric"] == [None] * 4
    assert document["settings"]["method"] == "treecorr"


@pytest.mark.parametrize("suffix", ["fits", "h5"])
def test_cluster_writes_memberships(run, stars, tmp_path, suffix):
    out_file = tmp_path / f"members.{suffix}"
    code, out, err = run(
        "cluster", stars, "--clusters", 7, "--assignments", 3, "--out", out_file, "--json"
    )
    assert code == 0, err
    document = json.loads(out)
    if suffix == "fits":
        objects, clusters = (Table.read(out_file, hdu=h) for h in ("OBJECTS", "CLUSTERS"))
    else:
        with h5py.File(out_file) as file:
            objects, clusters = (
                {k: v[...] for k, v in file[g].items()} for g in ("objects", "clusters")
            )
            assert json.loads(file.attrs["made"])["converged"] is True
    u = np.asarray(objects["memberships"])
    assert u.shape == (80, 7)
    np.testing.assert_allclose(u.sum(axis=1), 1)
    np.testing.assert_array_equal(objects["label"], u.argmax(axis=1))
    assert np.shape(objects["sampled"]) == (80, 3)
    np.testing.assert_allclose(clusters["size"], u.sum(axis=0))
    np.testing.assert_array_equal(document["label"], objects["label"])
    assert sum(document["clusters"]["members"]) == 80
    # The same objects may be read back as a catalog.
    read = Catalog.read(out_file, **({} if suffix == "fits" else {"key": "objects"}))
    np.testing.assert_allclose(read.ra, Catalog.read(stars).ra)


@pytest.mark.slow
def test_demo(run, tmp_path):
    folder = tmp_path / "demo" / "output"
    code, out, err = run("demo", "--out", folder)
    assert code == 0, err
    assert "rho5 (aleatoric: 100 bootstrap; epistemic: 100 assignments)" in out
    assert "Finding:" in out
    names = {p.name for p in folder.iterdir()}
    assert {"rho.h5", "rho_statistics.png", "memberships.png", "shapes.png"} <= names
    saved = CorrelationSet.read(folder / "rho.h5")
    assert saved.rho1.epistemic.shape == saved.rho1.aleatoric.shape == (100, 8)
    # Again, over what is there; the finding is that of the shipped stars.
    code, out, err = run("demo", "--out", folder, "--json")
    assert code == 0, err
    naive = rho_statistics(demo_stars(), saved.rho1.bins)
    assert json.loads(out)["finding"]["median_ratio"] == find(saved).median
    assert json.loads(out)["finding"]["verdict"] == find(saved, naive=naive).verdict


def test_julia_install_and_compile_pass_their_options_on(run, monkeypatch):
    calls = []
    from pysoftcorr._julia import image, install

    monkeypatch.setattr(install, "install", lambda **options: calls.append(options))
    monkeypatch.setattr(image, "compile_image", lambda **options: calls.append(options))
    assert run("julia", "install", "--no-image", "--method", "debian")[0] == 0
    assert run("julia", "compile", "--force")[0] == 0
    assert calls == [
        {"prefix": None, "method": "debian", "force": False, "image": False},
        {"force": True},
    ]


def test_julia_status(run):
    code, out, err = run("julia", "status", "--json")
    assert code == 0, err
    assert {"host", "version", "threads"} <= set(json.loads(out))
    assert "version" in run("julia", "status")[1]


# ---------------------------------------------------------------------- files and settings
@pytest.mark.slow
def test_result_and_figures_are_written(run, stars, tmp_path):
    figures, target = tmp_path / "figures", tmp_path / "rho.fits"
    code, _, err = run("rho", stars, *SMALL, "--out", target, "--plot", figures)
    assert code == 0, err
    saved = CorrelationSet.read(target)
    np.testing.assert_array_equal(saved.rho1.value, rho(stars).rho1.value)
    drawn = {p.name for p in figures.iterdir()}
    assert drawn == {
        "rho_statistics.png", "shapes.png", "centers.png", "memberships.png",
        "membership_histograms.png", "pair_crossing.png", "covariance.png",
    }  # fmt: skip
    assert all(f"wrote {path}" in err for path in (target, figures / "shapes.png"))
    code, _, err = run("rho", stars, *SMALL, "--out", target)
    assert code == 2
    assert "--overwrite" in err
    assert run("rho", stars, *SMALL, "--out", target, "--overwrite")[0] == 0


def test_yaml_settings_and_options_that_win(run, stars, tmp_path):
    config = tmp_path / "rho.yaml"
    config.write_text(
        "clusters: 12\nbins: 'linear:0:40:4'\nassignments: 4\nresampling: bootstrap:3\n"
        "fuzziness: 2\n"
        "columns: {w: 1 + 0*ra}\non-bad: drop\nnaive: false\n"
    )
    code, out, err = run("rho", stars, "--config", config, "--assignments", 6, "--json")
    assert code == 0, err
    settings = json.loads(out)["settings"]
    assert settings["command"]["columns"] == {"w": "1 + 0*ra"}
    assert settings["command"]["on_bad"] == "drop"
    assert (settings["assignments"], settings["resampling"]) == (6, "bootstrap:3")
    assert settings["command"]["clusters"] == 12
    more = ("--columns", "w=2 + 0*ra", "--columns", "ra=ra")
    document = json.loads(run("rho", stars, "--config", config, *more, "--json")[1])
    assert document["settings"]["command"]["columns"] == {"w": "2 + 0*ra", "ra": "ra"}


def test_another_way_to_resample_replaces_the_bootstrap(run, stars):
    short = ("--clusters", 0, "--bins", "linear:0:40:4", "--json")
    jackknife = json.loads(run("rho", stars, "--resampling", "jackknife:5", *short)[1])
    expected = rho(stars, clusters=None, assignments=0, resampling="jackknife:5")
    np.testing.assert_allclose(
        jackknife["rho1"]["sigma_aleatoric"], expected.rho1.sigma_aleatoric, rtol=1e-12
    )
    left = json.loads(run("rho", stars, "--resampling", "leave-out:0.3", *short)[1])
    assert left["settings"]["resampling"] == "leave-out:0.3:100"
    assert min(left["rho1"]["sigma_aleatoric"]) > 0
    none = json.loads(run("rho", stars, "--resampling", "none", *short)[1])
    assert none["rho1"]["sigma_aleatoric"] == [None] * 4


def test_reference_model(run, stars):
    out = run("rho", stars, *SMALL, "--reference", "model", "--json")[1]
    expected = rho(stars, reference="model")
    np.testing.assert_allclose(json.loads(out)["rho3"]["value"], expected.rho3.value, rtol=1e-12)


def test_the_same_seed_gives_the_same_bytes(run, stars):
    first, second = (run("rho", stars, *SMALL, "--seed", 5, "--json")[1] for _ in range(2))
    assert first == second
    assert first != run("rho", stars, *SMALL, "--seed", 6, "--json")[1]


def test_rows_are_selected(run, stars):
    out = run("rho", stars, *SMALL, "--select", "ra > 150", "--json")[1]
    assert json.loads(out)["settings"]["catalogs"][0]["rows"] == int(
        np.sum(Table.read(stars)["ra"] > 150)
    )


# ---------------------------------------------------------------------- interrupted
#: A command that says when the pairs begin, which a small run has compiled before.
SAYS_WHEN_IT_COUNTS = """
import sys
import numpy as np
from pysoftcorr import Catalog, xi_pm
from pysoftcorr.cli import main
from pysoftcorr.sky import pairs

few = np.linspace(10.0, 11.0, 50)
xi_pm(Catalog(ra=few, dec=few, g1=0.01 * few, g2=0.01 * few), "linear:0:80:2")
call = pairs.call

def counting(*arguments, **options):
    print("counting", flush=True)
    return call(*arguments, **options)

pairs.call = counting
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_ctrl_c_leaves_one_line_and_130(tmp_path):
    rng = np.random.default_rng(1)
    n = 200_000  # minutes of pairs
    path = tmp_path / "many.npz"
    shear = rng.normal(scale=0.1, size=(2, n))
    np.savez(path, ra=rng.uniform(10, 12, n), dec=rng.uniform(0, 2, n), g1=shear[0], g2=shear[1])
    package = str(Path(pysoftcorr.__file__).resolve().parents[1])
    job = subprocess.Popen(
        [sys.executable, "-c", SAYS_WHEN_IT_COUNTS, "xi", str(path), "--clusters", "0",
         "--resampling", "bootstrap:50", "--bins", "linear:0:100:10",
         "--out", str(tmp_path / "xi.h5")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": package},
    )  # fmt: skip
    try:
        assert job.stdout.readline() == "counting\n"
        time.sleep(0.5)
        assert job.poll() is None
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=30)
    finally:
        job.kill()
    assert job.returncode == 130, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("interrupted")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["many.npz"]


@pytest.mark.slow
def test_the_reader_of_stdout_may_go_away(stars):
    command = (
        f"{sys.executable} -m pysoftcorr.cli rho {stars} --clusters 0 --resampling none | head -n 1"
    )
    package = str(Path(pysoftcorr.__file__).resolve().parents[1])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": package},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


# ---------------------------------------------------------------------- the shipped stars
def test_shipped_stars_are_those_of_the_script(tmp_path):
    script = ROOT / "tools" / "make_demo_stars.py"
    made = tmp_path / "stars.fits"
    subprocess.run([sys.executable, str(script), str(made)], check=True, capture_output=True)
    again, shipped = Table.read(made), Table.read(demo_stars_path())
    assert again.colnames == shipped.colnames
    for name in shipped.colnames:
        np.testing.assert_allclose(
            again[name], shipped[name], rtol=0, atol=DECIMALS.get(name, 2e-8)
        )
    assert demo_stars_path().stat().st_size < 100_000
    assert demo_stars().scheme == "vignet-psfex"
