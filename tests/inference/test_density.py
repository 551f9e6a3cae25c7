"""Priors, observations and the posterior density: values, and what is refused."""

from __future__ import annotations

import json
import warnings

import h5py
import numpy as np
import pytest
from astropy.table import Table
from scipy import integrate, stats

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")
from helpers.analytic_emulator import HOD, AnalyticEmulator  # noqa: E402
from pysoftcorr import Binning  # noqa: E402
from pysoftcorr.emulator import Emulator  # noqa: E402
from pysoftcorr.inference import (  # noqa: E402
    LogPosterior,
    Normal,
    Observation,
    TruncatedNormal,
    Uniform,
)
from pysoftcorr.inference.compiled import ValueAndGradient  # noqa: E402
from pysoftcorr.inference.covariance import check_covariance, whitening  # noqa: E402
from pysoftcorr.inference.noise import Noise  # noqa: E402
from pysoftcorr.inference.priors import Priors, parse_prior  # noqa: E402
from pysoftcorr.inference.target import GaussianLikelihood  # noqa: E402
from pysoftcorr.mocks import GalaxyCatalog, HODModel, box_correlations  # noqa: E402

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def emulator():
    return AnalyticEmulator()


def spd(n, seed=1, scale=1e-2):
    a = RNG(seed).normal(size=(n, 2 * n))
    return scale**2 * a @ a.T / (2 * n)


def seen(emulator, seed=2, statistics=("omega",), covariance=True):
    """Data near the model at mu = (0.5, -0.2)."""
    params = torch.tensor([0.5, -0.2, *HOD.values()], dtype=torch.float64)
    made = emulator.mean_and_std(params)
    rng = RNG(seed)
    values = {
        name: made[name][0].numpy() + 0.01 * rng.normal(size=len(emulator.edges) - 1)
        for name in statistics
    }
    n = sum(v.size for v in values.values())
    return Observation(emulator.edges, **values, covariance=spd(n) if covariance else None)


# ---------------------------------------------------------------------- priors
MIXED = {
    "mu_cen": Uniform(-1, 0.5),
    "logM1": Normal(13.5, 0.4),
    "alpha": TruncatedNormal(1.0, 0.3, 0.8, 1.2),
}


def test_densities_are_normalized():
    for prior in MIXED.values():
        low, high = np.maximum(prior.support[0], -5), np.minimum(prior.support[1], 20)
        mass = integrate.quad(lambda x, p=prior: np.exp(p.log_density(x)), low, high, limit=200)[0]
        assert mass == pytest.approx(1, abs=1e-7)
        if np.isfinite(prior.support[0]):
            assert prior.log_density(high + 0.01) == -np.inf
    assert parse_prior("truncated:1:0.3:0.8:1.2") == MIXED["alpha"]
    half = {"sigma_logM": TruncatedNormal(0.25, 0.2, low=0.01)}
    for priors in (MIXED, half):
        again = Priors.from_dict(json.loads(json.dumps(Priors(priors).to_dict(), allow_nan=False)))
        assert again.members == tuple(priors.values())
    cut = half["sigma_logM"]
    assert integrate.quad(lambda x: np.exp(cut.log_density(x)), 0.01, 3)[0] == pytest.approx(1)
    assert cut.log_density(0.0) == -np.inf


def test_draws_follow_the_priors():
    draws = Priors(MIXED).draw(4000, RNG(1))
    for k, prior in enumerate(MIXED.values()):
        # Uniform ranks; p below 1e-4 once in 10^4 seeds.
        p = stats.kstest(np.searchsorted(np.sort(draws[:, k]), prior.quantile(RNG(2).random(4000)))
                         / 4000, "uniform").pvalue  # fmt: skip
        assert p > 1e-4


