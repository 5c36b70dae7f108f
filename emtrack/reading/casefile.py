"""What lies behind an alert: its findings with their versions, and the facts of one of them, weighed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from alerts import Alert, EntryFate, PossibleEntry
from emtrack.reading.history import MOST_FIXES, StoredEvent, StoredFix, View, events_of, fixes_of, place_in_history
from emtrack.record.device_identifiers import unauthenticated_among
from emtrack.record.findings import FindingVersion, shown_at, versions_of_alert
from emtrack.record.plans import load_assignments, load_requirement
from emtrack.record.signing_keys import signed_among
from emtrack.record.zone_sets import ZoneSetCache
from geofence import EntryId, EventType, Fact, Kind, Mechanism, Presence, Requirement, without_duplicates
from geofence.judgement import (
    Finding,
    PositionStatus,
    Sighting,
    Track,
    Weighed,
    Weights,
    position_statuses,
    weighed,
)

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

MOST_OCCURRENCES = 50
NO_FINDING = 0
"""The number of what raised an alert and is no finding: a possible entry."""
AROUND_MS = 30 * 60_000
BEFORE_SILENCE_MS = 2 * 3_600_000
LONGEST_MS = 24 * 3_600_000
LEAD_MS = 24 * 3_600_000
"""Positions are weighed from so long before the first that is shown: whether one is a jump goes by the last evidence."""


class Occurrence(NamedTuple):
    """A finding of an alert, as known at an instant, and all its versions. `version` None: nobody knew of it then."""

    versions: list[FindingVersion]
    version: FindingVersion | None

    @property
    def finding_no(self) -> int:
        return self.versions[0].finding_no

    def until(self, known_ms: int) -> Occurrence:
        """With the versions that were known at an instant only."""
        return self._replace(versions=[v for v in self.versions if v.recorded_ms <= known_ms])

    @property
    def was_amended(self) -> bool:
        return len(self.versions) > 1


class WeighedFix(NamedTuple):
    """A position as people see it. `n` counts from 1; `weighed` is None where it bears on no requirement."""

    n: int
    fix: StoredFix
    status: PositionStatus
    weighed: Weighed | None
    opened_or_closed: bool
    """The finding rests on it."""
    within: bool
    """It lies in the time of the finding."""
    zone_id: str | None = None
    """The member of a zone set that the finding is about, of the position that says so: the first it rests on."""


class FactsAround(NamedTuple):
    """What is known of the time round a finding."""

    requirement: Requirement | None
    fixes: list[WeighedFix]
    events: list[StoredEvent]
    sightings: list[Sighting]
    """What home units said on the requirement, heartbeats that repeat it among them."""
    signed: frozenset[int] = frozenset()
    """Ids of those that came signed by their device: the higher grade of evidence."""
    unauthenticated: frozenset[int] = frozenset()
    """Ids of those behind which stands an identifier and nothing else: the lower grade."""


class LateFacts(NamedTuple):
    """What facts that came after a version was shown say against it: the spans from the first to the last of them that
    agree, with nothing decisive between that does not."""

    spans: list[tuple[int, int]]
    with_positions: bool
    with_sightings: bool


async def occurrences_of(connection: Connection, alert: Alert, known_ms: int) -> list[Occurrence]:
    """The newest first; of an alert that nothing has confirmed yet what raised it, as if it were a finding."""
    found = await versions_of_alert(connection, alert.alert_no, MOST_OCCURRENCES)
    if not found and alert.possible is not None:
        found = [[_possible_version(alert, alert.possible)]]
    return list(map(Occurrence, found, await shown_at(connection, found, known_ms)))


def _possible_version(alert: Alert, entry: PossibleEntry) -> FindingVersion:
    until_ms = None if entry.fate is EntryFate.POSSIBLE else entry.seen_ms + 1
    finding = Finding(
        Kind.EXCLUSION, entry.seen_ms, until_ms, entry.seen_ms, requirement_id=alert.requirement_id,
        entry_id=EntryId(str(entry.entry_no)), evidence=(entry.fact_id,),
    )  # fmt: skip
    return FindingVersion(
        NO_FINDING, entry.activation_no, 1, entry.raised_ms, "new", "a position was inside", finding
    )


def moments_of_change(occurrences: Sequence[Occurrence]) -> list[int]:
    """When what people were shown changed, the newest first."""
    moments = {version.recorded_ms for occurrence in occurrences for version in occurrence.versions}
    return sorted(moments, reverse=True)


def window_of(finding: Finding, now_ms: int) -> tuple[int, int]:
    """The time that an alert's page shows: the finding, at most its first day, and what lies round it."""
    before_ms = BEFORE_SILENCE_MS if finding.kind is Kind.NO_COMMUNICATION else AROUND_MS
    end_ms = now_ms if finding.end_ms is None else finding.end_ms
    end_ms = min(end_ms, finding.begin_ms + LONGEST_MS) + AROUND_MS
    return finding.begin_ms - before_ms, max(min(end_ms, now_ms), finding.begin_ms) + 1


