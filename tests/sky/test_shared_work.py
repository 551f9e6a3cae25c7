"""Correlation functions whose pairs, resamples and assignments are shared among workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.dask_workers import end, environment, until
from helpers.shuffled_farm import shuffled
from helpers.sky_twins import stars
from pysoftcorr import (
    Catalog,
    CorrelationSet,
    Jackknife,
    SoftClustering,
    gamma_t,
    landy_szalay,
    rho_statistics,
    tau_statistics,
    xi_pm,
)
from pysoftcorr.core.farm import blocks, connection, tasks
from pysoftcorr.core.farm.blocks import Farm, batches
from pysoftcorr.core.farm.tasks import Shared
from pysoftcorr.sky.binning import Binning
from pysoftcorr.sky.pairs import Source, _kernel
from pysoftcorr.sky.patch_pairs import PairWeights, Patches, compact_parts, patch_sums

pytestmark = pytest.mark.filterwarnings("ignore:.*bins hold no pairs:UserWarning")
BINS = "log:0.5:80:6"


def field(seed: int, n: int, *, flat: bool = False, negative: bool = False) -> Catalog:
    """Galaxies over 2 square degrees, some of them at one place."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 1.5, (2, n))
    x[1], y[1] = x[0], y[0]
    w = rng.uniform(0.5, 1.0, n) - (0.6 if negative else 0.0) * (np.arange(n) % 7 == 0)
    shapes = {"g1": rng.normal(0, 0.2, n), "g2": rng.normal(0, 0.2, n), "w": w}
    if flat:
        return Catalog(x=60 * x, y=60 * y, **shapes)
    return Catalog(ra=150 + x, dec=y, **shapes)


FLAT = field(4, 500, flat=True)
LENSES, GALAXIES, RANDOMS, STARS = field(1, 300), field(2, 700), field(3, 900), stars(5, 300)
CASES = {
    "xi": lambda **o: xi_pm(GALAXIES, BINS, **o),
    "xi by jackknife": lambda **o: xi_pm(GALAXIES, BINS, resampling="jackknife:9", **o),
    "xi by patches": lambda **o: xi_pm(
        GALAXIES, BINS, catalog2=LENSES, resampling="bootstrap:7:8:geom", **o
    ),
    "xi by bootstrap": lambda **o: xi_pm(GALAXIES, BINS, resampling="bootstrap:5", **o),
    "xi in a plane": lambda **o: xi_pm(
        FLAT, "linear:1:50:4", coincident="drop", resampling="jackknife:5:match", **o
    ),
    "xi with negative weights": lambda **o: xi_pm(
        field(6, 400, negative=True), BINS, resampling="jackknife:6:mean", **o
    ),
    "xi of clusters": lambda **o: xi_pm(
        GALAXIES, BINS, clusters=40, assignments=6, resampling="bootstrap:5", **o
    ),
    "xi of nearest clusters": lambda **o: xi_pm(
        GALAXIES, BINS, clusters=SoftClustering(n_clusters=40, neighbors=8, seed=1),
        assignments=6, resampling="jackknife:6:match", **o
    ),
    "w": lambda **o: landy_szalay(LENSES, RANDOMS, BINS, resampling="jackknife:7", **o),
    "w by leaving out": lambda **o: landy_szalay(
        LENSES, RANDOMS, BINS, resampling="leave-out:0.2:5", **o
    ),
    "gamma_t": lambda **o: gamma_t(LENSES, GALAXIES, BINS, resampling="bootstrap:6:9:mean", **o),
    "gamma_t of one lens": lambda **o: gamma_t(
        Catalog(ra=[150.7], dec=[0.7]), GALAXIES, BINS, **o
    ),
    "rho": lambda **o: rho_statistics(STARS, "linear:0:40:4", resampling="jackknife:5", **o),
    "rho of clusters": lambda **o: rho_statistics(
        STARS, "linear:0:40:4", clusters=30, assignments=5, assignment="soft", **o
    ),
    "tau": lambda **o: tau_statistics(
        GALAXIES, stars(5, 200), "linear:0:40:4", resampling="jackknife:5", **o
    ),
}  # fmt: skip
NUMBERS = (
    "value", "imag", "npairs", "weight", "theta", "logtheta", "varshot", "epistemic", "aleatoric",
)  # fmt: skip


