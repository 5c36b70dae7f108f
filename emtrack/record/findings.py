"""Findings in the database: identities, and versions that are only ever added."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from emtrack.db.connect import Connection
from emtrack.record.finding_rows import FINDING_COLUMNS, VERSION_COLUMNS, FindingRows
from geofence import EntryId, Kind, datetime_of, instant_of
from geofence.judgement import DEVICE_KINDS, Finding

if TYPE_CHECKING:
    import asyncpg


class ShownFinding(NamedTuple):
    """A finding as people see it: its newest version."""

    finding_no: int
    version: int
    finding: Finding


class NewVersion(NamedTuple):
    """A version to be added. `change` is new, amended or withdrawn; with a new one its identity is added."""

    activation_no: int
    finding_no: int
    version: int
    change: str
    why: str
    finding: Finding
    decided_under: dict[str, str]


class PresenceNote(NamedTuple):
    """Since when it is not known whether a finding lasts that people are shown as lasting; None: it does, or its end is a version."""

    finding_no: int
    unknown_since_ms: int | None


COLUMNS = """
    f.finding_no, f.activation_no, f.entry_no, f.kind, epoch_ms(f.period_start) AS period_ms,
    v.version, v.change, v.reason, v.within_grace, v.requirement_id, v.evidence, v.facts_hash, v.zone_id,
    epoch_ms(v.begin_at) AS begin_ms, epoch_ms(v.end_at) AS end_ms,
    epoch_ms(v.known_at) AS known_ms
"""
# The newest version of each finding of some activations, as recorded up to an instant ($2; null: now), of those that
# last or end at an instant of their activation ($3; null: all).
SHOWN = f"""
SELECT {COLUMNS}, epoch_ms(CASE WHEN v.end_at IS NULL
                                THEN unknown_since_at(f.finding_no, coalesce($2::timestamptz, 'infinity')) END) AS unknown_since_ms
FROM unnest($1::bigint[], $3::timestamptz[]) AS w (activation_no, ending_at)
JOIN findings f ON f.activation_no = w.activation_no
CROSS JOIN LATERAL version_known_at(f.finding_no, coalesce($2::timestamptz, 'infinity')) v
WHERE v.change <> 'withdrawn' AND (w.ending_at IS NULL OR v.end_at IS NULL OR v.end_at >= w.ending_at)
"""  # noqa: S608  a constant made of constants


async def load_shown(
    connection: Connection, wanted: Mapping[int, int | None], *, as_known_ms: int | None = None
) -> dict[int, list[ShownFinding]]:
    """Findings that are not withdrawn, by activation. `wanted`: activation number -> only those that last or end at
    this instant or later (None: all)."""
    shown: dict[int, list[ShownFinding]] = {number: [] for number in wanted}
    known_at = None if as_known_ms is None else datetime_of(as_known_ms)
    ending_at = [None if ending_ms is None else datetime_of(ending_ms) for ending_ms in wanted.values()]
    for row in await connection.fetch(SHOWN, list(wanted), known_at, ending_at):
        finding = msgspec.structs.replace(_finding(row), unknown_since_ms=row["unknown_since_ms"])
        shown[row["activation_no"]].append(ShownFinding(row["finding_no"], row["version"], finding))
    return shown


def _finding(row: asyncpg.Record) -> Finding:
    return Finding(
        kind=Kind(row["kind"]),
        begin_ms=row["begin_ms"],
        end_ms=row["end_ms"],
        known_ms=row["known_ms"],
        reason=row["reason"],
        within_grace=row["within_grace"],
        requirement_id=row["requirement_id"],
        entry_id=None if row["entry_no"] is None else EntryId(str(row["entry_no"])),
        period_ms=row["period_ms"],
        evidence=tuple(row["evidence"]),
        facts_hash=row["facts_hash"],
        zone_id=row["zone_id"],
    )


NEWEST = f"""
SELECT {COLUMNS}
FROM unnest($1::bigint[]) AS w (finding_no) JOIN findings f USING (finding_no)
CROSS JOIN LATERAL newest_version(f.finding_no) v
"""  # noqa: S608  a constant made of constants


async def load_findings(connection: Connection, finding_nos: Sequence[int]) -> dict[int, tuple[int, Finding | None]]:
    """Activation number and newest version of findings; None where that withdraws it."""
    rows = await connection.fetch(NEWEST, list(finding_nos))
    return {
        row["finding_no"]: (row["activation_no"], None if row["change"] == "withdrawn" else _finding(row))
        for row in rows
    }


class FindingVersion(NamedTuple):
    """One version of a finding: what people were shown from `recorded_ms` on, and why it changed."""

    finding_no: int
    activation_no: int
    version: int
    recorded_ms: int
    change: str
    why: str
    finding: Finding

    @property
    def is_withdrawn(self) -> bool:
        return self.change == "withdrawn"


# Every version of the findings that are occurrences of an alert, or that a wearer's activations have: of each finding the
# versions one after another, the finding that was recorded last first.
VERSIONS_OF_ALERT = f"""
SELECT {COLUMNS}, v.recorded_at, v.why
FROM (SELECT finding_no FROM alert_occurrences WHERE alert_no = $1 ORDER BY added_at DESC, finding_no DESC LIMIT $2) o
JOIN findings f USING (finding_no) JOIN finding_versions v USING (finding_no)
ORDER BY f.finding_no DESC, v.version
"""  # noqa: S608  a constant made of constants
VERSIONS_OF = f"""
SELECT {COLUMNS}, v.recorded_at, v.why
FROM unnest($1::bigint[]) AS w (finding_no) JOIN findings f USING (finding_no) JOIN finding_versions v USING (finding_no)
ORDER BY f.finding_no, v.version
"""  # noqa: S608
VERSIONS_OF_WEARER = f"""
SELECT {COLUMNS}, v.recorded_at, v.why
FROM (
    SELECT f.finding_no, v.begin_at AS newest
    FROM findings f
    CROSS JOIN LATERAL version_known_at(f.finding_no, $3) v
    WHERE f.activation_no IN (SELECT activation_no FROM activation_versions WHERE wearer_no = $1)
      AND (v.end_at IS NULL OR v.end_at >= $2) AND ($5::timestamptz IS NULL OR v.begin_at < $5)
    ORDER BY newest DESC, f.finding_no DESC LIMIT $4) n
