"""HaloCatalog: checks, selection, its own files."""

import json

import h5py
import numpy as np
import pytest

from helpers.resealed import changed
from pysoftcorr.mocks.halos import HaloCatalog


def columns(n=6, boxsize=50.0):
    rng = np.random.default_rng(4)
    mass = np.logspace(12, 14, n)
    return {
        "position": rng.random((n, 3)) * boxsize,
        "mass": mass,
        "radius": 0.2 * np.cbrt(mass / 1e12),
        "concentration": np.full(n, 8.0),
        "axis": rng.standard_normal((n, 3)),
    }


def made(boxsize=50.0, drop=(), meta=None, cosmology=None, wrap=False, **changed):
    given = {**columns(), **changed}
    return HaloCatalog(**given, boxsize=boxsize, meta=meta, cosmology=cosmology, wrap=wrap)


def test_columns_are_kept_and_axes_normalized():
    given = columns()
    halos = made()
    assert len(halos) == 6
    np.testing.assert_array_equal(halos.position, given["position"])
    np.testing.assert_array_equal(halos.mass, given["mass"])
    np.testing.assert_allclose(np.linalg.norm(halos.axis, axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(np.cross(halos.axis, given["axis"]), 0, atol=1e-15)
    for name in ("position", "axis", "mass", "radius", "concentration"):
        array = getattr(halos, name)
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
    given["position"][0] = -1
    assert halos.position[0, 0] >= 0  # a copy


def test_selection_keeps_rows_together():
    halos = made(meta={"note": 1}, cosmology="planck18")
    heavy = halos[halos.mass > 1e13]
    assert len(heavy) == np.count_nonzero(halos.mass > 1e13)
    np.testing.assert_array_equal(heavy.axis, halos.axis[halos.mass > 1e13])
    assert heavy.boxsize == 50
    assert heavy.meta == {"note": 1}
    assert heavy.cosmology == "planck18"
    assert halos[2].mass.tolist() == [halos.mass[2]]
    assert halos[[3, 1]].radius.tolist() == halos.radius[[3, 1]].tolist()
    with pytest.raises(ValueError, match="empty"):
        halos[halos.mass > 1e16]


def test_summary_and_repr():
    text = made(meta={"seed": 7}, cosmology={"name": "planck18"}).summary()
    for part in ("6 host halos", "50 Mpc/h", "1e+12 to 1e+14", "planck18", "seed"):
        assert part in text
    assert "6 halos" in repr(made())


def bad_row(name, row, value):
    array = columns()[name].copy()
    array[row] = value
    return {name: array}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (bad_row("mass", 3, np.nan), r"mass: row 3 \(nan\)"),
        (bad_row("position", 2, np.inf), r"position: row 2"),
        (bad_row("axis", 5, np.nan), r"axis: row 5"),
        (bad_row("concentration", 1, -2.0), r"concentration must be above 0.*row 1 \(-2\)"),
        (bad_row("radius", 0, 0.0), r"radius must be above 0.*row 0"),
        (bad_row("axis", 4, 0.0), r"axis has no direction.*row 4.*leave them out$"),
        (bad_row("axis", 4, -99.0), r"code for a missing axis, in row 4 \(-99\)"),
        (bad_row("concentration", 2, 0.007), r"concentration must be 0.1 to 300.*row 2 \(0.007\)"),
        (bad_row("concentration", 3, 7000.0), r"concentration must be 0.1 to 300.*row 3 \(7000\)"),
        (bad_row("radius", 5, 900.0), r"radius is in 1 of 6 rows.*row 5 \(900\).*kpc/h; correct"),
        (bad_row("mass", 1, 3e10), r"radius is in 1 of 6 rows.*row 1 "),
        (bad_row("position", (1, 2), 50.0), r"z is outside \[0, 50\) Mpc/h in row 1 \(50\)"),
        ({"position": columns()["position"] - 25}, r"centered on 0\? Pass wrap=True"),
        ({"position": columns()["position"] * 1000}, r"kpc/h"),
        ({"position": columns()["position"] * 1.45}, r"Mpc, not Mpc/h"),
        ({"mass": np.log10(columns()["mass"])}, r"log10\(M\)"),
        ({"mass": columns()["mass"] / 1e10}, r"1e10 Msun/h"),
        ({"mass": columns()["mass"] * 2e30}, r"grams or kilograms"),
        ({"radius": columns()["radius"] * 1000}, r"kpc/h; give column/1000"),
        ({"radius": columns()["radius"] * 20}, r"belongs to the mass"),
        ({"mass": columns()["mass"][:-1]}, r"differ in length: .*mass 5"),
        ({"position": np.ones((6, 2))}, r"position must have shape \(N, 3\), not \(6, 2\)"),
        ({name: columns()[name][:0] for name in columns()}, r"empty"),
        ({"boxsize": None}, r"boxsize must be given"),
        ({"boxsize": -5.0}, r"boxsize = -5"),
        ({"boxsize": (50.0, 60.0)}, r"must be the side of a cube in Mpc/h, or three"),
        ({"boxsize": 50_000.0}, r"kpc/h\?"),
    ],
)
def test_bad_columns_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        made(**changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mass": np.array(["a"] * 6)}, "mass must be real numbers"),
        ({"position": [["a", "b", "c"]] * 6}, "position must be real numbers"),
        ({"boxsize": "wide"}, "boxsize"),
        ({"meta": {"f": max}}, "meta = .*must be"),
    ],
)
def test_wrong_kinds_are_refused(changed, said):
    with pytest.raises(TypeError, match=said):
        made(**changed)


