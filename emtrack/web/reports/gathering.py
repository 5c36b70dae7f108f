"""What a report says, gathered out of the record as it was known at an instant. After the look, in a process of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from emtrack.forms.grades import authenticated_word
from emtrack.reading.band import LEAD_MS
from emtrack.reading.casefile import Occurrence, WeighedFix, basis_of, history_of
from emtrack.reading.coverage import Coverage, Times, Told, coverage_of, times_at
from emtrack.reading.drafts import narrowed
from emtrack.reading.history import StoredEvent, View, events_of
from emtrack.record.deployment_settings import load_settings
from emtrack.record.device_identifiers import unauthenticated_among
from emtrack.record.fact_columns import received_of, said_of
from emtrack.record.findings import FindingVersion, shown_at, versions_of_wearer
from emtrack.record.outages import load_outages
from emtrack.record.plans import Assignment, load_assignments
from emtrack.record.requirement_names import load_names
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.web.maps import drawn_zones, requirements_of
from emtrack.web.reports.contents import Line, Obligation, ReportedFinding, Table
from emtrack.web.reports.drawing import MapPoint, MapZone, drawn_map
from emtrack.web.wording import (
    CHANGES,
    MECHANISMS,
    POSITION_STATUSES,
    Words,
    event_words,
    length,
    timetable_words,
    title_of,
    why_words,
)
from geofence import (
    FOREVER_MS,
    Disc,
    EntryId,
    EventType,
    Interval,
    ObligationKind,
    Requirement,
    RequirementId,
    SetZone,
    WearerId,
    clipped,
    format_instant,
    version_of,
)
from geofence.judgement import Finding, PositionStatus

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

MOST_FINDINGS = 200
MOST_EVENTS = 200
MOST_GAPS = 200
MOST_POSITIONS_SHOWN = 300
MOST_FINDING_MAPS = 12
MOST_JUDGED = 12
"""Of so many requirements it is worked out how long somebody was where."""
NOT_AUTHENTICATED = "Not authenticated"
ONLY_AN_IDENTIFIER = "nothing but an identifier stands behind them"
LATE_MS = 5 * 60_000
AROUND_MS = 15 * 60_000
KINDS = {
    ObligationKind.EXCLUSION: "Exclusion zone: not to be inside",
    ObligationKind.INCLUSION: "Inclusion zone: to be inside",
    ObligationKind.CURFEW: "Curfew: to be at the address",
    ObligationKind.ATTENDANCE: "Attendance: to be there for a time",
}


class AskedPlace(NamedTuple):
    """A place that no order names, of which it is asked whether somebody was there."""

    lon_deg: float
    lat_deg: float
    radius_m: float


class Gathered(NamedTuple):
    """All that a report is written of."""

    view: View
    known_ms: int
    words: Words
    assignments: list[Assignment]
    requirements: list[Requirement]
    names: Mapping[str, str]
    seen: list[WeighedFix]
    events: list[StoredEvent]
    findings: list[Occurrence]
    bases: Mapping[tuple[int, int], Any]
    coverage: Coverage
    times: list[tuple[Requirement, Times | None]]
    place: AskedPlace | None
    place_times: Times | None
    outages: list[Interval]
    zones: list[MapZone]
    max_gap_ms: int
    unauthenticated: Collection[int]
    """Of its facts, those behind which nothing stands but an identifier."""
    basemap: Path | None

    @property
    def window(self) -> Interval:
        return Interval(self.view.begin_ms, self.view.end_ms)

    def authenticated(self, fact_id: int) -> str:
        return authenticated_word(fact_id not in self.unauthenticated)

    def named(self, requirement_id: str | None) -> str:
        """What people call the zone of a requirement."""
        if requirement_id is None:
            return "no requirement"
        name = self.names.get(requirement_id)
        return f"{name} ({requirement_id})" if name else requirement_id


async def gathered(
    connection: Connection,
    zone_sets: ZoneSetCache,
    view: View,
    known_ms: int,
    timezone: str,
    place: AskedPlace | None,
    basemap: Path | None,
) -> Gathered | str:
    """Or why it is too much. `basemap`: the file whose streets lie under the maps."""
    window = Interval(view.begin_ms, view.end_ms)
    around = Interval(view.begin_ms - LEAD_MS, view.end_ms + LEAD_MS)
    versions = await versions_of_wearer(
        connection, view.wearer_no, view.begin_ms, known_ms, MOST_FINDINGS + 1, before_ms=view.end_ms
    )
    if len(versions) > MOST_FINDINGS:
        return f"There are more than {MOST_FINDINGS} findings in this time. Choose a shorter time."
    shown = await shown_at(connection, versions, known_ms)
    findings = [
        Occurrence(found, version).until(known_ms)
        for found, version in zip(versions, shown, strict=True)
        if version is not None
    ]
    assignments = [
        a for a in (await load_assignments(connection, known_ms, [view.wearer_no])).values()
        if a.plan.activation.from_ms < view.end_ms and a.plan.activation.to_ms > view.begin_ms
    ]  # fmt: skip
    requirements = [r for r in requirements_of(assignments) if r.from_ms < view.end_ms and r.to_ms > view.begin_ms]
    seen = await history_of(connection, view, known_ms)
    _, settings = await load_settings(connection, known_ms)
    names = await load_names(connection, [view.wearer_no])
    drawn = await drawn_zones(connection, requirements, seen)
    worn = [narrowed(a, around) for a in assignments]
    told = await _told(connection, worn)
    sets = await zone_sets.sets_of(connection, requirements)

    def times_in(requirement: Requirement) -> Times | None:
        return _added(times_at(a.plan, requirement, told[a.activation_no], window, known_ms, sets) for a in worn)

    times = [(requirement, times_in(requirement)) for requirement in requirements[:MOST_JUDGED]]
    place_times = None if place is None else times_in(_requirement_at(place, window, assignments))
    bases = {}
    for occurrence in findings:
        if (version := occurrence.version) is not None:
            bases[version.finding_no, version.version] = await basis_of(connection, version)
    events = await events_of(connection, view, {a.activation_no: a for a in assignments}, known_ms=known_ms)
    facts = {one.fix.position.fact_id for one in seen} | {stored.event.fact_id for stored in events}
    for occurrence in findings:
        facts |= {fact_id for version in occurrence.versions for fact_id in version.finding.evidence}
    return Gathered(
        view, known_ms, Words(timezone), assignments, requirements,
        {requirement_id: name for (_, requirement_id), name in names.items()}, seen,
        events, findings, bases,
        coverage_of(assignments, seen, Interval(view.begin_ms, min(view.end_ms, known_ms)), settings.max_gap_ms), times, place,
        place_times, clipped((await load_outages(connection)).of(view.wearer_no), *window),
        [MapZone(names.get((view.wearer_no, zone["label"]), zone["label"]), zone["kind"], zone["geometry"]) for zone in drawn.zones],
        settings.max_gap_ms, await unauthenticated_among(connection, facts), basemap,
    )  # fmt: skip


async def _told(connection: Connection, worn: Sequence[Assignment]) -> dict[int, Told]:
    """By activation number. What came after the time of the report is among it: it shows that a gap ended."""
    received, events = await received_of(connection, worn), await said_of(connection, worn)
    return {
        a.activation_no: Told(received.taken(received.wearer == place), events[a.activation_no])
        for place, a in enumerate(worn)
    }


def _added(times: Iterable[Times | None]) -> Times | None:
    found = [one for one in times if one is not None]
    return Times(*(sum(column) for column in zip(*found, strict=True))) if found else None


def _requirement_at(place: AskedPlace, window: Interval, assignments: Sequence[Assignment]) -> Requirement:
    wearer_id = assignments[0].plan.activation.wearer_id if assignments else WearerId("")
    return Requirement(
        EntryId("0"), RequirementId("place"), wearer_id, ObligationKind.EXCLUSION, window.begin_ms, window.end_ms,
        Disc((place.lon_deg, place.lat_deg), place.radius_m),
    )  # fmt: skip


def both(words: Words, instant_ms: int) -> str:
    """Local time with BST or GMT, and UTC."""
    return f"{words.moment(instant_ms)} ({format_instant(instant_ms)})"


def columns(words: Words, instant_ms: int) -> tuple[str, str]:
    """The same for two cells."""
    moment = words.local(instant_ms)
    return f"{moment:%d %b %Y %H:%M:%S %Z}", format_instant(instant_ms)


def tags_table(found: Gathered) -> Table:
    rows = [
        (
            a.activation_id,
            a.device_id,
            both(found.words, a.from_ms),
            "no end" if a.to_ms >= FOREVER_MS else both(found.words, a.to_ms),
        )
        for a in (assignment.plan.activation for assignment in found.assignments)
    ]
    return Table(("Activation", "Device", "From", "To"), rows)


def obligations(found: Gathered) -> list[Obligation]:
    return [_obligation(found, requirement) for requirement in found.requirements]


def _obligation(found: Gathered, requirement: Requirement) -> Obligation:
    words, to_ms = found.words, requirement.to_ms
    lines: list[Line] = [
        ("Kind", KINDS[requirement.kind]),
        ("In force from", both(words, requirement.from_ms)),
        ("Until", "no end" if to_ms >= FOREVER_MS else both(words, to_ms)),
        ("Timetable", f"{timetable_words(requirement)} ({words.timezone})"),
        ("Zone", _zone_words(requirement)),
        ("To be confirmed by", f"{requirement.confirm_points} positions, {requirement.confirm_ms / 1000:g} s"),
        ("Entry of the record", requirement.entry_id),
        ("Version", f"requirement {version_of(requirement)}; geometry {version_of(requirement.zone)}"),
    ]
    lines += [("Taken wider by", f"{requirement.widen_m:g} m")] if requirement.widen_m else []
    lines += [("Warning distance around it", f"{requirement.buffer_m:g} m")] if requirement.buffer_m else []
    lines += [("Grace", f"{requirement.grace_ms / 1000:g} s")] if requirement.grace_ms else []
    return Obligation(found.named(requirement.requirement_id), lines)


def absences_table(found: Gathered) -> Table:
    """When the person was allowed to be away."""
    allowed = {interval for a in found.assignments for interval in clipped(a.plan.absences, *found.window)}
    return Table(
        ("From", "To"), [(both(found.words, begin), both(found.words, end)) for begin, end in sorted(allowed)]
    )


def _zone_words(requirement: Requirement) -> str:
    zone = requirement.zone
    if isinstance(zone, SetZone):
        return f"zone set {zone.set_id}, version {zone.version}"
    if isinstance(zone, Disc):
        lon, lat = zone.centre
        return f"circle of {zone.radius_m:g} m around {lat:.6f}, {lon:.6f}"
    corners = sum(len(ring) - 1 for polygon in zone.polygons for ring in polygon)
    return f"{len(zone.polygons)} area(s) with {corners} corners; drawn on the map"


def reported(found: Gathered, occurrence: Occurrence, *, with_map: bool) -> ReportedFinding:
    version = occurrence.version
    assert version is not None, "only what was known is reported"
    finding, words = version.finding, found.words
    basis = found.bases.get((version.finding_no, version.version))
    until = "ongoing" if finding.end_ms is None else both(words, finding.end_ms)
    lines: list[Line] = [
        ("Number", f"{version.finding_no}, version {version.version}"),
        ("Requirement", found.named(finding.requirement_id)),
        ("From", both(words, finding.begin_ms)),
        ("Until", until),
        ("Positions that show it were complete at", both(words, finding.known_ms)),
        ("On record since", both(words, occurrence.versions[0].recorded_ms)),
    ]
    if basis is not None:
        lines += [("Decided under", "; ".join(f"{name} {value}" for name, value in sorted(basis.versions.items())))]
        lines += [("Hash of the facts it rests on", basis.facts_hash)]
    if lower := sum(fact_id in found.unauthenticated for fact_id in finding.evidence):
        lines += [(NOT_AUTHENTICATED, f"{lower:,} of the {len(finding.evidence):,} facts it rests on")]
    return ReportedFinding(
        title_of(finding.kind, finding.reason), words.story(finding, found.known_ms, found.names.get(finding.requirement_id or "")),
        lines, _versions(found, occurrence.versions), _evidence(found, finding), _finding_map(found, finding) if with_map else None,
    )  # fmt: skip


def _versions(found: Gathered, versions: Sequence[FindingVersion]) -> Table:
    words = found.words
    rows = [
        (
            str(one.version), CHANGES[one.change], both(words, one.recorded_ms), why_words(one.why),
            words.short(one.finding.begin_ms),
            "ongoing" if one.finding.end_ms is None else words.short(one.finding.end_ms),
        )
        for one in versions
    ]  # fmt: skip
    return Table(("Version", "What", "On record at", "Because", "From", "Until"), rows)


def _evidence(found: Gathered, finding: Finding) -> Table:
    of_fact = {one.fix.position.fact_id: one for one in found.seen}
    of_event = {stored.event.fact_id: stored for stored in found.events}
    rows: list[tuple[str, ...]] = []
    for fact_id in finding.evidence:
        if (one := of_fact.get(fact_id)) is not None:
            position = one.fix.position
            rows.append((
                str(fact_id), f"position {one.n}", *columns(found.words, position.fix_ms), found.words.short(position.received_ms),
                f"{position.lat_deg:.6f}, {position.lon_deg:.6f}", f"{position.radius_m:.0f} m", MECHANISMS[position.mechanism],
                found.authenticated(fact_id),
            ))  # fmt: skip
        elif (stored := of_event.get(fact_id)) is not None:
            event = stored.event
            rows.append((
                str(fact_id), event_words(event.type, stored.hmu_id), *columns(found.words, event.event_ms),
                found.words.short(event.received_ms), "", "", "", found.authenticated(fact_id),
            ))  # fmt: skip
        else:
            outside = (str(fact_id), "outside the time of this report", "", "", "", "", "", "")
            rows.append((*outside, found.authenticated(fact_id)))
    note = "" if rows else "It rests on no single report: nothing was heard, or the time itself passed."
    head = ("Fact", "What", "Local time", "UTC", "Received", "Place", "Within", "Signal", "Authenticated")
    return Table(head, rows, note)


def _finding_map(found: Gathered, finding: Finding) -> Any:
    end_ms = found.view.end_ms if finding.end_ms is None else finding.end_ms
    around = [
        one for one in found.seen if finding.begin_ms - AROUND_MS <= one.fix.position.fix_ms <= end_ms + AROUND_MS
    ]
    if not around:
        return None
    points = [_point(one, finding.evidence) for one in around]
    return drawn_map(
        points,
        found.zones,
        "Positions from 15 minutes before the finding to 15 minutes after it, numbered in order of time.",
        found.basemap,
    )


def _point(one: WeighedFix, evidence: Sequence[int] = ()) -> MapPoint:
    position = one.fix.position
    return MapPoint(
        one.n, position.lon_deg, position.lat_deg, position.radius_m, one.status is PositionStatus.EVIDENCE,
        position.fact_id in evidence,
    )  # fmt: skip


def whole_map(found: Gathered) -> Any:
    zones = list(found.zones)
    if found.place is not None:
        circle = {
            "type": "Circle",
            "centre": [found.place.lon_deg, found.place.lat_deg],
            "radius_m": found.place.radius_m,
        }
        zones.append(MapZone("place asked about", "", circle))
    return drawn_map(
        [_point(one) for one in found.seen],
        zones,
        "All positions of the time with their circles, and the zones.",
        found.basemap,
    )


def negatives(found: Gathered) -> Table:
    """What was not seen, and of how much of the time that can be said."""
    rows = [
        (found.named(r.requirement_id), KINDS[r.kind].split(":")[0], *_times(times), _said_of(r.kind, times))
        for r, times in found.times
    ]
    if found.place is not None:
        place = found.place
        name = f"Place asked about: {place.radius_m:g} m around {place.lat_deg:.5f}, {place.lon_deg:.5f}"
        rows.append(
            (name, "no order", *_times(found.place_times), _said_of(ObligationKind.EXCLUSION, found.place_times))
        )
    left_out = len(found.requirements) - len(found.times)
    note = f"Of {left_out} further requirements it was not worked out." if left_out else ""
    return Table(("Zone", "Kind", "Inside", "Outside", "Not known", "In words"), rows, note)


def _times(times: Times | None) -> tuple[str, str, str]:
    return (
        ("–", "–", "–")
        if times is None
        else (length(times.inside_ms), length(times.outside_ms), length(times.unknown_ms))
    )


def _said_of(kind: ObligationKind, times: Times | None) -> str:
    if times is None:
        return "Tag and zone were not in force together in this time."
    unknown = "" if not times.unknown_ms else f" For {length(times.unknown_ms)} nobody can tell."
    if kind is ObligationKind.EXCLUSION:
        seen = (
            "The person was seen there."
            if times.inside_ms
            else "The person was not seen there in the time that is known."
        )
    else:
        seen = (
            "The person was seen elsewhere."
            if times.outside_ms
            else "The person was not seen elsewhere in the time that is known."
        )
    return seen + unknown


def coverage_lines(found: Gathered) -> list[Line]:
    worn, known = (sum(end - begin for begin, end in part) for part in found.coverage[:2])
    share = f" ({known / worn:.0%})" if worn else ""
    lines: list[Line] = [
        ("A tag was on the person for", length(worn) if worn else "none of the time"),
        ("Of that, positions say something for", f"{length(known)}{share}"),
        ("Of that, nothing is known for", f"{length(worn - known)}, in {len(found.coverage.gaps)} gaps"),
        ("So long a position holds", length(found.max_gap_ms)),
    ]
    for outage in found.outages:
        lines.append(
            (
                "The service itself received nothing",
                f"{both(found.words, outage.begin_ms)} to {both(found.words, outage.end_ms)}",
            )
        )
    return lines


def gaps_table(found: Gathered) -> Table:
    gaps = sorted(found.coverage.gaps, key=lambda gap: gap.begin_ms - gap.end_ms)[:MOST_GAPS]
    rows = [(*columns(found.words, b), *columns(found.words, e), length(e - b)) for b, e in sorted(gaps)]
    left_out = len(found.coverage.gaps) - len(rows)
    note = f"{left_out:,} shorter gaps are left out." if left_out else ""
    return Table(("From", "UTC", "To", "UTC", "Length"), rows, note)


def health(found: Gathered) -> list[Line]:
    """How well the tag reported."""
    lines: list[Line] = []
    by_kind: dict[Any, list[float]] = {}
    for one in found.seen:
        by_kind.setdefault(one.fix.position.mechanism, []).append(one.fix.position.radius_m)
    for mechanism, radii in sorted(by_kind.items()):
        lines.append(
            (f"{MECHANISMS[mechanism]} positions", f"{len(radii):,}; half of them within {median(radii):.0f} m")
        )
    if lower := sum(one.fix.position.fact_id in found.unauthenticated for one in found.seen):
        lines.append((f"Positions that are not authenticated: {ONLY_AN_IDENTIFIER}", f"{lower:,}"))
    statuses = Counter(one.status for one in found.seen if one.status is not PositionStatus.EVIDENCE)
    lines += [
        (f"Positions that are {POSITION_STATUSES[status]}", f"{count:,}")
        for status, count in sorted(statuses.items())
    ]
    late = [one.fix.position.received_ms - one.fix.position.fix_ms for one in found.seen]
    late = [by_ms for by_ms in late if by_ms > LATE_MS]
    told = f"{len(late):,}, the latest by {length(max(late))}" if late else "none"
    return [*lines, (f"Positions that came more than {length(LATE_MS)} late", told)]


def events_table(found: Gathered) -> Table:
    told = [stored for stored in found.events if stored.event.type is not EventType.HEARTBEAT]
    rows = [
        (
            *columns(found.words, one.event.event_ms),
            found.words.short(one.event.received_ms),
            event_words(one.event.type, one.hmu_id),
            found.authenticated(one.event.fact_id),
        )
        for one in told[:MOST_EVENTS]
    ]
    note = f"{len(told) - len(rows):,} later ones are left out." if len(told) > len(rows) else ""
    return Table(("Local time", "UTC", "Received", "What was reported", "Authenticated"), rows, note)


def positions_table(found: Gathered) -> Table:
    """Those that findings rest on, and of the others the first."""
    rests = {fact_id for one in found.findings if one.version is not None for fact_id in one.version.finding.evidence}
    first = [one for one in found.seen if one.fix.position.fact_id in rests][:MOST_POSITIONS_SHOWN]
    room = MOST_POSITIONS_SHOWN - len(first)
    others = [one for one in found.seen if one.fix.position.fact_id not in rests]
    step = max(1, -(-len(others) // room)) if room else len(others) + 1
    shown = sorted([*first, *others[::step]], key=lambda one: one.n)
    rows = [_position_row(found, one) for one in shown]
    note = ""
    if len(rows) < len(found.seen):
        note = (
            f"These are {len(rows):,} of {len(found.seen):,} positions: those that findings rest on, and of the others evenly over "
            "the time. All are in positions.csv."
        )
    return Table(("No.", "Local time", "UTC", "Place", "Within", "Signal", "Use", "Authenticated"), rows, note)


def _position_row(found: Gathered, one: WeighedFix) -> tuple[str, ...]:
    position = one.fix.position
    place = f"{position.lat_deg:.6f}, {position.lon_deg:.6f}"
    return (
        str(one.n), *columns(found.words, position.fix_ms), place, f"{position.radius_m:.0f} m", MECHANISMS[position.mechanism],
        POSITION_STATUSES[one.status], found.authenticated(position.fact_id),
    )  # fmt: skip
