"""Names of columns: surveys that are recognized, and pairs whose halves are never mixed."""

import warnings

import numpy as np
import pytest

from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.columns import POSITION_PAIRS, SHAPE_PAIRS
from pysoftcorr.sky.schemes import STAR_SCHEMES
from pysoftcorr.sky.stars import StarCatalog

RA, DEC = np.array([10.0, 11.0, 12.0]), np.array([-5.0, -6.0, -7.0])
SHAPE = {"g1": 0.10, "g2": -0.20, "g1_model": 0.08, "g2_model": -0.21, "T": 8.0, "T_model": 7.0}


def table(*columns, n=3):
    """A table whose k-th column holds k + 1, beside positions where none are named."""
    data = {} if {"ra", "RA"} & set(columns) else {"ra": RA, "dec": DEC}
    return data | {name: np.full(n, 0.01 * (k + 1)) for k, name in enumerate(columns)}


def moments(e1, e2, size):
    """Second moments of shear e1, e2 and T = size: xx, yy, xy."""
    g2 = e1**2 + e2**2
    chi1, chi2 = 2 * e1 / (1 + g2), 2 * e2 / (1 + g2)
    return size * (1 + chi1) / 2, size * (1 - chi1) / 2, size * chi2 / 2


# ---------------------------------------------------------------------- positions
@pytest.mark.parametrize("case", [str.lower, str.upper, str.title, str])
@pytest.mark.parametrize("pair", POSITION_PAIRS)
def test_positions_by_every_convention(pair, case):
    ra, dec = map(case, pair)
    catalog = Catalog.read({"id": RA, dec: DEC, ra: RA})
    assert catalog.columns == {"ra": ra, "dec": dec}
    np.testing.assert_array_equal(catalog.dec, DEC)


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("RA", "DEJ2000"),
        ("ALPHA_J2000", "DELTAWIN_J2000"),
        ("ALPHA_J2000", "DEC"),
        ("_RAJ2000", "DEJ2000"),
        ("RAJ2000", "_DEJ2000"),
        ("i_ra", "r_dec"),
        ("coord_ra", "dec"),
        ("RA_ICRS", "DEJ2000"),
        ("ra_deg", "dec"),
    ],
)
def test_positions_of_two_conventions_are_not_paired(ra, dec):
    data = {ra: RA, dec: DEC}
    with pytest.raises(ValueError, match="names of different conventions; if they belong") as e:
        Catalog.read(data)
    assert f"pass columns={{'ra': '{ra}', 'dec': '{dec}'}}" in str(e.value)
    assert Catalog.read(data, columns={"ra": ra, "dec": dec}).columns == {"ra": ra, "dec": dec}


def test_the_complete_pair_is_taken_before_a_half():
    data = {"RA": RA, "RAJ2000": RA + 1, "DEJ2000": DEC}
    assert Catalog.read(data).columns == {"ra": "RAJ2000", "dec": "DEJ2000"}


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ({"ra": "ALPHAWIN_J2000"}, "DELTAWIN_J2000"),
        ({"ra": "ALPHAWIN_J2000 + 0.1"}, "DELTAWIN_J2000"),
        ({"dec": "-DELTAWIN_J2000"}, "ALPHAWIN_J2000"),
        ({"dec": "Dec_corr"}, "RA_corr"),
        ({"ra": "RA_corr"}, "Dec_corr"),
        ({"ra": "lon"}, "lat"),
    ],
)
def test_the_other_half_comes_from_the_same_convention(given, other):
    data = {name: RA for name in ("RA", "ALPHAWIN_J2000", "RA_corr", "lon")}
    data |= {name: DEC for name in ("DEC", "DELTAWIN_J2000", "Dec_corr", "lat")}
    catalog = Catalog.read(data, columns=given)
    (one,) = given
    assert catalog.columns == {one: given[one], "ra" if one == "dec" else "dec": other}


@pytest.mark.parametrize(
    "given",
    [
        {"ra": "my_place"},
        {"ra": "my_place/2"},
        {"dec": "height"},
        {"ra": "(RA + ALPHA_J2000)/2"},
        {"ra": "0*DEC + 5"},
        {"ra": "5"},
        {"ra": "RA + my_place"},
    ],
)
def test_half_a_position_of_no_convention_is_refused(given):
    data = {name: RA for name in ("RA", "ALPHA_J2000", "my_place")}
    data |= {name: DEC for name in ("DEC", "DELTA_J2000", "height")}
    (one,) = given
    lacking = "ra" if one == "dec" else "dec"
    with pytest.raises(ValueError, match=f"and {lacking} is not named: both halves come from"):
        Catalog.read(data, columns=given)
    Catalog.read(data, columns=given | {lacking: "RA" if lacking == "ra" else "DEC"})


