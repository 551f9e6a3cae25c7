"""Results in the files of other programs: SACC, and TreeCorr's columns."""

import dataclasses
import json
import os
import sys
import types

import h5py
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from pysoftcorr.core.extras import MissingExtra
from pysoftcorr.sky import formats
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.result import Correlation, CorrelationSet, read_result

BINS = Binning.log(0.5, 60, 5)


def made(name, bins=BINS, draw=0, method="jackknife", epistemic=7, aleatoric=20, empty=(), **more):
    """A made-up statistic; bins in `empty` have no pairs."""
    rng = np.random.default_rng([draw, *name.encode()])
    n = bins.nbins
    hollow = np.isin(np.arange(n), empty)

    def numbers(*shape):
        values = rng.normal(size=(*shape, n))
        values[..., hollow] = np.nan
        return values

    def resamples(count):
        return numbers(count) + 1j * numbers(count) if count else None

    fields = {
        "theta": np.where(hollow, np.nan, bins.centers * 1.01),
        "logtheta": np.where(hollow, np.nan, np.log(bins.centers)),
        "value": numbers(), "imag": numbers(), "varshot": numbers() ** 2,
        "npairs": np.where(hollow, 0, rng.integers(1, 1000, n)),
        "epistemic": resamples(epistemic), "aleatoric": resamples(aleatoric),
        "aleatoric_method": method if aleatoric else None,
        "settings": {"clusters": 9, "catalogs": [{"name": "α", "rows": 40}]}, "seed": 3,
    }  # fmt: skip
    fields["weight"] = 1.5 * fields["npairs"]
    return Correlation(name=name, bins=bins, **(fields | more))


def several(*names, **more):
    return CorrelationSet([made(name, **more) for name in names], name="several")


RHO = tuple(f"rho{k}" for k in range(6))
TAU = ("tau0", "tau2", "tau5")
SETS = [
    ("xip", "xim"), ("xim", "xip"), ("w",), ("gamma_t",), RHO, (*RHO, *TAU),
    ("xip", "w", "gamma_t"),
]  # fmt: skip
TYPES = {
    "xip": "galaxy_shear_xi_plus", "xim": "galaxy_shear_xi_minus", "w": "galaxy_density_xi",
    "gamma_t": "galaxy_shearDensity_xi_t", "rho3": "psf_rho3_xi_plus",
    "tau5": "galaxyPsf_tau5_xi_plus",
}  # fmt: skip


# ---------------------------------------------------------------------- SACC
@pytest.mark.parametrize("names", SETS)
@pytest.mark.parametrize("unit", ["arcmin", "deg", "arcsec", "rad"])
def test_sacc_reads_the_data_vector_and_its_covariance(tmp_path, names, unit):
    sacc = pytest.importorskip("sacc")
    scale = {"arcmin": 1, "deg": 60, "arcsec": 1 / 60, "rad": 180 * 60 / np.pi}[unit]
    bins = Binning.log(0.5 / scale, 60 / scale, 5, unit)
    result = several(*names, bins=bins)
    result.write(tmp_path / "x.sacc")
    got = sacc.Sacc.load_fits(str(tmp_path / "x.sacc"))
    np.testing.assert_array_equal(got.mean, np.concatenate([c.value for c in result.values()]))
    np.testing.assert_array_equal(got.covariance.dense, result.covariance())
    for k, name in enumerate(result):
        points = got.data[5 * k : 5 * k + 5]
        if name in TYPES:
            assert {p.data_type for p in points} == {TYPES[name]}
        np.testing.assert_allclose([p["theta"] for p in points], result[name].theta * scale)
        np.testing.assert_allclose([p["theta_min"] for p in points], bins.edges[:-1] * scale)
        np.testing.assert_allclose([p["theta_max"] for p in points], bins.edges[1:] * scale)
        np.testing.assert_array_equal([p["npairs"] for p in points], result[name].npairs)
        # The block that SACC itself picks is ours.
        data_type, tracers = points[0].data_type, points[0].tracers
        _, xi, cov = got.get_theta_xi(data_type, *tracers, return_cov=True)
        np.testing.assert_array_equal(xi, result[name].value)
        np.testing.assert_allclose(cov, result[name].cov, rtol=1e-12)
    assert json.loads(got.metadata["pysoftcorr_settings"]) == result.settings
    assert got.metadata["pysoftcorr_seed"] == 3
    assert got.metadata["pysoftcorr_version"] == result.version
    assert got.metadata["pysoftcorr_covariance"] == "epistemic + aleatoric"
    assert str(bins) == got.metadata["pysoftcorr_bins"]


