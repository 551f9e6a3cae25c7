"""Flat catalogs: against plain NumPy and TreeCorr, symmetries, units, clusters, resampling."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from helpers.flat_twins import plane, plane_stars, plane_twin
from pysoftcorr import (
    Catalog,
    Jackknife,
    SoftClustering,
    gamma_t,
    landy_szalay,
    rho_statistics,
    xi_pm,
)
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.resampling import patches

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*hold no pairs"),
    pytest.mark.filterwarnings("ignore:.*at one place"),
]
LINEAR, LOG = Binning.linear(0, 45, 8), Binning.log(0.5, 50, 20)
#: Unit, side of the field and offset from the origin.
FIELDS = {
    "arcmin": ("arcmin", 60.0, 0.0),
    "degrees away from the origin": ("deg", 1.0, 150.0),
    "radians": ("rad", np.pi / 180, -0.01),
    "arcsec": ("arcsec", 3600.0, -1800.0),
    "milliarcsec": ("mas", 3.6e6, 0.0),
}


def agrees(result, twin, *, shear="xip", scale=1.0, tol=1e-10):
    """`scale` is units of the twin in one of the bins."""
    np.testing.assert_array_equal(result.npairs, twin.npairs if shear == "xip" else twin.apart)
    some = twin.apart > 0
    if shear == "xip":
        np.testing.assert_allclose(result.weight, twin.weight, rtol=1e-12)
        np.testing.assert_allclose(result.theta * scale, twin.theta, rtol=tol, atol=1e-16)
    np.testing.assert_allclose(
        result.logtheta[some] + np.log(scale), twin.logtheta[some], rtol=tol, atol=tol
    )
    value = result.value + 1j * result.imag
    np.testing.assert_allclose(value, getattr(twin, shear), rtol=0, atol=tol)


@pytest.mark.parametrize("where", FIELDS)
@pytest.mark.parametrize("bins", [LINEAR, LOG], ids=["linear", "log"])
def test_against_plain_numpy(where, bins):
    unit, side, offset = FIELDS[where]
    cat = plane(1, 300, unit=unit, side=side, offset=offset)
    other = plane(2, 120, unit=unit, side=side, offset=offset)
    scale = side / 60
    done, twin = xi_pm(cat, bins), plane_twin(cat, bins.edges * scale)
    agrees(done.xip, twin, scale=scale)
    agrees(done.xim, twin, shear="xim", scale=scale)
    done, twin = xi_pm(cat, bins, catalog2=other), plane_twin(cat, bins.edges * scale, other)
    agrees(done.xip, twin, scale=scale)
    agrees(done.xim, twin, shear="xim", scale=scale)
    done = gamma_t(other, cat, bins).gamma_t
    agrees(done, plane_twin(other, bins.edges * scale, cat), shear="gamma_t", scale=scale)


@pytest.mark.parametrize("n", [2, 3, 8, 9, 31, 33, 65, 257, 900])
def test_sizes_in_pixels(n):
    """Leaves hold 32 objects in vectors of eight: sizes on both sides of every boundary."""
    cat = plane(n, n, unit="pixel", side=4096.0)
    for bins in ("linear:0:5000:10:pixel", "log:2:3000:25:pixel", "edges:0,6000:pixel"):
        done = xi_pm(cat, bins)
        twin = plane_twin(cat, done.bins.edges)
        agrees(done.xip, twin)
        agrees(done.xim, twin, shear="xim")
        assert done.bins.unit == "pixel"


def test_whole_pixels():
    """A lattice: many pairs on edges, many at one separation, and repeated places."""
    x, y = (v.ravel().astype(float) for v in np.meshgrid(np.arange(12), np.arange(9)))
    rng = np.random.default_rng(1)
    x, y = np.r_[x, x[:20]], np.r_[y, y[:20]]
    cat = Catalog(x=x, y=y, xy_unit="pixel", g1=rng.normal(0, 0.1, 128), g2=rng.normal(0, 0.1, 128))
    for edges in (np.arange(16.0), [0, 1, np.sqrt(2), 2, np.sqrt(5), 5, 13]):
        done = xi_pm(cat, Binning.explicit(edges, "pixel"))
        twin = plane_twin(cat, np.asarray(edges) * (1 - 1e-14))
        agrees(done.xip, twin)
        agrees(done.xim, twin, shear="xim")


def test_lattices_in_units_that_round():
    """Objects .1 degrees apart: pairs on an edge belong to the bin above, away from 0 too."""
    for offset in (0.0, 3.7, 150.1):
        at = offset + np.arange(6) * 0.1
        cat = Catalog(x=at, y=at * 0 + 2.2, xy_unit="deg", g1=np.zeros(6), g2=np.zeros(6))
        np.testing.assert_array_equal(xi_pm(cat, "linear:0:36:6").xip.npairs, [0, 5, 4, 3, 2, 1])


# ---- against TreeCorr ----------------------------------------------------------------------------


def theirs(cat, field=None, unit="arcmin"):
    treecorr = pytest.importorskip("treecorr")
    units = {} if unit == "pixel" else {"x_units": unit, "y_units": unit}
    shear = {} if field is None else {"g1": field.real, "g2": field.imag}
    return treecorr.Catalog(x=cat.x, y=cat.y, w=cat.w, **units, **shear)


def their(kind, bins, *catalogs, brute=True):
    treecorr = pytest.importorskip("treecorr")
    units = {} if bins.unit == "pixel" else {"sep_units": bins.unit}
    done = getattr(treecorr, kind)(
        min_sep=bins.edges[0], max_sep=bins.edges[-1], nbins=bins.nbins,
        bin_type=bins.kind.capitalize(), brute=brute, num_threads=1, **units,
    )  # fmt: skip
    done.process(*catalogs)
    return done


@pytest.mark.parametrize(
    ("unit", "side", "bins"),
    [
        ("arcmin", 60.0, Binning.linear(0, 40, 6)),
        ("deg", 1.0, Binning.log(1, 40, 9)),
        ("pixel", 4000.0, Binning.linear(0, 3000, 5, "pixel")),
        ("pixel", 4000.0, Binning.log(100, 3000, 7, "pixel")),
    ],
)
def test_against_treecorr(unit, side, bins):
    cat, other = (plane(k, n, unit=unit, side=side) for k, n in ((1, 300), (2, 200)))
    one, two = theirs(cat, cat.e, unit), theirs(other, other.e, unit)
    gg = their("GGCorrelation", bins, one)
    done = xi_pm(cat, bins)
    for got, value in ((done.xip, gg.xip), (done.xim, gg.xim + 1j * gg.xim_im)):
        np.testing.assert_array_equal(got.npairs, gg.npairs)
        np.testing.assert_allclose(got.value + 1j * got.imag, value, rtol=0, atol=1e-11)
    np.testing.assert_allclose(done.xip.varshot, gg.varxip, rtol=1e-10)
    np.testing.assert_allclose(done.xip.theta, gg.meanr, rtol=1e-11)
    np.testing.assert_allclose(done.xip.logtheta, gg.meanlogr, rtol=1e-11, atol=1e-11)
    cross, gg = xi_pm(cat, bins, catalog2=other), their("GGCorrelation", bins, one, two)
    np.testing.assert_allclose(
        cross.xip.value + 1j * cross.xip.imag, gg.xip + 1j * gg.xip_im, rtol=0, atol=1e-11
    )
    np.testing.assert_allclose(
        cross.xim.value + 1j * cross.xim.imag, gg.xim + 1j * gg.xim_im, rtol=0, atol=1e-11
    )
    got, ng = gamma_t(other, cat, bins).gamma_t, their("NGCorrelation", bins, two, one)
    np.testing.assert_array_equal(got.npairs, ng.npairs)
    np.testing.assert_allclose(got.value + 1j * got.imag, ng.xi + 1j * ng.xi_im, rtol=0, atol=1e-11)
    randoms = plane(3, 600, unit=unit, side=side)
    dd, dr, rr = (
        their("NNCorrelation", bins, *(theirs(c, unit=unit) for c in pair))
        for pair in ((cat,), (cat, randoms), (randoms,))
    )
    w, varxi = dd.calculateXi(rr=rr, dr=dr)
    got = landy_szalay(cat, randoms, bins).w
    np.testing.assert_allclose(got.value, w, rtol=0, atol=1e-10)
    np.testing.assert_allclose(got.varshot, varxi, rtol=1e-10)


@pytest.mark.parametrize("unit", ["arcmin", "pixel"])
def test_rho(unit):
    stars, bins = plane_stars(3, 250, unit=unit), Binning.linear(0, 40, 4, unit)
    rho = rho_statistics(stars, bins)
    fields = {"e": stars.e, "de": stars.de, "q": stars.q}
    for name, a, b in (
        ("rho1", "de", "de"), ("rho2", "e", "de"), ("rho3", "q", "q"), ("rho4", "de", "q"),
        ("rho5", "e", "q"),
    ):  # fmt: skip
        twin = plane_twin(stars, bins.edges, e1=fields[b], e2=fields[a])
        np.testing.assert_allclose(rho[name].value, twin.xip.real, rtol=0, atol=1e-13)
    gg = their("GGCorrelation", bins, theirs(stars, stars.de, unit))
    np.testing.assert_allclose(rho.rho1.value, gg.xip, rtol=0, atol=1e-11)
    assert rho.settings["geometry"] == "flat"


@pytest.mark.parametrize("unit", ["arcmin", "deg", "pixel"])
def test_method_treecorr(unit):
    """Its own values with its own approximations."""
    side = {"arcmin": 60.0, "deg": 1.0, "pixel": 4000.0}[unit]
    bins = Binning.log(100, 3000, 5, unit) if unit == "pixel" else Binning.log(2, 40, 5)
    cat, lenses = plane(4, 600, unit=unit, side=side), plane(5, 400, unit=unit, side=side)
    one, two = theirs(cat, cat.e, unit), theirs(lenses, unit=unit)
    xi, gg = xi_pm(cat, bins, method="treecorr"), their("GGCorrelation", bins, one, brute=False)
    np.testing.assert_allclose(xi.xip.value, gg.xip, rtol=0, atol=1e-11)
    np.testing.assert_allclose(xi.xim.value, gg.xim, rtol=0, atol=1e-11)
    np.testing.assert_allclose(xi.xip.theta, gg.meanr, rtol=1e-9)
    np.testing.assert_allclose(xi.xip.logtheta, gg.meanlogr, rtol=1e-9)
    shear = gamma_t(lenses, cat, bins, method="treecorr").gamma_t
    ng = their("NGCorrelation", bins, two, one, brute=False)
    np.testing.assert_allclose(shear.value, ng.xi, rtol=0, atol=1e-11)
    counts = landy_szalay(cat, lenses, bins, method="treecorr").w
    nn = their("NNCorrelation", bins, one, brute=False)
    np.testing.assert_allclose(counts.weight, nn.weight, rtol=1e-10)
    rough = xi_pm(cat, bins, resampling="jackknife:5", method="treecorr", seed=1)
    exact = xi_pm(cat, bins, resampling="jackknife:5", seed=1)
    np.testing.assert_allclose(rough.xip.sigma_aleatoric, exact.xip.sigma_aleatoric, rtol=0.3)


def test_repeated_places_by_treecorr():
    pytest.importorskip("treecorr")
    cat = Catalog(x=[10.0, 10, 10.05, 10.05, 10.1, 10.1], y=np.full(6, 0.3), xy_unit="deg",
                  g1=np.arange(6) / 64, g2=np.zeros(6))  # fmt: skip
    own, quick = (xi_pm(cat, "linear:0:8:2", method=m) for m in ("pairs", "treecorr"))
    np.testing.assert_array_equal(own.xip.npairs, [11, 4])
    np.testing.assert_array_equal(quick.xip.npairs, [11, 4])
    np.testing.assert_allclose(quick.xip.value, own.xip.value, atol=1e-10)
    np.testing.assert_array_equal(quick.xim.npairs, [8, 4])


# ---- symmetries ----------------------------------------------------------------------------------


def same(a, b, tol=1e-11):
    for name in a:
        np.testing.assert_array_equal(a[name].npairs, b[name].npairs)
        np.testing.assert_allclose(a[name].value, b[name].value, rtol=0, atol=tol)


def test_translation_rotation_reflection():
    cat, lenses = plane(6, 250), plane(7, 60)

    def measured(change):
        new, around = (change(c) for c in (cat, lenses))
        return [xi_pm(new, LINEAR), gamma_t(around, new, LINEAR), landy_szalay(new, around, LINEAR)]

    def moved(c):
        return c.replace(x=c.x + 1234.5, y=c.y - 77.25)

    def turned(c, angle=0.7):
        place, shear = (c.x + 1j * c.y) * np.exp(1j * angle), c.e * np.exp(2j * angle)
        return c.replace(x=place.real, y=place.imag, g1=shear.real, g2=shear.imag)

    def mirrored(c):
        return c.replace(x=-c.x, g2=-c.g2)

    original = measured(lambda c: c)
    for change in (moved, turned, mirrored):
        for a, b in zip(original, measured(change), strict=True):
            same(a, b)
    # Cross shear and the imaginary part of xi- change their sign in a mirror.
    mirror = measured(mirrored)
    np.testing.assert_allclose(mirror[1].gamma_t.imag, -original[1].gamma_t.imag, atol=1e-12)
    np.testing.assert_allclose(mirror[0].xim.imag, -original[0].xim.imag, atol=1e-12)


def test_a_ring_around_a_lens():
    """gamma_t = .1, gamma_x = .02, in TreeCorr's signs."""
    a = np.arange(12) * np.pi / 6
    shear = -(0.1 + 0.02j) * np.exp(2j * a)
    sources = Catalog(x=5 + 2 * np.cos(a), y=7 + 2 * np.sin(a), g1=shear.real, g2=shear.imag)
    got = gamma_t(Catalog(x=[5.0], y=[7.0]), sources, "linear:1:3:1").gamma_t
    np.testing.assert_allclose([got.value[0], got.imag[0]], [0.1, 0.02], rtol=1e-12)


