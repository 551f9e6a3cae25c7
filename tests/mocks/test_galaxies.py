"""Galaxy catalogs: checks, choice of rows, files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.table import Table

from helpers.resealed import changed
from pysoftcorr.mocks import (
    GalaxyCatalog,
    HaloCatalog,
    HODModel,
    box_correlations,
    expected_correlations,
    projected_correlations,
)


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


@pytest.mark.parametrize("suffix", ["h5", "fits"])
def test_galaxies_without_axes(tmp_path, suffix) -> None:
    position = np.random.default_rng(4).uniform(0, 20, (60, 3))
    galaxies = GalaxyCatalog(position, boxsize=20.0)
    assert galaxies.axis is None
    assert galaxies.reference is None
    galaxies.write(tmp_path / f"g.{suffix}")
    assert GalaxyCatalog.read(tmp_path / f"g.{suffix}") == galaxies
    assert galaxies[:7].axis is None
    found = box_correlations(galaxies, bins=[1, 4, 9])
    assert found.statistics == ("xi",)
    np.testing.assert_array_equal(
        found.xi, box_correlations(position, boxsize=20, bins=[1, 4, 9]).xi
    )
    assert projected_correlations(galaxies, rp_bins=[1, 4], pi_max=9).statistics == ("wp",)
    for refused in (
        lambda: galaxies.realign(mu_cen=0.5, mu_sat=0.1),
        lambda: expected_correlations(galaxies, mu_cen=0.5, mu_sat=0.1, bins=[1, 4]),
    ):
        with pytest.raises(ValueError, match="have no axes"):
            refused()


def test_a_table_of_positions_alone_and_without_hosts() -> None:
    position = np.random.default_rng(5).uniform(0, 20, (60, 3))
    table = dict(zip("xyz", position.T, strict=True))
    with pytest.raises(ValueError, match=r"the axis\? .*or columns=\{'axis': None\} for positions"):
        GalaxyCatalog.from_table(table, boxsize=20)
    bare = GalaxyCatalog.from_table(table, boxsize=20, columns={"axis": None})
    assert bare == GalaxyCatalog(position, boxsize=20)
    holed = {**table, "x": np.where(np.arange(60) == 3, np.nan, table["x"])}
    with pytest.warns(UserWarning, match="left out 1 of 60"):
        kept = GalaxyCatalog.from_table(holed, boxsize=20, columns={"axis": None}, on_bad="drop")
    assert len(kept) == 59
    # Who shares a halo is not known of a table, and xi of one halo is not 0 for that.
    assert not bare.has_hosts
    assert box_correlations(bare, bins=[1, 4]).xi_1h is None
    shared = GalaxyCatalog(position, boxsize=20, host=np.arange(60) // 2)
    assert shared.has_hosts
    assert box_correlations(shared, bins=[1, 4]).xi_1h is not None