def same(one: CorrelationSet, other: CorrelationSet, *, rtol: float) -> None:
    assert list(one) == list(other)
    for name in one:
        for number in NUMBERS:
            a, b = getattr(one[name], number), getattr(other[name], number)
            if a is None or b is None:
                assert a is b
            elif rtol == 0 or number == "npairs":
                np.testing.assert_array_equal(a, b)
            else:
                # Sums of some hundred thousand terms, whatever is left of them.
                scale = one[name].value if number == "imag" else a
                atol = rtol * float(np.nanmax(np.abs(scale), initial=0.0))
                np.testing.assert_allclose(b, a, rtol=rtol, atol=atol, err_msg=f"{name} {number}")


@pytest.mark.parametrize("case", CASES)
def test_shared_work_is_that_of_one_process(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal to rounding, and the same bits in whatever order blocks are done."""
    monkeypatch.setattr("pysoftcorr.sky.pairs._OF_A_PART", 100)
    plain = CASES[case](seed=1)
    found = []
    for order in (1, 2):
        done = shuffled(monkeypatch, order, small=True)
        found.append(CASES[case](seed=1, workers=2))
        assert done["blocks"] >= 2
    same(plain, found[0], rtol=1e-11)
    same(found[0], found[1], rtol=0)
    assert plain["xip" if "xip" in plain else next(iter(plain))].settings == found[0][
        "xip" if "xip" in plain else next(iter(plain))
    ].settings  # fmt: skip


def test_a_catalog_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done = shuffled(monkeypatch)
    CASES["w"](seed=1, workers=1)  # pairs of data, of both, of randoms
    assert done["shared"] == 2
    CASES["xi of clusters"](seed=1, workers=1)
    assert done["shared"] == 2 + 4  # value, draws, and both sets of clusters


def test_workers_give_the_same_bits(scheduler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, of which one dies in the midst; and none."""
    monkeypatch.setattr("pysoftcorr.sky.pairs._OF_A_PART", 100)
    cases = ("xi by jackknife", "xi of nearest clusters", "w by leaving out")
    killed = 0
    fetched = tasks._Flight.fetched

    def killed_before(self: tasks._Flight, future: object) -> object:
        nonlocal killed
        if not killed:
            killed = next(iter(self.client.run(os.getpid).values()))
            os.kill(killed, signal.SIGKILL)
        return fetched(self, future)

    monkeypatch.setattr(tasks._Flight, "fetched", killed_before)
    found = [CASES[case](seed=1, scheduler=scheduler) for case in cases]
    assert killed
    shuffled(monkeypatch)
    for case, one in zip(cases, found, strict=True):
        same(CASES[case](seed=1, workers=1), one, rtol=0)


@pytest.mark.slow
def test_ctrl_c_ends_shared_work_at_once(tmp_path: Path) -> None:
    """With processes of its own, of which none is left."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np\n"
        "from pysoftcorr import Catalog, xi_pm\n"
        "from pysoftcorr.core.farm import blocks\n"
        "class Told(blocks.Farm):\n"
        "    def each(self, *a, **k):\n"
        "        for found in super().each(*a, **k):\n"
        "            print('a block', flush=True)\n"
        "            yield found\n"
        "if __name__ == '__main__':\n"
        "    blocks.Farm = Told\n"
        "    g = np.random.default_rng(1).uniform(0, 1, (4, 300_000))\n"
        "    cat = Catalog(ra=g[0], dec=g[1], g1=g[2], g2=g[3])\n"
        "    xi_pm(cat, 'log:1:80:10', resampling='jackknife:30', workers=2)\n"
    )
    work = subprocess.Popen(
        [sys.executable, str(script)], env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert work.stdout is not None
        assert work.stdout.readline() == "a block\n"
        os.killpg(work.pid, signal.SIGINT)  # as a terminal does: to every process
        begun = time.monotonic()
        _, errors = work.communicate(timeout=60)
        seconds = time.monotonic() - begun
        until(lambda: _left(work.pid) == [], 30)
    finally:
        end(work)
    assert work.returncode == -signal.SIGINT, errors
    assert errors.splitlines()[-1] == "KeyboardInterrupt"
    assert seconds < 30  # under 1 on a machine that is idle


def _left(group: int) -> list[str]:
    """Processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == group and fields[0] != "Z":
            found.append(stat.parent.name)
    return found


# ---------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"workers": 0}, ValueError, "workers = 0: must be at least 1"),
        ({"workers": 1.5}, TypeError, "workers = 1.5"),
        ({"workers": True}, TypeError, "workers = True"),
        ({"scheduler": 8786}, TypeError, "scheduler must be an address, as tcp://host:8786"),
        ({"scheduler": "tcp://a:1", "workers": 2}, ValueError, "workers and scheduler are both"),
        ({"workers": 1, "method": "treecorr"}, ValueError, "workers = 1: TreeCorr counts in this"),
        ({"scheduler": "tcp://127.0.0.1:9"}, ConnectionError, "no dask scheduler answers at tcp"),
        ({"scheduler": ""}, ConnectionError, "no dask scheduler answers at the empty address"),
    ],
)
@pytest.mark.parametrize("case", ["xi", "w", "gamma_t", "rho", "tau"])
def test_wrong_workers_are_named(
    case: str,
    options: dict,
    kind: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 0.5)
    measure = {
        "xi": lambda: xi_pm(GALAXIES, BINS, **options),
        "w": lambda: landy_szalay(LENSES, RANDOMS, BINS, **options),
        "gamma_t": lambda: gamma_t(LENSES, GALAXIES, BINS, **options),
        "rho": lambda: rho_statistics(STARS, BINS, **options),
        "tau": lambda: tau_statistics(GALAXIES, STARS, BINS, **options),
    }[case]
    with pytest.raises(kind, match=words) as caught:
        measure()
    assert "\n" not in str(caught.value)