@pytest.mark.parametrize("dec", [0.0, 50.0])
def test_small_field_on_the_sky(dec):
    """A tenth of a degree: x is minus the step in RA times cos(dec), for TreeCorr's shears."""
    rng = np.random.default_rng(8)
    x, y = rng.uniform(-3, 3, (2, 150))
    g1, g2 = rng.normal(0, 0.1, (2, 150))
    flat = Catalog(x=x, y=y, g1=g1, g2=g2)
    sky = Catalog(ra=30 - x / 60 / np.cos(np.radians(dec + y / 60)), dec=dec + y / 60, g1=g1, g2=g2)
    for name in ("xip", "xim"):
        a, b = (xi_pm(c, "linear:0:6:3")[name] for c in (flat, sky))
        np.testing.assert_allclose(a.npairs, b.npairs, atol=5)
        assert np.all(np.abs(a.value - b.value) < 0.1 * a.sigma_shot)


def test_units_are_converted():
    cat = plane(9, 200)
    other = Catalog(x=cat.x / 60, y=cat.y / 60, xy_unit="deg", g1=cat.g1, g2=cat.g2, w=cat.w)
    reference = xi_pm(cat, LINEAR)
    same(reference, xi_pm(other, LINEAR))
    same(reference, xi_pm(other, Binning.explicit(LINEAR.edges * 60, "arcsec")))
    np.testing.assert_allclose(
        xi_pm(other, Binning.explicit(LINEAR.edges / 60, "deg")).xip.theta,
        reference.xip.theta / 60, rtol=1e-12,
    )  # fmt: skip
    lenses = plane(10, 50)
    same(gamma_t(lenses, cat, LINEAR), gamma_t(lenses, other, LINEAR))


