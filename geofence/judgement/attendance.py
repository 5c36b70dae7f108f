"""Findings of an attendance: whether somebody was there for long enough of each period (RULES.md section 5).

Absence is only what was seen: presence OUTSIDE. As soon as it has added up to more than the period leaves, the appointment can no
longer be kept; if at the end neither that nor enough presence INSIDE is known, nobody can say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from geofence.intervals import Interval
from geofence.judgement.presence import INSIDE, OUTSIDE, Stretch
from geofence.words import FOREVER_MS


class Missed(NamedTuple):
    """From when an appointment can no longer be kept, and the stretch of presence in which that came about."""

    begin_ms: int
    stretch: Stretch


def stay_of(period: Interval, stay_ms: int) -> int:
    """How much of a period somebody has to stay: never more than it is long (a clock change can shorten it)."""
    return min(stay_ms, period.end_ms - period.begin_ms)


def missed(steps: Sequence[Stretch], period: Interval, stay_ms: int, now_ms: int) -> Missed | None:
    """None if up to *now* the appointment can still be kept, or was."""
    left_ms = period.end_ms - period.begin_ms - stay_of(period, stay_ms)
    for step, part in _within(steps, period, OUTSIDE):
        if part.begin_ms + left_ms < part.end_ms:
            begin_ms = part.begin_ms + left_ms
            return Missed(begin_ms, step) if begin_ms <= now_ms else None
        left_ms -= part.end_ms - part.begin_ms
    return None


def is_missed_at_ms(steps: Sequence[Stretch], period: Interval, stay_ms: int) -> int:
    """When the appointment can no longer be kept if presence goes on as it is; FOREVER_MS if never."""
    found = missed(steps, period, stay_ms, FOREVER_MS)
    return FOREVER_MS if found is None else found.begin_ms


def is_kept(steps: Sequence[Stretch], period: Interval, stay_ms: int) -> bool:
    """Whether presence INSIDE has added up to enough."""
    stayed_ms = sum(part.end_ms - part.begin_ms for _, part in _within(steps, period, INSIDE))
    return stayed_ms >= stay_of(period, stay_ms)


def _within(steps: Sequence[Stretch], period: Interval, value: int) -> Iterator[tuple[Stretch, Interval]]:
    """The stretches of a value, cut to a period; one that lasts reaches to its end."""
    for step in steps:
        end_ms = FOREVER_MS if step.end_ms is None else step.end_ms
        part = Interval(max(step.begin_ms, period.begin_ms), min(end_ms, period.end_ms))
        if step.value == value and part.begin_ms < part.end_ms:
            yield step, part
