"""Box, redshift and cosmology that files of each format state beside their columns."""

from __future__ import annotations

import json
import warnings

import astropy.units as u
import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.cosmology.units import littleh
from astropy.io import fits
from astropy.table import Table

from pysoftcorr.mocks import GalaxyCatalog, HaloCatalog
from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.halo_headers import of_mapping

N, Z = 40, 0.5
WORLD = Cosmology("planck15")
SIDES = (60.0, 80.0, 100.0)


@pytest.fixture(autouse=True)
def nothing_doubtful():
    """Warnings are errors where a test does not expect them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def table(sides=SIDES) -> Table:
    """Halos whose radii and concentrations are those of z = 0.5 and Planck 2015, not of z = 0."""
    rng = np.random.default_rng(1)
    mass = np.logspace(12, 14.5, N)
    place = rng.uniform(0, 1, (N, 3)) * sides
    radius = WORLD.radius(mass, redshift=Z)
    return Table(
        {
            "x": place[:, 0], "y": place[:, 1], "z": place[:, 2], "Mvir": mass, "Rvir": radius,
            "Rs": radius / 7, "axis": rng.normal(size=(N, 3)), "pid": np.full(N, -1),
        }
    )  # fmt: skip


#: What a file states, one card or attribute a line.
CUBE = {"BOXSIZE": 100.0, "REDSHIFT": Z, "HUBBLE": 0.6774, "OMEGA_M": 0.3089}
BOX = {"BOXSIZE1": 60.0, "BOXSIZE2": 80.0, "BOXSIZE3": 100.0, "ZSNAP": Z, "H0": 67.74,
       "OMEGAM": 0.3089}  # fmt: skip


def fits_file(path, stated, where="table", comments=None):
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(table(), name="HALOS")])
    header = hdus[0 if where == "primary" else 1].header
    for name, value in stated.items():
        header[name] = value, (comments or {}).get(name)
    hdus.writeto(path)


def fits_primary(path, stated):
    fits_file(path, stated, "primary")


def ecsv(path, stated):
    t = table()
    t.meta |= stated
    t.write(path, format="ascii.ecsv")


def astropy_hdf5(path, stated):
    t = table()
    t.meta |= stated
    t.write(path, path="halos", serialize_meta=True)


def plain_hdf5(path, stated, where="attributes"):
    with h5py.File(path, "w") as file:
        group = file.create_group("snapshot/halos")
        for name in table().colnames:
            group[name] = np.asarray(table()[name])
        target = {"attributes": group, "above": file["snapshot"], "file": file}[where]
        for name, value in stated.items():
            target.attrs[name] = value


def hdf5_above(path, stated):
    plain_hdf5(path, stated, "above")


def hdf5_file(path, stated):
    plain_hdf5(path, stated, "file")


def hdf5_datasets(path, stated):
    plain_hdf5(path, {})
    with h5py.File(path, "a") as file:
        for name, value in stated.items():
            file["snapshot/halos"][name] = value


def arrow_table(stated):
    pa = pytest.importorskip("pyarrow")
    t = table()
    columns = {n: pa.array(list(t[n]) if t[n].ndim == 2 else np.asarray(t[n])) for n in t.colnames}
    return pa.table(columns).replace_schema_metadata({k: str(v) for k, v in stated.items()})


def parquet(path, stated):
    pytest.importorskip("pyarrow.parquet").write_table(arrow_table(stated), path)


def feather(path, stated):
    pytest.importorskip("pyarrow.feather").write_feather(arrow_table(stated), path)


def astropy_parquet(path, stated):
    pytest.importorskip("pyarrow")
    t = table()
    t.meta |= stated
    t.write(path)


def frame(stated):
    t = table()
    axis = np.asarray(t["axis"])
    del t["axis"]
    made = t.to_pandas()
    for k, c in enumerate("xyz"):
        made[f"A[{c}]"] = axis[:, k]
    made.attrs |= stated
    return made


def pandas_parquet(path, stated):
    pytest.importorskip("pyarrow")
    frame(stated).to_parquet(path)


def numpy_archive(path, stated):
    np.savez(path, **{n: np.asarray(table()[n]) for n in table().colnames}, **stated)


def votable(path, stated):
    t = table()
    document = __import__("astropy.io.votable", fromlist=["from_table"]).from_table(t)
    resource = document.resources[0]
    from astropy.io.votable.tree import Param

    for name, value in stated.items():
        resource.params.append(Param(document, name=name, datatype="double", value=value))
    document.to_xml(str(path))


def text(path, stated):
    lines = [f"# {name} = {value}" for name, value in stated.items()]
    body = frame({}).to_csv(index=False)
    path.write_text("\n".join(lines) + "\n" + body)


def text_one_line(path, stated):
    line = "# made of a simulation; " + "; ".join(f"{name}: {v}" for name, v in stated.items())
    path.write_text(line + "\n" + frame({}).to_csv(index=False, sep=" "))


FILES = [
    (fits_file, "h.fits"), (fits_primary, "h.fits"), (ecsv, "h.ecsv"), (astropy_hdf5, "h.h5"),
    (plain_hdf5, "h.h5"), (hdf5_above, "h.h5"), (hdf5_file, "h.h5"), (hdf5_datasets, "h.h5"),
    (parquet, "h.parquet"), (feather, "h.feather"), (astropy_parquet, "h.parquet"),
    (pandas_parquet, "h.parquet"), (numpy_archive, "h.npz"), (votable, "h.vot"), (text, "h.csv"),
    (text_one_line, "h.txt"),
]  # fmt: skip
COLUMNS = {"x": "x", "y": "y", "z": "z", "mass": "Mvir", "concentration": "Rvir/Rs",
           "parent": "pid"}  # fmt: skip


@pytest.mark.parametrize("stated", [CUBE, BOX], ids=["cube", "box"])
@pytest.mark.parametrize(("write", "name"), FILES, ids=[w.__name__ for w, _ in FILES])
def test_headers_are_used(tmp_path, write, name, stated) -> None:
    path = tmp_path / name
    write(path, stated)
    columns = {**COLUMNS, "radius": None, "scale_radius": None}
    separate = write in (pandas_parquet, text, text_one_line)
    columns["axis"] = ("A[x]", "A[y]", "A[z]") if separate else "axis"
    # No radius: it is filled in, of the redshift and cosmology of the header.
    with pytest.warns(UserWarning, match="radius"):
        halos = HaloCatalog.read(path, columns=columns)
    assert halos.boxsize == (100.0 if stated is CUBE else SIDES)
    assert halos.meta["redshift"] == pytest.approx(Z, abs=1e-12)
    assert halos.cosmology["name"] == "planck15"
    np.testing.assert_allclose(halos.radius, table()["Rvir"], rtol=1e-12)
    place = {"position": ("x", "y", "z"), "axis": columns["axis"]}
    galaxies = GalaxyCatalog.from_table(path, columns=place)
    assert galaxies.boxsize == halos.boxsize
    assert galaxies.cosmology["name"] == "planck15"
    assert galaxies.known()["redshift"] == halos.meta["redshift"] == 0.5
    with pytest.raises(ValueError, match=r"boxsize = 120: .* says .*leave boxsize out"):
        HaloCatalog.read(path, columns=columns, boxsize=120)
    with pytest.raises(ValueError, match=r"redshift = 1: .* says 0\.5"):
        HaloCatalog.read(path, columns=columns, redshift=1)


@pytest.mark.parametrize(
    ("stated", "box"),
    [
        ({"LBOX": 100.0}, 100.0),
        ({"BoxSize": [60, 80, 100]}, SIDES),
        ({"boxsize": "60 80 100"}, SIDES),
        ({"boxsize": b"(60, 80, 100)"}, SIDES),
        ({"box_size": "60x80x100 Mpc/h"}, SIDES),
        ({"BOXSIZE": 100 * u.Mpc / littleh}, 100.0),
        ({"BOXSIZE": 1e5 * u.kpc / littleh}, 100.0),
        ({"BOXSIZE": [6e4, 8e4, 1e5] * u.kpc / littleh}, SIDES),
        ({"BOXSIZE": 125 * u.Mpc, "HubbleParam": 0.8}, 100.0),
        ({"box size": "125000 kpc", "H0": 80}, 100.0),
        ({"BoxSizeMpc": 125, "BoxSizeHMpc": 100, "h": 0.8}, 100.0),
        ({"Lx": 60, "Ly": 80, "Lz": 100}, SIDES),
        ({"LBOX_X": 60, "LBOX_Y": 80, "LBOX_Z": 100}, SIDES),
        ({"xbox": 60, "ybox": 80, "zbox": 100}, SIDES),
        ({"BOX_0": "60", "BOX_1": "80", "BOX_2": "100"}, SIDES),
        ({"Header": {"BoxSize": 100.0}}, 100.0),
        ({"Simulation box size": "100Mpc/h"}, 100.0),
        ({"sim_boxsize_x": 60, "sim_boxsize_y": 80, "sim_boxsize_z": 100}, SIDES),
        ({"boxsize": "3rd of 5"}, None),
        ({"BoxSize": 100.0, "UnitLength_in_cm": 3.0856775814913673e24}, 100.0),
        ({"BoxSize": 1e5, "UnitLength_in_cm": 3.0856775814913673e21}, 100.0),
        ({"BoxSize": 0.0}, None),
        ({"BoxSize": np.nan}, None),
        ({"BoxSize": [1, 2]}, None),
        ({"Box": "L100N512", "BoxSize": True}, None),
        ({"boxes": 100, "sizes": 3}, None),
    ],
)
def test_boxes_as_they_are_stated(stated, box) -> None:
    found = of_mapping(stated).boxsize
    if box is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, box, rtol=1e-6)


@pytest.mark.parametrize(
    ("comment", "box"),
    [
        ("[Mpc/h] side", 100.0), ("box size in Mpc/h", 100.0), ("side, h^-1 Mpc", 100.0),
        ("the box", 100.0), ("[kpc/h]", 0.1), ("size (h-1 kpc)", 0.1), ("side [Mpc]", 67.74),
        ("comoving kpc", 0.06774),
    ],
)  # fmt: skip
def test_comments_of_cards_say_the_unit(tmp_path, comment, box) -> None:
    cards = {"BOXSIZE": 100.0, "HUBBLE": 0.6774}
    found = of_mapping(cards, {"BOXSIZE": comment})
    np.testing.assert_allclose(found.boxsize, box, rtol=1e-12)
    # The number that with this comment is 100 Mpc/h.
    stated = {**CUBE, "BOXSIZE": 1e4 / box}
    fits_file(tmp_path / "h.fits", stated, comments={"BOXSIZE": comment})
    halos = HaloCatalog.read(
        tmp_path / "h.fits", columns={**COLUMNS, "radius": "Rvir", "axis": "axis"}
    )
    assert halos.boxsize == pytest.approx(100.0, rel=1e-12)


@pytest.mark.parametrize(
    ("stated", "redshift"),
    [
        ({"REDSHIFT": 1.5}, 1.5), ({"z": 0.25}, 0.25), ({"Redshift": np.array([0.25])}, 0.25),
        ({"SCALE_FACTOR": 0.5}, 1.0), ({"aexp": "0.25"}, 3.0), ({"a": 0.8}, 0.25),
        ({"Redshift": -1e-12}, 0.0), ({"redshift": 2.0, "aexp": 0.5}, 2.0),
        ({"redshift": -1}, None), ({"redshift": "unknown"}, None), ({"a": 7}, None),
    ],
)  # fmt: skip
def test_redshifts_as_they_are_stated(stated, redshift) -> None:
    assert of_mapping(stated).redshift == (None if redshift is None else pytest.approx(redshift))


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ({"cosmology": "Planck15"}, "planck15"), ({"COSMO": "Planck 2018"}, "planck18"),
        ({"cosmology": b"WMAP-9"}, "WMAP9"), ({"simname": "bolplanck"}, "multidark-planck"),
        ({"cosmology": "my own"}, None), ({"cosmology": "powerlaw"}, None),
    ],
)  # fmt: skip
def test_cosmologies_by_name(stated, name) -> None:
    assert of_mapping(stated).cosmology == name
    inner = of_mapping({"cosmology": {"Om0": 0.3, "H0": 70.0}})
    assert (inner.omega_m, inner.h) == (0.3, 0.7)


def test_a_cosmology_that_contradicts_its_numbers(tmp_path) -> None:
    ecsv(tmp_path / "h.ecsv", {**CUBE, "cosmology": "Planck15", "OMEGA_M": 0.25})
    options = {"columns": {**COLUMNS, "radius": "Rvir", "axis": "axis"}}
    with pytest.warns(UserWarning, match=r"names the cosmology planck15.* says Om0 = 0\.25"):
        halos = HaloCatalog.read(tmp_path / "h.ecsv", **options)
    assert halos.cosmology["name"] == "planck15"


def test_units_that_do_not_say_enough() -> None:
    with pytest.raises(ValueError, match=r"boxsize of a file is 125 Mpc, and no Hubble constant"):
        of_mapping({"BOXSIZE": 125 * u.Mpc}, label="a file")
    with pytest.raises(ValueError, match=r"boxsize is in 's', which is no unit of length"):
        of_mapping({"BOXSIZE": 125 * u.s})


def test_a_box_in_kpc_without_a_unit(tmp_path) -> None:
    ecsv(tmp_path / "h.ecsv", {**CUBE, "BOXSIZE": 100_000.0})
    options = {"columns": {**COLUMNS, "radius": "Rvir", "axis": "axis"}}
    said = r"says 100000, in Mpc/h larger than any simulation; pass boxsize=100 if that is in kpc/h"
    with pytest.raises(ValueError, match=said):
        HaloCatalog.read(tmp_path / "h.ecsv", **options)
    assert HaloCatalog.read(tmp_path / "h.ecsv", boxsize=100, **options).boxsize == 100.0
    # Without a unit the box may be in Mpc; where one is stated it may not.
    ecsv(tmp_path / "m.ecsv", {**CUBE, "BOXSIZE": 100 / 0.6774})
    assert HaloCatalog.read(tmp_path / "m.ecsv", boxsize=100, **options).boxsize == 100.0
    ecsv(tmp_path / "u.ecsv", {**CUBE, "BOXSIZE": f"{100 / 0.6774} Mpc/h"})
    with pytest.raises(ValueError, match=r"boxsize = 100: .* says 147\.623 Mpc/h"):
        HaloCatalog.read(tmp_path / "u.ecsv", boxsize=100, **options)


def test_the_table_is_heard_before_its_file_and_parts_must_agree(tmp_path) -> None:
    options = {"columns": {**COLUMNS, "radius": "Rvir", "axis": "axis"}}
    path = tmp_path / "h.fits"
    fits_file(path, CUBE)
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["BOXSIZE"] = 500.0
        hdus[0].header["SIMNAME"] = "made"
    assert HaloCatalog.read(path, **options).boxsize == 100.0
    assert HaloCatalog.read(path, **options).meta["simname"] == "made"
    fits_file(tmp_path / "a.fits", BOX)
    fits_file(tmp_path / "b.fits", {**BOX, "BOXSIZE2": 90.0})
    with pytest.raises(ValueError, match=r"L = \(60, 90, 100\), .*a\.fits.* \(60, 80, 100\): they"):
        HaloCatalog.read([tmp_path / "a.fits", tmp_path / "b.fits"], **options)
    (tmp_path / "b.fits").unlink()
    fits_file(tmp_path / "b.fits", {})
    both = HaloCatalog.read(str(tmp_path / "[ab].fits"), **options)
    assert (len(both), both.boxsize) == (2 * N, SIDES)


def test_comments_that_number_the_columns_state_nothing(tmp_path) -> None:
    path = tmp_path / "h.csv"
    lines = "# columns: x = 1, y = 2, z = 3\n# Box size: 100 Mpc/h; redshift = 0.5\n"
    path.write_text(lines + frame({}).to_csv(index=False))
    columns = {**COLUMNS, "radius": "Rvir", "axis": ("A[x]", "A[y]", "A[z]")}
    halos = HaloCatalog.read(path, columns=columns)
    assert (halos.boxsize, halos.meta["redshift"]) == (100.0, Z)
    t = table()
    t.meta["comments"] = ["z = 3", "boxsize = 100 Mpc/h", "z_snap = 0.5"]
    halos = HaloCatalog.from_table(t, columns={**columns, "axis": "axis"})
    assert (halos.boxsize, halos.meta["redshift"]) == (100.0, Z)
    path = tmp_path / "h.fits"
    fits_file(path, {})
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["COMMENT"] = "boxsize = 60 80 100 Mpc/h, redshift = 0.5"
        hdus[1].header["COMMENT"] = "x: 1, y: 2, z: 3"
    halos = HaloCatalog.read(path, columns={**columns, "axis": "axis"})
    assert (halos.boxsize, halos.meta["redshift"]) == (SIDES, Z)


def test_tables_in_memory_state_it_too() -> None:
    columns = {**COLUMNS, "radius": "Rvir", "axis": "axis"}
    t = table()
    mapping = {n: np.asarray(t[n]) for n in t.colnames}
    t.meta |= BOX
    separate = {**columns, "axis": ("A[x]", "A[y]", "A[z]")}
    for source, named in ((t, columns), ({**mapping, **BOX}, columns), (frame(BOX), separate)):
        halos = HaloCatalog.from_table(source, columns=named)
        assert (halos.boxsize, halos.meta["redshift"]) == (SIDES, Z)
    assert json.dumps(halos.meta)
    assert isinstance(frame(BOX), pd.DataFrame)
