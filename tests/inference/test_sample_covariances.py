"""Covariances estimated from few realizations: likelihoods, their parts, and files."""

from __future__ import annotations

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from astropy.table import Table
from scipy import stats

torch = pytest.importorskip("torch")
pytest.importorskip("pyro")
from helpers.analytic_emulator import HOD, AnalyticEmulator  # noqa: E402
from pysoftcorr.inference import LogPosterior, Observation, minimize  # noqa: E402
from pysoftcorr.inference.covariance import (  # noqa: E402
    hartlap_factor,
    read_covariance,
    sellentin_heavens_constant,
)
from pysoftcorr.mocks import BoxCorrelations, box_correlations  # noqa: E402

RNG = np.random.default_rng
POINTS = np.array([[0.5, -0.2], [-0.7, 0.3], [0.0, 0.0]])


def sample_covariance(n, count, seed=1, scale=1e-2):
    x = RNG(seed).normal(size=(count, n)) @ (np.eye(n) + 0.4 * np.eye(n, k=1))
    return scale**2 * np.cov(x.T).reshape(n, n)


def means(emulator, data, points):
    params = torch.tensor([[*point, *HOD.values()] for point in points], dtype=torch.float64)
    made = emulator.mean_and_std(params)
    mean = np.concatenate([made[s][0].numpy() for s in data.statistics], axis=-1)
    std = np.concatenate([made[s][1].numpy() for s in data.statistics], axis=-1)
    return mean[:, data.rows], std[:, data.rows]


def measured(emulator, statistics, count, **options):
    bins = emulator.edges.size - 1
    n = bins * len(statistics)
    rng = RNG(3)
    values = {s: 0.1 * rng.normal(size=bins) + (s == "xi") * 3 for s in statistics}
    return Observation(
        emulator.edges, **values, covariance=sample_covariance(n, count),
        covariance_from=count, **options,
    )  # fmt: skip


# ---------------------------------------------------------------------- likelihoods
@pytest.mark.parametrize("count", [15, 40, 1000])
@pytest.mark.parametrize("statistics", [("omega",), ("omega", "eta")])
@pytest.mark.parametrize("cuts", [{}, {"r_min": 0.5}])
def test_likelihoods_of_a_sample_covariance(count, statistics, cuts) -> None:
    emulator = AnalyticEmulator()
    data = measured(emulator, statistics, count).cut(**cuts)
    n = data.vector.size
    mean, _ = means(emulator, data, POINTS)
    t = [
        stats.multivariate_t.logpdf(
            data.vector, m, data.covariance * (count - 1) / (count - n), df=count - n
        )
        for m in mean
    ]
    factor = (count - n - 2) / (count - 1)
    normal, hartlap = (
        [stats.multivariate_normal.logpdf(data.vector, m, data.covariance / f) for m in mean]
        for f in (1.0, factor)
    )
    wanted = {"auto": t, "sellentin-heavens": t, "hartlap": hartlap, "gaussian": normal}
    if n + 2 >= count:
        wanted = {"gaussian": normal}
        with pytest.raises(
            ValueError,
            match=f"covariance_from = {count}: a covariance of {n} values must be from more than "
            rf"{n + 2} realizations.*r_min, r_max, bins, statistics",
        ):
            LogPosterior(emulator, data, fixed=HOD)
    for likelihood, values in wanted.items():
        density = LogPosterior(emulator, data, fixed=HOD, likelihood=likelihood)
        np.testing.assert_allclose(density.log_likelihood(POINTS), values, rtol=1e-9)
        assert density.likelihood == {"auto": "sellentin-heavens"}.get(likelihood, likelihood)


def test_other_noise_beside_a_sample_covariance() -> None:
    emulator = AnalyticEmulator()
    data = measured(emulator, ("omega",), 30)
    mean, std = means(emulator, data, POINTS)
    density = LogPosterior(emulator, data, fixed=HOD, noise="both")
    assert density.likelihood == "hartlap"
    wanted = [
        stats.multivariate_normal.logpdf(
            data.vector, m, data.covariance * 29 / 22 + np.diag(s**2 + 1e-6)
        )
        for m, s in zip(mean, std, strict=True)
    ]
    np.testing.assert_allclose(density.log_likelihood(POINTS), wanted, rtol=1e-9)
    assert LogPosterior(emulator, data, fixed=HOD, epistemic=True).likelihood == "hartlap"
    assert LogPosterior(emulator, data, fixed=HOD, noise="emulator").likelihood == "gaussian"