def test_standard_types_are_those_of_sacc():
    sacc = pytest.importorskip("sacc")
    for name in ("xip", "xim", "w", "gamma_t"):
        assert TYPES[name] in list(sacc.standard_types)
    for name in ("rho3", "tau5"):
        assert sacc.parse_data_type_name(TYPES[name]).statistic == "xi"


@pytest.mark.parametrize("path", ["x.sacc", "x.sacc.fits", "X.SACC"])
@pytest.mark.parametrize("names", [*SETS, "xip"])
def test_sacc_files_are_read_bit_for_bit(tmp_path, path, names):
    pytest.importorskip("sacc")
    more = {"empty": (1,), "all_pairs": np.array([1, np.nan, 2, 3, -0.0]) + 1j}
    result = made(names, **more) if isinstance(names, str) else several(*names, **more)
    result.write(tmp_path / path)
    assert read_result(tmp_path / path) == result
    with pytest.raises(FileExistsError):
        result.write(tmp_path / path)
    result.write(tmp_path / path, overwrite=True)
    assert type(result).read(tmp_path / path) == result
    assert os.listdir(tmp_path) == [path]


def test_a_fits_file_of_sacc_when_asked_for(tmp_path):
    sacc = pytest.importorskip("sacc")
    result = several("xip", "xim")
    result.write(tmp_path / "x.fits", format="sacc")
    assert len(sacc.Sacc.load_fits(str(tmp_path / "x.fits")).mean) == 10
    assert read_result(tmp_path / "x.fits") == result
    with pytest.raises(ValueError, match=r"unknown suffix; use \.sacc, \.sacc\.fits or \.fits"):
        result.write(tmp_path / "x.h5", format="sacc")
    with pytest.raises(ValueError, match="format = 'csv': must be 'sacc' or 'treecorr'"):
        result.write(tmp_path / "x.fits", format="csv")


def test_bins_without_a_value_are_no_data_points():
    pytest.importorskip("sacc")
    result = several("xip", "xim", empty=(0, 3))
    got = result.to_sacc()
    keep = np.isfinite(np.concatenate([result.xip.value, result.xim.value]))
    assert keep.sum() == 6
    np.testing.assert_array_equal(got.covariance.dense, result.covariance()[np.ix_(keep, keep)])
    with pytest.raises(ValueError, match="no bin has a value"):
        several("w", empty=range(5)).to_sacc()


def test_which_covariance_sacc_gets():
    pytest.importorskip("sacc")
    result = several("xip", "xim")
    for kind in ("aleatoric", "epistemic", "total"):
        got = result.to_sacc(covariance=kind)
        np.testing.assert_array_equal(got.covariance.dense, result.covariance(kind))
    alone = made("w", epistemic=0, aleatoric=0)
    got = alone.to_sacc()
    np.testing.assert_array_equal(got.covariance.dense, np.diag(alone.varshot))
    assert got.metadata["pysoftcorr_covariance"] == "shot noise"
    with pytest.raises(ValueError, match="kind = 'shot': must be"):
        result.to_sacc(covariance="shot")
    with pytest.raises(ValueError, match="w: no epistemic resamples"):
        alone.to_sacc(covariance="epistemic")
    one = made("w", bins=Binning.linear(0, 1, 1))
    assert one.to_sacc().covariance.dense == one.cov
    draws = made("w").aleatoric.copy()
    draws[1:, 0] = np.nan
    sparse = dataclasses.replace(made("w"), aleatoric=draws)
    with pytest.warns(UserWarning, match="covariance of the SACC data is NaN"):
        sparse.to_sacc()


