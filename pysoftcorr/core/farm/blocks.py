"""Work that is cut into blocks, each a pure function of arrays, done by workers."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from typing import Any

from tqdm import tqdm

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.farm.connection import connected
from pysoftcorr.core.farm.tasks import Shared, Words, finished, use_threads_of_worker
from pysoftcorr.core.processes import refuse_unguarded_script
from pysoftcorr.core.progress import watched

__all__ = ["Farm", "batches", "farm_of", "one_farm"]

_WORDS = Words(
    "block",
    "nothing is kept: give the same command again",
    "Give the same command again with fewer workers, or on more memory",
)
#: Of a block, but for single items that are more.
_LEAST_COST, _MOST_COST = 1e5, 1e7
#: Objects of which a farm remembers that its workers have them.
_REMEMBERED = 8
#: One task at a time in a worker with several threads, all of which Julia uses.
_ONE = threading.Lock()

_open: ContextVar[dict[Any, Farm] | None] = ContextVar("farms that are open", default=None)


class Farm:
    """Workers, and what they have been sent.

    Parameters
    ----------
    client : distributed.Client
    """

    def __init__(self, client: Any) -> None:
        self.client = client
        self._shared: list[Shared] = []

    def map(
        self,
        task: Callable[..., Any],
        shared: Sequence[Any],
        blocks: Sequence[Any],
        *,
        title: str | None = None,
        large: bool = False,
    ) -> list[Any]:
        """``task(*shared, block)`` of each block, in the order of these.

        The same as `each`, as a list.
        """
        return list(self.each(task, shared, blocks, title=title, large=large))

    def each(
        self,
        task: Callable[..., Any],
        shared: Sequence[Any],
        blocks: Sequence[Any],
        *,
        title: str | None = None,
        large: bool = False,
    ) -> Iterator[Any]:
        """``task(*shared, block)`` of each block, in the order of these, as they come.

        Parameters
        ----------
        task : callable
            A function of a module, of its arguments alone.
        shared : sequence
            Sent to the workers once, as long as the same objects are given.
        blocks : sequence
        title : str, optional
            Of a progress bar, shown when standard error is a terminal.
        large : bool
            Whether blocks are of many megabytes.

        Raises
        ------
        ConnectionError
            The scheduler goes away.
        MemoryError
            Workers died of a block.
        Exception
            What the task raises.

        Warns
        -----
        UserWarning
            What the tasks warn of, each text once, in the order of blocks.
        """
        waiting: dict[int, Any] = {}
        turn = 0
        said: list[list[str]] = [[] for _ in blocks]
        hidden = title is None or not watched()
        with tqdm(total=len(blocks), desc=title, leave=False, disable=hidden, delay=0.5) as bar:
            for k, (result, warned) in finished(
                self.client, _done, [self._of(given) for given in shared],
                lambda k: (task, blocks[k]), range(len(blocks)), bar.set_postfix_str,
                words=_WORDS, failed=lambda _, error: error, large=large,
            ):  # fmt: skip
                waiting[k], said[k] = result, warned
                bar.update()
                while turn in waiting:
                    yield waiting.pop(turn)
                    turn += 1
        for text in dict.fromkeys(text for each in said for text in each):
            caution(text)

    def _of(self, given: Any) -> Shared:
        for one in self._shared:
            if one.given is given:
                return one
        self._shared = [*self._shared[1 - _REMEMBERED :], Shared(given)]
        return self._shared[-1]


def _done(*given: Any) -> tuple[Any, list[str]]:
    """A task in a worker: its result, and what it warned of."""
    *shared, task, block = given
    use_threads_of_worker()
    with _ONE, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = task(*shared, block)
    return result, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


@contextmanager
def farm_of(name: str, scheduler: str | None, workers: int | None) -> Iterator[Farm | None]:
    """Workers for a call, which end with the block; None where none are asked for.

    Parameters
    ----------
    name : str
        Of the function that is called, for messages.
    scheduler : str, optional
        Address of a dask scheduler.
    workers : int, optional
        Number of processes on this machine; both as `check_workers` has found them.

    Raises
    ------
    ConnectionError
        If there is no scheduler at the address, or workers of this machine do not start.
    RuntimeError
        If a script without a guard would start processes.
    """
    if scheduler is None and workers is None:
        yield None
        return
    if scheduler is None:
        refuse_unguarded_script(name)
    kept = (_open.get() or {}).get((scheduler, workers))
    if kept is not None:
        yield kept
        return
    with connected(scheduler, workers) as client:
        yield Farm(client)


@contextmanager
def one_farm(name: str, scheduler: str | None, workers: int | None) -> Iterator[None]:
    """Let all calls within that ask for these workers have the same, which end with the block.

    Where they cannot be had, the first call says so.
    """
    if scheduler is not None and workers is not None:
        yield
        return
    with farm_of(name, scheduler, workers) as farm:
        if farm is None:
            yield
            return
        before = _open.set({(scheduler, workers): farm})
        try:
            yield
        finally:
            _open.reset(before)


def batches(costs: Sequence[float], *, blocks: int = 64) -> list[slice]:
    """Items in a row that make a block each, of about one cost: a function of the costs alone.

    Parameters
    ----------
    costs : sequence of float
        Such as possible pairs of objects, of which 1e5 to 1e7 make a block: from where the way to
        a worker is worth it, to a tenth of a second, after which Ctrl-C may come.
    blocks : int
        How many blocks there shall be, within these limits.

    Examples
    --------
    >>> from pysoftcorr.core.farm.blocks import batches
    >>> batches([1e5, 1e5, 1e5, 5e5, 1e5], blocks=4)
    [slice(0, 3, None), slice(3, 4, None), slice(4, 5, None)]
    """
    wanted = min(max(sum(costs) / blocks, _LEAST_COST), _MOST_COST)
    cuts, total = [0], 0.0
    for k, cost in enumerate(costs):
        total += cost
        if total >= wanted:
            cuts.append(k + 1)
            total = 0.0
    if cuts[-1] < len(costs):
        cuts.append(len(costs))
    return [slice(a, b) for a, b in pairwise(cuts)]