def test_no_number_of_realizations_no_correction() -> None:
    emulator = AnalyticEmulator()
    data = Observation(emulator.edges, omega=np.zeros(6), covariance=1e-4 * np.eye(6))
    assert LogPosterior(emulator, data, fixed=HOD).likelihood == "gaussian"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"noise": "both", "likelihood": "sellentin-heavens"}, "for a sample covariance alone"),
        ({"epistemic": True, "likelihood": "sellentin-heavens"}, "take 'hartlap'"),
        ({"noise": "emulator", "likelihood": "hartlap"}, "noise = 'emulator'"),
        ({"likelihood": "student"}, "must be one of auto, gaussian, hartlap, sellentin-heavens"),
    ],
)
def test_likelihoods_that_do_not_go_with_the_noise(options, text) -> None:
    emulator = AnalyticEmulator()
    with pytest.raises(ValueError, match=text):
        LogPosterior(emulator, measured(emulator, ("omega",), 30), fixed=HOD, **options)
    plain = Observation(emulator.edges, omega=np.zeros(6), covariance=1e-4 * np.eye(6))
    with pytest.raises(ValueError, match="pass covariance_from=N"):
        LogPosterior(emulator, plain, fixed=HOD, likelihood="hartlap")
    with pytest.raises(ValueError, match="covariance_from = 30: the data bring no covariance"):
        Observation(emulator.edges, omega=np.zeros(6), covariance_from=30)


def test_hartlap_makes_the_inverse_unbiased() -> None:
    n, count, tries = 4, 12, 4000
    x = RNG(1).normal(size=(tries, count, n))
    x -= x.mean(axis=1, keepdims=True)
    inverse = np.linalg.inv(np.einsum("kci,kcj->kij", x, x) / (count - 1))
    found = hartlap_factor(count, n) * np.trace(inverse, axis1=1, axis2=2) / n
    assert abs(found.mean() - 1) < 4.5 * found.std() / np.sqrt(tries)
    # Without it the excess is (N - 1)/(N - p - 2) - 1, many errors of the mean.
    assert abs(found.mean() / hartlap_factor(count, n) - 1) > 20 * found.std() / np.sqrt(tries)


def test_the_marginal_likelihood_holds_what_it_says() -> None:
    """Known mean: chi2 of a sample covariance follows Hotelling's distribution, that of the t."""
    n, count, tries = 5, 14, 4000
    rng = RNG(2)
    x = rng.normal(size=(tries, count, n))
    x -= x.mean(axis=1, keepdims=True)
    inverse = np.linalg.inv(np.einsum("kci,kcj->kij", x, x) / (count - 1))
    data = rng.normal(size=(tries, n))
    chi2 = np.einsum("ki,kij,kj->k", data, inverse, data)
    # A t of N - p degrees of freedom and scale S(N-1)/(N-p): chi2 (N-p)/(p (N-1)) is F(p, N-p).
    inside = stats.f.cdf(chi2 * (count - n) / (n * (count - 1)), n, count - n)
    assert stats.kstest(inside, "uniform").pvalue > 1e-4
    wrong = stats.chi2.cdf(chi2, n)
    assert stats.kstest(wrong, "uniform").pvalue < 1e-20
    assert sellentin_heavens_constant(10**7, 3) == pytest.approx(-1.5 * np.log(2 * np.pi), abs=1e-5)


def test_minimize_follows_the_likelihood_of_the_posterior() -> None:
    emulator = AnalyticEmulator()
    density = LogPosterior(emulator, measured(emulator, ("omega",), 12), fixed=HOD)
    found = minimize(density, method="lbfgs", objective="likelihood", max_iter=40)
    assert found.summary().endswith("6 values; noise: data, covariance from 12: sellentin-heavens")
    assert found.to_dict()["settings"]["data"]["statistics"] == ["omega"]
    best = density.log_likelihood([list(found.best.values())])[0]
    assert -found.loss.min() == pytest.approx(best, rel=1e-9)
    axis = np.linspace(-0.99, 0.99, 67)
    assert best > density.log_likelihood(np.stack(np.meshgrid(axis, axis), -1)).max() - 1e-6


