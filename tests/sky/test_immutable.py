"""Catalogs, results, bins and clusterings never change, nor do their copies and pickles."""

import copy
import dataclasses
import multiprocessing
import pickle

import numpy as np
import pytest

from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import SoftClustering
from pysoftcorr.sky.result import Correlation, CorrelationSet
from pysoftcorr.sky.stars import StarCatalog


def stars(n=12):
    rng = np.random.default_rng(8)
    shapes = {k: rng.normal(0, 0.02, n) for k in ("g1", "g2", "g1_model", "g2_model")}
    sizes = {k: rng.uniform(2, 3, n) for k in ("T", "T_model")}
    return StarCatalog(
        ra=rng.uniform(10, 11, n), dec=rng.uniform(0, 1, n), **shapes, **sizes,
        extra={"mag": np.arange(n) + 0.5}, name="stars",
    )  # fmt: skip


def galaxies(n=12):
    whole = stars(n)
    return Catalog(ra=whole.ra, dec=whole.dec, g1=whole.g1, g2=whole.g2, w=np.ones(n) + whole.g1,
                   extra={"mag": np.arange(n) + 0.5})  # fmt: skip


def read(tmp_path):
    path = tmp_path / "a.fits"
    galaxies().to_table().write(path)
    return Catalog.read(path, extra=["mag"])


def same(value):
    return value


WAYS = {
    "itself": same,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda c: pickle.loads(pickle.dumps(c)),
    "old pickle": lambda c: pickle.loads(pickle.dumps(c, protocol=2)),
    "slice": lambda c: c[2:],
    "mask": lambda c: c[np.arange(len(c)) > 1],
    "pickled slice": lambda c: pickle.loads(pickle.dumps(c[::2])),
    "replaced": lambda c: c.replace(w=np.arange(1.0, len(c) + 1)),
    "pickled replaced": lambda c: pickle.loads(pickle.dumps(c.replace(w=None))),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [stars, galaxies])
def test_no_catalog_can_be_written_to(make, way):
    catalog = make()
    catalog.xyz  # noqa: B018 - so that there is something that could go stale
    catalog = WAYS[way](catalog)
    assert len(catalog.columns) == 0
    arrays = {name: getattr(catalog, name) for name in (*catalog.field_names, "xyz")}
    arrays["mag"] = catalog.extra["mag"]
    before = {name: array.copy() for name, array in arrays.items()}
    for name, array in arrays.items():
        for attempt in (
            lambda a=array: a.__setitem__(0, 5),
            lambda a=array: a.setflags(write=True),
            lambda a=array: setattr(a.flags, "writeable", True),
            lambda a=array: a.view().setflags(write=True),
            lambda a=array: a.sort(axis=0),
            lambda a=array: a.__iadd__(1),
        ):
            with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
                attempt()
        if array.base is not None and isinstance(array.base, np.ndarray):
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.base.setflags(write=True)
        np.testing.assert_array_equal(array, before[name])
    for name in (*catalog.field_names, "name", "columns", "extra", "n_dropped", "new", "_xyz"):
        with pytest.raises(AttributeError, match=rf"{name} of a catalog.*replace\(w=...\)"):
            setattr(catalog, name, -1)
    for name in ("w", "ra", "name", "extra"):
        with pytest.raises(AttributeError, match=r"cannot be deleted.*replace\(w=...\)"):
            delattr(catalog, name)
    for mapping in (catalog.extra, catalog.columns):
        with pytest.raises(TypeError, match=r"read-only.*replace\(w=...\)"):
            mapping["mag"] = np.ones(len(catalog))
        with pytest.raises(TypeError, match="read-only"):
            del mapping["mag"]
    for name, array in before.items():
        now = catalog.extra["mag"] if name == "mag" else getattr(catalog, name)
        np.testing.assert_array_equal(now, array)


