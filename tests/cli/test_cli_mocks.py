"""``softcorr halos``, ``mock`` and ``boxcorr``: what they make, print and refuse."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from astropy.table import Table

from pysoftcorr.cli import main
from pysoftcorr.mocks import (
    BoxCorrelations,
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    box_correlations,
    expected_correlations,
)
from pysoftcorr.mocks.cosmology import Cosmology

BINS = ["--bins", "log:0.2:12:8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with halos and galaxies in it."""
    place = tmp_path_factory.mktemp("universe")
    halos = HaloCatalog.simulate(60.0, 32, mmin=5e11, seed=7)
    halos.write(place / "halos.h5")
    HODModel.preset("mstar10.0").with_parameters(mu_sat=0.6).populate(halos, seed=2).write(
        place / "galaxies.h5"
    )
    return place


@pytest.fixture
def halos(folder):
    return folder / "halos.h5"


@pytest.fixture
def galaxies(folder):
    return folder / "galaxies.h5"


# ---------------------------------------------------------------------- halos
def test_simulate_writes_what_the_api_makes(run, tmp_path):
    out = tmp_path / "made.h5"
    code, said, err = run("halos", "simulate", "--boxsize", 40, "--mesh", 16, "--mmin", "1e12",
                          "--redshift", 0.5, "--seed", 3, "--no-exclusion", "--out", out,
                          "--json")  # fmt: skip
    assert code == 0, err
    made = HaloCatalog.read(out)
    options = {"mmin": 1e12, "redshift": 0.5, "exclusion": False, "seed": 3}
    assert made == HaloCatalog.simulate(40.0, 16, **options)
    document = json.loads(said)
    assert document["halos"] == len(made)
    assert document["mass"] == [made.mass.min(), made.mass.max()]
    assert sum(document["mass_function"]["count"]) == len(made)
    assert document["meta"] == made.meta
    assert err.splitlines() == [f"wrote {out}"]


def test_info_in_words_and_numbers(run, halos, tmp_path):
    code, out, err = run("halos", "info", halos, "--plot", tmp_path / "figures")
    assert code == 0, err
    catalog = HaloCatalog.read(halos)
    assert out.startswith(catalog.summary())
    rows = [line.split() for line in out.splitlines() if " to " in line and line[0] != " "]
    assert out.count("tinker08") >= 2  # how it was made, and the title of the column
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {"halos.png", "halo_slice.png"}
    document = json.loads(run("halos", "info", halos, "--json")[1])
    counts = [int(row[3]) for row in rows if len(row) == 7]
    assert counts == document["mass_function"]["count"]
    assert sum(counts) == len(catalog)


def test_halos_of_another_program(run, fails, tmp_path):
    rng = np.random.default_rng(1)
    path, mass = tmp_path / "table.h5", 10 ** rng.uniform(12.5, 14, 200)
    with h5py.File(path, "w") as file:
        for k in range(3):
            file[f"p{k}"] = rng.uniform(0, 30, 200)
        file["m"] = mass / 1e10
    columns = ["x=p0", "y=p1", "z=p2", "mass=1e10*m"]
    options = [text for column in columns for text in ("--columns", column)]
    options += ["--boxsize", 30, "--axes", "random", "--cosmology", "planck18"]
    code, out, err = run("mock", path, *options, "--preset", "mstar10.5", "--seed", 4, "--json",
                         "--out", tmp_path / "g.fits")  # fmt: skip
    assert code == 0, err
    assert err.startswith("warning: ")  # no radius, no concentration, no parent
    made = GalaxyCatalog.read(tmp_path / "g.fits")
    assert json.loads(out)["galaxies"] == len(made) > 20
    assert made.boxsize == 30
    line = fails("halos", "info", path, *options[:-6], "--axes", "random")
    assert "boxsize must be given" in line


