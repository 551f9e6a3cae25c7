"""Log of halo layouts, second half: subhalos, axis ratios, minor axes and velocities of each."""

import gzip
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from pysoftcorr.mocks.cosmology import Cosmology
from pysoftcorr.mocks.halos import HaloCatalog

HOSTS, BOX, REDSHIFT = 15, 60.0, 0.5
WORLD = Cosmology("planck15")


@pytest.fixture(autouse=True)
def nothing_doubtful():
    """Warnings are errors where a test does not expect them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def universe(seed=5, shuffled=True):
    """Hosts with subhalos, some of them within other subhalos, and the row of each one's host."""
    rng = np.random.default_rng(seed)
    mass = np.logspace(12.5, 14.5, HOSTS)
    center = rng.random((HOSTS, 3)) * BOX
    center[0] = [0.01, 30, BOX - 0.01]  # its subhalos are on both sides of the box
    number = rng.poisson(6, HOSTS)
    number[0], number[3] = 8, 0
    host = np.concatenate([np.arange(HOSTS), np.repeat(np.arange(HOSTS), number)])
    n, sub = len(host), np.arange(len(host)) >= HOSTS
    radius = WORLD.radius(mass, redshift=REDSHIFT)
    away = rng.standard_normal((n, 3))
    away *= (radius[host] * rng.random(n) * sub / np.linalg.norm(away, axis=1))[:, None]
    parent = host.copy()
    for row in np.flatnonzero(sub):
        before = np.flatnonzero(sub[:row] & (host[:row] == host[row]))
        if before.size and rng.random() < 0.5:
            parent[row] = rng.choice(before)  # chains of up to several steps
    weight = np.where(sub, mass[host] * 10 ** rng.uniform(-3, -1, n), mass[host])
    axis = rng.standard_normal((n, 3))
    minor = np.cross(axis, rng.standard_normal((n, 3)))
    b = rng.uniform(0.6, 1, n)
    made = {
        "position": np.mod(center[host] + away, BOX), "mass": weight,
        "peak": weight * rng.uniform(1, 5, n), "infall": weight * rng.uniform(1, 5, n),
        "radius": WORLD.radius(weight, redshift=REDSHIFT), "concentration": rng.uniform(5, 12, n),
        "axis": axis, "minor": minor, "b": b, "c": b * rng.uniform(0.7, 1, n),
        "velocity": rng.normal(0, 300, (n, 3)), "host": host, "parent": parent, "sub": sub,
    }  # fmt: skip
    order = rng.permutation(n) if shuffled else np.arange(n)
    place = np.empty(n, dtype=int)
    place[order] = np.arange(n)
    made = {name: values[order] for name, values in made.items()}
    for name in ("host", "parent"):
        made[name] = place[made[name]]
    return made


def marked(t, by="host", none=-1, offset=100):
    """Identifiers, and those of parents, where hosts have `none` or their own."""
    ids = np.arange(len(t["mass"])) * 3 + offset
    return ids, np.where(t["sub"], ids[t[by]], ids if none == "own" else none)


def check_subhalos(halos, t, rank="mass", keep=None, velocity=True):
    """The subhalos of every host, by brute force."""
    rows = np.flatnonzero(~t["sub"])
    np.testing.assert_allclose(halos.mass, t["mass"][rows], rtol=1e-6)
    found = halos.subhalos
    total = 0
    for k, row in enumerate(rows):
        mine = t["sub"] & (t["host"] == row)
        mine = np.flatnonzero(mine if keep is None else mine & keep)
        mine = mine[np.argsort(-t[rank][mine])]
        own = found.host == k
        np.testing.assert_allclose(found.mass[own], t[rank][mine], rtol=1e-6)
        np.testing.assert_allclose(found.position[own], t["position"][mine], rtol=1e-5, atol=1e-5)
        if velocity:
            np.testing.assert_allclose(found.velocity[own], t["velocity"][mine], rtol=1e-5)
        total += mine.size
    assert len(found) == total > 0
    assert halos.meta["subhalos"]["number"] == total


def check_shapes(halos, t, minor=True):
    rows = ~t["sub"]
    np.testing.assert_allclose(halos.b_to_a, t["b"][rows], rtol=1e-6)
    np.testing.assert_allclose(halos.c_to_a, t["c"][rows], rtol=1e-6)
    np.testing.assert_allclose(halos.velocity, t["velocity"][rows], rtol=1e-6)
    assert (halos.minor_axis is not None) == minor
    if minor:
        unit = t["minor"][rows] / np.linalg.norm(t["minor"][rows], axis=1)[:, None]
        np.testing.assert_allclose(halos.minor_axis, unit, rtol=1e-6, atol=1e-12)


# ---------------------------------------------------------------------- halotools
def halotools(t, parent="halo_upid", none=-1, **more):
    ids, up = marked(t, "parent" if parent == "halo_pid" else "host", none)
    columns = {f"halo_{c}": t["position"][:, i] for i, c in enumerate("xyz")}
    columns |= {f"halo_v{c}": t["velocity"][:, i] for i, c in enumerate("xyz")}
    columns |= {f"halo_axisA_{c}": t["axis"][:, i] for i, c in enumerate("xyz")}
    columns |= {
        "halo_id": ids,
        parent: up,
        "halo_mvir": t["mass"],
        "halo_rvir": t["radius"],
        "halo_nfw_conc": t["concentration"],
        "halo_b_to_a": t["b"],
        "halo_c_to_a": t["c"],
    }
    return Table(columns | more)  # fmt: skip


