"""TreeCorr on the catalogs of the tests: every pair, and what must agree with it."""

from __future__ import annotations

import numpy as np
import pytest


def treecorr_catalog(cat):
    treecorr = pytest.importorskip("treecorr")
    return treecorr.Catalog(
        ra=cat.ra, dec=cat.dec, ra_units="deg", dec_units="deg", w=cat.w, g1=cat.g1, g2=cat.g2
    )


def reference(kind, bins, *catalogs, **options):
    """A TreeCorr correlation of every pair."""
    treecorr = pytest.importorskip("treecorr")
    done = getattr(treecorr, kind)(
        min_sep=bins.edges[0], max_sep=bins.edges[-1], nbins=bins.nbins, sep_units=bins.unit,
        bin_type=bins.kind.capitalize(), metric="Arc", brute=True, **options,
    )  # fmt: skip
    done.process(*catalogs)
    return done


def same_pairs(result, done, orders=1):
    """Counts, weights and separations."""
    np.testing.assert_array_equal(result.npairs, orders * done.npairs)
    np.testing.assert_allclose(result.weight, orders * done.weight, rtol=1e-10)
    full = done.npairs > 0
    np.testing.assert_allclose(result.theta[full], done.meanr[full], rtol=1e-10)
    np.testing.assert_allclose(result.logtheta[full], done.meanlogr[full], atol=1e-10)
