"""The ledger of accumulated violations over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts import LedgerEntry, LineKind, NothingToExcuse, Unsettled, excuse, ledger_of, unsettled_of
from emtrack.clock import Clock
from emtrack.forms.names import unfit_text
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.people import wearer_no_of
from emtrack.web.api.operation import Body, Content, IdInAddress, Instant, Number, Operation, Parameter, served
from emtrack.web.guard import LARGEST_FORM, Problem, answer, looker_of, read_json_body
from geofence import format_instant

MOST_LINES = 1_000
LONGEST_REASON = 1_000


class LineAnswer(msgspec.Struct, frozen=True):
    """A line of the ledger, with the balance of its order after it."""

    finding_no: int
    requirement_id: str
    recorded_at: Instant
    what: LineKind
    amount_s: float
    balance_s: float
    entered_by: str
    why: str


class ProvisionalAnswer(msgspec.Struct, frozen=True):
    """A violation that lasts. `unknown_since`: since when it is not known that it does."""

    finding_no: int
    requirement_id: str
    begin: Instant
    so_far_s: float
    unknown_since: Instant | None


class LedgerAnswer(msgspec.Struct, frozen=True):
    """The newest lines first; `provisional` stands in no balance yet."""

    lines: list[LineAnswer]
    provisional: list[ProvisionalAnswer]


class ExcuseForm(msgspec.Struct, forbid_unknown_fields=True):
    why: Annotated[str, Meta(min_length=1, max_length=LONGEST_REASON)]


class ExcusedAnswer(msgspec.Struct, frozen=True):
    finding_no: int
    excused_by: str


LEDGER = Operation(
    "readLedger", "GET", "/v1/wearers/{wearer_id}/atv", f"The ledger of accumulated violations: its newest {MOST_LINES:,} lines.",
    {200: Content(LedgerAnswer, "The ledger")},
    READERS,
    (Parameter("wearer_id", IdInAddress, "Id of the wearer", "path"),),
    refusals=(404,),
)  # fmt: skip
EXCUSE = Operation(
    "excuseFinding", "POST", "/v1/findings/{finding_no:number}/excuse", "The violation stays found, and counts no longer.",
    {200: Content(ExcusedAnswer, "It counts no longer")},
    ORDER_KEEPERS,
    (Parameter("finding_no", Number, "Number of the finding, from the ledger", "path"),),
    Body(ExcuseForm),
    (404, 409),
)  # fmt: skip


class LedgerRoutes:
    """GET /v1/wearers/{wearer_id}/atv, POST /v1/findings/{finding_no}/excuse."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def routes(self) -> list[Route]:
        pool = self._pool
        return [
            served(pool, LEDGER, self.ledger),
            served(pool, EXCUSE, self.excuse),
        ]

    async def ledger(self, request: Request, caller: Caller) -> Response:
        """The lines of a wearer's ledger, the newest first, each with the balance of its order after it; and what lasts, which stands
        in no balance yet."""
        looker = looker_of(caller)
        async with self._pool.acquire() as connection:
            number = await wearer_no_of(connection, request.path_params["wearer_id"])
            if number is not None:
                await look_at_people(connection, looker, [number], What.FINDINGS, self._clock.now_ms())
            entries = [] if number is None else await ledger_of(connection, number, MOST_LINES)
            unsettled = [] if number is None else await unsettled_of(connection, number)
        if number is None:
            raise Problem(404, f"there is no wearer {request.path_params['wearer_id']!r}")
        now_ms = self._clock.now_ms()
        provisional = [unsettled_line(one, now_ms) for one in unsettled]
        return answer(LedgerAnswer([ledger_line(entry) for entry in entries], provisional))

    async def excuse(self, request: Request, caller: Caller) -> Response:
        """{"why": "…"}: the violation stays found, and counts no longer."""
        try:
            form = msgspec.convert(await read_json_body(request, LARGEST_FORM), ExcuseForm)
        except msgspec.ValidationError as error:
            raise Problem(422, f'{error}; expected {{"why": "…"}}') from error
        number = request.path_params["finding_no"]
        await excuse_finding(self._pool, self._clock, number, caller, form.why)
        return answer(ExcusedAnswer(number, caller.name))


async def excuse_finding(pool: asyncpg.Pool[Any], clock: Clock, finding_no: int, caller: Caller, why: str) -> None:
    """For pages and programs. Raises Problem."""
    if not 0 < len(why.strip()) <= LONGEST_REASON:
        raise Problem(422, "Say in at most 1,000 characters why the violation is excused.")
    if (trouble := unfit_text(why)) is not None:
        raise Problem(422, f"The reason cannot be kept: {trouble}.")
    try:
        async with pool.acquire() as connection, connection.transaction():
            await excuse(connection, finding_no, who=caller.name, why=why.strip(), now_ms=clock.now_ms())
    except NothingToExcuse as error:
        raise Problem(409, f"{error}.") from error


def ledger_line(entry: LedgerEntry) -> LineAnswer:
    """A line as the API gives it."""
    return LineAnswer(
        finding_no=entry.finding_no,
        requirement_id=entry.requirement_id,
        recorded_at=format_instant(entry.recorded_ms),
        what=entry.what,
        amount_s=entry.amount_ms / 1000,
        balance_s=entry.balance_ms / 1000,
        entered_by=entry.entered_by,
        why=entry.why,
    )


def unsettled_line(unsettled: Unsettled, now_ms: int) -> ProvisionalAnswer:
    """A violation that lasts as the API gives it."""
    since_ms = unsettled.unknown_since_ms
    return ProvisionalAnswer(
        finding_no=unsettled.finding_no,
        requirement_id=unsettled.requirement_id,
        begin=format_instant(unsettled.begin_ms),
        so_far_s=unsettled.so_far_ms(now_ms) / 1000,
        unknown_since=None if since_ms is None else format_instant(since_ms),
    )