@pytest.mark.parametrize(
    ("parent", "none"), [("halo_upid", -1), ("halo_hostid", "own"), ("halo_pid", -1)]
)
def test_halotools(tmp_path, parent, none):
    t, path = universe(), tmp_path / "halos.hdf5"
    table = halotools(t, parent, none, halo_mpeak=t["peak"])
    table.write(path, path="data", format="hdf5")
    with h5py.File(path, "r+") as file:
        file.attrs.update({"Lbox": [BOX] * 3, "redshift": REDSHIFT, "simname": "bolplanck"})
    halos = HaloCatalog.read(path, subhalos=True)
    check_subhalos(halos, t, "peak")
    check_shapes(halos, t, minor=False)
    record = halos.meta["subhalos"]
    assert (record["number"], record["left_out"]) == (t["sub"].sum(), {})
    assert record["columns"]["subhalo_mass"] == ["halo_mpeak"]
    halos.write(tmp_path / "own.h5")
    assert HaloCatalog.read(tmp_path / "own.h5") == halos
    assert HaloCatalog.read(tmp_path / "own.h5", subhalos=True) == halos
    plain = HaloCatalog.read(path)
    plain.write(tmp_path / "plain.h5")
    with pytest.raises(ValueError, match=r"subhalos=True: .*plain.h5 was written without"):
        HaloCatalog.read(tmp_path / "plain.h5", subhalos=True)
    assert (plain.subhalos, "subhalos" in plain.meta) == (None, False)


def test_catalogs_of_halotools_in_memory():
    t = universe()

    class Cached:
        """What halotools' catalogs have: a table, and what is known of it."""

        halo_table, Lbox, redshift, simname = halotools(t), np.array([BOX] * 3), REDSHIFT, "bolshoi"

    halos = HaloCatalog.from_table(Cached(), subhalos=True)
    check_subhalos(halos, t)
    assert (halos.boxsize, halos.meta["redshift"]) == (BOX, REDSHIFT)
    assert halos.meta["subhalos"]["columns"]["subhalo_mass"] == ["halo_mvir"]
    options = {"boxsize": BOX, "redshift": REDSHIFT, "cosmology": "planck15", "subhalos": True}
    check_subhalos(HaloCatalog.from_table(halotools(t), **options), t)
    ranked = HaloCatalog.from_table(
        halotools(t, halo_macc=t["infall"], halo_mpeak=t["peak"]), **options,
        columns={"subhalo_mass": "halo_macc"},
    )  # fmt: skip
    check_subhalos(ranked, t, "infall")


# ---------------------------------------------------------------------- Rockstar, consistent-trees
def rockstar(path, t, parents=("pid", "upid"), masses=(), none=-1, ratios=True, offset=100):
    ids, _ = marked(t, offset=offset)
    columns = {
        "scale": np.full(len(ids), 1 / (1 + REDSHIFT)),
        "id": ids,
        "mvir": t["mass"],
        "rvir": 1e3 * t["radius"],
        "rs": 1e3 * t["radius"] / t["concentration"],
    }
    columns |= {c: t["position"][:, i] for i, c in enumerate("xyz")}
    columns |= {f"v{c}": t["velocity"][:, i] for i, c in enumerate("xyz")}
    columns |= {f"A[{c}]": t["axis"][:, i] for i, c in enumerate("xyz")}
    if ratios:
        columns |= {"b_to_a(500c)": 0.5 * t["b"], "c_to_a(500c)": 0.5 * t["c"]}
        columns |= {"b_to_a": t["b"], "c_to_a": t["c"]}
    for name in parents:
        columns[name] = marked(t, "host" if name == "upid" else "parent", -1, offset)[1]
        columns[name] = [none if v == -1 else int(v) for v in columns[name]]
    columns |= {name: t[what] for name, what in masses}
    head = "#" + " ".join(f"{n}({k})" for k, n in enumerate(columns))
    head += f"\n#Omega_M = 0.3089; Omega_L = 0.6911; h0 = 0.6774\n#Full box size = {BOX} Mpc/h\n"
    head += "#Units: Radii in kpc/h (comoving)\n"
    rows = zip(*(list(v) for v in columns.values()), strict=True)
    text = head + "\n".join(" ".join(str(v) for v in row) for row in rows) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("parents", [("pid", "upid"), ("upid",), ("pid",), ("PID",)])
@pytest.mark.parametrize("masses", [(("Mpeak", "peak"), ("Macc", "infall")),
                                    (("Macc", "infall"),), ()])  # fmt: skip
def test_rockstar(tmp_path, parents, masses):
    t = universe()
    path = rockstar(tmp_path / "hlist_0.66667.list.gz", t, parents, masses)
    halos = HaloCatalog.read(path, subhalos=True)
    check_subhalos(halos, t, masses[0][1] if masses else "mass")
    check_shapes(halos, t, minor=False)
    assert halos.meta["columns"]["b_to_a"] == ["b_to_a"]


@pytest.mark.parametrize("offset", [2**60, 0, 100])
@pytest.mark.parametrize("none", [-1, 2**64 - 1, -1.0])
def test_identifiers_of_rockstar(tmp_path, offset, none):
    # Neighbors of 64 bits stay apart; where -1 is written as -1.0, all are decimal numbers.
    t = universe()
    path = rockstar(tmp_path / "hlist_0.66667.list", t, none=none, offset=offset)
    if isinstance(none, float) and offset > 2**53:
        with pytest.raises(ValueError, match=r"parent .*decimal numbers, which do not tell"):
            HaloCatalog.read(path, subhalos=True)
    else:
        check_subhalos(HaloCatalog.read(path, subhalos=True), t)


