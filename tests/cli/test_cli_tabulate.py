"""``softcorr tabulate``, and predictions and posteriors from tables of halos."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from astropy.table import Table

pytest.importorskip("torch")

from pysoftcorr.mocks import HaloCatalog, HaloTables

BINS = "log:0.2:10:6"
POINT = ["--logMmin", 12.4, "--sigma-logM", 0.3, "--logM0", 12.4, "--logM1", 13.3, "--alpha", 1.0]


@pytest.fixture(scope="module")
def halos(tmp_path_factory):
    path = tmp_path_factory.mktemp("universe") / "halos.h5"
    HaloCatalog.simulate(45.0, 32, mmin=1e12, seed=5).write(path)
    return path


@pytest.fixture(scope="module")
def tables(halos, tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "tables.h5"
    made = HaloTables.tabulate(
        HaloCatalog.read(halos), bins=BINS, nodes=8, sites=40, progress=False
    )
    made.write(path)
    return path


def test_tabulate_writes_what_the_api_makes(run, halos, tables, tmp_path):
    out = tmp_path / "made.h5"
    line = ["tabulate", halos, "--bins", BINS, "--nodes", 8, "--sites", 40, "--out", out]
    code, said, err = run(*line, "--json")
    assert code == 0, err
    made = HaloTables.read(out)
    assert made == HaloTables.read(tables)
    document = json.loads(said)
    assert document["halos"] == len(HaloCatalog.read(halos))
    assert document["boxes"] == [45.0]
    assert document["bounds"]["logMmin"] == list(made.bounds["logMmin"])
    code, said, err = run(*line, "--overwrite")
    assert code == 0, err
    assert "in 1 box of 45 Mpc/h" in said
    assert "bins        6, 0.2 to 10 Mpc/h" in said


def test_boxes_are_added(run, halos, tables, tmp_path):
    there = HaloCatalog.read(halos)
    other = HaloCatalog(
        there.position[:, ::-1], there.mass, there.radius, there.concentration,
        there.axis[:, ::-1], boxsize=45.0, cosmology=there.cosmology, meta=there.meta,
    )  # fmt: skip
    other.write(tmp_path / "other.h5")
    out = tmp_path / "both.h5"
    code, said, err = run(
        "tabulate", tmp_path / "other.h5", "--merge", tables, "--out", out, "--json"
    )
    assert code == 0, err
    assert json.loads(said)["boxes"] == [45.0, 45.0]
    assert len(HaloTables.read(out).boxes) == 2


def test_prediction_of_tables(run, tables, tmp_path):
    out = tmp_path / "said.ecsv"
    line = ["predict", "--model", tables, *POINT, "--mu-cen", 0.7]
    code, said, err = run(*line, "--jacobian", "--out", out, "--plot", tmp_path, "--json")
    assert code == 0, err
    document = json.loads(said)
    row = [0.7, 0.0, 12.4, 0.3, 12.4, 13.3, 1.0]
    wanted = HaloTables.read(tables).predict(row)
    for name in ("xi", "omega", "eta"):
        np.testing.assert_array_equal(document[name]["mean"], getattr(wanted, name).mean)
        assert np.shape(document["jacobian"][name]) == (6, 7)
    assert document["kind"] == "tables"
    assert document["satellite_fraction"] == wanted.satellite_fraction
    np.testing.assert_array_equal(Table.read(out)["omega"], wanted.omega.mean)
    assert {"prediction.png", "jacobians.png"} <= {path.name for path in tmp_path.iterdir()}
    code, said, err = run(*line)
    assert code == 0, err
    assert "galaxies per (Mpc/h)^3" in said


def test_a_model_that_is_neither_is_refused_with_both_kinds(run, halos):
    code, _, err = run("predict", "--model", halos, *POINT)
    assert code == 2
    assert "halos.h5 holds no emulator or tables of halos written by pysoftcorr" in err


@pytest.mark.slow
def test_posterior_of_tables(run, tables, tmp_path):
    # Data made of the tables themselves, with errors small enough to find the strengths.
    made = HaloTables.read(tables)
    truth = [0.8, 0.3, 12.4, 0.3, 12.4, 13.3, 1.0]
    said = made.predict(truth, on_outside="ignore")
    path = tmp_path / "data.ecsv"
    Table({
        "r_lo": made.edges[:-1], "r_hi": made.edges[1:], "omega": said.omega.mean,
        "omega_err": np.full(6, 1e-3), "eta": said.eta.mean, "eta_err": np.full(6, 1e-3),
    }).write(path)  # fmt: skip
    fixed = [t for name, value in zip(made.names[2:], truth[2:], strict=True)
             for t in ("--fixed", f"{name}={value}")]  # fmt: skip
    code, out, err = run("posterior", "--model", tables, "--data", path, *fixed, "--chains", 2,
                         "--warmup", 200, "--draws", 200, "--seed", 3, "--json")  # fmt: skip
    assert code == 0, err
    found = json.loads(out)["parameters"]
    for name, value in zip(("mu_cen", "mu_sat"), truth, strict=False):
        assert abs(found[name]["mean"] - value) < 4 * found[name]["sd"]
        assert found[name]["sd"] < 0.3
    # All of the occupation may be free as well.
    code, out, err = run("minimize", "--model", tables, "--data", path, "--statistics", "omega",
                         "--free", "mu_cen,logMmin", "--max-iter", 3, "--json",
                         *[t for t in fixed[:]][2:], "--fixed", "mu_sat=0.3")  # fmt: skip
    assert code == 0, err


def test_what_is_refused(fails, halos, tables, tmp_path):
    predict = ["predict", "--model", tables]
    assert "tables of halos have no dropout" in fails(*predict, *POINT, "--passes", 20)
    assert "makes no galaxies" in fails(
        *predict, *POINT[:4], "--logMmin", 17, "--logM0", 17, *POINT[6:]
    )
    assert "which nothing was trained for" in fails("evaluate", tables)
    said = fails("posterior", "--model", tables, "--hod", "mstar10.5")
    assert "these tables of halos do not tell how universes differ" in said
    assert "subvolumes = 3" in said
    tabulate = ["tabulate", halos, "--out", tmp_path / "out.h5"]
    assert "--out" in fails("tabulate", halos)
    assert "unknown suffix" in fails("tabulate", halos, "--out", "tables.fits")
    assert "at most half of the shortest side" in fails(*tabulate, "--bins", "log:1:21:4")
    assert "box in common" in fails(*tabulate, "--merge", tables)
    assert "with --merge it is that of" in fails(*tabulate, "--merge", tables, "--nodes", 5)
    assert "holds no tables of halos" in fails(*tabulate, "--merge", halos)
    assert "no such emulator" in fails("predict", "--model", tmp_path / "none.h5", *POINT)


def test_satellites_that_are_not_in_spheres(run, halos, tmp_path, fails):
    few = tmp_path / "few.h5"
    HaloCatalog.read(halos)[:150].write(few)
    out = tmp_path / "triaxial.h5"
    code, said, err = run("tabulate", few, "--bins", "log:0.2:10:3", "--nodes", 4, "--sites", 0,
                          "--satellites", "triaxial", "--out", out)  # fmt: skip
    assert code == 0, err
    assert "satellites  triaxial" in said
    assert HaloTables.read(out).satellites == "triaxial"
    line = fails("tabulate", few, "--satellites", "subhalos", "--out", out, "--overwrite")
    assert "--satellites 'subhalos': the halo catalog has no subhalos" in line


@pytest.fixture(scope="module")
def rich(halos, tmp_path_factory):
    """Tables with bins of rp and halos kept apart by concentration."""
    path = tmp_path_factory.mktemp("rich") / "rich.h5"
    HaloTables.tabulate(
        HaloCatalog.read(halos), bins=BINS, rp_bins="log:0.2:9:5", pi_max=15, line_of_sight="x",
        nodes=8, assembly_split=0.5, progress=False,
    ).write(path)  # fmt: skip
    return path


def test_tabulate_projected_with_assembly_bias(run, halos, rich, tmp_path):
    out = tmp_path / "made.h5"
    line = ["tabulate", halos, "--bins", BINS, "--nodes", 8, "--sites", 40,
            "--rp-bins", "log:0.2:9:5", "--pi-max", 15, "--line-of-sight", "x",
            "--assembly-split", 0.5, "--out", out]  # fmt: skip
    code, said, err = run(*line)
    assert code == 0, err
    assert "bins of rp  5, 0.2 to 9 Mpc/h within |pi| of 15 along x" in said
    assert "assembly    split at 0.5 in concentration" in said
    assert "covariance  none" in said
    assert HaloTables.read(out) == HaloTables.read(rich)
    code, said, err = run(*line, "--overwrite", "--json")
    document = json.loads(said)
    assert (document["pi_max"], document["line_of_sight"]) == (15, "x")
    assert len(document["rp_edges"]) == 6


def test_prediction_of_wp_with_assembly_bias(run, rich, tmp_path):
    out = tmp_path / "said.ecsv"
    line = ["predict", "--model", rich, *POINT, "--mu-cen", 0.7, "--assembly-cen", 0.4]
    code, said, err = run(*line, "--jacobian", "--out", out, "--plot", tmp_path, "--json")
    assert code == 0, err
    document = json.loads(said)
    row = [0.7, 0.0, 12.4, 0.3, 12.4, 13.3, 1.0]
    tables = HaloTables.read(rich)
    wanted = tables.predict(row, assembly_cen=0.4)
    for name in ("wp", "w_gp", "w_pp"):
        np.testing.assert_array_equal(document[name]["mean"], getattr(wanted, name).mean)
        np.testing.assert_array_equal(
            document["jacobian"][name], tables.jacobian(row, assembly_cen=0.4)[name]
        )
    assert document["pi_max"] == 15
    table = Table.read(out)
    np.testing.assert_array_equal(table["wp"][:5], wanted.wp.mean)
    assert table["wp"].mask.tolist() == [False] * 5 + [True]
    code, said, err = run(*line)
    assert "|pi| <= 15 Mpc/h, line of sight x" in said


def test_assembly_bias_of_what_knows_none(fails, tables, halos, tmp_path):
    assert "--assembly-cen 0.4: these tables do not keep halos apart" in fails(
        "predict", "--model", tables, *POINT, "--assembly-cen", 0.4
    )
    assert "--assembly-sat 0.4: must be left out, since an emulator knows" in fails(
        "predict", *POINT, "--assembly-sat", 0.4
    )
    assert "--pi-max 12: must come with bins of wp, such as --rp-bins" in fails(
        "tabulate", halos, "--bins", BINS, "--pi-max", 12, "--out", tmp_path / "a.h5"
    )
    assert "--pi-max: with --merge it is that of" in fails(
        "tabulate", halos, "--merge", tables, "--pi-max", 12, "--out", tmp_path / "a.h5"
    )


def rockstar(path, halos, sub):
    """A list of Rockstar, with some halos that are subhalos of others."""
    names = ["id", "num_p", "mvir", "rvir", "vmax", "x", "y", "z", "rs", "b_to_a", "A[x]", "A[y]",
             "A[z]", "PID"]  # fmt: skip
    number = np.arange(len(halos))
    columns = [number, 100 + number, halos.mass, 1e3 * halos.radius, 0 * number,
               *halos.position.T, 1e3 * halos.radius / halos.concentration, 0.8 + 0 * number,
               *halos.axis.T, np.where(sub, 0, -1)]  # fmt: skip
    head = (
        f"#{' '.join(names)}\n#a = 1.000000\n#Om = 0.311100; Ol = 0.688900; h = 0.676600\n"
        "#Box size: 45.000000 Mpc/h\n#Rockstar Version: 0.99.9-RC3+\n"
        "#Units: Masses in Msun / h\n#Units: Positions in Mpc / h (comoving)\n"
        "#Units: Halo Distances, Lengths, and Radii in kpc / h (comoving)\n"
    )
    rows = [" ".join(f"{x:.10g}" for x in row) for row in np.column_stack(columns)]
    path.write_text(head + "\n".join(rows) + "\n")


def halotools(path, halos, sub):
    """A table that halotools has in its cache."""
    columns = {f"halo_{c}": halos.position[:, k] for k, c in enumerate("xyz")}
    columns |= {f"halo_axisA_{c}": halos.axis[:, k] for k, c in enumerate("xyz")}
    columns |= {"halo_mvir": halos.mass, "halo_rvir": halos.radius}
    columns |= {"halo_rs": halos.radius / halos.concentration, "halo_id": np.arange(len(halos))}
    columns["halo_upid"] = np.where(sub, 0, -1)
    Table(columns).write(path, path="data", format="hdf5")
    with h5py.File(path, "r+") as file:
        file.attrs.update({"Lbox": 45.0, "redshift": 0.0, "simname": "bolplanck"})


@pytest.mark.slow
@pytest.mark.parametrize("layout", [rockstar, halotools])
def test_from_a_halo_catalog_to_a_posterior_in_three_commands(run, halos, tmp_path, layout):
    """No option says anything of the catalog: box, redshift, masses and subhalos are its own."""
    there = HaloCatalog.read(halos)
    sub = np.arange(len(there)) % 20 == 7
    path = tmp_path / ("out_0.list" if layout is rockstar else "halos.hdf5")
    layout(path, there, sub)
    galaxies, tables, out = (tmp_path / name for name in ("galaxies.h5", "tables.h5", "p.nc"))
    lines = [
        ["tabulate", path, "--subvolumes", 2, "--bins", BINS, "--nodes", 8, "--sites", 40,
         "--out", tables],
        ["mock", path, "--preset", "mstar10.5", "--out", galaxies],
        ["posterior", "--model", tables, "--data", galaxies, "--hod", "mstar10.5", "--chains", 2,
         "--warmup", 100, "--draws", 100, "--on-bad", "drop", "--out", out, "--json"],
    ]  # fmt: skip
    for line in lines:
        code, said, err = run(*line)
        assert code == 0, err
    document = json.loads(said)
    assert set(document["parameters"]) == {"mu_cen", "mu_sat"}
    made = HaloTables.read(tables)
    assert made.box["boxsize"] == 45.0
    assert sum(box.halos for box in made.boxes) == np.count_nonzero(~sub)
    assert made.has_noise
    assert out.exists()
