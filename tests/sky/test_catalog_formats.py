"""Files of every format give the same catalog, and damaged ones a clear error."""

import sys
import warnings

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from helpers.tables_on_disk import N, columns, write
from pysoftcorr.core.extras import MissingExtra
from pysoftcorr.sky.catalog import Catalog

FILES = (
    *("a.fits", "a.fits.gz", "group.h5", "root.h5", "astropy.hdf5", "compound.hdf5"),
    *("a.ecsv", "a.csv", "a.txt", "a.parquet", "a.npy", "a.npz"),
)


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_catalog(tmp_path, name):
    data = columns()
    path = write(tmp_path / name, data)
    catalog = Catalog.read(
        path,
        columns={"g1": "g1 - 0.5*g2", "w": "1/mag**2"},
        select="mag < 24.5",
        flag="flags & 4",
        extra=["mag"],
    )
    rows = [0, 1, 2, 4]
    np.testing.assert_array_equal(catalog.ra, data["ra"][rows])
    np.testing.assert_array_equal(catalog.dec, data["dec"][rows])
    np.testing.assert_array_equal(catalog.g1, (data["g1"] - 0.5 * data["g2"])[rows])
    np.testing.assert_array_equal(catalog.g2, data["g2"][rows])
    np.testing.assert_array_equal(catalog.w, (1 / data["mag"] ** 2)[rows])
    np.testing.assert_array_equal(catalog.extra["mag"], data["mag"][rows])
    assert (catalog.n_unselected, catalog.n_flagged, catalog.n_dropped) == (1, 1, 0)
    assert catalog.name == name
    assert str(path) in catalog.source
    assert catalog.columns["w"] == "1/mag**2"


@pytest.mark.parametrize("name", ["bare", "strange.suffix"])
def test_the_first_bytes_tell_where_the_suffix_does_not(tmp_path, name):
    for kind in ("a.fits", "root.h5", "a.parquet", "a.npy", "a.ecsv", "a.csv"):
        source = write(tmp_path / kind, columns())
        path = source.rename(tmp_path / name)
        assert len(Catalog.read(path)) == N
        path.unlink()


@pytest.mark.parametrize("kind", [Table, QTable, dict, "frame", "array"])
def test_tables_in_memory(kind):
    data = columns()
    if kind == "frame":
        table = pytest.importorskip("pandas", reason="pandas is not installed").DataFrame(data)
    elif kind == "array":
        table = Table(data).as_array()
    else:
        table = kind(data)
    catalog = Catalog.read(table)
    np.testing.assert_array_equal(catalog.w, data["w"])
    assert catalog.name is None


# ---------------------------------------------------------------------- FITS
def test_fits_hdus_by_number_and_name(tmp_path):
    path = tmp_path / "many.fits"
    tables = [Table({"ra": [float(k)] * 2, "dec": [1.0, 2.0]}) for k in range(3)]
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)), name="IMAGE")]
    hdus += [fits.table_to_hdu(t) for t in tables]
    for hdu, name in zip(hdus[2:], ("FIRST", "SECOND", "THIRD"), strict=True):
        hdu.name = name
    fits.HDUList(hdus).writeto(path)
    with pytest.raises(ValueError, match=r"several tables .*: HDU 2 FIRST \(2 rows\), HDU 3 SECO"):
        Catalog.read(path)
    for chosen, expected in ((3, 1), ("3", 1), ("THIRD", 2), ("second", 1)):
        assert Catalog.read(path, hdu=chosen).ra[0] == expected
    with pytest.raises(ValueError, match=r"HDU 1 of .* is no table; its HDUs are: 0 PRIMARY, 1"):
        Catalog.read(path, hdu=1)
    for missing in (7, "FOURTH"):
        with pytest.raises(ValueError, match=f"has no HDU {missing!r}; its HDUs are"):
            Catalog.read(path, hdu=missing)


def test_fits_of_sextractor_skips_the_header_table(tmp_path):
    head = fits.table_to_hdu(Table({"Field Header Card": ["x"]}))
    head.name = "LDAC_IMHEAD"
    objects = fits.table_to_hdu(Table({"ALPHA_J2000": [1.0], "DELTA_J2000": [2.0]}))
    objects.name = "LDAC_OBJECTS"
    path = tmp_path / "stars.cat"
    fits.HDUList([fits.PrimaryHDU(), head, objects]).writeto(path)
    assert Catalog.read(path).dec[0] == 2