# ---------------------------------------------------------------------- mock
def test_mock_is_the_model_populated(run, halos, tmp_path):
    out = tmp_path / "g.h5"
    parameters = {"logMmin": 12.2, "sigma_logM": 0.3, "logM0": 12.3, "logM1": 13.2, "alpha": 0.9,
                  "mu_cen": -0.4, "mu_sat": 0.7}  # fmt: skip
    options = []
    for name, value in parameters.items():
        options += ["--" + name.replace("_", "-"), value]
    code, said, err = run("mock", halos, *options, "--modulate", "--seed", 9, "--out", out)
    assert code == 0, err
    made = GalaxyCatalog.read(out)
    model = HODModel(**parameters, modulate=True)
    assert made == model.populate(HaloCatalog.read(halos), seed=9)
    assert f"{len(made)} galaxies in a box of 60 Mpc/h" in said
    assert f"centrals    {made.central.sum()}" in said
    assert "mu_cen = -0.4" in said


@pytest.mark.parametrize("satellites", ["nfw", "triaxial", "subhalos"])
def test_where_satellites_live(run, tmp_path, satellites):
    made, out = tmp_path / "h.h5", tmp_path / "g.h5"
    code, said, err = run("halos", "simulate", "--boxsize", 40, "--mesh", 16, "--mmin", "1e12",
                          "--subhalos", "--subhalo-mmin", "1e11", "--out", made)  # fmt: skip
    assert code == 0, err
    halos = HaloCatalog.simulate(40.0, 16, mmin=1e12, subhalos=True, subhalo_mmin=1e11, seed=1)
    assert HaloCatalog.read(made) == halos
    code, said, err = run("mock", made, "--preset", "mstar10.5", "--satellites", satellites,
                          "--out", out)  # fmt: skip
    assert code == 0, err
    model = HODModel.preset("mstar10.5").with_parameters(satellites=satellites)
    assert GalaxyCatalog.read(out) == model.populate(halos, seed=1)
    assert f"satellites = {satellites}" in said


def test_preset_and_its_changes(run, halos, tmp_path):
    out = tmp_path / "g.h5"
    code, said, err = run("mock", halos, "--preset", "mstar10.5", "--mu-cen", 0, "--out", out,
                          "--json", "--plot", tmp_path)  # fmt: skip
    assert code == 0, err
    document = json.loads(said)
    want = HODModel.preset("mstar10.5").with_parameters(mu_cen=0.0).to_dict()
    assert document["params"] == want
    assert document["satellites"] == document["galaxies"] - document["centrals"]
    assert document["satellite_fraction"] == pytest.approx(
        document["satellites"] / document["galaxies"]
    )
    assert document["number_density"] == pytest.approx(document["galaxies"] / 60**3)
    assert (tmp_path / "slice.png").stat().st_size > 10_000


def test_settings_from_a_file(run, halos, tmp_path):
    config = tmp_path / "mock.yaml"
    config.write_text("preset: mstar10.0\nmu-sat: 0.25\nseed: 5\n")
    code, said, err = run("mock", halos, "--config", config, "--seed", 6, "--json",
                          "--out", tmp_path / "g.h5")  # fmt: skip
    assert code == 0, err
    document = json.loads(said)
    assert (document["params"]["mu_sat"], document["seed"]) == (0.25, 6)


# ---------------------------------------------------------------------- boxcorr
def test_boxcorr_is_the_api(run, galaxies, tmp_path):
    out = tmp_path / "t.ecsv"
    code, said, err = run("boxcorr", galaxies, *BINS, "--expected", "--json", "--out", out)
    assert code == 0, err
    catalog, document = GalaxyCatalog.read(galaxies), json.loads(said)
    edges = np.geomspace(0.2, 12, 9)
    result = box_correlations(catalog, bins=edges)
    for name in ("r", "xi", "omega", "eta", "xi_1h", "omega_1h", "eta_2h"):
        found = np.array(document[name], dtype=float)
        np.testing.assert_allclose(found, getattr(result, name), rtol=1e-9, atol=1e-12)
    assert document["npairs"] == result.npairs.tolist()
    expected = expected_correlations(catalog, 0.68, 0.6, bins=edges)
    for name in ("omega", "deta_dmu_sat"):
        found = np.array(document["expected"][name], dtype=float)
        np.testing.assert_allclose(found, getattr(expected, name), rtol=1e-9, atol=1e-12)
    assert document["galaxies"]["galaxies"] == len(catalog)
    np.testing.assert_allclose(BoxCorrelations.read(out).xi, result.xi, rtol=1e-9)