JOIN findings f USING (finding_no) JOIN finding_versions v USING (finding_no)
ORDER BY n.newest DESC, f.finding_no DESC, v.version
"""  # noqa: S608


async def versions_of_alert(connection: Connection, alert_no: int, limit: int) -> list[list[FindingVersion]]:
    """The newest occurrences of an alert, each with all its versions in order."""
    return _by_finding(await connection.fetch(VERSIONS_OF_ALERT, alert_no, limit))


async def versions_of(connection: Connection, finding_nos: Sequence[int]) -> list[list[FindingVersion]]:
    """Some findings by number, each with all its versions in order; those that may be seen."""
    return _by_finding(await connection.fetch(VERSIONS_OF, list(finding_nos)))


async def versions_of_wearer(
    connection: Connection, wearer_no: int, ending_ms: int, known_ms: int, limit: int, *, before_ms: int | None = None
) -> list[list[FindingVersion]]:
    """Findings of a wearer that, as known at an instant, last or end at `ending_ms` or later, and begin before `before_ms`; the
    newest first, each with all its versions."""
    ending_at, known_at = datetime_of(ending_ms), datetime_of(known_ms)
    before = None if before_ms is None else datetime_of(before_ms)
    return _by_finding(await connection.fetch(VERSIONS_OF_WEARER, wearer_no, ending_at, known_at, limit, before))


def _by_finding(rows: Sequence[asyncpg.Record]) -> list[list[FindingVersion]]:
    findings: dict[int, list[FindingVersion]] = {}
    for row in rows:
        version = FindingVersion(
            row["finding_no"], row["activation_no"], row["version"], instant_of(row["recorded_at"]), row["change"],
            row["why"], _finding(row),
        )  # fmt: skip
        findings.setdefault(row["finding_no"], []).append(version)
    return list(findings.values())


UNKNOWN_SINCE = """
SELECT finding_no, epoch_ms(unknown_since_at(finding_no, $2)) AS since_ms FROM unnest($1::bigint[]) AS w (finding_no)
WHERE unknown_since_at(finding_no, $2) IS NOT NULL
"""


async def shown_at(
    connection: Connection, found: Sequence[Sequence[FindingVersion]], known_ms: int
) -> list[FindingVersion | None]:
    """Of each finding, by all its versions, what people were shown at an instant: with since when it was not known whether it lasts.
    None where nobody knew of it."""
    shown = [as_known(versions, known_ms) for versions in found]
    lasting = [version.finding_no for version in shown if version is not None and version.finding.end_ms is None]
    rows = await connection.fetch(UNKNOWN_SINCE, lasting, datetime_of(known_ms)) if lasting else []
    since_ms = {row["finding_no"]: row["since_ms"] for row in rows}
    return [None if version is None else _noted(version, since_ms.get(version.finding_no)) for version in shown]


def _noted(version: FindingVersion, since_ms: int | None) -> FindingVersion:
    if since_ms is None:
        return version
    return version._replace(finding=msgspec.structs.replace(version.finding, unknown_since_ms=since_ms))


def as_known(versions: Sequence[FindingVersion], known_ms: int) -> FindingVersion | None:
    """What people were shown at an instant; None before the first version."""
    return next((version for version in reversed(versions) if version.recorded_ms <= known_ms), None)


CAN_COPY_FINDINGS = "SELECT NOT row_security_active('findings') AND NOT row_security_active('finding_versions')"
MANY = 20
"""From so many versions on they go by COPY."""
NEW_FINDINGS = """
INSERT INTO findings (finding_no, activation_no, entry_no, kind, device_reason, home_unit, period_start)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
"""
# Evidence comes as text ("1,2"), because arrays of arrays of different lengths do not exist.
NEW_VERSIONS = """
INSERT INTO finding_versions (finding_no, version, recorded_at, change, why, begin_at, end_at, known_at, reason, within_grace,
                              requirement_id, evidence, facts_hash, decided_under, zone_id)
