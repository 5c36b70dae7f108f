"""The ledger of accumulated violations over HTTP."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts import LedgerEntry, NothingToExcuse, Unsettled, excuse, ledger_of, unsettled_of
from emtrack.clock import Clock
from emtrack.forms.names import unfit_text
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.people import wearer_no_of
from emtrack.web.guard import LARGEST_FORM, Problem, answer, guarded, looker_of, read_json_body
from geofence import format_instant

MOST_LINES = 1_000
LONGEST_REASON = 1_000


class LedgerRoutes:
    """GET /v1/wearers/{wearer_id}/atv, POST /v1/findings/{finding_no}/excuse."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def routes(self) -> list[Route]:
        pool = self._pool
        return [
            guarded(pool, "/v1/wearers/{wearer_id}/atv", self.ledger, READERS),
            guarded(pool, "/v1/findings/{finding_no:number}/excuse", self.excuse, ORDER_KEEPERS, "POST"),
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
        return answer({"lines": [ledger_line(entry) for entry in entries], "provisional": provisional})

    async def excuse(self, request: Request, caller: Caller) -> Response:
        """{"why": "…"}: the violation stays found, and counts no longer."""
        try:
            body = msgspec.convert(await read_json_body(request, LARGEST_FORM), dict[str, str])
        except msgspec.ValidationError as error:
            raise Problem(422, f'{error}; expected {{"why": "…"}}') from error
        number = request.path_params["finding_no"]
        await excuse_finding(self._pool, self._clock, number, caller, body.get("why", ""))
        return answer({"finding_no": number, "excused_by": caller.name})


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


def ledger_line(entry: LedgerEntry) -> dict[str, Any]:
    """A line as the API gives it."""
    return {
        "finding_no": entry.finding_no,
        "requirement_id": entry.requirement_id,
        "recorded_at": format_instant(entry.recorded_ms),
        "what": str(entry.what),
        "amount_s": entry.amount_ms / 1000,
        "balance_s": entry.balance_ms / 1000,
        "entered_by": entry.entered_by,
        "why": entry.why,
    }


def unsettled_line(unsettled: Unsettled, now_ms: int) -> dict[str, Any]:
    """A violation that lasts as the API gives it."""
    since_ms = unsettled.unknown_since_ms
    return {
        "finding_no": unsettled.finding_no,
        "requirement_id": unsettled.requirement_id,
        "begin": format_instant(unsettled.begin_ms),
        "so_far_s": unsettled.so_far_ms(now_ms) / 1000,
        "unknown_since": None if since_ms is None else format_instant(since_ms),
    }