# ---------------------------------------------------------------------- shapes
@pytest.mark.parametrize("taken", SHAPE_PAIRS)
@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("form", ["{}", "-{}", "{} - 0.01", "2*{}"])
def test_half_a_shape_brings_its_own_other_half(taken, half, form):
    names = [name for pair in SHAPE_PAIRS for name in pair]
    data = table(*names)
    given = {("g1", "g2")[half]: form.format(taken[half])}
    catalog = Catalog.read(data, columns=given)
    other = ("g2", "g1")[half]
    assert catalog.columns[other] == taken[1 - half]
    np.testing.assert_array_equal(getattr(catalog, other), data[taken[1 - half]])


def test_both_halves_in_one_expression():
    data = table("g1", "g2", "e1", "e2")
    catalog = Catalog.read(data, columns={"g1": "g1 - 0.5*g2"})
    assert catalog.columns["g2"] == "g2"


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("g1", "g2", "e1"), {"g1": "e1"}),
        (("g1", "g2", "shape"), {"g1": "shape"}),
        (("g1", "g2", "shape"), {"g2": "-shape"}),
        (("g1", "g2", "e1", "e2"), {"g1": "(g1 + e1)/2"}),
        (("g1", "g2", "e1", "e2"), {"g1": "e2"}),
        (("g1", "g2"), {"g1": "0.1"}),
        (("g1", "g2", "g1_psf", "g2_psf"), {"g1": "g1 - g1_psf"}),
        (("g1", "g2", "bias"), {"g2": "g2*(1 + bias)"}),
        (("g2", "e1"), {"g1": "e1"}),
        (("g1_a", "g2_b", "g2"), {"g1": "g1_a"}),
    ],
)
def test_half_a_shape_of_no_convention_is_refused(names, given):
    (one,) = given
    lacking = "g2" if one == "g1" else "g1"
    with pytest.raises(ValueError, match=f"{one} is .*, and {lacking} is not named: both halves"):
        Catalog.read(table(*names), columns=given)
    Catalog.read(table(*names), columns=given | {lacking: "g2"})
    assert Catalog.read(table(*names), columns={one: None}).g1 is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("shear_1", "shear_2"), ("ngmix_g1", "ngmix_g2"), ("e1_PSF_HSM", "e2_PSF_HSM"), ("a1", "a2")],
)
def test_names_that_differ_by_one_and_two_are_halves(one, other):
    data = table("g1", "g2", one, other)
    assert Catalog.read(data, columns={"g1": one}).columns["g2"] == other
    assert Catalog.read(data, columns={"g2": other}).columns["g1"] == one


def test_several_shapes_are_pointed_out():
    data = table("e1", "e2", "g1", "g2")
    hint = r"several ellipticities, g1, g2 and e1, e2; g1, g2 are taken.*\{'g1': 'e1', 'g2': 'e2'\}"
    with pytest.warns(UserWarning, match=hint):
        assert Catalog.read(data).columns["g1"] == "g1"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Catalog.read(data, columns={"g1": "e1", "g2": "e2"}).columns["g2"] == "e2"
        assert Catalog.read(data, columns={"g1": None}).g1 is None


# ---------------------------------------------------------------------- stars
def star_table(scheme):
    """A table in which the fields of a scheme have the values of SHAPE."""
    data = {"ra": RA, "dec": DEC}
    made = {}
    if len(scheme.raw) > 6 or "+" in scheme.columns.get("T", ""):
        stars, models = scheme.raw_of(["T"]), scheme.raw_of(["T_model"])
        cross = [n for n in scheme.raw if n not in (*stars, *models)]
        star = moments(SHAPE["g1"], SHAPE["g2"], SHAPE["T"])
        model = moments(SHAPE["g1_model"], SHAPE["g2_model"], SHAPE["T_model"])
        made = dict(zip((*stars, cross[0], *models, cross[1]), (*star, *model), strict=True))
    else:
        for field, name in scheme.columns.items():
            size = field.replace("sigma", "T")
            value = SHAPE[size]
            made[name] = np.sqrt(value / 2) if field.startswith("sigma") else value
    return data | {name: np.full(3, value) for name, value in made.items()}


