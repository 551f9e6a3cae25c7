"""Epistemic against aleatoric error, amplitudes, and the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from pysoftcorr.sky.assessment import TOLERANCE, find
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.result import Correlation

LIMIT = np.sqrt((1 + TOLERANCE) ** 2 - 1)  # of epistemic over aleatoric
BINS = Binning.linear(0, 4, 4)
DRAWS = np.array([-1.0, 1.0])[:, None] * np.ones(4)  # sigma = sqrt(2) in every bin


def statistic(value, *, epistemic=None, aleatoric=None, shot=1.0, name="rho1", **settings):
    value = np.asarray(value, dtype=float)
    return Correlation(
        name=name,
        bins=BINS,
        theta=BINS.centers,
        logtheta=np.log(BINS.centers),
        value=value,
        imag=np.zeros(4),
        npairs=np.full(4, 10),
        weight=np.full(4, 10.0),
        varshot=np.full(4, shot**2),
        epistemic=None if epistemic is None else np.asarray(epistemic) * DRAWS,
        aleatoric=None if aleatoric is None else np.asarray(aleatoric) * DRAWS,
        aleatoric_method=None if aleatoric is None else "bootstrap",
        settings=settings,
    )


def test_ratio_per_bin_and_its_median():
    found = find({"rho1": statistic(np.zeros(4), epistemic=[1, 2, 3, 8], aleatoric=[2, 2, 2, 0])})
    np.testing.assert_allclose(found.ratio["rho1"], [0.5, 1.0, 1.5, np.nan])
    assert found.median["rho1"] == pytest.approx(1.0)


@pytest.mark.parametrize("ratio", [0.9 * LIMIT, 1.1 * LIMIT])
def test_verdict_turns_at_the_epistemic_limit(ratio):
    found = find(
        {"rho1": statistic(np.zeros(4), epistemic=np.full(4, ratio), aleatoric=np.ones(4))}
    )
    assert found.skip is bool(ratio > LIMIT)
    assert ("skip the clustering" in found.verdict) is found.skip
    assert f"{ratio:.2f}" in found.verdict


def test_amplitude_is_the_factor_between_clusters_and_all_pairs():
    naive = statistic([4.0, 3.0, 2.0, 1.0], shot=0.1)
    clustered = statistic([3.2, 2.4, 1.6, 0.8], epistemic=np.full(4, 0.01), aleatoric=np.ones(4))
    soft = statistic([2.0, 1.5, 1.0, 0.5])
    found = find({"rho1": clustered}, naive={"rho1": naive}, soft={"rho1": soft})
    assert found.amplitude["greedy"]["rho1"] == pytest.approx(0.8)
    assert found.amplitude["soft"]["rho1"] == pytest.approx(0.5)
    assert found.detected == {"rho1": True}
    assert found.skip is True  # the errors alone would let it pass
    assert "-20 %" in found.verdict


def test_amplitude_of_what_is_not_detected_has_no_part():
    naive = statistic([0.4, -0.3, 0.2, 0.1], shot=1.0)
    clustered = statistic([-4.0, 3.0, 2.0, 0.8], epistemic=np.full(4, 0.1), aleatoric=np.ones(4))
    found = find({"rho1": clustered}, naive={"rho1": naive})
    assert found.detected == {"rho1": False}
    assert found.skip is False
    assert "*" in found.summary()


def test_empty_bins_are_left_out_of_the_amplitude():
    naive = statistic([4.0, np.nan, 2.0, 1.0], shot=0.1)
    clustered = statistic([2.0, 7.0, 1.0, np.nan])
    found = find({"rho1": clustered}, naive={"rho1": naive})
    assert found.amplitude["greedy"]["rho1"] == pytest.approx(0.5)


def test_the_column_is_called_after_the_assignment():
    naive = {"rho1": statistic([4.0, 3.0, 2.0, 1.0], shot=0.1)}
    sampled = {"rho1": statistic([4.0, 3.0, 2.0, 1.0], assignment="sampled")}
    assert list(find(sampled, naive=naive).amplitude) == ["sampled"]


def test_nothing_is_said_without_errors_and_all_pairs():
    found = find({"rho1": statistic(np.ones(4))})
    assert found.skip is None
    assert found.to_dict()["ratio"]["rho1"] == [None] * 4


def test_what_is_lacking_is_named():
    with pytest.raises(ValueError, match="naive lacks rho1"):
        find({"rho1": statistic(np.ones(4))}, naive={"xip": statistic(np.ones(4), name="xip")})
    with pytest.raises(ValueError, match="at least one statistic"):
        find({})
