"""Findings over HTTP, in the form of `evaluate`: a line of JSON each."""

from __future__ import annotations

from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.forms.lines import FindingLine
from emtrack.people.roles import READERS, Caller
from emtrack.reading.apart import Judges, Patience
from emtrack.reading.findings import FarUntil, look_at_findings, refuse_far_until
from emtrack.web.api.operation import Content, Instant, Operation, Parameter, served
from emtrack.web.guard import Problem, asked, looker_of, read_instant
from emtrack.web.judged import lines_of_findings

LINES = "application/x-ndjson"
FINDINGS = Operation(
    "listFindings", "GET", "/v1/findings",
    "Findings, a line of JSON each, as of `emtrack findings`. One question of a caller at a time.",
    {200: Content(str, "Lines, sorted by wearer, begin and kind", (LINES,), FindingLine)},
    READERS,
    (
        Parameter("as_known_at", Instant, "As they were known at that instant, in the years 1900 to 2199; left out: now"),
        Parameter("until", Instant, "Judged up to then, at most 31 days ahead; takes a wearer"),
        Parameter("wearer", str, "Id of a wearer; left out: all"),
    ),
    refusals=(429,),
)  # fmt: skip


def finding_routes(pool: asyncpg.Pool[Any], clock: Clock, judges: Judges) -> list[Route]:
    """GET /v1/findings?as_known_at=T&until=T&wearer=W."""

    async def findings(request: Request, caller: Caller) -> Response:
        query = request.query_params
        now_ms = clock.now_ms()
        known_ms, until_ms = read_instant(query.get("as_known_at")), read_instant(query.get("until"))
        if until_ms is not None and query.get("wearer") is None:
            raise Problem(400, "until judges whole histories again; name a wearer, or use `emtrack findings --until`")
        try:
            refuse_far_until(until_ms, now_ms)
        except FarUntil as error:
            raise Problem(422, str(error)) from error
        looker = looker_of(caller)
        async with pool.acquire() as connection:  # given back before the question: the look is committed by then
            await look_at_findings(connection, looker, query.get("wearer"), now_ms)
        wanted = (now_ms, known_ms, until_ms, query.get("wearer"))
        body = await asked(judges, caller, Patience.PROGRAM, lines_of_findings, *wanted)
        return Response(body, 200, {"Cache-Control": "no-store"}, LINES)

    return [served(pool, FINDINGS, findings)]