def test_rockstar_in_several_files(tmp_path):
    t = universe()
    text = rockstar(tmp_path / "all.list", t).read_text().splitlines(keepends=True)
    head = [line for line in text if line.startswith("#")]
    rows = text[len(head) :]
    for k in range(3):
        (tmp_path / f"part_{k}.list").write_text("".join([*head, *rows[40 * k : 40 * k + 40]]))
    halos = HaloCatalog.read(str(tmp_path / "part_*.list"), subhalos=True)
    check_subhalos(halos, t)


def test_ratios_that_rockstar_does_not_measure(tmp_path):
    t = universe()
    hosts = np.flatnonzero(~t["sub"])
    t["b"][hosts[2]] = t["c"][hosts[2]] = 0.0
    t["b"][np.flatnonzero(t["sub"])[0]] = 0.0  # a subhalo: its ratios are not asked for
    path = rockstar(tmp_path / "hlist_0.66667.list", t)
    said = rf"b_to_a .*in \(0, 1\]; it is not in row {hosts[2]} \(0\).*on_bad='drop'"
    with pytest.raises(ValueError, match=said) as caught:
        HaloCatalog.read(path, subhalos=True)
    assert "columns={'b_to_a': None, 'c_to_a': None} to read without them" in str(caught.value)
    gone = int(np.count_nonzero(t["sub"] & (t["host"] == hosts[2])))
    with (
        pytest.warns(UserWarning, match=rf"left out 1 of {HOSTS} halos .*\(b_to_a 1\)"),
        pytest.warns(UserWarning, match=rf"left out {gone} of .* subhalos: {gone} whose host was"),
    ):
        halos = HaloCatalog.read(path, subhalos=True, on_bad="drop")
    assert (len(halos), len(halos.subhalos)) == (HOSTS - 1, t["sub"].sum() - gone)
    without = HaloCatalog.read(path, columns={"b_to_a": None, "c_to_a": None}, subhalos=True)
    assert without.b_to_a is None
    check_subhalos(without, t)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("b", -1.0, "b_to_a .*in \\(0, 1\\]"),
        ("b", 1.2, "b_to_a .*in \\(0, 1\\]"),
        ("c", 0.0, "c_to_a .*in \\(0, 1\\]"),
        ("c", 0.999, "c_to_a .*must not be above b_to_a"),
        ("c", np.nan, "c_to_a "),
        ("velocity", np.inf, "velocity "),
        ("velocity", 1e7, "velocity .*at most 20000 km/s"),
        ("minor", 0.0, "minor_axis .*no direction"),
        ("minor", np.nan, "minor_axis "),
        ("minor", "axis", "minor_axis .*right angles"),
    ],
)
def test_optional_columns_row_by_row(name, value, said):
    t = universe()
    row = np.flatnonzero(~t["sub"])[6]
    t[name][row] = t["axis"][row] if value == "axis" else value
    if value == 0.999:
        t["b"][row] = 0.9
    minor = {f"halo_axisC_{c}": t["minor"][:, i] for i, c in enumerate("xyz")}
    table, options = halotools(t, **minor), {"boxsize": BOX, "redshift": REDSHIFT}
    with pytest.raises(ValueError, match=rf"{said}.*row {row} .*to read without them"):
        HaloCatalog.from_table(table, **options)
    with pytest.warns(UserWarning, match=rf"left out 1 of {HOSTS} halos"):
        assert len(HaloCatalog.from_table(table, on_bad="drop", **options)) == HOSTS - 1


def test_columns_of_one_ellipsoid_go_together():
    t = universe()
    minor = {f"halo_axisC_{c}": t["minor"][:, i] for i, c in enumerate("xyz")}
    other = {f"other_{c}": t["velocity"][:, i] for i, c in enumerate("xyz")}
    table, options = halotools(t, **minor, **other), {"boxsize": BOX, "redshift": REDSHIFT}
    axis = ("halo_axisA_x", "halo_axisA_y", "halo_axisA_z")
    check_shapes(HaloCatalog.from_table(table, **options, columns={"axis": axis}), t)
    turned = HaloCatalog.from_table(
        table, **options, columns={"axis": ("other_x", "other_y", "other_z")}
    )
    assert (turned.minor_axis, turned.b_to_a, turned.c_to_a) == (None, None, None)
    given = {"b_to_a": "halo_b_to_a", "c_to_a": "halo_c_to_a"}
    turned = HaloCatalog.from_table(
        table, **options, columns={"axis": ("other_x", "other_y", "other_z"), **given}
    )
    np.testing.assert_array_equal(turned.b_to_a, t["b"][~t["sub"]])
    drawn = HaloCatalog.from_table(table, **options, axes="random", seed=1)
    assert drawn.minor_axis is None
    np.testing.assert_array_equal(drawn.c_to_a, t["c"][~t["sub"]])
    assert HaloCatalog.from_table(table, **options, columns={"c_to_a": None}).b_to_a is None
    del table["halo_c_to_a"]
    assert HaloCatalog.from_table(table, **options).b_to_a is None
    with pytest.raises(ValueError, match=r"columns\['b_to_a'\] = 'halo_b_to_a': .*'c_to_a'"):
        HaloCatalog.from_table(table, **options, columns={"b_to_a": "halo_b_to_a"})