def test_objects_of_weight_zero_and_many_bins():
    cat = plane(11, 300)
    w = np.where(np.arange(300) % 3 == 0, 0.0, cat.w)
    fine = Binning.linear(0, 90, 400)
    agrees(xi_pm(cat.replace(w=w), fine).xip, plane_twin(cat[w > 0], fine.edges))


# ---- what does not go together -------------------------------------------------------------------


def test_refusals():
    flat, pixels = plane(1, 30), plane(2, 30, unit="pixel")
    sky = Catalog(ra=flat.x / 60, dec=flat.y / 60, g1=flat.g1, g2=flat.g2)
    for arguments, message in (
        ((xi_pm, sky, LINEAR, flat), "catalog is on the sky, catalog2 flat, in angles"),
        ((gamma_t, pixels, LINEAR, flat), "lenses is flat, in pixels, sources flat, in angles"),
        ((landy_szalay, flat, LINEAR, sky), "data is flat, in angles, randoms on the sky"),
        ((xi_pm, pixels, LINEAR, None), "bins are in arcmin but catalog is in pixels"),
        ((xi_pm, flat, "linear:0:9:3:pixel", None), "bins are in pixels but catalog is flat, in a"),
        ((xi_pm, sky, "linear:0:9:3:pixel", None), "bins are in pixels but catalog is on the sky"),
    ):
        function, first, bins, second = arguments
        pair, options = (
            ((first,), {"catalog2": second}) if function is xi_pm else ((first, second), {})
        )
        with pytest.raises(ValueError, match=message) as error:
            function(*pair, bins, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"bins .*Mpc/h.*no angles"):
        xi_pm(flat, Binning.linear(0, 5, 3, "Mpc/h"))