# ---------------------------------------------------------------------- each value by the others
@pytest.mark.parametrize("likelihood", ["gaussian", "hartlap", "sellentin-heavens"])
@pytest.mark.parametrize("noise", ["data", "both"])
def test_density_of_a_value_given_the_others(likelihood, noise) -> None:
    """By the quotient of the densities of all values and of all but one."""
    if noise == "both" and likelihood == "sellentin-heavens":
        pytest.skip("not defined")
    emulator, count = AnalyticEmulator(), 25
    data = measured(emulator, ("omega", "eta"), count).cut(r_min=0.5, r_max=10)
    density = LogPosterior(emulator, data, fixed=HOD, likelihood=likelihood, noise=noise)
    mean, std = means(emulator, data, POINTS)
    n = data.vector.size
    found = density.log_likelihood_pointwise(POINTS)
    assert found.shape == (3, n)
    for m, s, row in zip(mean, std, found, strict=True):
        matrix = data.covariance.copy()
        if likelihood == "hartlap":
            matrix = matrix / hartlap_factor(count, n)
        if noise == "both":
            matrix = matrix + np.diag(s**2 + 1e-6)

        def log_density(keep, m=m, matrix=matrix):
            part = matrix[np.ix_(keep, keep)]
            if likelihood == "sellentin-heavens":
                df = count - n  # parts of a multivariate t have its degrees of freedom
                return stats.multivariate_t.logpdf(
                    data.vector[keep], m[keep], part * (count - 1) / df, df=df
                )
            return stats.multivariate_normal.logpdf(data.vector[keep], m[keep], part)

        every = np.arange(n)
        wanted = [log_density(every) - log_density(np.delete(every, i)) for i in every]
        np.testing.assert_allclose(row, wanted, rtol=1e-8)


@pytest.mark.parametrize("likelihood", ["gaussian", "sellentin-heavens"])
def test_drawn_data_have_the_covariance(likelihood) -> None:
    emulator, count, tries = AnalyticEmulator(), 60, 20_000
    data = measured(emulator, ("omega", "eta"), count).cut(r_max=10)
    density = LogPosterior(emulator, data, fixed=HOD, likelihood=likelihood)
    drawn = density.draw_data(np.repeat(POINTS[:1], tries, axis=0), seed=1)
    assert np.isnan(drawn["omega"][:, -1]).all()  # cut
    every = np.concatenate([drawn[name] for name in data.statistics], axis=1)[:, data.rows]
    mean, _ = means(emulator, data, POINTS[:1])
    df = count - data.vector.size
    wanted = data.covariance
    if likelihood == "sellentin-heavens":  # variance of a t: df/(df - 2) times its scale
        wanted = wanted * (count - 1) / df * df / (df - 2)
    error = np.sqrt(np.diag(wanted))
    assert (np.abs(every.mean(axis=0) - mean[0]) < 4.5 * error / np.sqrt(tries)).all()
    differ = (np.cov(every.T) - wanted) / np.outer(error, error)
    # sqrt(2/n) of a variance, and heavier tails: kurtosis of a t of 48 degrees is 3.1.
    assert np.abs(differ).max() < 5 * np.sqrt(2.2 / tries)
    again = density.draw_data(np.repeat(POINTS[:1], tries, axis=0), seed=1)
    np.testing.assert_array_equal(again["eta"], drawn["eta"])


# ---------------------------------------------------------------------- joint statistics
def test_cross_covariance_of_statistics_counts() -> None:
    emulator = AnalyticEmulator()
    bins = emulator.edges.size - 1
    rng = RNG(5)
    values = {"xi": 3 + rng.normal(size=bins), "omega": 0.1 * rng.normal(size=bins)}
    root = rng.normal(size=(2 * bins, 5 * bins))
    full = root @ root.T / (5 * bins)
    sigma = np.repeat([0.5, 0.02], bins)
    full = full * np.outer(sigma, sigma)
    blocks = full.copy()
    blocks[:bins, bins:] = blocks[bins:, :bins] = 0
    found = []
    for covariance in (full, blocks):
        data = Observation(emulator.edges, **values, covariance=covariance)
        density = LogPosterior(emulator, data, fixed=HOD)
        mean, _ = means(emulator, data, POINTS)
        wanted = [stats.multivariate_normal.logpdf(data.vector, m, covariance) for m in mean]
        found.append(density.log_likelihood(POINTS))
        np.testing.assert_allclose(found[-1], wanted, rtol=1e-9)
    assert np.abs(found[0] - found[1]).min() > 0.1
    # Of both together with one statistic cut to nothing but that one is left.
    alone = Observation(emulator.edges, **values, covariance=full).select("omega")
    np.testing.assert_allclose(alone.covariance, full[bins:, bins:])


