"""Who does the work of a sweep: this process, or as many as were asked for.

Each piece is given out when somebody is free, few ahead, and comes back in the order in which it was asked for. Processes are started
afresh: a copy of one that has threads may stand still for ever.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from emtrack.errors import MendableError
from emtrack.files.workshop import Workshop

Piece = TypeVar("Piece")
Done = TypeVar("Done")
AHEAD = 2
"""Pieces for each process that are given out before they are needed: what comes back early waits in memory."""


class SweepEnded(MendableError):
    """A process ended that worked for us."""

    exit_code = 1


class Each(Protocol):
    """Some work for each piece, in order."""

    def __call__(self, work: Callable[[Workshop, Piece], Done], pieces: Iterable[Piece], /) -> Iterator[Done]: ...


@contextmanager
def at_work(shop: Workshop, processes: int) -> Iterator[Each]:
    """Raises what the work raises; SweepEnded."""
    if processes == 1:
        yield lambda work, pieces: (work(shop, piece) for piece in pieces)
        return
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // processes)
    with ProcessPoolExecutor(processes, context, _begin, (shop, threads)) as executor:
        try:
            yield lambda work, pieces: _in_order(executor, processes * AHEAD, work, pieces)
        except BrokenProcessPool as error:
            raise SweepEnded(
                "A process of the sweep ended before its work was done; most often the system took it because memory was full. Give "
                "fewer --processes, or fewer --wearers-at-once."
            ) from error
        finally:
            executor.shutdown(cancel_futures=True)


def _in_order(
    executor: ProcessPoolExecutor, ahead: int, work: Callable[[Workshop, Piece], Done], pieces: Iterable[Piece]
) -> Iterator[Done]:
    waiting: deque[Future[Done]] = deque()
    for piece in pieces:
        waiting.append(executor.submit(_done, work, piece))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


_shop: Workshop
"""In a process that works for a sweep."""


def _begin(shop: Workshop, threads: int) -> None:
    """`threads`: with which a process reads Parquet. Alone, each would take as many as there are cores."""
    global _shop
    pa.set_cpu_count(threads)
    _shop = shop


def _done(work: Callable[[Workshop, Any], Done], piece: Any) -> Done:
    return work(_shop, piece)
