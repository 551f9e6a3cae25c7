"""Catalogues read from files of every format, and every way a file can be wrong."""

import builtins
import warnings
from pathlib import Path

import astropy.units as u
import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table

from pysoftcorr.catalog import Catalog, StarCatalog

N = 6


def columns():
    rng = np.random.default_rng(7)
    return {
        "ra": rng.uniform(10, 12, N),
        "dec": rng.uniform(-3, 3, N),
        "g1": rng.normal(0, 0.1, N),
        "g2": rng.normal(0, 0.1, N),
        "w": rng.uniform(0.5, 2, N),
        "mag": np.array([20.0, 21.0, 22.0, 23.0, 24.0, 25.0]),
        "flags": np.array([0, 1, 2, 4, 0, 6]),
    }


def write(path: Path, data: dict) -> Path:
    """A file of these columns, of the kind its name says."""
    name = path.name
    if name.endswith((".fits", ".fits.gz")):
        Table(data).write(path)
    elif name == "group.h5":
        with h5py.File(path, "w") as root:
            for key, values in data.items():
                root[f"catalog/{key}"] = values
    elif name == "root.h5":
        with h5py.File(path, "w") as root:
            for key, values in data.items():
                root[key] = values
    elif name == "astropy.hdf5":
        Table(data).write(path, path="stars", serialize_meta=True)
    elif name == "compound.hdf5":
        with h5py.File(path, "w") as root:
            root["a/b"] = Table(data).as_array()
    elif name.endswith(".ecsv"):
        Table(data).write(path)
    elif name.endswith(".csv"):
        Table(data).write(path, format="ascii.csv")
    elif name.endswith(".txt"):
        Table(data).write(path, format="ascii.commented_header")
    elif name.endswith(".parquet"):
        arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        from pyarrow import parquet

        parquet.write_table(arrow.table(data), path)
    elif name.endswith(".npy"):
        np.save(path, Table(data).as_array())
    elif name.endswith(".npz"):
        np.savez(path, **data)
    return path


FILES = (
    *("a.fits", "a.fits.gz", "group.h5", "root.h5", "astropy.hdf5", "compound.hdf5"),
    *("a.ecsv", "a.csv", "a.txt", "a.parquet", "a.npy", "a.npz"),
)


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_catalogue(tmp_path, name):
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


def test_data_frames_with_nullable_numbers_and_text():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"ra": [1.0, 2.0, 3.0], "dec": [0.0, 1.0, 2.0]})
    frame["flag"] = pandas.array([0, 1, None], dtype="Int64")
    frame["bits"] = pandas.array([0, 1, 2], dtype="Int64")
    frame["band"] = ["r", "r", "i"]
    assert len(Catalog.read(frame, flag="flag")) == 1
    assert len(Catalog.read(frame, flag="bits & 2", select="band == 'r'")) == 2
    with pytest.raises(ValueError, match=r"w \(column 'flag' of the data frame\): row 2 \(nan\)"):
        Catalog.read(frame, columns={"w": "flag"})


@pytest.mark.parametrize("name", ["a.fits", "a.h5", "a.parquet", "a.csv"])
def test_text_columns_select_rows(tmp_path, name):
    data = {"ra": np.arange(3.0), "dec": np.zeros(3)}
    path = tmp_path / name
    if name == "a.h5":
        write(tmp_path / "root.h5", data).rename(path)
        with h5py.File(path, "a") as root:
            root["band"] = ["r", "i", "r"]
    else:
        write(path, data | {"band": np.array(["r", "i", "r"])})
    np.testing.assert_array_equal(Catalog.read(path, select="band == 'r'").ra, [0, 2])


def test_hdf5_columns_beside_shorter_ones(tmp_path):
    path = write(tmp_path / "root.h5", columns())
    with h5py.File(path, "a") as root:
        root["a_version"] = [1]
    assert len(Catalog.read(path)) == N
    with pytest.raises(ValueError, match="w: 'a_version' has 1 rows, the table 6"):
        Catalog.read(path, columns={"w": "a_version"})


