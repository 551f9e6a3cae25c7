"""Objects in blocks for a GPU, and the lists of blocks in reach, on any device."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pysoftcorr.sky.device import blocks as module  # noqa: E402
from pysoftcorr.sky.device.blocks import (  # noqa: E402
    BLOCK,
    Reach,
    in_blocks,
    in_reach,
    parts,
    terms,
)


def places(n: int, seed: int = 1) -> torch.Tensor:
    """Places on a part of the sphere, (3, n)."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=(3, n)) + np.array([[4.0], [0.0], [1.0]])
    return torch.from_numpy(place / np.linalg.norm(place, axis=0))


@pytest.mark.parametrize("n", [1, 2, BLOCK, BLOCK + 1, 700, 1024])
def test_every_object_has_one_slot_and_fillers_weigh_nothing(n: int) -> None:
    given = places(n)
    blocks = in_blocks(given)
    assert torch.equal(blocks.xyz[:, blocks.place], given)
    columns = torch.rand((2, n), dtype=torch.float64) + 1
    filled = blocks.fill(columns)
    assert torch.equal(filled[:, blocks.place], columns)
    rest = torch.ones(blocks.size, dtype=torch.bool)
    rest[blocks.place] = False
    assert int(rest.sum()) == blocks.size - n
    assert not filled[:, rest].any()


@pytest.mark.parametrize("n", [40, 3000])
def test_spheres_hold_blocks_and_groups(n: int) -> None:
    blocks = in_blocks(places(n))
    xyz = blocks.xyz.T
    inner = (xyz.view(-1, BLOCK, 3) - blocks.center[:, None]).norm(dim=2)
    assert (inner <= blocks.radius[:, None] + 1e-15).all()
    outer = (xyz.view(len(blocks.outer_center), -1, 3) - blocks.outer_center[:, None]).norm(dim=2)
    assert (outer <= blocks.outer_radius[:, None] + 1e-15).all()


@pytest.mark.parametrize("step", [1 << 25, 3000], ids=["whole", "in steps"])
@pytest.mark.parametrize("limits", [(0.0, 0.05), (0.1, 0.3), (0.0, np.inf), (1.5, 1.9)])
@pytest.mark.parametrize("second", [0, 900])
def test_lists_hold_every_pair_in_reach(
    limits: tuple[float, float], second: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP", step)
    one = in_blocks(places(5000, seed=2))
    other = in_blocks(places(second, seed=3)) if second else one
    apart = torch.cdist(one.xyz.T, other.xyz.T)
    near = ((apart >= limits[0]) & (apart <= limits[1])).numpy()
    wanted = near.reshape(one.number, BLOCK, other.number, BLOCK).any(axis=(1, 3))
    for after in (True, False) if not second else (False,):
        first, lists = in_reach(one, other, Reach(*limits), after=after)
        listed = np.zeros((one.number, other.number), dtype=int)
        for k in range(one.number):
            np.add.at(listed[k], lists[first[k] : first[k + 1]].numpy(), 1)
        assert listed.max() <= 1
        assert listed.sum() == len(lists)
        keep = np.arange(other.number) >= np.arange(one.number)[:, None] if after else True
        assert (listed[wanted & keep] == 1).all()
        if after:
            assert not np.tril(listed, -1).any()
        if limits[1] < 0.1:
            assert listed.sum() < listed.size / 2  # and not simply all of them


def test_lists_out_of_every_reach_are_empty() -> None:
    blocks = in_blocks(places(500))
    first, lists = in_reach(blocks, blocks, Reach(1.99, 2.0), after=True)
    assert len(lists) == 0
    assert not first.any()


def test_few_blocks_are_shared_out_to_many_programs() -> None:
    assert parts(1) == 32
    assert parts(1 << 20) == 1


@pytest.mark.parametrize("high", [1e-4, 0.01, 0.0145, 0.05, 0.1, 0.3, 0.349])
def test_terms_of_the_separation_suffice(high: float) -> None:
    series, d2 = 1.0, high**2
    for k in range(terms(high), 0, -1):
        series = 1 + series * d2 * (2 * k - 1) ** 2 / (8 * k * (2 * k + 1))
    assert high * series == pytest.approx(2 * np.arcsin(high / 2), rel=4e-16)
    assert terms(0.35) == terms(np.inf) == 0
