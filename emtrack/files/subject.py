"""`emtrack subject export`: what is held about one person, as files for that person (Data Protection Act 2018, section 45).

A table each, with an index that says what they are and what is withheld, and why. Withheld by rule: who else is in a list, and what
is kept from some of the staff, because that may show intelligence. More can be withheld, each with its reason. What people wrote by
hand must be read before it is handed over: no program knows whom a note names.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from emtrack.atomic_files import replace_file, replacing_file
from emtrack.db.opened import opened_database
from emtrack.errors import MendableError
from emtrack.iom.entries import records_of_person
from emtrack.people.looks import SERVICE, What, commander, record_look
from emtrack.record.near import NOT_AUTHENTICATED_OF_PERSON
from emtrack.retention.targets import SENT, WORN
from emtrack.settings import Settings
from geofence import format_instant

if TYPE_CHECKING:
    from emtrack.db.connect import Connection


class Part(NamedTuple):
    """A table of the file. `$1` of the statement is the number of the person, or those of their records that are merged; its columns
    are those of the table."""

    name: str
    what: str
    statement: str


AUTHENTICATED: Final = """
       CASE WHEN EXISTS (SELECT FROM unauthenticated_facts u WHERE u.fact_id = r.fact_id) THEN 'no' ELSE 'yes' END AS authenticated"""

PARTS: Final = (
    Part("person", "who they are", """
SELECT wearer_id, name, iom_before_0003 AS earlier_record FROM wearers WHERE wearer_no = $1"""),
    Part("activations", "which device they wore, from when to when; each change of it", """
SELECT a.activation_id, d.device_id, lower(v.during) AS worn_from, upper(v.during) AS worn_to, v.network, v.evidence,
       lower(v.recorded) AS recorded_from, upper(v.recorded) AS recorded_to, v.entered_by
FROM activation_versions v JOIN activations a USING (activation_no) JOIN devices d USING (device_no)
WHERE v.wearer_no = $1 ORDER BY v.version_no"""),
    Part("requirements", "what they were ordered to; each version", """
SELECT v.requirement_id, v.kind, lower(v.valid) AS valid_from, upper(v.valid) AS valid_to, z.geometry, s.set_id, v.timetable,
       v.buffer_m, v.widen_m, v.grace_ms, v.stay_ms, v.reason, lower(v.recorded) AS recorded_from, upper(v.recorded) AS recorded_to,
       v.entered_by
FROM requirement_versions v LEFT JOIN zones z USING (zone_no) LEFT JOIN zone_set_versions n USING (set_version_no)
LEFT JOIN zone_sets s USING (set_no) WHERE v.wearer_no = $1 ORDER BY v.version_no"""),
    Part("absences", "when they were allowed to be away", """
SELECT lower(during) AS absent_from, upper(during) AS absent_to, reason, lower(recorded) AS recorded_from,
       upper(recorded) AS recorded_to, entered_by FROM absences WHERE wearer_no = $1 ORDER BY absence_no"""),
    Part("home_units", "home units at their addresses", """
SELECT hmu_id, requirement_id, lower(during) AS placed_from, upper(during) AS placed_to, lower(recorded) AS recorded_from,
       upper(recorded) AS recorded_to, entered_by FROM home_units WHERE wearer_no = $1 ORDER BY version_no"""),
    Part("order_changes", "what was changed in their orders, when and by whom", """
SELECT changed_at, changed_by, what, detail FROM order_changes WHERE wearer_no = $1 ORDER BY change_no"""),
    Part("positions", "where the device said that it was", f"""
SELECT d.device_id, r.fix_time, r.lat_deg, r.lon_deg, r.precision_m, r.mechanism, r.received_at, r.recorded_time, r.uploaded_time,
       r.speed_kmh, r.direction_deg, r.satellites, r.hdop,{AUTHENTICATED}
FROM (SELECT * FROM positions UNION ALL SELECT * FROM future_positions) r JOIN devices d USING (device_no)
WHERE {WORN.replace("{at}", "fix_time")} ORDER BY r.fix_time, r.fact_id"""),  # noqa: S608  constants
    Part("events", "what the device said that happened", f"""
SELECT d.device_id, r.event_time, r.type, r.hmu_id, r.sent_by, r.received_at,{AUTHENTICATED}
FROM device_events r JOIN devices d USING (device_no)
WHERE {WORN.replace("{at}", "event_time")} ORDER BY r.event_time, r.fact_id"""),  # noqa: S608
    Part("raw_reports", "what their device sent, byte by byte (MessagePack, in hexadecimal)", f"""
