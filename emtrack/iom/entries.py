"""Entries: versions of items of nouns. The one way into the record, and out of it as known at an instant.

A change is a new version of its item: nothing is changed and nothing deleted. Each row says when it was recorded, by whom and for
which agency. Entries commit in the order of their numbers (migration 0033), so that who follows the record asks for what is
greater than the last one seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg
import msgspec

from emtrack.errors import MendableError
from emtrack.iom.notes import Visibility
from emtrack.iom.noun import Content, Noun
from emtrack.iom.register import NOUNS, check
from emtrack.iom.summary import FOLLOWED, follow
from geofence import datetime_of, format_instant

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

COLUMNS: Final = """
    entry_no, noun, item_no, version, wearer_no, state, content, epoch_ms(lower(valid)) AS begin_ms, epoch_ms(upper(valid)) AS end_ms,
    valid IS NOT NULL AS holds, epoch_ms(occurred_at) AS occurred_ms, epoch_ms(due_at) AS due_ms, epoch_ms(recorded_at) AS
    recorded_ms, recorded_by, agency, system, record, visibility, named
"""
NEW = """
INSERT INTO iom_entries (noun, of_entry, version, wearer_no, state, content, valid, occurred_at, due_at, recorded_at, recorded_by,
agency,
                         system, record, visibility, named)
SELECT noun, of_entry, version, wearer_no, state, content, valid, occurred_at, due_at, $2, $3, $4, system, record, visibility,
       coalesce(named, '{}')
FROM jsonb_to_recordset($1::jsonb) AS t (noun text, of_entry bigint, version bigint, wearer_no bigint, state text, content jsonb,
     valid tstzrange, occurred_at timestamptz, due_at timestamptz, system text, record text, visibility text, named text[])
RETURNING entry_no, item_no
"""
# What held of some people at an instant of the record: of each item the newest version then.
OF_PEOPLE = f"""
SELECT DISTINCT ON (item_no) {COLUMNS} FROM iom_entries
WHERE wearer_no = ANY($1::bigint[]) AND ($2::text[] IS NULL OR noun = ANY($2)) AND ($3::timestamptz IS NULL OR recorded_at <= $3)
ORDER BY item_no, version DESC
"""  # noqa: S608  a constant made of constants
ITEM = f"""
SELECT {COLUMNS} FROM iom_entries WHERE item_no = $1 ORDER BY version
"""  # noqa: S608
BY_RECORD = f"""
SELECT DISTINCT ON (record) {COLUMNS} FROM iom_entries
WHERE noun = $1 AND system = $2 AND record = ANY($3::text[]) ORDER BY record, version DESC
"""  # noqa: S608
AFTER = f"""
SELECT {COLUMNS} FROM iom_entries WHERE entry_no > $1 ORDER BY entry_no LIMIT $2
"""  # noqa: S608
LAST = "SELECT coalesce(max(entry_no), 0) FROM iom_entries"
# Of how many people something was entered after an entry; of one person, whether it was. So many entries are looked at, the newest.
MOVED = """
SELECT count(DISTINCT wearer_no) FROM (
    SELECT wearer_no FROM iom_entries WHERE entry_no > $1 AND ($2::bigint[] IS NULL OR wearer_no = ANY($2))
    ORDER BY entry_no DESC LIMIT $3) AS newest
"""
# Entries commit one after another; who looks first and then enters takes the lock of migration 0033 before.
LOCK = "SELECT pg_advisory_xact_lock(x'696f6d'::bigint)"
# People of whom two intervals of a noun overlap that may not, or who are members twice.
OVERLAPS = """
SELECT w.wearer_id, a.noun FROM iom_now a JOIN iom_now b USING (wearer_no, noun) JOIN wearers w USING (wearer_no)
WHERE a.wearer_no = ANY($1::bigint[]) AND a.noun IN ('status', 'membership') AND a.item_no < b.item_no
      AND a.state <> 'WITHDRAWN' AND b.state <> 'WITHDRAWN' AND a.valid && b.valid
