"""GET /v1/log/head: the newest signed head of the log, for everybody. It says nothing of anybody."""

from __future__ import annotations

from typing import Any

import asyncpg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.sealing.store import last_head
from emtrack.web.api.operation import NOBODY, Content, Operation
from emtrack.web.guard import DATABASE_ERRORS, answer, route_without_head

HEAD = Operation(
    "readLogHead",
    "GET",
    "/v1/log/head",
    "The newest signed head of the log, a signed note. It says nothing of anybody.",
    {200: Content(str, "The note", ("text/plain",))},
    refusals=(503,),
    credential=NOBODY,
)


def log_routes(pool: asyncpg.Pool[Any]) -> list[Route]:
    """503 until there is a head."""

    async def head(_: Request) -> Response:
        try:
            async with pool.acquire() as connection:
                found = await last_head(connection)
        except DATABASE_ERRORS:
            found = None
        if found is None:
            response = answer({"error": "no head of the log is signed yet; ask again"}, 503)
            response.headers["Retry-After"] = "5"
            return response
        return Response(found.note, 200, {"Cache-Control": "no-store"}, "text/plain; charset=utf-8")

    return [route_without_head(HEAD.path, head, ["GET"])]