async def facts_around(
    connection: Connection, view: View, version: FindingVersion, known_ms: int, zone_sets: ZoneSetCache
) -> FactsAround:
    """Positions and events of the finding's activation in the time of the view, as received by an instant."""
    finding = version.finding
    requirement = None
    if finding.entry_id is not None:
        requirement = await load_requirement(connection, finding.entry_id, known_ms)
    sets = await zone_sets.sets_of(connection, [] if requirement is None else [requirement])
    assignments = await load_assignments(connection, known_ms, [view.wearer_no])
    number = version.activation_no
    assignment = assignments.get(number)
    fixes = [
        f for f in await fixes_of(connection, view, known_ms=known_ms, lead_ms=LEAD_MS) if f.activation_no == number
    ]
    said = [
        s
        for s in await events_of(connection, view, assignments, known_ms=known_ms, lead_ms=LEAD_MS)
        if s.activation_no == number
    ]
    facts = without_duplicates([*(fix.position for fix in fixes), *(s.event for s in said)])
    weights = Weights([], [])
    if requirement is not None and assignment is not None:
        weights = weighed(assignment.plan, requirement, facts, sets)
    seen = _seen(weights, fixes, view.begin_ms, finding)
    shown = [s for s in said if s.event.event_ms >= view.begin_ms and s.event.type is not EventType.HEARTBEAT]
    sightings = [sighting for sighting in weights.sightings if sighting.event.event_ms >= view.begin_ms]
    ids = [*(one.fix.position.fact_id for one in seen), *(s.event.fact_id for s in shown)]
    signed, unauthenticated = await signed_among(connection, ids), await unauthenticated_among(connection, ids)
    return FactsAround(requirement, seen, shown, sightings, signed, unauthenticated)


def _seen(weights: Weights, fixes: Sequence[StoredFix], begin_ms: int, finding: Finding) -> list[WeighedFix]:
    rows: list[tuple[StoredFix, PositionStatus, Weighed | None]] = []
    if weights.positions:
        fix_of = {fix.position.fact_id: fix for fix in fixes}
        rows = [(fix_of[w.position.fact_id], w.status, w) for w in weights.positions]
    else:
        rows = [(fix, status, None) for fix, status in _statuses_of(fixes)]
    shown = [row for row in rows if row[0].position.fix_ms >= begin_ms]
    end_ms = finding.end_ms
    return [
        WeighedFix(
            n, fix, status, weight, fix.position.fact_id in finding.evidence,
            finding.begin_ms <= fix.position.fix_ms and (end_ms is None or fix.position.fix_ms <= end_ms),
            finding.zone_id if fix.position.fact_id in finding.evidence[:1] else None,
        )
        for n, (fix, status, weight) in enumerate(shown, 1)
    ]  # fmt: skip


