"""Who may call what: every route says which roles it is for, and a test walks all routes.

A program sends a token, a person's browser the cookie of a session. What changes something takes more from a browser: the
form key of the session (a field of the form, or the header X-Form-Key) and, where the browser says where the request comes
from, our own origin: another site can make a browser send a cookie, but knows no form key.
"""

from __future__ import annotations

import functools
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
import structlog
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.forms.errors import FormError
from emtrack.forms.json_text import NotJson, encoding_trouble, read_json_text
from emtrack.logs import origin_of
from emtrack.people.accounts import session_of
from emtrack.people.guesses import source_of_address
from emtrack.people.roles import Caller, Role
from emtrack.people.tokens import caller_by_token
from emtrack.reading.apart import Answer, Arguments, Judges, Patience, TookTooLong, TooManyQuestions, Work
from geofence import NotAnInstant, parse_instant

COOKIE = "emtrack_session"
FORM_KEY = "form_key"
LARGEST_FORM = 64 * 1024
EARLIEST_MS, LATEST_MS = parse_instant("1900-01-01T00:00:00Z"), parse_instant("2200-01-01T00:00:00Z")
"""Instants that a page or a program may ask for. Every clock shows them, whatever its zone."""

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
DATABASE_ERRORS = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


log = structlog.get_logger()


class NumberConvertor(Convertor[int]):
    """A number in an address, that any column holds: `{alert_no:number}`."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", NumberConvertor())


class Problem(Exception):
    """An answer that is not 200. The message says what happened and what to do. `retry_after_s`: when to ask again, in seconds."""

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}


def answer(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, {"Cache-Control": "no-store"}, "application/json")


def guarded(
    pool: asyncpg.Pool[Any], path: str, endpoint: Endpoint, roles: frozenset[Role], method: str = "GET"
) -> Route:
    """A route that answers in JSON, for callers of one of the roles. 401 without a token or session, 403 with another."""

    @functools.wraps(endpoint)
    async def checked(request: Request) -> Response:
        try:
            return await endpoint(request, await caller_of(request, pool, roles))
        except Problem as problem:
            response = answer({"error": str(problem)}, problem.status)
            response.headers.update(problem.headers)
            if problem.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        except asyncpg.DataError:
            return answer({"error": "a number or a text is not one that can be kept; correct it"}, 422)
        except DATABASE_ERRORS:
            response = answer({"error": "the database does not answer; try again"}, 503)
            response.headers["Retry-After"] = "5"
            return response
        except Exception as error:
            log_fault(error, path)
            return answer({"error": "a fault of the service; it is in its log"}, 500)

    checked.roles = roles  # type: ignore[attr-defined]
    return Route(path, checked, methods=[method])


async def asked(
    judges: Judges,
    caller: Caller,
    patience: Patience,
    work: Work[Arguments, Answer],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Answer:
    """What is judged for a reader. Raises Problem 429 or 422."""
    try:
        return await judges.ask(caller.name, patience, work, *arguments, **named)
    except TooManyQuestions as error:
        raise Problem(429, str(error), retry_after_s=2) from error
    except TookTooLong as error:
        raise Problem(422, str(error)) from error


def log_fault(error: Exception, path: str) -> None:
    """Where it happened, and nothing of what was asked for: that may name people."""
    log.error("request failed", path=path, error=type(error).__name__, where=origin_of(error).line)


async def caller_of(request: Request, pool: asyncpg.Pool[Any], roles: frozenset[Role]) -> Caller:
    """Who calls, if they may. Raises Problem."""
    caller = await _by_token(request, pool) or await _by_session(request, pool)
    if caller is None:
        raise Problem(
            401,
            "no token that is known, and no session; send Authorization: Bearer TOKEN (`emtrack tokens add` makes one)",
        )
    if caller.role not in roles:
        raise Problem(403, f"this is for {' or '.join(sorted(roles))}; {caller.name!r} is of {caller.role}")
    if caller.form_key is not None and request.method not in ("GET", "HEAD"):
        await _refuse_foreign_form(request, caller.form_key)
    return caller


async def _by_token(request: Request, pool: asyncpg.Pool[Any]) -> Caller | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    async with pool.acquire() as connection:
        return await caller_by_token(connection, token.strip())


async def _by_session(request: Request, pool: asyncpg.Pool[Any]) -> Caller | None:
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        return None
    async with pool.acquire() as connection:
        return await session_of(connection, cookie)


async def _refuse_foreign_form(request: Request, form_key: str) -> None:
    refuse_foreign_origin(request)
    sent = request.headers.get("x-form-key")
    if sent is None:
        sent = (await read_form(request)).get(FORM_KEY, "")
    if not secrets.compare_digest(sent.encode(), form_key.encode()):
        raise Problem(403, "this form belongs to a session that has ended; open the page again and repeat it")


def source_of(request: Request) -> str:
    """From where a request comes, as budgets count it. Behind a proxy that is trusted: what the proxy says."""
    return source_of_address("" if request.client is None else request.client.host)


def refuse_foreign_origin(request: Request) -> None:
    """Browsers say from which origin a form is sent. Raises Problem for another than ours."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem(403, "this form was sent by another site")


def refuse_unbounded(request: Request, largest: int) -> None:
    """Only a body of a length that is said beforehand is read, and none that is compressed. Raises Problem."""
    if (trouble := encoding_trouble(request.headers.get("content-encoding"))) is not None:
        raise Problem(415, trouble)
    declared = request.headers.get("content-length", "")
    if not is_count(declared):
        raise Problem(411, "send Content-Length")
    if int(declared) > largest:
        raise Problem(413, f"a body has at most {largest:,} bytes here")


async def read_json_body(request: Request, largest: int) -> Any:
    """What a body of JSON says, whatever content type it names. Raises Problem 400, 411, 413, 415 or 422."""
    refuse_unbounded(request, largest)
    try:
        return read_json_text(await request.body(), "the body")
    except FormError as error:
        raise Problem(400 if isinstance(error, NotJson) else 422, str(error)) from error


async def read_form(request: Request) -> dict[str, str]:
    """Fields of a posted form. Raises Problem, also for a field that comes twice."""
    refuse_unbounded(request, LARGEST_FORM)
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise Problem(415, "a form comes as application/x-www-form-urlencoded")
    form = await request.form()
    names = [name for name, _ in form.multi_items()]
    if len(set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]  # counted once: a form may have ten thousand fields
        raise Problem(400, f"the field {twice[:60]!r} comes twice; send one of them")
    return {name: value for name, value in form.items() if isinstance(value, str)}


def is_count(text: str) -> bool:
    """Whether a text is a number in digits of ASCII that any column holds. `isdigit` alone takes ² and ١."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def read_number(text: str | None) -> int | None:
    """The number of something in a query or form; None where there is none. Raises Problem."""
    if not text:
        return None
    if not is_count(text):
        raise Problem(400, f"{text[:60]!r} is no number; expected digits")
    return int(text)


def read_instant(text: str | None) -> int | None:
    """Milliseconds of an instant in a query or form; None where there is none. Raises Problem."""
    if not text:
        return None
    try:
        instant_ms = parse_instant(text)
    except NotAnInstant as error:
        raise Problem(400, f"{text[:60]!r} cannot be read: {error}") from error
    if not EARLIEST_MS <= instant_ms < LATEST_MS:
        raise Problem(400, f"{text[:60]!r} lies outside the years 1900 to 2199; write another")
    return instant_ms