def test_tracers_of_one_and_two_catalogs():
    pytest.importorskip("sacc")
    two = {"catalogs": [{"rows": 1}, {"rows": 2}]}
    for name, settings, tracers in (
        ("xip", {}, ("source_0", "source_0")), ("xip", two, ("source_0", "source_1")),
        ("w", two, ("lens_0", "lens_0")), ("gamma_t", two, ("source_0", "lens_0")),
        ("rho2", {}, ("psf_stars", "psf_stars")), ("tau2", two, ("source_0", "psf_stars")),
    ):  # fmt: skip
        assert made(name, settings=settings).to_sacc().data[0].tracers == tracers


def test_what_sacc_has_no_place_for():
    pytest.importorskip("sacc")
    with pytest.raises(ValueError, match="xi: SACC has no data type for it; there are those of"):
        made("xi").to_sacc()
    with pytest.raises(ValueError, match="SACC takes angles; Mpc/h is none"):
        made("w", bins=Binning.log(0.1, 16, 3, "Mpc/h")).to_sacc()


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
def test_sacc_files_of_others_and_damaged_ones(tmp_path):
    sacc = pytest.importorskip("sacc")
    path = tmp_path / "x.sacc"
    result = several("xip", "xim")
    result.write(path)
    whole = path.read_bytes()
    # Written again by SACC itself, without our resamples.
    sacc.Sacc.load_fits(str(path)).save_fits(str(path), overwrite=True)
    with pytest.raises(ValueError, match=r"x\.sacc holds no result .*Sacc\.load_fits"):
        read_result(path)
    for cut in (100, 2880, 4000, 20_000, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"x\.sacc"):
            read_result(path)


def test_without_sacc_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacc", None)
    with pytest.raises(MissingExtra, match=r"a SACC file needs sacc; .* 'pysoftcorr\[sacc\]'"):
        made("w").write(tmp_path / "x.sacc")
    assert os.listdir(tmp_path) == []


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    sacc = pytest.importorskip("sacc")
    path = tmp_path / "x.sacc"
    made("w").write(path)
    before = path.read_bytes()

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sacc.Sacc, "save_fits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made("w", draw=1).write(path, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


# ---------------------------------------------------------------------- TreeCorr
class _Fits:
    """As much of fitsio as TreeCorr's reader asks for, by astropy, where fitsio is missing."""

    def __init__(self, name, mode="r"):
        self._hdus = fits.open(name, memmap=False)

    def close(self):
        self._hdus.close()

    def __contains__(self, ext):
        return ext in self._hdus if isinstance(ext, str) else 0 <= ext < len(self._hdus)

    def __getitem__(self, ext):
        hdu = self._hdus[ext]
        return types.SimpleNamespace(
            read_header=lambda: dict(hdu.header),
            read=lambda: np.array(hdu.data).astype(hdu.data.dtype.newbyteorder("=")),
        )


@pytest.fixture
def treecorr(monkeypatch):
    module = pytest.importorskip("treecorr")
    try:
        import fitsio  # noqa: F401
    except ImportError:
        stand_in = types.ModuleType("fitsio")
        stand_in.FITS, stand_in.__version__ = _Fits, "1.2"
        monkeypatch.setitem(sys.modules, "fitsio", stand_in)
    return module


FORMS = [("x.fits", "FITS"), ("x.h5", "HDF"), ("x.hdf5", "HDF"), ("x.txt", "ASCII"),
         ("x.dat", "ASCII")]  # fmt: skip


