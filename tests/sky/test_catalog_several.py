"""Several tables: refused where none is chosen, and read as one where they are."""

import io
import pickle
import warnings

import h5py
import numpy as np
import pytest
from astropy.io import fits, votable
from astropy.table import Table

from helpers.tables_on_disk import write
from pysoftcorr.core.extras import need
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.stars import StarCatalog


def chip(k, n=4, **more):
    """Stars of a chip: ra from 10 k on."""
    return {"ra": 10.0 * k + np.arange(n), "dec": np.full(n, float(k))} | more


OTHER = {"exposure": np.arange(3), "seeing": np.full(3, 0.7)}


def _fits(path, **tables):
    hdus = [fits.PrimaryHDU()]
    for name, data in tables.items():
        hdu = fits.table_to_hdu(Table(data))
        hdu.name = name.rstrip("_")
        hdus.append(hdu)
    fits.HDUList(hdus).writeto(path)


def _groups(path, **tables):
    with h5py.File(path, "w") as root:
        for name, data in tables.items():
            for key, values in data.items():
                root[f"field/{name}/{key}"] = values


def _compounds(path, **tables):
    with h5py.File(path, "w") as root:
        for name, data in tables.items():
            root[name] = Table(data).as_array()


def _npz(path, **tables):
    np.savez(path, **{name: Table(data).as_array() for name, data in tables.items()})