# ---- clusters and resampling ---------------------------------------------------------------------


def lifted(cat, radius=1e5):
    """The field on a sphere so large that it is flat: a check of c-means by another route."""
    degrees = np.degrees(1 / radius)
    return Catalog(ra=cat.x * degrees, dec=cat.y * degrees, g1=cat.g1, g2=cat.g2, w=cat.w)


@pytest.mark.parametrize("m", [2.0, 1.6])
@pytest.mark.parametrize("unit", ["arcmin", "pixel"])
def test_clustering(unit, m):
    cat = plane(12, 200, unit=unit, offset=500.0)
    fit = SoftClustering(n_clusters=8, fuzziness=m, seed=1, tol=1e-10).fit(cat)
    assert fit.converged
    assert fit.geometry == "flat"
    u, v = fit.memberships, np.stack([fit.x, fit.y], axis=1)
    place = np.stack([cat.x, cat.y], axis=1)
    d2 = ((place[:, None] - v) ** 2).sum(axis=2)
    share = d2 ** (-1 / (m - 1))
    np.testing.assert_allclose(u, share / share.sum(axis=1, keepdims=True), atol=1e-8)
    np.testing.assert_allclose((u**m).T @ place / (u**m).sum(axis=0)[:, None], v, rtol=1e-7)
    np.testing.assert_allclose(fit.predict(cat), u, atol=1e-12)
    with pytest.raises(AttributeError, match="have x and y, and no ra"):
        _ = fit.ra