# ---------------------------------------------------------------------- names and units
@pytest.mark.parametrize(
    ("ra", "dec", "g1", "g2", "w"),
    [
        ("RA", "DEC", "e1", "e2", "weight"),
        ("ALPHA_J2000", "DELTA_J2000", "gamma1", "gamma2", "WEIGHT"),
        ("RAJ2000", "DEJ2000", "g_1", "g_2", "wt"),
    ],
)
def test_usual_names_are_found(ra, dec, g1, g2, w):
    data = columns()
    table = {ra: data["ra"], dec: data["dec"], g1: data["g1"], g2: data["g2"], w: data["w"]}
    catalog = Catalog.read(table)
    assert catalog.columns == {"ra": ra, "dec": dec, "g1": g1, "g2": g2, "w": w}
    without = Catalog.read(table, columns={"g1": None, "g2": None, "w": None})
    assert without.g1 is None
    assert without.unweighted
    assert Catalog.read(table, columns={"g1": None}).g2 is None


def test_a_lone_e1_is_not_taken_for_a_shape():
    data = columns()
    catalog = Catalog.read({"ra": data["ra"], "dec": data["dec"], "e1": data["g1"]})
    assert catalog.g1 is None


@pytest.mark.parametrize("name", ["u.fits", "u.ecsv", "u.hdf5"])
def test_units_stored_with_columns_are_honoured(tmp_path, name):
    table = QTable({"ra": [1.5, 2] * u.hourangle, "dec": [30, 60] * u.arcmin})
    path = tmp_path / name
    if name == "u.fits":
        table["ra"] = [22.5 * 60, 30 * 60] * u.arcmin  # FITS has no unit of hours of angle
    table.write(path, **({"path": "t", "serialize_meta": True} if name == "u.hdf5" else {}))
    catalog = Catalog.read(path)
    np.testing.assert_allclose(catalog.ra, [22.5, 30], rtol=1e-14)
    np.testing.assert_allclose(catalog.dec, [0.5, 1], rtol=1e-14)
    overridden = Catalog.read(path, columns={"ra": "dec"}, ra_unit="deg", dec_unit="deg")
    np.testing.assert_allclose(overridden.dec, [30, 60])
    shifted = Catalog.read(path, columns={"dec": "dec + 30"})
    np.testing.assert_allclose(shifted.dec, [1, 1.5], rtol=1e-14)


def test_units_in_hdf5_attributes(tmp_path):
    path = write(tmp_path / "root.h5", columns())
    with h5py.File(path, "a") as root:
        root["ra"].attrs["units"] = "radians"
        root["ra"][...] = np.linspace(0, 1, N)
    np.testing.assert_allclose(Catalog.read(path).ra, np.rad2deg(np.linspace(0, 1, N)))


def test_a_stored_unit_that_is_no_angle():
    table = Table({"ra": [1.0], "dec": [2.0]})
    table["ra"].unit = "pixel"
    with pytest.raises(ValueError, match=r"ra: the unit 'pix' stored with 'ra'.*pass ra_unit="):
        Catalog.read(table)
    assert Catalog.read(table, ra_unit="deg").ra[0] == 1
    table["ra"].unit = "deg"
    table["dec"].unit = "arcmin"
    with pytest.raises(ValueError, match="different units"):
        Catalog.read(table, columns={"ra": "ra + dec"})


def test_quoted_and_exact_column_names():
    table = {"RA (J2000)": [1.0, 2.0], "dec": [0.0, 1.0], "e1-x": [0.1, 0.2], "g2": [0.0, 0.0]}
    catalog = Catalog.read(table, columns={"ra": "`RA (J2000)` + 1", "g1": "e1-x", "g2": "g2"})
    np.testing.assert_array_equal(catalog.ra, [2, 3])
    np.testing.assert_array_equal(catalog.g1, [0.1, 0.2])


