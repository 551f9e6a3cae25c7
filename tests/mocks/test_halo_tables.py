"""HaloCatalog out of halotools', Rockstar's and other tables, made here."""

import gzip
import warnings

import h5py
import numpy as np
import pytest
from astropy.table import Table

from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.halos import HaloCatalog

N, BOX = 8, 250.0


def table(seed=3):
    """Columns of a table of halos; rows 2 and 5 are subhalos."""
    rng = np.random.default_rng(seed)
    mass = np.logspace(11, 14.5, N)
    radius = Cosmology("bolshoi").radius(mass)
    parent = np.full(N, -1)
    parent[[2, 5]] = 7
    axis = rng.standard_normal((N, 3))
    position = rng.random((N, 3)) * BOX
    return {
        "halo_id": np.arange(N),
        **{f"halo_{c}": position[:, i] for i, c in enumerate("xyz")},
        "halo_mvir": mass,
        "halo_rvir": radius,
        "halo_rs": radius / 8.0,
        "halo_nfw_conc": np.linspace(5, 12, N),
        **{f"halo_axisA_{c}": axis[:, i] for i, c in enumerate("xyz")},
        "halo_upid": parent,
    }


def halotools_file(path, data=None, **attributes):
    """A file of halotools' cache: a compound dataset "data", what is known as attributes."""
    Table(table() if data is None else data).write(path, path="data", format="hdf5")
    with h5py.File(path, "r+") as file:
        file.attrs.update({"Lbox": BOX, "redshift": 0.0, "simname": "bolplanck", **attributes})
    return path


ROCKSTAR = (
    "#ID DescID Mvir Vmax Vrms Rvir Rs Np X Y Z VX VY VZ A[x] A[y] A[z] PID\n"
    "#a = 0.500000\n#Om = 0.270000; Ol = 0.730000; h = 0.700000\n"
    "#Particle mass: 1.35e8 Msun/h\n#Box size: 250.000000 Mpc/h\n"
    "#Units: Masses in Msun / h\n#Units: Positions in Mpc / h (comoving)\n"
    "#Units: Halo Distances, Lengths, and Radii in kpc / h (comoving)\n"
)


def rockstar_text(header=ROCKSTAR, parent=True):
    t = table()
    rows = []
    for i in range(N):
        row = [i, -1, t["halo_mvir"][i], 1, 1, 1e3 * t["halo_rvir"][i], 1e3 * t["halo_rs"][i], 9]
        row += [t[f"halo_{c}"][i] for c in "xyz"] + [0, 0, 0]
        row += [t[f"halo_axisA_{c}"][i] for c in "xyz"]
        rows.append(" ".join(repr(float(v)) for v in row + [t["halo_upid"][i]] * parent))
    if not parent:
        header = header.replace(" PID", "")
    return header + "\n".join(rows) + "\n"


def hosts_of(name):
    return table()[name][table()["halo_upid"] == -1]


def test_halotools_file(tmp_path):
    halos = HaloCatalog.read(halotools_file(tmp_path / "bolplanck.hdf5"))
    assert len(halos) == N - 2
    assert halos.boxsize == BOX
    np.testing.assert_array_equal(halos.mass, hosts_of("halo_mvir"))
    np.testing.assert_array_equal(halos.radius, hosts_of("halo_rvir"))
    np.testing.assert_array_equal(halos.concentration, hosts_of("halo_nfw_conc"))
    np.testing.assert_array_equal(halos.position[:, 1], hosts_of("halo_y"))
    long = np.stack([hosts_of(f"halo_axisA_{c}") for c in "xyz"], axis=1)
    np.testing.assert_allclose(halos.axis, long / np.linalg.norm(long, axis=1)[:, None], rtol=1e-14)
    assert halos.meta["simname"] == "bolplanck"
    assert halos.meta["scheme"] == "halotools"
    assert halos.meta["filled"] == {}


def test_halotools_box_of_three_sides_and_of_a_wrong_one(tmp_path):
    assert HaloCatalog.read(halotools_file(tmp_path / "a.h5", Lbox=[BOX] * 3)).boxsize == BOX
    tall = HaloCatalog.read(halotools_file(tmp_path / "b.h5", Lbox=[BOX, BOX, 2 * BOX]))
    assert tall.boxsize == (BOX, BOX, 2 * BOX)
    with pytest.raises(ValueError, match=r"boxsize = 300.*says 250"):
        HaloCatalog.read(tmp_path / "a.h5", boxsize=300)