class HistoryPage(NamedTuple):
    """Some positions of a history. `size`: of all that can be shown; `is_cut`: there are more, and these are the newest.
    `before_ms`: when the last evidence before the first of them was; None before the first of all."""

    rows: list[WeighedFix]
    size: int
    is_cut: bool
    before_ms: int | None = None


async def history_of(connection: Connection, view: View, known_ms: int) -> list[WeighedFix]:
    """Positions of a wearer in the time of a view, each activation's weighed by itself, in order of time."""
    return _in_order(await fixes_of(connection, view, known_ms=known_ms, lead_ms=LEAD_MS), view.begin_ms, 1)


async def history_page(connection: Connection, view: View, known_ms: int, first: int, most: int) -> HistoryPage:
    """At most `most` of them, from number `first` (1 is the first of all) on; what is not shown is not read, but for what is
    needed to weigh the first."""
    count = (await place_in_history(connection, view, known_ms, 0, 0)).size
    left_out = max(0, count - MOST_FIXES)
    place = await place_in_history(connection, view, known_ms, left_out + first - 1, most)
    part = view._replace(begin_ms=place.from_ms, end_ms=min(place.to_ms + 1, view.end_ms))
    fixes = await fixes_of(connection, part, known_ms=known_ms, lead_ms=LEAD_MS)
    rows = _in_order(fixes, place.from_ms, place.before - left_out + 1)
    shown = [row for row in rows if first <= row.n < first + most]
    before_ms = _last_evidence_ms(fixes, place.from_ms) if first > 1 else None
    return HistoryPage(shown, count - left_out, left_out > 0, before_ms)


class PartByMechanism(NamedTuple):
    """Some positions of one mechanism. `first`: where among those of it the first of them stands."""

    page: HistoryPage
    first: int


async def page_by_mechanism(
    connection: Connection,
    view: View,
    known_ms: int,
    mechanism: Mechanism,
    first: int,
    at_ms: int | None,
    most: int,
) -> PartByMechanism:
    """At most `most` of them, from number `first` among them on, or those in which an instant lies. All positions are weighed:
    whether one is a jump goes by the others, too; and each keeps its number among all."""
    whole = await history_of(connection, view, known_ms)
    rows = [row for row in whole if row.fix.position.mechanism is mechanism]
    if at_ms is not None:
        before = sum(row.fix.position.fix_ms < at_ms for row in rows)
        first = max(0, min(before, len(rows) - 1)) // most * most + 1
    is_cut = await count_known(connection, view, known_ms) > len(whole)
    return PartByMechanism(HistoryPage(rows[first - 1 : first - 1 + most], len(rows), is_cut), first)


async def count_known(connection: Connection, view: View, known_ms: int) -> int:
    """How many positions of the time of a view were received by an instant."""
    return (await place_in_history(connection, view, known_ms, 0, 0)).size


async def number_at(connection: Connection, view: View, known_ms: int, at_ms: int) -> int:
    """The number of the first position at an instant or later; of the last one, if there is none. 1 where there is no position."""
    count = (await place_in_history(connection, view, known_ms, 0, 0)).size
    until = view._replace(end_ms=min(max(at_ms, view.begin_ms), view.end_ms))
    before = (await place_in_history(connection, until, known_ms, 0, 0)).size
    left_out = max(0, count - MOST_FIXES)
    return max(1, min(before, count - 1) - left_out + 1)


def _last_evidence_ms(fixes: Sequence[StoredFix], before_ms: int) -> int | None:
    earlier = _in_order([fix for fix in fixes if fix.position.fix_ms < before_ms], 0, 1)
    return next((row.fix.position.fix_ms for row in reversed(earlier) if row.status is PositionStatus.EVIDENCE), None)


def _statuses_of(fixes: Sequence[StoredFix]) -> list[tuple[StoredFix, PositionStatus]]:
    """What each position of an activation is, in order of time."""
    fix_of = {fix.position.fact_id: fix for fix in fixes}
    positions = sorted((fix.position for fix in fixes), key=lambda position: position.key)
    return [(fix_of[p.fact_id], status) for p, status, _ in position_statuses(Track(), positions)]


