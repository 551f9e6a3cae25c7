"""An emulator's noise: correlated between bins, and of the box that the data are from."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest
from astropy.table import Table
from scipy import stats

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")
from helpers.analytic_emulator import HOD, AnalyticEmulator  # noqa: E402
from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.emulator.correlation import BinCorrelation  # noqa: E402
from pysoftcorr.inference import LogPosterior, Observation, SimulatedModel  # noqa: E402
from pysoftcorr.inference.compiled import ValueAndGradient  # noqa: E402
from pysoftcorr.mocks import GalaxyCatalog, HODModel, alignment_sums, box_correlations  # noqa: E402

POINTS = np.array([[0.5, -0.2], [-0.7, 0.3], [0.0, 0.0]])
BOX = {"boxsize": 100.0, "redshift": 0.0, "cosmology": "planck18", "mdef": "vir",
       "satellites": "nfw"}  # fmt: skip


def toeplitz(correlation, n=6):
    return correlation ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))


CORRELATION = BinCorrelation(
    np.array([12.0, 0.3, 12, 13, 1]),
    np.diag([2.0, 5, 1, 1, 4]),
    {"omega": np.array([toeplitz(0.6), toeplitz(0.1)]), "xi": np.array([toeplitz(0.8)])},
    {"omega": np.array([[1.0, 0, 0.5, 0, 0, 0.3], [0, 0, 0, 1, 0, 0]]), "xi": np.zeros((1, 6))},
)


class Known(AnalyticEmulator):
    """With the correlation between bins, and a box."""

    def __init__(self, *, box=BOX, correlation=CORRELATION, **options):
        super().__init__(**options)
        self.box, self.correlation = dict(box), correlation


def scipy_density(emulator, data, points, *, scale=1.0, extra=0.0, hod=HOD):
    """ln likelihood by scipy, with the mixture written out."""
    out = []
    bins = emulator.edges.size - 1
    for point in points:
        full = np.array([*point, *hod.values()])
        made = emulator.mean_and_std(torch.tensor(full))
        mean = np.concatenate([made[s][0].numpy() for s in data.statistics])
        std = np.concatenate([made[s][1].numpy() for s in data.statistics])
        matrix = np.eye(mean.size)
        x = CORRELATION.whiten @ (full[2:] - CORRELATION.mean)
        for k, name in enumerate(data.statistics):
            if name in CORRELATION.matrices:
                gate = CORRELATION.gates[name]
                weight = np.exp(gate[:, :-1] @ x + gate[:, -1])
                weight /= weight.sum()
                part = slice(k * bins, (k + 1) * bins)
                matrix[part, part] = np.tensordot(weight, CORRELATION.matrices[name], 1)
        error = np.sqrt(scale * std**2 + 1e-6 * min(1.0, scale))
        rows = data.rows
        covariance = (matrix * np.outer(error, error))[np.ix_(rows, rows)] + extra
        out.append(stats.multivariate_normal.logpdf(data.vector, mean[rows], covariance))
    return out


def seen(emulator, statistics=("omega",), **options):
    rng = np.random.default_rng(1)
    values = {s: 0.05 * rng.normal(size=emulator.edges.size - 1) for s in statistics}
    return Observation(emulator.edges, **values, **{"boxsize": 100.0, **options})


# ---------------------------------------------------------------------- correlated bins
@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("statistics", [("omega",), ("omega", "eta"), ("xi", "omega", "eta")])
@pytest.mark.parametrize("cuts", [{}, {"r_min": 0.5, "r_max": 10}])
def test_likelihood_with_correlated_bins(curved, statistics, cuts) -> None:
    emulator = Known(curved=curved)
    data = seen(emulator, statistics).cut(**cuts)
    density = LogPosterior(emulator, data, fixed=HOD)
    wanted = scipy_density(emulator, data, POINTS)
    np.testing.assert_allclose(density.log_likelihood(POINTS), wanted, rtol=1e-9)
    n = data.vector.size
    both = Observation(
        emulator.edges, **data.values, covariance=1e-3 * np.eye(len(statistics) * 6), boxsize=100
    ).cut(**cuts)
    density = LogPosterior(emulator, both, fixed=HOD, noise="both")
    wanted = scipy_density(emulator, data, POINTS, extra=1e-3 * np.eye(n))
    np.testing.assert_allclose(density.log_likelihood(POINTS), wanted, rtol=1e-9)


def test_correlations_follow_the_hod() -> None:
    emulator = Known()
    data = seen(emulator)
    hod = {k: v for k, v in HOD.items() if k not in ("logM1", "logMmin")}
    density = LogPosterior(
        emulator, data, free="mu_sat,logMmin,logM1", fixed={"mu_cen": 0.3, **hod}
    )
    points = np.array([[0.2, 11.5, 12.8], [-0.4, 12.6, 13.9]])
    found = density.log_likelihood(points)
    for (sat, low, one), value in zip(points, found, strict=True):
        there = {**HOD, "logMmin": low, "logM1": one}
        wanted = scipy_density(emulator, data, [[0.3, sat]], hod=there)
        assert value == pytest.approx(wanted[0], rel=1e-9)
    # With derivatives, recorded or not.
    unbounded = density.priors.unbounded(points)
    graph = ValueAndGradient(density.potential, 3, batch=2, probes=unbounded)
    assert graph.compiled
    value, gradient = graph(unbounded)
    step = 1e-5
    for k in range(3):
        shift = step * np.eye(3)[k]
        up, down = graph(unbounded + shift)[0], graph(unbounded - shift)[0]
        np.testing.assert_allclose((up - down) / (2 * step), gradient[:, k], rtol=1e-5, atol=1e-5)


def test_each_value_by_the_others_and_draws_with_correlated_bins() -> None:
    emulator = Known()
    data = seen(emulator)
    density = LogPosterior(emulator, data, fixed=HOD)
    joint = scipy_density(emulator, data, POINTS)
    for i in range(6):
        values = data.values["omega"].copy()
        values[i] = np.nan
        rest = Observation(emulator.edges, omega=values, boxsize=100, on_bad="drop")
        wanted = np.subtract(joint, scipy_density(emulator, rest, POINTS))
        np.testing.assert_allclose(
            density.log_likelihood_pointwise(POINTS)[:, i], wanted, rtol=1e-8
        )
    drawn = density.draw_data(np.repeat(POINTS[:1], 20_000, axis=0), seed=2)["omega"]
    params = torch.tensor([*POINTS[0], *HOD.values()])
    wanted = CORRELATION.at("omega", params).numpy()
    # Error of a correlation (1 - r^2)/sqrt(n); jitter is in the diagonal alone.
    assert np.abs(np.corrcoef(drawn.T) - wanted).max() < 4.5 / np.sqrt(20_000)


def test_an_emulator_without_correlations_says_so() -> None:
    emulator = Known(correlation=None)
    with pytest.warns(UserWarning, match="no correlation between bins.*too narrow"):
        LogPosterior(emulator, seen(emulator), fixed=HOD)
    plain = AnalyticEmulator()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogPosterior(plain, seen(plain), fixed=HOD)  # says nothing of its noise


def test_a_simulation_has_the_noise_of_its_emulator() -> None:
    rng = np.random.default_rng(1)
    galaxies = GalaxyCatalog(rng.uniform(0, 60, (3000, 3)), rng.normal(size=(3000, 3)), boxsize=60)
    emulator = Emulator.untrained("response", bins=[1, 4, 8, 16], seed=1)
    emulator.correlation = BinCorrelation(
        CORRELATION.mean, CORRELATION.whiten, {"omega": toeplitz(0.7, 3)[None]},
        {"omega": np.zeros((1, 6))},
    )  # fmt: skip
    hod = HODModel.preset("mstar10.0")
    model = SimulatedModel([alignment_sums(galaxies, bins=[1, 4, 8, 16])], hod, noise=emulator)
    data = Observation([1, 4, 8, 16], omega=[0.1, 0.0, 0.0], boxsize=60)
    density = LogPosterior(model, data, fixed=hod)
    params = torch.tensor([0.3, 0.2, *model.hod.values()], dtype=torch.float64)
    mean, std = (x.numpy() for x in model.mean_and_std(params)["omega"])
    error = np.sqrt(std**2 + 1e-6)
    wanted = stats.multivariate_normal.logpdf(
        data.vector, mean, toeplitz(0.7, 3) * np.outer(error, error)
    )
    assert density.log_likelihood([0.3, 0.2]) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("matrices", "text"),
    [
        ({"wp": np.eye(2)[None]}, "matrices of wp"),
        ({"omega": np.eye(2)}, "matrices of omega: must have shape"),
        ({"omega": 2 * np.eye(2)[None]}, "must be correlation matrices"),
        ({"omega": np.array([[[1, 1.5], [1.5, 1]]])}, "must be correlation matrices"),
        ({"omega": np.stack([np.eye(2)] * 2)}, r"gates of omega: must have shape \(2, 6\)"),
    ],
)
def test_bad_correlations(matrices, text) -> None:
    gates = {name: np.zeros((1, 6)) for name in matrices}
    with pytest.raises(ValueError, match=text):
        BinCorrelation(np.zeros(5), np.eye(5), matrices, gates)


# ---------------------------------------------------------------------- other boxes
@pytest.mark.parametrize(
    ("boxsize", "more", "factor"),
    [(60.0, {}, (100 / 60) ** 3), (400, {}, 1 / 64), ((50, 100, 200), {}, 1.0),
     ((50, 50, 200), {}, 2.0), (100.0, {"boxes": 4}, 0.25)],
)  # fmt: skip
@pytest.mark.parametrize("noise", ["emulator", "both"])
def test_noise_scales_with_the_volume(boxsize, more, factor, noise) -> None:
    emulator = Known()
    options = {"covariance": 1e-3 * np.eye(6)} if noise == "both" else {}
    data = seen(emulator, boxsize=boxsize, box=more, **options)
    if factor == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            density = LogPosterior(emulator, data, fixed=HOD, noise=noise)
    else:
        with pytest.warns(UserWarning, match=f"multiplied by {factor:.4g}, the ratio of the vol"):
            density = LogPosterior(emulator, data, fixed=HOD, noise=noise)
    assert density.noise_scale == pytest.approx(factor)
    extra = 1e-3 * np.eye(6) if noise == "both" else 0.0
    wanted = scipy_density(emulator, data, POINTS, scale=factor, extra=extra)
    np.testing.assert_allclose(density.log_likelihood(POINTS), wanted, rtol=1e-9)


def test_a_box_that_is_not_known_is_said() -> None:
    emulator = Known()
    data = seen(emulator, boxsize=None)
    with pytest.warns(UserWarning, match=r"do not say their box.*100 Mpc/h.*boxsize=SIDE"):
        LogPosterior(emulator, data, fixed=HOD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What matters not is not said: nothing observed, noise of one's own, a model without box.
        LogPosterior(emulator, Observation.unaligned(emulator.edges), fixed=HOD)
        own = seen(emulator, boxsize=None, covariance=1e-3 * np.eye(6))
        LogPosterior(emulator, own, fixed=HOD)
        LogPosterior(Known(box={}), data, fixed=HOD)
    with pytest.warns(UserWarning, match="multiplied by 8"):
        LogPosterior(emulator, Observation.unaligned(emulator.edges, boxsize=50), fixed=HOD)


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ({"redshift": 0.5}, "redshift 0.5, the emulator 0"),
        ({"redshift": 0.02}, "redshift 0.02"),
        ({"cosmology": "WMAP9"}, "a cosmology of H0 69.3.*Om0"),
        ({"cosmology": {"Om0": 0.27}}, "Om0 0.27, the emulator 0.3111"),
        ({"cosmology": {"sigma8": 0.9, "H0": 67.66}}, "sigma8 0.9, the emulator 0.8102"),
        ({"mdef": "200m"}, "mass definition 200m, the emulator vir"),
        ({"satellites": "subhalos"}, "satellites placed as subhalos, the emulator nfw"),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_data_of_other_halos_are_refused(box, text, own) -> None:
    emulator = Known()
    options = {"covariance": 1e-3 * np.eye(6)} if own else {}
    data = seen(emulator, box=box, **options)
    with pytest.raises(ValueError, match=rf"the data have .*{text}.*on_outside='warn'"):
        LogPosterior(emulator, data, fixed=HOD)
    with pytest.warns(UserWarning, match=text):
        LogPosterior(emulator, data, fixed=HOD, on_outside="warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogPosterior(emulator, data, fixed=HOD, on_outside="ignore")


def test_a_fixed_model_of_other_satellites_is_refused() -> None:
    emulator = Known()
    data = seen(emulator, box={}, covariance=1e-3 * np.eye(6))
    model = HODModel(**HOD, satellites="triaxial")
    with pytest.raises(ValueError, match=r"fixed: satellites = 'triaxial': .*satellites='nfw'"):
        LogPosterior(emulator, data, fixed=model)
    for other in (model.with_parameters(satellites="nfw"), HOD):
        LogPosterior(emulator, data, fixed=other)
    LogPosterior(Known(box={}), data, fixed=model)


@pytest.mark.parametrize(
    "box",
    [{"redshift": 0.004}, {"cosmology": "planck18"}, {"cosmology": {"Om0": 0.3111, "w0": -1}},
     {"mdef": "vir", "satellites": "nfw"}, {"cosmology": {"name": "planck18"}}, {}],
)  # fmt: skip
def test_data_of_the_same_halos_are_taken(box) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogPosterior(Known(), seen(Known(), box=box), fixed=HOD)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"boxsize": -3}, ValueError, r"boxsize = -3: must be finite and above 0"),
        ({"boxsize": (1, 2)}, ValueError, "boxsize"),
        ({"boxsize": "big"}, TypeError, "boxsize"),
        ({"box": {"side": 3}}, ValueError, "box: 'side' is none of boxsize"),
        ({"box": {"redshift": -2}}, ValueError, "redshift"),
        ({"box": {"cosmology": "einstein"}}, ValueError, "einstein"),
        ({"box": {"satellites": "ring"}}, ValueError, "satellites = 'ring'"),
    ],
)
def test_bad_boxes(options, error, text) -> None:
    with pytest.raises(error, match=text):
        seen(Known(), **options)


# ---------------------------------------------------------------------- what files say
def test_galaxies_say_their_box_and_halos(tmp_path) -> None:
    rng = np.random.default_rng(1)
    galaxies = GalaxyCatalog(
        rng.uniform(0, 60, (3000, 3)), rng.normal(size=(3000, 3)), boxsize=60,
        params={"satellites": "triaxial"}, cosmology="planck18",
        redshift=0.3, mdef="200c",
    )  # fmt: skip
    wanted = {"boxsize": 60, "redshift": 0.3, "mdef": "200c", "satellites": "triaxial"}
    result = box_correlations(galaxies, bins=[1, 4, 8, 16])
    result.write(tmp_path / "r.ecsv")
    for name in ("g.h5", "g.fits"):
        galaxies.write(tmp_path / name)
        assert GalaxyCatalog.read(tmp_path / name) == galaxies
    for data in (
        Observation.of(result),
        Observation.read(tmp_path / "r.ecsv"),
        Observation.read(tmp_path / "g.h5", bins=[1, 4, 8, 16]),
        Observation.read(tmp_path / "g.fits", bins=[1, 4, 8, 16]),
    ):
        assert data.box["cosmology"]["name"] == "planck18"
        assert {name: data.box[name] for name in wanted} == wanted


def test_populated_halos_hand_on_what_is_known() -> None:
    from pysoftcorr.mocks import HaloCatalog

    halos = HaloCatalog.simulate(30.0, 32, mmin=1e12, seed=1, redshift=0.5)
    galaxies = HODModel.preset("mstar10.0").with_parameters(logMmin=12.5).populate(halos, seed=1)
    assert (galaxies.redshift, galaxies.mdef) == (0.5, "vir")
    assert (galaxies[:10].redshift, galaxies[:10].mdef) == (0.5, "vir")


@pytest.mark.parametrize("kind", ["ecsv", "h5"])
def test_tables_say_their_box(tmp_path, kind) -> None:
    path, edges = tmp_path / f"d.{kind}", [1.0, 4, 8, 16]
    said = {"boxsize": [50.0, 50, 100], "cosmology": '{"Om0": 0.3}', "satellites": "nfw"}
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["edges"], file["omega"] = edges, [0.1, 0, 0]
            file.attrs.update(said)
    else:
        table = Table({"r_lo": edges[:-1], "r_hi": edges[1:], "omega": [0.1, 0, 0]})
        table.meta.update(said)
        table.write(path, format="ascii.ecsv")
    assert Observation.read(path).box == {
        "boxsize": (50.0, 50.0, 100.0), "cosmology": {"Om0": 0.3}, "satellites": "nfw",
    }  # fmt: skip


@pytest.mark.parametrize(("side", "wanted"), [(50.0, 1e-6), (100.0, 1e-6), (200.0, 1.25e-7)])
def test_jitter_goes_with_the_volume_of_the_data(side, wanted):
    """What a box of 100 Mpc/h hardly notices would be most of the noise of a large one."""
    emulator = Known()
    data = seen(emulator, boxsize=side)
    options = {"fixed": HOD, "on_outside": "ignore"}
    assert LogPosterior(emulator, data, **options).jitter == pytest.approx(wanted)
    assert LogPosterior(emulator, data, jitter=3e-5, **options).jitter == 3e-5