def test_vector_columns_by_element():
    table = {"ra": [1.0, 2.0], "dec": [0.0, 1.0], "e": np.array([[0.1, 0.2], [0.3, 0.4]])}
    catalog = Catalog.read(table, columns={"g1": "e[0]", "g2": "e[1]"})
    np.testing.assert_array_equal(catalog.g2, [0.2, 0.4])
    with pytest.raises(ValueError, match=r"g1: 'e' has shape \(2, 2\).*as in e\[0\]"):
        Catalog.read(table, columns={"g1": "e", "g2": "e"})


def test_a_constant_is_a_column():
    catalog = Catalog.read({"ra": [1.0, 2.0], "dec": [0.0, 1.0]}, columns={"w": "2"})
    np.testing.assert_array_equal(catalog.w, [2, 2])


# ---------------------------------------------------------------------- FITS
def test_fits_hdus_by_number_and_name(tmp_path):
    path = tmp_path / "many.fits"
    tables = [Table({"ra": [float(k)] * 2, "dec": [1.0, 2.0]}) for k in range(3)]
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((2, 2)), name="IMAGE")]
    hdus += [fits.table_to_hdu(t) for t in tables]
    for hdu, name in zip(hdus[2:], ("FIRST", "SECOND", "THIRD"), strict=True):
        hdu.name = name
    fits.HDUList(hdus).writeto(path)
    assert Catalog.read(path).ra[0] == 0
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
    with pytest.raises(ValueError, match="several tables; pass key= one of: data/galaxies, data/s"):
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
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"needs pyarrow: pip install 'pysoftcorr\[parquet\]'"):
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
def test_empty_catalogues(tmp_path, name):
    path = write(tmp_path / name, {"ra": np.zeros(0), "dec": np.zeros(0)})
    with pytest.raises(ValueError, match=r"catalogue is empty: .* has no rows"):
        Catalog.read(path)


# ---------------------------------------------------------------------- what is asked for
def test_missing_file_offers_near_ones(tmp_path):
    write(tmp_path / "stars.fits", columns())
    with pytest.raises(FileNotFoundError, match=r"no such catalogue: .*star\.fits; did you mean"):
        Catalog.read(tmp_path / "star.fits")
    with pytest.raises(FileNotFoundError, match="nor is there a folder"):
        Catalog.read(tmp_path / "nowhere" / "star.fits")
    with pytest.raises(ValueError, match="is a folder"):
        Catalog.read(tmp_path)


def test_missing_column_offers_near_ones(tmp_path):
    path = write(tmp_path / "a.fits", columns())
    with pytest.raises(
        ValueError, match=r"w: no column 'mgg' in .*a\.fits.*\(in '1/mgg'\); did you mean mag"
    ):
        Catalog.read(path, columns={"w": "1/mgg"})
    with pytest.raises(ValueError, match="Available: ra, dec, g1, g2, w, mag, flags"):
        Catalog.read(path, columns={"ra": "RightAscension"})
    with pytest.raises(ValueError, match="select: no column 'magn'"):
        Catalog.read(path, select="magn < 3")
    with pytest.raises(ValueError, match=r"known to hold dec; pass columns=\{'dec': ...\}"):
        Catalog.read({"ra": [1.0], "y": [2.0]})


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"columns": {"gg1": "g1"}}, ValueError, "unknown key 'gg1'; did you mean g1"),
        ({"columns": {"T": "g1"}}, ValueError, "unknown key 'T'.*Available: ra, dec, g1, g2, w"),
        ({"columns": {"g1": 3}}, TypeError, r"columns\['g1'\] must be a column name"),
        ({"columns": {"g1": "open('x')"}}, ValueError, "g1: column expression calls what is not"),
        ({"select": "mag"}, TypeError, "select = 'mag' gives numbers"),
        ({"select": "mag > 99"}, ValueError, "empty: no row has mag > 99"),
        ({"flag": "flags >= 0"}, ValueError, "every row is flagged by flags >= 0"),
        ({"flag": "mag & 1"}, TypeError, "flag: column expression needs whole numbers"),
        ({"hdu": 1}, ValueError, "hdu = 1 is for FITS files; a.csv is read as csv"),
        ({"key": "x"}, ValueError, "key = 'x' is for HDF5 files"),
    ],
)
def test_impossible_requests(tmp_path, options, kind, message):
    path = write(tmp_path / "a.csv", columns())
    with pytest.raises(kind, match=message):
        Catalog.read(path, **options)


