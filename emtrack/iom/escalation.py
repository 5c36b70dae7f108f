"""Tasks that nobody did in time: the clock tells the single point of contact of their agency when they are due, and the chair a
working day later.

Each is done once for each deadline: a version of the task says who was told and when, so that the record shows it and a look that is
taken twice (a crash, two programs) tells nobody twice. Where there is nobody to tell, a message that says so stands undelivered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from alerts import Channel, NewMessage, channels_now, post
from emtrack.iom.entries import COLUMNS as ENTRY
from emtrack.iom.entries import Author, Draft, Entry, enter, entry_of, following, take_turn
from emtrack.iom.grades import DAY_MS
from emtrack.iom.grading import SERVICE
from emtrack.iom.programme_settings import load_settings
from emtrack.iom.proposals import Proposal
from emtrack.iom.tasks import Escalation, Task, Told
from emtrack.iom.working_days import next_working_day
from geofence import datetime_of, format_instant

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from emtrack.db.connect import Connection

SLICE: Final = 200
REMOVED_DAYS: Final = 30

DUE = f"""
SELECT {ENTRY} FROM iom_now WHERE item_no = ANY($1::bigint[])
"""  # noqa: S608  a constant made of constants
WAITING = "SELECT item_no FROM iom_open_tasks WHERE look_at <= $1 ORDER BY look_at, item_no LIMIT $2"
LOOK_AGAIN = """
UPDATE iom_open_tasks o SET look_at = t.look_at FROM unnest($1::bigint[], $2::timestamptz[]) AS t (item_no, look_at)
WHERE o.item_no = t.item_no
"""
FORGET = "DELETE FROM iom_open_tasks WHERE item_no = ANY($1::bigint[])"
# Who leads of some people, whichever of their records the membership is of.
LEADS = """
SELECT p.wearer_no, m.content ->> 'lead_agency' AS lead_agency
FROM unnest($1::bigint[]) AS p (wearer_no)
LEFT JOIN merged_people() mine ON mine.wearer_no = p.wearer_no LEFT JOIN merged_people() g ON g.group_no = mine.group_no
JOIN iom_now m ON m.wearer_no = coalesce(g.wearer_no, p.wearer_no)
WHERE m.noun = 'membership' AND m.state = 'OPEN'
"""
CONTACTS = """
SELECT agency, array_agg(name) AS names FROM users
WHERE role = 'contact' AND disabled_at IS NULL AND agency = ANY($1::text[]) GROUP BY agency
"""
# Tasks to answer a proposal that is answered, or taken back, by now; and of a release that is not to be.
MOOT = f"""
SELECT {ENTRY} FROM iom_now t WHERE item_no IN (
    SELECT o.item_no FROM iom_open_tasks o JOIN iom_entries e ON e.entry_no = o.item_no
    JOIN iom_now p ON p.item_no = (e.content ->> 'origin_no')::bigint
    WHERE e.content ->> 'origin' = 'PROPOSAL' AND p.noun = 'proposal' AND p.state <> 'OPEN'
          OR e.content ->> 'origin' = 'TRANSITION' AND p.noun = 'transition' AND p.state IN ('CANCELLED', 'WITHDRAWN') LIMIT $1)
"""  # noqa: S608
# Tasks and proposals of people whom a panel removed in the last month, from before it did.
OF_REMOVED = f"""
WITH removed AS (
    SELECT m.wearer_no, max(m.recorded_at) AS removed_at FROM iom_entries m
    WHERE m.noun = 'membership' AND m.state = 'ENDED' AND m.recorded_at > $2 GROUP BY 1)
SELECT {ENTRY} FROM iom_now t JOIN removed r USING (wearer_no)
WHERE noun IN ('task', 'proposal') AND state IN ('NEW', 'ACCEPTED', 'OPEN') AND recorded_at <= removed_at
AND NOT EXISTS (SELECT FROM iom_now m WHERE m.wearer_no = r.wearer_no AND m.noun = 'membership' AND m.state = 'OPEN') LIMIT $1
"""  # noqa: S608
REMOVED_WHY: Final = "the person was removed from the programme"
MOOT_WHY: Final = "the proposal or the release that it came from is answered, or was taken back"
SUBJECTS: Final = {
    Told.CONTACT: "task {} is due and not done",
    Told.CHAIR: "task {} is not done a working day after it was due",
}
LINES: Final = {
    Told.CONTACT: "It is for your agency. It tells the chair a working day after it was due.",
    Told.CHAIR: "The agency that it is for was told when it was due.",
}
NOBODY: Final = {
    Told.CONTACT: "The agency has no single point of contact with a channel: enter one with emtrack channels add --account.",
    Told.CHAIR: "No account with a channel is the chair: name one in the settings of the programme, and give it a channel.",
}


class Looked(NamedTuple):
    """`more`: others wait to be looked at."""

    tasks: int
    messages: int
    more: bool


async def cancel_moot(connection: Connection, now_ms: int) -> int:
    """Nobody is to work what is answered already, or is of somebody whom a panel removed. Inside the caller's transaction; how many
    were closed."""
    if not await _moot(connection, now_ms):
        return 0  # nearly always: nobody who enters something has waited for us
    await take_turn(connection)
    moot = await _moot(connection, now_ms)
    for entry, why in {entry.item_no: (entry, why) for entry, why in moot}.values():
        await enter(connection, _service_for(entry), [_closed(entry, why)], now_ms)
    return len(moot)


async def _moot(connection: Connection, now_ms: int) -> list[tuple[Entry, str]]:
    since = datetime_of(now_ms - REMOVED_DAYS * DAY_MS)
    moot = [(entry_of(row), MOOT_WHY) for row in await connection.fetch(MOOT, SLICE)]
    return moot + [(entry_of(row), REMOVED_WHY) for row in await connection.fetch(OF_REMOVED, SLICE, since)]


def _closed(entry: Entry, why: str) -> Draft:
    if isinstance(entry.content, Proposal):
        content = msgspec.structs.replace(entry.content, decided_why=why)
        return following(entry, state="WITHDRAWN", content=content, due_ms=None)
    return following(entry, state="CANCELLED", content=_replaced(entry, reason=why))


async def put_off_first_task(connection: Connection, now_ms: int, until_ms: int) -> None:
    """The first whose time has come is looked at later. Inside the caller's transaction."""
    await take_turn(connection)
    numbers = await _waiting(connection, now_ms, 1)
    await connection.execute(LOOK_AGAIN, numbers, [datetime_of(until_ms) for _ in numbers])


