"""Half-open intervals [begin, end) on the UTC time line, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """[begin_ms, end_ms), never empty where a function of this file returns it."""

    begin_ms: int
    end_ms: int


def merged(intervals: Iterable[tuple[int, int]]) -> list[Interval]:
    """The union: sorted, and intervals that overlap or touch made one. Empty ones vanish."""
    union: list[Interval] = []
    for begin_ms, end_ms in sorted(intervals):
        if begin_ms >= end_ms:
            continue
        if union and begin_ms <= union[-1].end_ms:
            union[-1] = Interval(union[-1].begin_ms, max(union[-1].end_ms, end_ms))
        else:
            union.append(Interval(begin_ms, end_ms))
    return union


def clipped(intervals: Iterable[tuple[int, int]], begin_ms: int, end_ms: int) -> list[Interval]:
    """The parts inside [begin_ms, end_ms)."""
    parts = (Interval(max(b, begin_ms), min(e, end_ms)) for b, e in intervals)
    return [part for part in parts if part.begin_ms < part.end_ms]


def subtracted(intervals: Sequence[tuple[int, int]], holes: Sequence[tuple[int, int]]) -> list[Interval]:
    """`intervals` less `holes`; intervals sorted and apart, holes sorted and apart (see `merged`)."""
    left: list[Interval] = []
    for begin_ms, end_ms in intervals:
        cursor_ms = begin_ms
        for hole_begin_ms, hole_end_ms in holes:
            if hole_end_ms <= cursor_ms or hole_begin_ms >= end_ms:
                continue
            if hole_begin_ms > cursor_ms:
                left.append(Interval(cursor_ms, hole_begin_ms))
            cursor_ms = hole_end_ms
        if cursor_ms < end_ms:
            left.append(Interval(cursor_ms, end_ms))
    return left
