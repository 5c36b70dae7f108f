"""What memory costs on this machine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from benchmarks.geofence.timing import medians_ns
from geofence.shapes import Int64s


@njit(nogil=True)
def _random_lines(memory: Int64s, at: Int64s) -> int:
    total = 0
    for i in range(at.shape[0]):
        total += memory[at[i]]
    return total


@njit(nogil=True)
def _stream(memory: Int64s) -> int:
    total = 0
    for i in range(memory.shape[0]):
        total += memory[i]
    return total


class Machine(NamedTuple):
    """line_ns: a line of memory at random, many under way at once. stream_gb_s: read one after the other."""

    line_ns: float
    stream_gb_s: float


def calibrated(megabytes: float) -> Machine:
    """The cost of a random line in so much memory, and of reading it in order."""
    memory = np.ones(int(megabytes * 131_072), np.int64)  # zeros that nobody has written are all one page
    at = np.random.default_rng(0).integers(0, len(memory) // 8, 1_000_000) * 8
    line_ns, word_ns = medians_ns(
        [(lambda: _random_lines(memory, at), len(at)), (lambda: _stream(memory), len(memory))]
    )
    return Machine(line_ns, 8 / word_ns)