def test_predict_converts_units():
    cat = plane(12, 100)
    fit = SoftClustering(n_clusters=5, seed=1).fit(cat)
    other = Catalog(x=cat.x / 60, y=cat.y / 60, xy_unit="deg")
    np.testing.assert_allclose(fit.predict(other), fit.memberships, atol=1e-9)
    with pytest.raises(ValueError, match="in pixel, the clustering in arcmin"):
        fit.predict(plane(1, 10, unit="pixel"))
    with pytest.raises(ValueError, match="geometry 'sky', the clustering 'flat'"):
        fit.predict(lifted(cat))
    with pytest.raises(
        ValueError, match="clusters: a Clustering of a catalog with geometry 'flat'"
    ):
        xi_pm(lifted(cat), LINEAR, clusters=fit)
    with pytest.raises(ValueError, match="metric = 'radec': is for catalogs on the sky"):
        SoftClustering(n_clusters=5, metric="radec").fit(cat)


@pytest.mark.parametrize("assignment", ["greedy", "sampled", "soft"])
@pytest.mark.parametrize("unit", ["arcmin", "pixel"])
def test_clusters_are_weighted_means(unit, assignment):
    cat = plane(13, 150, unit=unit)
    fit = SoftClustering(n_clusters=12, seed=2).fit(cat)
    bins = Binning.linear(0, 50, 4, unit)
    got = xi_pm(cat, bins, clusters=fit, assignment=assignment, seed=5)
    if assignment == "sampled":
        assert np.isfinite(got.xip.value).any()
        return
    share = fit.memberships
    if assignment == "greedy":
        share = np.eye(12)[fit.assign("greedy")]
    w = share.T @ cat.w
    mean = [share.T @ (cat.w * v) / w for v in (cat.x, cat.y, cat.g1, cat.g2)]
    clusters = Catalog(x=mean[0], y=mean[1], g1=mean[2], g2=mean[3], w=w, xy_unit=unit)
    twin = plane_twin(clusters, bins.edges)
    agrees(got.xip, twin)
    agrees(got.xim, twin, shear="xim")