def test_boxcorr_table_and_figures(run, galaxies, tmp_path):
    code, out, err = run("boxcorr", galaxies, *BINS, "--expected", "--plot", tmp_path / "f")
    assert code == 0, err
    result = box_correlations(GalaxyCatalog.read(galaxies), bins=np.geomspace(0.2, 12, 9))
    rows = [line.split() for line in out.splitlines() if " to " in line]
    assert [int(row[4]) for row in rows] == result.npairs.tolist()
    np.testing.assert_allclose([float(row[5]) for row in rows], result.xi, rtol=1e-3)
    for word in ("<omega>", "<eta>", "pairs 1h", "xi 1h", "eta 2h"):
        assert word in out
    assert {path.name for path in (tmp_path / "f").iterdir()} == {"correlations.png", "slice.png"}
    assert [line.split()[0] for line in err.splitlines()] == ["wrote"] * 2


@pytest.fixture(scope="module")
def realizations(tmp_path_factory):
    """Files of galaxies in four boxes."""
    place = tmp_path_factory.mktemp("boxes")
    for seed in range(4):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0, 40, (400, 3))
        GalaxyCatalog(p, rng.normal(size=p.shape), boxsize=40, host=np.arange(400) // 2,
                      central=np.arange(400) % 2 == 0).write(place / f"g{seed}.h5")  # fmt: skip
    return [place / f"g{seed}.h5" for seed in range(4)]


def columns_of(out: str, first: str) -> dict[str, list[str]]:
    """A printed table by the titles of its columns, those of errors by what they are beside."""
    lines = out.splitlines()
    head = next(k for k, line in enumerate(lines) if line.lstrip().startswith(first))
    titles = lines[head].replace("bin [Mpc/h]", "low to high").split()
    rows = [line.split() for line in lines[head + 1 :] if " to " in line]
    names = [f"{titles[k - 1]}_err" if t == "+-" else t for k, t in enumerate(titles)]
    return dict(zip(names, zip(*rows, strict=False), strict=False))


FEW_BINS = ["--bins", "log:1:12:4"]


@pytest.mark.parametrize(
    ("options", "resampling"),
    [
        (["--jackknife", "27"], "jackknife:27"),
        (["--jackknife", "2x2x2:match"], "jackknife:8:match"),
        (["--bootstrap", "20"], "bootstrap:20"),
        (["--bootstrap", "20:8:geom"], "bootstrap:20:8:geom"),
        (["--resampling", "jackknife:3x2x2"], "jackknife:3x2x2"),
    ],
)
@pytest.mark.filterwarnings("ignore:the covariance of")
def test_boxcorr_has_errors_by_subvolumes(run, realizations, tmp_path, options, resampling):
    path = realizations[0]
    expected = box_correlations(
        GalaxyCatalog.read(path), bins="log:1:12:4", resampling=resampling, seed=1
    )
    out = tmp_path / "r.ecsv"
    code, said, err = run("boxcorr", path, *FEW_BINS, *options, "--out", out)
    assert code == 0, err
    assert BoxCorrelations.read(out) == expected
    columns = columns_of(said, "bin")
    for name in ("xi", "omega", "eta"):
        found = np.array(columns[f"{name}_err"], dtype=float)
        np.testing.assert_allclose(found, expected.errors[name], rtol=0.06)
    assert f"by sub-volumes of the box, {expected.resampling}" in said
    document = json.loads(run("boxcorr", path, *FEW_BINS, *options, "--json")[1])
    np.testing.assert_allclose(document["covariance"], expected.covariance, rtol=1e-9)
    assert document["resampling"] == expected.resampling


@pytest.mark.parametrize("suffix", ["ecsv", "h5", "csv"])
def test_boxcorr_of_several_files_is_their_mean(run, realizations, tmp_path, suffix):
    single = [box_correlations(GalaxyCatalog.read(p), bins="log:1:12:4") for p in realizations]
    with pytest.warns(UserWarning, match="rests on 4 boxes"):
        expected = BoxCorrelations.combine(single)
    out = tmp_path / f"r.{suffix}"
    code, said, err = run(
        "boxcorr", *realizations, *FEW_BINS, "--out", out, "--plot", tmp_path / "f"
    )
    assert code == 0, err
    assert "rests on 4 boxes" in err
    assert "mean of 4 boxes, by their scatter; that of one box is 2 times as large" in said
    for path in realizations:
        assert str(path) in said
    if suffix == "csv":
        found = np.loadtxt(tmp_path / "r_cov.csv", delimiter=",")
        np.testing.assert_array_equal(found, expected.covariance)
        assert f"wrote {tmp_path / 'r_cov.csv'}" in err
    else:
        assert BoxCorrelations.read(out) == expected
    assert {p.name for p in (tmp_path / "f").iterdir()} == {
        "correlations.png", "covariance.png", "slice.png"}  # fmt: skip