def test_variables_without_bounds(emulator):
    priors = Priors(MIXED)
    params = priors.draw(20, RNG(3))
    np.testing.assert_allclose(priors.physical(priors.unbounded(params)), params, rtol=1e-12)
    # The density in u is that of params times d params/du, by finite differences.
    names = tuple(MIXED)
    fixed = {k: v for k, v in {"mu_sat": 0.1, **HOD}.items() if k not in names}
    density = LogPosterior(emulator, seen(emulator), free=names, fixed=fixed, priors=MIXED)
    priors = density.priors
    u, step = priors.unbounded(priors.draw(5, RNG(4))), 1e-5
    slope = (priors.physical(u + step) - priors.physical(u - step)) / (2 * step)
    there = density.potential(torch.tensor(u)).numpy()
    here = density(priors.physical(u)) + np.log(slope).sum(axis=1)
    np.testing.assert_allclose(-there, here, rtol=1e-8)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Uniform(1, 1), ValueError, "low = 1 must be below high = 1"),
        (lambda: Normal(0, 0), ValueError, "sd = 0 must be above 0"),
        (lambda: Normal("0", 1), TypeError, "Normal: mean = '0': must be a number"),
        (lambda: Uniform(0, np.nan), ValueError, "must be finite"),
        (lambda: parse_prior("uniform:1"), ValueError, "must read uniform:LOW:HIGH"),
        (lambda: Priors({"mu_cen": 3}), TypeError, "prior of mu_cen"),
    ],
)
def test_bad_priors(make, error, text):
    with pytest.raises(error, match=text):
        make()


# ---------------------------------------------------------------------- observations
EDGES = [0.1, 1.0, 4.0, 16.0]


def test_dropped_bins_leave_the_covariance_too():
    covariance = spd(6)
    data = Observation(EDGES, omega=[1, np.nan, 3], eta=[4, 5, 6], covariance=covariance,
                       on_bad="drop")  # fmt: skip
    keep = [0, 2, 3, 4, 5]
    assert data.rows.tolist() == keep
    np.testing.assert_allclose(data.covariance, covariance[np.ix_(keep, keep)], rtol=1e-14)
    eta = data.select("eta")
    np.testing.assert_allclose(eta.covariance, covariance[3:, 3:], rtol=1e-14)
    assert eta.vector.tolist() == [4, 5, 6]
    with pytest.raises(ValueError, match=r"omega in bins \[1\].*on_bad='drop'"):
        Observation(EDGES, omega=[1, np.nan, 3])


def not_positive():
    matrix = spd(3)
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * [-2e-5, values[1], values[2]]) @ vectors.T


@pytest.mark.parametrize(
    ("covariance", "text"),
    [
        (np.eye(2), r"covariance has shape \(2, 2\).*\(3, 3\) is needed"),
        (np.full((3, 3), np.nan), "holds nan in row 0, column 0"),
        (np.array([[1, 0.1, 0], [0.2, 1, 0], [0, 0, 1]]), r"not symmetric: element \[0, 1\]"),
        (not_positive(), r"smallest eigenvalue is -.*add a part of each variance to the diag"),
        (np.diag([9e4, 0.0, 1.0]), r"the variance of value 1 is 0, which must be above 0"),
        (np.ones((3, 3)), r"not positive definite.*rank is 1, of 3 values.*at most 1 values"),
    ],
)
def test_bad_covariances(covariance, text):
    with pytest.raises(ValueError, match=text):
        check_covariance(covariance, 3)
    if "eigenvalue" in text or "definite" in text:  # where it is used: cuts may mend it
        seen = Observation(EDGES, omega=[1, 2, 3], covariance=covariance)
        assert seen.cut(r_min=EDGES[2]).covariance.shape == (1, 1)
        with pytest.raises(ValueError, match=text):
            Noise(seen, "data", likelihood="gaussian", jitter=0.0, scale=1.0)
    else:
        with pytest.raises(ValueError, match=text):
            Observation(EDGES, omega=[1, 2, 3], covariance=covariance)


