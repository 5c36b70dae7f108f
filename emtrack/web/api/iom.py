"""The programme's record over HTTP: rows in, what changed out, the cohort in order, a person, and grades that people give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.errors import MendableError
from emtrack.forms.iom import RagGrade
from emtrack.forms.names import unfit_text
from emtrack.iom.entries import Author, Entry, SomebodyWasFaster, entries_after, last_entry
from emtrack.iom.exporting import RowsOfPeople, exported_rows, rows_after
from emtrack.iom.grades import GRADE as GRADE_NOUN
from emtrack.iom.grading import Answer, decide_against, give_grade
from emtrack.iom.importing import Report, Source, import_rows
from emtrack.iom.register import NOUNS
from emtrack.iom.rows import IMPORTED
from emtrack.people.looks import What, look_at_everybody, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.iom import Chronology, CohortRow, Wanted, chronology, cohort
from emtrack.reading.iom_seldom import SeldomCache
from emtrack.reading.people import wearer_no_of
from emtrack.record.deployment_settings import load_settings
from emtrack.web.api.operation import Body, Content, IdInAddress, Instant, Number, Operation, Parameter, served
from emtrack.web.guard import LATEST_MS, Problem, answer, looker_of, read_instant, read_json_body, read_number
from geofence import format_instant

LARGEST: Final = 4 * 1024 * 1024
MOST_ROWS: Final = 500
MOST_CHANGES: Final = 500
ENOUGH_ROWS: Final = 1_000
LONGEST_WHY: Final = 2_000

WRITERS: Final = ORDER_KEEPERS
"""Staff of the centre read the record; agencies write it."""
Given = dict[str, Any]
Why = Annotated[str, Meta(min_length=1, max_length=LONGEST_WHY)]


class RowsForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`system`: where rows come from that do not say it. `dry_run`: only say what would become of them."""

    rows: Annotated[list[Given], Meta(min_length=1, max_length=MOST_ROWS)]
    system: Annotated[str, Meta(min_length=1, max_length=200)] = "program"
    dry_run: bool = False


class GradeForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`why`: needed where it follows from no proposal. `proposal`: the item that it answers. `at_review`: it is decided at one."""

    grade: RagGrade
    why: Why | None = None
    proposal: Number | None = None
    at_review: bool = False


class AgainstForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    why: Why


class EntryAnswer(msgspec.Struct, frozen=True):
    """A version of an item."""

    entry: int
    item: int
    version: int
    noun: str
    person: int | None
    state: str | None
    content: Given
    valid_from: str | None
    valid_to: str | None
    occurred: str | None
    due: str | None
    recorded: str
    recorded_by: str
    agency: str | None
    system: str | None
    record: str | None
    visibility: str
    named: list[str]


class ChangesAnswer(msgspec.Struct, frozen=True):
    """`next`: for `after` of the next question; it is the one that was asked for where nothing is new."""

    entries: list[EntryAnswer]
    next: int


class HandedOut(msgspec.Struct, frozen=True):
    """`next`: for `after` of the next question; null: these are the last. `changes_after`: for `after` of `listIomChanges`, so that
    whoever took all rows hears what changed since the first."""

    rows: list[Given]
    next: str | None
    changes_after: int


class CohortAnswer(msgspec.Struct, frozen=True):
    """In order."""

    people: list[CohortRow]


PERSON = Parameter("reference", IdInAddress, "Reference of the person", "path")
ROWS = Operation(
    "importIomRows", "POST", "/v1/iom/rows",
    f"Rows of another system into the record of the programme, as `emtrack iom import` takes them; at most {MOST_ROWS} of them and "
    f"{LARGEST >> 20} MiB. The same rows again change nothing; one that does not fit is refused by itself. "
    "Grades are given one by one (`giveIomGrade`).",
    {200: Content(Report, "What became of each row")}, WRITERS, body=Body(RowsForm),
)  # fmt: skip
OUT = Operation(
    "exportIomRows", "GET", "/v1/iom/rows",
    "The record of the programme as rows that `importIomRows` and `emtrack iom import` take, with registrations and contacts in the "
    f"codes of probation systems: of whole people, in the order of their references, until there are {ENOUGH_ROWS:,} or more. Only "
    "what the caller may see.",
    {200: Content(HandedOut, "Rows")}, READERS,
    (
        Parameter("after", IdInAddress, "Only people after this reference: `next` of the answer before; left out: from the first"),
        Parameter("person", IdInAddress, "Only this person, by reference"),
    ),
    refusals=(404,),
)  # fmt: skip
CHANGES = Operation(
    "listIomChanges", "GET", "/v1/iom/changes",
    f"What was entered into the record of the programme after an entry, in order, at most {MOST_CHANGES}; nothing is missed, "
    "and nothing comes twice. Only what the caller may see.",
    {200: Content(ChangesAnswer, "Entries")}, READERS,
    (Parameter("after", Number, "Number of the last entry that was seen; left out: from the first"),),
)  # fmt: skip
COHORT = Operation(
    "listIomCohort", "GET", "/v1/iom/cohort",
    "Everybody in the programme whom the caller may see, in the order of the queue of people, each with the reason.",
    {200: Content(CohortAnswer, "People")}, READERS,
    tuple(
        Parameter(name, str, f"Only those of this {name}") for name in ("cohort", "grade", "agency", "officer", "status")
    ),
)  # fmt: skip
RECORD = Operation(
    "readIomPerson", "GET", "/v1/iom/people/{reference}", "The chronology of a person, the newest first.",
    {200: Content(Chronology, "Lines")}, READERS,
    (
        PERSON,
        Parameter("as_known_at", Instant, "As it was known at that instant; left out: now"),
        Parameter("before_ms", Number, "Only what lies before, in milliseconds since 1970; as the answer before gave it"),
        Parameter("nouns", str, "Only these, parted by commas; `finding` is one of them"),
    ),
    refusals=(404,),
)  # fmt: skip
GRADE = Operation(
    "giveIomGrade", "POST", "/v1/iom/people/{reference}/grades",
    "A grade that a person gives; it answers the proposal that is open.",
    {200: Content(EntryAnswer, "The grade")}, WRITERS, (PERSON,), Body(GradeForm), (404, 409),
)  # fmt: skip
AGAINST = Operation(
    "decideAgainstIomProposal", "POST", "/v1/iom/proposals/{item_no:number}/against",
    "The grade that is held stays, for a reason; the proposal and the reason are kept.",
    {200: Content(EntryAnswer, "The proposal")}, WRITERS,
    (Parameter("item_no", Number, "Number of the proposal", "path"),), Body(AgainstForm), (404, 409),
)  # fmt: skip


class IomRoutes:
    """Everything under /v1/iom."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock, seldom: SeldomCache) -> None:
        self._pool = pool
        self._seldom = seldom
        self._clock = clock

    def routes(self) -> list[Route]:
        pairs: list[tuple[Operation, Callable[[Request, Caller], Any]]] = [
            (ROWS, self.rows), (OUT, self.handed_out), (CHANGES, self.changes), (COHORT, self.cohort),
            (RECORD, self.person), (GRADE, self.grade), (AGAINST, self.against),
        ]  # fmt: skip
        return [served(self._pool, operation, endpoint) for operation, endpoint in pairs]

    async def rows(self, request: Request, caller: Caller) -> Response:
        """In slices with a transaction each, as of a file."""
        form = _read(await read_json_body(request, LARGEST), RowsForm)
        if (trouble := unfit_text(form.system)) is not None:
            raise Problem(422, f"system: {trouble}")
        async with self._pool.acquire() as connection:
            now_ms = self._clock.now_ms()
            zone, _ = await load_settings(connection, now_ms)
            source = Source("POST /v1/iom/rows", form.system, ZoneInfo(zone), IMPORTED - {GRADE_NOUN.name})
            report = await import_rows(
                connection, author_of(caller), form.rows, source, now_ms, keeps=not form.dry_run
            )
        return answer(report)

    async def handed_out(self, request: Request, caller: Caller) -> Response:
        """Of one person, or of a few whole people after another."""
        query = request.query_params
        reference, looker, now_ms = query.get("person"), looker_of(caller), self._clock.now_ms()
        async with self._pool.acquire() as connection:
            if reference is None:
                await look_at_everybody(connection, looker, What.EXPORT, now_ms)
            else:
                wearer_no = await self._known(connection, reference)
                await look_at_people(connection, looker, [wearer_no], What.EXPORT, now_ms)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                last_no = await last_entry(connection)
                if reference is None:
                    found = await rows_after(connection, query.get("after"), ENOUGH_ROWS)
                else:
                    found = RowsOfPeople([row async for row in exported_rows(connection, reference)], None)
        return answer(HandedOut(found.rows, found.last, last_no))

    async def changes(self, request: Request, caller: Caller) -> Response:
        after = read_number(request.query_params.get("after")) or 0
        looker = looker_of(caller)
        async with self._pool.acquire() as connection:
            await look_at_everybody(connection, looker, What.IOM_RECORD, self._clock.now_ms())
            entries = await entries_after(connection, after, MOST_CHANGES)
        return answer(
            ChangesAnswer([answer_of(entry) for entry in entries], entries[-1].entry_no if entries else after)
        )

    async def cohort(self, request: Request, caller: Caller) -> Response:
        asked = {one.name: request.query_params.get(one.name) or None for one in COHORT.parameters}
        looker, now_ms = looker_of(caller), self._clock.now_ms()
        async with self._pool.acquire() as connection:
            await look_at_everybody(connection, looker, What.IOM_RECORD, now_ms)
            people = await cohort(connection, self._seldom, now_ms, Wanted(**asked))
        return answer(CohortAnswer(people))

    async def person(self, request: Request, caller: Caller) -> Response:
        query = request.query_params
        known_ms, before_ms = read_instant(query.get("as_known_at")), read_number(query.get("before_ms"))
        nouns = _nouns(query.get("nouns"))
        looker, now_ms = looker_of(caller), self._clock.now_ms()
        async with self._pool.acquire() as connection:
            wearer_no = await self._person(connection, request)
            await look_at_people(connection, looker, [wearer_no], What.IOM_RECORD, now_ms)
            last_ms = LATEST_MS if before_ms is None else min(before_ms, LATEST_MS)
            found = await chronology(connection, wearer_no, last_ms, known_ms, nouns)
        return answer(found)

    async def grade(self, request: Request, caller: Caller) -> Response:
        form = _read(await read_json_body(request, LARGEST), GradeForm)
        given = Answer(form.grade, _words(form.why), form.proposal, form.at_review)
        async with self._pool.acquire() as connection:
            wearer_no = await self._person(connection, request)
            with mending():
                async with connection.transaction():
                    entry = await give_grade(connection, author_of(caller), wearer_no, given, self._clock.now_ms())
        return answer(answer_of(entry))

    async def against(self, request: Request, caller: Caller) -> Response:
        form = _read(await read_json_body(request, LARGEST), AgainstForm)
        item_no = request.path_params["item_no"]
        why = _words(form.why) or ""
        with mending():
            async with self._pool.acquire() as connection, connection.transaction():
                entry = await decide_against(connection, author_of(caller), item_no, why, self._clock.now_ms())
        return answer(answer_of(entry))

    async def _person(self, connection: Any, request: Request) -> int:
        return await self._known(connection, request.path_params["reference"])

    async def _known(self, connection: Any, reference: str) -> int:
        wearer_no = await wearer_no_of(connection, reference)
        if wearer_no is None:
            raise Problem(404, f"there is nobody {reference[:60]!r} on record")
        return wearer_no