def test_nothing_of_dask_is_imported_without_workers(fresh) -> None:
    fresh(
        """
        import sys
        import numpy as np
        from pysoftcorr import Catalog, xi_pm
        cat = Catalog(ra=np.arange(9.0), dec=np.zeros(9), g1=np.ones(9), g2=np.ones(9))
        xi_pm(cat, "linear:0:200:2", resampling="jackknife:3")
        assert not {"dask", "distributed"} & set(sys.modules)
        """
    )


def test_errors_of_a_block_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled(monkeypatch)
    with pytest.raises(ZeroDivisionError, match="of block 3"):
        Farm(None).map(_fails, (), [1, 3])


def test_warnings_of_blocks_come_once_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled(monkeypatch)
    with pytest.warns(UserWarning, match="block") as caught:
        assert Farm(None).map(_warns, (10,), [2, 1, 2]) == [20, 10, 20]
    assert [str(w.message) for w in caught] == ["block 2", "block 1"]
    assert caught[0].filename == __file__


def _fails(block: int) -> int:
    if block == 3:
        raise ZeroDivisionError("of block 3")
    return block


def _warns(factor: int, block: int) -> int:
    import warnings

    warnings.warn(f"block {block}", stacklevel=1)
    return factor * block


# ---------------------------------------------------------------------- how work is cut
def test_calls_within_one_farm_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled(monkeypatch)
    with blocks.one_farm("f", None, 2):
        with blocks.farm_of("g", None, 2) as one, blocks.farm_of("h", None, 2) as two:
            assert one is two
        with blocks.farm_of("g", None, 3) as other:
            assert other is not one
    with blocks.farm_of("g", None, 2) as later:
        assert later is not one
    with blocks.farm_of("g", None, None) as none:
        assert none is None