async def look_at_tasks_due(connection: Connection, zone: ZoneInfo, now_ms: int, most: int = SLICE) -> Looked:
    """A slice of those whose time has come, the first `most`, inside the caller's transaction."""
    if not await _waiting(connection, now_ms, most):
        return Looked(0, 0, more=False)
    await take_turn(connection)
    numbers = await _waiting(connection, now_ms, most)
    entries = [entry_of(row) for row in await connection.fetch(DUE, numbers)]
    await connection.execute(FORGET, sorted(set(numbers) - {entry.item_no for entry in entries}))
    people = await _people(connection, entries)
    messages: list[NewMessage] = []
    looks: dict[int, int | None] = {}
    for entry in entries:
        step = next_step(entry, zone)
        if step is None or step.at_ms > now_ms:
            looks[entry.item_no] = None if step is None else step.at_ms
            continue
        channels = people.channels_of(entry, step.told)
        messages += _messages(entry, step.told, channels)
        draft = _escalated(entry, step.told, len(channels), now_ms)
        (then,) = await enter(connection, _service_for(entry), [draft], now_ms)
        following_step = next_step(then, zone)
        looks[entry.item_no] = None if following_step is None else following_step.at_ms
    times = [None if at_ms is None else datetime_of(at_ms) for at_ms in looks.values()]
    await connection.execute(LOOK_AGAIN, list(looks), times)
    return Looked(len(entries), await post(connection, messages, now_ms), more=len(numbers) == most)


async def _waiting(connection: Connection, now_ms: int, most: int) -> list[int]:
    return [row["item_no"] for row in await connection.fetch(WAITING, datetime_of(now_ms), most)]


class Step(NamedTuple):
    """Who is told next, and when."""

    told: Told
    at_ms: int


def next_step(entry: Entry, zone: ZoneInfo) -> Step | None:
    """Of an open task; None: everybody was told of its deadline, or it has none."""
    task, due_ms = _task_of(entry), entry.due_ms
    if due_ms is None:
        return None
    told = {one.told for one in task.escalations if one.due_ms == due_ms}
    if Told.CONTACT not in told:
        return Step(Told.CONTACT, due_ms)
    return None if Told.CHAIR in told else Step(Told.CHAIR, next_working_day(due_ms, zone))


def _task_of(entry: Entry) -> Task:
    assert isinstance(entry.content, Task), "only tasks are watched"
    return entry.content


def _replaced(entry: Entry, **changes: object) -> Task:
    return msgspec.structs.replace(_task_of(entry), **changes)


def _service_for(entry: Entry) -> Author:
    """A task that only the agency of its author may read stays that agency's."""
    return Author(SERVICE.name, entry.agency)


def _escalated(entry: Entry, told: Told, channels: int, now_ms: int) -> Draft:
    assert entry.due_ms is not None, "a step has a deadline"
    one = Escalation(told, now_ms, entry.due_ms, channels)
    return following(entry, content=_replaced(entry, escalations=[*_task_of(entry).escalations, one]))


class _People(NamedTuple):
    """`leads`: agency by person. `contacts`: accounts by agency."""

    leads: Mapping[int, str | None]
    contacts: Mapping[str, Sequence[str]]
    chair: Sequence[str]
    channels: Sequence[Channel]

    def channels_of(self, entry: Entry, told: Told) -> list[Channel]:
        agency = _task_of(entry).for_agency or self.leads.get(entry.wearer_no or 0)
        accounts = self.chair if told is Told.CHAIR else self.contacts.get(agency or "", ())
        return [channel for channel in self.channels if channel.account in accounts]


async def _people(connection: Connection, entries: Sequence[Entry]) -> _People:
    rows = await connection.fetch(LEADS, [entry.wearer_no for entry in entries])
    leads = {row["wearer_no"]: row["lead_agency"] for row in rows}
    agencies = {_task_of(entry).for_agency for entry in entries} | set(leads.values())
    contacts = await connection.fetch(CONTACTS, [agency for agency in agencies if agency is not None])
    settings = (await load_settings(connection)).settings
    channels = [c for c in await channels_now(connection) if not (c.is_canary or c.is_for_wearers)]
    return _People(leads, {row["agency"]: row["names"] for row in contacts}, settings.chair, channels)


def _messages(entry: Entry, told: Told, channels: Sequence[Channel]) -> list[NewMessage]:
    """Numbers, words and times: what it is about is said to who logs in."""
    assert entry.due_ms is not None, "a step has a deadline"
    numbers: list[int | None] = [channel.channel_no for channel in channels]
    fields = {
        "topic": "task",
        "task": entry.item_no,
        "what": str(told),
        "subject": SUBJECTS[told].format(entry.item_no),
        "lines": [f"It was due at {format_instant(entry.due_ms)}.", LINES[told] if numbers else NOBODY[told]],
    }
    key = f"task {entry.item_no} {entry.due_ms} {told}"
    return [NewMessage(number, key, fields) for number in numbers or [None]]