# ---------------------------------------------------------------------- files
EDGES = np.array([0.5, 1, 2, 4])
MATRIX = sample_covariance(6, 30)


def write_matrix(path, matrix, *, count=None, head=None):
    kind = path.suffix
    if kind == ".npy":
        np.save(path, matrix)
    elif kind in (".csv", ".txt"):
        comma = "," if kind == ".csv" else " "
        lines = [comma.join(map(repr, row)) for row in matrix.tolist()]
        if head:
            lines.insert(0, comma.join(head))
        if count:
            lines.insert(0, f"# covariance_from = {count}")
        path.write_text("\n".join(lines) + "\n")
    elif kind == ".ecsv":
        table = Table({f"c{k}": column for k, column in enumerate(matrix.T)})
        if count:
            table.meta["covariance_from"] = count
        table.write(path, format="ascii.ecsv")
    else:
        with h5py.File(path, "w") as file:
            file["covariance"] = matrix
            if count:
                file.attrs["realizations"] = count


def write_table(path, **columns):
    Table({"r_lo": EDGES[:-1], "r_hi": EDGES[1:], **columns}).write(path, format="ascii.csv")


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".txt", ".ecsv", ".h5", ".hdf5"])
@pytest.mark.parametrize("head", [None, [f"value{k}" for k in range(6)]])
@pytest.mark.parametrize("count", [None, 30])
def test_covariance_from_a_file(tmp_path, suffix, head, count) -> None:
    write_matrix(tmp_path / f"c{suffix}", MATRIX, count=count, head=head)
    matrix, said = read_covariance(tmp_path / f"c{suffix}")
    np.testing.assert_array_equal(matrix, MATRIX)
    assert said == (None if suffix == ".npy" else count)
    write_table(tmp_path / "data.csv", omega=[1.0, 2, 3], eta=[4.0, 5, 6])
    path = tmp_path / f"c{suffix}"
    seen = Observation.read(tmp_path / "data.csv", covariance=path)
    np.testing.assert_allclose(seen.covariance, MATRIX, rtol=1e-14)
    assert seen.covariance_from == said
    assert Observation.read(tmp_path / "data.csv", covariance=path,
                            covariance_from=99).covariance_from == 99  # fmt: skip
    some = Observation.read(tmp_path / "data.csv", covariance=path, statistics="eta")
    np.testing.assert_allclose(some.covariance, MATRIX[3:, 3:], rtol=1e-14)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".npy"])
def test_covariance_beside_a_table(tmp_path, suffix) -> None:
    write_table(tmp_path / "data.csv", omega=[1.0, 2, 3], eta=[4.0, 5, 6], omega_err=[1.0, 1, 1])
    write_matrix(tmp_path / f"data_cov{suffix}", MATRIX)
    seen = Observation.read(tmp_path / "data.csv")
    np.testing.assert_allclose(seen.covariance, MATRIX, rtol=1e-14)
    given = Observation.read(tmp_path / "data.csv", covariance=2 * MATRIX)
    np.testing.assert_allclose(given.covariance, 2 * MATRIX, rtol=1e-14)
    # Another table's is not taken.
    write_table(tmp_path / "other.csv", omega=[1.0, 2, 3])
    assert Observation.read(tmp_path / "other.csv").covariance is None