def test_rows_in_messages_are_those_of_the_file(tmp_path):
    data = columns()
    data["ra"][4] = np.nan
    data["w"][5] = -1
    path = write(tmp_path / "a.fits", data)
    with pytest.raises(ValueError, match=r"ra \(column 'ra' of .*\): row 4 \(nan\)"):
        Catalog.read(path, select="mag > 21.5")
    with (
        pytest.warns(UserWarning, match="dropped 1 of 4"),
        pytest.raises(ValueError, match=r"w \(column 'w' of .*\) must not .* row 5 \(-1\)"),
    ):
        Catalog.read(path, select="mag > 21.5", on_bad="drop")
    catalog = Catalog.read(path, select="(mag != 24) & (w > 0)")
    assert catalog.n_unselected == 2


def test_a_nan_flag_is_not_good():
    table = {"ra": [1.0, 2.0, 3.0], "dec": [0.0] * 3, "bad": [0.0, np.nan, 1.0]}
    catalog = Catalog.read(table, flag="bad")
    np.testing.assert_array_equal(catalog.ra, [1])
    assert catalog.n_flagged == 2


def test_wrong_kind_of_source():
    with pytest.raises(TypeError, match="not from int"):
        Catalog.read(3)
    with pytest.raises(ValueError, match="for files, not for tables in memory"):
        Catalog.read(Table(columns()), hdu=1)


def test_warnings_point_at_the_caller():
    table = {"ra": [1.0, np.nan], "dec": [0.0, 1.0]}
    with pytest.warns(UserWarning, match="dropped 1") as caught:
        Catalog.read(table, on_bad="drop")
    assert caught[0].filename == __file__


# ---------------------------------------------------------------------- stars
def star_table(names: dict[str, str]) -> dict:
    values = {"g1": 0.1, "g2": -0.1, "g1_model": 0.09, "g2_model": -0.11}
    values |= {"T": 8.0, "T_model": 18.0, "sigma": 2.0, "sigma_model": 3.0}
    table = {"ra": np.array([1.0, 2.0]), "dec": np.array([3.0, 4.0])}
    return table | {name: np.full(2, values[field]) for field, name in names.items()}


SCHEMES = {
    "vignet-psfex": {
        **{"g1": "g1_vignet", "g2": "g2_vignet", "sigma": "sig_vignet"},
        **{"g1_model": "g1_psfex", "g2_model": "g2_psfex", "sigma_model": "sig_psfex"},
    },
    "piff-hsm": {
        **{"g1": "g1_data", "g2": "g2_data", "T": "T_data"},
        **{"g1_model": "g1_model", "g2_model": "g2_model", "T_model": "T_model"},
    },
    "des-piff": {
        **{"g1": "obs_e1", "g2": "obs_e2", "T": "obs_T"},
        **{"g1_model": "piff_e1", "g2_model": "piff_e2", "T_model": "piff_T"},
    },
    "shapepipe": {
        **{"g1": "E1_STAR_HSM", "g2": "E2_STAR_HSM", "sigma": "SIGMA_STAR_HSM"},
        **{"g1_model": "E1_PSF_HSM", "g2_model": "E2_PSF_HSM", "sigma_model": "SIGMA_PSF_HSM"},
    },
}


@pytest.mark.parametrize(
    ("scheme", "names"),
    [
        *SCHEMES.items(),
        *(
            ("plain", {k: k for k in ("g1", "g2", star, "g1_model", "g2_model", model)})
            for star in ("T", "sigma")
            for model in ("T_model", "sigma_model")
        ),
    ],
)
def test_naming_schemes_of_stars(scheme, names):
    stars = StarCatalog.read(star_table(names))
    assert stars.scheme == scheme
    expected = {"g1": 0.1, "g2": -0.1, "g1_model": 0.09, "g2_model": -0.11, "T": 8, "T_model": 18}
    for field, value in expected.items():
        np.testing.assert_array_equal(getattr(stars, field), value)
    assert stars.columns == {"ra": "ra", "dec": "dec", **names}