LIMIT 1
"""
GROUP = "SELECT wearer_no FROM merged_people() WHERE group_no = (SELECT group_no FROM merged_people() WHERE wearer_no = $1 LIMIT 1)"


class SomebodyWasFaster(MendableError):
    """The item was changed since it was read."""


class Overlaps(MendableError):
    """Two statuses or two memberships of one person at one time."""

    exit_code = 2


class Author(NamedTuple):
    """Who enters, by the session. `agency` None: the programme itself, or the service."""

    name: str
    agency: str | None = None


class Span(NamedTuple):
    """From an instant to another, in milliseconds; `end_ms` None: it lasts."""

    begin_ms: int
    end_ms: int | None = None


class Entry(NamedTuple):
    """A version of an item, as it is in the record."""

    entry_no: int
    item_no: int
    version: int
    noun: Noun
    wearer_no: int | None
    state: str | None
    content: Content
    valid: Span | None
    occurred_ms: int | None
    due_ms: int | None
    recorded_ms: int
    recorded_by: str
    agency: str | None
    system: str | None
    record: str | None
    visibility: Visibility
    named: tuple[str, ...]


class Draft(NamedTuple):
    """A version to be entered. `former`: the version that it follows; None: the item is new. `system`, `record`: where it comes
    from, and its name there."""

    noun: Noun
    wearer_no: int | None
    content: Content
    state: str | None = None
    valid: Span | None = None
    occurred_ms: int | None = None
    due_ms: int | None = None
    system: str | None = None
    record: str | None = None
    visibility: Visibility = Visibility.ALL
    named: tuple[str, ...] = ()
    former: Entry | None = None

    @property
    def says_something_new(self) -> bool:
        former = self.former
        return former is None or self._what() != (
            former.content, former.state, former.valid, former.occurred_ms, former.due_ms, former.visibility, former.named,
        )  # fmt: skip

    def _what(self) -> tuple[Any, ...]:
        return (self.content, self.state, self.valid, self.occurred_ms, self.due_ms, self.visibility, self.named)


def following(entry: Entry, **changes: Any) -> Draft:
    """The next version of an item, which differs in what is given."""
    return Draft(
        entry.noun, entry.wearer_no, entry.content, entry.state, entry.valid, entry.occurred_ms, entry.due_ms, entry.system,
        entry.record, entry.visibility, entry.named, entry,
    )._replace(**changes)  # fmt: skip


async def enter(connection: Connection, author: Author, drafts: Sequence[Draft], now_ms: int) -> list[Entry]:
    """Enter versions inside the caller's transaction; those that say nothing new are left out. What is in the record of each draft
    afterwards, in order. Raises UnfitEntry, NoTransition, AgendaChanged, Overlaps or SomebodyWasFaster."""
    for draft in drafts:
        check(draft)
    fresh = [draft for draft in drafts if draft.says_something_new]
    now_ms = max([now_ms, *(draft.former.recorded_ms for draft in fresh if draft.former is not None)])
    entered = iter(await _insert(connection, author, fresh, now_ms) if fresh else [])
    found = [next(entered) if draft.says_something_new else _there(draft) for draft in drafts]
    touched = [entry for draft, entry in zip(drafts, found, strict=True) if draft.says_something_new]
    await _refuse_overlaps(connection, touched)
    if any(entry.noun.name in FOLLOWED for entry in touched):
        await follow(connection, touched, author.name, now_ms)
    return found


async def _refuse_overlaps(connection: Connection, entries: Sequence[Entry]) -> None:
    people = {entry.wearer_no for entry in entries if entry.noun.name in ("status", "membership")}
    row = await connection.fetchrow(OVERLAPS, list(people)) if people else None
    if row is not None:
        raise Overlaps(
            f"{row['wearer_id']!r} would have two {row['noun']} entries at one time; end the former one, or correct it"
        )


async def take_turn(connection: Connection) -> None:
    """From here on nobody else enters anything before the caller's transaction ends."""
    await connection.execute(LOCK)


def _there(draft: Draft) -> Entry:
    assert draft.former is not None, "what says nothing new has a former version"
    return draft.former