@pytest.mark.parametrize("errors", [(300, 1e-5, 1), (1e-12, 1e9, 1e3), (1e-150, 1, 1e150)])
def test_errors_of_any_sizes(errors):
    """What is positive definite as correlations is a covariance, in any units."""
    correlation = np.array([[1, 0.5, 0.1], [0.5, 1, 0.5], [0.1, 0.5, 1]])
    covariance = correlation * np.outer(errors, errors)
    data = Observation(EDGES, omega=np.asarray(errors) * [1, 2, 3], covariance=covariance)
    np.testing.assert_array_equal(data.covariance, covariance)
    white, log_det = whitening(covariance)
    np.testing.assert_allclose(white @ covariance @ white.T, np.eye(3), atol=1e-12)
    expected = np.linalg.slogdet(correlation)[1] + 2 * np.log(errors).sum()
    assert log_det == pytest.approx(expected, abs=1e-9)
    # The likelihood is that of the values in units of their errors.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = GaussianLikelihood(data.vector, covariance)(np.zeros(3))
    chi2 = np.array([1, 2, 3]) @ np.linalg.solve(correlation, [1, 2, 3])
    assert found == pytest.approx(-chi2 / 2, rel=1e-10)
    bad = correlation.copy()
    bad[0, 2] = bad[2, 0] = -0.9
    with pytest.raises(ValueError, match=r"not positive definite.*np\.diag\(np\.diag\(C\)\)"):
        check_covariance(bad * np.outer(errors, errors), 3)
    # The advice works.
    part = -2 * np.linalg.eigvalsh(bad)[0]
    cured = bad + part * np.diag(np.diag(bad))
    check_covariance(cured * np.outer(errors, errors), 3)


