"""Errors of tables whose satellites are on subhalos: enumerated numbers, drawn galaxies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch")

from pysoftcorr.mocks import HaloCatalog, HaloTables, HODModel, box_correlations  # noqa: E402
from pysoftcorr.mocks.alignment import order_parameter  # noqa: E402
from pysoftcorr.mocks.hod import PARAMETERS  # noqa: E402
from pysoftcorr.mocks.subhalos import Subhalos  # noqa: E402

BINS = "log:0.15:10:8"
STATISTICS = ("xi", "omega", "eta")
POINTS = np.array([
    [0.7, 0.3, 12.2, 0.26, 12.2, 13.2, 1.0],
    [-0.6, 0.8, 12.0, 0.15, 11.9, 12.9, 1.1],
])  # fmt: skip


def model(row) -> HODModel:
    values = dict(zip(PARAMETERS, map(float, row), strict=True))
    return HODModel(**values, satellites="subhalos")


def universe(seed: int, least: float, side: float = 45.0) -> HaloCatalog:
    return HaloCatalog.simulate(
        side, 32, mmin=5e11, axis_alignment=0.8, subhalos=True, subhalo_mmin=least, seed=seed
    )


def tabulated(halos, **options) -> HaloTables:
    options = {"bins": BINS, "nodes": 14, "progress": False, **options}
    # Fewer borrowed places in means, which play no role here.
    with pytest.MonkeyPatch.context() as few:
        few.setattr("pysoftcorr.mocks.tabulated.subhalo_sums._IN_ALL", 200_000)
        return HaloTables.tabulate(halos, satellites="subhalos", **options)


# Lists that hold nearly all satellites, and lists beyond which many are.
@pytest.fixture(scope="module", params=[1e11, 1e12], ids=["listed", "beyond"])
def halos(request) -> HaloCatalog:
    return universe(4, request.param)


@pytest.fixture(scope="module")
def tables(halos) -> HaloTables:
    return tabulated(halos)


def drawn(halos, row, edges, number: int) -> np.ndarray:
    """xi, omega and eta of drawn galaxies, (number, 3 b)."""
    found = []
    for seed in range(number):
        said = box_correlations(model(row)._populate(halos, 50 + seed), bins=edges)
        found.append(np.concatenate([getattr(said, name) for name in STATISTICS]))
    return np.array(found)


def errors(covariance) -> np.ndarray:
    return np.sqrt(np.diag(covariance))


def correlations(covariance) -> np.ndarray:
    sigma = errors(covariance)
    return np.asarray(covariance) / sigma / sigma[:, None]


# ---------------------------------------------------------------------- numbers, in full
def alone(number: int, listed: int, seed: int = 3) -> tuple[HaloCatalog, np.ndarray]:
    """Halos of like mass out of each other's sight, with as many subhalos; offsets (n, k, 3)."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.meshgrid(*[np.arange(4) * 25.0 + 5] * 3), axis=-1).reshape(-1, 3)[:number]
    away = rng.normal(0, 0.3, (number, listed, 3))
    halos = HaloCatalog(
        place, 10 ** rng.uniform(13.95, 14.0, number), np.full(number, 0.97), np.full(number, 6.0),
        rng.normal(size=(number, 3)), boxsize=100.0,
        subhalos=Subhalos(
            (place[:, None] + away).reshape(-1, 3),
            np.tile(1e12 * 0.9 ** np.arange(listed), number), np.repeat(np.arange(number), listed),
        ),
    )  # fmt: skip
    return halos, away


@pytest.fixture(scope="module")
def lone() -> tuple[HaloCatalog, np.ndarray, HaloTables]:
    halos, away = alone(30, 16)
    return halos, away, tabulated(halos, bins=[0.1, 0.3, 0.6, 1.2, 2.5], nodes=30, sites=16 * 40)


