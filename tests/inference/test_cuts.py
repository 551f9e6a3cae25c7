"""Scale cuts, edges to five digits, bins that are a part of the emulator's, and CSV."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from helpers.analytic_emulator import HOD, AnalyticEmulator
from pysoftcorr.inference import LogPosterior, Observation
from pysoftcorr.inference.covariance import read_covariance

RNG = np.random.default_rng


def measured(edges, names=("omega", "eta"), seed=3) -> Observation:
    n = len(names) * (len(edges) - 1)
    root = RNG(seed).normal(size=(n, 3 * n))
    values = RNG(seed + 1).normal(0, 0.1, (len(names), len(edges) - 1))
    return Observation(
        edges, **dict(zip(names, values, strict=True)), covariance=root @ root.T / (300 * n)
    )


EDGES = np.array([0.5, 1, 2, 4, 8, 16])


@pytest.mark.parametrize(
    ("cuts", "kept"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"r_min": 1}, [1, 2, 3, 4]),
        ({"r_min": 1.001}, [2, 3, 4]),
        ({"r_min": 1.00001}, [1, 2, 3, 4]),  # the same five digits
        ({"r_max": 8.5}, [0, 1, 2, 3]),
        ({"r_max": 7.99}, [0, 1, 2]),
        ({"r_min": 0.9, "r_max": 5}, [1, 2]),
        ({"bins": [2, 4, 8]}, [2, 3]),
        ({"bins": "log:1:16:4", "r_max": 9}, [1, 2, 3]),
    ],
)
def test_cuts_leave_whole_bins_with_their_covariance(cuts, kept) -> None:
    whole = measured(EDGES)
    some = whole.cut(**cuts)
    rows = [*kept, *(5 + k for k in kept)]
    assert some.rows.tolist() == rows
    np.testing.assert_array_equal(some.vector, whole.vector[rows])
    np.testing.assert_array_equal(some.covariance, whole.covariance[np.ix_(rows, rows)])
    assert whole.rows.size == 10  # untouched
    # Cuts and choices of statistics come in any order.
    for chosen in ("omega", "eta"):
        a, b = some.select(chosen), whole.select(chosen).cut(**cuts)
        assert a.rows.tolist() == b.rows.tolist() == kept
        np.testing.assert_array_equal(a.vector, b.vector)
        np.testing.assert_array_equal(a.covariance, b.covariance)


@pytest.mark.parametrize(
    ("cuts", "text"),
    [
        ({"r_min": 2, "r_max": 2}, "r_min = 2: must be below r_max, 2 Mpc/h"),
        ({"r_min": 20}, "leave none of the bins"),
        ({"r_min": 1.1, "r_max": 1.9}, "leave none of the bins"),
        ({"bins": [1, 4, 8]}, "2 bins from 1 to 8 Mpc/h are not among the bins of the data"),
        ({"bins": [8, 16, 32]}, "not among"),
        ({"r_max": np.nan}, "r_max"),
    ],
)
def test_bad_cuts(cuts, text) -> None:
    with pytest.raises(ValueError, match=text):
        measured(EDGES).cut(**cuts)


@pytest.mark.parametrize("digits", [5, 6, 17])
@pytest.mark.parametrize("part", [slice(0, 7), slice(2, 7), slice(1, 5)])
def test_likelihood_of_rounded_edges_and_of_a_part_of_the_bins(digits, part) -> None:
    emulator = AnalyticEmulator()
    edges = np.array([float(f"{edge:.{digits}g}") for edge in emulator.edges])[part]
    data = measured(edges)
    density = LogPosterior(emulator, data, fixed=HOD)
    places = np.arange(len(emulator.edges) - 1)[part.start : part.stop - 1]
    params = np.array([0.5, -0.2, *HOD.values()])
    import torch

    made = emulator.mean_and_std(torch.tensor(params))
    mean = np.concatenate([made[name][0].numpy()[places] for name in data.statistics])
    wanted = stats.multivariate_normal.logpdf(data.vector, mean, data.covariance)
    assert density.log_likelihood([0.5, -0.2]) == pytest.approx(wanted, rel=1e-9)
    np.testing.assert_array_equal(density.observation.edges, emulator.edges)


def test_edges_that_differ_in_the_fourth_digit_are_others() -> None:
    emulator = AnalyticEmulator()
    edges = np.array(emulator.edges)
    edges[2] *= 1.0003
    with pytest.raises(ValueError, match=r"must be equal.*edge 2 is the first that differs"):
        LogPosterior(emulator, measured(edges), fixed=HOD)


def test_gaps_are_refused_within_the_cuts_alone() -> None:
    data = Observation(EDGES, omega=[np.nan, 1, 2, 3, np.nan], on_bad="drop", source="a.csv")
    data.cut(r_min=1, r_max=8).refuse_gaps()
    data.on("log:0.25:16:6").cut(r_min=1, r_max=8).refuse_gaps()
    with pytest.raises(ValueError, match=r"a.csv: the data hold nan: omega in bins \[4\]: no"):
        data.cut(r_min=1).refuse_gaps()


CSV = """# measured by hand
r_lo,r_hi,omega,omega_err,eta,npairs
0.50000,1.0000,0.25,0.01,,3
1.0000,2.0000,0.125,0.02,0.5,4
2.0000,4.0000,0.0625,0.03,0.25,0
"""


def test_a_csv_table(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV.split("\n", 1)[1])
    seen = Observation.read(path, statistics="omega", on_bad="drop")
    assert seen.vector.tolist() == [0.25, 0.125]  # the third bin has no pairs
    np.testing.assert_allclose(seen.covariance, np.diag([0.0001, 0.0004]))
    with pytest.raises(ValueError, match=r"a.csv: the data hold nan: omega in bins \[2\]"):
        Observation.read(path, statistics="omega")
    with pytest.raises(ValueError, match="errors: those of eta are lacking"):
        Observation.read(path, on_bad="drop")
    with pytest.raises(ValueError, match=r"a.csv: statistics: the data hold omega, eta, not xi"):
        Observation.read(path, statistics="xi")
    path.write_text(CSV.split("\n", 1)[1].replace("0.0625", "much"))
    with pytest.raises(ValueError, match=r"a.csv: column omega must be numbers"):
        Observation.read(path)
    path.write_text("r,omega\n1,2\n")
    with pytest.raises(ValueError, match="holds no data for a posterior: columns r_lo"):
        Observation.read(path)
    path.write_text("r_lo,r_hi,omega\n1,2,0\n3,4,0\n")
    with pytest.raises(ValueError, match="do not join"):
        Observation.read(path)


def test_statistics_are_chosen_before_their_covariance_is_checked(tmp_path) -> None:
    import h5py

    covariance = np.diag([1.0, 2, 3, 4, 5, -1])  # eta's is none
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, value in (("edges", EDGES[:4]), ("omega", [1, 2, 3]), ("eta", [4, 5, 6]),
                            ("covariance", covariance)):  # fmt: skip
            file[name] = value
    seen = Observation.read(tmp_path / "a.h5", statistics="omega")
    np.testing.assert_array_equal(seen.covariance, np.diag([1.0, 2, 3]))
    with pytest.raises(ValueError, match="the variance of value 5 is -1"):
        Observation.read(tmp_path / "a.h5")


def few_boxes(nbox, seed=2):
    """Values of ten bins and their covariance by a number of boxes."""
    sample = RNG(seed).normal(size=(nbox, 10))
    return sample.mean(axis=0), np.cov(sample, rowvar=False)


@pytest.mark.parametrize("said", [True, False], ids=["number known", "number not known"])
@pytest.mark.parametrize(
    ("nbox", "cuts", "fits"),
    [(8, {}, False), (8, {"r_min": 0.2}, False), (8, {"r_min": 2}, True), (9, {"r_max": 1}, True)],
)
def test_a_singular_covariance_may_be_cut_to_one_that_is_not(said, nbox, cuts, fits) -> None:
    values, covariance = few_boxes(nbox)
    emulator = AnalyticEmulator(bins=5)
    seen = Observation(
        emulator.edges, omega=values[:5], eta=values[5:], covariance=covariance,
        covariance_from=nbox if said else None,
    ).cut(**cuts)  # fmt: skip

    def target() -> LogPosterior:
        return LogPosterior(emulator, seen, fixed=HOD)

    if fits:
        assert np.isfinite(target().log_likelihood([0.1, -0.2]))
        return
    rows = seen.rows.size
    text = f"covariance_from = {nbox}: .* of {rows} values" if said or nbox > rows else "rank"
    with pytest.raises(ValueError, match=text):
        target()


def test_values_without_an_error_are_dropped_or_refused() -> None:
    covariance = np.diag(np.full(10, 0.01))
    covariance[6] = covariance[:, 6] = np.nan  # eta, in a bin of pairs in one sub-volume
    values = {"omega": np.full(5, 0.1), "eta": np.full(5, 0.2)}
    with pytest.raises(ValueError, match=r"errors are NaN: eta in bins \[1\]: .*on_bad='drop'"):
        Observation(EDGES, **values, covariance=covariance)
    seen = Observation(EDGES, **values, covariance=covariance, on_bad="drop")
    assert seen.rows.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    errors = {"omega": np.full(5, 0.1), "eta": np.array([0.1, np.nan, 0.1, 0.1, 0.1])}
    with pytest.raises(ValueError, match="errors are NaN"):
        Observation(EDGES, **values, errors=errors)
    again = Observation(EDGES, **values, errors=errors, on_bad="drop")
    assert again.rows.tolist() == seen.rows.tolist()
    np.testing.assert_allclose(again.covariance, seen.covariance, rtol=1e-12)


ROWS = [["0.5", "1.0", "0.25", "0.01"], ["1.0", "2.0", "0.125", "0.02"], ["2", "4", "nan", "0.03"]]
NAMES = ["r_lo", "r_hi", "omega", "omega_err"]


@pytest.mark.parametrize("mark", [",", ", ", ";", " ; ", "\t", "  "])
@pytest.mark.parametrize("head", ["{names}", "# made by hand\n#boxsize = 60\n{names}",
                                  "# boxsize: 60\n# {names}", "\ufeff{names}"])  # fmt: skip
def test_csv_as_hands_and_other_programs_write_it(tmp_path, mark, head) -> None:
    path = tmp_path / "a.csv"
    lines = [head.format(names=mark.join(NAMES)), *(mark.join(row) for row in ROWS), ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    seen = Observation.read(path, on_bad="drop")
    np.testing.assert_array_equal(seen.edges, [0.5, 1, 2, 4])
    assert seen.vector.tolist() == [0.25, 0.125]
    np.testing.assert_allclose(np.diag(seen.covariance), [1e-4, 4e-4])
    assert seen.box.get("boxsize") == (60.0 if "boxsize" in head else None)


@pytest.mark.parametrize(
    ("unit", "text"),
    [("Mpc / h", None), ("kpc/h", None), ("Mpc", "r_lo is in Mpc: must be in Mpc/h"),
     ("deg", "must be in Mpc/h")],
)  # fmt: skip
def test_edges_of_a_table_have_a_unit(tmp_path, unit, text) -> None:
    path, scale = tmp_path / "a.ecsv", 1000.0 if unit.startswith("k") else 1.0
    lines = ["# %ECSV 1.0", "# ---", "# datatype:"]
    lines += [f"# - {{name: {n}, unit: {unit}, datatype: float64}}" for n in NAMES[:2]]
    lines += [f"# - {{name: {n}, datatype: float64}}" for n in NAMES[2:]]
    lines += [" ".join(NAMES), *(f"{scale * a} {scale * 2 * a} 0.1 0.1" for a in (0.5, 1, 2))]
    path.write_text("\n".join(lines) + "\n")
    if text is None:
        np.testing.assert_allclose(Observation.read(path).edges, [0.5, 1, 2, 4], rtol=1e-15)
        return
    with pytest.raises(ValueError, match=text):
        Observation.read(path)


def test_errors_under_other_names_are_said(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("r_lo,r_hi,omega,sigma_omega\n1,2,0.1,0.01\n")
    with pytest.warns(UserWarning, match="sigma_omega is not read; errors are in columns such as"):
        Observation.read(path)
    path.write_text("rmin,rmax,omega\n1,2,0.1\n")
    with pytest.raises(ValueError, match=r"columns r_lo and r_hi .* it holds rmin, rmax, omega"):
        Observation.read(path)


def test_a_correlation_matrix_is_no_covariance(tmp_path, recwarn) -> None:
    path = tmp_path / "c.npy"
    np.save(path, np.diag([1.0, 2.0, 1.0]))
    read_covariance(path)
    assert not recwarn.list
    np.save(path, np.array([[1.0, 0.3], [0.3, 1.0]]))
    with pytest.warns(UserWarning, match="c.npy: is 1 all along the diagonal, as a correlation"):
        read_covariance(path)