@pytest.mark.parametrize("kind", ["h5", "ecsv"])
def test_what_is_not_asked_for_is_not_checked(tmp_path, kind):
    path, covariance = tmp_path / f"data.{kind}", spd(9)
    covariance[:3, :] = covariance[:, :3] = np.nan  # of xi
    covariance[6:, 6:] = 1.0  # of eta, singular
    values = {"xi": [1.0, np.nan, 2.0], "omega": [1.0, 2.0, 3.0], "eta": [4.0, 5.0, np.inf]}
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["edges"], file["covariance"] = EDGES, covariance
            for name, value in values.items():
                file[name] = value
    else:
        table = Table({"r_lo": EDGES[:-1], "r_hi": EDGES[1:], **values})
        table.meta["covariance"] = covariance.tolist()
        table.write(path, format="ascii.ecsv")
    seen = Observation.read(path, statistics="omega")
    np.testing.assert_allclose(seen.covariance, covariance[3:6, 3:6], rtol=1e-14)
    with pytest.raises(ValueError, match=r"the data hold nan: xi in bins \[1\]"):
        Observation.read(path, statistics="xi,omega")
    with pytest.raises(ValueError, match="covariance holds nan"):
        Observation.read(path, on_bad="drop")
    seen = Observation.read(path, statistics="omega,eta", on_bad="drop")
    assert seen.select("omega").covariance.shape == (3, 3)
    with pytest.raises(ValueError, match="covariance is not positive definite"):
        check_covariance(seen.covariance, 5)
    with h5py.File(tmp_path / "errors.h5", "w") as file:  # errors of one statistic alone
        file["edges"], file["omega"], file["eta"] = EDGES, values["omega"], values["omega"]
        file["omega_err"] = [1.0, 2.0, 3.0]
    seen = Observation.read(tmp_path / "errors.h5", statistics="omega")
    np.testing.assert_allclose(np.diag(seen.covariance), [1, 4, 9])
    with pytest.raises(ValueError, match="those of eta are lacking"):
        Observation.read(tmp_path / "errors.h5")
    whole = type("Correlations", (), {"edges": np.array(EDGES), **values})()
    whole.omega, whole.eta, whole.xi = (np.array(values["omega"]), np.ones(3), np.full(3, np.nan))
    both = spd(6)
    part = Observation.of(whole, statistics="eta", covariance=both)
    np.testing.assert_allclose(part.covariance, both[3:, 3:], rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Observation(EDGES), ValueError, "none of xi, omega and eta"),
        (lambda: Observation(EDGES, omega=[1, 2]), ValueError, r"omega has shape \(2,\)"),
        (lambda: Observation([1, 1], omega=[1]), ValueError, "bins must"),
        (lambda: Observation.unaligned(EDGES, statistics="xi"), ValueError, "xi is not 0"),
        (lambda: Observation.unaligned(EDGES, statistics="wp"), ValueError, "'wp' is none of"),
        (lambda: Observation.unaligned(EDGES).select("eta"), ValueError, "the data hold omega"),
        (lambda: Observation(EDGES, omega=[1, 2, 3], errors={"omega": [1, 0, 1]}), ValueError,
         r"errors\['omega'\] in bins \[1\] is 0"),
        (lambda: Observation.of(3), TypeError, "must be BoxCorrelations"),
        (lambda: Observation.read("no.h5"), FileNotFoundError, "no such file: no.h5"),
    ],
)  # fmt: skip
def test_bad_observations(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.slow
def test_data_from_files(tmp_path):
    rng = RNG(5)
    galaxies = GalaxyCatalog(rng.uniform(0, 60, (3000, 3)), rng.normal(size=(3000, 3)), boxsize=60)
    edges = np.array([1.0, 4.0, 8.0, 16.0])
    result = box_correlations(galaxies, bins=edges)
    result.write(tmp_path / "r.ecsv")
    galaxies.write(tmp_path / "g.h5")
    for path, more in ((tmp_path / "r.ecsv", {}), (tmp_path / "g.h5", {"bins": edges})):
        data = Observation.read(path, statistics="omega,eta", **more)
        np.testing.assert_array_equal(data.vector, np.concatenate([result.omega, result.eta]))
        np.testing.assert_array_equal(data.edges, edges)
        assert data.covariance is None
    covariance = spd(6)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["edges"], file["omega"], file["eta"] = edges, result.omega, result.eta
        file["covariance"] = covariance
    data = Observation.read(tmp_path / "d.h5")
    np.testing.assert_allclose(data.covariance, covariance, rtol=1e-14)
    np.testing.assert_allclose(
        Observation.read(tmp_path / "d.h5", statistics="eta").covariance, covariance[3:, 3:]
    )
    table = Table({"r_lo": edges[:-1], "r_hi": edges[1:], "omega": result.omega,
                   "omega_err": [0.1, 0.2, 0.3]})  # fmt: skip
    table.write(tmp_path / "t.ecsv")
    np.testing.assert_allclose(
        Observation.read(tmp_path / "t.ecsv").covariance, np.diag([0.01, 0.04, 0.09])
    )
    table["omega"][1] = np.nan
    table.write(tmp_path / "n.ecsv")
    with pytest.raises(ValueError, match=r"n.ecsv: the data hold nan: omega in bins \[1\]"):
        Observation.read(tmp_path / "n.ecsv")
    assert Observation.read(tmp_path / "n.ecsv", on_bad="drop").rows.tolist() == [0, 2]
    table = Table({"r_lo": edges[:-1], "r_hi": edges[1:], "xi": [-1.0, 2.0, -1.0],
                   "npairs": [0, 9, 3]})  # fmt: skip
    table.write(tmp_path / "e.ecsv")  # xi is -1 by chance, and for want of pairs
    with pytest.raises(ValueError, match=r"xi in bins \[0\]: no value, or no pairs. on_bad='drop'"):
        Observation.read(tmp_path / "e.ecsv")
    assert Observation.read(tmp_path / "e.ecsv", on_bad="drop").vector.tolist() == [2.0, -1.0]
    with h5py.File(tmp_path / "e.h5", "w") as file:
        for name, values in (("edges", edges), ("xi", table["xi"]), ("npairs", table["npairs"])):
            file[name] = values
    assert Observation.read(tmp_path / "e.h5", on_bad="drop").rows.tolist() == [1, 2]
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["mass"] = [1.0]
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(20))
    for name, text in (("foreign.h5", "holds no data"), ("broken.h5", "is no HDF5 file")):
        with pytest.raises(ValueError, match=text):
            Observation.read(tmp_path / name)


# ---------------------------------------------------------------------- density
PARAMS = np.array([[0.5, -0.2], [-0.7, 0.3], [0.0, 0.0]])


