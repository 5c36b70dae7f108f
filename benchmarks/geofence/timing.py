"""Medians of rounds taken in turns, and a line of the table made of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

ROUNDS = 5


class Line(NamedTuple):
    """A line of the table: nanoseconds a fix of ours and of the other, medians, and their ratio."""

    what: str
    ours_ns: float
    other: str
    other_ns: float
    wanted: str = ""

    @property
    def ratio(self) -> float:
        return self.other_ns / self.ours_ns


Timed = tuple[Callable[[], object], int]
"""What is done, and for how many fixes."""


def medians_ns(tasks: Sequence[Timed], rounds: int = ROUNDS) -> list[float]:
    """Nanoseconds a fix of each task: medians of rounds in which they take turns. Each runs once before."""
    times: list[list[float]] = [[] for _ in tasks]
    for task, _ in tasks:
        task()
    for _ in range(rounds):
        for (task, count), found in zip(tasks, times, strict=True):
            start = time.perf_counter()
            task()
            found.append((time.perf_counter() - start) / count * 1e9)
    return [statistics.median(found) for found in times]