@pytest.mark.parametrize(
    ("unit", "times"), [("km/s", 1), ("km s-1", 1), ("m / s", 1e3), ("", 1), ("[km/s]", 1)]
)
def test_units_of_velocities(unit, times):
    t = universe()
    table = halotools(t)
    for c in "xyz":
        table[f"halo_v{c}"] = table[f"halo_v{c}"] * times
        table[f"halo_v{c}"].unit = unit
    halos = HaloCatalog.from_table(table, boxsize=BOX, redshift=REDSHIFT)
    np.testing.assert_allclose(halos.velocity, t["velocity"][~t["sub"]], rtol=1e-13)
    table["halo_vx"].unit = "Mpc"
    with pytest.raises(ValueError, match=r"velocity: column 'halo_vx' .* 'Mpc', and km/s"):
        HaloCatalog.from_table(table, boxsize=BOX, redshift=REDSHIFT)


# ---------------------------------------------------------------------- AHF
@pytest.mark.parametrize("offset", [10**18, 4])
@pytest.mark.parametrize("none", [0, -1])
def test_ahf(tmp_path, none, offset):
    t, path = universe(), tmp_path / "snap.AHF_halos"
    ids, up = marked(t, "parent", none, offset)
    columns = {"ID": ids, "hostHalo": up, "Mvir": t["mass"], "Rvir": 1e3 * t["radius"],
               "cNFW": t["concentration"], "b": t["b"], "c": t["c"]}  # fmt: skip
    for i, c in enumerate("xyz"):
        columns[f"{c.upper()}c"] = 1e3 * t["position"][:, i]
        columns[f"V{c.upper()}c"] = t["velocity"][:, i]
        columns |= {f"Ea{c}": t["axis"][:, i], f"Ec{c}": t["minor"][:, i]}
    head = "#" + "\t".join(f"{n}({k + 1})" for k, n in enumerate(columns))
    rows = zip(*(v.tolist() for v in columns.values()), strict=True)
    path.write_text("\n".join([head, *("\t".join(map(repr, row)) for row in rows)]) + "\n")
    halos = HaloCatalog.read(path, boxsize=BOX, redshift=REDSHIFT, subhalos=True)
    check_subhalos(halos, t)
    check_shapes(halos, t)


# ---------------------------------------------------------------------- marks of hosts
@pytest.mark.parametrize("kind", ["-1", "own", "unsigned", "mixed", "decimal", "big", "frame"])
def test_every_mark_of_hosts(kind):
    t = universe()
    ids, up = marked(t, "host", "own" if kind in ("own", "big") else -1)
    if kind == "unsigned":
        ids, up = ids.astype(np.uint64), up.astype(np.uint64)
    if kind == "mixed":
        ids, up = ids.astype(np.uint32), up.astype(np.float64)
    if kind == "decimal":
        ids, up = ids.astype(np.float64), up.astype(np.float32)
    if kind == "big":  # neighbors that decimal numbers cannot tell apart
        ids, up = (np.where(v > 0, v + 2**61, v) for v in (ids, up))
    table = halotools(t)
    table["halo_id"], table["halo_upid"] = ids, up
    options = {"boxsize": BOX, "redshift": REDSHIFT, "subhalos": True}
    source = table.to_pandas() if kind == "frame" else table
    check_subhalos(HaloCatalog.from_table(source, **options), t)
    if kind == "big":
        table["halo_id"], table["halo_upid"] = ids.astype(float), up.astype(float)
        table["halo_id"][t["sub"]] += 4096.0
        with pytest.raises(ValueError, match=r"decimal numbers, which do not tell such large"):
            HaloCatalog.from_table(table, **options)


# ---------------------------------------------------------------------- TNG
def tng(folder, t, cuts, of_subhalos, *, names=None, flag=None, first=True, rank=False, grnr=None):
    """Chunks of SUBFIND: groups in `cuts`, subhalos in `of_subhalos`, each counted in all files.

    The first subhalo of each group is its central galaxy's.
    """
    hosts = np.flatnonzero(~t["sub"])
    order, group, central = [], [], []
    for k, row in enumerate(hosts):
        mine = np.flatnonzero(t["sub"] & (t["host"] == row))
        order += [row, *mine]
        group += [k] * (1 + mine.size)
        central += [True] + [False] * mine.size
    order, group, central = map(np.array, (order, group, central))
    begin = np.flatnonzero(central)
    paths = []
    for k in range(len(cuts) - 1):
        rows = hosts[cuts[k] : cuts[k + 1]]
        part = slice(of_subhalos[k], of_subhalos[k + 1])
        path = folder / (f"fof_subhalo_tab_050.{k}.hdf5" if names is None else names[k])
        with h5py.File(path, "w") as file:
            file.create_group("Header").attrs.update({
                "BoxSize": 1e3 * BOX, "Redshift": REDSHIFT, "Time": 1 / (1 + REDSHIFT),
                "Omega0": 0.3089, "HubbleParam": 0.6774, "NumFiles": len(cuts) - 1,
                "Ngroups_ThisFile": len(rows), "Ngroups_Total": len(hosts),
                "Nsubgroups_ThisFile": len(order[part]), "Nsubgroups_Total": len(order),
            })  # fmt: skip
            groups, subs = file.create_group("Group"), file.create_group("Subhalo")
            if len(rows):
                groups["GroupPos"] = (1e3 * t["position"][rows]).astype(np.float32)
                groups["GroupVel"] = (t["velocity"][rows] / (1 + REDSHIFT)).astype(np.float32)
                groups["Group_M_TopHat200"] = t["mass"][rows] / 1e10
                groups["Group_R_TopHat200"] = 1e3 * t["radius"][rows]
                groups["GroupNsubs"] = np.diff([*begin, len(order)])[cuts[k] : cuts[k + 1]]
                if first:
                    groups["GroupFirstSub"] = begin[cuts[k] : cuts[k + 1]].astype(np.int32)
            if len(order[part]):
                rows = order[part]
                subs["SubhaloPos"] = (1e3 * t["position"][rows]).astype(np.float32)
                subs["SubhaloVel"] = t["velocity"][rows].astype(np.float32)
                subs["SubhaloMass"] = t["mass"][rows] / 1e10
                subs["SubhaloMassType"] = np.outer(t["peak"][rows] / 1e10, [0, 1, 0, 0, 0, 0])
                subs["SubhaloGrNr" if grnr is None else grnr] = group[part].astype(np.int32)
                if flag is not None:
                    subs["SubhaloFlag"] = flag[rows]
                if rank:
                    subs["SubhaloRankInGr"] = (~central[part]).astype(np.int32)
        paths.append(path)
    return paths