@pytest.mark.parametrize("kind", ["ecsv", "h5"])
def test_files_say_how_many_realizations_and_which_box(tmp_path, kind) -> None:
    path = tmp_path / f"data.{kind}"
    said = {"covariance_from": 30, "boxsize": 60.0, "redshift": 0.5, "mdef": "200m"}
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["edges"], file["omega"], file["covariance"] = EDGES, [1, 2, 3], MATRIX[:3, :3]
            file.attrs.update(said)
    else:
        table = Table({"r_lo": EDGES[:-1], "r_hi": EDGES[1:], "omega": [1.0, 2, 3]})
        table.meta.update(said | {"covariance": MATRIX[:3, :3].tolist()})
        table.write(path, format="ascii.ecsv")
    seen = Observation.read(path)
    assert seen.covariance_from == 30
    assert seen.box == {"boxsize": 60.0, "redshift": 0.5, "mdef": "200m"}
    assert Observation.read(path, boxsize=80).box["boxsize"] == 80


def test_correlations_bring_their_covariance() -> None:
    empty = np.arange(6) % 3 == 1
    result = SimpleNamespace(
        edges=EDGES, npairs=np.array([3, 0, 5]), xi=np.array([1.0, -1, 2]),
        omega=np.array([1.0, np.nan, 3]), eta=np.full(3, np.nan),
        covariance=np.where(empty | empty[:, None], np.nan, MATRIX), realizations=27,
        settings={"boxsize": (30.0, 30.0, 60.0), "periodic": True, "boxes": 4},
    )  # fmt: skip
    seen = Observation.of(result, on_bad="drop")
    rows = [0, 2, 3, 5]
    assert seen.rows.tolist() == rows
    np.testing.assert_allclose(seen.covariance, MATRIX[np.ix_(rows, rows)], rtol=1e-14)
    assert seen.covariance_from == 27
    assert seen.box == {"boxsize": (30.0, 30.0, 60.0), "boxes": 4}
    some = Observation.of(result, statistics="omega", on_bad="drop")
    np.testing.assert_allclose(some.covariance, MATRIX[np.ix_([3, 5], [3, 5])], rtol=1e-14)


def test_correlations_with_errors_go_into_a_posterior(tmp_path) -> None:
    """In every form they come: the result, its files, means of boxes."""
    rng = RNG(1)

    def correlated(**options):
        n, boxsize = 4000, (60.0, 60.0, 90.0)
        return box_correlations(
            rng.uniform(0, 1, (n, 3)) * boxsize, rng.normal(size=(n, 3)), boxsize=boxsize,
            bins=[2, 4, 8, 16], **options,
        )  # fmt: skip

    single = correlated(resampling="jackknife:3x3x3")
    mean = BoxCorrelations.combine([correlated() for _ in range(15)])
    for result, count in ((single, 27), (mean, 15)):
        assert result.realizations == count
        for suffix in ("ecsv", "h5", "csv"):
            result.write(tmp_path / f"r.{suffix}", overwrite=True)
        for name, data in {
            "of": Observation.of(result),
            **{s: Observation.read(tmp_path / f"r.{s}") for s in ("ecsv", "h5", "csv")},
        }.items():
            np.testing.assert_array_equal(data.rows, np.arange(9))
            np.testing.assert_allclose(data.covariance, result.covariance, rtol=1e-12)
            assert data.covariance_from == count
            if name != "csv":  # which has no place for it
                assert data.box["boxsize"] == (60.0, 60.0, 90.0)
                assert data.box.get("boxes", 1) == (15 if count == 15 else 1)
        some = Observation.read(tmp_path / "r.h5", statistics="omega,eta")
        np.testing.assert_allclose(some.covariance, result.covariance[3:, 3:], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "1,2\n3,x\n", "line 2 must be numbers: 3,x"),
        ("c.csv", "1,2\n3\n", r"2 rows of \[1, 2\] numbers, which is not square"),
        ("c.txt", "a b\n", r"0 rows of \[\] numbers"),
        ("c.csv", "1,0\n0,1\n", r"covariance has shape \(2, 2\); the data are 3 values"),
        ("c.dot", "1", "unknown suffix; a covariance is in .npy, .csv"),
        ("c.npy", "1", "c.npy: holds no covariance|cannot be read as .npy"),
        ("c.h5", "1", "cannot be read as .h5"),
        ("none.csv", None, "no such covariance: .*none.csv"),
    ],
)
def test_bad_covariance_files(tmp_path, name, text, message) -> None:
    write_table(tmp_path / "data.csv", omega=[1.0, 2, 3])
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Observation.read(tmp_path / "data.csv", covariance=tmp_path / name)