def test_wrap_moves_by_whole_boxes_only_if_asked():
    moved = columns()["position"] + np.array([50.0, -100.0, 0.0])
    halos = made(position=moved, wrap=True)
    np.testing.assert_allclose(halos.position, columns()["position"], atol=1e-12)
    tiny = columns()["position"]
    tiny[0] = -1e-18  # plus 50 this rounds to 50, which is outside
    assert made(position=tiny, wrap=True).position[0].tolist() == [0, 0, 0]


def test_write_and_read_give_an_equal_catalog(tmp_path):
    halos = made(meta={"seed": 3, "list": [1, 2]}, cosmology={"name": "a", "h": 0.7})
    path = tmp_path / "halos.h5"
    halos.write(path)
    again = HaloCatalog.read(path)
    assert again == halos
    assert again.meta == {"seed": 3, "list": [1, 2]}
    assert again != made()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        halos.write(path)
    made().write(path, overwrite=True)
    assert HaloCatalog.read(path) == made()
    assert [p.name for p in tmp_path.iterdir()] == ["halos.h5"]


def test_write_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "halos.h5"
    made().write(path)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(OSError, match="no space"):
        made().write(path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["halos.h5"]


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"use \.h5 or \.hdf5"):
        made().write(tmp_path / "halos.fits")
    with pytest.raises(FileNotFoundError, match="no such halo catalog"):
        HaloCatalog.read(tmp_path / "none.h5")
    path = tmp_path / "halos.h5"
    made().write(path)
    with pytest.raises(ValueError, match="as it is, without boxsize"):
        HaloCatalog.read(path, boxsize=3)
    with changed(path) as file:
        del file["mass"]
    with pytest.raises(ValueError, match="is damaged"):
        HaloCatalog.read(path)
    with changed(path) as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ValueError, match="newer than"):
        HaloCatalog.read(path)


def test_record_is_json(tmp_path):
    path = tmp_path / "halos.hdf5"
    made(meta={"a": (1, 2)}).write(path)
    with h5py.File(path) as file:
        assert json.loads(file.attrs["meta"]) == {"a": [1, 2]}
        assert file["position"].attrs["unit"] == "Mpc/h"
