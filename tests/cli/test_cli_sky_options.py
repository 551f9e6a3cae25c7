"""Every option of the commands of the sky: its effect is that of Python, a wrong value one line."""

from __future__ import annotations

import inspect
import json
import re

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from pysoftcorr import demo_stars_path
from pysoftcorr.cli import cluster, sky
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.correlation import gamma_t, landy_szalay, rho_statistics, xi_pm
from pysoftcorr.sky.resampling import Bootstrap, Jackknife
from pysoftcorr.sky.result import CorrelationSet
from pysoftcorr.sky.stars import StarCatalog

COMMANDS = {**sky.COMMANDS, **cluster.COMMANDS}
BINS = "linear:0:45:3"
#: Of each command: the function, and its catalogs as (argument, prefix of the options, kind).
STATISTICS = {
    "rho": (rho_statistics, [("stars", "", StarCatalog)]),
    "xi": (xi_pm, [("catalog", "", Catalog), ("catalog2", "catalog2", Catalog)]),
    "wtheta": (landy_szalay, [("data", "", Catalog), ("randoms", "randoms", Catalog)]),
    "gammat": (gamma_t, [("lenses", "", Catalog), ("sources", "sources", Catalog)]),
}
PLACES = [(c, k) for c, (_, parts) in STATISTICS.items() for k in range(len(parts))]

#: What is typed for each option of reading, and what Python takes; the file where it is not the
#: plain one.
READING = {
    "columns": ({"columns": "w=mag"}, {"columns": {"w": "mag"}}, "plain"),
    "hdu": ({"hdu": "OTHER"}, {"hdu": "OTHER"}, "two.fits"),
    "key": ({"key": "other"}, {"key": "other"}, "two.h5"),
    "ra_unit": (
        {"columns": "ra=ra_rad", "ra_unit": "rad"},
        {"columns": {"ra": "ra_rad"}, "ra_unit": "rad"}, "plain",
    ),
    "dec_unit": (
        {"columns": "dec=dec_rad", "dec_unit": "rad"},
        {"columns": {"dec": "dec_rad"}, "dec_unit": "rad"}, "plain",
    ),
    "select": ({"select": "mag < 23"}, {"select": "mag < 23"}, "plain"),
    "flag": ({"flag": "flags & 2"}, {"flag": "flags & 2"}, "plain"),
    "on_bad": (
        {"columns": "w=holes", "on_bad": "drop"},
        {"columns": {"w": "holes"}, "on_bad": "drop"}, "plain",
    ),
    "flip_g1": ({"flip_g1": True}, {"flip_g1": True}, "plain"),
    "flip_g2": ({"flip_g2": True}, {"flip_g2": True}, "plain"),
}  # fmt: skip
#: For each option of an estimator, what is typed and the arguments in Python.
ESTIMATING = {
    "bins": (["--bins", "log:5:40:4"], {"bins": "log:5:40:4"}),
    "clusters": (["--clusters", "5"], {"clusters": {}}),
    "assignment": (
        ["--clusters", "5", "--assignment", "sampled"],
        {"clusters": {}, "assignment": "sampled"},
    ),
    "fuzziness": (
        ["--clusters", "5", "--fuzziness", "1.5"],
        {"clusters": {"fuzziness": 1.5}},
    ),
    "geometry": (
        ["--clusters", "5", "--geometry", "flat"],
        {"clusters": {"geometry": "flat"}},
    ),
    "metric": (["--clusters", "5", "--metric", "radec"], {"clusters": {"metric": "radec"}}),
    "max_iter": (
        ["--clusters", "5", "--max-iter", "2"],
        {"clusters": {"max_iter": 2}},
    ),
    "neighbors": (["--clusters", "5", "--neighbors", "3"], {"clusters": {"neighbors": 3}}),
    "assignments": (
        ["--clusters", "5", "--assignments", "3"],
        {"clusters": {}, "assignments": 3},
    ),
    "split": (["--clusters", "5", "--split", "30"], {"clusters": {}, "split": 30}),
    "resampling": (["--resampling", "jackknife:4"], {"resampling": "jackknife:4"}),
    "seed": (["--resampling", "bootstrap:4", "--seed", "7"],
             {"resampling": "bootstrap:4", "seed": 7}),
    "method": (["--method", "treecorr"], {"method": "treecorr"}),
    "reference": (["--reference", "model"], {"reference": "model"}),
    "coincident": (["--coincident", "drop"], {"coincident": "drop"}),
    "device": (["--device", "cpu"], {"device": "cpu"}),
}  # fmt: skip
#: Tested below, each by itself.
OTHERS = {"unit", "naive", "patches", "scheduler", "workers", "catalog2", "threads", "out",
          "format", "overwrite", "plot", "plot_format", "plot_style"}  # fmt: skip