@pytest.mark.filterwarnings("ignore:the covariance of")
def test_boxcorr_of_few_files_with_sub_volumes(run, realizations):
    code, said, err = run("boxcorr", *realizations[:2], *FEW_BINS, "--jackknife", 8, "--json")
    assert code == 0, err
    assert err == ""  # 16 parts of both boxes are enough for 12 values
    document = json.loads(said)
    single = [
        box_correlations(GalaxyCatalog.read(p), bins="log:1:12:4", resampling="jackknife:8")
        for p in realizations[:2]
    ]
    mean = (single[0].covariance + single[1].covariance) / 4
    np.testing.assert_allclose(document["covariance"], mean, rtol=1e-9)
    assert [says["galaxies"] for says in document["galaxies"]] == [400, 400]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--jackknife", "20"], "take 8 (2x2x2) or 27 (3x3x3)"),
        (["--jackknife", "many"], "must be 'jackknife:N'"),
        (
            ["--jackknife", "27", "--bootstrap", "9"],
            "--jackknife and --bootstrap: give one of them",
        ),
        (["--jackknife", "27", "--resampling", "none"], "--resampling and --jackknife: give one"),
        (["--resampling", "leave-out:0.3"], "take --resampling jackknife:27 or"),
        (["--out", "r.txt"], "use .ecsv, .h5, .hdf5 or .csv"),
    ],
)
def test_boxcorr_refuses_other_resamplings(fails, realizations, options, says):
    assert says in fails("boxcorr", realizations[0], *FEW_BINS, *options)


def test_boxcorr_of_a_pattern(run, realizations, tmp_path):
    """A pattern of own files stands for realizations, one of tables for parts of one catalog."""
    pattern = realizations[0].parent / "g[0-2].h5"
    code, said, err = run("boxcorr", pattern, *FEW_BINS, "--json")
    assert code == 0, err
    assert [box["galaxies"] for box in json.loads(said)["galaxies"]] == [400] * 3
    rng = np.random.default_rng(1)
    for k in range(2):
        columns = {name: rng.uniform(0, 40, 150) for name in "xyz"}
        columns |= {f"axis_{name}": rng.normal(size=150) for name in "xyz"}
        Table(columns).write(tmp_path / f"part{k}.csv")
    code, said, err = run("boxcorr", tmp_path / "part*.csv", *FEW_BINS, "--boxsize", 40, "--json",
                          "--jackknife", 27)  # fmt: skip
    assert code == 0, err
    assert json.loads(said)["galaxies"]["galaxies"] == 300


def test_boxcorr_refuses_what_are_no_realizations(fails, realizations, galaxies, tmp_path):
    first, second, *_ = realizations
    assert "g0.h5 is given twice" in fails("boxcorr", first, second, first, *FEW_BINS)
    assert "--expected: is of one catalog" in fails(
        "boxcorr", first, second, *FEW_BINS, "--expected"
    )
    line = fails("boxcorr", first, galaxies, *FEW_BINS)
    assert f"{galaxies} is of another boxsize (60.0) than {first} (40.0)" in line
    (tmp_path / "r_cov.csv").write_text("1")
    line = fails("boxcorr", first, *FEW_BINS, "--jackknife", 8, "--out", tmp_path / "r.csv")
    assert "r_cov.csv is there already; pass --overwrite" in line