SELECT d.device_id, r.received_at, r.boot, r.seq, r.body FROM raw_reports r JOIN devices d USING (device_no)
WHERE {SENT} ORDER BY r.received_at, r.fact_id"""),  # noqa: S608
    Part("raw_requests", "requests of their device that are kept whole, byte by byte (in hexadecimal)", f"""
SELECT d.device_id, r.received_at, r.boot, r.first_seq, r.last_seq, r.content_type, r.body
FROM raw_requests r JOIN devices d USING (device_no)
WHERE {SENT} ORDER BY r.request_no"""),  # noqa: S608
    Part("signed_requests", "what their device signed, with the signature", f"""
SELECT d.device_id, r.received_at, r.boot, r.signature, r.reports FROM signed_requests r JOIN devices d USING (device_no)
WHERE {SENT} ORDER BY r.request_no"""),  # noqa: S608
    Part("quarantine", "what their device sent that could not be used, and why", f"""
SELECT d.device_id, r.received_at, r.boot, r.seq, r.reason, r.action, r.body FROM quarantine r JOIN devices d USING (device_no)
WHERE {SENT} ORDER BY r.fact_id"""),  # noqa: S608
    Part("findings", "what was found, as it was told each time", """
SELECT v.finding_no, v.version, f.kind, v.reason, v.requirement_id, v.begin_at, v.end_at, v.known_at, v.within_grace, v.change, v.why,
       v.recorded_at, v.decided_under, (SELECT count(*) FROM unauthenticated_among(v.evidence)) AS unauthenticated_facts
FROM finding_versions v JOIN findings f USING (finding_no)
WHERE f.activation_no IN (SELECT activation_no FROM activation_versions WHERE wearer_no = $1 AND upper_inf(recorded))
ORDER BY v.finding_no, v.version"""),
    Part("accumulated_violations", "the ledger of accumulated violations", """
SELECT requirement_id, finding_no, recorded_at, what, amount_ms, entered_by, why
FROM atv_lines WHERE wearer_no = $1 ORDER BY line_no"""),
    Part("alerts", "alerts about them; of an incident of many people only that they were in it", """
SELECT a.alert_no, a.kind, a.requirement_id, a.code, a.severity, a.raised_at, a.known_at, a.closed_at
FROM alerts a WHERE a.wearer_no = $1
UNION ALL
SELECT a.alert_no, a.kind, NULL, a.code, a.severity, p.added_at, a.known_at, a.closed_at
FROM alert_people p JOIN alerts a USING (alert_no) WHERE p.wearer_no = $1 AND (a.wearer_no = $1) IS NOT TRUE ORDER BY 1"""),
    Part("alert_actions", "what staff did about those alerts", """
SELECT c.alert_no, c.action_no, c.done_at, c.done_by, c.action, c.outcome, c.note FROM alert_actions c JOIN alerts a USING (alert_no)
WHERE a.wearer_no = $1 ORDER BY c.alert_no, c.action_no"""),
    Part("steps", "which scripted steps staff ticked in those alerts", """
SELECT t.alert_no, t.step_no, t.step_text, t.is_done, t.ticked_at, t.ticked_by FROM step_ticks t JOIN alerts a USING (alert_no)
WHERE a.wearer_no = $1 ORDER BY t.tick_no"""),
    Part("not_monitored", "who saw to it when they were on an order and not monitored", """
SELECT is_taken, done_at, done_by, note FROM gap_work WHERE wearer_no = $1 ORDER BY work_no"""),
    Part("visits", "visits to them, and what came of them", """
SELECT v.visit_no, v.kind, v.due_at, v.why, v.entered_at, v.entered_by, r.result, r.fitted_tag, r.taken_tag, r.note, r.done_at,
       r.done_by
FROM visits v LEFT JOIN visit_results r USING (visit_no) WHERE v.wearer_no = $1 ORDER BY v.visit_no"""),
    Part("requests", "what was asked for on their behalf, who decided, and what it did", """
SELECT q.request_no, q.kind, q.asked_by, lower(q.during) AS away_from, upper(q.during) AS away_to, q.finding_no, q.what, q.evidence,
       q.entered_at, q.entered_by, d.is_granted, d.granted_by, d.why, d.effect, d.decided_at, d.decided_by
FROM order_requests q LEFT JOIN request_decisions d USING (request_no) WHERE q.wearer_no = $1 ORDER BY q.request_no"""),
    Part("details", "address, phones, responsible officer and the order of a court; each version", """
SELECT date_of_birth, sex, ethnicity, address, phones, officer_name, officer_agency, officer_phone, offence, order_kind, order_court,
       order_begins, order_ends, contacts, lower(recorded) AS recorded_from, upper(recorded) AS recorded_to, entered_by