@contextmanager
def mending() -> Iterator[None]:
    """What can be mended becomes an answer that says how."""
    try:
        yield
    except SomebodyWasFaster as error:
        raise Problem(409, str(error)) from error
    except MendableError as error:
        raise Problem(422, str(error)) from error


def author_of(caller: Caller) -> Author:
    return Author(caller.name, caller.agency)


def _read(body: Any, form: Any) -> Any:
    try:
        return msgspec.convert(body, form)
    except msgspec.ValidationError as error:
        raise Problem(422, str(error)) from error


def _words(text: str | None) -> str | None:
    if text is None or not text.strip():
        return None
    if (trouble := unfit_text(text)) is not None:
        raise Problem(422, f"why: {trouble}")
    return text.strip()


def _nouns(text: str | None) -> frozenset[str] | None:
    if not text:
        return None
    found = frozenset(one.strip() for one in text.split(","))
    if unknown := found - {*NOUNS, "finding"}:
        raise Problem(422, f"nouns: {min(unknown)[:60]!r}; expected finding, {', '.join(sorted(NOUNS))}")
    return found


def answer_of(entry: Entry) -> EntryAnswer:
    def told(at_ms: int | None) -> str | None:
        return None if at_ms is None else format_instant(at_ms)

    valid = entry.valid
    return EntryAnswer(
        entry.entry_no, entry.item_no, entry.version, entry.noun.name, entry.wearer_no, entry.state,
        msgspec.to_builtins(entry.content), None if valid is None else told(valid.begin_ms), None if valid is None else
        told(valid.end_ms), told(entry.occurred_ms), told(entry.due_ms), format_instant(entry.recorded_ms), entry.recorded_by,
        entry.agency, entry.system, entry.record, str(entry.visibility), list(entry.named),
    )  # fmt: skip