def by_scipy(emulator, data, points, covariance):
    """ln likelihood by scipy, a point at a time."""
    out = []
    for point in points:
        params = torch.tensor([*point, *HOD.values()], dtype=torch.float64)
        made = emulator.mean_and_std(params)
        mean = np.concatenate([made[s][0].numpy() for s in data.statistics])
        std = np.concatenate([made[s][1].numpy() for s in data.statistics])
        out.append(stats.multivariate_normal.logpdf(data.vector, mean, covariance(std)))
    return out


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("statistics", [("omega",), ("xi", "omega", "eta")])
def test_likelihood_is_that_of_scipy(curved, statistics):
    emulator = AnalyticEmulator(curved=curved)
    data = seen(emulator, statistics=statistics)
    n = data.vector.size
    epistemic = emulator.epistemic_covariance(np.zeros(7))
    blocks = np.zeros((n, n))
    for k, name in enumerate(statistics):
        part = slice(k * n // len(statistics), (k + 1) * n // len(statistics))
        blocks[part, part] = epistemic[name]
    cases = {
        ("data", False): lambda std: data.covariance,
        ("emulator", False): lambda std: np.diag(std**2 + 1e-6),
        ("both", False): lambda std: data.covariance + np.diag(std**2 + 1e-6),
        ("data", True): lambda std: data.covariance + blocks,
        ("emulator", True): lambda std: blocks + np.diag(std**2 + 1e-6),
    }
    for (noise, add), covariance in cases.items():
        density = LogPosterior(emulator, data, fixed=HOD, noise=noise, epistemic=add)
        assert density.closed_form is not curved
        found = density.log_likelihood(PARAMS)
        np.testing.assert_allclose(found, by_scipy(emulator, data, PARAMS, covariance), rtol=1e-9)
        np.testing.assert_allclose(density(PARAMS), found - 2 * np.log(2), rtol=1e-12)
        assert density([1.1, 0.0]) == -np.inf


def test_dropped_bins_are_left_out_of_the_likelihood(emulator):
    whole = seen(emulator)
    values = whole.values["omega"].copy()
    values[[1, 4]] = np.nan
    some = Observation(emulator.edges, omega=values, covariance=whole.covariance, on_bad="drop")
    density = LogPosterior(emulator, some, fixed=HOD)
    params = torch.tensor([0.5, -0.2, *HOD.values()], dtype=torch.float64)
    mean = emulator.mean_and_std(params)["omega"][0].numpy()[some.rows]
    wanted = stats.multivariate_normal.logpdf(some.vector, mean, some.covariance)
    assert density.log_likelihood([0.5, -0.2]) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["response", "published", "analytic"])
@pytest.mark.parametrize("free", [("mu_cen", "mu_sat"), ("mu_sat", "logM1", "alpha")])
def test_compiled_gradient_is_that_of_differences(kind, free, emulator):
    if kind != "analytic":
        emulator = Emulator.untrained(kind, bins=np.geomspace(0.1, 16, 21), seed=1)
    data = Observation.unaligned(emulator.edges, statistics=("omega", "eta"))
    fixed = {k: v for k, v in {"mu_cen": 0.3, **HOD}.items() if k not in free}
    density = LogPosterior(emulator, data, free=free, fixed=fixed)
    assert density.closed_form == (kind != "published" and "logM1" not in free)
    points = RNG(6).normal(size=(3, len(free)))
    graph = ValueAndGradient(density.potential, len(free), batch=3, probes=points)
    plain = ValueAndGradient(density.potential, len(free), compiled=False)
    assert graph.compiled
    value, gradient = graph(points)
    for a, b in zip((value, gradient), plain(points), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())
    # Fewer rows are filled up.
    np.testing.assert_allclose(graph(points[:2])[0], value[:2], rtol=1e-12)
    step = 1e-4
    for k in range(len(free)):
        shift = step * np.eye(len(free))[k]
        up, down = plain(points + shift)[0], plain(points - shift)[0]
        # Of second order: the error is a third derivative times step^2/6.
        np.testing.assert_allclose(
            (up - down) / (2 * step), gradient[:, k], rtol=2e-4, atol=2e-4 * np.abs(gradient).max()
        )


def test_a_graph_that_would_be_wrong_is_not_used():
    def branches(u):
        return torch.where(u > 0, u, -u).sum(-1) if float(u.detach().sum()) > 0 else (u**2).sum(-1)

    probes = np.array([[1.0], [-1.0]])
    made = ValueAndGradient(branches, 1, probes=probes)
    assert not made.compiled
    assert made(probes[:1])[0] == [1.0]
    assert made(np.array([[-3.0]]))[0] == [9.0]


