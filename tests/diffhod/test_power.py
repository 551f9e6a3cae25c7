"""Cloud-in-cell painting and P(k) of weighted points: twins by hand, conservation, derivatives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.diffhod import paint_cic, power_spectrum  # noqa: E402
from pysoftcorr.diffhod.power import (  # noqa: E402
    CloudInCell,
    ModeBins,
    k_bin_edges,
)

F64 = torch.float64


def paint_by_hand(position: np.ndarray, weight: np.ndarray, mesh: int, boxsize: float):
    out = np.zeros((mesh,) * 3)
    for p, w in zip(position * mesh / boxsize, weight, strict=True):
        low = np.floor(p).astype(int)
        for corner in np.ndindex(2, 2, 2):
            cell = low + corner
            out[tuple(cell % mesh)] += w * np.prod(1 - np.abs(p - cell))
    return out


def power_by_hand(painted: np.ndarray, boxsize: float, edges: np.ndarray):
    """Over every mode of the full transform: mean k, power of delta, modes."""
    n = len(painted)
    modes = np.fft.fftn(painted / painted.mean() - 1)
    k1 = 2 * np.pi * np.fft.fftfreq(n, boxsize / n)
    k = np.sqrt(sum(x**2 for x in np.meshgrid(k1, k1, k1, indexing="ij")))
    window = 1.0
    for x in np.meshgrid(k1, k1, k1, indexing="ij"):
        window = window * np.sinc(x * boxsize / n / (2 * np.pi)) ** 4
    power = boxsize**3 / n**6 * np.abs(modes) ** 2
    rows = []
    for lo, hi in pairwise(edges):
        inside = (k >= lo) & (k < hi)
        rows.append(
            (k[inside].mean(), power[inside].mean(), (power / window)[inside].mean(), inside.sum())
        )
    return np.array(rows).T


def points(n: int, boxsize: float, seed: int = 1):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, boxsize, (n, 3)), rng.uniform(0.1, 1, n)


def test_paint_is_that_by_hand_and_keeps_the_weight() -> None:
    place, w = points(60, 7.0)
    place[:6] = [
        [0, 0, 0],
        [6.999, 0, 3],
        [7.0, 1, 1],
        [-0.2, 8.0, 21.3],
        [3.5, 3.5, 6.9],
        [1, 1, 1],
    ]
    expected = paint_by_hand(place, w, 6, 7.0)
    found = paint_cic(place, w, mesh=6, boxsize=7.0)
    np.testing.assert_allclose(found, expected, atol=1e-14)
    assert found.sum() == pytest.approx(w.sum(), rel=1e-14)
    single = paint_cic(torch.tensor(place).float(), torch.tensor(w).float(), mesh=6, boxsize=7.0)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected, atol=1e-5)
    both = paint_cic(np.stack([place, place]), np.stack([w, 2 * w]), mesh=6, boxsize=7.0)
    np.testing.assert_allclose(both, [expected, 2 * expected], atol=1e-14)
    fixed = CloudInCell(torch.tensor(place), mesh=6, boxsize=7.0).paint(torch.tensor(w))
    assert torch.equal(fixed[0], torch.as_tensor(found))


def test_paint_has_the_derivatives_it_says() -> None:
    place, w = (torch.tensor(x, requires_grad=True) for x in points(5, 4.0))
    factor = torch.tensor(np.random.default_rng(2).normal(size=(4, 4, 4)))

    def f(p: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return (paint_cic(p, v, mesh=4, boxsize=4.0) * factor).sum()

    assert torch.autograd.gradcheck(f, (place, w))
    for store in (True, False):
        cells = CloudInCell(place.detach(), mesh=4, boxsize=4.0, store=store)
        assert torch.autograd.gradcheck(lambda v, c=cells: (c.paint(v) * factor).sum(), (w,))
        by_weight = torch.autograd.grad((cells.paint(w) * factor).sum(), w)[0]
        np.testing.assert_allclose(by_weight, torch.autograd.grad(f(place, w), w)[0], rtol=1e-12)


def test_parts_of_the_points_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    place, w = (torch.tensor(x) for x in points(1000, 4.0))
    whole = paint_cic(place, w, mesh=4, boxsize=4.0)
    monkeypatch.setattr("pysoftcorr.diffhod.power._CHUNK", 96)
    assert torch.equal(paint_cic(place, w, mesh=4, boxsize=4.0), whole)
    fixed = CloudInCell(place, mesh=4, boxsize=4.0, store=False)
    assert torch.equal(fixed.paint(w)[0], whole)


@pytest.mark.parametrize("mesh", [8, 12])
def test_power_is_that_by_hand(mesh: int) -> None:
    boxsize = 10.0
    place, w = points(300, boxsize)
    edges = k_bin_edges(boxsize, mesh)
    painted = paint_by_hand(place, w, mesh, boxsize)
    k, bare, divided, modes = power_by_hand(painted, boxsize, edges)
    options = {"boxsize": boxsize, "mesh": mesh, "shot_noise": "keep"}
    found = power_spectrum(place, w, window=None, **options)
    np.testing.assert_allclose(found.k, k, rtol=1e-12)
    np.testing.assert_array_equal(found.modes, modes)
    np.testing.assert_allclose(found.power, bare, rtol=1e-10)
    np.testing.assert_allclose(power_spectrum(place, w, **options).power, divided, rtol=1e-10)
    assert found.shot_noise == pytest.approx(boxsize**3 * (w**2).sum() / w.sum() ** 2)
    two = power_spectrum(np.stack([place, place[::-1]]), np.stack([w, w]), window=None, **options)
    np.testing.assert_allclose(two.power[0], bare, rtol=1e-10)


def test_shot_noise_of_weighted_points_is_taken_away() -> None:
    """Unclustered points have no power: to 4.5 errors of the modes, up to the Nyquist frequency."""
    boxsize, mesh = 50.0, 16
    place, w = zip(*(points(3000, boxsize, seed) for seed in range(60)), strict=True)
    w = np.array(w) ** 3
    options = {"boxsize": boxsize, "mesh": mesh}
    for window in ("cic", None):
        found = power_spectrum(np.array(place), w, window=window, **options)
        scatter = found.power.std(axis=0, ddof=1) / np.sqrt(len(w))
        assert np.abs(found.power.mean(axis=0) / scatter).max() < 4.5
        assert scatter.max() < 0.05 * found.shot_noise.mean()  # there is something to see
        kept = power_spectrum(np.array(place), w, window=window, shot_noise="keep", **options)
        excess = (kept.power - found.power).mean(axis=0) / found.shot_noise.mean()
        # Images of the cloud add where the window is divided out; else they are all there is.
        assert (excess > 1).all() if window else (excess < 1).all()
        poisson = power_spectrum(np.array(place), w, window=window, shot_noise="poisson", **options)
        put = (poisson.power - found.power) / (boxsize**3 / w.sum(axis=1))[:, None]
        np.testing.assert_allclose(
            put, 1.0 if window else excess[None] * np.ones_like(put), rtol=1e-6
        )


@pytest.mark.parametrize("window", ["cic", None])
@pytest.mark.parametrize("shot_noise", ["subtract", "keep", "poisson"])
def test_power_has_the_derivatives_it_says(window: str | None, shot_noise: str) -> None:
    place, w = (torch.tensor(x, requires_grad=True) for x in points(6, 4.0))
    options = {"boxsize": 4.0, "mesh": 6, "window": window, "shot_noise": shot_noise}
    assert torch.autograd.gradcheck(
        lambda p, v: power_spectrum(p, v, **options)[1::2], (place, w), rtol=1e-5
    )


def test_bins_and_messages() -> None:
    assert k_bin_edges(100.0, 64)[-1] <= np.pi * 64 / 100
    bins = ModeBins([0.05, 0.5, 2.0], boxsize=100.0, mesh=64)
    assert len(bins) == 2
    place, w = points(10, 10.0)
    options = {"boxsize": 10.0, "mesh": 8}
    for message, call in (
        ("k_max = 9 h/Mpc", lambda: power_spectrum(place, k_max=9.0, **options)),
        ("holds no mode", lambda: power_spectrum(place, bins=[0.1, 0.2], **options)),
        ("far beyond the Nyquist", lambda: power_spectrum(place, bins=[1, 30], **options)),
        ("mesh = 7", lambda: power_spectrum(place, boxsize=10.0, mesh=7)),
        ("window = 'tsc'", lambda: power_spectrum(place, window="tsc", **options)),
        ("shot_noise = 'no'", lambda: power_spectrum(place, shot_noise="no", **options)),
        (r"weight must have shape \(10,\)", lambda: power_spectrum(place, w[:3], **options)),
        ("weight sums to 0", lambda: power_spectrum(place, 0 * w, **options)),
        ("position must have shape", lambda: power_spectrum(place[:, :2], **options)),
        (r"position is NaN or infinite at \[\[0, 0\]\]",
         lambda: paint_cic([[np.nan, 0, 0]], **options)),
        ("boxsize = -1", lambda: paint_cic(place, boxsize=-1, mesh=8)),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="position = 'abc': must be real numbers"):
        paint_cic("abc", **options)
    with pytest.raises(TypeError, match="position must be a floating tensor"):
        paint_cic(torch.zeros(3, 3, dtype=torch.int64), **options)
    with pytest.raises(TypeError, match=r"mesh = 8\.0: must be a whole number"):
        paint_cic(place, boxsize=10.0, mesh=8.0)