@pytest.mark.parametrize(("path", "kind"), FORMS)
@pytest.mark.parametrize("resamples", [0, 20])
@pytest.mark.parametrize(
    "bins", [BINS, Binning.linear(0, 45, 4, "deg"), Binning.log(3, 90, 6, "arcsec")]
)
def test_treecorr_reads_shears(tmp_path, treecorr, path, kind, resamples, bins):
    result = several("xip", "xim", bins=bins, epistemic=0, aleatoric=resamples, empty=(1,))
    result.write(tmp_path / path, format="treecorr")
    got = treecorr.Corr2.from_file(str(tmp_path / path), file_type=kind)
    again = treecorr.GGCorrelation(
        min_sep=bins.edges[0], max_sep=bins.edges[-1], nbins=bins.nbins, sep_units=bins.unit,
        bin_type=bins.kind.capitalize(),
    )  # fmt: skip
    again.read(str(tmp_path / path), file_type=kind)
    for gg in (got, again):
        assert isinstance(gg, treecorr.GGCorrelation)
        np.testing.assert_allclose(gg.rnom, bins.centers, rtol=1e-12)
        np.testing.assert_array_equal(gg.meanr, result.xip.theta)
        np.testing.assert_array_equal(gg.meanlogr, result.xip.logtheta)
        np.testing.assert_array_equal(gg.npairs, result.xip.npairs)
        np.testing.assert_array_equal(gg.weight, result.xip.weight)
        for name in ("xip", "xim"):
            item = result[name]
            np.testing.assert_array_equal(getattr(gg, name), item.value)
            np.testing.assert_array_equal(getattr(gg, f"{name}_im"), item.imag)
            sigma = item.sigma if resamples else item.sigma_shot
            np.testing.assert_allclose(getattr(gg, f"var{name}"), sigma**2, rtol=1e-12)
        if resamples:
            np.testing.assert_array_equal(gg.cov, result.covariance())
        assert (gg.coords, gg.metric) == ("spherical", "Arc")


@pytest.mark.parametrize(("path", "kind"), FORMS)
@pytest.mark.parametrize("name", ["w", "gamma_t", "rho1", "tau5", "xip", "xim"])
def test_treecorr_reads_a_single_statistic(tmp_path, treecorr, path, kind, name):
    item = made(name)
    item.write(tmp_path / path, format="treecorr")
    got = treecorr.Corr2.from_file(str(tmp_path / path), file_type=kind)
    value, imag, error = {
        "w": ("xi", None, "varxi"), "gamma_t": ("xi", "xi_im", "varxi"),
        "xim": ("xim", "xim_im", "varxim"),
    }.get(name, ("xip", "xip_im", "varxip"))  # fmt: skip
    assert got._letters == {"w": "NN", "gamma_t": "NG"}.get(name, "GG")
    np.testing.assert_array_equal(getattr(got, value), item.value)
    if imag is not None:
        np.testing.assert_array_equal(getattr(got, imag), item.imag)
    np.testing.assert_allclose(getattr(got, error), item.sigma**2, rtol=1e-12)
    np.testing.assert_array_equal(got.weight, item.weight)
    place = slice(5, 10) if name == "xim" else slice(0, 5)
    np.testing.assert_array_equal(got.cov[place, place], item.cov)
    if got._letters == "GG":
        other = got.xip if name == "xim" else got.xim
        assert np.isnan(other).all()


@pytest.mark.parametrize(("path", "kind"), FORMS[:3])
@pytest.mark.parametrize("names", [("xip", "xim"), ("w",), "rho4", "gamma_t"])
def test_treecorr_files_are_read_bit_for_bit(tmp_path, path, kind, names):
    result = made(names) if isinstance(names, str) else several(*names)
    result.write(tmp_path / path, format="treecorr")
    assert read_result(tmp_path / path) == result
    assert os.listdir(tmp_path) == [path]


