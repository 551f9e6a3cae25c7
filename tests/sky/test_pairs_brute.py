"""The pair sums against plain NumPy: sizes, edges, coincident and antipodal pairs, memory."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from helpers.sky_twins import all_sky, field, pair_twin, random_rotation, replaced, rotated
from pysoftcorr import Catalog, gamma_t, xi_pm
from pysoftcorr.sky.binning import RADIANS, Binning
from pysoftcorr.sky.pairs import Objects, pair_sums

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*hold no pairs"),
    pytest.mark.filterwarnings("ignore:.*at one place"),
]

LINEAR = Binning.linear(0, 45, 8)
LOG = Binning.log(0.5, 50, 20)
WIDE = Binning.linear(0, 180, 9, unit="deg")
FINE = Binning.linear(1, 60, 300)


def agrees(result, twin, *, shear="xip", tol=1e-10):
    scale = RADIANS[result.bins.unit]
    if shear == "xip":
        np.testing.assert_array_equal(result.npairs, twin.npairs)
        np.testing.assert_allclose(result.weight, twin.weight, rtol=1e-12)
        np.testing.assert_allclose(result.theta * scale, twin.theta, rtol=tol, atol=1e-16)
    else:
        np.testing.assert_array_equal(result.npairs, twin.apart)
    np.testing.assert_allclose(result.logtheta + np.log(scale), twin.logtheta, rtol=tol, atol=tol)
    expected = getattr(twin, shear)
    np.testing.assert_allclose(result.value + 1j * result.imag, expected, rtol=0, atol=tol)


# Leaves hold 32 objects in vectors of eight: sizes on both sides of every boundary.
@pytest.mark.parametrize("n", [2, 3, 8, 9, 31, 32, 33, 64, 65, 257])
@pytest.mark.parametrize("bins", [LINEAR, LOG, FINE], ids=["linear", "log", "fine"])
def test_sizes(n, bins):
    cat, other = field(n, n), field(n + 1, max(1, n // 3))
    done, twin = xi_pm(cat, bins), pair_twin(cat, bins)
    agrees(done.xip, twin)
    agrees(done.xim, twin, shear="xim")
    done, twin = xi_pm(cat, bins, catalog2=other), pair_twin(cat, bins, other)
    agrees(done.xip, twin)
    agrees(done.xim, twin, shear="xim")
    agrees(gamma_t(other, cat, bins).gamma_t, pair_twin(other, bins, cat), shear="gamma_t")


@pytest.mark.slow
@pytest.mark.parametrize("bins", [LINEAR, LOG, Binning.explicit([3, 4, 20, 90])])
def test_some_thousand_objects(bins):
    cat = field(5, 1200, dec0=-40)
    done, twin = xi_pm(cat, bins), pair_twin(cat, bins)
    agrees(done.xip, twin)
    agrees(done.xim, twin, shear="xim")


@pytest.mark.parametrize(
    ("n", "bins"), [(40, WIDE), (400, WIDE), (400, Binning.parse("edges:0,10800"))]
)
def test_whole_sky(n, bins):
    cat = all_sky(n, n)
    done = xi_pm(cat, bins)
    agrees(done.xip, pair_twin(cat, bins))
    agrees(done.xim, pair_twin(cat, bins), shear="xim")
    assert done.xip.npairs.sum() == n * (n - 1) / 2


def test_clumps():
    rng = np.random.default_rng(3)
    ra = np.repeat(rng.uniform(359.5, 360.5, 40) % 360, 10) + rng.normal(0, 1e-7, 400)
    dec = np.repeat(rng.uniform(-0.5, 0.5, 40), 10) + rng.normal(0, 1e-7, 400)
    cat = replaced(field(4, 400), ra=ra, dec=dec)
    for bins in (LINEAR, LOG, Binning.log(1e-6, 60, 12)):
        done, twin = xi_pm(cat, bins), pair_twin(cat, bins)
        # within a clump directions are only known to 1e-16/1e-9
        agrees(done.xip, twin, tol=1e-7)


@pytest.mark.parametrize("n", [6, 70, 600])
def test_coincident_objects(n):
    cat = field(6, n)
    where = np.r_[np.arange(n - 2), 0, 1]  # the last two lie on the first two
    cat = replaced(cat, ra=cat.ra[where], dec=cat.dec[where])
    done = xi_pm(cat, LINEAR).xip
    agrees(done, pair_twin(cat, LINEAR))
    assert done.npairs[0] >= 2
    assert np.isfinite(done.value[0])
    assert np.isfinite(done.logtheta[pair_twin(cat, LINEAR).apart > 0]).all()
    # bins above 0 do not see them
    agrees(xi_pm(cat, LOG).xip, pair_twin(cat, LOG))


@pytest.mark.parametrize("bins", [LINEAR, LOG, Binning.log(0.5, 60, 3)])
def test_catalog_with_itself(bins):
    """Two catalogs at the same places: objects of either meet at theta = 0."""
    cat = field(7, 300)
    done = xi_pm(cat, bins, catalog2=cat)
    agrees(done.xip, pair_twin(cat, bins, cat))
    agrees(done.xim, pair_twin(cat, bins, cat), shear="xim")
    if bins.edges[0] == 0:
        assert done.xip.npairs[0] == 2 * xi_pm(cat, bins).xip.npairs[0] + 300


def test_all_objects_in_one_place():
    cat = replaced(field(8, 100), ra=np.full(100, 33.0), dec=np.full(100, -7.0))
    done = xi_pm(cat, LINEAR).xip
    assert done.npairs[0] == 100 * 99 / 2
    assert done.theta[0] == 0
    assert xi_pm(cat, LINEAR).xim.npairs[0] == 0
    assert xi_pm(cat, LOG).xip.npairs.sum() == 0


def test_zero_weights_are_as_if_absent():
    cat = field(9, 200)
    w = cat.w.copy()
    w[::3] = 0
    kept = xi_pm(cat[w > 0], LOG).xip
    done = xi_pm(replaced(cat, w=w), LOG).xip
    np.testing.assert_array_equal(done.npairs, kept.npairs)
    np.testing.assert_allclose(done.value, kept.value, rtol=1e-12)
    lonely = xi_pm(replaced(cat, w=np.r_[1.0, np.zeros(199)]), LOG).xip
    assert lonely.npairs.sum() == 0
    assert np.isnan(lonely.value).all()


def test_pairs_on_an_edge_belong_above():
    """Objects ten arcmin apart in a row: bin k holds k 10' <= theta < (k + 1) 10'."""
    for ra0 in (0.0, 150.1, 359.9):
        for dec in (False, True):
            steps = np.arange(6) * (10 / 60)
            cat = Catalog(
                ra=np.full(6, ra0) if dec else (ra0 + steps) % 360,
                dec=steps if dec else np.zeros(6), g1=np.zeros(6), g2=np.zeros(6),
            )  # fmt: skip
            done = xi_pm(cat, "linear:0:60:6").xip
            np.testing.assert_array_equal(done.npairs, [0, 5, 4, 3, 2, 1])


def test_octahedron():
    """Twelve pairs at 90 degrees, three antipodal ones, which the last bin to 180 holds."""
    cat = Catalog(
        ra=[0.0, 90, 180, 270, 0, 0], dec=[0.0, 0, 0, 0, 90, -90], g1=np.ones(6) / 8, g2=np.zeros(6)
    )
    for turn in (np.eye(3), random_rotation(1), random_rotation(2)):
        turned = rotated(cat, turn)
        counts = xi_pm(turned, Binning.linear(0, 180, 4, unit="deg")).xip.npairs
        np.testing.assert_array_equal(counts, [0, 0, 12, 3])
        assert xi_pm(turned, Binning.linear(0, 90, 2, unit="deg")).xip.npairs.sum() == 0
        assert xi_pm(turned, Binning.linear(90, 170, 2, unit="deg")).xip.npairs[0] == 12


def test_theta_near_half_a_turn():
    """The angle of almost antipodal pairs keeps its digits; 2 asin(d/2) would lose half."""
    ra = np.r_[np.full(20, 10.0), np.full(20, 190.0)]
    dec = np.r_[np.zeros(20), np.linspace(1e-4, 2e-4, 20)]
    cat = Catalog(ra=ra, dec=dec, g1=np.zeros(40), g2=np.zeros(40))
    done = xi_pm(cat[:20], "edges:10700,10800", catalog2=cat[20:]).xip
    theta = done.theta[0] * RADIANS["arcmin"]
    assert abs(theta - (np.pi - np.radians(1.5e-4))) < 5e-15


def test_separation_against_astropy():
    """Single pairs from 1e-7 degrees to almost 180, everywhere; among them 12' in Dec at COSMOS.

    A latitude taken for a longitude would make 10.4' of those.
    """
    rng = np.random.default_rng(2)
    ra1, dec1 = rng.uniform(0, 360, 60), np.degrees(np.arcsin(rng.uniform(-1, 1, 60)))
    reach, bearing = 10 ** rng.uniform(-7, 2.24, 60), rng.uniform(0, 360, 60)
    first = SkyCoord(ra1, dec1, unit="deg")
    second = first.directional_offset_by(bearing * u.deg, reach * u.deg)
    ra2, dec2 = second.ra.deg, second.dec.deg
    ra1, dec1 = np.r_[ra1, 150.1, 359.99, 0], np.r_[dec1, 2.2, 85, 90]
    ra2, dec2 = np.r_[ra2, 150.1, 0.01, 180], np.r_[dec2, 2.4, 85, 85]
    want = SkyCoord(ra1, dec1, unit="deg").separation(SkyCoord(ra2, dec2, unit="deg")).rad
    everything = Binning.explicit([0, np.pi], "rad")
    got = []
    for a, d, b, e in zip(ra1, dec1, ra2, dec2, strict=True):
        pair = Catalog(ra=[a, b], dec=[d, e], g1=[0.0, 0], g2=[0.0, 0])
        got.append(xi_pm(pair, everything).xip.theta[0])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    assert abs(np.degrees(got[60]) * 60 - 12) < 1e-9


def test_many_weightings_at_once_equal_one_by_one():
    cat = field(10, 150)
    rng = np.random.default_rng(1)
    w = rng.poisson(1.0, (5, 150)) * cat.w
    fields = np.stack([cat.g1, cat.g2], axis=1)[None]
    squares = (w**2).sum(axis=1)
    together = pair_sums("gg", Objects(cat.xyz[None], w, fields, squares), None, LOG).every
    for k in range(5):
        alone = Objects(cat.xyz[None], w[k : k + 1], fields, squares[k : k + 1])
        single = pair_sums("gg", alone, None, LOG).every
        np.testing.assert_array_equal(together.npairs[k], single.npairs[0])
        np.testing.assert_allclose(together.weight[k], single.weight[0], rtol=1e-12)
        np.testing.assert_allclose(together.products[k], single.products[0], atol=1e-12)


def test_memory_is_flat(fresh):
    """Ten thousand objects, 5e7 pairs: an N x N array would take 800 MB."""
    code = """
    import resource, numpy as np
    from pysoftcorr import Catalog, xi_pm
    def run(n):
        rng = np.random.default_rng(1)
        ra, dec = rng.uniform(0, 1, (2, n))
        cat = Catalog(ra=ra, dec=dec, g1=np.zeros(n), g2=np.zeros(n))
        xi_pm(cat, "log:0.5:50:10")
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    small = run(500)
    print((run(10_000) - small) / 1024)
    """
    assert float(fresh(code).stdout) < 200
