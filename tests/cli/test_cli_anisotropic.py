"""``softcorr projected`` and ``multipoles``: what they make, print and refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.table import Table

from pysoftcorr.mocks import (
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    Multipoles,
    ProjectedCorrelations,
    multipoles,
    projected_correlations,
    redshift_space,
)

RP = ["--rp-bins", "log:0.2:12:6"]


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory):
    """A file of galaxies with velocities."""
    path = tmp_path_factory.mktemp("universe") / "galaxies.h5"
    halos = HaloCatalog.simulate(60.0, 32, mmin=5e11, redshift=0.5, seed=7)
    HODModel.preset("mstar10.0").populate(halos, seed=2).write(path)
    return path


def same(document, result, names) -> None:
    for name in names:
        found = np.array(document[name], dtype=float)
        np.testing.assert_allclose(found, getattr(result, name), rtol=1e-9, atol=1e-12)
    assert document["npairs"] == result.npairs.tolist()
    assert document["settings"] == result.settings


def test_projected_is_the_api(run, galaxies, tmp_path):
    out = tmp_path / "p.ecsv"
    code, said, err = run("projected", galaxies, *RP, "--pi-max", 20, "--json", "--out", out)
    assert code == 0, err
    result = projected_correlations(
        GalaxyCatalog.read(galaxies), rp_bins="log:0.2:12:6", pi_max=20.0
    )
    names = (*ProjectedCorrelations.derived, "rp", "rp_edges", "pi_edges", "xi", "xi_gp")
    document = json.loads(said)
    assert document["rp_edges"] == result.edges.tolist()
    same(document, result, [n for n in names if n != "rp_edges"])
    assert ProjectedCorrelations.read(out) == result


def test_multipoles_of_redshift_space_are_the_api(run, galaxies, tmp_path):
    out = tmp_path / "m.ecsv"
    words = ["--bins", "linear:2:20:5", "--mu-bins", 30, "--line-of-sight", "x"]
    code, said, err = run(
        "multipoles", galaxies, *words, "--redshift-space", "--json", "--out", out
    )
    assert code == 0, err
    observed = redshift_space(GalaxyCatalog.read(galaxies), line_of_sight="x")
    result = multipoles(observed, bins="linear:2:20:5", mu_bins=30, line_of_sight="x")
    same(json.loads(said), result, (*Multipoles.derived, "s", "mu_edges", "xi"))
    assert json.loads(said)["settings"]["redshift_space"] == "x"
    assert Multipoles.read(out) == result


def test_tables_and_figures(run, galaxies, tmp_path):
    for command, words, columns, figure in (
        ("projected", [*RP, "--pi-max", 20, "--pi-bins", 4], "wp w_gp w_gx w_pp w_xx w_px",
         "projected"),
        ("projected", [*RP, "--pi-bins", "edges:0,5,20"], "wp w_gp", "projected"),
        ("multipoles", ["--bins", "log:0.5:20:6"], "xi0 xi2 xi4 gp2 gp4 gx2 ii0 ii44",
         "multipoles"),
    ):  # fmt: skip
        folder = tmp_path / f"{command}{len(columns)}"
        code, out, err = run(command, galaxies, *words, "--plot", folder)
        assert code == 0, err
        head = next(line for line in out.splitlines() if "bin [Mpc/h]" in line).split()
        assert [name for name in columns.split() if name not in head] == []
        rows = [line for line in out.splitlines() if " to " in line]
        assert len(rows) == 6
        assert {p.name for p in folder.iterdir()} == {f"{figure}.png", "slice.png"}
        assert "galaxies in a box of 60" in out


@pytest.mark.parametrize("kind", ["fits", "csv", "ecsv"])
def test_of_any_table_with_velocities(run, fails, tmp_path, kind):
    rng = np.random.default_rng(8)
    position, axis = rng.uniform(0, 40, (500, 3)), rng.normal(size=(500, 3))
    velocity = rng.normal(0, 400, (500, 3))
    columns = {c: position[:, i] for i, c in enumerate("xyz")}
    columns |= {f"axis_{c}": axis[:, i] for i, c in enumerate("xyz")}
    columns |= {f"v{c}": velocity[:, i] for i, c in enumerate("xyz")}
    path = tmp_path / f"galaxies.{kind}"
    Table(columns).write(path)
    box = ["--boxsize", 40, "--bins", "linear:1:19:4", "--mu-bins", 5]
    code, said, err = run("multipoles", path, *box, "--redshift-space", "--redshift", 0.5,
                          "--cosmology", "planck18", "--json")  # fmt: skip
    assert code == 0, err
    catalog = GalaxyCatalog(
        position, axis, boxsize=40, velocity=velocity, redshift=0.5, cosmology="planck18"
    )
    result = multipoles(redshift_space(catalog), bins="linear:1:19:4", mu_bins=5)
    assert json.loads(said)["npairs"] == result.npairs.tolist()
    line = fails("multipoles", path, *box, "--redshift-space")
    assert line == (
        "error: --redshift-space: the galaxies do not say their redshift; pass --redshift, such "
        "as 0.5"
    )
    line = fails("multipoles", path, *box, "--redshift-space", "--redshift", 0.5)
    assert "do not say their cosmology; pass --cosmology, such as 'planck18'" in line
    renamed = {f"c{k}": values for k, values in enumerate(columns.values())}
    Table(renamed).write(path, overwrite=True)
    named = ["--columns", "position=c0,c1,c2", "--columns", "axis=c3,c4,c5"]
    line = fails("multipoles", path, *box, *named, "--redshift-space", "--redshift", 0.5)
    assert "--redshift-space: these galaxies have no velocities; make them of halos with" in line
    named += ["--columns", "velocity=c6,c7,c8"]
    code, said, err = run("multipoles", path, *box, *named, "--redshift-space", "--redshift", 0.5,
                          "--cosmology", "planck18", "--json")  # fmt: skip
    assert json.loads(said)["npairs"] == result.npairs.tolist()


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        ("projected", ["--pi-max", 31], "--pi-max: reach to 31 Mpc/h, which must be at most half"),
        ("projected", ["--pi-max", -3], "--pi-max -3.0: must be finite and above 1e-06"),
        (
            "projected",
            ["--pi-bins", "0", "--pi-max", 20],
            "--pi-bins 0: must be from 1 to 1,000,000",
        ),
        ("projected", ["--pi-bins", "linear:1:20:5"], "--pi-bins: begin at 1 Mpc/h"),
        ("projected", ["--pi-bins", "some"], "--pi-bins: "),
        ("projected", ["--rp-bins", "log:0.1:40:5", "--pi-max", 20], "--rp-bins: reach to 40"),
        ("projected", ["--line-of-sight", "w"], "line-of-sight"),
        ("projected", ["--redshift", 0.5], "--redshift: has no meaning without --redshift-space"),
        ("projected", ["--redshift-space", "--redshift", 0.7], "--redshift 0.7: differs from"),
        ("projected", ["--out", "p.fits"], "unknown suffix; use .ecsv"),
        ("multipoles", ["--bins", "log:0.1:40:5"], "--bins: reach to 40"),
        ("multipoles", ["--mu-bins", "0"], "mu-bins"),
        ("multipoles", ["--cosmology", "planck18"], "--cosmology: has no meaning without"),
    ],
)
def test_what_is_refused(fails, galaxies, command, arguments, says):
    line = fails(command, galaxies, *arguments)
    assert says.replace("-", "_") in line.replace("-", "_"), line


def test_several_files_are_realizations(run, fails, tmp_path):
    rng = np.random.default_rng(3)
    paths, results = [], []
    for k in range(4):
        catalog = GalaxyCatalog(
            rng.uniform(0, 40, (300, 3)), rng.normal(size=(300, 3)), boxsize=40.0
        )
        paths.append(tmp_path / f"g{k}.h5")
        catalog.write(paths[-1])
        results.append(multipoles(catalog, bins="linear:2:18:2", mu_bins=4))
    out = tmp_path / "mean.ecsv"
    words = ["--bins", "linear:2:18:2", "--mu-bins", 4]
    code, said, err = run("multipoles", *paths, *words, "--out", out, "--plot", tmp_path / "f.png")
    assert code == 0, err
    with pytest.warns(UserWarning, match="no inverse"):
        mean = Multipoles.combine(results)
    assert Multipoles.read(out) == mean
    assert "mean of 4 boxes" in said
    assert "+- is the error of the mean of 4 boxes, by their scatter; that of one box is 2 " in said
    rows = [line.split() for line in said.splitlines() if " to " in line]
    np.testing.assert_allclose(float(rows[0][5]), mean.xi0[0], rtol=1e-3)
    np.testing.assert_allclose(float(rows[0][6]), mean.errors["xi0"][0], rtol=1e-1)
    assert "is given twice" in fails("multipoles", paths[0], paths[0], *words)


def test_help_shows_no_argument_that_is_none(run):
    for command in ("projected", "multipoles", "boxcorr"):
        code, out, _ = run(command, "--help")
        assert code == 0
        assert "--source" not in out
