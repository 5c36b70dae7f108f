"""Findings over HTTP, in the form of `evaluate`: a line of JSON each."""

from __future__ import annotations

from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.people.roles import READERS, Caller
from emtrack.reading.findings import findings_as_lines, look_at_findings
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.web.guard import Problem, guarded, looker_of, read_instant


def finding_routes(pool: asyncpg.Pool[Any], clock: Clock, zone_sets: ZoneSetCache) -> list[Route]:
    """GET /v1/findings?as_known_at=T&until=T&wearer=W."""

    async def findings(request: Request, caller: Caller) -> Response:
        query = request.query_params
        known_ms, until_ms = read_instant(query.get("as_known_at")), read_instant(query.get("until"))
        if until_ms is not None and query.get("wearer") is None:
            raise Problem(400, "until judges whole histories again; name a wearer, or use `emtrack findings --until`")
        looker = looker_of(caller)
        async with pool.acquire() as connection:
            await look_at_findings(connection, looker, query.get("wearer"), clock.now_ms())
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                lines = await findings_as_lines(
                    connection, clock.now_ms(), known_ms, until_ms, query.get("wearer"), zone_sets
                )
        return Response(b"".join(lines), 200, {"Cache-Control": "no-store"}, "application/x-ndjson")

    return [guarded(pool, "/v1/findings", findings, READERS)]