@pytest.mark.parametrize("logm_min", [13.98, 16.0])  # with centrals and without
def test_numbers_of_galaxies_in_full(lone, logm_min):
    halos, away, tables = lone
    n, listed = away.shape[:2]
    edges = tables.edges
    row = np.array([0.6, 0.8, logm_min, 0.2, 12.0, 13.5, 1.0])
    assert len(tables.boxes[0].sites.lists.top) == n
    hod = model(row)
    p, lam = hod.mean_ncen(halos.mass), hod.mean_nsat(halos.mass)
    assert (stats.poisson(lam).sf(listed) < 1e-6).all()  # none are beyond the list
    s_cen, s_sat = order_parameter(0.6), order_parameter(0.8)
    bins = edges.size - 1

    def summed(r, value):
        return np.histogram(r, edges, weights=value)[0]

    # Ordered pairs, and numerators of omega and eta, of each halo with its number of either kind.
    sums, chance = np.zeros((n, 2, listed + 1, 3, bins)), np.zeros((n, 2, listed + 1))
    for h in range(n):
        x, a = away[h], np.asarray(halos.axis[h])
        r = np.linalg.norm(x, axis=1)
        e = x / r[:, None]
        d = x[:, None] - x
        apart = np.linalg.norm(d, axis=2) + 99 * np.eye(listed)
        q = np.einsum("ik,ijk->ij", e, d) ** 2 / apart**2 - 1 / 3
        with_central = (e @ a) ** 2 - 1 / 3
        poisson = stats.poisson(lam[h]).pmf(np.arange(listed + 1))
        for k in range(listed + 1):
            of_two = [
                summed(apart[:k, :k].ravel(), value[:k, :k].ravel())
                for value in (np.ones_like(q), s_sat * q, s_sat**2 * ((e @ e.T) ** 2 - 1 / 3))
            ]
            own = [summed(r[:k], value[:k]) for value in (
                np.full(listed, 2.0), s_cen * with_central + s_sat * 2 / 3,
                2 * s_cen * s_sat * with_central,
            )]  # fmt: skip
            for c in (0, 1):
                sums[h, c, k] = np.array(of_two) + c * np.array(own)
                chance[h, c, k] = poisson[k] * (p[h] if c else 1 - p[h])
    mean = np.einsum("hck,hckmb->mb", chance, sums)
    galaxies = np.arange(2)[:, None] + np.arange(listed + 1)
    dd, total = mean[0], np.einsum("hck,ck->", chance, galaxies)
    omega, eta = mean[1] / dd, mean[2] / dd
    xi = 1 + tables.predict(row, on_outside="ignore").xi.mean
    change = np.concatenate([
        xi * (sums[..., 0, :] / dd - 2 * galaxies[..., None] / total),
        (sums[..., 1, :] - omega * sums[..., 0, :]) / dd,
        (sums[..., 2, :] - eta * sums[..., 0, :]) / dd,
    ], axis=-1)  # fmt: skip
    middle = np.einsum("hck,hckm->hm", chance, change)
    wanted = np.einsum("hck,hckm,hckn->mn", chance, change, change) - middle.T @ middle
    # Axes at random of both, or pointing as their references do: no part of the numbers is theirs.
    said = tables.covariance(row, "hod")
    np.testing.assert_allclose(said[:bins, :bins], wanted[:bins, :bins], rtol=2e-4,
                               atol=2e-4 * np.abs(wanted[:bins, :bins]).max())  # fmt: skip
    # xi with omega and eta: axes are even about their means, whatever the numbers.
    scale = np.sqrt(np.diag(wanted))
    differ = (said[:bins, bins:] - wanted[:bins, bins:]) / scale[:bins, None] / scale[bins:]
    assert np.abs(differ).max() < 3e-3
    assert np.abs(correlations(wanted)[:bins, bins:]).max() > 0.1
    # Of the rest axes are part.
    assert (np.diag(said)[bins:] > 1.05 * np.diag(wanted)[bins:]).all()


# ---------------------------------------------------------------------- against draws
@pytest.mark.slow
@pytest.mark.parametrize("row", POINTS)
def test_covariance_of_drawn_galaxies(halos, tables, row):
    number, bins = 250, 8
    found = drawn(halos, row, tables.edges, number)
    said = tables.covariance(row, "hod")
    dex = np.log10(errors(said) / found.std(axis=0, ddof=1)).reshape(3, bins)
    # The scatter of a standard deviation of 250 draws is .019 dex; .03 is asked for.
    assert (np.sqrt((dex**2).mean(axis=1)) < np.hypot(0.03, 0.019) * 1.3).all(), dex
    assert (np.abs(dex.mean(axis=1)) < 0.035).all(), dex
    upper = np.triu_indices(bins, 1)
    differ = (correlations(said) - np.corrcoef(found.T))[:bins, :bins][upper]
    assert np.sqrt((differ**2).mean()) < np.hypot(0.05, 1 / np.sqrt(number)) * 1.2


def test_covariances_are_positive_and_differentiable(tables):
    for row in POINTS:
        said = tables.covariance(row, "hod")
        np.testing.assert_allclose(said, said.T, rtol=1e-10, atol=1e-300)
        assert np.linalg.eigvalsh(correlations(said))[0] > 0.01
    x, h = torch.tensor(POINTS[0], requires_grad=True), 1e-3
    made = tables.covariance(x, "hod")
    up, down = (
        np.array([tables.covariance(POINTS[0] + s * h * unit, "hod") for unit in np.eye(7)])
        for s in (1, -1)
    )
    for i, j in ((0, 0), (2, 2), (10, 10), (18, 18), (2, 4), (3, 12)):
        (slope,) = torch.autograd.grad(made[i, j], x, retain_graph=True)
        differences = (up - down)[:, i, j] / (2 * h)
        scale = np.abs(differences).max()
        np.testing.assert_allclose(slope, differences, rtol=2e-3, atol=2e-3 * scale)


def test_files_and_several_boxes(tmp_path):
    boxes = [universe(k, 2e11, side=30.0) for k in (6, 7)]
    joint = tabulated(boxes, bins="log:0.2:7:5", nodes=8, sites=200)
    path = tmp_path / "tables.h5"
    joint.write(path)
    again = HaloTables.read(path)
    assert again == joint
    np.testing.assert_array_equal(
        again.covariance(POINTS[0], "hod"), joint.covariance(POINTS[0], "hod")
    )
    each = [HaloTables(joint.nodes, joint.edges, [box], satellites="subhalos")
            for box in joint.boxes]  # fmt: skip
    mean = sum(one.covariance(POINTS[0], "hod") for one in each) / 2
    np.testing.assert_allclose(joint.covariance(POINTS[0], "hod"), mean, rtol=1e-10)
    total = joint.covariance(POINTS[0])
    np.testing.assert_allclose(total, mean + joint.covariance(POINTS[0], "cosmic"), rtol=1e-10)
    first = joint.boxes[0]
    other = replace(first, sites=replace(first.sites, lists=joint.boxes[1].sites.lists))
    assert HaloTables(joint.nodes, joint.edges, [other, joint.boxes[1]],
                      satellites="subhalos", record=joint.record) != joint  # fmt: skip