@pytest.mark.parametrize(
    "resampling", ["bootstrap:8", "jackknife:6", "jackknife:6:match", "leave-out:0.3:8",
                   "bootstrap:8:6"],
)  # fmt: skip
def test_resampling(resampling):
    cat, other = plane(14, 200), plane(15, 150)
    clusters = [None] if resampling == "bootstrap:8:6" else [None, 15]
    bins = Binning.linear(0, 60, 3)
    for c in clusters:
        kind = {"clusters": c, "assignments": 4 if c else 0, "resampling": resampling, "seed": 1}
        for done in (
            xi_pm(cat, bins, **kind), gamma_t(other, cat, bins, **kind),
            landy_szalay(cat, other, bins, **kind),
            rho_statistics(plane_stars(1, 150), bins, **kind),
        ):  # fmt: skip
            for item in done.values():
                assert np.isfinite(item.sigma_aleatoric).all()
                assert (item.sigma_aleatoric > 0).all()
    assert done.settings["geometry"] == "flat"


def test_resampling_and_clusters_as_on_a_flat_sky():
    """The same field, lifted to a huge sphere at the equator, gives the same resamples."""
    cat = plane(16, 150)
    sky = lifted(cat)
    far = Binning.explicit(LINEAR.edges / 1e5, "rad")
    options = {"clusters": 15, "assignments": 3, "resampling": Jackknife(5), "seed": 3}
    # East is to the left: -x
    mirrored = cat.replace(g2=-cat.g2)
    a, b = xi_pm(mirrored, LINEAR, **options), xi_pm(sky, far, **options)
    for name in ("xip", "xim"):
        np.testing.assert_allclose(a[name].value, b[name].value, atol=1e-7)
        np.testing.assert_allclose(a[name].aleatoric.real, b[name].aleatoric.real, atol=1e-7)
        np.testing.assert_allclose(a[name].epistemic.real, b[name].epistemic.real, atol=1e-7)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_patches(offset):
    cat = plane(17, 400, unit="pixel", side=1000.0, offset=offset)
    labels = patches(cat, 9, seed=1)
    assert np.bincount(labels).min() > 10
    place = cat.x + 1j * cat.y
    means = np.array([place[labels == k].mean() for k in range(9)])
    np.testing.assert_array_equal(np.argmin(np.abs(place[:, None] - means), axis=1), labels)
    other = plane(18, 100, unit="pixel", side=1000.0, offset=offset)
    kept = Jackknife(9).resample(cat, other, seed=1).multiplicity[1]
    near = np.argmin(np.abs((other.x + 1j * other.y)[:, None] - means), axis=1)
    np.testing.assert_array_equal(np.argmin(kept, axis=0), near)


def test_jackknife_is_the_estimate_without_a_patch():
    cat = plane(19, 200)
    labels = (cat.x > 30).astype(int) + 2 * (cat.y > 30)
    done = xi_pm(cat, LINEAR, resampling=Jackknife(patches=labels))
    for k in range(4):
        twin = plane_twin(cat[labels != k], LINEAR.edges)
        np.testing.assert_allclose(done.xim.aleatoric[k], twin.xim, atol=1e-12)