def read_tng(source, **options):
    """The catalog, its concentrations filled in with a warning."""
    with pytest.warns(UserWarning, match="concentration: median"):
        return HaloCatalog.read(source, axes="random", seed=1, subhalos=True, **options)


def test_tng_in_one_file(tmp_path):
    t = universe()
    (path,) = tng(tmp_path, t, [0, HOSTS], [0, None])
    halos = read_tng(path)
    check_subhalos(halos, t)
    np.testing.assert_allclose(halos.velocity, t["velocity"][~t["sub"]], rtol=1e-6)
    assert halos.meta["velocity_from"] == "GroupVel * (1 + z)"
    assert halos.meta["subhalos"]["columns"]["position"] == ["SubhaloPos"]
    check_subhalos(read_tng(path, columns={"subhalo_mass": "1e10 * SubhaloMassType[1]"}), t, "peak")
    with pytest.raises(ValueError, match=r"subhalo_mass .*units of 1e10 Msun/h"):
        read_tng(path, columns={"subhalo_mass": "SubhaloMassType[1]"})
    assert (
        "subhalos"
        not in HaloCatalog.read(
            path, axes="random", seed=1, columns={"concentration": "5 + 0*Group_M_TopHat200"}
        ).meta
    )


@pytest.mark.parametrize(("seed", "name"), [(5, "fof_subhalo_tab_050."), (6, "tab_"), (7, "")])
def test_chunks_of_tng_by_number(tmp_path, seed, name):
    t = universe(seed)
    rng = np.random.default_rng(seed)
    total = len(t["mass"])
    # Twelve files: 10 comes after 9; some have no groups, or no subhalos; groups and their
    # subhalos stand in different ones.
    cuts = np.sort([0, 0, HOSTS, HOSTS, *rng.integers(0, HOSTS, 9)])
    subs = np.sort([0, total, total, *rng.integers(0, total, 10)])
    paths = tng(tmp_path, t, cuts, subs, names=[f"{name}{k}.hdf5" for k in range(12)])
    check_subhalos(read_tng(str(tmp_path / f"{name}*.hdf5")), t)
    check_subhalos(read_tng(paths[::-1]), t)
    with (
        pytest.raises(ValueError, match=r"part of a snapshot, .* give all its files"),
        pytest.warns(UserWarning, match="part of a catalog"),
    ):
        HaloCatalog.read(paths[7:10], axes="random", seed=1, subhalos=True)


def test_names_of_chunks_that_do_not_tell_their_order(tmp_path):
    t = universe()
    paths = tng(tmp_path, t, [0, 7, HOSTS], [0, 40, None], names=["a.hdf5", "b.hdf5"])
    check_subhalos(read_tng(paths), t)
    with pytest.raises(ValueError, match=r"GroupFirstSub and SubhaloGrNr contradict each other"):
        HaloCatalog.read(paths[::-1], axes="random", seed=1, subhalos=True)


@pytest.mark.parametrize(
    "layout", [{"rank": True}, {}, {"grnr": "SubhaloGroupNr"}, {"first": True, "rank": True}]
)
def test_other_versions_of_subfind(tmp_path, layout):
    t = universe()
    (path,) = tng(tmp_path, t, [0, HOSTS], [0, None], **{"first": False, **layout})
    check_subhalos(read_tng(path), t)


@pytest.mark.parametrize("none", [-1, 2**32 - 1, "next"])
@pytest.mark.parametrize("counted", [True, False])
def test_groups_without_subhalos(tmp_path, none, counted):
    t = universe()
    (path,) = tng(tmp_path, t, [0, HOSTS], [0, None])
    with h5py.File(path, "r+") as file:
        first, number = file["Group/GroupFirstSub"][...], file["Group/GroupNsubs"][...]
        k = np.flatnonzero(number[:-1] == 1)[0]  # its central subhalo alone
        gone = first[k]
        for name, values in list(file["Subhalo"].items()):
            rest = np.delete(values[...], gone, axis=0)
            del file["Subhalo"][name]
            file["Subhalo"][name] = rest
        first[k + 1 :] -= 1
        first, number[k] = first.astype(np.uint32 if none == 2**32 - 1 else np.int32), 0
        first[k] = first[k + 1] if none == "next" else none
        del file["Group/GroupFirstSub"], file["Group/GroupNsubs"]
        file["Group/GroupFirstSub"] = first
        if counted:
            file["Group/GroupNsubs"] = number
    check_subhalos(read_tng(path), t)
    with h5py.File(path, "r+") as file:
        del file["Subhalo/SubhaloPos"]
    with pytest.raises(ValueError, match=r"subhalos=True: .*has no column SubhaloPos"):
        HaloCatalog.read(path, axes="random", seed=1, subhalos=True)