FROM wearer_details WHERE wearer_no = $1 ORDER BY version_no"""),
    Part("zone_names", "what the zones of their requirements are called; each version", """
SELECT requirement_id, name, lower(recorded) AS recorded_from, upper(recorded) AS recorded_to, entered_by
FROM requirement_names WHERE wearer_no = $1 ORDER BY version_no"""),
    Part("protocols", "scripted steps that are for them; each version", """
SELECT order_kind, zone, kind, version, steps, lower(recorded) AS recorded_from, upper(recorded) AS recorded_to, entered_by
FROM protocols WHERE wearer_no = $1 ORDER BY protocol_no"""),
    Part("iom_record", "their record in integrated offender management; each version", """
SELECT pnc, crn, nomis, ecins, cohort, mappa_category, mappa_level, pathways, agencies, lead_officer, lead_agency,
       lower(recorded) AS recorded_from, upper(recorded) AS recorded_to, entered_by
FROM iom_versions WHERE wearer_no = $1 ORDER BY version_no"""),
    Part("programme_record", "what the programme recorded of them, but for what only some of its staff may read; each version", """
SELECT entry_no, noun, item_no, version, state, content, lower(valid) AS holds_from, upper(valid) AS holds_to, occurred_at, due_at,
       recorded_at, recorded_by, agency, system, record
FROM iom_entries WHERE wearer_no = $1 AND visibility = 'ALL' AND item_no NOT IN (
    SELECT item_no FROM iom_entries WHERE wearer_no = $1 AND visibility <> 'ALL') ORDER BY entry_no"""),
    Part("grades", "every grade that they were given", """
SELECT grade, CASE WHEN isfinite(since) THEN since END AS since, reason, graded_by, recorded_at, entered_by
FROM rag_grades WHERE wearer_no = $1 ORDER BY grade_no"""),
    Part("looks", "who looked at them, when and why; looks at everybody are among them", """
SELECT looked_at, looked_by, role, door, what, lower(during) AS looked_from, upper(during) AS looked_to, purpose, reference, alert_no,
       wearer_no IS NULL AS at_everybody
FROM looks WHERE wearer_no = $1 OR wearer_no IS NULL AND what <> 'shift' ORDER BY look_no"""),
    Part("disclosures", "what was handed out of their positions, to whom and why", """
SELECT disclosed_at, disclosed_by, purpose, reference, recipient, what, form, lower(during) AS given_from, upper(during) AS given_to,
       known_at, positions, encode(sha256, 'hex') AS sha256
FROM disclosures WHERE wearer_no = $1 ORDER BY disclosure_no"""),
    Part("near", "questions who was near a place, or near whom, that named them, and what a person made of it", f"""
SELECT q.ran_at, q.ran_by, q.purpose, q.reference, q.asked, q.label, q.lat_deg, q.lon_deg, q.radius_m, lower(q.during) AS asked_from,
       upper(q.during) AS asked_to, n.grade, n.probability, n.fix_time, n.distance_m, n.fix_radius_m,
       CASE WHEN n.result_no IN ({NOT_AUTHENTICATED_OF_PERSON}) THEN 'no' ELSE 'yes' END AS authenticated,
       a.is_relevant, a.why, a.assessed_at, a.assessed_by
FROM near_people n JOIN near_runs q USING (run_no) LEFT JOIN near_assessments a USING (result_no)
WHERE n.wearer_no = $1 OR n.other_wearer_no = $1 ORDER BY n.result_no, a.assessment_no"""),  # noqa: S608
    Part("trials", "what was tried over their positions alone: settings, zones or timetables, and how many findings came of it", """
SELECT r.ran_at, r.ran_by, r.purpose, r.reference, lower(r.during) AS tried_from, upper(r.during) AS tried_to, r.said, e.state,
       e.kinds
FROM draft_runs r LEFT JOIN draft_results e USING (run_no) WHERE r.wearer_no = $1 ORDER BY r.run_no"""),
    Part("holds", "legal holds, which keep what would be deleted", """