@pytest.mark.parametrize("scheme", STAR_SCHEMES, ids=lambda s: f"{s.name} {s.family}")
@pytest.mark.parametrize("case", [str, str.upper])
def test_every_scheme(scheme, case):
    data = star_table(scheme)
    data |= {case(k): v for k, v in data.items()}
    if case is str.upper:
        data = {k: v for k, v in data.items() if k == k.upper()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stars = StarCatalog.read(data)
    assert stars.scheme == scheme.name
    for field, value in SHAPE.items():
        np.testing.assert_allclose(getattr(stars, field), value, rtol=1e-12)
    assert [scheme.note] * bool(scheme.note) == [str(w.message) for w in caught]


@pytest.mark.parametrize(
    ("names", "scheme"),
    [
        # ShapePipe 2, as the merged catalogs of its stars have them.
        (
            ("RA", "DEC", "HSM_G1_PSF", "HSM_G2_PSF", "HSM_T_PSF", "HSM_G1_STAR", "HSM_G2_STAR",
             "HSM_T_STAR", "HSM_FLAG_PSF", "HSM_FLAG_STAR", "MAG", "SNR"),
            "shapepipe-2",
        ),
        # The group "stars" of TXPipe.
        (
            ("ra", "dec", "measured_e1", "measured_e2", "measured_T", "model_e1", "model_e2",
             "model_T", "calib_psf_used", "extendedness", "mag_i"),
            "txpipe",
        ),
        (
            ("ra", "dec", "obs_e1", "obs_e2", "obs_T", "psfex_e1", "psfex_e2", "psfex_T",
             "obs_flag", "psfex_flag", "ccdnum"),
            "des-psfex",
        ),
        (
            ("ra", "dec", "e1", "e2", "size", "psfex_e1", "psfex_e2", "psfex_size", "flag"),
            "des-y1-psfex",
        ),
        (
            ("i_ra", "i_dec", "i_sdssshape_shape11", "i_sdssshape_shape22", "i_sdssshape_shape12",
             "i_sdssshape_psf_shape11", "i_sdssshape_psf_shape22", "i_sdssshape_psf_shape12"),
            "hsc-sdss",
        ),
        (
            ("coord_ra", "coord_dec", "i_ixx", "i_iyy", "i_ixy", "i_ixxPSF", "i_iyyPSF",
             "i_ixyPSF", "i_ra", "i_dec"),
            "lsst",
        ),
    ],
)  # fmt: skip
def test_tables_as_surveys_publish_them(names, scheme):
    data = {name: np.full(3, 0.5) for name in names}
    for name in names:
        if name.lower().endswith(("ra", "dec")):
            data[name] = RA if name.lower().endswith("ra") else DEC
        elif name.lower().endswith(("12", "xy", "ixypsf")):
            data[name] = np.full(3, 0.01)
        elif "flag" in name.lower():
            data[name] = np.zeros(3, dtype=int)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*second moments")
        stars = StarCatalog.read(data)
    assert stars.scheme == scheme
    assert len(stars) == 3


def test_shears_of_moments():
    """Against the definition: the shear whose distortion the moments are."""
    rng = np.random.default_rng(4)
    e = rng.uniform(-0.6, 0.6, (2, 3))
    xx, yy, xy = moments(e[0], e[1], 3.0)
    names = ("ixx", "iyy", "ixy")
    data = {"ra": RA, "dec": DEC} | dict(zip(names, (xx, yy, xy), strict=True))
    data |= {f"{name}PSF": v for name, v in zip(names, (xx, yy, xy), strict=True)}
    with pytest.warns(UserWarning, match="lsst: the shapes are shears made of second moments"):
        stars = StarCatalog.read(data)
    np.testing.assert_allclose([stars.g1, stars.g2], e, atol=1e-14)
    np.testing.assert_allclose(stars.T, 3)


@pytest.mark.parametrize(
    ("given", "scheme"),
    [
        ({"g1_model": "psfex_e1"}, "des-psfex"),
        ({"g2_model": "piff_e2"}, "des-piff"),
        ({"T_model": "psfex_T"}, "des-psfex"),
        ({"sigma_model": "sqrt(psfex_T/2)"}, "des-psfex"),
        ({"g1_model": "psfex_e1", "T_model": "psfex_T"}, "des-psfex"),
    ],
)
def test_a_half_chooses_among_schemes(given, scheme):
    names = ("obs_e1", "obs_e2", "obs_T", "piff_e1", "piff_e2", "piff_T")
    data = table(*names, "psfex_e1", "psfex_e2", "psfex_T")
    with pytest.warns(UserWarning, match="des-piff, which is taken, and of des-psfex.*psfex_e1"):
        StarCatalog.read(data)
    stars = StarCatalog.read(data, columns=given)
    assert stars.scheme == scheme
    model = scheme.removeprefix("des-")
    np.testing.assert_array_equal(stars.g1_model, data[f"{model}_e1"])
    np.testing.assert_array_equal(stars.g2_model, data[f"{model}_e2"])
    np.testing.assert_allclose(stars.T_model, data[f"{model}_T"])


@pytest.mark.parametrize(
    ("given", "lacking"),
    [
        ({"g1": "size"}, "g2"),
        ({"g1_model": "size"}, "g2_model"),
        ({"T": "size"}, "T_model"),
        ({"sigma": "size"}, "T_model"),
        ({"T_model": "2*SIGMA_PSF_HSM**2"}, "T"),
        ({"T": "T_model"}, "T_model"),
        ({"g1": "g1_data - g1_model"}, "g2"),
        ({"g1": "g1_data*size"}, "g2"),
        ({"T": "T_data*size"}, "T_model"),
        ({"g1": "g1_data", "T": "2*SIGMA_STAR_HSM**2"}, "T_model"),
    ],
)
def test_halves_of_stars_of_two_conventions_are_refused(given, lacking):
    data = star_table(next(s for s in STAR_SCHEMES if s.name == "piff-hsm"))
    extra = ("size", "SIGMA_STAR_HSM", "SIGMA_PSF_HSM")
    data |= {name: np.full(3, 2.0) for name in extra}
    with pytest.raises(ValueError, match=f"and {lacking} is not named: both halves"):
        StarCatalog.read(data, columns=given)


def test_shapes_of_a_scheme_that_has_no_more_are_halves_by_their_names():
    """e1 and e2 are names of des-y1-psfex too, which this table does not follow."""
    names = ("g1", "g2", "T", "g1_model", "g2_model", "T_model", "e1", "e2", "psf_g1", "psf_g2")
    data = table(*names)
    data["T_model"] = data["T"]
    stars = StarCatalog.read(data, columns={"g1": "e1", "g2_model": "psf_g2"})
    asked = {k: stars.columns[k] for k in ("g1", "g2", "g1_model", "g2_model", "T")}
    shapes = {"g1": "e1", "g2": "e2", "g1_model": "psf_g1", "g2_model": "psf_g2", "T": "T"}
    assert asked == shapes


def test_sizes_named_both_may_come_from_anywhere():
    data = star_table(next(s for s in STAR_SCHEMES if s.name == "piff-hsm"))
    data |= {name: np.full(3, 2.0) for name in ("SIGMA_STAR_HSM", "SIGMA_PSF_HSM")}
    stars = StarCatalog.read(data, columns={"T": "T_data", "sigma_model": "SIGMA_PSF_HSM"})
    np.testing.assert_array_equal(stars.T_model, 8)
    assert stars.scheme == "piff-hsm"


# ---------------------------------------------------------------------- flags of schemes
FLAGS = {
    "integers": (np.array([0, 1, 0]), np.array([0, 0, 4])),
    "floats": (np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 4.0])),
    "fractions": (np.array([0.0, 0.5, 0.0]), np.array([0.0, 0.0, 4.0])),
    "truth values": (np.array([False, True, False]), np.array([False, False, True])),
    "bytes": (np.array([0, 1, 0], dtype="u1"), np.array([0, 0, 4], dtype=">i2")),
    "masked": (np.ma.array([0, 0, 0], mask=[0, 1, 0]), np.array([0, 0, 4])),
    "NaN": (np.array([0.0, np.nan, 0.0]), np.array([0.0, 0.0, 4.0])),
    "mixed": (np.array([0.0, 1.0, 0.0]), np.array([0, 0, 4])),
    "infinite": (np.array([0.0, np.inf, 0.0]), np.array([0, 0, 4])),
}