def test_fits_undefined_integers_are_bad_values(tmp_path):
    path = tmp_path / "null.fits"
    ra = fits.Column(name="ra", format="J", null=-99, array=np.array([1, -99]))
    dec = fits.Column(name="dec", format="D", array=np.array([1.0, 2.0]))
    fits.BinTableHDU.from_columns([ra, dec]).writeto(path)
    with pytest.raises(ValueError, match=r"ra \(column 'ra' of .*null.fits \[HDU 1\]\): row 1"):
        Catalog.read(path)
    with pytest.warns(UserWarning, match="dropped 1 of 2"):
        assert len(Catalog.read(path, on_bad="drop")) == 1


def test_fits_without_tables_and_damaged(tmp_path):
    image = tmp_path / "image.fits"
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(image)
    with pytest.raises(ValueError, match="holds no table; its HDUs are: 0 PRIMARY"):
        Catalog.read(image)
    text = tmp_path / "text.fits"
    text.write_text("ra,dec\n1,2\n")
    with pytest.raises(ValueError, match="cannot be read as FITS"):
        Catalog.read(text)
    cut = write(tmp_path / "cut.fits", {"ra": np.arange(9000) / 100.0, "dec": np.zeros(9000)})
    cut.write_bytes(cut.read_bytes()[:9000])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's own remark on the short file
        with pytest.raises(ValueError, match=r"cut\.fits"):
            Catalog.read(cut)


# ---------------------------------------------------------------------- HDF5
def test_hdf5_keys(tmp_path):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as root:
        for key in ("data/stars", "data/galaxies"):
            root[f"{key}/ra"], root[f"{key}/dec"] = [1.0, 2.0], [3.0, 4.0]
    assert len(Catalog.read(path, key="data/stars")) == 2
    with pytest.raises(
        ValueError,
        match=r"several tables that would do: key 'data/galaxies' \(2 rows\), key 'data/s",
    ):
        Catalog.read(path)
    with pytest.raises(ValueError, match="no table 'data/star'; did you mean data/stars"):
        Catalog.read(path, key="data/star")


def test_hdf5_without_tables_and_damaged(tmp_path):
    path = tmp_path / "none.h5"
    with h5py.File(path, "w") as root:
        root["cube"] = np.zeros((2, 2, 2))
    with pytest.raises(ValueError, match="no table: neither a group"):
        Catalog.read(path)
    path.write_bytes(b"\x89HDF rubbish")
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        Catalog.read(path)


# ---------------------------------------------------------------------- other formats
def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"needs pyarrow; .*pip install 'pysoftcorr\[parquet\]'"):
        Catalog.read(path)


def test_parquet_nulls_and_damage(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    table = {"ra": arrow.array([1.0, None]), "dec": arrow.array([1, None])}
    parquet.write_table(arrow.table(table), path)
    with pytest.raises(ValueError, match=r"ra .*row 1 \(nan\).*dec .*row 1 \(nan\)"):
        Catalog.read(path)
    path.write_bytes(b"PAR1 rubbish")
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        Catalog.read(path)


def test_numpy_files_that_are_no_tables(tmp_path):
    path = tmp_path / "plain.npy"
    np.save(path, np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"plain array of shape \(4, 2\).*named columns"):
        Catalog.read(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as NumPy arrays"):
        Catalog.read(path)
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="cannot be read as NumPy arrays"):
        Catalog.read(broken)


def test_text_that_is_no_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("ra,dec\n1,2\n3,4,5,6\n")
    with pytest.raises(ValueError, match=r"a\.csv cannot be read as a table of text"):
        Catalog.read(path)
    path.write_text("ra,dec\n1,2\nx,4\n")
    with pytest.raises(TypeError, match=r"ra \(column 'ra' of .*a\.csv\) must be real numbers"):
        Catalog.read(path)


@pytest.mark.parametrize("name", ["a.fits", "root.h5", "a.ecsv", "a.csv", "a.parquet", "a.npz"])
def test_empty_catalogs(tmp_path, name):
    path = write(tmp_path / name, {"ra": np.zeros(0), "dec": np.zeros(0)})
    with pytest.raises(ValueError, match=r"catalog is empty: .* has no rows"):
        Catalog.read(path)
