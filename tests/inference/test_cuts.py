"""Scale cuts, edges to five digits, bins that are a part of the emulator's, and CSV."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from helpers.analytic_emulator import HOD, AnalyticEmulator
from pysoftcorr.inference import LogPosterior, Observation

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
    with pytest.raises(ValueError, match="holds no data for a posterior: edges"):
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
    with pytest.raises(ValueError, match="not positive definite"):
        Observation.read(tmp_path / "a.h5")