@pytest.mark.parametrize("scheme", [s for s in STAR_SCHEMES if s.flags], ids=lambda s: s.name)
@pytest.mark.parametrize("kind", FLAGS)
def test_the_advice_on_flags_works(scheme, kind):
    data = star_table(scheme) | dict(zip(scheme.flags, FLAGS[kind], strict=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(StarCatalog.read(data)) == 3
    (text,) = (str(w.message) for w in caught)
    assert "are flagged by" in text
    flag = text.split("pass flag='")[1].split("' to leave them out")[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*flagged by")
        warnings.filterwarnings("ignore", message=".*is unknown in 1 of 3 rows")
        bad = sum(np.ma.asarray(FLAGS[kind][k]).filled(1) != 0 for k in range(len(scheme.flags)))
        assert len(StarCatalog.read(data, flag=flag)) == np.count_nonzero(bad == 0)
        assert len(StarCatalog.read(data, flag="0")) == 3


def test_flags_beside_a_selection():
    data = star_table(STAR_SCHEMES[1]) | {"flag_data": np.array([0, 1, 0]), "mag": RA}
    with pytest.warns(UserWarning, match=r"1 of 2 rows .* flagged by flag_data; pass flag='flag_d"):
        StarCatalog.read(data, select="mag < 11.5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StarCatalog.read(data, select="mag > 11.5")
        StarCatalog.read(data, select="flag_data == 0")


def test_where_all_are_flagged_the_advice_does_not_empty_the_catalog():
    data = star_table(STAR_SCHEMES[1]) | {"flag_data": np.array([1, 1, 2])}
    with pytest.warns(UserWarning, match="3 of 3 rows .*; pass flag='0' if that is no reason"):
        StarCatalog.read(data)


# ---------------------------------------------------------------------- names nearly known
@pytest.mark.parametrize(
    "names",
    [
        ("RAdeg", "DEdeg"),
        ("RA", "DE"),
        ("coord.ra", "coord.dec"),
        ("sky_centroid.ra", "sky_centroid.dec"),
        ("TARGET_RA", "TARGET_DEC"),
        ("alpha", "delta"),
        ("RA2000", "DEC2000"),
    ],
)
def test_positions_of_further_archives(names):
    catalog = Catalog.read(dict(zip(names, ([10.0, 11.0], [-5.0, 5.0]), strict=True)))
    assert catalog.ra.tolist() == [10.0, 11.0]
    assert catalog.dec.tolist() == [-5.0, 5.0]


@pytest.mark.parametrize(
    ("ra", "dec"), [("RA_GAL", "DEC_GAL"), ("ra [deg]", "dec [deg]"), ("sourceRa", "sourceDec"),
                    ("RA_CIRCLE", "DE_CIRCLE"), ("glon", "glat")]
)  # fmt: skip
def test_names_that_look_like_positions_are_offered_and_the_offer_works(ra, dec):
    table = {ra: [10.0, 11.0], dec: [-5.0, 5.0], "parallax": [1.0, 2.0]}
    with pytest.raises(ValueError, match="known to hold ra") as error:
        Catalog.read(table)
    columns = {"ra": ra, "dec": dec}
    assert f"pass columns={columns}" in str(error.value)
    assert Catalog.read(table, columns=columns).dec.tolist() == [-5.0, 5.0]


def test_several_that_look_like_positions_are_listed():
    table = {f"{axis}_{kind}": [1.0, 2.0] for axis in ("ra", "dec") for kind in ("true", "obs")}
    with pytest.raises(ValueError, match="several could: 'ra_true', 'dec_true' or 'ra_obs'"):
        Catalog.read(table)


@pytest.mark.parametrize("name", ["lensfit_weight", "recal_weight", "SHEAR_WEIGHT", "lens_wt"])
def test_a_weight_of_unknown_name_is_told(name):
    table = {"ra": [10.0, 11.0], "dec": [-5.0, 5.0], name: [1.0, 3.0]}
    with pytest.warns(UserWarning, match=f"{name} may hold weights"):
        assert Catalog.read(table).w.tolist() == [1.0, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Catalog.read(table, columns={"w": name}).w.tolist() == [1.0, 3.0]
        assert Catalog.read(table, columns={"w": "1"}).w.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["FLAGS_WEIGHT", "NLOWWEIGHT_ISO", "height", "WEIGHT_SYS"])
def test_what_is_no_weight_is_not(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Catalog.read({"ra": [10.0, 11.0], "dec": [-5.0, 5.0], name: [1.0, 3.0]})


def test_two_weights_are_told():
    table = {"ra": [10.0, 11.0], "dec": [-5.0, 5.0], "w": [1.0, 3.0], "weight": [2.0, 2.0]}
    with pytest.warns(UserWarning, match="w is taken.*'weight'"):
        Catalog.read(table)


def test_bands_are_told_apart():
    table = {"coord_ra": [10.0, 11.0], "coord_dec": [45.0, 50.0]}
    for band in "ri":
        for moment, value in (("ixx", 1.0), ("iyy", 1.1), ("ixy", 0.1)):
            table |= {f"{band}_{moment}{end}": [value, value] for end in ("", "PSF")}
    with pytest.warns(UserWarning, match="naming of lsst i_, which is taken, and of lsst r_;"):
        StarCatalog.read(table)