def _in_order(fixes: Sequence[StoredFix], from_ms: int, first: int) -> list[WeighedFix]:
    """Those from an instant on, numbered from `first` on; those before it only help to weigh them."""
    by_activation: dict[int, list[StoredFix]] = {}
    for fix in fixes:
        by_activation.setdefault(fix.activation_no, []).append(fix)
    rows = []
    for group in by_activation.values():
        rows += _statuses_of(group)
    shown = [row for row in rows if row[0].position.fix_ms >= from_ms]
    shown.sort(key=lambda row: row[0].position.key)
    return [WeighedFix(n, fix, status, None, False, False) for n, (fix, status) in enumerate(shown, first)]


AGAINST = {Kind.CURFEW: Presence.INSIDE, Kind.INCLUSION: Presence.INSIDE, Kind.EXCLUSION: Presence.OUTSIDE}
"""The verdict that contradicts a finding. An approach is left out: verdicts beside an alert are of the zone, not its buffer."""


class _Decisive(NamedTuple):
    at_ms: int
    verdict: Presence
    received_ms: int
    is_sighting: bool


def late_facts(versions: Sequence[FindingVersion], version: FindingVersion, facts: FactsAround) -> LateFacts | None:
    """Of a version that changed or withdrew what was shown: the facts that came in between, are older than what was known
    then, and contradict what was shown. None if there are none: something else was the reason."""
    before = [v for v in versions if v.version < version.version]
    against = AGAINST.get(version.finding.kind)
    if not before or facts.requirement is None or against is None:
        return None
    shown = before[-1]
    received: list[Fact] = [*(s.fix.position for s in facts.fixes), *(s.event for s in facts.events)]
    known_to_ms = max((fact.own_ms for fact in received if fact.received_ms <= shown.recorded_ms), default=0)
    decisive = _decisive(facts)

    def is_late(d: _Decisive) -> bool:
        return shown.recorded_ms < d.received_ms <= version.recorded_ms and d.at_ms < known_to_ms

    end_ms = known_to_ms if shown.finding.end_ms is None else shown.finding.end_ms
    told = [d for d in decisive if shown.finding.begin_ms <= d.at_ms <= end_ms]
    runs = [list(run) for verdict, run in groupby(told, key=lambda d: d.verdict) if verdict is against]
    late = [run for run in runs if any(map(is_late, run))]
    came = [d for run in late for d in run if is_late(d)]
    if not came:
        return None
    return LateFacts(
        [(run[0].at_ms, run[-1].at_ms) for run in late],
        any(not d.is_sighting for d in came),
        any(d.is_sighting for d in came),
    )


def _decisive(facts: FactsAround) -> list[_Decisive]:
    """What counted on the requirement, in order of time."""
    found = [
        _Decisive(w.position.fix_ms, w.verdict, w.position.received_ms, False)
        for s in facts.fixes
        if (w := s.weighed) is not None
        and w.status is PositionStatus.EVIDENCE
        and not w.overruled
        and w.verdict is not Presence.UNKNOWN
    ]
    found += [
        _Decisive(sighting.event.event_ms, sighting.verdict, sighting.event.received_ms, True)
        for sighting in facts.sightings
    ]
    return sorted(found, key=lambda d: (d.at_ms, not d.is_sighting))


BASIS = "SELECT decided_under, facts_hash FROM finding_versions WHERE finding_no = $1 AND version = $2"


class Basis(NamedTuple):
    """What a version of a finding was decided under (RULES.md section 7): versions of rules, settings, requirement and geometry, by
    what they are of, and the hash of the facts it rests on."""

    versions: dict[str, str]
    facts_hash: str


async def basis_of(connection: Connection, version: FindingVersion) -> Basis | None:
    """None: no finding stands behind it yet."""
    row = await connection.fetchrow(BASIS, version.finding_no, version.version)
    return None if row is None else Basis(dict(row["decided_under"]), row["facts_hash"])
