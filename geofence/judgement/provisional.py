"""Ends that only the clock brought, and that a report which comes in time can still turn.

Presence lapses when its hold ends. A device that uploads every ten minutes makes that happen again and again, and the next upload
undoes it: people would be told that a violation ended and that it did not, with every upload. So such an end is *provisional*:
what people are shown lasts, "not known since ...", until a report in time can change nothing any more. The findings themselves are
those of the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from geofence.judgement.findings import Finding
from geofence.words import FOREVER_MS, Kind

LONGEST_MS = 15 * 60_000
"""An end is provisional for no longer, though its device goes on to be heard: the next upload in order would have turned it. Not
longer than `TAIL_MS`, so that whatever is provisional can still be judged again without a checkpoint."""


class Lapses(NamedTuple):
    """When presence in the zone, and in the widened zone, became UNKNOWN by the clock alone, while that is provisional; None: it did
    not, or that is settled. `settles_ms`: the first instant at which one of them is settled."""

    zone_ms: int | None = None
    widened_ms: int | None = None
    settles_ms: int = FOREVER_MS

    def of(self, finding: Finding) -> int | None:
        """The lapse that may end a finding."""
        return self.widened_ms if finding.kind is Kind.APPROACH else self.zone_ms


NO_LAPSES = Lapses()


def lapses_of(zone_ms: int, widened_ms: int, in_time_ms: int, now_ms: int) -> Lapses:
    """`zone_ms`, `widened_ms`: when presence lapses if nothing comes; `in_time_ms`: from when on no report is in time."""
    zone, widened = (_provisional(lapse_ms, in_time_ms, now_ms) for lapse_ms in (zone_ms, widened_ms))
    settle_ms = [min(lapse_ms + LONGEST_MS, in_time_ms) for lapse_ms in (zone, widened) if lapse_ms is not None]
    return Lapses(zone, widened, min(settle_ms, default=FOREVER_MS))


def _provisional(lapse_ms: int, in_time_ms: int, now_ms: int) -> int | None:
    return lapse_ms if lapse_ms <= now_ms < min(lapse_ms + LONGEST_MS, in_time_ms) else None


def as_shown(findings: Iterable[Finding], lapses: Lapses) -> list[Finding]:
    """The findings of an entry as people are shown them. An end on which another finding rests, which begins there, is no longer
    provisional: an alert may depend on it."""
    found = list(findings)
    if lapses is NO_LAPSES:
        return found
    begins_ms = {finding.begin_ms for finding in found}
    return [
        msgspec.structs.replace(finding, end_ms=None, unknown_since_ms=finding.end_ms)
        if finding.end_ms is not None and finding.end_ms == lapses.of(finding) and finding.end_ms not in begins_ms
        else finding
        for finding in found
    ]


def as_judged(finding: Finding) -> Finding:
    """A finding that people are shown, as the rules have it."""
    if finding.unknown_since_ms is None:
        return finding
    return msgspec.structs.replace(finding, end_ms=finding.unknown_since_ms, unknown_since_ms=None)