async def _insert(connection: Connection, author: Author, drafts: Sequence[Draft], now_ms: int) -> list[Entry]:
    rows = [_row(draft) for draft in drafts]
    try:
        numbers = await connection.fetch(NEW, rows, datetime_of(now_ms), author.name, author.agency)
    except asyncpg.UniqueViolationError as error:
        raise SomebodyWasFaster(f"somebody changed this meanwhile; read it again ({error})") from error
    return [
        Entry(
            row["entry_no"], row["item_no"], _version(draft), draft.noun, draft.wearer_no, draft.state, draft.content, draft.valid,
            draft.occurred_ms, draft.due_ms, now_ms, author.name, author.agency, draft.system, draft.record, draft.visibility,
            draft.named,
        )
        for draft, row in zip(drafts, numbers, strict=True)
    ]  # fmt: skip


def _version(draft: Draft) -> int:
    return 1 if draft.former is None else draft.former.version + 1


def _row(draft: Draft) -> dict[str, Any]:
    valid = draft.valid
    return {
        "noun": draft.noun.name,
        "of_entry": None if draft.former is None else draft.former.item_no,
        "version": _version(draft),
        "wearer_no": draft.wearer_no,
        "state": draft.state,
        "content": draft.content,
        "valid": None if valid is None else f"[{format_instant(valid.begin_ms)},{_told(valid.end_ms) or ''})",
        "occurred_at": _told(draft.occurred_ms),
        "due_at": _told(draft.due_ms),
        "system": draft.system,
        "record": draft.record,
        "visibility": str(draft.visibility),
        "named": list(draft.named),
    }


def _told(instant_ms: int | None) -> str | None:
    return None if instant_ms is None else format_instant(instant_ms)


async def load(
    connection: Connection,
    wearer_nos: Iterable[int],
    nouns: Sequence[Noun] | None = None,
    known_ms: int | None = None,
) -> list[Entry]:
    """What held of some people, as known at an instant (None: now), in the order in which items were first entered. `nouns` None:
    all."""
    known_at = None if known_ms is None else datetime_of(known_ms)
    names = None if nouns is None else [noun.name for noun in nouns]
    return [entry_of(row) for row in await connection.fetch(OF_PEOPLE, list(wearer_nos), names, known_at)]


async def versions_of_item(connection: Connection, item_no: int) -> list[Entry]:
    """All that the item ever said, the first version first."""
    return [entry_of(row) for row in await connection.fetch(ITEM, item_no)]


async def by_record(connection: Connection, noun: Noun, system: str, records: Sequence[str]) -> dict[str, Entry]:
    """What another system's records are here, by their names there."""
    rows = await connection.fetch(BY_RECORD, noun.name, system, list(records))
    return {row["record"]: entry_of(row) for row in rows}


async def entries_after(connection: Connection, entry_no: int, most: int) -> list[Entry]:
    """What was entered after an entry, in order; nothing is ever missed."""
    return [entry_of(row) for row in await connection.fetch(AFTER, entry_no, most)]


async def last_entry(connection: Connection) -> int:
    """The number of the newest entry that the caller may see; 0: there is none."""
    number: int = await connection.fetchval(LAST)
    return number


async def moved_since(connection: Connection, entry_no: int, only: Sequence[int] | None, most: int) -> int:
    """Of how many people something was entered after an entry, of `only` those if it is given; of the newest `most` entries."""
    count: int = await connection.fetchval(MOVED, entry_no, None if only is None else list(only), most)
    return count


async def records_of_person(connection: Connection, wearer_no: int) -> list[int]:
    """The numbers under which a person is on record: one, or those that are merged."""
    return [row["wearer_no"] for row in await connection.fetch(GROUP, wearer_no)] or [wearer_no]


def entry_of(row: asyncpg.Record) -> Entry:
    noun = NOUNS[row["noun"]]
    return Entry(
        row["entry_no"], row["item_no"], row["version"], noun, row["wearer_no"], row["state"],
        msgspec.convert(row["content"], noun.form), Span(row["begin_ms"], row["end_ms"]) if row["holds"] else None,
        row["occurred_ms"], row["due_ms"], row["recorded_ms"], row["recorded_by"], row["agency"], row["system"], row["record"],
        Visibility(row["visibility"]), tuple(row["named"]),
    )  # fmt: skip
