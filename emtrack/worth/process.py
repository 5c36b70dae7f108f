"""How the work is done: what is done on time, and how long steps take; what is open counts as open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from emtrack.worth.facts import Due, Step
from emtrack.worth.intervals import Share, wilson
from emtrack.worth.survival import Waits, waits

HOUR_MS: Final = 3_600_000


class OnTime(NamedTuple):
    """`judged`: what was due by now, or done before; of these `late`. `not_due`: open, and its time has not come."""

    judged: tuple[Due, ...]
    late: tuple[Due, ...]
    not_due: int
    share: Share | None


def on_time(dues: Sequence[Due], now_ms: int) -> OnTime:
    judged = tuple(one for one in dues if one.done_ms is not None or one.due_ms <= now_ms)
    late = tuple(one for one in judged if one.done_ms is None or one.done_ms > one.due_ms)
    return OnTime(judged, late, len(dues) - len(judged), wilson(len(judged) - len(late), len(judged)))


def hours_of(steps: Sequence[Step], now_ms: int) -> Waits:
    """How many hours steps take. An end before the beginning, which records of several hands can say, is no wait at all."""
    done = [max(0, one.end_ms - one.begin_ms) / HOUR_MS for one in steps if one.end_ms is not None]
    return waits(done, [max(0, now_ms - one.begin_ms) / HOUR_MS for one in steps if one.end_ms is None])