def test_subhalos_of_tng_that_are_left_out(tmp_path):
    t = universe()
    flag = np.ones(len(t["mass"]), dtype=bool)
    flag[np.flatnonzero(t["sub"])[[1, 5]]] = False
    (path,) = tng(tmp_path, t, [0, HOSTS], [0, None], flag=flag)
    with pytest.warns(UserWarning, match=r"left out 2 of \d+ subhalos: 2 of SubhaloFlag = 0"):
        halos = read_tng(path)
    check_subhalos(halos, t, keep=flag)
    with pytest.warns(UserWarning, match=r"\d+ whose host is not selected"):
        halos = read_tng(path, select="Group_M_TopHat200 > 1000")
    assert halos.subhalos == read_subhalos_of(t, halos, flag)
    with h5py.File(path, "r+") as file:
        del file["Subhalo"]
    with pytest.raises(ValueError, match=r"subhalos=True: .*groups without a table of subhalos"):
        HaloCatalog.read(path, axes="random", seed=1, subhalos=True)
    table = {"GroupPos": t["position"], "Group_M_TopHat200": t["mass"] / 1e10}
    with pytest.raises(ValueError, match=r"subhalos=True: .*groups without a table of subhalos"):
        HaloCatalog.from_table(table, boxsize=BOX, axes="random", seed=1, subhalos=True)


def read_subhalos_of(t, halos, keep):
    """The subhalos of the selected hosts as they were written, in numbers of 32 bits."""
    from pysoftcorr.mocks.subhalos import Subhalos

    rows = np.flatnonzero(~t["sub"])
    rows = rows[t["mass"][rows] > 1e13]
    found, host = [], []
    for k, row in enumerate(rows):
        mine = np.flatnonzero(t["sub"] & (t["host"] == row) & keep)
        found += mine.tolist()
        host += [k] * mine.size
    place = (1e3 * t["position"][found]).astype(np.float32).astype(float) / 1e3
    velocity = t["velocity"][found].astype(np.float32)
    made = Subhalos(place, t["mass"][found], host, velocity=velocity)
    order_free = halos.subhalos
    np.testing.assert_allclose(made.position, order_free.position, rtol=1e-12)
    np.testing.assert_allclose(made.mass, order_free.mass, rtol=1e-12)
    np.testing.assert_array_equal(made.host, order_free.host)
    return order_free


def test_velocities_of_groups_without_a_redshift():
    t = universe()
    hosts = ~t["sub"]
    table = {"GroupPos": t["position"][hosts], "Group_M_TopHat200": t["mass"][hosts] / 1e10,
             "Group_R_TopHat200": t["radius"][hosts], "GroupVel": t["velocity"][hosts] / 1.5,
             "conc": t["concentration"][hosts], "axis": t["axis"][hosts]}  # fmt: skip
    options = {"boxsize": BOX, "cosmology": "planck15",
               "columns": {"concentration": "conc", "axis": "axis"}}  # fmt: skip
    with pytest.warns(UserWarning, match=r"velocity: 'GroupVel' .*pass redshift="):
        assert HaloCatalog.from_table(table, **options).velocity is None
    halos = HaloCatalog.from_table(table, redshift=REDSHIFT, **options)
    np.testing.assert_allclose(halos.velocity, t["velocity"][hosts], rtol=1e-12)


# ---------------------------------------------------------------------- CompaSO
@pytest.mark.parametrize("moment", ["sigmar", "sigman"])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_compaso(moment, order):
    t = universe()
    t = {name: values[~t["sub"]] for name, values in t.items()}
    other = {"sigmar": "sigman", "sigman": "none"}[moment]
    sizes = np.stack([np.ones(HOSTS), t["b"], t["c"]], axis=1) * 0.37
    table = Table({
        "id": np.arange(HOSTS), "N": np.rint(t["mass"] / 2e9).astype(np.uint32),
        "x_L2com": t["position"] - BOX / 2, "v_L2com": t["velocity"],
        f"{moment}_L2com": sizes[:, order], f"{other}_L2com": sizes**2,
        f"{moment}_eigenvecsMaj_L2com": t["axis"], f"{moment}_eigenvecsMin_L2com": t["minor"],
    })  # fmt: skip
    table.meta = {"BoxSize": BOX, "Redshift": REDSHIFT, "Omega_M": 0.3089, "H0": 67.74}
    options = {"columns": {"mass": "N * 2e9"}, "wrap": True}
    with pytest.warns(UserWarning, match="planck15 at z = 0.5"):
        halos = HaloCatalog.from_table(table, **options)
    check_shapes(halos, t)
    assert moment in halos.meta["columns"]["b_to_a"][0]
    with pytest.raises(ValueError, match=r"subhalos=True: .*CompaSO finds halos alone"):
        HaloCatalog.from_table(table, subhalos=True, **options)


