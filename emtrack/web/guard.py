"""Who may call what: every route says which roles it is for, and a test walks all routes."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, NamedTuple

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.http import key_hash


class Role(StrEnum):
    OPERATOR = "operator"
    OFFICER = "officer"
    ADMINISTRATOR = "administrator"


EVERYBODY = frozenset(Role)
STAFF = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})


class Caller(NamedTuple):
    """Who calls, by the name of the token."""

    name: str
    role: Role


Endpoint = Callable[[Request, Caller], Awaitable[Response]]
TOKEN = "SELECT name, role FROM tokens WHERE token_hash = $1 AND revoked_at IS NULL"
NEW_TOKEN = "INSERT INTO tokens (token_hash, name, role, added_at, added_by) VALUES ($1, $2, $3, $4, $5)"


class Problem(Exception):
    """An answer that is not 200. The message says what happened and what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answer(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, {"Cache-Control": "no-store"}, "application/json")


def guarded(
    pool: asyncpg.Pool[Any], path: str, endpoint: Endpoint, roles: frozenset[Role], method: str = "GET"
) -> Route:
    """A route for callers with a token of one of the roles. 401 without one, 403 with another."""

    @functools.wraps(endpoint)
    async def checked(request: Request) -> Response:
        try:
            return await endpoint(request, await _caller(request, pool, roles))
        except Problem as problem:
            response = answer({"error": str(problem)}, problem.status)
            if problem.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            response = answer({"error": "the database does not answer; try again"}, 503)
            response.headers["Retry-After"] = "5"
            return response

    checked.roles = roles  # type: ignore[attr-defined]
    return Route(path, checked, methods=[method])


async def _caller(request: Request, pool: asyncpg.Pool[Any], roles: frozenset[Role]) -> Caller:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    row = await pool.fetchrow(TOKEN, key_hash(token.strip())) if scheme.lower() == "bearer" else None
    if row is None:
        raise Problem(
            401, "no token that is known; send Authorization: Bearer TOKEN (`emtrack tokens add` makes one)"
        )
    caller = Caller(row["name"], Role(row["role"]))
    if caller.role not in roles:
        raise Problem(403, f"this is for {' or '.join(sorted(roles))}; the token {caller.name!r} is of {caller.role}")
    return caller
