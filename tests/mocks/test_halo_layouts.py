"""Halo catalogs as simulations hand them out: each layout read right, or refused in one line."""

import gzip
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.galaxies import GalaxyCatalog
from pysoftcorr.mocks.halos import HaloCatalog

N, BOX = 12, 75.0
PLANCK15 = Cosmology("planck15")


@pytest.fixture(autouse=True)
def nothing_doubtful():
    """Warnings are errors where a test does not expect them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def truth(seed=3, redshift=0.0, mdef="vir", world=PLANCK15):
    rng = np.random.default_rng(seed)
    mass = np.logspace(11.5, 14.5, N)
    return {
        "position": rng.random((N, 3)) * BOX,
        "mass": mass,
        "radius": world.radius(mass, redshift=redshift, mdef=mdef),
        "concentration": np.linspace(5, 12, N),
        "axis": rng.standard_normal((N, 3)),
    }


def plain(names="xyz", mass="Mvir", radius="Rvir", rs="Rs", kpc=True, **truths):
    """A table in memory whose radii are in kpc/h, and its parents."""
    t = truth(**truths)
    times = 1000.0 if kpc else 1.0
    out = {c: t["position"][:, i] for i, c in enumerate(names)}
    out |= {mass: t["mass"], radius: times * t["radius"]}
    if rs is not None:
        out[rs] = times * t["radius"] / t["concentration"]
    out |= {f"A[{c}]": t["axis"][:, i] for i, c in enumerate("xyz")}
    out["pid"] = np.full(N, -1)
    return out


# ---------------------------------------------------------------------- radius and scale radius
@pytest.mark.parametrize(
    "columns",
    [
        {"radius": "Rvir/1000"},
        {"radius": "Rvir*1e-3"},
        {"radius": "0.001*Rvir"},
        {"scale_radius": "Rs/1000"},
        {"scale_radius": "Rs/1e3"},
        {"radius": "(Rvir + 0)/1000"},
    ],
)
def test_radius_and_scale_radius_go_together(columns):
    one, other = ("radius", "scale_radius")[:: 1 if "radius" in columns else -1]
    with pytest.raises(ValueError, match=rf"^{other}: .* is taken as it is, while {one} is"):
        HaloCatalog.from_table(plain(), columns=columns, boxsize=BOX)


def test_the_advice_of_a_lacking_scale_works():
    with pytest.raises(ValueError, match=r"columns=\{'scale_radius': 'Rs/1000'\} too") as caught:
        HaloCatalog.from_table(plain(), columns={"radius": "Rvir/1000"}, boxsize=BOX)
    assert "columns={'scale_radius': 'Rs'} if" in str(caught.value)
    both = {"radius": "Rvir/1000", "scale_radius": "Rs/1000"}
    halos = HaloCatalog.from_table(plain(), columns=both, boxsize=BOX)
    np.testing.assert_allclose(halos.concentration, truth()["concentration"], rtol=1e-13)
    # Said to be in Mpc/h and so in kpc/h: the range of every row tells.
    with pytest.raises(ValueError, match=r"concentration = radius / scale_radius must be 0\.1"):
        HaloCatalog.from_table(plain(), columns=both | {"scale_radius": "Rs"}, boxsize=BOX)


def test_one_scale_radius_of_another_unit_is_named():
    table = plain(kpc=False)
    table["Rs"][7] *= 1000
    with pytest.raises(ValueError, match=r"radius / scale_radius must be .*row 7 \(0.00"):
        HaloCatalog.from_table(table, boxsize=BOX)
    table["Rs"][7] = 0.0
    with pytest.raises(ValueError, match=r"scale_radius .* above 0; it is not in row 7 \(0\)"):
        HaloCatalog.from_table(table, boxsize=BOX)


def test_a_radius_in_kpc_gives_both_by_their_units():
    table = Table(plain())
    for name in ("Rvir", "Rs"):
        table[name].unit = "kpc/h"
    halos = HaloCatalog.from_table(table, boxsize=BOX)
    np.testing.assert_allclose(halos.radius, truth()["radius"], rtol=1e-13)
    np.testing.assert_allclose(halos.concentration, truth()["concentration"], rtol=1e-13)
    halos = HaloCatalog.from_table(table, boxsize=BOX, columns={"radius": "Rvir/1000"})
    np.testing.assert_allclose(halos.concentration, truth()["concentration"], rtol=1e-13)


@pytest.mark.parametrize(
    ("unit", "times"),
    [("kpc/h", 1e-3), ("ckpc/h", 1e-3), ("h^-1 Mpc", 1.0), ("Mpc / littleh", 1.0),
     ("comoving kpc h-1", 1e-3), ("Mpc h**-1", 1.0)],
)  # fmt: skip
def test_units_of_positions(unit, times):
    table = Table(plain(kpc=False))
    for c in "xyz":
        table[c] = table[c] / times
        table[c].unit = unit if "littleh" not in unit else None
        if "littleh" in unit:
            import astropy.units as u
            from astropy.cosmology import units as cu

            table[c].unit = u.Mpc / cu.littleh
    halos = HaloCatalog.from_table(table, boxsize=BOX)
    np.testing.assert_allclose(halos.position, truth()["position"], rtol=1e-13)


@pytest.mark.parametrize(
    ("name", "unit"), [("x", "Mpc"), ("Mvir", "Msun"), ("Rvir", "kpc"), ("x", "deg")]
)
def test_units_without_h_or_of_another_kind(name, unit):
    table = Table(plain(kpc=False))
    table[name].unit = unit
    shown = "solMass" if unit == "Msun" else unit
    with pytest.raises(ValueError, match=rf"column '{name}' .* is in '{shown}'.*value\({name}\)"):
        HaloCatalog.from_table(table, boxsize=BOX)
    cured = {c: f"value({c})" for c in ("x", "y", "z")} | {"mass": "value(Mvir)"}
    halos = HaloCatalog.from_table(
        table, boxsize=BOX, columns=cured | {"radius": "value(Rvir)", "scale_radius": "value(Rs)"}
    )
    np.testing.assert_allclose(halos.mass, truth()["mass"])


# ---------------------------------------------------------------------- row by row
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Mvir", 3e2, r"mass .*Msun/h; it is not in row 4"),
        ("Mvir", 5e9, r"radius .*in 1 of 12 rows.*row 4"),
        ("Rvir", 280.0, r"radius .*in 1 of 12 rows.*row 4 \(280\).*kpc/h"),
        ("Rvir", 0.0, r"radius .*above 0.*row 4"),
        ("Rs", 1e-5, r"concentration.*row 4 "),
        ("x", 74000.0, r"x .*outside \[0, 75\).*row 4 "),
        ("x", np.nan, r"position .*row 4 "),
    ],
)
def test_single_rows_are_named(name, value, said):
    table = plain(kpc=False)
    table[name][4] = value
    with pytest.raises(ValueError, match=said):
        HaloCatalog.from_table(table, boxsize=BOX)
    if name == "x" and value == value:
        return  # a place outside the box is no bad value, but a wrong box
    with pytest.warns(UserWarning, match=r"left out 1 of 12 halos.*\("):
        halos = HaloCatalog.from_table(table, boxsize=BOX, on_bad="drop")
    rest = np.arange(N) != 4
    np.testing.assert_array_equal(halos.mass, np.asarray(table["Mvir"])[rest])
    assert halos.meta["dropped"] == 1


def test_scale_radii_beside_radii_that_are_filled_in():
    table = plain(kpc=False)
    del table["Rvir"]
    table["Rs"][4] = 1e-5
    options = {"boxsize": BOX, "cosmology": "planck15", "redshift": 0.0}
    with (
        pytest.warns(UserWarning, match="radius: from mass"),
        pytest.warns(UserWarning, match=r"left out 1 of 12 halos .*\(concentration 1\)"),
    ):
        halos = HaloCatalog.from_table(table, on_bad="drop", **options)
    expected = np.delete(truth()["concentration"], 4)
    np.testing.assert_allclose(halos.concentration, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"concentration = radius / scale_radius .*row 4 "):
        HaloCatalog.from_table(table, **options)


def test_a_unit_is_not_dropped():
    said = r"radius .*12 of 12 rows.*kpc/h; pass columns=\{'radius': 'Rvir/1000', 'scale_radius': "
    with pytest.raises(ValueError, match=said + r"'Rs/1000'\}$"):
        HaloCatalog.from_table(plain(), boxsize=BOX, on_bad="drop")
    with pytest.raises(ValueError, match=r"on_bad = 'skip': must be one of error, drop"):
        HaloCatalog.from_table(plain(), boxsize=BOX, on_bad="skip")


def test_masked_rows_and_axes_without_direction():
    table = Table(plain(kpc=False), masked=True)
    table["Mvir"].mask[2] = True
    table["A[x]"][5] = table["A[y]"][5] = table["A[z]"][5] = 0.0
    table["A[x]"][6] = table["A[y]"][6] = table["A[z]"][6] = -99.0
    with pytest.raises(ValueError, match=r"mass .*row 2 \(nan\)"):
        HaloCatalog.from_table(table, boxsize=BOX)
    with pytest.warns(UserWarning, match=r"left out 3 of 12 .*\(mass 1, axis 2\)"):
        halos = HaloCatalog.from_table(table, boxsize=BOX, on_bad="drop")
    np.testing.assert_array_equal(halos.mass, np.delete(truth()["mass"], [2, 5, 6]))


def test_selection():
    table = plain(kpc=False)
    halos = HaloCatalog.from_table(table, boxsize=BOX, select="Mvir > 1e13")
    np.testing.assert_array_equal(halos.mass, truth()["mass"][truth()["mass"] > 1e13])
    assert halos.meta["unselected"] == np.count_nonzero(truth()["mass"] <= 1e13)
    table["Mvir"][3] = -1.0  # bad, and not selected
    assert len(HaloCatalog.from_table(table, boxsize=BOX, select="Mvir > 1e13")) == len(halos)
    with pytest.raises(ValueError, match="no row has Mvir > 1e18"):
        HaloCatalog.from_table(table, boxsize=BOX, select="Mvir > 1e18")
    with pytest.raises(TypeError, match="select = 'Mvir'"):
        HaloCatalog.from_table(table, boxsize=BOX, select="Mvir")


# ---------------------------------------------------------------------- radii and definitions
def test_radii_of_another_definition_or_physical_ones():
    table = plain(kpc=False, mdef="500c")
    with pytest.warns(UserWarning, match=r"they are those of mdef='500c'"):
        HaloCatalog.from_table(table, boxsize=BOX, cosmology="planck15", redshift=0.0)
    table = plain(kpc=False, redshift=1.0)
    table["Rvir"] /= 2
    table["Rs"] /= 2
    with pytest.warns(UserWarning, match=r"physical\? Multiply them by 1 \+ z, 2"):
        HaloCatalog.from_table(table, boxsize=BOX, cosmology="planck15", redshift=1.0)


def test_a_box_that_is_empty_but_for_a_corner():
    rng = np.random.default_rng(1)
    table = {k: np.repeat(v, 20, axis=0) for k, v in plain(kpc=False).items()}
    for c in "xyz":
        table[c] = rng.random(20 * N) * 0.075
    with pytest.warns(UserWarning, match=r"240 halos lie within 0.07.* a box of 75 .*Gpc/h"):
        HaloCatalog.from_table(table, boxsize=BOX)


# ---------------------------------------------------------------------- parents
def marked(kind):
    """Parents of hosts marked in different ways; rows 2 and 5 are subhalos of row 9."""
    ids = np.arange(100, 100 + N)
    sub = np.isin(np.arange(N), [2, 5])
    if kind == "minus":
        return ids, np.where(sub, 109, -1)
    if kind == "own id":
        return ids, np.where(sub, 109, ids)
    if kind == "zero":
        return ids, np.where(sub, 109, 0)
    if kind == "unsigned":
        return ids.astype(np.uint64), np.where(sub, 109, 2**64 - 1).astype(np.uint64)
    if kind == "unsigned 32":
        return ids.astype(np.uint32), np.where(sub, 109, 2**32 - 1).astype(np.uint32)
    if kind == "decimal":
        return ids.astype(float), np.where(sub, 109.0, -1.0)
    big = np.arange(2**60, 2**60 + N)  # neighbors that decimal numbers cannot tell apart
    return big, np.where(sub, 2**60 + 9, big)


@pytest.mark.parametrize("name", ["pid", "upid", "UPID"])
@pytest.mark.parametrize(
    "kind", ["minus", "own id", "zero", "unsigned", "unsigned 32", "decimal", "big ids"]
)
def test_hosts_by_every_mark(kind, name):
    table = plain(kpc=False)
    del table["pid"]
    table["id"], table[name] = marked(kind)
    halos = HaloCatalog.from_table(table, boxsize=BOX)
    np.testing.assert_array_equal(halos.mass, np.delete(truth()["mass"], [2, 5]))
    assert len(HaloCatalog.from_table(table, boxsize=BOX, hosts=False)) == N
    assert len(HaloCatalog.from_table(pd.DataFrame(table), boxsize=BOX)) == N - 2


def test_doubtful_parents():
    table = plain(kpc=False)
    table["id"], table["pid"] = np.arange(N), np.where(np.arange(N) == 3, 1, 0)
    with pytest.raises(ValueError, match=r"pid.* is 0 in 11 rows, and 0 is also the id"):
        HaloCatalog.from_table(table, boxsize=BOX)
    cured = HaloCatalog.from_table(table, boxsize=BOX, columns={"parent": "where(pid == 0, -1, 1)"})
    assert len(cured) == N - 1
    table["pid"] = np.full(N, 77)
    with pytest.raises(ValueError, match=r"no row has parent .*hosts=False"):
        HaloCatalog.from_table(table, boxsize=BOX)
    masked = Table(plain(kpc=False), masked=True)
    masked["pid"].mask[4] = True
    with pytest.raises(ValueError, match=r"parent .*row 4 \(nan\)"):
        HaloCatalog.from_table(masked, boxsize=BOX)


# ---------------------------------------------------------------------- TNG
def tng(path, rows, seed=3, redshift=0.5, **header):
    """A chunk of a SUBFIND catalog of TNG: kpc/h, 1e10 Msun/h, three definitions."""
    t = truth(seed)
    with h5py.File(path, "w") as file:
        head = file.create_group("Header")
        head.attrs.update({
            "BoxSize": 1000 * BOX, "Redshift": redshift, "Time": 1 / (1 + redshift),
            "Omega0": 0.3089, "OmegaLambda": 0.6911, "HubbleParam": 0.6774, "NumFiles": 2,
            "Ngroups_ThisFile": len(rows), "Ngroups_Total": N, **header,
        })  # fmt: skip
        group, sub = file.create_group("Group"), file.create_group("Subhalo")
        if len(rows):
            group["GroupPos"] = 1000 * t["position"][rows].astype(np.float32)
            group["GroupMass"] = t["mass"][rows] * 1.1 / 1e10
            group["GroupLenType"] = np.ones((len(rows), 6), dtype=np.int32)
            for name, mdef in (("TopHat200", "vir"), ("Crit200", "200c"), ("Mean200", "200m")):
                mass = t["mass"][rows] * {"vir": 1, "200c": 0.85, "200m": 1.05}[mdef]
                group[f"Group_M_{name}"] = mass / 1e10
                radius = PLANCK15.radius(mass, redshift=redshift, mdef=mdef)
                group[f"Group_R_{name}"] = 1000 * radius
        sub["SubhaloPos"] = np.zeros((3, 3))
        sub["SubhaloMass"] = np.ones(3)
    return path


@pytest.mark.parametrize("mdef", ["vir", "200c", "200m"])
def test_chunks_of_tng(tmp_path, mdef):
    for k in range(2):
        tng(tmp_path / f"fof_subhalo_tab_067.{k}.hdf5", np.arange(7 * k, 7 + 5 * k))
    with pytest.warns(UserWarning, match=r"concentration: median .*planck15 at z = 0.5"):
        halos = HaloCatalog.read(
            str(tmp_path / "fof_subhalo_tab_067.*.hdf5"), axes="random", seed=1, mdef=mdef
        )
    t, times = truth(), {"vir": 1, "200c": 0.85, "200m": 1.05}[mdef]
    assert halos.boxsize == pytest.approx(BOX)
    assert halos.meta["redshift"] == 0.5
    assert halos.cosmology["name"] == "planck15"
    np.testing.assert_allclose(halos.position, t["position"], rtol=1e-6)
    np.testing.assert_allclose(halos.mass, t["mass"] * times, rtol=1e-12)
    expected = PLANCK15.radius(halos.mass, redshift=0.5, mdef=mdef)
    np.testing.assert_allclose(halos.radius, expected, rtol=1e-12)


def test_chunks_that_do_not_belong_together(tmp_path):
    tng(tmp_path / "a.0.hdf5", np.arange(7))
    tng(tmp_path / "a.1.hdf5", np.arange(5), redshift=1.0)
    options = {"axes": "random", "seed": 1}
    with pytest.raises(ValueError, match=r"a\.1\.hdf5 is of z = 1, .*a\.0\.hdf5 of z = 0\.5"):
        HaloCatalog.read([tmp_path / "a.0.hdf5", tmp_path / "a.1.hdf5"], **options)
    with (
        pytest.warns(UserWarning, match="concentration"),
        pytest.warns(UserWarning, match="part of a catalog of 12 groups in 2 files; 7 are read"),
    ):
        HaloCatalog.read(tmp_path / "a.0.hdf5", **options)
    with h5py.File(tmp_path / "a.0.hdf5", "r+") as file:
        file["Header"].attrs["Ngroups_Total"] = 7
    with pytest.raises(ValueError, match=r"redshift = 0: .* says 0\.5; leave redshift out"):
        HaloCatalog.read(tmp_path / "a.0.hdf5", redshift=0, **options)
    with pytest.raises(ValueError, match=r"boxsize = 75000"):
        HaloCatalog.read(tmp_path / "a.0.hdf5", boxsize=75000, **options)


def test_empty_chunks_and_groups_without_overdensity(tmp_path):
    tng(tmp_path / "a.0.hdf5", np.arange(N))
    tng(tmp_path / "a.1.hdf5", np.arange(0))
    with h5py.File(tmp_path / "a.0.hdf5", "r+") as file:
        file["Group/Group_M_TopHat200"][3] = file["Group/Group_R_TopHat200"][3] = 0.0
    paths, options = [tmp_path / f"a.{k}.hdf5" for k in range(2)], {"axes": "random", "seed": 1}
    with pytest.raises(ValueError, match=r"mass .*row 3 .*on_bad='drop'"):
        HaloCatalog.read(paths, **options)
    with (
        pytest.warns(UserWarning, match="concentration"),
        pytest.warns(UserWarning, match=r"left out 1 of 12 halos .*\(mass 1\)"),
    ):
        assert len(HaloCatalog.read(paths, on_bad="drop", **options)) == N - 1


def test_header_of_gadget_in_mpc(tmp_path):
    path = tng(tmp_path / "a.hdf5", np.arange(N), BoxSize=BOX, UnitLength_in_cm=3.085678e24)
    with h5py.File(path, "r+") as file:
        for name in ("GroupPos", "Group_R_TopHat200"):
            file[f"Group/{name}"][...] /= 1000
    with pytest.warns(UserWarning, match="filled in"):
        halos = HaloCatalog.read(path, axes="random", seed=1)
    assert halos.boxsize == pytest.approx(BOX)
    np.testing.assert_allclose(halos.position, truth()["position"], rtol=1e-6)


# ---------------------------------------------------------------------- Rockstar, consistent-trees
def hlist(path, scale, rows=slice(None), radius=True, om="0.3089", named=False):
    t = truth(redshift=1 / scale - 1)
    names = ["scale", "id", "mvir", "rvir", "rs", "x", "y", "z", "A[x]", "A[y]", "A[z]", "pid",
             "upid"]  # fmt: skip
    columns = [np.full(N, scale), np.arange(N) + 1, t["mass"], 1e3 * t["radius"],
               1e3 * t["radius"] / t["concentration"], *t["position"].T, *t["axis"].T,
               np.full(N, -1), np.full(N, -1)]  # fmt: skip
    table = np.array(columns, dtype=float).T[rows]
    if not radius:
        del names[3:5]
        table = np.delete(table, [3, 4], axis=1)
    if named:
        names, table = names[1:], table[:, 1:]
    head = "#" + " ".join(f"{n}({k})" for k, n in enumerate(names))
    head += f"\n#Omega_M = {om}; Omega_L = 0.6911; h0 = 0.6774\n#Full box size = {BOX} Mpc/h\n"
    head += "#Units: Radii in kpc/h (comoving)\n"
    text = head + "\n".join(" ".join(repr(float(v)) for v in row) for row in table) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25])
@pytest.mark.parametrize("named", [False, True])
def test_hlist_says_its_redshift_and_cosmology(tmp_path, scale, named):
    path = hlist(tmp_path / f"hlist_{scale:.5f}.list", scale, radius=False, named=named)
    with pytest.warns(UserWarning, match=rf"planck15 at z = {1 / scale - 1:g}"):
        halos = HaloCatalog.read(path)
    assert halos.meta["redshift"] == pytest.approx(1 / scale - 1)
    np.testing.assert_allclose(halos.radius, truth(redshift=1 / scale - 1)["radius"], rtol=1e-12)
    assert halos.boxsize == BOX


def test_an_unknown_cosmology_of_a_header(tmp_path):
    path = hlist(tmp_path / "hlist_1.00000.list", 1.0, radius=False, om="0.2")
    with pytest.warns(UserWarning, match="planck18 with Om0 and H0 of the file"):
        halos = HaloCatalog.read(path)
    assert (halos.cosmology["Om0"], halos.cosmology["H0"]) == pytest.approx((0.2, 67.74))
    with (
        pytest.warns(UserWarning, match="planck18 at z = 0"),
        pytest.warns(UserWarning, match=r"'planck18' has Om0 = 0.3111; .* says 0.2"),
    ):
        HaloCatalog.read(path, cosmology="planck18")


def test_several_rockstar_lists_and_a_selection(tmp_path):
    hlist(tmp_path / "halos_0.list", 0.5, slice(0, 7))
    hlist(tmp_path / "halos_1.list.gz", 0.5, slice(7, None))
    halos = HaloCatalog.read(str(tmp_path / "halos_*"), select="mvir > 1e13")
    t = truth(redshift=1.0)
    np.testing.assert_array_equal(halos.mass, t["mass"][t["mass"] > 1e13])
    np.testing.assert_allclose(halos.concentration, t["concentration"][t["mass"] > 1e13])
    np.testing.assert_allclose(halos.radius, t["radius"][t["mass"] > 1e13])
    hlist(tmp_path / "halos_2.list", 1.0)
    with pytest.raises(ValueError, match=r"halos_2\.list is of z = 0"):
        HaloCatalog.read(str(tmp_path / "halos_*"))
    # An expression of the radius is in Mpc/h, and the scale radius follows the header.
    again = HaloCatalog.read(tmp_path / "halos_0.list", columns={"radius": "rvir/1000"})
    np.testing.assert_allclose(again.concentration, t["concentration"][:7])


# ---------------------------------------------------------------------- halotools
@pytest.mark.parametrize(("simname", "om"), [("bolshoi", 0.27), ("bolplanck", 0.3071)])
def test_cosmology_of_a_simulation_of_halotools(tmp_path, simname, om):
    t, path = truth(redshift=0.5, world=Cosmology("bolshoi")), tmp_path / "halos.hdf5"
    columns = {f"halo_{c}": t["position"][:, i] for i, c in enumerate("xyz")}
    columns |= {f"halo_axisA_{c}": t["axis"][:, i] for i, c in enumerate("xyz")}
    columns |= {"halo_mvir": t["mass"], "halo_upid": np.full(N, -1)}
    Table(columns).write(path, path="data", format="hdf5")
    with h5py.File(path, "r+") as file:
        file.attrs.update({"Lbox": [BOX] * 3, "redshift": 0.5, "simname": simname})
    with pytest.warns(UserWarning, match=r"at z = 0\.5"):
        halos = HaloCatalog.read(path)
    assert halos.cosmology["Om0"] == om
    if simname == "bolshoi":
        np.testing.assert_allclose(halos.radius, t["radius"], rtol=1e-12)
    with pytest.raises(ValueError, match=r"which column is mass of mdef = '200m'\? .*'vir'"):
        HaloCatalog.read(path, mdef="200m")


# ---------------------------------------------------------------------- AHF and CompaSO
def test_ahf(tmp_path):
    t, path = truth(), tmp_path / "snap.AHF_halos"
    names = ["ID", "hostHalo", "Mvir", "Xc", "Yc", "Zc", "Rvir", "Eax", "Eay", "Eaz", "cNFW"]
    ids = 10**18 + np.arange(N)
    host = np.where(np.arange(N) == 4, ids[0], 0)
    rows = ["#" + "\t".join(f"{n}({k + 1})" for k, n in enumerate(names))]
    for i in range(N):
        numbers = [t["mass"][i], *1e3 * t["position"][i], 1e3 * t["radius"][i], *t["axis"][i],
                   t["concentration"][i]]  # fmt: skip
        rows.append("\t".join([str(ids[i]), str(host[i]), *map(repr, map(float, numbers))]))
    path.write_text("\n".join(rows) + "\n")
    halos = HaloCatalog.read(path, boxsize=BOX)
    np.testing.assert_allclose(halos.position, np.delete(t["position"], 4, axis=0), rtol=1e-12)
    np.testing.assert_allclose(halos.radius, np.delete(t["radius"], 4), rtol=1e-12)
    np.testing.assert_allclose(halos.concentration, np.delete(t["concentration"], 4))


@pytest.mark.parametrize("mdef", ["vir", "200c"])
def test_ahf_without_a_definition(tmp_path, mdef):
    t, path = truth(mdef=mdef), tmp_path / "snap.AHF_halos"
    names = ["ID", "hostHalo", "Mhalo", "Xc", "Yc", "Zc", "Rhalo", "Eax", "Eay", "Eaz", "cNFW"]
    rows = ["#" + "\t".join(f"{n}({k + 1})" for k, n in enumerate(names))]
    for i in range(N):
        numbers = [t["mass"][i], *1e3 * t["position"][i], 1e3 * t["radius"][i], *t["axis"][i],
                   t["concentration"][i]]  # fmt: skip
        rows.append("\t".join([str(i + 1), "0", *map(repr, map(float, numbers))]))
    path.write_text("\n".join(rows) + "\n")
    halos = HaloCatalog.read(path, boxsize=BOX, mdef=mdef, redshift=0.0, cosmology="planck15")
    np.testing.assert_allclose(halos.mass, t["mass"], rtol=1e-12)
    np.testing.assert_allclose(halos.radius, t["radius"], rtol=1e-12)
    some = HaloCatalog.read(path, boxsize=BOX, mdef=mdef, select="Mhalo > 1e13")
    assert len(some) == np.count_nonzero(t["mass"] > 1e13)
    galaxies = GalaxyCatalog.from_table(path, boxsize=BOX)
    np.testing.assert_allclose(galaxies.position, t["position"], rtol=1e-12)


# ---------------------------------------------------------------------- names without brackets
@pytest.mark.parametrize("names", [("Ax", "Ay", "Az"), ("A_x", "A_y", "A_z")])
def test_axes_and_identifiers_of_databases(names):
    t, table = truth(), plain(kpc=False)
    for k, name in enumerate(names):
        table[name] = table.pop(f"A[{'xyz'[k]}]")
    table["rockstarId"] = 10**12 + np.arange(N)
    table["pid"][3] = table["rockstarId"][9]
    table["Mvir"][3] = 1e11
    table["Rvir"][3] = PLANCK15.radius(np.array([1e11]), redshift=0.0, mdef="vir")[0]
    with pytest.warns(UserWarning, match="outside 2 radii of their host"):
        halos = HaloCatalog.from_table(table, boxsize=BOX, subhalos=True)
    np.testing.assert_allclose(halos.position, np.delete(t["position"], 3, axis=0))
    assert halos.mass[halos.subhalos.host[0]] == t["mass"][9]
    np.testing.assert_allclose(
        np.cross(halos.axis, np.delete(t["axis"], 3, axis=0)), 0.0, atol=1e-12
    )


def test_x_y_z_of_any_table_need_no_map():
    t = truth()
    table = dict(zip("XYZ", t["position"].T, strict=True)) | {"M": t["mass"], "e": t["axis"]}
    filled, lone = pytest.warns(UserWarning, match="filled in"), pytest.warns(match="no parent")
    with filled, lone:
        halos = HaloCatalog.from_table(table, boxsize=BOX, columns={"mass": "M", "axis": "e"})
    np.testing.assert_allclose(halos.position, t["position"])


@pytest.mark.parametrize(
    ("position", "axis"),
    [
        (("halo_x", "halo_y", "halo_z"), ("halo_axisA_x", "halo_axisA_y", "halo_axisA_z")),
        (("X", "Y", "Z"), ("Ax", "Ay", "Az")),
        (("x_L2com",), ("sigmar_eigenvecsMaj_L2com",)),
    ],
)
def test_tables_of_halos_are_galaxies_too(position, axis):
    t = truth()
    table = {}
    for names, values in ((position, t["position"]), (axis, t["axis"])):
        parts = [values] if len(names) == 1 else values.T
        table |= dict(zip(names, parts, strict=True))
    galaxies = GalaxyCatalog.from_table(table, boxsize=BOX)
    np.testing.assert_allclose(galaxies.position, t["position"])
    np.testing.assert_allclose(np.cross(galaxies.axis, t["axis"]), 0.0, atol=1e-12)


# ---------------------------------------------------------------------- parents
@pytest.mark.parametrize("kind", ["masked", "nan"])
def test_hosts_whose_parent_is_missing(kind):
    t, table = truth(), plain(kpc=False)
    table["id"] = 5 + np.arange(N)
    missing = np.arange(N) != 2
    table["pid"] = np.where(missing, 0, 5 + 9)
    if kind == "nan":
        table["pid"] = np.where(missing, np.nan, table["pid"])
    else:
        table["pid"] = np.ma.MaskedArray(table["pid"], mask=missing)
    taken = pytest.warns(UserWarning, match="pid.*taken as the host halos")
    with taken, pytest.warns(UserWarning, match="outside 2 radii of their host"):
        halos = HaloCatalog.from_table(table, boxsize=BOX, subhalos=True)
    np.testing.assert_array_equal(halos.mass, np.delete(t["mass"], 2))
    assert halos.mass[halos.subhalos.host[0]] == t["mass"][9]
    # Beside another mark a missing parent is not known.
    table["pid"] = np.ma.MaskedArray(np.where(missing, -1, 14), mask=np.arange(N) == 5)
    with pytest.raises(ValueError, match=r"masked values in parent .*row 5"):
        HaloCatalog.from_table(table, boxsize=BOX)


def test_hosts_marked_by_another_negative_number():
    table = plain(kpc=False)
    table |= {"id": np.arange(N) + 1, "pid": np.where(np.arange(N) == 2, 10, -2)}
    with pytest.raises(ValueError, match=r"'where\(pid < 0, -1, pid\)'"):
        HaloCatalog.from_table(table, boxsize=BOX)
    columns = {"parent": "where(pid < 0, -1, pid)"}
    assert len(HaloCatalog.from_table(table, boxsize=BOX, columns=columns)) == N - 1


# ---------------------------------------------------------------------- SWIFT
def swift(path, length=1.0, units=True, exponents=True):
    """A file of SOAP: no h in any unit; `length` is the unit of lengths in Mpc."""
    t = truth(redshift=0.5, mdef="200c")
    h = 0.6774
    with h5py.File(path, "w") as file:
        file.create_group("Header").attrs.update(
            {"BoxSize": [BOX / h / length] * 3, "Redshift": [0.5], "NumFilesPerSnapshot": [1]}
        )
        file.create_group("Cosmology").attrs.update({"h": [h], "Omega_m": [0.3089]})
        if units:
            file.create_group("Units").attrs.update({
                "Unit length in cgs (U_L)": [3.08567758e24 * length],
                "Unit mass in cgs (U_M)": [1.98841e43],
                "Unit time in cgs (U_t)": [3.08567758e19 * length],
            })  # fmt: skip
        group = file.create_group("SO/200_crit")
        for name, values, powers in (
            ("CentreOfMass", t["position"] / h / length, (1, 0, 0, 1)),
            ("SORadius", t["radius"] / h / length, (1, 0, 0, 1)),
            ("TotalMass", t["mass"] / h / 1e10, (0, 1, 0, 0)),
            ("CentreOfMassVelocity", t["axis"] * 100, (1, 0, -1, 0)),
        ):
            data = group.create_dataset(name, data=values)
            if exponents:
                signs = ("U_L exponent", "U_M exponent", "U_t exponent", "a-scale exponent")
                data.attrs.update({s: [float(p)] for s, p in zip(signs, powers, strict=True)})
    return path


@pytest.mark.parametrize(
    "made", [{}, {"length": 1e-3}, {"units": False}, {"exponents": False}], ids=str
)
def test_files_of_swift_have_no_h(tmp_path, made):
    path, t = (
        swift(tmp_path / "halo_properties_0077.hdf5", **made),
        truth(redshift=0.5, mdef="200c"),
    )
    times = 0.6774 * made.get("length", 1.0)
    columns = {
        "mass": "0.6774*value(TotalMass)*1e10", "radius": f"{times}*value(SORadius)",
        "position": f"{times}*value(CentreOfMass)", "velocity": "CentreOfMassVelocity",
    }  # fmt: skip
    options = {"axes": "random", "seed": 1, "mdef": "200c", "hosts": False}
    with pytest.warns(UserWarning, match="filled in what it lacks"):
        halos = HaloCatalog.read(path, columns=columns, **options)
    assert halos.boxsize == pytest.approx(BOX)
    np.testing.assert_allclose(halos.position, t["position"], rtol=1e-12)
    np.testing.assert_allclose(halos.velocity, t["axis"] * 100, rtol=1e-6)
    if made.get("exponents", True):
        with pytest.raises(ValueError, match=r"'TotalMass' .* in '1e\+10 Msun', without h"):
            HaloCatalog.read(path, columns=columns | {"mass": "TotalMass"}, **options)
        with pytest.raises(ValueError, match=r"'SORadius' .*Mpc', without h"):
            HaloCatalog.read(path, columns=columns | {"radius": "SORadius"}, **options)


# ---------------------------------------------------------------------- doubtful readings
@pytest.mark.parametrize(
    ("mass", "radius", "said"),
    [
        (1 / 0.6774, 1.0, r"masses in Msun, not Msun/h\? Multiply them by h, 0\.6774"),
        (1.0, 1 / 0.6774, r"in Mpc, not Mpc/h\?"),
        (1 / 0.6774, 1 / 0.6774, r"without the h\? Multiply both by h"),
        (1.0, 1 / 1.25, r"physical\? Multiply them by 1 \+ z, 1\.25"),
        (1.0, "200m", r"mdef='200m'"),
        (1.0, "200c", r"mdef='200c'"),
    ],
)
def test_radii_of_another_unit_or_definition(mass, radius, said):
    table = plain(kpc=False, redshift=0.25)
    if isinstance(radius, str):
        radius = PLANCK15.radius(table["Mvir"], redshift=0.25, mdef=radius) / table["Rvir"]
    for name, times in (("Mvir", mass), ("Rvir", radius), ("Rs", radius)):
        table[name] = table[name] * times
    with pytest.warns(UserWarning, match=said):
        HaloCatalog.from_table(table, boxsize=BOX, redshift=0.25, cosmology="planck15")


@pytest.mark.parametrize("world", ["planck15", "WMAP5", None])
@pytest.mark.parametrize("redshift", [0.0, 0.25, 2.0])
def test_radii_of_the_definition_are_not_doubted(world, redshift):
    rng = np.random.default_rng(1)
    own = Cosmology("WMAP5") if world == "WMAP5" else PLANCK15
    table = plain(kpc=False, redshift=redshift, world=own)
    table["Rvir"] = table["Rvir"] * rng.normal(1, 0.01, N)
    HaloCatalog.from_table(table, boxsize=BOX, redshift=redshift, cosmology=world)


def test_logarithms_are_doubted():
    table = plain(kpc=False, rs=None)
    table["logc"] = np.log10(truth()["concentration"])
    with pytest.warns(
        UserWarning, match=r"log10\(c\), pass columns=\{'concentration': '10\*\*logc"
    ):
        HaloCatalog.from_table(table, boxsize=BOX, columns={"concentration": "logc"})
    halos = HaloCatalog.from_table(table, boxsize=BOX, columns={"concentration": "10**logc"})
    np.testing.assert_allclose(halos.concentration, truth()["concentration"])
    made = Table(plain(kpc=False))
    made["Mvir"] = np.log10(made["Mvir"])
    made["Mvir"].unit = "dex(Msun)"
    with pytest.raises(
        ValueError, match=r"a logarithm; pass columns=\{'mass': '10\*\*value\(Mvir\)'"
    ):
        HaloCatalog.from_table(made, boxsize=BOX)
    halos = HaloCatalog.from_table(made, boxsize=BOX, columns={"mass": "10**value(Mvir)"})
    np.testing.assert_allclose(halos.mass, truth()["mass"])


def test_positions_in_units_of_the_box():
    table = plain(kpc=False)
    for name in "xyz":
        table[name] = table[name] / BOX
    with pytest.warns(UserWarning, match="in units of the box"):
        HaloCatalog.from_table(table, boxsize=BOX)


def test_a_folder_of_chunks_names_a_pattern(tmp_path):
    for k in range(2):
        tng(tmp_path / f"fof_subhalo_tab_067.{k}.hdf5", np.arange(7 * k, 7 + 5 * k))
    with pytest.raises(ValueError, match=r"is a folder.*\*\.hdf5'$"):
        HaloCatalog.read(tmp_path)
    folder = tmp_path / "parquet"
    folder.mkdir()
    frame = pd.DataFrame(plain(kpc=False))
    for k in range(2):
        frame[6 * k : 6 * k + 6].to_parquet(folder / f"part-{k}.parquet")
    assert len(HaloCatalog.read(folder, boxsize=BOX)) == N


def test_compaso():
    t = truth()
    table = Table({
        "id": np.arange(N), "N": np.rint(t["mass"] / 2e9).astype(np.uint32),
        "x_L2com": t["position"] - BOX / 2, "sigmar_eigenvecsMaj_L2com": t["axis"],
    })  # fmt: skip
    table.meta = {"BoxSize": BOX, "Redshift": 0.0, "Omega_M": 0.3089, "H0": 67.74}
    with pytest.raises(ValueError, match=r"CompaSO counts particles.*'N \* \.\.\.'"):
        HaloCatalog.from_table(table)
    columns = {"mass": "N * 2e9"}
    with pytest.raises(ValueError, match=r"centered on 0\? Pass wrap=True"), pytest.warns():
        HaloCatalog.from_table(table, columns=columns)
    with pytest.warns(UserWarning, match="planck15 at z = 0"):
        halos = HaloCatalog.from_table(table, columns=columns, wrap=True)
    np.testing.assert_allclose(np.mod(halos.position + BOX / 2, BOX), t["position"], atol=1e-9)


# ---------------------------------------------------------------------- damage
def test_truncated_files_are_named(tmp_path):
    made = [
        tng(tmp_path / "tng.hdf5", np.arange(N), NumFiles=1),
        hlist(tmp_path / "hlist_1.00000.list", 1.0),
        hlist(tmp_path / "packed.list.gz", 1.0),
    ]
    own = tmp_path / "own.h5"
    HaloCatalog.from_table(plain(kpc=False), boxsize=BOX).write(own)
    table = tmp_path / "table.fits"
    Table(plain(kpc=False)).write(table)
    for path in [*made, own, table]:
        content = path.read_bytes()
        for part in (0.5, 0.9):
            path.write_bytes(content[: int(len(content) * part)])
            with pytest.raises(ValueError, match=path.name):
                HaloCatalog.read(path, axes="random", seed=1, boxsize=BOX)


def test_several_snapshots_in_one_table():
    one = plain(kpc=False) | {"id": 7 + np.arange(N)}
    two = {name: np.concatenate([v, v]) for name, v in one.items()}
    two["snapnum"] = np.repeat([85, 84], N)
    with pytest.warns(UserWarning, match=r"id .* in 12 of 24 halos.*choose one by select="):
        HaloCatalog.from_table(two, boxsize=BOX)
    halos = HaloCatalog.from_table(two, boxsize=BOX, select="snapnum == 84")
    np.testing.assert_allclose(halos.mass, truth()["mass"])


# ---------------------------------------------------------------------- files of our own
def test_a_file_of_our_own_is_told_what_it_does_not_say(tmp_path):
    path = tmp_path / "h.h5"
    HaloCatalog.from_table(plain(kpc=False), boxsize=BOX).write(path)
    halos = HaloCatalog.read(path, cosmology="planck15", redshift=0.5)
    assert halos.cosmology["name"] == "planck15"
    assert halos.meta["redshift"] == 0.5
    halos.write(path, overwrite=True)
    for name, value in (("cosmology", "planck15"), ("redshift", 0.5)):
        with pytest.raises(ValueError, match=rf"read as it is, without {name}$"):
            HaloCatalog.read(path, **{name: value})


@pytest.mark.parametrize("mdef", ["200b", "vir200", "200"])
def test_a_definition_that_is_none(mdef):
    with pytest.raises(ValueError, match=r"mdef = .*no mass definition.*'200m'"):
        PLANCK15.radius(1e13, mdef=mdef)
