"""xi, omega and eta in the box: against a plain twin, counts by hand, symmetries, limits."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import numpy as np
import pytest

from helpers.box_twin import twin
from pysoftcorr._julia.runtime import start
from pysoftcorr.mocks import BoxCorrelations, GalaxyCatalog, box_correlations
from pysoftcorr.mocks.box import radial_edges
from pysoftcorr.sky.binning import Binning

EDGES = np.geomspace(0.1, 16.0, 21)
NAMES = ("xi", "omega", "eta", "r", "weight")


def close(a, b) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def drawn(n: int, L: float, seed: int, *, clump: float = 0.0):
    rng = np.random.default_rng(seed)
    position = rng.uniform(0, L, (n, 3))
    host = rng.integers(0, max(1, n // 6), n)
    if clump:
        position = np.mod(position[host] + clump * rng.normal(size=(n, 3)), L)
    return position, rng.normal(size=(n, 3)), rng.uniform(0.2, 2, n), host


def unit(axis):
    return axis / np.linalg.norm(axis, axis=1)[:, None]


@pytest.mark.parametrize("clump", [0.0, 0.5])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize(
    ("n", "L"), [(700, 50.0), (400, 49.0), (300, 300.0), (500, 32.0), (300, 33.0), (60, 40.0)]
)
def test_auto_against_the_twin(n: int, L: float, periodic: bool, clump: float) -> None:
    p, e, w, host = drawn(n, L, n, clump=clump)
    result = box_correlations(p, e, boxsize=L, bins=EDGES, weights=w, host=host, periodic=periodic)
    args = (p, unit(e), w, p, unit(e), w, EDGES, L)
    expected = twin(*args, auto=True, periodic=periodic)
    np.testing.assert_array_equal(result.npairs, expected["npairs"])
    for name in ("weight", "r", "omega", "eta"):
        close(getattr(result, name), expected[name])
    same = host[:, None] == host[None]
    for suffix, mask in (("1h", same), ("2h", ~same)):
        part = twin(*args, auto=True, periodic=periodic, mask=mask)
        np.testing.assert_array_equal(getattr(result, f"npairs_{suffix}"), part["npairs"])
        close(getattr(result, f"omega_{suffix}"), part["omega"])
        close(getattr(result, f"eta_{suffix}"), part["eta"])
    some = result.npairs > 0
    close(result.xi[some], (result.xi_1h + result.xi_2h)[some])
    np.testing.assert_array_equal(result.xi[~some], -1)
    if periodic:
        shell = np.diff(4 / 3 * np.pi * EDGES**3)
        close(result.rr, w.sum() ** 2 * shell / L**3)
        close(result.xi[some], (expected["weight"] / result.rr - 1)[some])


@pytest.mark.parametrize("L", [60.0, 32.0, 37.0])
@pytest.mark.parametrize("periodic", [True, False])
def test_cross_against_the_twin(periodic: bool, L: float) -> None:
    p1, e1, w1, h1 = drawn(500, L, 1, clump=1.0)
    p2, e2, w2, h2 = drawn(300, L, 2, clump=1.0)
    result = box_correlations(
        p1, e1, boxsize=L, bins=EDGES, weights=w1, host=h1, periodic=periodic,
        second=p2, second_axis=e2, second_weights=w2, second_host=h2,
    )  # fmt: skip
    args = (p1, unit(e1), w1, p2, unit(e2), w2, EDGES, L)
    expected = twin(*args, auto=False, periodic=periodic)
    np.testing.assert_array_equal(result.npairs, expected["npairs"])
    for name in ("weight", "r", "omega", "eta"):
        close(getattr(result, name), expected[name])
    one = twin(*args, auto=False, periodic=periodic, mask=h1[:, None] == h2[None])
    np.testing.assert_array_equal(result.npairs_1h, one["npairs"])
    close(result.omega_1h, one["omega"])
    # Of a set with itself the cross pairs are both orders of each, without an object with itself.
    auto = box_correlations(p1, e1, boxsize=L, bins=EDGES, periodic=periodic)
    both = box_correlations(
        p1, e1, boxsize=L, bins=EDGES, periodic=periodic, second=p1, second_axis=e1
    )
    np.testing.assert_array_equal(both.npairs, 2 * auto.npairs)
    for name in ("xi", "omega", "eta"):
        close(getattr(both, name), getattr(auto, name))


@pytest.mark.parametrize(
    "edges", [[0.0, 1.0, 5.0, 16.0], [3.0, 16.0], np.linspace(0, 16, 401), [0, 1e-3, 2e-3, 16]]
)
def test_other_bins(edges) -> None:
    p, e, w, _ = drawn(500, 50.0, 3, clump=1.0)
    edges = np.asarray(edges, dtype=float)
    result = box_correlations(p, e, boxsize=50.0, bins=edges, weights=w)
    expected = twin(p, unit(e), w, p, unit(e), w, edges, 50.0, auto=True)
    np.testing.assert_array_equal(result.npairs, expected["npairs"])
    for name in ("weight", "r", "omega", "eta"):
        close(getattr(result, name), expected[name])


def test_edges_belong_to_the_bin_below() -> None:
    p = [[5.0, 5, 5], [7, 5, 5], [5, 9, 5]]
    result = box_correlations(p, boxsize=30, bins=[1, 2, 4, 4.5])
    assert result.npairs.tolist() == [1, 1, 1]  # 2, 4 and sqrt(20)
    result = box_correlations(p, boxsize=30, bins=[2, 4, 5])
    assert result.npairs.tolist() == [1, 1]


@pytest.mark.parametrize("L", [12.0, 17.0, 31.0])
@pytest.mark.parametrize("few", [40, 3000])
def test_bins_to_half_the_box(few: int, L: float) -> None:
    """Every pair has one nearest image there, whatever the columns of the search."""
    p, e, w, _ = drawn(few, L, 9)
    edges = np.linspace(0, L / 2, 6)
    result = box_correlations(p, e, boxsize=L, bins=edges, weights=w)
    expected = twin(p, unit(e), w, p, unit(e), w, edges, L, auto=True)
    np.testing.assert_array_equal(result.npairs, expected["npairs"])
    np.testing.assert_array_equal(result.edges, edges)
    for name in ("weight", "r", "omega", "eta"):
        close(getattr(result, name), expected[name])
    # Of 3000 points xi scatters by 1/sqrt(pairs).
    assert (np.abs(result.xi) < 5 * (w**2).mean() / w.mean() ** 2 / np.sqrt(result.npairs)).all()
    with pytest.raises(ValueError, match=r"at most half of the periodic box"):
        box_correlations(p, e, boxsize=L, bins=[0.0, 1.0, L / 2 * 1.001])


def test_pairs_at_exactly_half_the_box_have_no_nearest_image() -> None:
    p = np.array([[1.0, 2.0, 3.0], [6.0, 2.0, 3.0]])
    assert box_correlations(p, boxsize=10.0, bins=[1.0, 5.0]).npairs.tolist() == [0]
    p[1, 0] = np.nextafter(6.0, 0)
    assert box_correlations(p, boxsize=10.0, bins=[1.0, 5.0]).npairs.tolist() == [1]


def test_objects_at_one_place_are_in_no_bin() -> None:
    p = [[5.0, 5, 5], [5, 5, 5], [6, 5, 5]]
    result = box_correlations(p, np.eye(3), boxsize=30, bins=[0, 2])
    assert result.npairs.tolist() == [2]
    assert np.isfinite(result.omega).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_clumps_across_a_face_counted_by_hand(axis: int) -> None:
    # 40 objects beside one face and 30 beside the opposite one, 1 Mpc/h apart through the face.
    L = 30.0
    rng = np.random.default_rng(axis)
    first, second = (np.full((n, 3), 15.0) for n in (40, 30))
    first[:, axis], second[:, axis] = 0.5, L - 0.5
    first += rng.uniform(-0.01, 0.01, first.shape)
    second += rng.uniform(-0.01, 0.01, second.shape)
    p = np.concatenate([first, second])
    along = np.zeros((70, 3))
    along[:, axis] = 1
    edges = [0.0, 0.1, 0.9, 1.1, 9.0]
    result = box_correlations(p, along, boxsize=L, bins=edges)
    assert result.npairs.tolist() == [40 * 39 // 2 + 30 * 29 // 2, 0, 40 * 30, 0]
    assert result.omega[2] == pytest.approx(2 / 3, abs=1e-3)
    np.testing.assert_allclose(result.eta[[0, 2]], 2 / 3, atol=1e-14)
    assert np.isnan(result.omega[[1, 3]]).all()
    assert result.xi[[1, 3]].tolist() == [-1, -1]
    open_box = box_correlations(p, along, boxsize=L, bins=[*edges[:-1], 29.9], periodic=False)
    assert open_box.npairs.tolist() == [40 * 39 // 2 + 30 * 29 // 2, 0, 0, 40 * 30]
    cross = box_correlations(first, boxsize=L, bins=edges, second=second)
    assert cross.npairs.tolist() == [0, 0, 1200, 0]
    assert cross.xi[[0, 1, 3]].tolist() == [-1, -1, -1]
    weights = np.concatenate([np.ones(40), np.zeros(30)])  # pairs of weight 0 are none
    weighted = box_correlations(p, along, boxsize=L, bins=edges, weights=weights)
    assert weighted.xi[1:].tolist() == [-1, -1, -1]
    assert np.isnan(weighted.omega[1:]).all()


def test_a_clump_on_the_corner() -> None:
    L = 20.0
    p = np.mod(np.random.default_rng(1).uniform(-0.02, 0.02, (100, 3)), L)
    result = box_correlations(p, np.ones((100, 3)), boxsize=L, bins=[0, 0.1, 6.6])
    assert result.npairs.tolist() == [4950, 0]


def test_shift_and_order_change_nothing() -> None:
    L = 70.0
    p, e, w, host = drawn(3000, L, 5, clump=1.0)
    base = box_correlations(p, e, boxsize=L, weights=w, host=host)
    rng = np.random.default_rng(6)
    moved = np.mod(p + rng.uniform(0, L, 3), L)
    order = rng.permutation(len(p))
    flip = rng.choice([-1.0, 3.0], len(p))[:, None]  # axes have neither head nor length
    turned = [2, 0, 1]
    for q, f, rows in (
        (moved, e, slice(None)),
        (p, e, order),
        (p, flip * e, slice(None)),
        (p[:, turned], e[:, turned], slice(None)),
        (L - p, -e, slice(None)),
    ):
        other = box_correlations(q[rows], f[rows], boxsize=L, weights=w[rows], host=host[rows])
        np.testing.assert_array_equal(other.npairs, base.npairs)
        for name in (*NAMES, "omega_1h", "eta_2h"):
            close(getattr(other, name), getattr(base, name))


def test_doubled_objects_of_half_weight() -> None:
    L = 60.0
    p1, e1, w1, _ = drawn(800, L, 7)
    p2, e2, _, _ = drawn(500, L, 8)
    base = box_correlations(p1, e1, boxsize=L, weights=w1, second=p2, second_axis=e2)
    twice = box_correlations(
        np.tile(p1, (2, 1)), np.tile(e1, (2, 1)), boxsize=L, weights=np.tile(w1 / 2, 2),
        second=p2, second_axis=e2,
    )  # fmt: skip
    for name in NAMES:
        close(getattr(twice, name), getattr(base, name))


def test_random_objects_are_not_correlated() -> None:
    rng = np.random.default_rng(10)
    n, L = 60_000, 90.0
    p, e = rng.uniform(0, L, (n, 3)), rng.normal(size=(n, 3))
    for periodic in (True, False):
        result = box_correlations(p, e, boxsize=L, periodic=periodic)
        sigma = 1 / np.sqrt(result.npairs)
        busy = result.npairs > 100
        # Poisson errors; of (cos^2 - 1/3), whose variance is 4/45. An open box also has the few
        # per cent by which the numbers beside its faces vary.
        slack = 0.0 if periodic else 0.004
        assert (np.abs(result.xi[busy]) < 4 * sigma[busy] + slack).all()
        for values in (result.omega, result.eta):
            assert (np.abs(values[busy]) < 4.5 * np.sqrt(4 / 45) * sigma[busy]).all()


def digest() -> str:
    rng = np.random.default_rng(1)
    p, e = rng.uniform(0, 60, (20_000, 3)), rng.normal(size=(20_000, 3))
    r = box_correlations(p, e, boxsize=60, weights=rng.random(20_000))
    return hashlib.sha256(np.concatenate([r.xi, r.omega, r.eta, r.r]).tobytes()).hexdigest()


def test_bits_do_not_depend_on_threads(fresh) -> None:
    # Otherwise than in this process.
    threads = "1" if start().host.threads > 1 else "3"
    code = "import hashlib\nimport numpy as np\nfrom pysoftcorr.mocks import box_correlations\n"
    code += inspect.getsource(digest) + "print(digest())"
    assert fresh(code, PYSOFTCORR_THREADS=threads).stdout.strip() == digest()


def test_catalog_brings_axes_hosts_and_box() -> None:
    p, e, _, host = drawn(300, 60.0, 4, clump=0.3)
    galaxies = GalaxyCatalog(p, e, boxsize=60.0, host=host)
    a, b = box_correlations(galaxies), box_correlations(p, e, boxsize=60.0, host=host)
    assert a == b
    assert a.npairs_1h is not None
    assert box_correlations(galaxies, second=galaxies[:50]).npairs_1h is not None
    with pytest.raises(ValueError, match=r"boxsize = 50 differs from that of the galaxies, 60"):
        box_correlations(galaxies, boxsize=50)


def test_without_axes() -> None:
    p, e, _, _ = drawn(300, 60.0, 4)
    result = box_correlations(p, boxsize=60.0)
    assert np.isnan(result.omega).all()
    assert np.isnan(result.eta).all()
    assert result.npairs_1h is None
    cross = box_correlations(p, e, boxsize=60.0, second=p[:100])
    assert np.isfinite(cross.omega[cross.npairs > 0]).all()
    assert np.isnan(cross.eta).all()


def test_files(tmp_path: Path) -> None:
    p, e, _, host = drawn(300, 60.0, 4)
    for result in (
        box_correlations(p, e, boxsize=60.0, host=host),
        box_correlations(p, boxsize=60.0, bins=[1, 2]),
    ):
        result.write(tmp_path / "r.ecsv", overwrite=True)
        assert BoxCorrelations.read(tmp_path / "r.ecsv") == result
        assert result.to_dict()["npairs"] == result.npairs.tolist()
    with pytest.raises(ValueError, match=r"unknown suffix; use \.ecsv"):
        result.write(tmp_path / "r.fits")
    with pytest.raises(FileNotFoundError):
        BoxCorrelations.read(tmp_path / "none.ecsv")
    (tmp_path / "bad.ecsv").write_text("a\n1\n")
    with pytest.raises(ValueError, match="holds no correlations in a box"):
        BoxCorrelations.read(tmp_path / "bad.ecsv")


GOOD = {
    "galaxies": [[1.0, 2, 3], [4, 5, 6], [7, 8, 9]],
    "axis": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
    "boxsize": 60.0,
}


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"boxsize": 31.0}, ValueError, r"r_max = 16 .* at most half of the periodic box, 15.5 "),
        ({"boxsize": 10.0, "periodic": False}, ValueError, "below boxsize = 10"),
        ({"boxsize": None}, ValueError, "boxsize must be given"),
        ({"axis": [[1, 0, 0], [0, 0, 0], [0, 0, 1]]}, ValueError, r"axis has no dir.* row 1 "),
        ({"axis": [[1, 0, 0]]}, ValueError, "differ in length: position 3, axis 1"),
        ({"galaxies": [[1, 2, 3], [4, 5, 6], [7, 8, 61]]}, ValueError, r"outside.* z .*row 2 "),
        ({"galaxies": [[1, 2, 3], [4, 5, 6], [7, np.nan, 1]]}, ValueError, "NaN.*row 2"),
        ({"galaxies": np.zeros((0, 3))}, ValueError, "position is empty"),
        ({"galaxies": "abc"}, TypeError, "position must be real numbers"),
        ({"weights": [1, -1, 1]}, ValueError, r"weights must not be negative.* row 1 "),
        ({"weights": [0, 0, 0]}, ValueError, "zero in every row"),
        ({"host": [0.5, 1, 2]}, TypeError, "host must be whole numbers"),
        ({"bins": [2, 1]}, ValueError, r"edge 1 \(1\) does not after 2"),
        ({"bins": [1]}, ValueError, "at least two edges"),
        ({"bins": [-1, 1]}, ValueError, "finite and not negative"),
        ({"bins": "log"}, ValueError, "log takes LO:HI:N"),
        ({"bins": object()}, TypeError, "bins must be a Binning, text"),
        ({"bins": Binning.linear(1, 5, 2)}, ValueError, "give them unit='Mpc/h'"),
        ({"second_axis": [[1, 0, 0]]}, ValueError, "given without second"),
        ({"second": [[1, 2, 99.0]]}, ValueError, "second_position is outside"),
    ],
)
def test_bad_input_is_named(change: dict, error: type, text: str) -> None:
    kwargs = {**GOOD, **change}
    with pytest.raises(error, match=text):
        box_correlations(kwargs.pop("galaxies"), kwargs.pop("axis"), **kwargs)


def test_wrapped_only_if_asked() -> None:
    p, e, _, _ = drawn(400, 60.0, 4)
    away = p + 60.0 * np.random.default_rng(1).integers(-2, 3, p.shape)
    wrapped = box_correlations(away, e, boxsize=60.0, wrap=True)
    np.testing.assert_array_equal(wrapped.npairs, box_correlations(p, e, boxsize=60.0).npairs)


def test_bins_are_a_binning_text_or_edges() -> None:
    np.testing.assert_array_equal(radial_edges(), np.geomspace(0.1, 16.0, 21))
    for bins in (Binning.log(0.1, 16, 20, "Mpc/h"), "log:0.1:16:20", EDGES, EDGES.tolist()):
        found = radial_edges(bins, 60.0)
        np.testing.assert_array_equal(found, EDGES)
        assert found.flags.writeable
        assert found is not bins
    with pytest.raises(ValueError, match="separations in a box are no angles"):
        _ = Binning.log(0.1, 16, 20, "Mpc/h").edges_rad
    assert Binning.linear(0, 500, 5, "mpc/H").edges[-1] == 500.0