def test_arrays_given_do_not_reach_in():
    ra, dec, mag = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])
    extra = {"mag": mag}
    catalog = Catalog(ra=ra, dec=dec, extra=extra)
    ra[:] = dec[:] = mag[:] = 0
    extra["more"] = mag
    np.testing.assert_array_equal(catalog.ra, [1, 2])
    np.testing.assert_array_equal(catalog.extra["mag"], [5, 6])
    assert list(catalog.extra) == ["mag"]


def test_what_is_read_is_as_fixed(tmp_path):
    catalog = read(tmp_path)
    assert catalog.columns["ra"] == "ra"
    with pytest.raises(TypeError, match="read-only"):
        catalog.columns["ra"] = "dec"
    with pytest.raises(AttributeError, match="replace"):
        catalog.source = "elsewhere"
    again = pickle.loads(pickle.dumps(catalog))
    assert again.columns == catalog.columns
    assert (again.source, again.name, again.n_dropped) == (catalog.source, catalog.name, 0)
    assert again.summary() == catalog.summary()


def test_columns_and_fields_are_the_same_arrays_after_a_pickle():
    again = pickle.loads(pickle.dumps(stars()))
    assert all(getattr(again, name) is again._columns[name] for name in again.field_names)


def _in_another_process(catalog):
    try:
        catalog.w[0] = 3
    except ValueError:
        return float(catalog.xyz.sum()), catalog[1:].summary()
    return None


def test_across_processes():
    catalog = stars()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        got = pool.apply(_in_another_process, (catalog,))
    assert got == (float(catalog.xyz.sum()), catalog[1:].summary())


def test_subclasses_go_along():
    class Mine(Catalog):
        """A catalog with something of its own."""

        @property
        def double(self):
            return 2 * self.ra

    mine = Mine(ra=[1.0, 2.0], dec=[3.0, 4.0])
    assert type(mine.replace(w=[1, 2])) is Mine
    assert type(mine[:1]) is Mine
    assert copy.deepcopy(mine) is mine
    with pytest.raises(AttributeError, match="replace"):
        mine.w = 3


# ---------------------------------------------------------------------- replace
def test_replace_takes_over_the_rest(tmp_path):
    catalog = read(tmp_path)
    other = catalog.replace(w=np.arange(1.0, 13), name="weighted")
    np.testing.assert_array_equal(other.w, np.arange(1.0, 13))
    for name in ("ra", "dec", "g1", "g2"):
        np.testing.assert_array_equal(getattr(other, name), getattr(catalog, name))
    np.testing.assert_array_equal(other.extra["mag"], catalog.extra["mag"])
    assert (other.name, catalog.name, other.source) == ("weighted", "a.fits", catalog.source)
    assert other.columns == {k: v for k, v in catalog.columns.items() if k != "w"}
    assert catalog.replace().columns == catalog.columns
    np.testing.assert_array_equal(catalog.w, galaxies().w)


def test_replaced_positions_move_the_vectors():
    catalog = galaxies()
    catalog.xyz  # noqa: B018
    moved = catalog.replace(ra=catalog.ra + 1)
    np.testing.assert_array_equal(moved.xyz, Catalog(ra=catalog.ra + 1, dec=catalog.dec).xyz)
    turned = catalog.replace(ra=np.deg2rad(catalog.ra), ra_unit="rad")
    np.testing.assert_allclose(turned.ra, catalog.ra, rtol=1e-14)


def test_replace_with_none():
    catalog = galaxies()
    assert catalog.replace(w=None).unweighted
    bare = catalog.replace(g1=None, g2=None)
    assert bare.g1 is None
    assert bare.field_names == ("ra", "dec", "w")
    assert catalog.replace(extra=None).extra == {}
    assert not catalog.replace(g1=-catalog.g1).unweighted