# ---------------------------------------------------------------------- errors
FULL = ["--sigma-logM", "0.3", "--logM0", "12", "--logM1", "13", "--alpha", "1"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--boxsize and --out: must be given"),
        (["--boxsize", "50"], "--out: must be given"),
        (["--boxsize", "50", "--out", "h.fits"], "unknown suffix; use .h5 or .hdf5"),
        (["--boxsize", "50", "--out", "/dev/null/h.h5"], "/dev/null"),
        (["--boxsize", "many", "--out", "@"], "--boxsize 'many': must be a number"),
        (["--boxsize", "-5", "--out", "@"], "above 0 (Mpc/h)"),
        (["--boxsize", "50", "--mesh", "4", "--out", "@"], "must be from 8 to 1,024"),
        (["--boxsize", "50", "--mmin", "11", "--out", "@"], "is it log10(M)?"),
        (["--boxsize", "50", "--cosmology", "plank18", "--out", "@"], "planck18"),
        (["--boxsize", "50", "--bias", "tinker11", "--out", "@"], "tinker10"),
        (["--boxsize", "3", "--mmin", "1e15", "--out", "@"], "no halo above --mmin"),
        (["--boxsize", "50", "--subhalo-mmin", "1e11", "--out", "@"], "pass --subhalos as well"),
        (
            ["--boxsize", "50", "--subhalos", "--subhalo-mmin", "11", "--out", "@"],
            "--subhalo-mmin 11.0: must be",
        ),
    ],
)
def test_simulate_refuses(fails, tmp_path, arguments, says):
    out = tmp_path / "h.h5"
    assert says in fails("halos", "simulate", *[out if a == "@" else a for a in arguments])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--preset", "mstar10.5"], "--out: must be given"),
        (["--out", "@"], "--logMmin, --sigma-logM, --logM0, --logM1, --alpha: must be given"),
        (["--preset", "mstar12", "--out", "@"], "must be one of mstar10.5, mstar10.0"),
        (["--preset", "mstar10.5", "--mu-cen", "1.5", "--out", "@"], "must be from -1 to 1"),
        (["--logMmin", "1e12", *FULL, "--out", "@"], "the log10 of a mass is meant, 12"),
        (["--logMmin", "19", *FULL[:4], "--logM1", "19", "--alpha", "1", "--out", "@"],
         "makes no galaxies"),
        (["--preset", "mstar10.5", "--satellites", "subhalos", "--out", "@"],
         "--satellites 'subhalos': the halo catalog has no subhalos: read it with "),
        (["--preset", "mstar10.5", "--satellites", "cube", "--out", "@"],
         "must be one of nfw, triaxial, subhalos"),
        (["--preset", "mstar10.5", "--out", "g.txt"], "unknown suffix"),
        (["--preset", "mstar10.5", "--boxsize", "60", "--out", "@"], "is read as it is"),
        (["--preset", "mstar10.5", "--out", "@", "--plot", "/dev/null/f"], "is not a folder"),
    ],
)  # fmt: skip
def test_mock_refuses(fails, halos, tmp_path, arguments, says):
    out = tmp_path / "g.h5"
    assert says in fails("mock", halos, *[out if a == "@" else a for a in arguments])
    assert not list(tmp_path.iterdir())


def test_output_is_checked_before_the_work(fails, tmp_path):
    """The halos are not there, and yet it is the output that is complained of."""
    old = tmp_path / "old.h5"
    old.write_text("precious")
    line = fails("mock", tmp_path / "none.h5", "--preset", "mstar10.5", "--out", old)
    assert "old.h5" in line
    assert "--overwrite" in line
    assert old.read_text() == "precious"
    line = fails("halos", "simulate", "--boxsize", 2000, "--mesh", 1024, "--out", old)
    assert "old.h5" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--bins", "log:0.1:31:5"], "r_max = 31 Mpc/h must be at most half of the box, 30"),
        (["--bins", "log:0:10:5"], "lo"),
        (["--bins", "edges:3,2"], "increas"),
        (["--out", "t.fits"], "unknown suffix; use .ecsv"),
        (["--threads", "0"], "threads"),
    ],
)
def test_boxcorr_refuses(fails, galaxies, arguments, says):
    assert says in fails("boxcorr", galaxies, *arguments)