def test_columns_are_those_that_treecorr_itself_writes(tmp_path, treecorr):
    """Real data: a file of ours beside the one of TreeCorr for the same pairs."""
    rng = np.random.default_rng(4)
    n = 200
    options = {"min_sep": 1, "max_sep": 40, "nbins": 4, "sep_units": "arcmin", "metric": "Arc"}
    catalog = treecorr.Catalog(
        ra=rng.uniform(0, 1, n), dec=rng.uniform(0, 1, n), g1=rng.normal(size=n),
        g2=rng.normal(size=n), ra_units="deg", dec_units="deg",
    )  # fmt: skip
    bins = Binning.log(1, 40, 4)
    gg = treecorr.GGCorrelation(**options, brute=True)
    gg.process(catalog)
    ng = treecorr.NGCorrelation(**options, brute=True)
    ng.process(catalog, catalog)
    nn = treecorr.NNCorrelation(**options, brute=True)
    nn.process(catalog)
    nn.calculateXi(rr=nn)

    def item(name, corr, value, imag, var):
        return Correlation(
            name=name, bins=bins, theta=corr.meanr, logtheta=corr.meanlogr, value=value, imag=imag,
            npairs=corr.npairs, weight=corr.weight, varshot=var,
            settings={"catalogs": [{"rows": n}]},
        )  # fmt: skip

    shears = CorrelationSet(
        [
            item("xip", gg, gg.xip, gg.xip_im, gg.varxip),
            item("xim", gg, gg.xim, gg.xim_im, gg.varxim),
        ]
    )
    pairs = [
        (gg, shears),
        (ng, item("gamma_t", ng, ng.xi, ng.xi_im, ng.varxi)),
        (nn, item("w", nn, nn.xi, 0 * nn.xi, nn.varxi)),
    ]
    for corr, result in pairs:
        theirs, ours = tmp_path / "theirs.txt", tmp_path / "ours.txt"
        corr.write(str(theirs), precision=17)
        result.write(ours, format="treecorr", overwrite=True)
        first, second = (np.genfromtxt(path, names=True, skip_header=1) for path in (theirs, ours))
        assert first.dtype.names == second.dtype.names
        for name in first.dtype.names:
            np.testing.assert_allclose(second[name], first[name], rtol=1e-14, err_msg=name)
        ours_read = type(corr).from_file(str(ours))
        assert ours_read.nbins == corr.nbins
        if corr is nn:
            assert ours_read.tot == corr.tot
        # They can be added up, which TreeCorr allows of like correlations alone.
        assert ours_read.copy().npairs.sum() == corr.npairs.sum()


def test_what_treecorr_has_no_place_for(tmp_path):
    rho = several("rho1", "rho2")
    with pytest.raises(ValueError, match="holds one correlation function, not rho1, rho2"):
        rho.write(tmp_path / "x.txt", format="treecorr")
    with pytest.raises(ValueError, match="linear or log bins alone, not edges"):
        made("w", bins=Binning.explicit([0, 1, 5])).write(tmp_path / "x.h5", format="treecorr")
    with pytest.raises(ValueError, match="in a box"):
        made("w", bins=Binning.log(0.1, 16, 3, "Mpc/h")).write(tmp_path / "x.h5", format="treecorr")
    with pytest.raises(ValueError, match="TreeCorr has no omega"):
        made("omega").write(tmp_path / "x.fits", format="treecorr")
    with pytest.raises(ValueError, match=r"unknown suffix; use \.fits, \.h5, .* \.asc"):
        made("w").write(tmp_path / "x.ecsv", format="treecorr")
    assert os.listdir(tmp_path) == []


def test_text_of_treecorr_is_read_by_treecorr_alone(tmp_path):
    made("w").write(tmp_path / "x.txt", format="treecorr")
    with pytest.raises(ValueError, match="unknown suffix"):
        read_result(tmp_path / "x.txt")