@pytest.mark.parametrize(("n", "parts"), [(1, 1), (10, 3), (1000, 7), (4096, 32)])
def test_parts_are_compact_and_of_one_size(n: int, parts: int) -> None:
    rng = np.random.default_rng(n)
    xyz = rng.normal(size=(n, 3)) * [5.0, 1.0, 0.0]
    labels = compact_parts(xyz, parts)
    sizes = np.bincount(labels, minlength=parts)
    assert len(sizes) == parts
    assert sizes.max() - sizes.min() <= 1 + np.log2(parts)
    if parts > 3:
        within = np.mean([xyz[labels == k].std(axis=0).max() for k in range(parts)])
        assert within < 0.5 * xyz.std(axis=0).max()


@pytest.mark.parametrize("two", [False, True])
def test_patches_out_of_reach_hold_no_pairs(two: bool) -> None:
    """Pairs of patches that are passed over change no sum."""
    from functools import partial

    from pysoftcorr.sky.pairs import _reach

    bins = Binning.log(1, 12, 3)
    first, second = (Source.of(c, (c.e,)).base("greedy", 0) for c in (GALAXIES, LENSES))
    n = 25
    one, other = (Patches(o, compact_parts(o.xyz[0], n), n) for o in (first, second))
    calls = []

    def kernel(a, b):
        calls.append(1)
        return _kernel("gg", a, b, bins)

    weights = PairWeights.whole((), n)
    found = []
    for reach in (np.inf, _reach(first, bins)):
        calls.clear()
        found.append(patch_sums(kernel, weights, one, other if two else None, reach=reach))
        found.append(len(calls))
    np.testing.assert_allclose(found[2], found[0], rtol=1e-13)
    assert found[3] < 0.7 * found[1]
    whole = partial(_kernel, "gg", bins=bins)(first, second if two else None)
    some = [0, 1, 2, 3, 4, 6, 7]  # but the imaginary part of xi+, which is 0 in both orders
    np.testing.assert_allclose(found[2][..., some], whole[..., some], rtol=1e-10, atol=1e-12)


def test_blocks_are_cut_by_the_work_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    costs = rng.uniform(0, 10, 500).tolist()
    monkeypatch.setattr(blocks, "_LEAST_COST", 1.0)
    monkeypatch.setattr(blocks, "_MOST_COST", 60.0)
    cuts = batches(costs, blocks=30)
    assert [k for cut in cuts for k in range(cut.start, cut.stop)] == list(range(500))
    sums = [sum(costs[cut]) for cut in cuts]
    assert max(sums) <= 60 + 10
    assert 25 <= len(cuts) <= 60
    assert batches([]) == []


def test_what_is_shared_is_sent_again_where_it_was_lost() -> None:
    class Client:
        sent = 0

        def scatter(self, given, **_):
            self.sent += 1
            return [f"future {self.sent} of {given[0]}"]

    client, one = Client(), Shared((1, 2))
    one.send(client)
    one.send(client)
    assert one.there == "future 1 of (1, 2)"
    one.there = None
    one.send(client)
    assert client.sent == 2


def test_a_jackknife_with_labels_of_patches_that_some_catalogs_lack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.arange(len(GALAXIES)) % 5, np.arange(len(LENSES)) % 3 + 2
    way = Jackknife(patches=labels)
    plain = xi_pm(GALAXIES, BINS, catalog2=LENSES, resampling=way)
    shuffled(monkeypatch)
    same(plain, xi_pm(GALAXIES, BINS, catalog2=LENSES, resampling=way, workers=2), rtol=1e-11)