def test_the_users_emulator_is_left_alone():
    emulator = Emulator.untrained("response", bins=EDGES, seed=1).float()
    LogPosterior(emulator, Observation.unaligned(EDGES), fixed=HOD)
    assert emulator.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"fixed": None}, ValueError, "logMmin, sigma_logM.*neither free nor fixed"),
        ({"free": "mu_cent"}, ValueError, "no parameter 'mu_cent'; did you mean mu_cen"),
        ({"free": ["mu_cen", "mu_cen"]}, ValueError, "none twice"),
        ({"fixed": {**HOD, "mu_cen": 0.1}}, ValueError, "mu_cen is both free and fixed"),
        ({"fixed": {**HOD, "logMmin": np.nan}}, ValueError, "fixed: logMmin = nan: must be finite"),
        ({"fixed": {**HOD, "logMmin": 14.0}}, ValueError, r"logMmin = 14.*\[11, 13.2\]"),
        ({"fixed": {**HOD, "mass": 1.0}}, ValueError, "no parameter 'mass'"),
        ({"fixed": 3}, TypeError, "HODModel or a mapping"),
        ({"priors": {"alpha": Uniform(0.8, 1)}}, ValueError, "alpha: it is not free"),
        ({"priors": {"mu_cen": Normal(0, 0.1)}}, ValueError, r"mu_cen: .*\[-1, 1\]"),
        ({"priors": {"mu_cen": "flat"}}, ValueError, "must read"),
        ({"noise": "data"}, ValueError, "bring no covariance"),
        ({"noise": "none"}, ValueError, "must be one of auto, data"),
        ({"priors": {"mu_cen": TruncatedNormal(0, 0.1, low=-1.0)}}, ValueError, "one bound"),
        ({"jitter": -1.0}, ValueError, "jitter"),
        (
            {"fixed": HODModel.preset("mstar10.0").with_parameters(gamma=0.2)},
            ValueError,
            "gamma = 0.2",
        ),
    ],
)
def test_bad_arguments(emulator, options, error, text):
    data = Observation.unaligned(emulator.edges)
    with pytest.raises(error, match=text):
        LogPosterior(emulator, data, **{"fixed": HOD, **options})


def test_priors_beyond_the_bounds(emulator):
    data = Observation.unaligned(emulator.edges)
    fixed = {k: v for k, v in HOD.items() if k != "alpha"}
    options = {"free": "mu_cen,mu_sat,alpha", "fixed": fixed}
    for prior in (Uniform(0.5, 1.3), Normal(1.0, 0.2)):
        with pytest.raises(ValueError, match=r"prior of alpha.*\[0.7, 1.3\]"):
            LogPosterior(emulator, data, priors={"alpha": prior}, **options)
        with pytest.warns(UserWarning, match="prior of alpha"):
            LogPosterior(emulator, data, priors={"alpha": prior}, on_outside="warn", **options)
    LogPosterior(emulator, data, priors={"alpha": Normal(1.0, 0.05)}, **options)


def test_other_bins_and_other_things(emulator):
    with pytest.raises(ValueError, match=r"the data have 3 bins.*the emulator 6.*must be equal"):
        LogPosterior(emulator, Observation.unaligned(EDGES), fixed=HOD)
    moved = emulator.edges.copy()
    moved[2] *= 1.01
    with pytest.raises(ValueError, match="edge 2 is the first that differs"):
        LogPosterior(emulator, Observation.unaligned(moved), fixed=HOD)
    with pytest.raises(TypeError, match="has no names"):
        LogPosterior(object(), Observation.unaligned(EDGES), fixed=HOD)
    with pytest.raises(TypeError, match="must be an Observation"):
        LogPosterior(emulator, np.zeros(6), fixed=HOD)


def test_bins_of_an_observation_as_everywhere():
    edges = np.array([0.1, 1.0, 10.0])
    for bins in (edges, edges.tolist(), "edges:0.1,1,10", Binning.explicit(edges, "Mpc/h")):
        np.testing.assert_array_equal(Observation.unaligned(bins).edges, edges)
    with pytest.raises(ValueError, match="Mpc/h"):
        Observation.unaligned(Binning.linear(0, 45, 8))
