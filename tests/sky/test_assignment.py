"""From memberships to clusters: greedy, sampled, soft, Gumbel; diagnostics of memberships."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from helpers.sky_twins import field
from pysoftcorr import Catalog
from pysoftcorr.sky.clustering import SoftClustering


@pytest.fixture(scope="module")
def fit():
    return SoftClustering(n_clusters=6, seed=1).fit(field(1, 40))


def chi_square(counts, u, n):
    """Probability of counts (N, c) as far from n u or farther."""
    expected = n * u
    few = expected < 10  # too few for the chi-square limit: taken together, object by object
    statistic, freedom = 0.0, 0
    for got, want, rare in zip(counts, expected, few, strict=True):
        got, want = np.r_[got[~rare], got[rare].sum()], np.r_[want[~rare], want[rare].sum()]
        got, want = got[want > 0], want[want > 0]
        statistic += np.sum((got - want) ** 2 / want)
        freedom += len(got) - 1
    return chi2.sf(statistic, freedom)


def test_greedy(fit):
    labels = fit.assign()
    assert labels.dtype == np.int64
    assert labels.shape == (40,)
    np.testing.assert_array_equal(labels, fit.memberships.argmax(axis=1))
    np.testing.assert_array_equal(labels, fit.assign("greedy"))


def test_soft_is_a_copy_of_the_memberships(fit):
    share = fit.assign("soft")
    np.testing.assert_array_equal(share, fit.memberships)
    share[:] = 0
    np.testing.assert_allclose(fit.memberships.sum(axis=1), 1)


def test_sampled_labels_follow_the_memberships(fit):
    n = 20_000
    labels = fit.assign("sampled", n=n, seed=3)
    assert labels.shape == (n, 40)
    counts = np.stack([np.bincount(labels[:, i], minlength=6) for i in range(40)])
    assert chi_square(counts, fit.memberships, n) > 1e-3  # fixed seed: .1 % of seeds fail
    # objects are drawn independently of one another: correlations of order 1/sqrt(n)
    hit = (labels == fit.assign()).astype(float)
    correlation = np.corrcoef(hit.T)[np.triu_indices(40, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(n)  # of 780 standard normals, 5 sigma


def test_sampled_shapes_and_seeds(fit):
    one = fit.assign("sampled", seed=5)
    assert one.shape == (40,)
    np.testing.assert_array_equal(one, fit.assign("sampled", n=1, seed=5)[0])
    np.testing.assert_array_equal(one, fit.assign("sampled", n=7, seed=5)[0])
    assert not np.array_equal(one, fit.assign("sampled", seed=6))


def test_gumbel_frequencies_follow_the_memberships(fit):
    """The largest share of the relaxed draw is a draw from U (Gumbel's trick)."""
    n = 4000
    counts = np.zeros((40, 6))
    rng = np.random.default_rng(2)
    for _ in range(n):
        share = fit.assign("gumbel", temperature=0.5, seed=rng)
        counts[np.arange(40), share.argmax(axis=1)] += 1
    assert chi_square(counts, fit.memberships, n) > 1e-3


def test_gumbel_limits(fit):
    hard = fit.assign("gumbel", straight_through=True, seed=1)
    assert set(np.unique(hard)) == {0.0, 1.0}
    np.testing.assert_array_equal(hard.sum(axis=1), 1)
    for temperature in (1e-6, 1e-300):
        np.testing.assert_allclose(
            fit.assign("gumbel", temperature=temperature, seed=1), hard, atol=1e-12
        )
    np.testing.assert_allclose(fit.assign("gumbel", temperature=1e9, seed=1), 1 / 6, atol=1e-7)
    for temperature in (0.1, 1.0, 5.0):
        share = fit.assign("gumbel", temperature=temperature, seed=1)
        np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-14)
        np.testing.assert_array_equal(share.argmax(axis=1), hard.argmax(axis=1))


def test_objects_on_centers():
    """Memberships of exactly 0 are never drawn, by any way of assignment."""
    ra = np.repeat([10.0, 20.0, 30.0], 5)
    fit = SoftClustering(n_clusters=3, seed=1).fit(Catalog(ra=ra, dec=0 * ra))
    np.testing.assert_allclose(fit.max_membership, 1, atol=1e-12)
    labels = fit.assign()
    for draw in fit.assign("sampled", n=200, seed=1):
        np.testing.assert_array_equal(draw, labels)
    share = fit.assign("gumbel", seed=1)
    assert np.isfinite(share).all()
    np.testing.assert_array_equal(share.argmax(axis=1), labels)


def test_diagnostics(fit):
    u = fit.memberships
    np.testing.assert_array_equal(fit.max_membership, u.max(axis=1))
    np.testing.assert_allclose(fit.entropy, -(u * np.log(u)).sum(axis=1), rtol=1e-12)
    assert fit.entropy.min() >= 0
    assert fit.entropy.max() <= np.log(6) + 1e-12
    alone = SoftClustering(n_clusters=1).fit(field(2, 5))
    np.testing.assert_array_equal(alone.entropy, 0)


@pytest.mark.parametrize(
    ("kind", "options", "error", "message"),
    [
        ("hard", {}, ValueError, "kind = 'hard': must be one of greedy, sampled, soft, gumbel"),
        ("sampled", {"n": 0}, ValueError, "n = 0: must be at least 1"),
        ("sampled", {"n": 2.5}, TypeError, "n = 2.5: must be a whole number"),
        ("sampled", {"seed": -1}, ValueError, "seed = -1"),
        ("gumbel", {"temperature": 0}, ValueError, "temperature = 0: must be finite and above 0"),
        ("gumbel", {"temperature": np.nan}, ValueError, "temperature = nan"),
    ],
)
def test_bad_input(fit, kind, options, error, message):
    with pytest.raises(error, match=message):
        fit.assign(kind, **options)
