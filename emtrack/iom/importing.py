"""Rows of other systems into the record, in slices with a transaction each. What is there already is left alone, so that the same
file can be given again; a row that cannot be entered is refused by itself, kept as it was given, and told with its number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from emtrack.errors import MendableError
from emtrack.forms.iom import RagGrade
from emtrack.forms.names import unfit_id
from emtrack.iom.contacts import CONTACT
from emtrack.iom.entries import COLUMNS as ENTRY
from emtrack.iom.entries import Author, Draft, Entry, Span, by_record, enter, entry_of, following, load, take_turn
from emtrack.iom.grades import GRADE
from emtrack.iom.grading import OURS
from emtrack.iom.identifiers import Identifier
from emtrack.iom.memberships import MEMBERSHIP
from emtrack.iom.notes import Visibility
from emtrack.iom.noun import Noun
from emtrack.iom.people import PERSON, Person
from emtrack.iom.programme_settings import REVIEW_DAYS
from emtrack.iom.register import UnfitEntry, check
from emtrack.iom.rows import IMPORTED, RefusedRow, Row, content_of, read_row, usual_state
from emtrack.iom.rules import review_due
from emtrack.iom.signals import DOWN, SIGNAL, Direction, SignalKind
from emtrack.iom.sources import expires
from emtrack.iom.standing import status_drafts
from emtrack.iom.states import NoTransition
from emtrack.iom.statuses import STATUS, Status
from emtrack.iom.summary import NOTHING, of_person, write_summaries
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

SLICE: Final = 500
"""Rows that are entered in one transaction."""
LONGEST_WHY: Final = 500

KNOWN_IDENTIFIERS = """
SELECT wearer_no, content -> 'identifiers' AS identifiers FROM iom_now WHERE noun = 'person' AND content ? 'identifiers'
"""
BY_NUMBER = f"""
SELECT {ENTRY} FROM iom_now WHERE noun = $1 AND item_no = ANY($2::bigint[])
"""  # noqa: S608  a constant made of constants
NUMBERS = "SELECT wearer_id, wearer_no FROM wearers WHERE wearer_id = ANY($1::text[])"
ADD = """
SELECT reference, new_person(reference, name) AS wearer_no FROM unnest($1::text[], $2::text[]) AS t (reference, name)
"""
NEW_IMPORT = "INSERT INTO iom_imports (name, imported_at, imported_by) VALUES ($1, $2, $3) RETURNING import_no"
KEEP_ROWS = """
INSERT INTO iom_import_rows (import_no, row_no, what, why, given)
SELECT $1, row_no, what, why, given FROM jsonb_to_recordset($2::jsonb) AS t (row_no bigint, what text, why text, given jsonb)
"""
THIS_DEPLOYMENT = "SELECT name FROM iom_deployment"

Refusal = (UnfitEntry, NoTransition, RefusedRow, MendableError, asyncpg.DataError, asyncpg.IntegrityConstraintViolationError,
           asyncpg.InsufficientPrivilegeError)  # fmt: skip

ENTERED, UNCHANGED, REFUSED, NOT_UNDERSTOOD = "entered", "unchanged", "refused", "not understood"


class Reported(msgspec.Struct, frozen=True):
    """What became of a row. `what`: entered, unchanged or refused; `not_understood`: names of its fields that are only kept."""

    row: int
    what: str
    why: str | None = None
    not_understood: list[str] = []


class Report(msgspec.Struct, frozen=True):
    """What an import did, by row. `import_no` None: nothing was changed."""

    import_no: int | None
    counts: dict[str, int]
    rows: list[Reported]


class Source(NamedTuple):
    """`name`: of the file or request. `system`: of rows that do not say. `zone`: of days without a time. `nouns`: what is taken."""

    name: str
    system: str
    zone: ZoneInfo
    nouns: frozenset[str] = IMPORTED


class DryRun(Exception):
    """Rolls back what was only tried."""


def _why(error: Exception) -> str:
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return "the person is not shared with your agency, or the record is closed to you"
    return str(error)[:LONGEST_WHY]


def nobody_looks(_done: int) -> None:
    """For who does not want to know how far it is."""


async def import_rows(
    connection: Connection,
    author: Author,
    rows: Sequence[Mapping[str, Any]],
    source: Source,
    now_ms: int,
    *,
    keeps: bool = True,
    tell: Callable[[int], None] = nobody_looks,
) -> Report:
    """Enter rows, outside of transactions. `keeps` False: only say what would be done; nothing is changed. `tell` how many are
    done."""
    importer = _Importer(connection, author, source, now_ms)
    await importer.begin()
    import_no = None
    if keeps:
        import_no = await connection.fetchval(NEW_IMPORT, source.name[:200], datetime_of(now_ms), author.name)
        for first in range(0, len(rows), SLICE):
            async with connection.transaction():
                told = await importer.slice(rows[first : first + SLICE], first + 1)
                await _keep(connection, import_no, told, rows)
            tell(min(len(rows), first + SLICE))
    else:
        await _only_try(connection, importer, rows, tell)
    counts = Counter(one.what for one in importer.reported)
    counts[NOT_UNDERSTOOD] = sum(bool(one.not_understood) for one in importer.reported)
    return Report(
        import_no, {what: counts[what] for what in (ENTERED, UNCHANGED, REFUSED, NOT_UNDERSTOOD)}, importer.reported
    )


async def _only_try(
    connection: Connection, importer: _Importer, rows: Sequence[Mapping[str, Any]], tell: Callable[[int], None]
) -> None:
    try:
        async with connection.transaction():
            for first in range(0, len(rows), SLICE):
                await importer.slice(rows[first : first + SLICE], first + 1)
                tell(min(len(rows), first + SLICE))
            raise DryRun
    except DryRun:
        return


async def _keep(
    connection: Connection, import_no: int, told: Iterable[Reported], rows: Sequence[Mapping[str, Any]]
) -> None:
    kept = [
        {"row_no": one.row, "what": REFUSED if one.what == REFUSED else NOT_UNDERSTOOD,
         "why": one.why or ", ".join(one.not_understood), "given": _storable(rows[one.row - 1])}
        for one in told
        if one.what == REFUSED or one.not_understood
    ]  # fmt: skip
    if kept:
        await connection.execute(KEEP_ROWS, import_no, kept)


def _storable(row: Mapping[str, Any]) -> dict[str, Any]:
    """As it was given, but for the one character that no text of the database holds."""
    text = (
        msgspec.json.encode({str(name): value for name, value in row.items()}).decode().replace("\\u0000", "\\ufffd")
    )
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


class _Read(NamedTuple):
    """A row that was read, with its number."""

    number: int
    row: Row


class _Importer:
    """One import. What is known of people is kept from slice to slice."""

    def __init__(self, connection: Connection, author: Author, source: Source, now_ms: int) -> None:
        self._connection = connection
        self._author = author
        self._source = source
        self._now_ms = now_ms
        self._by_identifier: dict[tuple[str, str], int] = {}
        self._by_reference: dict[str, int] = {}
        self._ours = OURS
        self.reported: list[Reported] = []

    async def begin(self) -> None:
        """Whom identifiers mean."""
        for row in await self._connection.fetch(KNOWN_IDENTIFIERS):
            for one in row["identifiers"]:
                if one.get("is_valid"):
                    self._by_identifier.setdefault((one["scheme"], one["canonical"]), row["wearer_no"])
        self._ours = await this_deployment(self._connection)

    async def slice(self, given: Sequence[Mapping[str, Any]], first: int) -> list[Reported]:
        """Inside a transaction."""
        read, told = self._read(given, first)
        await take_turn(self._connection)
        told += await self._together(read)
        told.sort(key=lambda one: one.row)
        self.reported += told
        return told

    def _read(self, given: Sequence[Mapping[str, Any]], first: int) -> tuple[list[_Read], list[Reported]]:
        year = datetime_of(self._now_ms).year
        read, told = [], []
        for number, row in enumerate(given, start=first):
            try:
                found = read_row(row, self._source.system, self._source.zone, year)
                content_of_row(found)
                self._refuse_by_noun(found)
                read.append(_Read(number, found))
            except RefusedRow as error:
                told.append(Reported(number, REFUSED, str(error)[:LONGEST_WHY]))
        return read, told

    def _refuse_by_noun(self, row: Row) -> None:
        if row.noun.name not in self._source.nouns:
            raise RefusedRow(f"no {row.noun.name} is taken as a row here; it has its own way in")
        when_ms = row.begin_ms if row.occurred_ms is None else row.occurred_ms
        if row.noun in (GRADE, SIGNAL) and when_ms is not None and when_ms > self._now_ms:
            raise RefusedRow(f"`occurred`: a {row.noun.name} of a time to come; expected one up to now")

    def _known(self) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
        return dict(self._by_identifier), dict(self._by_reference)

    def _forget(self, known: tuple[dict[tuple[str, str], int], dict[str, int]]) -> None:
        """What was learnt since was rolled back."""
        self._by_identifier, self._by_reference = known

    async def _together(self, read: Sequence[_Read]) -> list[Reported]:
        """All at once; if something does not go, in halves, until it is clear which row it is."""
        if not read:
            return []
        known = self._known()
        try:
            async with self._connection.transaction():
                return await self._enter(read)
        except Refusal as error:
            self._forget(known)
            if len(read) == 1:
                return [Reported(read[0].number, REFUSED, _why(error))]
        half = len(read) // 2
        return await self._together(read[:half]) + await self._together(read[half:])

    async def _enter(self, read: Sequence[_Read]) -> list[Reported]:
        """In the order of the file, so that the last of two rows of one item holds; people come first."""
        people = [one for one in read if one.row.noun is PERSON]
        rest = [one for one in read if one.row.noun is not PERSON]
        told = await self._people(people) if people else []
        await self._know({one.row.person for one in rest if one.row.person is not None})
        for one_round in _rounds(rest):
            told += await self._items(one_round)
        return told

    async def _know(self, references: set[str]) -> None:
        unknown = [one for one in references if one not in self._by_reference]
        if unknown:
            rows = await self._connection.fetch(NUMBERS, unknown)
            self._by_reference |= {row["wearer_id"]: row["wearer_no"] for row in rows}

    def _person_of(self, row: Row) -> int | None:
        if row.person is not None:
            return self._by_reference.get(row.person)
        return self._by_valid(row.identifiers)

    def _by_valid(self, identifiers: Iterable[Identifier]) -> int | None:
        found = {
            self._by_identifier.get((str(one.scheme), one.canonical or "")) for one in identifiers if one.is_valid
        } - {None}
        if len(found) > 1:
            raise RefusedRow("its identifiers are of different people on record; merge them, or correct one")
        return next(iter(found), None)

    # -------------------------------------------------------------- people

    async def _people(self, read: Sequence[_Read]) -> list[Reported]:
        await self._know({one.row.person for one in read if one.row.person is not None})
        told: list[Reported] = []
        for one_round in _rounds_of_people(read):
            known = {one.number: self._whose(one.row) for one in one_round}
            new = [one for one in one_round if known[one.number] is None]
            if new:
                await self._add(new)
            numbers = {one.number: known[one.number] or self._by_reference[_reference(one.row)] for one in one_round}
            there = {e.wearer_no: e for e in await load(self._connection, list(numbers.values()), [PERSON])}
            drafts = [
                _person_draft(one.row, numbers[one.number], there.get(numbers[one.number]), self._author)
                for one in one_round
            ]
            told += await self._entered(one_round, drafts)
            for one in one_round:
                for identifier in one.row.identifiers:
                    if identifier.is_valid:
                        self._by_identifier[(str(identifier.scheme), identifier.canonical or "")] = numbers[
                            one.number
                        ]
        return told

    def _whose(self, row: Row) -> int | None:
        by_reference = None if row.person is None else self._by_reference.get(row.person)
        by_identifier = self._by_valid(row.identifiers)
        if by_reference is not None and by_identifier not in (None, by_reference):
            raise RefusedRow("its identifiers are of somebody else on record; merge the two, or correct one")
        if by_reference is None and by_identifier is not None and row.person is not None:
            raise RefusedRow(
                "one of its identifiers is of somebody on record under another reference; merge them, or correct it"
            )
        return by_identifier if by_reference is None else by_reference

    async def _add(self, new: Sequence[_Read]) -> None:
        for one in new:
            if (trouble := unfit_id(_reference(one.row))) is not None:
                raise RefusedRow(f"the reference {_reference(one.row)[:60]!r} cannot be taken: {trouble}")
        names = [one.row.fields.get("name") for one in new]
        rows = await self._connection.fetch(ADD, [_reference(one.row) for one in new], names)
        numbers = {row["reference"]: row["wearer_no"] for row in rows}
        if None in numbers.values():
            raise RefusedRow("the reference is on record, and not shared with you")
        self._by_reference |= numbers
        summaries = {
            numbers[_reference(one.row)]: NOTHING | of_person(msgspec.to_builtins(_new_person(one.row, self._author)))
            for one in new
        }
        await write_summaries(self._connection, summaries, self._author.name, self._now_ms)

    # -------------------------------------------------------------- the rest

    async def _items(self, read: Sequence[_Read]) -> list[Reported]:
        people = {one.number: self._person_of(one.row) for one in read}
        told = [
            Reported(one.number, REFUSED, f"there is nobody {_named(one.row)} on record whom you may see")
            for one in read
            if people[one.number] is None
        ]
        numbers = {number: person for number, person in people.items() if person is not None}
        read = [one for one in read if one.number in numbers]
        former = await self._former(read)
        holding = await load(self._connection, sorted(set(numbers.values())), [STATUS, MEMBERSHIP])
        fit: list[_Read] = []
        drafts: list[list[Draft]] = []
        for one in read:
            key = (one.row.noun.name, one.row.system, one.row.record)
            try:
                some = self._draft(one.row, numbers[one.number], former.get(key), holding)
                for draft in some:
                    check(draft)
                _refuse_overlap(some, holding)
            except MendableError as error:
                told.append(Reported(one.number, REFUSED, _why(error)))
            else:
                fit.append(one)
                drafts.append(some)
        return told + await self._entered(fit, drafts)

    async def _former(self, read: Sequence[_Read]) -> dict[tuple[str, str, str], Entry]:
        asked: dict[tuple[str, str], list[str]] = {}
        for one in read:
            asked.setdefault((one.row.noun.name, one.row.system), []).append(one.row.record)
        found: dict[tuple[str, str, str], Entry] = {}
        for (name, system), records in asked.items():
            noun = next(one.row.noun for one in read if one.row.noun.name == name)
            there = await by_record(self._connection, noun, self._system(system), records)
            if self._system(system) == OURS:
                there |= await items_by_name(self._connection, noun, [one for one in records if one not in there])
            found |= {(name, system, record): entry for record, entry in there.items()}
        return found

    def _system(self, system: str) -> str:
        """What we exported comes back under the name of this deployment, and is ours."""
        return OURS if system == self._ours else system

    def _draft(self, row: Row, wearer_no: int, former: Entry | None, holding: Sequence[Entry]) -> list[Draft]:
        if self._system(row.system) == OURS:
            return [] if former is None else self._next(row, wearer_no, former)
        mine = [entry for entry in holding if entry.wearer_no == wearer_no]
        if row.noun is MEMBERSHIP:
            open_one = next((e for e in mine if e.noun is MEMBERSHIP and e.state == "OPEN"), None)
            if row.code is not None and open_one is not None:
                return []  # registered there, and a member here
            if row.code is not None and former is None and "cohort" not in row.fields:
                raise RefusedRow("a registration IIOM of somebody who is no member yet says the cohort, too")
            if former is None and open_one is not None and row.state == "ENDED":
                former = open_one
        if former is not None:
            return self._next(row, wearer_no, former)
        content = content_of_row(row)
        if row.noun is STATUS and row.end_ms is None and isinstance(content, Status) and row.begin_ms is not None:
            return [
                draft if draft.former is not None else draft._replace(system=row.system, record=row.record)
                for draft in status_drafts(mine, wearer_no, content, row.begin_ms)
            ]
        return [self._new(row, wearer_no)]

    def _new(self, row: Row, wearer_no: int) -> Draft:
        valid = Span(row.begin_ms, row.end_ms) if row.noun.holds and row.begin_ms is not None else None
        occurred_ms = row.occurred_ms
        if row.noun.happens and occurred_ms is None:
            occurred_ms = self._now_ms if row.begin_ms is None else row.begin_ms
        due_ms = row.due_ms if row.due_ms is not None else _usual_due(row, occurred_ms)
        return Draft(
            row.noun, wearer_no, content_of_row(row), row.state or usual_state(row.noun), valid, occurred_ms, due_ms, row.system,
            row.record, row.visibility or Visibility.ALL, row.named or (),
        )  # fmt: skip

    def _next(self, row: Row, wearer_no: int, former: Entry) -> list[Draft]:
        if former.wearer_no != wearer_no:
            raise RefusedRow(f"{row.system} {row.record} is of somebody else on record")
        made = self._new(row, wearer_no)
        keeps_end = row.noun is STATUS or (row.noun.states is not None and row.state is None)
        if keeps_end and row.end_ms is None and former.valid is not None and made.valid is not None:
            made = made._replace(valid=Span(made.valid.begin_ms, former.valid.end_ms))  # the next one ended it
        occurred_ms = former.occurred_ms if row.occurred_ms is None and row.begin_ms is None else made.occurred_ms
        visibility, named = _for_whom(row, former)
        draft = following(
            former, content=made.content, state=row.state or former.state, valid=made.valid if row.noun.holds else None,
            occurred_ms=occurred_ms, due_ms=former.due_ms if row.due_ms is None else row.due_ms, visibility=visibility, named=named,
        )  # fmt: skip
        if draft.says_something_new:
            self._refuse_what_is_not_theirs(former)
            if row.noun is GRADE:
                raise RefusedRow(
                    "a grade that was given stays as it was given; the one that corrects it is a row of its own"
                )
        return [draft]

    def _refuse_what_is_not_theirs(self, former: Entry) -> None:
        if former.system == OURS:
            raise RefusedRow("the service recorded it, out of what it found; no row changes it")
        if former.agency != self._author.agency:
            raise RefusedRow(f"{former.agency or 'the programme itself'} recorded it; only they change it")

    async def _entered(self, read: Sequence[_Read], drafts: Sequence[list[Draft]]) -> list[Reported]:
        every = [draft for some in drafts for draft in some]
        for draft in every:
            check(draft)
        await enter(self._connection, self._author, every, self._now_ms)
        return [
            Reported(
                one.number, ENTERED if any(draft.says_something_new for draft in some) else UNCHANGED, None,
                sorted(one.row.not_understood),
            )
            for one, some in zip(read, drafts, strict=True)
        ]  # fmt: skip


def _rounds(read: Sequence[_Read]) -> list[list[_Read]]:
    """Rows that may be entered at once: no two of one item, and of what holds no two of one person."""
    rounds: list[list[_Read]] = []
    seen: dict[object, int] = {}
    for one in read:
        row = one.row
        keys: list[object] = [(row.noun.name, row.system, row.record)]
        if row.noun in (STATUS, MEMBERSHIP):
            keys.append((row.noun.name, row.person, row.identifiers))
        place = max((seen.get(key, -1) for key in keys), default=-1) + 1
        for key in keys:
            seen[key] = place
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(one)
    return rounds


def _rounds_of_people(read: Sequence[_Read]) -> list[list[_Read]]:
    """Rows of which no two can be of one person."""
    rounds: list[list[_Read]] = []
    seen: dict[object, int] = {}
    for one in read:
        keys = [(str(i.scheme), i.canonical) for i in one.row.identifiers if i.is_valid] + [("", _reference(one.row))]
        place = max(seen.get(key, -1) for key in keys) + 1
        for key in keys:
            seen[key] = place
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(one)
    return rounds


def _named(row: Row) -> str:
    return repr((row.person or "with these identifiers")[:60])


def _reference(row: Row) -> str:
    """Under which somebody new is on record: what was given, or a valid identifier."""
    if row.person is not None:
        return row.person
    return next(one.canonical for one in row.identifiers if one.is_valid and one.canonical).replace("/", "-")


def _new_person(row: Row, author: Author) -> Person:
    content = content_of_row(row)
    assert isinstance(content, Person), "the row is of a person"
    if author.agency is not None and author.agency not in content.agencies:
        return msgspec.structs.replace(content, agencies=[*content.agencies, author.agency])
    return content


def _person_draft(row: Row, wearer_no: int, former: Entry | None, author: Author) -> list[Draft]:
    """What is given replaces what was known; what is not given stays."""
    if former is None:
        return [Draft(PERSON, wearer_no, _new_person(row, author), system=row.system, record=row.record)]
    known = former.content
    assert isinstance(known, Person), "the caller loaded people"
    identifiers = [
        *row.identifiers,
        *(one for one in known.identifiers if one.scheme not in {i.scheme for i in row.identifiers}),
    ]
    content = msgspec.structs.replace(
        known, **row.fields, identifiers=identifiers, not_understood={**known.not_understood, **row.not_understood}
    )
    if set(content.identifiers) == set(known.identifiers):
        content = msgspec.structs.replace(content, identifiers=known.identifiers)
    return [following(former, content=content)]


def content_of_row(row: Row) -> Any:
    """Raises RefusedRow."""
    fields = dict(row.fields)
    noun: Noun = row.noun
    if noun is PERSON:
        fields["identifiers"] = list(row.identifiers)
    elif noun is SIGNAL and "kind" in fields:
        fields.setdefault("direction", Direction.DOWN if SignalKind(fields["kind"]) in DOWN else Direction.UP)
        fields.setdefault("because", str(fields["kind"]).lower().replace("_", " "))
    elif noun is MEMBERSHIP and row.code is not None and "cohort" not in fields:
        fields["cohort"] = "FIXED"
    elif noun is GRADE:
        fields.setdefault("graded_by", row.system)
    elif noun is CONTACT and row.code is not None:
        fields["code"] = row.code
    return content_of(noun, fields, row.not_understood)


async def items_by_name(connection: Connection, noun: Noun, records: Sequence[str]) -> dict[str, Entry]:
    """Items of ours by the names under which they leave."""
    numbers = {
        int(found[1]): record
        for record in records
        if (found := re.fullmatch(rf"{noun.name} ([0-9]{{1,18}})", record))
    }
    if not numbers:
        return {}
    rows = await connection.fetch(BY_NUMBER, noun.name, list(numbers))
    return {numbers[row["item_no"]]: entry_of(row) for row in rows}


def _refuse_overlap(drafts: Sequence[Draft], holding: Sequence[Entry]) -> None:
    """What would be two statuses or memberships at one time, as far as it is known here; the database knows all. Raises
    RefusedRow."""
    changed = {draft.former.item_no for draft in drafts if draft.former is not None}
    for draft in drafts:
        if draft.former is None and draft.valid is not None and draft.noun in (STATUS, MEMBERSHIP):
            for entry in holding:
                is_other = entry.wearer_no == draft.wearer_no and entry.item_no not in changed
                holds = entry.noun is draft.noun and entry.state != "WITHDRAWN"
                if is_other and holds and entry.valid is not None and _meet(entry.valid, draft.valid):
                    raise RefusedRow(
                        f"there would be two {draft.noun.name} entries at one time; end or correct the former"
                    )


def _meet(first: Span, second: Span) -> bool:
    return (first.end_ms is None or second.begin_ms < first.end_ms) and (
        second.end_ms is None or first.begin_ms < second.end_ms
    )


def _for_whom(row: Row, former: Entry) -> tuple[Visibility, tuple[str, ...]]:
    """What a row does not say stays: nothing is opened to more people without being asked for."""
    visibility = row.visibility or former.visibility
    if row.named is not None:
        return visibility, row.named
    return visibility, former.named if visibility is former.visibility else ()


def _usual_due(row: Row, occurred_ms: int | None) -> int | None:
    """When a signal expires, or a grade is looked at again, that does not say it: nothing counts for ever."""
    if occurred_ms is None:
        return None
    if row.noun is SIGNAL:
        return expires(SignalKind(row.fields["kind"]), occurred_ms)
    if row.noun is GRADE:
        return review_due(RagGrade(row.fields["grade"]), REVIEW_DAYS, None, occurred_ms)
    return None


async def this_deployment(connection: Connection) -> str:
    """Under which name what is ours leaves: another deployment takes it for another's."""
    return f"{OURS} {await connection.fetchval(THIS_DEPLOYMENT)}"
