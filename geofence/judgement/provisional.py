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

PASSED_MS = 15 * 60_000
"""Whose evidence has gone on for so long after an end does not turn it any more: an upload in order would have. Not longer than
`TAIL_MS`, so that whatever is provisional can still be judged again without a checkpoint."""


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


def lapses_of(zone_ms: int, widened_ms: int, newest_ms: int, in_time_ms: int, now_ms: int) -> Lapses:
    """`zone_ms`, `widened_ms`: when presence lapses if nothing comes; `newest_ms`: of the newest evidence; `in_time_ms`: from when on
    no report is in time."""
    if zone_ms > now_ms and widened_ms > now_ms:
        return NO_LAPSES
    zone, widened = (
        lapse_ms if lapse_ms <= now_ms < in_time_ms and not is_passed(lapse_ms, newest_ms) else None
        for lapse_ms in (zone_ms, widened_ms)
    )
    return NO_LAPSES if zone is widened is None else Lapses(zone, widened, in_time_ms)


def is_passed(lapse_ms: int, newest_ms: int) -> bool:
    """Whether evidence has gone on for too long after a lapse."""
    return newest_ms >= lapse_ms + PASSED_MS


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