# ---------------------------------------------------------------------- any table
@pytest.mark.parametrize("kind", ["fits", "csv", "parquet"])
def test_any_table_by_its_columns(tmp_path, kind):
    t = universe()
    ids, up = marked(t, "parent", "own")
    table = {"name": ids, "belongs": up, "lgm": np.log10(t["mass"]), "size": t["radius"],
             "con": t["concentration"], "top": np.log10(t["peak"]), "ba": t["b"],
             "ca2": t["c"] ** 2}  # fmt: skip
    for i, c in enumerate("uvw"):
        table |= {c: t["position"][:, i], f"a{c}": t["axis"][:, i], f"m{c}": t["minor"][:, i],
                  f"speed_{c}": 1e3 * t["velocity"][:, i]}  # fmt: skip
    path = tmp_path / f"halos.{kind}"
    if kind == "parquet":
        pd.DataFrame(table).to_parquet(path)
    else:
        Table(table).write(path)
    columns = {
        "position": ("u", "v", "w"), "mass": "10**lgm", "radius": "size", "concentration": "con",
        "axis": ("au", "av", "aw"), "minor_axis": ("mu", "mv", "mw"), "b_to_a": "ba",
        "c_to_a": "sqrt(ca2)", "parent": "belongs", "id": "name", "subhalo_mass": "10**top",
        "velocity": ("speed_u/1000", "speed_v/1000", "speed_w/1000"),
    }  # fmt: skip
    options = {"boxsize": BOX, "redshift": REDSHIFT, "cosmology": "planck15"}
    halos = HaloCatalog.read(path, columns=columns, subhalos=True, **options)
    check_subhalos(halos, t, "peak")
    check_shapes(halos, t)
    with pytest.raises(ValueError, match=r"columns\['subhalo_mass'\] .*pass subhalos=True"):
        HaloCatalog.read(path, columns=columns, **options)
    with pytest.raises(ValueError, match=r"subhalos=True keeps.*hosts=False"):
        HaloCatalog.read(path, columns=columns, subhalos=True, hosts=False, **options)
    for lacking, said in (("id", r"needs the identifiers.*columns=\{'id'"),
                          ("parent", r"names no parent halos.*columns=\{'parent'")):  # fmt: skip
        some = {k: v for k, v in columns.items() if k != lacking}
        with pytest.raises(ValueError, match=rf"subhalos=True.*{said}"):
            HaloCatalog.read(path, columns=some, subhalos=True, **options)
        if lacking == "id":
            with pytest.raises(ValueError, match=r"no row has parent .*columns=\{'id': \.\.\.\}"):
                HaloCatalog.read(path, columns=some | {"subhalo_mass": None}, **options)


# ---------------------------------------------------------------------- subhalos left out
OPTIONS = {"boxsize": BOX, "redshift": REDSHIFT, "cosmology": "planck15", "subhalos": True}


def test_selection_holds_for_hosts_and_subhalos():
    t = universe()
    table = halotools(t, "halo_pid")
    chosen = t["mass"] > 3e11
    below = np.count_nonzero(t["sub"] & chosen & (t["mass"][t["host"]] <= 3e11))
    assert below == 0
    check_subhalos(HaloCatalog.from_table(table, select="halo_mvir > 3e11", **OPTIONS), t,
                   keep=chosen)  # fmt: skip
    # Hosts cut away: their subhalos that meet the condition are counted.
    near = t["position"][:, 2] < t["position"][t["host"], 2] + 1e-9
    near[np.flatnonzero(~t["sub"])[4]] = False
    table["side"] = near
    lost = int(np.count_nonzero(t["sub"] & near & ~near[t["host"]]))
    total = int(np.count_nonzero(t["sub"] & near))
    assert lost
    said = rf"left out {lost} of {total} subhalos: {lost} whose host is not selected"
    with pytest.warns(UserWarning, match=said):
        halos = HaloCatalog.from_table(table, select="side == 1", **OPTIONS)
    assert (len(halos), len(halos.subhalos)) == (HOSTS - 1, total - lost)
    assert halos.meta["subhalos"]["left_out"] == {"whose host is not selected": lost}


def test_hosts_that_are_not_in_the_table_and_rings():
    t = universe()
    table = halotools(t, "halo_pid")
    sub = np.flatnonzero(t["sub"])
    last = [row for row in sub if row not in t["parent"]][:3]
    table["halo_pid"][last[0]] = 999999
    table["halo_pid"][last[1]] = table["halo_id"][last[2]]
    table["halo_pid"][last[2]] = table["halo_id"][last[1]]
    with pytest.warns(UserWarning, match=r"left out 3 of \d+ subhalos: 3 whose host is not in the"):
        halos = HaloCatalog.from_table(table, **OPTIONS)
    check_subhalos(halos, t, keep=~np.isin(np.arange(len(table)), last))


def test_parents_that_name_no_hosts():
    t = universe()
    table = halotools(t)
    table["halo_upid"] = t["sub"]
    with pytest.raises(TypeError, match=r"parent .*must be identifiers .*True and False"):
        HaloCatalog.from_table(table, **OPTIONS)
    table["halo_upid"] = t["sub"].astype(int)
    with pytest.raises(ValueError, match=rf"none of the {t['sub'].sum()} subhalos .*names a host"):
        HaloCatalog.from_table(table, **OPTIONS)
    ids, up = marked(t, offset=2**24)  # neighbors that 32 bits do not tell apart
    table["halo_id"], table["halo_upid"] = ids.astype(np.float32), up.astype(np.float32)
    with pytest.raises(ValueError, match=r"id .*decimal numbers, which do not tell"):
        HaloCatalog.from_table(table, **OPTIONS)


