"""Signals out of what changed: findings, alerts that were closed, excuses, silences that last, and entries of the record.

Each step takes in one bounded slice inside the caller's transaction and can be repeated: what is there already is left alone. How far
was read stands in the database. Of findings the material of the log says what changed (`log_material`); its numbers may become
visible late, so they are only passed behind a fence, as the sealer does (`sealing/store.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from emtrack.iom.breaches import Breach
from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import COLUMNS as ENTRY
from emtrack.iom.entries import Draft, Entry, by_record, enter, entry_of, following, load, take_turn
from emtrack.iom.grades import DAY_MS
from emtrack.iom.grading import OURS, SERVICE
from emtrack.iom.memberships import MEMBERSHIP
from emtrack.iom.noun import Noun
from emtrack.iom.programme_settings import load_settings
from emtrack.iom.signals import DOWN, SIGNAL, Direction, Signal, SignalKind
from emtrack.iom.sources import (
    RECALL_CODE,
    TOLD_TOGETHER,
    FoundOf,
    Wish,
    expires,
    from_entry,
    from_finding,
    look_again_ms,
    name_of_finding,
    names_of_item,
)
from geofence import Kind, datetime_of

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

MATERIAL_CURSOR: Final = "material"
ENTRY_CURSOR: Final = "entries"
BACK_DAYS: Final = 28
"""Findings of so many days become signals when somebody joins the programme."""
SAME_WITHIN_MS: Final = DAY_MS
"""What probation tells of a kind that we found so near in time is the same."""

CURSOR = "SELECT position FROM iom_cursors WHERE name = $1"
MOVE_CURSOR = """
INSERT INTO iom_cursors (name, position) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET position = excluded.position
"""
# Statements that changed findings, alerts or the ledger, above a number, but for those that were taken in already.
MATERIAL = """
SELECT material_no, kind, keys FROM log_material
WHERE material_no > $1 AND kind IN ('finding_versions', 'alert_actions', 'atv_lines') AND NOT material_no = ANY($2::bigint[])
ORDER BY material_no LIMIT $3
"""
FINDINGS_OF_ALERTS = "SELECT DISTINCT finding_no FROM alert_occurrences WHERE alert_no = ANY($1::bigint[])"
FINDINGS_OF_LINES = "SELECT DISTINCT finding_no FROM atv_lines WHERE line_no = ANY($1::bigint[])"
# Everybody in the programme, by each of their records.
MEMBERS = """
SELECT m.wearer_no FROM iom_now m WHERE m.noun = 'membership' AND m.state = 'OPEN'
UNION
SELECT b.wearer_no FROM iom_now m JOIN merged_people() a USING (wearer_no) JOIN merged_people() b USING (group_no)
WHERE m.noun = 'membership' AND m.state = 'OPEN'
"""
# Findings of members as they stand, with what excuses them: the ledger, or the outcome of their alert while that is closed.
FOUND = f"""
SELECT f.finding_no, a.wearer_no, f.kind, f.device_reason, v.change = 'withdrawn' AS is_withdrawn, v.why,
       epoch_ms(v.begin_at) AS begin_ms, epoch_ms(v.end_at) AS end_ms, epoch_ms(v.known_at) AS known_ms, v.within_grace,
       coalesce((SELECT 'excused: ' || l.why FROM atv_lines l WHERE l.finding_no = f.finding_no AND l.what = 'excused'
                 ORDER BY line_no DESC LIMIT 1), o.outcome) AS excused_why
FROM unnest($1::bigint[]) AS w (finding_no) JOIN findings f USING (finding_no)
JOIN activation_versions a ON a.activation_no = f.activation_no AND upper_inf(a.recorded)
CROSS JOIN LATERAL newest_version(f.finding_no) v
LEFT JOIN LATERAL (
    SELECT c.outcome FROM alert_occurrences n JOIN alerts t USING (alert_no) JOIN alert_actions c USING (alert_no)
    WHERE n.finding_no = f.finding_no AND t.closed_at IS NOT NULL AND c.outcome IS NOT NULL
    ORDER BY c.alert_no DESC, c.action_no DESC LIMIT 1) o ON o.outcome IN ('AUTHORISED', 'EQUIPMENT', 'LOCATION_ERROR')
WHERE a.wearer_no IN ({MEMBERS})
"""  # noqa: S608  a constant made of constants
LATELY = """
SELECT f.finding_no FROM activation_versions a JOIN findings f USING (activation_no) CROSS JOIN LATERAL newest_version(f.finding_no) v
WHERE a.wearer_no = ANY($1::bigint[]) AND upper_inf(a.recorded) AND v.change <> 'withdrawn'
      AND (v.begin_at >= $2 OR v.end_at IS NULL AND f.kind = 'NO_COMMUNICATION')