def test_all_rows_without_choosing_hosts(tmp_path):
    halos = HaloCatalog.read(halotools_file(tmp_path / "a.h5"), hosts=False)
    np.testing.assert_array_equal(halos.mass, table()["halo_mvir"])
    assert halos.meta["hosts"] is False


def test_concentration_from_the_scale_radius(tmp_path):
    data = table()
    del data["halo_nfw_conc"]
    halos = HaloCatalog.read(halotools_file(tmp_path / "a.h5", data))
    np.testing.assert_allclose(halos.concentration, 8.0, rtol=1e-14)
    assert halos.meta["concentration_from"] == "radius / scale_radius"


@pytest.mark.parametrize("packed", [False, True])
def test_rockstar_list(tmp_path, packed):
    path = tmp_path / ("out_5.list.gz" if packed else "out_5.list")
    text = rockstar_text().encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        halos = HaloCatalog.read(path)
    assert halos.boxsize == BOX
    assert halos.meta["redshift"] == 1.0
    assert halos.meta["simulation_omega_m"] == 0.27
    assert halos.meta["simulation_h"] == 0.7
    np.testing.assert_allclose(halos.radius, hosts_of("halo_rvir"), rtol=1e-14)
    np.testing.assert_allclose(halos.concentration, 8.0, rtol=1e-14)
    np.testing.assert_array_equal(halos.mass, hosts_of("halo_mvir"))


def test_consistent_trees_list(tmp_path):
    names = "#scale(0) id(1) mvir(2) vmax(3) vrms(4) rvir(5) rs(6) np(7) x(8) y(9) z(10) vx(11)"
    names += " vy(12) vz(13) A[x](14) A[y](15) A[z](16) upid(17)\n"
    header = names + "#Omega_M = 0.27; Omega_L = 0.73; h0 = 0.7\n"
    header += "#Full box size = 250.0 Mpc/h\n#Units: Radii in kpc/h (comoving)\n"
    path = tmp_path / "hlist_1.00000.list"
    path.write_text(rockstar_text(header))
    halos = HaloCatalog.read(path)
    assert (len(halos), halos.boxsize) == (N - 2, BOX)
    np.testing.assert_allclose(halos.radius, hosts_of("halo_rvir"), rtol=1e-14)


def test_rockstar_list_without_parents_warns(tmp_path):
    path = tmp_path / "out_5.list"
    path.write_text(rockstar_text(parent=False))
    with pytest.warns(UserWarning, match="every row is taken as a host halo"):
        assert len(HaloCatalog.read(path)) == N


def test_damaged_and_empty_rockstar_lists(tmp_path):
    path = tmp_path / "out_5.list"
    path.write_text(rockstar_text()[:-60])
    with pytest.raises(ValueError, match="damaged"):
        HaloCatalog.read(path)
    path.write_text(ROCKSTAR)
    with pytest.raises(ValueError, match="empty"):
        HaloCatalog.read(path)
    path.write_text(rockstar_text().replace("#Box size: 250.000000 Mpc/h\n", ""))
    with pytest.raises(ValueError, match="boxsize must be given"):
        HaloCatalog.read(path)
    assert HaloCatalog.read(path, boxsize=BOX).boxsize == BOX


MAP = {
    "x": "px/1000",
    "y": "py/1000",
    "z": "pz/1000",
    "mass": "1e10*m",
    "radius": "r/1000",
    "concentration": "c",
    "axis": "ax",
    "parent": "where(sub == 0, -1, 1)",
}


def other():
    t = table()
    return {
        **{f"p{c}": 1000 * t[f"halo_{c}"] for c in "xyz"},
        "m": t["halo_mvir"] / 1e10,
        "r": 1000 * t["halo_rvir"],
        "c": t["halo_nfw_conc"],
        "ax": np.stack([t[f"halo_axisA_{c}"] for c in "xyz"], axis=1),
        "sub": (t["halo_upid"] != -1).astype(int),
    }