def test_missing_parents():
    t = universe()
    table = Table(halotools(t), masked=True)
    row = np.flatnonzero(t["sub"])[4]
    table["halo_upid"].mask[row] = True
    with pytest.raises(ValueError, match=rf"parent .*row {row} \(nan\)"):
        HaloCatalog.from_table(table, **OPTIONS)
    with pytest.warns(UserWarning, match=r"left out 1 of \d+ rows whose parent .*is missing"):
        halos = HaloCatalog.from_table(table, on_bad="drop", **OPTIONS)
    check_subhalos(halos, t, keep=np.arange(len(table)) != row)


def test_bad_values_of_subhalos():
    t = universe()
    table = halotools(t, halo_mpeak=t["peak"])
    sub = np.flatnonzero(t["sub"])
    table["halo_mpeak"][sub[0]] = np.nan
    table["halo_x"][sub[3]] = np.inf
    table["halo_mpeak"][sub[5]] = 0.0
    table["halo_vx"][sub[6]] = 1e9
    with pytest.raises(ValueError, match=rf"subhalo_mass .*row {sub[0]} \(nan\).*on_bad='drop'"):
        HaloCatalog.from_table(table, **OPTIONS)
    assert len(HaloCatalog.from_table(table, **{**OPTIONS, "subhalos": False})) == HOSTS
    with pytest.warns(UserWarning, match=r"left out 4 of \d+ subhalos: 4 with NaN"):
        halos = HaloCatalog.from_table(table, on_bad="drop", **OPTIONS)
    check_subhalos(halos, t, "peak", keep=~np.isin(np.arange(len(table)), sub[[0, 3, 5, 6]]))
    table["halo_mpeak"] = np.log10(t["peak"])
    with pytest.raises(ValueError, match=r"subhalo_mass .*these look like log10"):
        HaloCatalog.from_table(table, on_bad="drop", **OPTIONS)


def test_identifiers_that_occur_twice():
    t = universe()
    once = halotools(t, "halo_pid", scale=np.full(len(t["mass"]), 0.6))
    both = Table({name: np.concatenate([once[name], once[name]]) for name in once.colnames})
    both["scale"][len(once) :] = 0.5
    with pytest.raises(ValueError, match=r"id .*one for each halo.*select="):
        HaloCatalog.from_table(both, **OPTIONS)
    check_subhalos(HaloCatalog.from_table(both, select="scale > 0.55", **OPTIONS), t)


def test_subhalos_that_are_not_where_their_hosts_are():
    t = universe()
    table = halotools(t)
    sub = np.flatnonzero(t["sub"])
    table["halo_upid"][sub] = np.roll(table["halo_upid"][sub], 17)
    with pytest.warns(UserWarning, match=r"subhalos lie outside 2 radii of their host, at"):
        HaloCatalog.from_table(table, **OPTIONS)
    shifted = halotools(t)
    shifted["halo_x"][sub] = np.mod(shifted["halo_x"][sub] + BOX / 2, BOX)
    with pytest.warns(UserWarning, match=r"subhalos lie outside 2 radii of their host, at"):
        HaloCatalog.from_table(shifted, **OPTIONS)


def test_tables_without_subhalos_and_positions_outside_the_box():
    t = universe()
    hosts = ~t["sub"]
    table = halotools(t)[hosts]
    with pytest.warns(UserWarning, match="has no subhalos: every row is a host halo"):
        halos = HaloCatalog.from_table(table, **OPTIONS)
    assert len(halos.subhalos) == 0
    assert "subhalos       0 in 0 halos" in halos.summary()
    outside = halotools(t)
    away = np.flatnonzero(t["sub"] & (t["position"][:, 0] > 50))[0]
    outside["halo_x"][away] += BOX
    with pytest.raises(ValueError, match=rf"x .*outside \[0, 60\).*row {away} "):
        HaloCatalog.from_table(outside, **OPTIONS)
    check_subhalos(HaloCatalog.from_table(outside, wrap=True, **OPTIONS), t)


def test_summary_says_what_is_there():
    t = universe()
    minor = {f"halo_axisC_{c}": t["minor"][:, i] for i, c in enumerate("xyz")}
    text = HaloCatalog.from_table(halotools(t, **minor), **OPTIONS).summary()
    for said in (
        "axis ratios    b/a 0.",
        "minor axes",
        "velocities",
        f"subhalos       {t['sub'].sum()} in",
    ):
        assert said in text
    assert "host halos" in text


def test_boxes_of_three_sides():
    t = universe()
    # The same universe in a box that is longer along y: subhalos on both sides of x and z stay.
    sides = (BOX, 1.5 * BOX, BOX)
    t["position"][:, 1] += 0.4 * BOX
    halos = HaloCatalog.from_table(halotools(t), **{**OPTIONS, "boxsize": sides})
    assert halos.boxsize == sides
    check_subhalos(halos, t)
    with pytest.raises(ValueError, match=r"y .*outside \[0, 60\)"):
        HaloCatalog.from_table(halotools(t), **{**OPTIONS, "boxsize": (BOX, BOX, 90.0)})