def _votable(path, **tables):
    whole = votable.tree.VOTableFile()
    resource = votable.tree.Resource()
    whole.resources.append(resource)
    for name, data in tables.items():
        part = votable.from_table(Table(data)).get_first_table()
        part.name = name
        resource.tables.append(part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole.to_xml(str(path))


#: File, its writer, the argument that chooses, how a table of this name is chosen.
FORMATS = {
    "several.fits": (_fits, "hdu", str),
    "groups.h5": (_groups, "key", "field/{}".format),
    "compound.hdf5": (_compounds, "key", str),
    "archive.npz": (_npz, "key", str),
    "several.vot": (_votable, "key", str),
}


@pytest.mark.parametrize("name", FORMATS)
class TestOneFile:
    def test_several_that_fit_are_refused_and_listed(self, tmp_path, name):
        path = tmp_path / name
        writer, option, called = FORMATS[name]
        writer(path, CHIP1=chip(1, 40), CHIP2=chip(2, 40), CHIP3=chip(3, 39))
        with pytest.raises(ValueError, match="several tables that would do") as error:
            Catalog.read(path)
        for k in (1, 2, 3):
            assert called(f"CHIP{k}") in str(error.value)
        assert "(40 rows)" in str(error.value)
        assert "(39 rows)" in str(error.value)
        assert f"{option} = 'all'" in str(error.value)
        assert Catalog.read(path, **{option: called("CHIP3")}).ra[0] == 30
        both = Catalog.read(path, **{option: [called("CHIP3"), called("CHIP1")]})
        np.testing.assert_array_equal(both.dec, [3.0] * 39 + [1.0] * 40)
        for every in ("all", "ALL", ["all"]):
            assert len(Catalog.read(path, **{option: every})) == 119
        with pytest.raises(ValueError, match="stands twice"):
            Catalog.read(path, **{option: [called("CHIP1")] * 2})
        with pytest.raises(ValueError, match=r"CHIP4.*CHIP1"):
            Catalog.read(path, **{option: called("CHIP4")})

    def test_the_one_that_fits_is_read(self, tmp_path, name):
        path = tmp_path / name
        writer, option, called = FORMATS[name]
        writer(path, EXPOSURES=OTHER, OBJECTS=chip(1))
        catalog = Catalog.read(path)
        assert len(catalog) == 4
        assert called("OBJECTS") in catalog.source
        with pytest.raises(ValueError, match=r"EXPOSURES.* no column .*hold"):
            Catalog.read(path, **{option: "all"})

    def test_what_is_asked_for_decides(self, tmp_path, name):
        path = tmp_path / name
        writer, _, called = FORMATS[name]
        pointing = {"ra": [1.0, 2.0], "dec": [0.0, 0.0]}
        writer(path, EXPOSURES=pointing, OBJECTS=chip(1, mag=np.arange(4.0)))
        with pytest.raises(ValueError, match="several tables that would do"):
            Catalog.read(path)
        for options in ({"select": "mag > 0"}, {"extra": ["mag"]}, {"columns": {"w": "mag + 1"}}):
            assert called("OBJECTS") in Catalog.read(path, **options).source

    def test_none_that_fits(self, tmp_path, name):
        path = tmp_path / name
        FORMATS[name][0](path, A=OTHER, B={"ra": [1.0], "x": [2.0]})
        with pytest.raises(ValueError, match=r"none of the 2 tables .*A.*B.*dec"):
            Catalog.read(path)

    def test_a_missing_column_is_looked_for_in_the_others(self, tmp_path, name):
        path = tmp_path / name
        writer, option, called = FORMATS[name]
        writer(path, STARS=chip(1), LENSES=chip(2, redshift=np.arange(4.0)), EXPOSURES=OTHER)
        choose = {option: called("STARS")}
        with pytest.raises(
            ValueError, match=r"no column 'redshift'.*LENSES'? of the same file has"
        ):
            Catalog.read(path, select="redshift > 1", **choose)
        with pytest.raises(
            ValueError, match=r"no column 'zz'.*Other tables.*(LENSES.*EXPO|EXPO.*LENSES)"
        ):
            Catalog.read(path, extra=["zz"], **choose)
        with pytest.raises(ValueError, match=r"hold ra.*Other tables.*(STARS.*LEN|LEN.*STARS)"):
            Catalog.read(path, **{option: called("EXPOSURES")})


def test_hdus_of_one_name(tmp_path):
    path = tmp_path / "ldac.fits"
    head = {"Field Header Card": ["x"]}
    _fits(path, LDAC_IMHEAD=head, LDAC_OBJECTS=chip(1), LDAC_IMHEAD_=head, LDAC_OBJECTS_=chip(2))
    with pytest.raises(ValueError, match=r"HDU 2 LDAC_OBJECTS.*HDU 4.*hdu = 2 reads one"):
        Catalog.read(path)
    with pytest.raises(
        ValueError, match=r"hdu = 'ldac_objects'.*several tables of this name.*HDU 4"
    ):
        Catalog.read(path, hdu="ldac_objects")
    np.testing.assert_array_equal(Catalog.read(path, hdu="all").dec, [1.0] * 4 + [2.0] * 4)
    np.testing.assert_array_equal(Catalog.read(path, hdu=[4, 2]).ra[:4], 20.0 + np.arange(4))
    assert Catalog.read(path, hdu=-1).dec[0] == 2
    assert Catalog.read(path, hdu="-3").dec[0] == 1
    assert Catalog.read(path, hdu=np.int64(2)).dec[0] == 1
    assert len(Catalog.read(path, hdu=np.array([2, 4]))) == 8
    for wrong in (True, 1.5, [1.0], b"x"):
        with pytest.raises(TypeError, match="hdu = "):
            Catalog.read(path, hdu=wrong)
    with pytest.raises(ValueError, match="at least one"):
        Catalog.read(path, hdu=[])


def test_compressed_images_are_no_tables(tmp_path):
    path = tmp_path / "image.fits"
    image = fits.CompImageHDU(np.zeros((40, 40), dtype="i2"), name="SCI")
    hdu = fits.table_to_hdu(Table(chip(1)))
    fits.HDUList([fits.PrimaryHDU(), image, hdu]).writeto(path)
    assert len(Catalog.read(path)) == 4
    with pytest.raises(ValueError, match=r"HDU 'SCI' .* is no table"):
        Catalog.read(path, hdu="SCI")


def test_columns_beside_tables(tmp_path):
    """Plain columns are one table, structured members others."""
    path = tmp_path / "mixed.npz"
    np.savez(path, **chip(1), version=np.array(3), stars=Table(chip(2)).as_array())
    with pytest.raises(ValueError, match=r"key '/' \(the plain arrays\).*key 'stars'"):
        Catalog.read(path)
    assert Catalog.read(path, key="/").dec[0] == 1
    assert Catalog.read(path, key="stars").dec[0] == 2
    path = tmp_path / "mixed.h5"
    with h5py.File(path, "w") as root:
        for key, values in chip(1).items():
            root[key] = values
        root["stars"] = Table(chip(2)).as_array()
    with pytest.raises(ValueError, match=r"key '/' .*key 'stars'"):
        Catalog.read(path)
    assert Catalog.read(path, key="/").dec[0] == 1
    assert Catalog.read(path, key="/stars/").dec[0] == 2


# ---------------------------------------------------------------------- several files
def _files(folder, *tables, suffix=".fits"):
    return [write(folder / f"chip{k}{suffix}", dict(t)) for k, t in enumerate(tables)]


@pytest.mark.parametrize("suffix", [".fits", ".csv", ".parquet", ".npz", ".ecsv"])
def test_lists_and_patterns(tmp_path, suffix):
    paths = _files(tmp_path, *(chip(k, ids=np.arange(4) + 2**60) for k in range(3)), suffix=suffix)
    for source in (
        paths,
        [str(p) for p in paths],
        tuple(paths),
        iter(paths),
        tmp_path / f"chip*{suffix}",
        str(tmp_path / f"chip?{suffix}"),
        [paths[0], str(tmp_path / f"chip[12]{suffix}")],
    ):
        catalog = Catalog.read(source, extra=["ids"], select="dec != 1")
        np.testing.assert_array_equal(catalog.dec, [0.0] * 4 + [2.0] * 4)
        np.testing.assert_array_equal(catalog.extra["ids"][4:], np.arange(4) + 2**60)
        assert catalog.n_unselected == 4
    assert Catalog.read(paths).name == f"chip0{suffix} and 2 more"
    assert Catalog.read(str(tmp_path / f"chip*{suffix}")).name == f"chip*{suffix}"


def test_formats_may_differ(tmp_path):
    paths = [write(tmp_path / f"a{s}", chip(1)) for s in (".fits", ".csv", ".parquet", ".npy")]
    assert len(Catalog.read(paths)) == 16
    assert len(Catalog.read([paths[0], Table(chip(3)), chip(4)])) == 12


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file matches the pattern .*chip\*\.fits"):
        Catalog.read(tmp_path / "chip*.fits")
    paths = _files(tmp_path, chip(0))
    with pytest.raises(FileNotFoundError, match="no such catalog"):
        Catalog.read([*paths, tmp_path / "gone.fits"])
    with pytest.raises(ValueError, match="the list of files is empty"):
        Catalog.read([])
    with pytest.raises(ValueError, match=r"chip0\.fits is given twice"):
        Catalog.read([paths[0], str(tmp_path / "*.fits")])
    with pytest.raises(TypeError, match="not from int"):
        Catalog.read([paths[0], 3])
    for text in ("ra,dec\n1,2\n" * 2000, "a\0b"):
        with pytest.raises(FileNotFoundError, match="no such catalog"):
            Catalog.read(text)
    with pytest.raises(ValueError, match="path of the catalog is empty"):
        Catalog.read(" ")
    with pytest.raises(ValueError, match="is an address; download"):
        Catalog.read("https://example.org/stars.fits")
    strange = paths[0].rename(tmp_path / "chip[1].fits")
    assert len(Catalog.read(strange)) == 4


def test_rows_are_named_by_file(tmp_path):
    tables = [chip(k) for k in range(3)]
    tables[1]["ra"][2] = np.nan
    tables[2]["dec"][3] = 95
    paths = _files(tmp_path, *tables)
    with pytest.raises(ValueError, match=r"row 2 of .*chip1\.fits \[HDU 1\] \(nan\)"):
        Catalog.read(paths)
    with pytest.raises(ValueError, match=r"beyond 90 degrees in row 3 of .*chip2\.fits"):
        Catalog.read(paths, select="(dec != 1) & (ra != 20)")
    with (
        pytest.warns(UserWarning, match="dropped 1 of 12"),
        pytest.raises(ValueError, match=r"row 3 of .*chip2\.fits"),
    ):
        Catalog.read(paths, on_bad="drop")


def test_units_are_converted_or_refused(tmp_path):
    degrees, radians, none = (Table(chip(k)) for k in (1, 2, 3))
    for table, unit in ((degrees, "deg"), (radians, "rad")):
        table["ra"].unit = table["dec"].unit = unit
    for axis in ("ra", "dec"):
        radians[axis] = np.deg2rad(radians[axis])
        radians[axis].unit = "rad"
    for first, second in ((degrees, radians), (radians, degrees)):
        paths = [tmp_path / "a.fits", tmp_path / "b.ecsv"]
        first.write(paths[0], overwrite=True)
        second.write(paths[1], overwrite=True)
        dec = sorted(Catalog.read(paths).dec)
        np.testing.assert_allclose(dec, [1.0] * 4 + [2.0] * 4, rtol=1e-14)
        with pytest.raises(
            ValueError, match=r"ra_unit says one unit .*'deg' in .*leave ra_unit out"
        ):
            Catalog.read(paths, ra_unit="deg")
    none.write(tmp_path / "c.fits")
    with pytest.raises(
        ValueError, match=r"ra: the unit of column 'ra' differs: .*'none' in .*c\.fits"
    ):
        Catalog.read([paths[0], tmp_path / "c.fits"])
    # An empty part has no values that could be mistaken.
    none[:0].write(tmp_path / "d.fits")
    assert len(Catalog.read([paths[0], tmp_path / "d.fits"])) == 4


def test_units_written_in_other_ways_are_no_other_units():
    tables = [Table(chip(k)) for k in (1, 2)]
    hdus = [dict(table) for table in tables]
    for table, unit in zip(tables, ("deg", "degree"), strict=True):
        table["ra"].unit = unit
    assert len(Catalog.read(tables)) == len(hdus) * 4


def test_columns_missing_in_a_part(tmp_path):
    w = np.ones(4)
    paths = _files(tmp_path, chip(1, w=w), chip(2), chip(3, w=w))
    with pytest.raises(ValueError, match=r"w: no column 'w' in .*chip1\.fits \[HDU 1\], unlike"):
        Catalog.read(paths)
    assert len(Catalog.read(paths, columns={"w": None})) == 12
    with pytest.raises(ValueError, match=r"select: no column 'w' in .*chip1\.fits"):
        Catalog.read(paths, columns={"w": None}, select="w > 0")
    upper = write(tmp_path / "upper.fits", {"RA": [1.0], "DEC": [2.0]})
    with pytest.raises(ValueError, match=r"no column 'ra' in .*upper\.fits"):
        Catalog.read([paths[1], upper])


def test_kinds_that_differ(tmp_path):
    paths = _files(tmp_path, chip(1, a=np.arange(4)), chip(2, a=np.array(list("abcd"))))
    with pytest.raises(
        ValueError, match=r"a: column 'a' is of different kinds: numbers in .*chip0"
    ):
        Catalog.read(paths, extra=["a"])
    (tmp_path / "vectors").mkdir()
    vectors = _files(tmp_path / "vectors", chip(1, a=np.ones((4, 2))), chip(2, a=np.ones(4)))
    with pytest.raises(ValueError, match=r"column 'a' differs in shape"):
        Catalog.read(vectors, columns={"w": "a[0]"})


def test_whole_numbers_of_several_tables_stay_exact():
    big = 2**62 + 1
    signed, unsigned = np.arange(4) + big, np.arange(4, dtype=np.uint64) + 2**63

    def ids(*columns):
        tables = [chip(k, id=column) for k, column in enumerate(columns)]
        return Catalog.read(tables, extra=["id"]).extra["id"]

    both = ids(signed, np.arange(4, dtype=np.uint64))
    assert both.dtype == np.int64
    assert both[0] == big
    both = ids(signed, unsigned)
    assert both.dtype == np.uint64
    assert [int(x) for x in both] == [*map(int, signed), *map(int, unsigned)]
    with pytest.raises(ValueError, match=r"whole numbers too large for decimal ones in table 0"):
        ids(signed, np.arange(4.0))
    with pytest.raises(ValueError, match="cannot be joined exactly"):
        ids(-signed, unsigned)
    assert ids(np.arange(4), np.arange(4) + 0.5).dtype == np.float64
    # A part without a value says nothing about the type.
    empty = ids(signed, np.ma.masked_all(4, dtype=float))
    assert empty.dtype == np.int64
    assert np.ma.count_masked(empty) == 4


def test_a_folder_of_parquet_files(tmp_path):
    need("pyarrow", "this test", extra="parquet")
    folder = tmp_path / "survey"
    for k in (2, 10):
        (folder / f"tile={k}").mkdir(parents=True)
        write(folder / f"tile={k}" / "part-0.parquet", chip(k))
    (folder / "_SUCCESS").write_text("")
    (folder / "README.txt").write_text("not a table")
    (folder / "_temporary").mkdir()
    write(folder / "_temporary" / "x.parquet", chip(5))
    catalog = Catalog.read(folder, extra=["tile"])
    np.testing.assert_array_equal(catalog.extra["tile"], [2] * 4 + [10] * 4)
    assert catalog.extra["tile"].dtype.kind == "i"
    assert len(Catalog.read(folder, select="tile == 10")) == 4
    write(folder / "tile=10" / "part-1.parquet", {"ra": [1.0], "Dec": [0.0]})
    with pytest.raises(ValueError, match=r"no column 'dec' in .*tile=10/part-1\.parquet"):
        Catalog.read(folder)
    with pytest.raises(ValueError, match="hdu = 1 is for FITS files; survey is read as Parquet"):
        Catalog.read(folder, hdu=1)


# ---------------------------------------------------------------------- concatenate
def stars(k, n=3, **more):
    shape = {key: np.linspace(0.0, 0.01, n) for key in ("g1", "g2", "g1_model", "g2_model")}
    return StarCatalog(**chip(k, n), **shape, T=np.full(n, 2.0), T_model=np.full(n, 2.1), **more)


def test_concatenate_equals_reading_together(tmp_path):
    paths = _files(tmp_path, *(chip(k, 5, w=np.arange(5) + 1.0, id=np.arange(5)) for k in range(3)))
    together = Catalog.read(paths, extra=["id"], select="w > 1")
    parts = [Catalog.read(path, extra=["id"], select="w > 1") for path in paths]
    joined = Catalog.concatenate(parts, name="all")
    for field in ("ra", "dec", "w", "xyz"):
        np.testing.assert_array_equal(getattr(joined, field), getattr(together, field))
    assert joined.extra["id"].dtype == np.int64
    assert joined.n_unselected == together.n_unselected == 3
    assert joined.name == "all"
    assert joined.columns == {"ra": "ra", "dec": "dec", "w": "w"}
    assert all(str(path) in joined.source for path in paths)
    copy = pickle.loads(pickle.dumps(joined))
    np.testing.assert_array_equal(copy.extra["id"], joined.extra["id"])
    # No part is changed by it, nor lends its arrays.
    assert [len(part) for part in parts] == [4, 4, 4]


def test_concatenate_stars():
    joined = StarCatalog.concatenate([stars(1), stars(2, 5)])
    assert isinstance(joined, StarCatalog)
    np.testing.assert_array_equal(joined.T_model, np.full(8, 2.1))
    np.testing.assert_allclose(joined.dT_over_T, -0.05)
    one = StarCatalog.concatenate([stars(1)])
    np.testing.assert_array_equal(one.ra, stars(1).ra)


@pytest.mark.parametrize(
    ("parts", "kind", "message"),
    [
        (lambda: [], ValueError, "no catalog to concatenate"),
        (lambda: [Catalog(**chip(1)), stars(1)], TypeError, "number 1 is of type StarCatalog"),
        (lambda: [Catalog(**chip(1)), Table(chip(2))], TypeError, "number 1 is of type Table"),
        (
            lambda: [Catalog(**chip(1), w=np.ones(4)), Catalog(**chip(2), name="b")],
            ValueError,
            r"weights 'w': in catalog 0, but not in catalog 1 \(b\)",
        ),
        (
            lambda: [Catalog(**chip(1)), Catalog(**chip(2), g1=np.zeros(4), g2=np.zeros(4))],
            ValueError,
            "field 'g1': in catalog 1, but not in catalog 0",
        ),
        (
            lambda: [Catalog(**chip(1), extra={"id": np.arange(4)}), Catalog(**chip(2))],
            ValueError,
            "extra column 'id': in catalog 0, but not in catalog 1",
        ),
        (
            lambda: [
                Catalog(**chip(1), extra={"id": np.arange(4)}),
                Catalog(**chip(2), extra={"id": list("abcd")}),
            ],
            ValueError,
            "extra column 'id' is of different kinds: numbers in catalog 0, text in catalog 1",
        ),
    ],
)
def test_what_cannot_be_concatenated(parts, kind, message):
    with pytest.raises(kind, match=message):
        Catalog.concatenate(parts())


def test_planes_of_different_units_are_not_concatenated():
    parts = [Catalog(**chip(k)) for k in (1, 2)]
    for part, unit in zip(parts, ("arcmin", "pixel"), strict=True):
        part.__dict__["xy_unit"] = unit
    with pytest.raises(ValueError, match=r"x and y are in pixel in catalog 1 and arcmin in cat"):
        Catalog.concatenate(parts)


def test_reading_from_open_content_is_refused():
    with pytest.raises(TypeError, match="not from BytesIO"):
        Catalog.read(io.BytesIO(b"ra,dec\n1,2\n"))


# ---------------------------------------------------------------------- which table is meant
@pytest.mark.parametrize("name", FORMATS)
def test_a_pattern_of_names(tmp_path, name):
    path = tmp_path / name
    writer, option, called = FORMATS[name]
    writer(path, CHIP1=chip(1), CHIP2=chip(2), META=OTHER, CHIP13=chip(3))
    read = Catalog.read(path, **{option: called("CHIP?")})
    assert sorted(read.ra) == sorted([*chip(1)["ra"], *chip(2)["ra"]])
    assert len(Catalog.read(path, **{option: [called("CHIP1"), called("CHIP1?")]})) == 8
    with pytest.raises(ValueError, match="stands twice"):
        Catalog.read(path, **{option: [called("CHIP1"), called("CHIP*")]})
    with pytest.raises(ValueError, match=r"no .*Z\*"):
        Catalog.read(path, **{option: called("Z*")})


@pytest.mark.parametrize("name", FORMATS)
def test_positions_on_the_sky_win_over_places_on_a_chip(tmp_path, name):
    path = tmp_path / name
    writer, _, _ = FORMATS[name]
    writer(path, PIXELS={"x": np.arange(5.0), "y": np.arange(5.0)}, SKY=chip(2))
    read = Catalog.read(path)
    assert read.geometry == "sky"
    assert len(read) == 4
    assert len(Catalog.read(path, columns={"x": "x", "y": "y"}, xy_unit="pixel")) == 5


def test_an_empty_table_leaves_no_choice(tmp_path):
    path = tmp_path / "a.fits"
    _fits(path, CHIP1=chip(1), CHIP2=chip(2, 0))
    assert len(Catalog.read(path)) == 4


def test_a_part_in_brackets_is_said_otherwise(tmp_path):
    path = tmp_path / "a.fits"
    _fits(path, CHIP1=chip(1), CHIP2=chip(2))
    with pytest.raises(FileNotFoundError, match=r"pass hdu='CHIP2'"):
        Catalog.read(f"{path}[CHIP2]")


def test_columns_of_one_value_a_row_in_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as root:
        for name, values in chip(1).items():
            root[name] = values[:, None]
    np.testing.assert_array_equal(Catalog.read(path).ra, chip(1)["ra"])


@pytest.mark.parametrize("index", ["ra", ["ra", "dec"]])
def test_a_named_index_of_a_data_frame_is_a_column(index):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(chip(1, n_exp=np.arange(4))).set_index(index)
    read = Catalog.read(frame, extra=["n_exp"])
    np.testing.assert_array_equal(read.ra, chip(1)["ra"])


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: [Catalog(**chip(1))], "Catalog.concatenate"),
        (lambda: fits.table_to_hdu(Table(chip(1))), "hdu="),
        (lambda: io.BytesIO(b"ra,dec"), "the path"),
    ],
)
def test_what_to_pass_instead(make, advice):
    with pytest.raises(TypeError, match=advice):
        Catalog.read(make())


@pytest.mark.parametrize("name", FORMATS)
def test_all_is_advised_only_where_it_works(tmp_path, name):
    path = tmp_path / name
    writer, _, _ = FORMATS[name]
    writer(path, CHIP1=chip(1), CHIP2=chip(2), META=OTHER)
    with pytest.raises(ValueError, match=r"Choose: .* a pattern of names") as error:
        Catalog.read(path)
    assert "'all'" not in str(error.value)