SELECT finding_no, version, $15, change, why, begin_at, end_at, known_at, reason, within_grace, requirement_id,
       string_to_array(evidence, ',')::bigint[], facts_hash, decided_under, zone_id
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
            $8::text[], $9::boolean[], $10::text[], $11::text[], $12::text[], $13::jsonb[], $14::text[])
    AS t (finding_no, version, change, why, begin_at, end_at, known_at, reason, within_grace, requirement_id, evidence,
          facts_hash, decided_under, zone_id)
"""


async def can_copy_findings(connection: Connection) -> bool:
    """Where row-level security holds for a role, even if it lets everything through, there is no COPY for it."""
    return bool(await connection.fetchval(CAN_COPY_FINDINGS))


async def copy_versions(connection: Connection, rows: FindingRows) -> None:
    """The same as `add_versions`, where the role may COPY."""
    for table, columns, content in (
        ("findings", FINDING_COLUMNS, rows.findings),
        ("finding_versions", VERSION_COLUMNS, rows.versions),
    ):
        if content:
            await connection.copy_to_table(table, source=_at_once(content), columns=columns, format="binary")


async def _at_once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def add_versions(connection: Connection, records: Sequence[NewVersion], recorded_ms: int) -> None:
    """Add versions, and the identities of those that are new, inside the caller's transaction."""
    if not records:
        return
    fresh = [record for record in records if record.change == "new"]
    await connection.execute(
        NEW_FINDINGS,
        [record.finding_no for record in fresh],
        [record.activation_no for record in fresh],
        [None if r.finding.entry_id is None else int(r.finding.entry_id) for r in fresh],
        [record.finding.kind for record in fresh],
        [r.finding.reason if r.finding.kind in DEVICE_KINDS else None for r in fresh],
        [r.finding.requirement_id if r.finding.kind in DEVICE_KINDS else None for r in fresh],
        [None if r.finding.period_ms is None else datetime_of(r.finding.period_ms) for r in fresh],
    )
    found = [record.finding for record in records]
    await connection.execute(
        NEW_VERSIONS,
        [record.finding_no for record in records],
        [record.version for record in records],
        [record.change for record in records],
        [record.why for record in records],
        [datetime_of(finding.begin_ms) for finding in found],
        [None if finding.end_ms is None else datetime_of(finding.end_ms) for finding in found],
        [datetime_of(finding.known_ms) for finding in found],
        [None if finding.reason is None else str(finding.reason) for finding in found],
        [finding.within_grace for finding in found],
        [finding.requirement_id for finding in found],
        [",".join(map(str, finding.evidence)) for finding in found],
        [finding.facts_hash for finding in found],
        [record.decided_under for record in records],
        [finding.zone_id for finding in found],
        datetime_of(recorded_ms),
    )


NOTE = """
INSERT INTO presence_notes (finding_no, noted_at, unknown_since)
SELECT finding_no, $2, since FROM unnest($1::bigint[], $3::timestamptz[]) AS t (finding_no, since)
ON CONFLICT (finding_no, noted_at) DO UPDATE SET unknown_since = excluded.unknown_since
"""


async def note_presence(connection: Connection, notes: Sequence[PresenceNote], noted_ms: int) -> None:
    """After the versions of the turn were added, inside the caller's transaction."""
    if notes:
        since = [None if note.unknown_since_ms is None else datetime_of(note.unknown_since_ms) for note in notes]
        await connection.execute(NOTE, [note.finding_no for note in notes], datetime_of(noted_ms), since)
