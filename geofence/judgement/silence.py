"""NO_COMMUNICATION: silence on the line of `received_time`, our own outages not counted (RULES.md section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geofence.facts import DeviceEvent, Fact
from geofence.intervals import Interval
from geofence.judgement.findings import Finding, hash_of
from geofence.obligations import Plan
from geofence.shapes.arrays import Int64s
from geofence.words import FOREVER_MS, Kind


def limit_of(since_ms: int, limit_ms: int, outages: Sequence[Interval]) -> int:
    """When a silence since `since_ms` reaches its limit. An outage that begins at that very instant puts it off."""
    left_ms = limit_ms
    cursor_ms = since_ms
    for outage in outages:
        if outage.end_ms <= cursor_ms:
            continue
        heard_ms = max(0, outage.begin_ms - cursor_ms)
        if heard_ms > left_ms:
            break
        left_ms -= heard_ms
        cursor_ms = outage.end_ms
    return cursor_ms + left_ms


def silence_start_ms(plan: Plan) -> int:
    """The activation's start stands for a receipt, but a silence starts no earlier than we were told of it."""
    entered_ms = plan.activation.entered_ms
    return plan.activation.from_ms if entered_ms is None else max(plan.activation.from_ms, entered_ms)


def is_sign_of_life(plan: Plan, fact: Fact) -> bool:
    """Whether a fact that was received is communication of the device: what a home unit sent is none of a device that has a channel
    of its own."""
    return not isinstance(fact, DeviceEvent) or fact.sent_by is None or plan.is_heard_by_units_only


def silences(plan: Plan, receipts_ms: Sequence[int] | Int64s, now_ms: int) -> list[Finding]:
    """The silences after each of `receipts_ms` (sorted, at least one, the first may be the start) up to *now*."""
    found = []
    until_ms = plan.activation.to_ms
    received_ms = np.asarray(receipts_ms, np.int64)
    long_gaps = np.flatnonzero(np.diff(received_ms) > plan.silence_limit_ms).tolist()
    for index in (*long_gaps, len(received_ms) - 1):
        since_ms = int(received_ms[index])
        following = int(received_ms[index + 1]) if index + 1 < len(received_ms) else None
        heard_ms = min(now_ms if following is None else following, until_ms)
        if heard_ms - since_ms <= plan.silence_limit_ms:
            continue
        reached_ms = limit_of(since_ms, plan.silence_limit_ms, plan.outages)
        if heard_ms > reached_ms:
            ended = following is not None or until_ms <= now_ms
            found.append(_silence(reached_ms, heard_ms if ended else None, since_ms))
    return found


def _silence(begin_ms: int, end_ms: int | None, since_ms: int) -> Finding:
    facts_hash = hash_of([str(since_ms).encode(), str(end_ms).encode()])
    return Finding(Kind.NO_COMMUNICATION, begin_ms, end_ms, begin_ms, facts_hash=facts_hash)


def silence_due_ms(plan: Plan, since_ms: int, now_ms: int) -> int:
    """The first instant after *now* at which silence begins or ends by the clock alone; FOREVER_MS if none."""
    first_ms = limit_of(since_ms, plan.silence_limit_ms, plan.outages) + 1
    instants = [first_ms, plan.activation.to_ms]
    return min((instant for instant in instants if instant > now_ms), default=FOREVER_MS)