WRONG = {
    "bins": "45", "unit": "parsec", "clusters": "many", "assignment": "random",
    "assignments": "1.5", "resampling": "boots", "seed": "-1", "method": "trees",
    "reference": "moon", "coincident": "perhaps", "fuzziness": "1", "geometry": "torus",
    "metric": "torus", "device": "mps", "neighbors": "0",
    "max_iter": "0", "split": "0", "columns": "g9=g1", "hdu": "NOWHERE", "key": "nowhere",
    "ra_unit": "parsec", "dec_unit": "s", "select": "mag <", "flag": "nowhere",
    "on_bad": "keep", "patches": "mag", "catalog2": "nowhere.fits",
    "threads": "0", "out": "result.doc", "format": "word",
    "plot": "figure.doc", "plot_format": "bmp", "plot_style": "modern",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sixty stars in files of one table and of two."""
    place = tmp_path_factory.mktemp("catalogs")
    rng = np.random.default_rng(4)

    def stars(rows):
        table = Table.read(demo_stars_path())[rows]
        n = len(table)
        table["g1"], table["g2"] = table["g1_vignet"], table["g2_vignet"]
        table["mag"] = rng.uniform(20.0, 25.0, n)
        table["flags"] = rng.integers(0, 4, n)
        table["ra_rad"], table["dec_rad"] = np.deg2rad(table["ra"]), np.deg2rad(table["dec"])
        table["holes"] = np.where(np.arange(n) % 7 == 3, np.nan, 1.0 + np.arange(n) % 3)
        table["patch"] = np.arange(n) % 5 - 2
        return table

    first, second, other = stars(slice(0, 60)), stars(slice(60, 130)), stars(slice(130, 200))
    first.write(place / "first.fits")
    second.write(place / "second.fits")
    both = [fits.PrimaryHDU(), fits.table_to_hdu(first), fits.table_to_hdu(other)]
    both[1].name, both[2].name = "OBJECTS", "OTHER"
    fits.HDUList(both).writeto(place / "two.fits")
    with h5py.File(place / "two.h5", "w") as file:
        for name, table in (("objects", first), ("other", other)):
            group = file.create_group(name)
            for column in table.colnames:
                group[column] = np.asarray(table[column])
    return place


def files(command, folder):
    return [folder / name for name in ("first.fits", "second.fits")][: len(STATISTICS[command][1])]


def typed(command, places):
    """The files of a command as they are typed."""
    return [places[0], "--catalog2", places[1]] if command == "xi" else list(places)


def python(command, places, reading=(), **options):
    """The result of the Python function; `reading` the options of each catalog."""
    function, parts = STATISTICS[command]
    reading = list(reading) or [{}] * len(parts)
    catalogs = {
        argument: kind.read(path, **more)
        for (argument, _, kind), path, more in zip(parts, places, reading, strict=True)
    }
    return function(**catalogs, **{"bins": BINS, "seed": 1} | options)


def measured(run, command, *arguments):
    """The JSON document of a command; without clusters or resamples unless they are asked for."""
    plain = ["--bins", BINS, "--clusters", 0, "--resampling", "none"]
    code, out, err = run(command, *plain, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def agrees(document, result):
    """Whether every number of the document is that of the result."""
    for name, item in result.items():
        for key, values in item.to_dict().items():
            if key.startswith("all_pairs") or not isinstance(values, list):
                continue
            said = np.array(document[name][key], dtype=float)
            np.testing.assert_allclose(said, np.array(values, dtype=float), rtol=1e-11, atol=0)


def numbers(document, command):
    keys = ("value", "npairs", "sigma_aleatoric", "sigma_epistemic")
    return [document[name][key] for name in python_names(command) for key in keys]


def python_names(command):
    return {"rho": [f"rho{k}" for k in range(1, 6)], "xi": ["xip", "xim"], "wtheta": ["w"],
            "gammat": ["gamma_t"]}[command]  # fmt: skip


def as_typed(options, prefix):
    """The options of a catalog on the command line."""
    made = []
    for name, value in options.items():
        flag = "--" + f"{prefix}_{name}".strip("_").replace("_", "-")
        made += [flag] if value is True else [flag, value]
    return made


# ---------------------------------------------------------------------- what each option does
def test_every_option_is_tested_here():
    known = {*READING, *ESTIMATING, *OTHERS}
    for command, (_, parts) in STATISTICS.items():
        prefixes = [f"{prefix}_" for _, prefix, _ in parts if prefix]
        names = {option.name for option in COMMANDS[command].options}
        plain = {n for n in names if not n.startswith(tuple(prefixes))} if prefixes else names
        assert plain <= known | {"xy_unit"}, command
        own = {n.partition("_")[2] for n in names - plain}
        assert own <= {*READING, "patches", "xy_unit"}


@pytest.mark.parametrize("option", READING)
@pytest.mark.parametrize(("command", "place"), PLACES)
def test_reading(run, folder, command, place, option):
    prefix = STATISTICS[command][1][place][1]
    name = f"{prefix}_{option}".strip("_")
    if name not in {o.name for o in COMMANDS[command].options}:
        assert option.startswith("flip_")
        assert command in ("wtheta", "gammat")  # positions alone
        return
    words, arguments, file = READING[option]
    places = files(command, folder)
    base = measured(run, command, *typed(command, places))
    if file != "plain":
        places[place] = folder / file
    document = measured(run, command, *typed(command, places), *as_typed(words, prefix))
    reading = [arguments if k == place else {} for k in range(len(places))]
    agrees(document, python(command, places, reading))
    same = option.endswith("_unit") or (option.startswith("flip_") and command == "rho")
    if not same:
        assert numbers(document, command) != numbers(base, command)


@pytest.mark.parametrize("option", ESTIMATING)
@pytest.mark.parametrize("command", STATISTICS)
def test_estimating(run, folder, command, option):
    if option not in {o.name for o in COMMANDS[command].options}:
        assert option in ("method", "reference", "coincident", "geometry", "metric")
        return
    if option == "method":
        pytest.importorskip("treecorr")
    words, arguments = ESTIMATING[option]
    if "clusters" in arguments:
        soft = SoftClustering(n_clusters=5, **{"seed": 1} | arguments["clusters"])
        arguments = arguments | {"clusters": soft}
    places = files(command, folder)
    if option in ("fuzziness", "geometry", "metric", "max_iter", "neighbors", "clusters",
                  "assignment", "split"):  # fmt: skip
        words = [*words, "--assignments", 0]
    document = measured(run, command, *typed(command, places), *words)
    agrees(document, python(command, places, **arguments))
    base = measured(run, command, *typed(command, places))
    if option not in ("method", "coincident", "device", "neighbors"):
        assert numbers(document, command) != numbers(base, command)


@pytest.mark.parametrize("command", STATISTICS)
def test_unit_of_the_bins(run, folder, command):
    words = typed(command, files(command, folder))
    minutes = measured(run, command, *words, "--bins", "linear:0:30:2")
    degrees = measured(run, command, *words, "--bins", "linear:0:0.5:2", "--unit", "deg")
    for name in python_names(command):
        np.testing.assert_allclose(degrees[name]["value"], minutes[name]["value"], rtol=1e-12)


@pytest.mark.parametrize("command", STATISTICS)
def test_patches_of_every_catalog(run, folder, command):
    places = files(command, folder)
    prefixes = [prefix for _, prefix, _ in STATISTICS[command][1]]
    words = [
        word for prefix in prefixes
        for word in as_typed({"patches": "patch", "select": "mag < 24"}, prefix)
    ]  # fmt: skip
    code, out, err = run(command, "--bins", BINS, "--clusters", 0, *typed(command, places),
                         *words, "--json")  # fmt: skip
    assert code == 0, err
    labels = []
    for path in places:
        table = Table.read(path)
        labels.append(np.asarray(table["patch"][table["mag"] < 24]))
    reading = [{"select": "mag < 24"}] * len(places)
    agrees(json.loads(out), python(command, places, reading,
                                   resampling=Jackknife(patches=tuple(labels))))  # fmt: skip
    assert json.loads(out)["settings"]["resampling"].startswith("jackknife:patches")


def test_patches_are_for_all_catalogs_and_whole(fails, folder):
    first, second = folder / "first.fits", folder / "second.fits"
    said = fails("wtheta", first, second, "--patches", "patch")
    assert said == "error: --randoms-patches: must be given with --patches"
    said = fails("gammat", first, second, "--sources-patches", "patch")
    assert said == "error: --patches: must be given with --sources-patches"
    assert "--patches 'mag': must give whole numbers" in fails("rho", first, "--patches", "mag")
    said = fails("rho", first, "--patches", "patch", "--resampling", "jackknife:5")
    assert "--resampling 'jackknife:5': must be jackknife, jackknife:WEIGHT or bootstrap:N" in said
    said = fails("rho", first, "--patches", "patch", "--resampling", "leave-out:0.1")
    assert "--resampling 'leave-out:0.1': must be" in said


@pytest.mark.skipif("patches" not in inspect.signature(Bootstrap).parameters,
                    reason="no bootstrap of patches")  # fmt: skip
@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("bootstrap:6", lambda labels: Bootstrap(6, patches=labels)),
        ("bootstrap:6:geom", lambda labels: Bootstrap(6, patches=labels,
                                                      cross_patch_weight="geom")),
        ("jackknife:match", lambda labels: Jackknife(patches=labels, cross_patch_weight="match")),
    ],
)  # fmt: skip
def test_resampling_of_named_patches(run, folder, text, way):
    first, second = folder / "first.fits", folder / "second.fits"
    labels = tuple(np.asarray(Table.read(path)["patch"]) for path in (first, second))
    code, out, err = run("wtheta", first, second, "--bins", BINS, "--patches", "patch",
                         "--randoms-patches", "patch", "--resampling", text, "--json")  # fmt: skip
    assert code == 0, err
    agrees(json.loads(out), python("wtheta", [first, second], resampling=way(labels)))


def test_jackknife_of_patches_by_name(run, folder):
    words = ["--clusters", 0, "--patches", "patch", "--bins", BINS, "--json"]
    default = json.loads(run("rho", folder / "first.fits", *words)[1])
    named = json.loads(run("rho", folder / "first.fits", *words, "--resampling", "jackknife")[1])
    assert default["rho1"] == named["rho1"]


@pytest.mark.parametrize("command", STATISTICS)
def test_all_pairs_stand_beside_clusters(run, folder, tmp_path, command):
    places = files(command, folder)
    words = [*typed(command, places), "--bins", BINS, "--clusters", 5, "--assignments", 3,
             "--resampling", "bootstrap:3"]  # fmt: skip
    out_file = tmp_path / "result.h5"
    code, out, err = run(command, *words, "--out", out_file, "--json")
    assert code == 0, err
    document = json.loads(out)
    expected = python(command, places)
    saved = CorrelationSet.read(out_file)
    table = saved.summary()
    for name, item in expected.items():
        np.testing.assert_allclose(document[name]["all_pairs"], item.value, rtol=1e-12)
        np.testing.assert_allclose(saved[name].all_pairs, item.value + 1j * item.imag, rtol=1e-12)
    assert table in run(command, *words)[1]
    assert f"{expected[python_names(command)[0]].value[0]:+.4e}" in table
    without = json.loads(run(command, *words, "--no-naive", "--json")[1])
    assert without[python_names(command)[0]].get("all_pairs", [None])[0] is None
    assert without[python_names(command)[0]]["value"] == document[python_names(command)[0]]["value"]


@pytest.mark.parametrize(("command", "clusters"), [("rho", 100), ("xi", 0), ("wtheta", 0),
                                                   ("gammat", 0)])  # fmt: skip
def test_clusters_by_default_of_rho_alone(run, folder, command, clusters):
    places = files(command, folder)
    places = [folder / "two.fits"] if command == "rho" else places
    own = ["--hdu", 1, "--columns", "ra=ra"] if command == "rho" else []
    code, out, err = run(command, *typed(command, places), *own, "--bins", BINS, "--json")
    if command == "rho":
        assert "--clusters 100: more than the 60 objects" in err
        return
    assert code == 0, err
    document = json.loads(out)
    assert document["settings"]["command"]["clusters"] == clusters
    assert document["finding"] is None
    assert document["settings"]["resampling"] == "bootstrap:100"
    item = document[python_names(command)[0]]
    assert item["sigma_epistemic"] == [None] * 3
    agrees(document, python(command, places, resampling="bootstrap:100"))


@pytest.mark.parametrize(
    ("resampling", "excess"),
    [("bootstrap:4", 3**0.5), ("jackknife:4", 2**0.5), ("leave-out:0.25:4", (1.75 / 0.75) ** 0.5)],
)
def test_how_much_resampling_overstates_noise(run, folder, resampling, excess):
    words = ["rho", folder / "first.fits", "--clusters", 0, "--bins", BINS, "--resampling",
             resampling]  # fmt: skip
    assert f"is up to {excess:.2f} times" in run(*words)[1]
    assert json.loads(run(*words, "--json")[1])["rho1"]["noise_excess"] == pytest.approx(excess)
    assert "is up to" not in run(*words[:-1], "none")[1]


def test_a_second_catalog_reads_by_its_own_options(run, fails, folder):
    """Options without a prefix are of the first catalog alone."""
    first, second = folder / "first.fits", folder / "second.fits"
    document = measured(run, "wtheta", first, second, "--select", "mag < 22")
    agrees(document, python("wtheta", [first, second], [{"select": "mag < 22"}, {}]))
    said = fails("wtheta", first, second, "--randoms-flag", "nowhere")
    assert said.startswith("error: --randoms-flag: no column 'nowhere' in")
    said = fails("gammat", first, second, "--sources-columns", "w=holes")
    assert "--sources-on-bad drop" in said
    said = fails("gammat", first, second, "--columns", "ra=g1*nowhere")
    assert "sources" not in said
    said = fails("xi", first, "--catalog2-select", "mag < 22")
    assert said == "error: --catalog2-select: has no meaning without --catalog2"


def test_a_warning_names_the_option_of_its_catalog(run, folder, tmp_path):
    table = Table.read(folder / "second.fits")
    table["ra"], table["dec"] = table["ra_rad"], table["dec_rad"]
    table["ra"], table["dec"] = np.linspace(0, 6.2, len(table)), np.linspace(-1.5, 1.5, len(table))
    table.write(tmp_path / "radians.fits")
    _, _, err = run("wtheta", folder / "first.fits", tmp_path / "radians.fits", "--bins", BINS)
    assert "--randoms-ra-unit" in err
    assert "ra_unit=" not in err


@pytest.mark.skipif(not hasattr(Catalog, "concatenate"), reason="one table a catalog")
def test_several_tables_and_files(run, folder):
    words = ["--bins", BINS, "--clusters", 0, "--resampling", "none", "--json"]
    parts = [StarCatalog.read(folder / "two.fits", hdu=hdu) for hdu in (1, 2)]
    wanted = rho_statistics(StarCatalog.concatenate(parts), BINS, seed=1)
    for given in (
        [folder / "two.fits", "--hdu", "OBJECTS,OTHER"], [folder / "two.fits", "--hdu", "1,2"],
        [folder / "two.fits", "--hdu", "OBJECTS", "--hdu", "OTHER"],
        [folder / "two.fits", "--hdu", "all"], [folder / "two.h5", "--key", "objects,other"],
    ):  # fmt: skip
        code, out, err = run("rho", *given, *words)
        assert code == 0, err
        agrees(json.loads(out), wanted)
    first, second = folder / "first.fits", folder / "second.fits"
    wanted = rho_statistics(StarCatalog.read([first, second]), BINS, seed=1)
    for given in ([first, second], [folder / "[fs]*[td].fits"]):
        code, out, err = run("rho", *given, *words)
        assert code == 0, err
        agrees(json.loads(out), wanted)


# ---------------------------------------------------------------------- files, figures, threads
@pytest.mark.slow
@pytest.mark.parametrize("command", STATISTICS)
def test_result_in_every_format(run, fails, folder, tmp_path, command):
    words = [*typed(command, files(command, folder)), "--bins", "log:2:45:3", "--clusters", 0,
             "--resampling", "bootstrap:3"]  # fmt: skip
    for name in ("r.h5", "r.fits", "r.ecsv"):
        assert run(command, *words, "--out", tmp_path / name)[0] == 0
        assert list(CorrelationSet.read(tmp_path / name)) == python_names(command)
    before = (tmp_path / "r.h5").read_bytes()
    assert "pass --overwrite to replace it" in fails(command, *words, "--out", tmp_path / "r.h5")
    assert (tmp_path / "r.h5").read_bytes() == before
    assert run(command, *words, "--seed", 2, "--out", tmp_path / "r.h5", "--overwrite")[0] == 0
    assert CorrelationSet.read(tmp_path / "r.h5").seed == 2
    assert "has no meaning without --out" in fails(command, *words, "--format", "sacc")
    if command == "rho":
        said = fails(command, *words, "--out", tmp_path / "r.txt", "--format", "treecorr")
        assert "must be one of sacc" in said
    else:
        path = tmp_path / "r.txt"
        assert run(command, *words, "--out", path, "--format", "treecorr")[0] == 0
        assert "meanlogr" in path.read_text()
        said = fails(command, *words, "--bins", "edges:1,2,9", "--out", tmp_path / "e.fits",
                     "--format", "treecorr")  # fmt: skip
        assert "takes linear or log bins" in said


def test_sacc(run, folder, tmp_path):
    sacc = pytest.importorskip("sacc")
    words = ["xi", folder / "first.fits", "--bins", "log:2:45:3", "--resampling", "bootstrap:9"]
    assert run(*words, "--out", tmp_path / "xi.sacc")[0] == 0
    assert run(*words, "--out", tmp_path / "xi.fits", "--format", "sacc")[0] == 0
    for name in ("xi.sacc", "xi.fits"):
        assert len(sacc.Sacc.load_fits(str(tmp_path / name)).mean) == 6


@pytest.mark.slow
@pytest.mark.parametrize("command", [*STATISTICS, "cluster"])
@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"),
                                              ("svg", b"<?xml"), ("PDF", b"%PDF")])  # fmt: skip
def test_plot_makes_the_file_that_it_names(run, folder, tmp_path, command, suffix, start):
    path = tmp_path / f"figure.{suffix}"
    words = typed(command, files(command, folder)) if command in STATISTICS else [
        folder / "first.fits"]  # fmt: skip
    more = ["--bins", BINS, "--resampling", "none", "--clusters", 0] if command in STATISTICS else [
        "--clusters", 4]  # fmt: skip
    code, _, err = run(command, *words, *more, "--plot", path)
    assert code == 0, err
    assert err.splitlines()[-1] == f"wrote {path}"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes().startswith(start)


@pytest.mark.slow
def test_plot_into_a_folder(run, folder, tmp_path):
    words = ["xi", folder / "first.fits", "--bins", BINS, "--resampling", "none"]
    (tmp_path / "run.3").mkdir()
    for place in ("figures", "run.3", "mstar10.0", "new.pdf/"):
        assert run(*words, "--plot", f"{tmp_path}/{place}", "--plot-format", "pdf")[0] == 0
        names = {p.name for p in (tmp_path / place).iterdir()}
        assert names == {"xi_pm.pdf", "shapes.pdf"}
    assert run(*words[:-1], "bootstrap:4", "--plot", tmp_path / "more")[0] == 0
    names = {p.name for p in (tmp_path / "more").iterdir()}
    assert names == {"xi_pm.png", "shapes.png", "covariance.png"}


@pytest.mark.slow
@pytest.mark.parametrize("command", STATISTICS)
def test_plot_of_a_paper_is_as_wide_as_a_column(run, folder, tmp_path, command):
    words = [*typed(command, files(command, folder)), "--bins", "log:2:45:4"]
    words += ["--clusters", 5, "--assignments", 3, "--resampling", "bootstrap:3"]
    path = tmp_path / "figure.svg"
    assert run(command, *words, "--plot", path, "--plot-style", "paper")[0] == 0
    width = float(re.search(r'width="([\d.]+)pt"', path.read_text())[1])
    assert width < 3.6 * 72  # 3.4 in, and what a tight box adds or takes
    assert run(command, *words, "--plot", path)[0] == 0
    assert float(re.search(r'width="([\d.]+)pt"', path.read_text())[1]) > width


def test_plot_that_cannot_be_is_refused_before_the_work(fails, folder, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("the work had begun")

    monkeypatch.setattr(sky, "measure", never)
    words = ["xi", folder / "first.fits"]
    for name in ("figure.jpg", "figure.doc", "run.v7"):
        said = fails(*words, "--plot", tmp_path / name)
        assert "unknown suffix; use .png, .pdf or .svg for the main figure" in said
        assert "folder of all figures" in said
    assert "has no meaning without --plot" in fails(*words, "--plot-format", "pdf")
    said = fails(*words, "--plot", tmp_path / "a.pdf", "--plot-format", "svg")
    assert "--plot-format 'svg': contradicts --plot" in said
    assert "there is no folder" in fails(*words, "--plot", tmp_path / "none" / "a.pdf")


def test_threads(run, folder, monkeypatch):
    import os

    monkeypatch.setenv("PYSOFTCORR_THREADS", "2")
    for command in STATISTICS:
        measured(run, command, *typed(command, files(command, folder)), "--threads", 1)
        assert os.environ["PYSOFTCORR_THREADS"] == "1"
        monkeypatch.setenv("PYSOFTCORR_THREADS", "2")


def test_options_of_cluster(run, folder):
    """Reading and clustering as for Python, for each option that makes another clustering."""
    first = folder / "first.fits"

    def labels(*words):
        code, out, err = run("cluster", *words, "--json")
        assert code == 0, err
        return json.loads(out)["label"]

    for option, (words, arguments, file) in READING.items():
        if option.startswith("flip_"):
            continue
        path = first if file == "plain" else folder / file
        catalog = Catalog.read(path, **arguments)
        fit = SoftClustering(n_clusters=4, seed=1).fit(catalog)
        assert labels(path, "--clusters", 4, *as_typed(words, "")) == fit.assign("greedy").tolist()
    there = {option.name for option in COMMANDS["cluster"].options}
    plane = {"metric": "radec"} if "metric" in there else {"geometry": "flat"}
    for more in ({"fuzziness": 1.3}, plane, {"max_iter": 1}, {"seed": 5}):
        fit = SoftClustering(n_clusters=4, **{"seed": 1} | more).fit(Catalog.read(first))
        assert labels(first, "--clusters", 4, *as_typed(more, "")) == fit.assign("greedy").tolist()


# ---------------------------------------------------------------------- wrong values
def options_of(command):
    prefixes = ("catalog2_", "randoms_", "sources_")
    for option in COMMANDS[command].options:
        name = option.name
        for prefix in prefixes:
            name = name.removeprefix(prefix)
        yield option, name


EVERY = [
    pytest.param(command, option, name, id=f"{command}-{option.name}")
    for command in (*STATISTICS, "cluster")
    for option, name in options_of(command)
]


@pytest.mark.parametrize(("command", "option", "name"), EVERY)
def test_a_wrong_value_is_one_line(fails, folder, tmp_path, command, option, name, monkeypatch):
    monkeypatch.setenv("PYSOFTCORR_THREADS", "2")
    places = files(command, folder) if command in STATISTICS else [folder / "first.fits"]
    words = typed(command, places) if command in STATISTICS else places
    if option.kind is bool:
        said = fails(command, *words, f"{option.flag}=perhaps")
    else:
        value = WRONG.get(name, "nonsense")
        more = ["--out", tmp_path / "r.fits"] if name == "format" else []
        if option.name in ("fuzziness", "neighbors", "scheduler"):
            more = ["--clusters", 3]
        if name == "key":
            words = [w if w != places[-1] else folder / "two.h5" for w in words]
            if option.name == "key":
                words = [folder / "two.h5", *words[1:]]
        said = fails(command, *words, *more, option.flag, value)
    flag = option.flag
    assert flag in said or (name in ("hdu", "key", "catalog2", "columns", "out", "bins")), said
    for python_word in ("True", "False", "None", "={", "columns["):
        assert python_word not in said