def test_replace_of_stars():
    catalog = stars()
    bigger = catalog.replace(sigma=np.full(12, 3.0), g1_model=np.zeros(12))
    assert isinstance(bigger, StarCatalog)
    np.testing.assert_array_equal(bigger.T, 18)
    np.testing.assert_array_equal(bigger.T_model, catalog.T_model)
    np.testing.assert_array_equal(bigger.de.real, catalog.g1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w": -np.ones(12) * 0}, "w is zero in every row"),
        ({"w": np.ones(3)}, "columns differ in length"),
        ({"w": [np.nan] * 12}, "NaN, infinite or masked values in w"),
        ({"dec": np.full(12, 91.0)}, "dec is beyond 90 degrees"),
        ({"g1": None}, "g2 is given without g1"),
        ({"ra": None}, "ra is needed"),
        ({"extra": {"z": [1.0]}}, "differ in length"),
        ({"ra_unit": "rad"}, "ra_unit = 'rad' is for new values of ra"),
    ],
)
def test_replace_checks(changes, message):
    with pytest.raises(ValueError, match=message):
        galaxies().replace(**changes)


def test_replace_knows_its_fields():
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight'"):
        galaxies().replace(weight=np.ones(12))
    with pytest.raises(TypeError, match="w must be real numbers; it holds text"):
        galaxies().replace(w=["a"] * 12)
    with pytest.raises(ValueError, match="T_model must be above 0"):
        stars().replace(T_model=np.zeros(12))


# ---------------------------------------------------------------------- results
def correlation(name="xip"):
    zeros = dict.fromkeys(("theta", "logtheta", "imag", "npairs", "weight", "varshot"), np.ones(2))
    draws = np.arange(6.0).reshape(3, 2) + 0j
    return Correlation(name=name, bins=Binning.linear(0, 2, 2), value=[1.0, 2.0], **zeros,
                       epistemic=draws, aleatoric=draws, aleatoric_method="bootstrap")  # fmt: skip


def clustering():
    fit = SoftClustering(n_clusters=3, seed=1).fit(galaxies())
    fit.ra, fit.dec  # noqa: B018 - computed once
    return fit


FIXED = {
    "Binning": (lambda: Binning.linear(0, 2, 2), ("edges",)),
    "Correlation": (
        correlation,
        ("theta", "value", "imag", "npairs", "weight", "varshot", "epistemic", "aleatoric"),
    ),
    "Clustering": (
        clustering,
        ("centers", "memberships", "objective", "change", "ra", "dec"),
    ),
}


@pytest.mark.parametrize("way", ["itself", "copy", "deepcopy", "pickle", "old pickle"])
@pytest.mark.parametrize("kind", FIXED)
def test_results_cannot_be_written_to(kind, way):
    make, names = FIXED[kind]
    thing = WAYS[way](make())
    for name in names:
        array = getattr(thing, name)
        for attempt in (
            lambda a=array: a.__setitem__(0, 7),
            lambda a=array: a.setflags(write=True),
        ):
            with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
                attempt()
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, array)


@pytest.mark.parametrize("way", ["copy", "deepcopy", "pickle"])
def test_sets_of_results(way):
    both = CorrelationSet([correlation("xip"), correlation("xim")], name="xi")
    again = WAYS[way](both)
    assert again == both
    with pytest.raises(ValueError, match="read-only"):
        again.xip.value[0] = 3
    assert again.xip.bins == both.bins


def test_replace_leaves_out_bad_rows_when_told():
    catalog = Catalog(ra=[1.0, 2.0, 3.0], dec=[0.0, 0.0, 0.0], extra={"id": [7, 8, 9]})
    with pytest.raises(ValueError, match="on_bad='drop'"):
        catalog.replace(w=[1.0, np.nan, 2.0])
    with pytest.warns(UserWarning, match="dropped 1 of 3 rows"):
        fewer = catalog.replace(w=[1.0, np.nan, 2.0], on_bad="drop")
    assert fewer.ra.tolist() == [1.0, 3.0]
    assert fewer.extra["id"].tolist() == [7, 9]
    assert fewer.n_dropped == 1
    with pytest.warns(UserWarning, match="dropped 1 of 2 rows"):
        assert fewer.replace(w=[np.inf, 1.0], on_bad="drop").n_dropped == 2
