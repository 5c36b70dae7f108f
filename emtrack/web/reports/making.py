"""A report as one file: what was gathered, written out, with the positions, proofs and a manifest of hashes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from emtrack.files.positions import FileType, PositionFile, full_csv
from emtrack.people.looks import PURPOSES, What, record_look
from emtrack.reading.exports import UnfitExport, file_positions, positions_in, refuse_unfit
from emtrack.reading.history import View
from emtrack.record.deployment_settings import load_settings
from emtrack.record.disclosures import Given, HandedOut, record_disclosure
from emtrack.record.versions_held import activation_versions, requirement_versions
from emtrack.sealing.bundles import MANIFEST, PROOFS, bundled
from emtrack.sealing.proofs import Inclusion, written
from emtrack.sealing.proving import SealedRow, prove_some
from emtrack.web.reports import gathering
from emtrack.web.reports.contents import Line, Report, ReportedFinding
from emtrack.web.reports.gathering import AskedPlace, Gathered, both, gathered
from emtrack.web.reports.printing import NO_PDF, can_print, html_of, pdf_of
from emtrack.web.wording import kind_name
from geofence import Interval, datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.people.looks import Looker
    from emtrack.reading.casefile import Occurrence
    from emtrack.record.zone_sets import ZoneSetCache

LONGEST_MS = 14 * 86_400_000
MOST_POSITIONS = 25_000
MOST_PROVED = 150
FORM = "zip"
ZIP = FileType("application/zip", FORM)
CAUTIONS = (
    "A position says where a tag was, as the tag worked it out. That it was on the person is for the strap and the rules to say.",
    "The circle of a position holds the true place 95 times of 100. Where a device did not say how large it is, that of its signal "
    "type is taken: GPS 20 m, Wi-Fi and RF 50 m, mobile network 1,000 m.",
    "A line or an order of positions is not the way that somebody took. Between two positions the person may have been elsewhere.",
    "Where nothing is known, nothing is said: a gap shows neither that the person was somewhere nor that the person was not.",
    "Times are those of the tag's clock, checked against when its reports came in. Local time changes between BST and GMT; the hour "
    "that comes twice is told apart by these names, and each time stands in UTC as well.",
    "A finding says what the rules make of the data. Whether it is a breach of an order is for people to decide.",
)
FOOTER = (
    "To check this report without the service: emtrack audit verify REPORT.zip --key log.pub. It shows any byte that was changed, "
    "and that the rows listed are in the log of the record. The public key must come from elsewhere than this report."
)


class WantedReport(NamedTuple):
    """Of whom, of which time, as known when, for whom; and a place that no order names, if one is asked about."""

    wearer_no: int
    window: Interval
    known_ms: int
    recipient: str | None = None
    place: AskedPlace | None = None


class Person(NamedTuple):
    wearer_id: str
    name: str | None


class MadeReport(NamedTuple):
    content: bytes
    positions: int


async def look_at_report(connection: Connection, looker: Looker, wanted: WantedReport, now_ms: int) -> None:
    """That all of a person in a time is read to be handed out; committed when this returns. Raises UnfitExport."""
    refuse_unfit(wanted.window, looker, wanted.recipient, now_ms)
    if wanted.window.end_ms - wanted.window.begin_ms > LONGEST_MS:
        raise UnfitExport("A report is of at most 14 days. Choose a shorter time.")
    if (place := wanted.place) is not None:
        if not (-89 < place.lat_deg < 89 and -179 < place.lon_deg < 179):
            raise UnfitExport("Latitude and longitude are in degrees. Check that they are not interchanged.")
        if not 5 <= place.radius_m <= 5_000:
            raise UnfitExport("The radius is from 5 m to 5,000 m. Choose another radius.")
    span = wanted.window.begin_ms, wanted.window.end_ms
    await record_look(connection, looker, What.EXPORT, wanted.wearer_no, span, now_ms=now_ms)


async def report_file(
    connection: Connection,
    zone_sets: ZoneSetCache,
    wanted: WantedReport,
    looker: Looker,
    person: Person,
    basemap: Path | None,
    now_ms: int,
) -> MadeReport | str:
    """The report, or why it cannot be made. For `emtrack.reading.apart`, after `look_at_report`. `basemap`: the file whose streets
    lie under the maps."""
    view = View(0, wanted.wearer_no, wanted.window.begin_ms, wanted.window.end_ms, looker.purpose, None, now_ms)
    if (count := await positions_in(connection, view, wanted.known_ms)) > MOST_POSITIONS:
        return f"There are {count:,} positions in this time, and a report holds {MOST_POSITIONS:,}. Choose a shorter time."
    timezone, settings = await load_settings(connection, now_ms)
    found = await gathered(connection, zone_sets, view, wanted.known_ms, timezone, wanted.place, basemap)
    if isinstance(found, str):
        return found
    points = await file_positions(connection, view, wanted.known_ms, found.seen)
    file = PositionFile(
        points, person.wearer_id, wanted.window, wanted.known_ms, timezone, settings.max_gap_ms, looker.purpose, looker.reference,
        wanted.recipient, looker.name, now_ms,
    )  # fmt: skip
    proofs, waiting = await prove_some(connection, (await _sealed(connection, found))[:MOST_PROVED])
    report = _report(found, wanted, looker, person, now_ms, proofs, waiting)
    files = {
        "report.html": html_of(report),
        "report.json": msgspec.json.encode(report),
        "positions.csv": full_csv(file),
        PROOFS: written(proofs),
    }
    printed = pdf_of(report, now_ms)
    files |= {} if printed is None else {"report.pdf": printed}
    return MadeReport(bundled(files), len(points))


async def _sealed(connection: Connection, found: Gathered) -> list[SealedRow]:
    """The rows that the report rests on, the most telling first: findings, orders, tags, then facts."""
    versions = {
        one.versions[0].finding_no: frozenset(version.version for version in one.versions) for one in found.findings
    }
    rows = [SealedRow("finding_versions", number, parts=parts) for number, parts in sorted(versions.items())]
    held = found.view.wearer_no, found.known_ms
    entries = [int(requirement.entry_id) for requirement in found.requirements]
    worn = [assignment.activation_no for assignment in found.assignments]
    numbers = await requirement_versions(connection, held[0], entries, held[1])
    rows += [SealedRow("requirement_versions", number) for number in numbers]
    numbers = await activation_versions(connection, held[0], worn, held[1])
    rows += [SealedRow("activation_versions", number) for number in numbers]
    return rows + _facts(found)


def _facts(found: Gathered) -> list[SealedRow]:
    device_of = {a.activation_no: a.device_no for a in found.assignments}
    evidence = {
        fact_id for one in found.findings if one.version is not None for fact_id in one.version.finding.evidence
    }
    rows = [
        SealedRow("positions", p.fact_id, device_of.get(one.fix.activation_no), datetime_of(p.fix_ms))
        for one in found.seen
        if (p := one.fix.position).fact_id in evidence
    ]
    return rows + [
        SealedRow("device_events", e.fact_id, device_of.get(stored.activation_no), datetime_of(e.event_ms))
        for stored in found.events
        if (e := stored.event).fact_id in evidence
    ]


def _report(
    found: Gathered,
    wanted: WantedReport,
    looker: Looker,
    person: Person,
    now_ms: int,
    proofs: Sequence[Inclusion],
    waiting: Sequence[SealedRow],
) -> Report:
    words, window = found.words, wanted.window
    about: list[Line] = [
        ("Person", f"{person.name} ({person.wearer_id})" if person.name else person.wearer_id),
        ("Time", f"{both(words, window.begin_ms)} to {both(words, window.end_ms)}"),
        ("As known at", both(words, wanted.known_ms)),
        ("Made by", f"{looker.name}, {looker.role}"),
        ("Why", PURPOSES[looker.purpose] + (f" ({looker.reference})" if looker.reference else "")),
        ("Made at", both(words, now_ms)),
    ]
    about += [("Made for", wanted.recipient)] if wanted.recipient else []
    standing, amended, withdrawn = _told_apart(found.findings)
    with_map = [id(one) for one in (*standing, *amended, *withdrawn)][: gathering.MOST_FINDING_MAPS]

    def told(some: Sequence[Occurrence]) -> list[ReportedFinding]:
        return [gathering.reported(found, one, with_map=id(one) in with_map) for one in some]

    return Report(
        f"Evidence report: {person.wearer_id}", about, _summary(found, standing, amended, withdrawn), list(CAUTIONS),
        gathering.tags_table(found), gathering.obligations(found), gathering.absences_table(found),
        told(standing), told(amended), told(withdrawn),
        gathering.negatives(found), gathering.coverage_lines(found), gathering.gaps_table(found), gathering.health(found),
        gathering.events_table(found), gathering.whole_map(found), gathering.positions_table(found), _proved(proofs, waiting),
        _files(), FOOTER,
    )  # fmt: skip


def _told_apart(findings: Sequence[Occurrence]) -> tuple[list[Occurrence], list[Occurrence], list[Occurrence]]:
    """Those that stand as first told, those that were told otherwise before, and those that do not hold; each in order of time. That
    an end became known is no amendment of what was told."""
    ordered = sorted(findings, key=lambda one: (one.versions[0].finding.begin_ms, one.finding_no))
    withdrawn = [one for one in ordered if one.version is not None and one.version.is_withdrawn]
    amended = [one for one in ordered if one not in withdrawn and _was_told_otherwise(one)]
    return [one for one in ordered if one not in withdrawn and one not in amended], amended, withdrawn


def _was_told_otherwise(one: Occurrence) -> bool:
    told = [(version.finding.begin_ms, version.finding.end_ms) for version in one.versions]
    ended = [end_ms for _, end_ms in told if end_ms is not None]
    return (
        len({begin_ms for begin_ms, _ in told}) > 1
        or len(set(ended)) > 1
        or any(before is not None and after is None for (_, before), (_, after) in pairwise(told))
    )


def _summary(
    found: Gathered, standing: Sequence[Occurrence], amended: Sequence[Occurrence], withdrawn: Sequence[Occurrence]
) -> list[str]:
    kinds = sorted({kind_name(one.versions[0].finding.kind) for one in found.findings})
    return [
        f"{len(standing):,} findings stand as they were first told, {len(amended):,} were amended, {len(withdrawn):,} were "
        f"withdrawn. Kinds: {', '.join(kinds) or 'none'}.",
        f"{len(found.seen):,} positions were received.",
        *_lower_grade(found, [*standing, *amended, *withdrawn]),
        *(f"{what}: {value}." for what, value in gathering.coverage_lines(found)[:3]),
    ]


def _lower_grade(found: Gathered, findings: Sequence[Occurrence]) -> list[str]:
    """What is said of facts behind which nothing stands but an identifier, where there are any."""
    positions = sum(one.fix.position.fact_id in found.unauthenticated for one in found.seen)
    resting = sum(
        one.version is not None and any(fact_id in found.unauthenticated for fact_id in one.version.finding.evidence)
        for one in findings
    )
    if not positions and not resting:
        return []
    return [
        f"{positions:,} of the positions and the facts of {resting:,} of the findings are not authenticated: "
        f"{gathering.ONLY_AN_IDENTIFIER}, such as the number of a device, or a telephone that checks in. Others may know it."
    ]


def _proved(proofs: Sequence[Inclusion], waiting: Sequence[SealedRow]) -> list[str]:
    said = (
        [f"{len(proofs):,} rows of the record are proved by {PROOFS}: {_kinds(proofs)}."]
        if proofs
        else ["No row is proved."]
    )
    if waiting:
        said.append(
            f"{len(waiting):,} rows were under no signed head yet. Make the report again in a minute to have them proved."
        )
    return said


def _kinds(proofs: Sequence[Inclusion]) -> str:
    kinds = sorted({proof.kind for proof in proofs})
    return ", ".join(f"{sum(proof.kind == kind for proof in proofs):,} of {kind.replace('_', ' ')}" for kind in kinds)


def _files() -> list[Line]:
    return [
        ("report.html", "this report, to be read in a browser"),
        ("report.pdf", "this report, to be printed" if can_print() else NO_PDF),
        ("report.json", "this report, for programs"),
        ("positions.csv", "all positions of the time"),
        (PROOFS, "proofs that rows of the record are in its log"),
        (MANIFEST, "the SHA-256 of each of these files"),
    ]


async def keep_report(
    connection: Connection, looker: Looker, wanted: WantedReport, made: MadeReport, now_ms: int
) -> int:
    """On record before anybody has it; the number of the disclosure."""
    handed = HandedOut(
        Given.REPORT,
        FORM,
        wanted.wearer_no,
        wanted.window,
        wanted.known_ms,
        wanted.recipient,
        made.positions,
        made.content,
    )
    return await record_disclosure(connection, looker, handed, now_ms)