"""
WATCH_SILENCE = """
INSERT INTO iom_silences (finding_no, look_at) SELECT * FROM unnest($1::bigint[], $2::timestamptz[])
ON CONFLICT (finding_no) DO UPDATE SET look_at = excluded.look_at
"""
UNWATCH = "DELETE FROM iom_silences WHERE finding_no = ANY($1::bigint[])"
DUE_SILENCES = "SELECT finding_no FROM iom_silences WHERE look_at <= $1 ORDER BY look_at LIMIT $2"
# Alerts of members that no finding stands behind and that are of the person: time violations added up. Without a signal yet.
LEDGER_ALERTS = f"""
SELECT a.alert_no, a.wearer_no, epoch_ms(a.raised_at) AS raised_ms FROM alerts a
WHERE a.kind = 'ATV' AND a.closed_at IS NULL AND a.wearer_no IN ({MEMBERS}) AND NOT EXISTS (
    SELECT FROM iom_entries s WHERE s.noun = 'signal' AND s.system = 'emtrack' AND s.record = 'alert ' || a.alert_no)
LIMIT $1
"""  # noqa: S608
# What a contact tells and we found ourselves at about that time.
FOUND_OURSELVES = """
SELECT EXISTS (SELECT FROM iom_now WHERE noun = 'signal' AND wearer_no = $1 AND content ->> 'kind' = $2 AND system = 'emtrack'
               AND content ? 'finding_no' AND state <> 'WITHDRAWN' AND occurred_at BETWEEN $3 AND $4)