@pytest.mark.parametrize("kind", ["mapping", "table", "npz", "fits", "ecsv", "hdf5"])
def test_any_table_with_a_map(tmp_path, kind):
    if kind == "mapping":
        source = other()
    elif kind == "table":
        source = Table(other())
    elif kind == "npz":
        source = tmp_path / "halos.npz"
        np.savez(source, **other())
    else:
        source = tmp_path / f"halos.{kind}"
        Table(other()).write(source, **({"path": "halos"} if kind == "hdf5" else {}))
    halos = HaloCatalog.from_table(source, columns=MAP, boxsize=BOX)
    np.testing.assert_allclose(halos.position[:, 2], hosts_of("halo_z"), rtol=1e-14)
    np.testing.assert_allclose(halos.mass, hosts_of("halo_mvir"), rtol=1e-14)
    np.testing.assert_allclose(halos.radius, hosts_of("halo_rvir"), rtol=1e-14)
    assert halos.meta["hosts"] is True
    assert halos.meta["scheme"] is None


def test_missing_radius_and_concentration_are_filled_and_told():
    columns = {k: v for k, v in MAP.items() if k not in ("radius", "concentration")}
    world = Cosmology("WMAP9")
    with pytest.warns(UserWarning, match=r"radius: .*'200m', WMAP9 at z = 0.5.*'duffy08'"):
        halos = HaloCatalog.from_table(
            other(),
            columns=columns,
            boxsize=BOX,
            mdef="200m",
            concentration="duffy08",
            cosmology="WMAP9",
            redshift=0.5,
        )
    at = {"redshift": 0.5, "mdef": "200m"}
    np.testing.assert_allclose(halos.radius, world.radius(halos.mass, **at), rtol=1e-14)
    # Comoving: 200 times the mean density of today within it.
    density = halos.mass / (4 / 3 * np.pi * halos.radius**3)
    np.testing.assert_allclose(density, 200 * world.mean_density, rtol=1e-3)
    np.testing.assert_allclose(
        halos.concentration, world.concentration(halos.mass, model="duffy08", **at), rtol=1e-6
    )
    assert set(halos.meta["filled"]) == {"radius", "concentration"}
    assert halos.cosmology["name"] == "WMAP9"


def test_axes_at_random_only_when_asked_with_a_seed():
    columns = {k: v for k, v in MAP.items() if k != "axis"}
    with pytest.raises(ValueError, match=r"no major axes.*axes='random' with a seed"):
        HaloCatalog.from_table(other(), columns=columns, boxsize=BOX)
    with pytest.raises(ValueError, match="needs a seed"):
        HaloCatalog.from_table(other(), columns=columns, boxsize=BOX, axes="random")
    with pytest.raises(ValueError, match="axes = 'x'"):
        HaloCatalog.from_table(other(), columns=columns, boxsize=BOX, axes="x", seed=1)
    with pytest.raises(ValueError, match="seed is for axes"):
        HaloCatalog.from_table(other(), columns=MAP, boxsize=BOX, seed=1)
    one, two, three = (
        HaloCatalog.from_table(other(), columns=columns, boxsize=BOX, axes="random", seed=s)
        for s in (1, 1, 2)
    )
    assert one == two
    assert not np.array_equal(one.axis, three.axis)
    assert one.meta["filled"]["axis"] == "random, seed 1"


def test_random_axes_are_isotropic():
    from pysoftcorr.mocks.halo_tables import random_axes

    axis = random_axes(40_000, np.random.default_rng(5))
    np.testing.assert_allclose(np.linalg.norm(axis, axis=1), 1, rtol=1e-14)
    # <e e^T> = 1/3; a component squared has the variance 4/45, a product of two 1/15.
    moments = axis.T @ axis / len(axis)
    assert np.abs(moments - np.eye(3) / 3).max() < 4.5 * np.sqrt(4 / 45 / len(axis))


def changed(**columns):
    return {**other(), **columns}