# ---- coincident places ---------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["arcmin", "deg", "pixel"])
def test_coincident_pairs(unit):
    """Equal places, and places some units in the last place apart."""
    cat = plane(20, 120, unit=unit, side=50.0 if unit != "deg" else 0.9)
    where = np.repeat(np.arange(60), 2)
    x = cat.x[where] * np.tile([1.0, 1 + 2e-16], 60)
    cat = cat.replace(x=x, y=cat.y[where])
    bins = Binning.linear(0, 40, 4, "pixel" if unit == "pixel" else "arcmin")
    with pytest.warns(UserWarning, match="xi_pm: 60 pairs of objects at one place"):
        done = xi_pm(cat, bins)
    scale = 1 / 60 if unit == "deg" else 1.0
    twin = plane_twin(cat, bins.edges * scale)
    agrees(done.xip, twin, scale=scale)
    agrees(done.xim, twin, shear="xim", scale=scale)
    assert np.isfinite(done.xim.logtheta).all()


def test_result_round_trip(tmp_path):
    done = xi_pm(plane(21, 80, unit="pixel"), "linear:0:60:3:pixel", resampling="bootstrap:5")
    for suffix in ("fits", "h5", "ecsv"):
        path = tmp_path / f"xi.{suffix}"
        done.write(path)
        assert type(done).read(path) == done
    assert str(done.xip.to_table()["theta"].unit) == "pix"
    assert "pixel" in done.summary()


def test_no_warning_for_a_plain_field():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xi_pm(plane(22, 100), "linear:0:60:2", clusters=10, resampling="bootstrap:5", seed=1)


# ---------------------------------------------------------------------- put together, and guessed
def test_concatenated_angles_are_in_the_unit_of_the_first():
    degrees = Catalog(x=[1.0, 2.0], y=[0.5, 0.25], xy_unit="deg")
    minutes = Catalog(x=[60.0], y=[30.0], xy_unit="arcmin")
    whole = Catalog.concatenate([degrees, minutes])
    assert whole.xy_unit == "deg"
    np.testing.assert_allclose(whole.x, [1.0, 2.0, 1.0])
    np.testing.assert_allclose(whole.y, [0.5, 0.25, 0.5])


def test_pixels_and_angles_or_geometries_are_not_put_together():
    flat = Catalog(x=[1.0, 2.0], y=[0.5, 0.25], xy_unit="deg")
    pixels = Catalog(x=[60.0], y=[30.0], xy_unit="pixel")
    with pytest.raises(ValueError, match=r"pixel in .*replace\(x="):
        Catalog.concatenate([flat, pixels])
    with pytest.raises(ValueError, match="geometry is"):
        Catalog.concatenate([flat, Catalog(ra=[1.0], dec=[2.0])])


def test_who_gives_a_unit_asks_for_a_plane():
    table = {"x": [1.0, 2.0], "y": [3.0, 4.0]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Catalog.read(table, xy_unit="pixel").xy_unit == "pixel"
    both = {"ra": [1.0, 2.0], "dec": [3.0, 4.0], **table}
    with pytest.raises(ValueError, match="name x and y"):
        Catalog.read(both, xy_unit="pixel")
    left_out = Catalog.read(both, columns={"ra": None, "dec": None}, xy_unit="pixel")
    assert left_out.geometry == "flat"


def test_the_pairs_that_are_not_taken_are_named():
    table = {"u": [1.0, 2.0], "v": [3.0, 4.0], "x": [5.0, 6.0], "y": [7.0, 8.0]}
    with pytest.warns(UserWarning, match="not u and v"):
        Catalog.read(table, xy_unit=None)


def test_all_at_one_place_is_doubted():
    with pytest.warns(UserWarning, match="all 3 objects are at one place"):
        Catalog(x=np.ones(3), y=np.zeros(3), xy_unit="pixel")