def test_files_of_the_wrong_kind(fails, halos, galaxies, tmp_path):
    assert "no such galaxy catalog" in fails("boxcorr", tmp_path / "none.h5")
    assert "holds no galaxy catalog" in fails("boxcorr", halos)
    assert "no such halo catalog" in fails("halos", "info", tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("nothing")
    fails("halos", "info", text)
    bare = tmp_path / "bare.h5"
    GalaxyCatalog([[1, 2, 3], [4, 5, 6]], [[0, 0, 1]] * 2, boxsize=60).write(bare)
    assert "does not say the alignment strengths" in fails("boxcorr", bare, "--expected")


def test_debug_shows_the_traceback(capsys, tmp_path):
    with pytest.raises(SystemExit) as left:
        main(["boxcorr", str(tmp_path / "none.h5"), "--debug"])
    assert left.value.code == 2
    assert "Traceback" in capsys.readouterr().err


def halo_table(path, n=60, scale=0.5, **changed):
    """A consistent-trees list: x, y, z in Mpc/h, radii in kpc/h, each fifth row a subhalo."""
    rng = np.random.default_rng(3)
    mass = 10 ** rng.uniform(12.5, 14, n)
    radius = 1000 * Cosmology("planck15").radius(mass, redshift=1 / scale - 1)
    columns = {
        "scale": np.full(n, scale), "id": np.arange(n) + 1, "mvir": mass, "rvir": radius,
        "rs": radius / 7, **{c: rng.uniform(0, 30, n) for c in "xyz"},
        **{f"A[{c}]": rng.normal(size=n) for c in "xyz"},
        "upid": np.where(np.arange(n) % 5 == 4, 1, -1), **changed,
    }  # fmt: skip
    head = "#" + " ".join(f"{name}({k})" for k, name in enumerate(columns))
    head += "\n#Omega_M = 0.3089; Omega_L = 0.6911; h0 = 0.6774\n#Full box size = 30.0 Mpc/h\n"
    rows = zip(*columns.values(), strict=True)
    path.write_text(head + "\n".join(" ".join(repr(float(v)) for v in r) for r in rows) + "\n")
    return columns


def test_reading_options_of_halos(run, fails, tmp_path):
    path = tmp_path / "hlist_0.50000.list"
    columns = halo_table(path)

    def count(*options):
        code, out, err = run("halos", "info", path, *options, "--json")
        assert code == 0, err
        return json.loads(out), err

    found, err = count()
    assert (found["halos"], found["meta"]["redshift"], err) == (48, 1.0, "")
    assert count("--no-hosts")[0]["halos"] == 60
    heavy = np.count_nonzero((columns["mvir"] > 2e13) & (columns["upid"] == -1))
    assert count("--select", "mvir > 2e13")[0]["halos"] == heavy
    line = fails("halos", "info", path, "--redshift", 0)
    assert line.startswith("error: --redshift 0: ")
    assert "leave redshift out" in line
    line = fails("halos", "info", path, "--mdef", "200m")
    assert "--mdef vir" in line
    assert "--columns" not in line.split("Pass that")[0]
    columns["rvir"][7] = 1.0
    halo_table(path, rvir=columns["rvir"])
    line = fails("halos", "info", path)
    assert "row 7 (0.001)" in line
    assert "pass --on-bad drop" in line
    found, err = count("--on-bad", "drop")
    assert found["halos"] == 47
    assert "left out 1 of 48 halos" in err
    halo_table(path, upid=np.full(60, 3.5))
    line = fails("halos", "info", path)
    assert "pass --no-hosts to keep all" in line
    count("--no-hosts")


def test_halos_of_several_files(run, fails, tmp_path):
    for k in range(2):
        halo_table(tmp_path / f"part{k}.list")
    pattern = tmp_path / "part*.list"
    for given in ([pattern], [tmp_path / "part0.list", tmp_path / "part1.list"]):
        code, out, err = run("halos", "info", *given, "--json")
        assert code == 0, err
        assert json.loads(out)["halos"] == 96
    halo_table(tmp_path / "part2.list", scale=0.25)
    assert "is of z = 3" in fails("halos", "info", pattern)


def test_scale_radius_in_the_words_of_the_shell(fails, tmp_path):
    path = tmp_path / "table.csv"
    columns = {k: v for k, v in halo_table(tmp_path / "a.list").items() if k != "scale"}
    Table(columns).write(path, format="ascii.csv")
    options = ["--boxsize", 30, "--columns", "radius=rvir/1000"]
    line = fails("halos", "info", path, *options)
    assert "Pass --columns scale_radius=rs/1000 too, or --columns scale_radius=rs if" in line


@pytest.mark.parametrize("kind", ["fits", "csv", "hdf5"])
def test_boxcorr_of_any_table(run, fails, tmp_path, kind):
    rng = np.random.default_rng(8)
    position, axis = rng.uniform(0, 40, (900, 3)), rng.normal(size=(900, 3))
    columns = {c: position[:, i] for i, c in enumerate("xyz")}
    columns |= {f"galaxy_axisA_{c}": axis[:, i] for i, c in enumerate("xyz")}
    columns["mstar"] = rng.uniform(9, 11, 900)
    path = tmp_path / f"galaxies.{kind}"
    Table(columns).write(path, **({"path": "galaxies"} if kind == "hdf5" else {}))
    code, out, err = run("boxcorr", path, *BINS, "--boxsize", 40, "--select", "mstar > 10",
                         "--json")  # fmt: skip
    assert code == 0, err
    keep = columns["mstar"] > 10
    expected = box_correlations(position[keep], axis[keep], boxsize=40, bins="log:0.2:12:8")
    made = json.loads(out)
    assert made["npairs"] == expected.npairs.tolist()
    for name in ("omega", "eta"):
        found = np.array(made[name], dtype=float)
        np.testing.assert_allclose(found, getattr(expected, name), rtol=1e-9, atol=1e-12)
    renamed = {f"c{k}": values for k, values in enumerate(columns.values())}
    Table(renamed).write(path, overwrite=True, **({"path": "g"} if kind == "hdf5" else {}))
    line = fails("boxcorr", path, *BINS, "--boxsize", 40)
    assert "which columns are the position? Pass --columns position=" in line
    options = ["--columns", "position=c0,c1,c2", "--columns", "axis=c3,c4,c5"]
    again = run("boxcorr", path, *BINS, "--boxsize", 40, *options, "--select", "c6 > 10", "--json")
    assert json.loads(again[1])["npairs"] == made["npairs"]
    assert "boxsize must be given" in fails("boxcorr", path, *BINS, *options)
    line = fails("boxcorr", path, *BINS, "--boxsize", 38, *options)
    assert "outside [0, 38)" in line
    assert "pass --wrap" in line


def test_boxes_of_three_sides(run, fails, tmp_path):
    rng = np.random.default_rng(8)
    sides = (30.0, 40.0, 90.0)
    table = Table({"position": rng.uniform(0, 1, (900, 3)) * sides})
    table["axis"] = rng.normal(size=(900, 3))
    path, bare = tmp_path / "stated.ecsv", tmp_path / "bare.fits"
    table.write(bare)
    table.meta["BoxSize"] = list(sides)
    table.write(path)
    expected = box_correlations(
        table["position"], table["axis"], boxsize=sides, bins="log:0.2:12:8"
    )
    yaml = tmp_path / "settings.yml"
    yaml.write_text("boxsize: [30, 40, 90.0]\n")
    for options in ((path,), (bare, "--boxsize", "30,40,90"), (bare, "--config", yaml)):
        code, out, err = run("boxcorr", *options, *BINS, "--json")
        assert code == 0, err
        made = json.loads(out)
        assert made["npairs"] == expected.npairs.tolist()
        assert made["rr"] == expected.rr.tolist()
        assert made["galaxies"]["boxsize"] == list(sides)
        assert made["galaxies"]["number_density"] == 900 / np.prod(sides)
    assert "galaxies in a box of (30, 40, 90) Mpc/h (0.00833 per" in run("boxcorr", path, *BINS)[1]
    for given, said in (
        ("30,40", "--boxsize: 30,40 must be a number or three, not 2"),
        ("30,40,tall", "--boxsize '30,40,tall': must be a number or three"),
        ("30,40,-90", "--boxsize 30,40,-90: must be finite and above 0"),
        ("30,90,40", "z is outside [0, 40) Mpc/h"),
        ("40", "z is outside [0, 40) Mpc/h"),
    ):
        assert said in fails("boxcorr", bare, *BINS, "--boxsize", given)
    assert "in the order x, y, z?" in fails("boxcorr", bare, *BINS, "--boxsize", "30,90,40")
    line = fails("boxcorr", path, *BINS, "--boxsize", "30,40,95")
    assert "--boxsize 30,40,95:" in line
    assert "says (30, 40, 90) Mpc/h; leave boxsize out" in line
    line = fails("boxcorr", path, "--bins", "log:1:16:3")
    assert "at most half of the shortest side of the box, 15 Mpc/h" in line


def test_boxcorr_leaves_rows_out_only_when_asked(run, fails, tmp_path, galaxies):
    rng = np.random.default_rng(8)
    table = Table({c: rng.uniform(0, 40, 300) for c in "xyz"})
    table["axis"] = rng.normal(size=(300, 3))
    table["axis"][7] = 0.0
    table["x"][9] = np.nan
    path = tmp_path / "galaxies.fits"
    table.write(path)
    assert "row 9 (nan)" in fails("boxcorr", path, *BINS, "--boxsize", 40)
    code, out, err = run("boxcorr", path, *BINS, "--boxsize", 40, "--on-bad", "drop", "--json")
    assert code == 0, err
    assert json.loads(out)["galaxies"]["galaxies"] == 298
    assert "left out 2 of 300 galaxies" in err
    assert "read as it is" in fails("boxcorr", galaxies, *BINS, "--boxsize", 60)


def with_subhalos(path, **changed):
    """A list whose fifth rows lie within the halo before them, with axis ratios and velocities."""
    columns = halo_table(path)
    n, sub = 60, np.arange(60) % 5 == 4
    host = np.arange(n) - sub
    inside = np.random.default_rng(4).uniform(-0.1, 0.1, (n, 3)) * sub[:, None]
    moved = {c: np.mod(columns[c][host] + inside[:, i], 30) for i, c in enumerate("xyz")}
    moved |= {"upid": np.where(sub, host + 1, -1), "Mpeak": 2 * columns["mvir"],
              "b_to_a": np.full(n, 0.8), "c_to_a": np.full(n, 0.6),
              **{f"v{c}": np.full(n, 200.0) for c in "xyz"}}  # fmt: skip
    return halo_table(path, **{**moved, **changed})


def test_subhalos_on_the_command_line(run, fails, tmp_path):
    path = tmp_path / "hlist_0.50000.list"
    columns = with_subhalos(path)
    code, out, err = run("halos", "info", path, "--subhalos")
    assert (code, err) == (0, "")
    for said in ("subhalos       12 in 12 halos", "by Mpeak", "b/a 0.8, c/a 0.6", "200 km/s"):
        assert said in out
    assert "left out" not in out
    found = json.loads(run("halos", "info", path, "--subhalos", "--json")[1])
    assert (found["halos"], found["subhalos"]) == (48, 12)
    assert found["meta"]["subhalos"]["columns"]["subhalo_mass"] == ["Mpeak"]
    assert json.loads(run("halos", "info", path, "--json")[1])["subhalos"] is None
    options = ["--subhalos", "--columns", "subhalo_mass=mvir", "--columns", "velocity=vx,vy,vz"]
    found = json.loads(run("halos", "info", path, *options, "--json")[1])
    assert found["meta"]["columns"]["velocity"] == ["vx", "vy", "vz"]
    line = fails("halos", "info", path, "--subhalos", "--no-hosts")
    assert line.startswith("error: --subhalos keeps subhalos with their hosts, and --no-hosts")
    assert "pass --subhalos" in fails("halos", "info", path, "--columns", "subhalo_mass=mvir")
    code, out, err = run("halos", "info", path, "--subhalos", "--select", "id > 4", "--json")
    assert "left out 1 of 12 subhalos: 1 whose host is not selected" in err
    columns["b_to_a"][7] = 0.0
    with_subhalos(path, b_to_a=columns["b_to_a"])
    line = fails("halos", "info", path)
    assert "row 7 (0)" in line
    assert "pass --on-bad drop" in line
    advice = line.split("or pass ")[-1].split(" to read without them")[0]
    assert advice == "--columns b_to_a=None --columns c_to_a=None"
    code, out, err = run("halos", "info", path, *advice.split(), "--json")
    assert (code, json.loads(out)["halos"]) == (0, 48)
    code, out, err = run("halos", "info", path, "--on-bad", "drop", "--json")
    assert json.loads(out)["halos"] == 47
    assert "left out 1 of 48 halos" in err