SELECT is_held, reason, entered_at, entered_by FROM retention_holds WHERE wearer_no = $1 ORDER BY hold_no"""),
)  # fmt: skip
NAMES: Final = tuple(part.name for part in PARTS)

BY_RULE: Final[Mapping[str, str]] = {
    "other people in alerts of many people": "information about others (Data Protection Act 2018, section 45(4)(e))",
    "what of the programme's record only some of its staff may read": "it may show intelligence (section 45(4)(a) to (c))",
    "to whom the record is closed, and why": "it may show intelligence (section 45(4)(a) to (c))",
}
"""Withheld from everybody."""

OTHERS = "SELECT wearer_id FROM wearers WHERE wearer_no = ANY($1::bigint[]) AND wearer_no <> $2 ORDER BY wearer_id"
WEARER = "SELECT wearer_no FROM wearers WHERE wearer_id = $1"
FETCHED_AT_ONCE: Final = 2_000


class UnfitSubject(MendableError, ValueError):
    """Nobody is called so, or what is to be withheld is not a part."""


class Withheld(msgspec.Struct, frozen=True):
    """What is not in the file, and why."""

    what: str
    reason: str


class Table(msgspec.Struct, frozen=True):
    """A table of the file."""

    file: str
    what: str
    rows: int


class Index(msgspec.Struct, frozen=True):
    """What the file is. `merged`: references of other records of the same person, of which all is in it, too."""

    wearer_id: str
    merged: list[str]
    made_at: str
    tables: list[Table]
    withheld: list[Withheld]


async def export_subject(
    settings: Settings, wearer_id: str, folder: Path, who: str, withheld: Mapping[str, str] | None = None
) -> Index:
    """Write what is held about a person into a folder that is new or empty; only its owner can read it. `withheld`: names of parts,
    each with its reason. That it was asked for is on record first. Raises UnfitSubject."""
    withheld = withheld or {}
    refuse_unknown(withheld)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if any(folder.iterdir()):
        raise UnfitSubject(
            f"{folder} is not empty; the file of one person must not mix with others: name a new folder"
        )
    async with opened_database(settings, "subject export") as (connection, clock):
        wearer_no = await connection.fetchval(WEARER, wearer_id)
        if wearer_no is None:
            raise UnfitSubject(f"there is no wearer {wearer_id!r}")
        looker = commander(who, SERVICE, "subject access request")
        records = await records_of_person(connection, wearer_no)
        for one in records:
            await record_look(connection, looker, What.EXPORT, one, now_ms=clock.now_ms())
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            tables = [await _write(connection, part, records, folder) for part in PARTS if part.name not in withheld]
            merged = [row["wearer_id"] for row in await connection.fetch(OTHERS, records, wearer_no)]
        made_at = format_instant(clock.now_ms())
    index = Index(wearer_id, merged, made_at, tables, _all_withheld(withheld))
    replace_file(folder / "index.json", msgspec.json.format(msgspec.json.encode(index), indent=1))
    replace_file(folder / "index.txt", told_index(index).encode())
    return index


def refuse_unknown(withheld: Mapping[str, str]) -> None:
    """Raises UnfitSubject for what is no part, or has no reason."""
    for name, reason in withheld.items():
        if name not in NAMES:
            raise UnfitSubject(f"--withhold {name[:60]!r}: expected one of {', '.join(NAMES)}")
        if not reason.strip():
            raise UnfitSubject(f"--withhold {name}: say why with --reason; the person is told")


def _all_withheld(withheld: Mapping[str, str]) -> list[Withheld]:
    chosen = {part.what: withheld[part.name] for part in PARTS if part.name in withheld}
    return [Withheld(what, reason) for what, reason in {**BY_RULE, **chosen}.items()]


async def _write(connection: Connection, part: Part, records: list[int], folder: Path) -> Table:
    name, rows = f"{part.name}.csv", 0
    prepared = await connection.prepare(part.statement.replace("= $1", "= ANY($1::bigint[])"))
    with replacing_file(folder / name) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        table = csv.writer(text)
        table.writerow([column.name for column in prepared.get_attributes()])
        async for row in prepared.cursor(records, prefetch=FETCHED_AT_ONCE):
            table.writerow([told(value) for value in row.values()])
            rows += 1
        text.detach()  # the file is closed by whoever opened it
    return Table(name, part.what, rows)


def told(value: Any) -> Any:
    """A value as it stands in a table: times in UTC, bytes in hexadecimal, lists and objects as JSON."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return value


def told_index(index: Index) -> str:
    """The index for somebody who reads."""
    merged = (
        [f"with what is held in other records of the same person: {', '.join(index.merged)}"] if index.merged else []
    )
    lines = [
        f"What is held about {index.wearer_id}",
        *merged,
        f"Made at {index.made_at}. Times are in UTC. The tables open in any spreadsheet.",
        "",
        *(f"{table.file:<28}{table.rows:>9,} rows   {table.what}" for table in index.tables),
        "",
        "Withheld:",
        *(f"  {one.what}: {one.reason}" for one in index.withheld),
        "",
        "Who thinks that something is wrong or missing can ask for it to be put right, and can complain to the Information",
        "Commissioner (ico.org.uk).",
    ]
    return "\n".join(lines) + "\n"