def test_a_partial_map_overrides_the_scheme():
    table = star_table(SCHEMES["vignet-psfex"]) | {"size": np.array([10.0, 20.0])}
    stars = StarCatalog.read(table, columns={"T": "size", "g1": "g1_vignet/2"})
    np.testing.assert_array_equal(stars.T, [10, 20])
    np.testing.assert_array_equal(stars.g1, 0.05)
    np.testing.assert_array_equal(stars.T_model, 18)
    assert stars.scheme == "vignet-psfex"


def test_a_full_map_needs_no_scheme():
    names = {"g1": "a", "g2": "b", "T": "c", "g1_model": "d", "g2_model": "e", "T_model": "f"}
    stars = StarCatalog.read(star_table(names), columns=names)
    assert stars.scheme is None
    np.testing.assert_array_equal(stars.T_model, 18)


def test_stars_that_follow_no_scheme_name_what_lacks():
    table = star_table(SCHEMES["piff-hsm"])
    del table["T_model"]
    with pytest.raises(ValueError, match=r"the nearest, piff-hsm, lacks T_model\. Pass columns="):
        StarCatalog.read(table)
    with pytest.raises(ValueError, match=r"unknown key 'size'.*sigma_model"):
        StarCatalog.read(table, columns={"size": "T_data"})
    both = {"T": "T_data", "sigma": "T_data", "T_model": "T_data"}
    with pytest.raises(ValueError, match="both T and sigma are given"):
        StarCatalog.read(table, columns=both)


def test_flags_of_the_scheme_are_pointed_out():
    table = star_table(SCHEMES["piff-hsm"]) | {
        "flag_data": np.array([0, 1]),
        "flag_model": np.array([0, 2]),
    }
    hint = r"1 of 2 rows .* pass flag='flag_data \| flag_model'"
    with pytest.warns(UserWarning, match=hint):
        assert len(StarCatalog.read(table)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(StarCatalog.read(table, flag="flag_data | flag_model")) == 1
        assert len(StarCatalog.read(table, flag="0")) == 2


def test_bad_sizes_name_column_and_rows():
    table = star_table(SCHEMES["piff-hsm"])
    table["T_data"] = np.array([1.0, -1.0])
    with pytest.raises(ValueError, match=r"T \(column 'T_data' of the mapping\) must be above 0"):
        StarCatalog.read(table)
    assert len(StarCatalog.read(table, select="T_data > 0")) == 1


def test_units_of_sizes_in_files():
    names = {"g1": "g1", "g2": "g2", "T": "T", "g1_model": "g1_model", "g2_model": "g2_model"}
    table = Table(star_table({**names, "T_model": "T_model"}))
    table["T"].unit = u.arcsec**2
    table["T_model"].unit = u.mas**2
    table["T_model"] = table["T"] * 1e6
    table["T_model"].unit = u.mas**2
    np.testing.assert_allclose(StarCatalog.read(table).dT_over_T, 0, atol=1e-14)
    table["T_model"].unit = u.pixel**2
    with pytest.raises(ValueError, match="T is in arcsec2 and T_model in pix2"):
        StarCatalog.read(table)


REAL = Path(__file__).parents[2] / "shared" / "data" / "cosmosweb_f115w_stars.fits"


@pytest.mark.skipif(not REAL.exists(), reason="the COSMOS-Web star catalogue is not at hand")
def test_the_real_catalogue_needs_only_its_path():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stars = StarCatalog.read(REAL)
    data = fits.getdata(REAL, 1)
    assert len(stars) == 610
    assert stars.scheme == "vignet-psfex"
    np.testing.assert_array_equal(stars.ra, data["ra"])
    np.testing.assert_array_equal(stars.T, 2 * data["sig_vignet"] ** 2)
    np.testing.assert_array_equal(stars.de.imag, data["g2_vignet"] - data["g2_psfex"])
    assert "610 objects" in stars.summary()
