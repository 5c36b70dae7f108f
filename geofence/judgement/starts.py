"""Whether somebody was seen out lately when a period began (RULES.md section 5, "Seen at the start").

A presence OUTSIDE that began before the start S of an obligation period of a curfew or an inclusion counts from S only if a verdict
OUTSIDE lies shortly before S, or the last sighting of the home unit is "out of range" and still holds at S. Otherwise it counts from
the first verdict OUTSIDE after S. Both are known when the next verdict OUTSIDE comes, and are noted then; for a period that began
after the last one, `counted_from` answers from what was seen so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from geofence.words import Presence

if TYPE_CHECKING:
    from geofence.judgement.presence import Tracker, Verdict


class Start(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """From where a presence OUTSIDE counts in a period; `fact_id`: the verdict there, 0 if it is the period's own start."""

    from_ms: int
    fact_id: int = 0


class SeenAtStart(NamedTuple):
    """The rule for one requirement. `starts_between`: starts of its periods in (after, up to]."""

    within_ms: int
    starts_between: Callable[[int, int], Sequence[int]]


def note_starts(tracker: Tracker, rule: SeenAtStart, verdict: Verdict) -> bool:
    """Before a verdict that is used is fed: what it settles of periods that began since the last verdict OUTSIDE. True if any."""
    is_out, at_ms, last_out_ms = verdict.value == Presence.OUTSIDE, verdict.at_ms, tracker.last_out_ms
    if is_out:
        tracker.last_out_ms = at_ms
    if last_out_ms is None or not (is_out or verdict.is_sighting):
        return False
    known = len(tracker.starts)
    held_to_ms = max(tracker.position_holds_to_ms, tracker.sighted_to_ms, tracker.run_sighted_to_ms)
    upto_ms = min(at_ms if is_out else at_ms - 1, held_to_ms)
    for start_ms in rule.starts_between(last_out_ms, upto_ms) if upto_ms > last_out_ms else ():
        if start_ms in tracker.starts:
            continue
        if start_ms == at_ms or _is_seen(tracker, rule, last_out_ms, start_ms):
            tracker.starts[start_ms] = Start(start_ms)
        elif is_out:
            tracker.starts[start_ms] = Start(at_ms, verdict.fact.fact_id)
    return len(tracker.starts) > known


def _is_seen(tracker: Tracker, rule: SeenAtStart, last_out_ms: int, start_ms: int) -> bool:
    """Of a start after the last verdict OUTSIDE and after the last sighting."""
    sighted_out = tracker.unit.value == Presence.OUTSIDE and tracker.unit.holds_to_ms >= start_ms
    return sighted_out or start_ms - last_out_ms <= rule.within_ms


def counted_from(tracker: Tracker, rule: SeenAtStart, start_ms: int) -> Start | None:
    """From where a presence OUTSIDE that began before a period counts in it; None: from nowhere so far."""
    noted = tracker.starts.get(start_ms)
    if noted is not None or tracker.last_out_ms is None or tracker.last_out_ms > start_ms:
        return noted
    return Start(start_ms) if _is_seen(tracker, rule, tracker.last_out_ms, start_ms) else None