"""
# What tells of a recall: breaches, and contacts of its code.
RECALLS = f"""
SELECT {ENTRY} FROM iom_now WHERE wearer_no = ANY($1::bigint[]) AND (noun = 'breach' OR noun = 'contact' AND content ->> 'code' = $2)
ORDER BY item_no
"""  # noqa: S608
ENTRIES = f"""
SELECT {ENTRY} FROM iom_entries WHERE entry_no > $1 ORDER BY entry_no LIMIT $2
"""  # noqa: S608
FEEDS: Final = frozenset({"status", "contact", "offence", "circumstance", "transition", "breach"})
MOVES: Final = FEEDS | {"membership", "merge", "signal", "grade"}
"""Nouns after a change of which a proposal may be another."""
EXCUSES: Final = {
    "AUTHORISED": "the alert was closed as authorised", "EQUIPMENT": "the alert was closed as a fault of the equipment",
    "LOCATION_ERROR": "the alert was closed as a location error",
}  # fmt: skip

WHY_GONE: Final = {"transition": "the transition says something else by now, or the status tells the same event"}
RECALL_GONE: Final = "this says something else by now, or a breach tells of the same recall"


class Taken(NamedTuple):
    """A slice that was taken in. `people`: of whom something may have changed. `material`: its numbers, or the last entry."""

    people: frozenset[int]
    material: tuple[int, ...]


async def cursor_of(connection: Connection, name: str) -> int | None:
    position: int | None = await connection.fetchval(CURSOR, name)
    return position


async def move_cursor(connection: Connection, name: str, position: int) -> None:
    await connection.execute(MOVE_CURSOR, name, position)


async def take_material(connection: Connection, above: int, but: Collection[int], most: int, now_ms: int) -> Taken:
    """Findings, closed alerts and excuses above a number of material, but for some that were taken in already."""
    rows = await connection.fetch(MATERIAL, above, list(but), most)
    keys: dict[str, set[int]] = {}
    for row in rows:
        keys.setdefault(row["kind"], set()).update(row["keys"])
    findings = set(keys.get("finding_versions", ()))
    for kind, statement in (("alert_actions", FINDINGS_OF_ALERTS), ("atv_lines", FINDINGS_OF_LINES)):
        if keys.get(kind):
            findings |= {row["finding_no"] for row in await connection.fetch(statement, list(keys[kind]))}
    people = await take_findings(connection, findings, now_ms) if findings else frozenset()
    return Taken(people, tuple(row["material_no"] for row in rows))


async def take_findings(connection: Connection, finding_nos: Collection[int], now_ms: int) -> frozenset[int]:
    """Signals and contacts of findings as they stand; of whom."""
    found = [_found(row) for row in await connection.fetch(FOUND, list(finding_nos))]
    await _watch_silences(connection, found, now_ms)
    if not found:
        return frozenset()
    await take_turn(connection)
    wishes = {name_of_finding(one.finding_no): (one.wearer_no, from_finding(one, now_ms)) for one in found}
    gone = {name_of_finding(one.finding_no): _why_gone(one) for one in found}
    drafts = await _signal_drafts(connection, wishes, gone)
    drafts += await _contact_drafts(connection, [one for one in found if one.kind == Kind.ATTENDANCE])
    await enter(connection, SERVICE, drafts, now_ms)
    return frozenset(draft.wearer_no for draft in drafts if draft.wearer_no is not None and draft.says_something_new)


def _found(row: asyncpg.Record) -> FoundOf:
    values = dict(row)
    excused = values["excused_why"]
    values["excused_why"] = EXCUSES.get(str(excused), excused)
    return FoundOf(**values)


def _why_gone(one: FoundOf) -> str:
    return (
        f"the finding was withdrawn: {one.why}" if one.is_withdrawn else f"the finding says something else: {one.why}"
    )


async def _watch_silences(connection: Connection, found: Iterable[FoundOf], now_ms: int) -> None:
    looks = {one.finding_no: look_again_ms(one) for one in found}
    later = {number: at_ms for number, at_ms in looks.items() if at_ms is not None and at_ms > now_ms}
    if later:
        await connection.execute(WATCH_SILENCE, list(later), [datetime_of(at_ms) for at_ms in later.values()])
    if over := [number for number in looks if number not in later]:
        await connection.execute(UNWATCH, over)


async def take_silences(connection: Connection, most: int, now_ms: int) -> frozenset[int]:
    """Silences that have lasted for more than a day by now; of whom."""
    due = [row["finding_no"] for row in await connection.fetch(DUE_SILENCES, datetime_of(now_ms), most)]
    if not due:
        return frozenset()
    await connection.execute(UNWATCH, due)
    return await take_findings(connection, due, now_ms)


async def take_ledger_alerts(connection: Connection, most: int, now_ms: int) -> frozenset[int]:
    rows = await connection.fetch(LEDGER_ALERTS, most)
    if not rows:
        return frozenset()
    await take_turn(connection)
    wishes = {}
    for row in rows:
        name, kind = f"alert {row['alert_no']}", SignalKind.ALERT
        words = "time violations add up to more than the threshold"
        wish = Wish(
            name,
            kind,
            row["raised_ms"],
            expires(kind, row["raised_ms"]),
            row["raised_ms"],
            words,
            alert_no=row["alert_no"],
        )
        wishes[name] = (row["wearer_no"], [wish])
    await enter(connection, SERVICE, await _signal_drafts(connection, wishes, {}), now_ms)
    return frozenset(row["wearer_no"] for row in rows)


async def take_entries(connection: Connection, above: int, most: int, now_ms: int) -> Taken:
    """Signals of what was entered above a number, as it stands; who joined the programme brings the findings of the last days."""
    entries = [entry_of(row) for row in await connection.fetch(ENTRIES, above, most)]
    changed = {entry.item_no: entry for entry in entries if entry.noun.name in FEEDS and entry.wearer_no is not None}
    people = {entry.wearer_no for entry in entries if entry.noun.name in MOVES and entry.wearer_no is not None}
    if changed:
        await _take_items(connection, changed, now_ms)
    joined = [entry.wearer_no for entry in entries if entry.noun is MEMBERSHIP and entry.version == 1]
    if joined:
        since = datetime_of(now_ms - BACK_DAYS * DAY_MS)
        findings = [row["finding_no"] for row in await connection.fetch(LATELY, joined, since)]
        people |= await take_findings(connection, findings, now_ms) if findings else frozenset()
    return Taken(frozenset(people), tuple(entry.entry_no for entry in entries[-1:]))


async def _take_items(connection: Connection, changed: Mapping[int, Entry], now_ms: int) -> None:
    """Of each item that changed; of what holds for a time, such as a status, and of what tells the same event as another noun, of all
    of it and its person: what one says depends on the others. Nothing else is read: a person may have a thousand contacts."""
    await take_turn(connection)
    settings = (await load_settings(connection)).settings
    wishes: dict[str, tuple[int, list[Wish]]] = {}
    gone: dict[str, str] = {}
    for entries in await _with_what_bears_on_them(connection, changed):
        for entry in entries:
            assert entry.wearer_no is not None, "the caller chose what is of somebody"
            said = {wish.record: wish for wish in from_entry(entry, entries, settings.cohort_offences)}
            said = {name: wish for name, wish in said.items() if not await _is_ours(connection, entry, wish)}
            for name in names_of_item(entry):
                wishes[name] = (entry.wearer_no, [said[name]] if name in said else [])
                gone[name] = _why_item_is_gone(entry)
    await enter(connection, SERVICE, await _signal_drafts(connection, wishes, gone), now_ms)


def _why_item_is_gone(entry: Entry) -> str:
    noun = entry.noun.name
    return RECALL_GONE if _tells_of_recall(entry) else WHY_GONE.get(noun, f"the {noun} says something else by now")


async def _with_what_bears_on_them(connection: Connection, changed: Mapping[int, Entry]) -> list[list[Entry]]:
    """Items that changed, by person and noun, with those on which depends what they say."""
    of_recalls = {entry.wearer_no for entry in changed.values() if _tells_of_recall(entry)}
    others = [entry for entry in changed.values() if not _tells_of_recall(entry)]
    read = [entry for entry in others if not _depends(entry.noun)]
    bound = [entry for entry in others if _depends(entry.noun)]
    if of_recalls:
        read += [
            entry_of(row) for row in await connection.fetch(RECALLS, sorted(filter(None, of_recalls)), RECALL_CODE)
        ]
    if bound:
        nouns = {entry.noun.name: entry.noun for entry in bound}
        if any(noun.name in nouns for noun in TOLD_TOGETHER):
            nouns |= {noun.name: noun for noun in TOLD_TOGETHER}
        people = sorted({entry.wearer_no for entry in bound if entry.wearer_no is not None})
        read += await load(connection, people, list(nouns.values()))
    together: dict[tuple[str, int | None], list[Entry]] = {}
    for entry in read:
        together.setdefault((_group(entry), entry.wearer_no), []).append(entry)
    return list(together.values())


def _group(entry: Entry) -> str:
    if _tells_of_recall(entry):
        return "recalls"
    return "moves" if entry.noun in TOLD_TOGETHER else entry.noun.name


def _tells_of_recall(entry: Entry) -> bool:
    content = entry.content
    return isinstance(content, Breach) or (isinstance(content, Contact) and content.code == RECALL_CODE)


def _depends(noun: Noun) -> bool:
    return noun.holds or noun in TOLD_TOGETHER


async def _is_ours(connection: Connection, entry: Entry, wish: Wish) -> bool:
    """Whether a contact tells of what we found ourselves."""
    if not isinstance(entry.content, Contact) or entry.content.code is None:
        return False
    begin, end = datetime_of(wish.occurred_ms - SAME_WITHIN_MS), datetime_of(wish.occurred_ms + SAME_WITHIN_MS)
    is_there: bool = await connection.fetchval(FOUND_OURSELVES, entry.wearer_no, str(wish.kind), begin, end)
    return is_there


async def _signal_drafts(
    connection: Connection, wishes: Mapping[str, tuple[int, Sequence[Wish]]], gone: Mapping[str, str]
) -> list[Draft]:
    """What makes the signals those that are wished, by name: new ones, others of now, and those that are withdrawn, with why."""
    there = await by_record(connection, SIGNAL, OURS, list(wishes))
    drafts = []
    for name, (wearer_no, wished) in wishes.items():
        former = there.get(name)
        if wished:
            drafts.append(_wished(wearer_no, wished[0], former))
        elif former is not None and former.state != "WITHDRAWN":
            assert isinstance(former.content, Signal), "they are asked for as signals"
            content = msgspec.structs.replace(former.content, why=gone[name])
            drafts.append(following(former, state="WITHDRAWN", content=content))
    return drafts


def _wished(wearer_no: int, wish: Wish, former: Entry | None) -> Draft:
    content = Signal(
        kind=wish.kind,
        direction=Direction.DOWN if wish.kind in DOWN else Direction.UP,
        because=wish.because,
        known_ms=wish.known_ms,
        finding_no=wish.finding_no,
        alert_no=wish.alert_no,
        entry_no=wish.entry_no,
        why=wish.excused_why,
    )
    state = "LIVE" if wish.excused_why is None else "EXCUSED"
    if former is None:
        return Draft(
            SIGNAL,
            wearer_no,
            content,
            state,
            occurred_ms=wish.occurred_ms,
            due_ms=wish.expires_ms,
            system=OURS,
            record=wish.record,
        )
    same_entry = former.content if isinstance(former.content, Signal) else content
    if wish.entry_no is not None:  # the same words of a later version of the entry are no news
        content = msgspec.structs.replace(content, entry_no=same_entry.entry_no, known_ms=same_entry.known_ms)
    return following(former, state=state, content=content, occurred_ms=wish.occurred_ms, due_ms=wish.expires_ms)


async def _contact_drafts(connection: Connection, found: Sequence[FoundOf]) -> list[Draft]:
    """An appointment that a tag did not see kept is a contact for an officer to decide."""
    if not found:
        return []
    names = {name_of_finding(one.finding_no): one for one in found}
    there = await by_record(connection, CONTACT, OURS, list(names))
    drafts = []
    for name, one in names.items():
        former = there.get(name)
        if former is not None:
            state = "WITHDRAWN" if one.is_withdrawn else "RECORDED"
            drafts.append(following(former, state=state, occurred_ms=one.begin_ms))
        elif not one.is_withdrawn:
            content = Contact(kind="attendance by order", outcome=Outcome.NOT_RECORDED, finding_no=one.finding_no)
            drafts.append(
                Draft(CONTACT, one.wearer_no, content, "RECORDED", occurred_ms=one.begin_ms, system=OURS, record=name)
            )
    return drafts