def test_flat_separations_are_flat_for_treecorr(tmp_path, treecorr):
    item = made("xip", settings={"geometry": "flat"})
    item.write(tmp_path / "x.h5", format="treecorr")
    got = treecorr.Corr2.from_file(str(tmp_path / "x.h5"))
    assert (got.coords, got.metric, got.sep_units) == ("flat", "Euclidean", "arcmin")


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
def test_damaged_files_of_treecorr_are_named(tmp_path):
    path = tmp_path / "x.h5"
    several("xip", "xim").write(path, format="treecorr")
    with h5py.File(path, "a") as root:
        del root["xim/value"]
    with pytest.raises(ValueError, match=r"x\.h5 is damaged: .*value"):
        read_result(path)
    path = tmp_path / "x.fits"
    several("xip", "xim").write(path, format="treecorr")
    whole = path.read_bytes()
    for cut in (100, 2880, 8000, len(whole) // 2):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"x\.fits"):
            read_result(path)


def test_own_forms_hold_all_pairs(tmp_path):
    values = np.array([1, np.nan, np.inf, -0.0, 1e-300]) + 1j * np.array([np.nan, 1, 2, -0.0, 3])
    for suffix in (s for s in formats.SUFFIXES if "sacc" not in s):
        result = several("rho1", "rho2", all_pairs=values)
        result.write(tmp_path / f"r{suffix}")
        assert read_result(tmp_path / f"r{suffix}") == result


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "form"),
    [("x.fits", None), ("x.h5", None), ("x.ecsv", None), ("x.sacc", None), ("x.fits", "treecorr"),
     ("x.h5", "treecorr")],
)  # fmt: skip
def test_damage_is_never_read_as_a_result(tmp_path, name, form):
    if name.endswith("sacc"):
        pytest.importorskip("sacc")
    path, rng = tmp_path / name, np.random.default_rng(1)
    result = several("xip", "xim", all_pairs=np.ones(5))
    result.write(path, format=form)
    whole = path.read_bytes()
    for k in range(25):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=rng.integers(1, 40)):
            data[place] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data))] if k % 3 == 0 else data)
        said = name
        try:
            got = read_result(path)
        except ValueError as error:
            said = str(error)
        else:
            # Bytes that say nothing of the numbers, such as blanks and covariances.
            for item, wanted in zip(got.values(), result.values(), strict=True):
                for field in (*formats.PER_BIN, *formats.COMPLEX, *formats.RESAMPLES):
                    np.testing.assert_array_equal(getattr(item, field), getattr(wanted, field))
        assert name in said


def test_whether_a_result_can_be_written_is_known_before_the_work(tmp_path, monkeypatch):
    for name, form in (("x.h5", None), ("x.fits", "treecorr"), ("x.txt", "treecorr")):
        assert formats.check(tmp_path / name, format=form) == tmp_path / name
    with pytest.raises(ValueError, match="unknown suffix"):
        formats.check(tmp_path / "x.txt")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        formats.check(tmp_path / "none" / "x.h5")
    with pytest.raises(ValueError, match="format = 'csv': must be 'sacc' or 'treecorr'"):
        formats.check(tmp_path / "x.h5", format="csv")
    monkeypatch.setitem(sys.modules, "sacc", None)
    for name, form in (("x.sacc", None), ("x.fits", "sacc")):
        with pytest.raises(MissingExtra, match="a SACC file needs sacc"):
            formats.check(tmp_path / name, format=form)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["x.fits", "x.ecsv", "x.csv", "x.h5"])
def test_tables_of_results_are_written_by_astropy(tmp_path, name):
    for result in (several("rho1", "rho2"), several("w", aleatoric=0, epistemic=0)):
        path = {"path": "t", "serialize_meta": True} if name == "x.h5" else {}
        result.to_table().write(tmp_path / name, overwrite=True, **path)
        assert len(Table.read(tmp_path / name)) == 5 * len(result)