def with_value(name, row, value):
    column = other()[name].astype(float)
    column[row] = value
    return changed(**{name: column})


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        (with_value("m", 6, np.nan), {}, r"mass \(column '1e10\*m' of the mapping\): row 6"),
        (with_value("c", 7, 0.0), {}, r"concentration \(column 'c'.*row 7 \(0\)"),
        (with_value("ax", 3, 0.0), {}, r"axis .*no direction.*row 3 "),
        (with_value("px", 4, 2.6e5), {}, r"x \(column 'px/1000'.*outside \[0, 250\).*row 4 \(260"),
        (other(), {"columns": MAP | {"x": "px", "y": "py", "z": "pz"}}, r"in kpc/h\?"),
        (
            other(),
            {"columns": MAP | {"radius": "r"}},
            r"radius .*kpc/h; pass columns=\{'radius': 'r/1000'\}",
        ),
        (other(), {"columns": MAP | {"mass": "m"}}, r"units of 1e10 Msun/h"),
        (other(), {"columns": MAP | {"mass": "log10(m) + 10"}}, r"log10\(M\)"),
        (other(), {"columns": MAP | {"mass": "mm"}}, r"mass: no column 'mm'"),
        (other(), {"columns": MAP | {"masss": "m"}}, r"no field 'masss'.*did you mean mass"),
        (other(), {"columns": MAP | {"axis": ("c", "c")}}, r"must be three or one columns"),
        (other(), {"columns": MAP | {"axis": "c"}}, r"has shape \(8,\), not \(8, 3\)"),
        (other(), {"columns": MAP | {"mass": None}}, r"which column is mass"),
        (other(), {"columns": MAP | {"z": None}}, r"which column is x, y and z"),
        (other(), {"columns": MAP | {"parent": "c"}}, r"no row has parent .*own id.*hosts=False"),
        (other(), {"columns": None}, r"neither the columns of halotools.*pass columns="),
        (other(), {"boxsize": None}, r"boxsize must be given"),
        (other(), {"cosmology": "plank18"}, r"did you mean planck18"),
        ({k: v[:0] for k, v in other().items()}, {}, r"empty"),
    ],
)
def test_bad_tables_are_refused(source, options, said):
    with pytest.raises(ValueError, match=said):
        HaloCatalog.from_table(source, **{"columns": MAP, "boxsize": BOX, **options})


def test_text_where_numbers_belong():
    with pytest.raises(TypeError, match="mass"):
        HaloCatalog.from_table(
            changed(m=np.array(["a"] * N)), columns=MAP | {"mass": "m"}, boxsize=BOX
        )
    with pytest.raises(TypeError, match="read from a path"):
        HaloCatalog.from_table(3, columns=MAP, boxsize=BOX)


def test_wrap_when_asked():
    source = with_value("px", 4, 2.6e5)
    halos = HaloCatalog.from_table(source, columns=MAP, boxsize=BOX, wrap=True)
    assert halos.position[3, 0] == pytest.approx(10.0)  # row 2 is a subhalo


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such"):
        HaloCatalog.from_table(tmp_path / "none.hdf5")


def test_a_halo_file_of_another_column_set(tmp_path):
    data = {k.replace("halo_m", "halo_other_m"): v for k, v in table().items()}
    with pytest.raises(ValueError, match=r"which column is mass.*columns="):
        HaloCatalog.read(halotools_file(tmp_path / "a.h5", data))
    halos = HaloCatalog.read(
        tmp_path / "a.h5",
        columns={
            "x": "halo_x",
            "y": "halo_y",
            "z": "halo_z",
            "mass": "halo_other_mvir",
            "radius": "halo_rvir",
            "scale_radius": "halo_rs",
            "axis": [f"halo_axisA_{c}" for c in "xyz"],
            "parent": "halo_upid",
        },
    )
    assert halos.boxsize == BOX
    np.testing.assert_allclose(halos.concentration, 8.0, rtol=1e-14)


def test_several_tables_of_halos(tmp_path):
    path = tmp_path / "snapshots.hdf5"
    halotools_file(path)
    with h5py.File(path, "r+") as file:
        file["log"] = Table({"step": [1, 2]}).as_array()
    assert len(HaloCatalog.read(path)) == N - 2
    Table(table(4)).write(path, path="later", format="hdf5", append=True)
    with pytest.raises(ValueError, match=r"several tables .*key 'data' \(8 rows\), key 'later'"):
        HaloCatalog.read(path)
    np.testing.assert_array_equal(HaloCatalog.read(path, key="data").mass, hosts_of("halo_mvir"))


def test_halos_of_several_files(tmp_path):
    paths = [tmp_path / f"part{k}.ecsv" for k in range(2)]
    for k, path in enumerate(paths):
        data = table(k)
        Table(data).write(path)
    halos = HaloCatalog.from_table(paths, boxsize=BOX)
    assert len(halos) == 2 * (N - 2)
    data["halo_mvir"][3] = np.nan
    Table(data).write(paths[1], overwrite=True)
    with pytest.raises(ValueError, match=r"row 3 of .*part1\.ecsv"):
        HaloCatalog.from_table(paths, boxsize=BOX)
