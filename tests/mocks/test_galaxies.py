"""Galaxy catalogs: checks, choice of rows, files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table

from helpers.resealed import changed
from pysoftcorr.mocks import GalaxyCatalog, HaloCatalog, HODModel


@pytest.fixture(scope="module")
def galaxies() -> GalaxyCatalog:
    rng = np.random.default_rng(2)
    halos = HaloCatalog(
        rng.uniform(0, 50, (40, 3)), np.full(40, 1e14), np.full(40, 0.97), np.full(40, 6.0),
        rng.normal(size=(40, 3)), boxsize=50.0, cosmology="planck18",
    )  # fmt: skip
    return HODModel.preset("mstar10.0").populate(halos, seed=7)


def test_what_a_population_says_of_itself(galaxies: GalaxyCatalog) -> None:
    assert galaxies.seed == 7
    assert galaxies.boxsize == 50.0
    assert galaxies.cosmology == "planck18"
    assert galaxies.params["logMmin"] == 11.93
    assert galaxies.params["mu_cen"] == 0.68
    assert repr(galaxies) == (
        f"<GalaxyCatalog: 40 centrals and {len(galaxies) - 40} satellites in 50 Mpc/h>"
    )
    assert galaxies.central[:40].all()
    assert not galaxies.central[40:].any()
    assert (np.diff(galaxies.host[40:]) >= 0).all()
    ranks = galaxies.rank[galaxies.host == 3]
    assert sorted(ranks) == list(range(len(ranks)))


@pytest.mark.parametrize("name", ["g.h5", "g.hdf5", "g.fits", "g.fits.gz"])
def test_written_and_read_alike(galaxies: GalaxyCatalog, tmp_path: Path, name: str) -> None:
    galaxies.write(tmp_path / name)
    back = GalaxyCatalog.read(tmp_path / name)
    assert back == galaxies
    assert back.params == galaxies.params
    with pytest.raises(FileExistsError):
        galaxies.write(tmp_path / name)
    galaxies[:5].write(tmp_path / name, overwrite=True)
    assert len(GalaxyCatalog.read(tmp_path / name)) == 5
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_others_can_read_the_files(galaxies: GalaxyCatalog, tmp_path: Path) -> None:
    galaxies.write(tmp_path / "g.fits")
    table = Table.read(tmp_path / "g.fits", hdu="GALAXIES")
    np.testing.assert_array_equal(table["position"], galaxies.position)
    assert str(table["position"].unit) in ("Mpc / h", "Mpc/h")
    galaxies.write(tmp_path / "g.h5")
    with h5py.File(tmp_path / "g.h5") as file:
        assert file["position"].attrs["unit"] == "Mpc/h"


def test_bad_files_are_named(galaxies: GalaxyCatalog, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown suffix; use \.h5"):
        galaxies.write(tmp_path / "g.txt")
    with pytest.raises(FileNotFoundError, match="no such galaxy catalog"):
        GalaxyCatalog.read(tmp_path / "g.h5")
    for name in ("g.h5", "g.fits"):
        (tmp_path / name).write_text("no such thing")
        with pytest.raises(ValueError, match="holds no galaxy catalog written by pysoftcorr"):
            GalaxyCatalog.read(tmp_path / name)
    galaxies.write(tmp_path / "g.h5", overwrite=True)
    with changed(tmp_path / "g.h5") as file:
        file["axis"][2] = 0.0
    with pytest.raises(ValueError, match=r"is damaged: axis has no direction .* row 2 "):
        GalaxyCatalog.read(tmp_path / "g.h5")


def test_rows(galaxies: GalaxyCatalog) -> None:
    some = galaxies[galaxies.host < 3]
    assert set(some.host) == {0, 1, 2}
    assert some.params == galaxies.params
    assert len(galaxies[4]) == 1
    assert galaxies[:3] != galaxies[1:4]


def test_realigned(galaxies: GalaxyCatalog) -> None:
    same = galaxies.realign(mu_cen=0.68, mu_sat=0.14, seed=7)
    np.testing.assert_array_equal(same.axis, galaxies.axis)
    # A row keeps its draw when others are left out.
    part = galaxies[10:60].realign(mu_cen=0.68, mu_sat=0.14, seed=7)
    np.testing.assert_array_equal(part.axis, galaxies.axis[10:60])
    aligned = galaxies.realign(mu_cen=1, mu_sat=1, seed=1)
    cos = np.abs(np.einsum("ij,ij->i", aligned.axis, galaxies.reference))
    np.testing.assert_allclose(cos, 1, atol=1e-14)
    with pytest.raises(ValueError, match=r"must be from -1 to 1"):
        galaxies.realign(mu_cen=2, mu_sat=0, seed=1)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"position": [[1, 2, 3], [4, 5, np.nan]]}, ValueError, "NaN.* position: row 1"),
        ({"position": [[1, 2, 3], [4, 5, 10.0]]}, ValueError, r"z is outside \[0, 10\)"),
        ({"position": np.zeros((0, 3))}, ValueError, "empty"),
        ({"position": [1, 2, 3]}, ValueError, r"position must have shape \(N, 3\)"),
        ({"axis": [[1, 0, 0], [0, 0, 0]]}, ValueError, r"axis has no direction .* row 1 "),
        ({"axis": None}, ValueError, "neither axis nor reference"),
        ({"axis": [[1, 0, 0]]}, ValueError, "differ in length: position 2, axis 1"),
        ({"host": [1.5, 2.0]}, TypeError, "host must be whole numbers; it holds float64"),
        ({"central": [1, 0]}, TypeError, "central must be True or False"),
        ({"boxsize": -1}, ValueError, "boxsize"),
    ],
)
def test_bad_columns_are_named(change: dict, error: type, text: str) -> None:
    good = {"position": [[1, 2, 3], [4, 5, 6]], "axis": [[1, 0, 0], [0, 1, 0]], "boxsize": 10}
    with pytest.raises(error, match=text):
        GalaxyCatalog(**{**good, **change})


@pytest.mark.parametrize("shift", [-5.0, 13.0, -200.0])
def test_positions_outside_are_refused_with_a_cure_that_is_there(shift):
    position = np.random.default_rng(1).uniform(0, 10, (50, 3)) + shift
    with pytest.raises(ValueError, match=r"outside \[0, 10\).*odulo 10") as caught:
        GalaxyCatalog(position, np.ones((50, 3)), boxsize=10)
    assert "wrap" not in str(caught.value)
    GalaxyCatalog(position % 10, np.ones((50, 3)), boxsize=10)
