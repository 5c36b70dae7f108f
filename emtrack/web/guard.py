"""Who may call what: every route says which roles it is for, and a test walks all routes.

A program sends a token, a person's browser the cookie of a session. What changes something takes more from a browser: the
form key of the session (a field of the form, or the header X-Form-Key) and, where the browser says where the request comes
from, our own origin: another site can make a browser send a cookie, but knows no form key.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

import asyncpg
import msgspec
import structlog
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import machine_ms
from emtrack.db.identity import Identity, ask_as
from emtrack.forms.errors import FormError
from emtrack.forms.json_text import NotJson, encoding_trouble, read_json_text
from emtrack.forms.names import unfit_text
from emtrack.logs import origin_of
from emtrack.people.guesses import source_of_address
from emtrack.people.looks import ALERT, LONGEST_REFERENCE, MONITORING, PURPOSES, SERVICE, Door, Looker
from emtrack.people.roles import Caller, Needs, Role
from emtrack.people.sessions import session_holds_until, session_of
from emtrack.people.tokens import caller_by_token, token_holds_until
from emtrack.reading.apart import Answer, Arguments, Judges, Patience, TookTooLong, TooManyQuestions, Work
from emtrack.web.browsers import session_cookie
from emtrack.web.form_keys import is_key
from geofence import NotAnInstant, parse_instant

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


class NoPurpose(Problem):
    """Somebody looks at people who has not said why."""

    def __init__(self) -> None:
        super().__init__(403, "say first for which purpose you look at people, on the page /shift")


NOT_YOURS = (
    "this concerns somebody who is not shared with your agency, or what your role may not do; nothing was changed"
)
USUAL_PURPOSES = {
    Role.OPERATOR: MONITORING,
    Role.SUPERVISOR: MONITORING,
    Role.OFFICER: "SUPERVISION",
    Role.CONTACT: "SUPERVISION",
    Role.AUDITOR: SERVICE,
    Role.ADMINISTRATOR: SERVICE,
}
"""Of programs that do not say another with the header Purpose."""


class Unfinished(Problem):
    """The person must do something else first."""

    def __init__(self, needs: Needs) -> None:
        super().__init__(403, f"this login is not finished: a {needs} is needed first")
        self.needs = needs


class CredentialState(Protocol):
    """What is known of changes of credentials. `version` grows with each; `is_fresh`: whether that is of now."""

    @property
    def version(self) -> int: ...

    @property
    def is_fresh(self) -> bool: ...


class Hold:
    """Whether the credential of somebody who keeps a connection open still holds: the database is asked when a credential changed,
    when this one would end, and when nobody knows whether one changed."""

    def __init__(self, pool: asyncpg.Pool[Any], caller: Caller, state: CredentialState) -> None:
        self._pool = pool
        self._caller = caller
        self._state = state
        self._version = -1
        self._until_ms = 0.0

    async def lasts(self) -> bool:
        """Raises what the database raises."""
        if self._version == self._state.version and self._state.is_fresh and self.left_s() > 0:
            return True
        version = self._state.version
        ask = token_holds_until if self._caller.form_key is None else session_holds_until
        async with self._pool.acquire() as connection:
            until = await ask(connection, self._caller.credential)
        self._version, self._until_ms = version, 0.0 if until is None else until.timestamp() * 1000
        return until is not None

    def left_s(self) -> float:
        """Seconds until it would end by itself."""
        return (self._until_ms - machine_ms()) / 1000


class ErrorAnswer(msgspec.Struct, frozen=True):
    """What happened, and what to do."""

    error: str


def answer(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, {"Cache-Control": "no-store"}, "application/json")


def guarded(
    pool: asyncpg.Pool[Any],
    path: str,
    endpoint: Endpoint,
    roles: frozenset[Role],
    method: str = "GET",
    *,
    is_used: bool = True,
) -> Route:
    """A route that answers in JSON, for callers of one of the roles. 401 without a token or session, 403 with another. `is_used`:
    people ask; what a page asks by itself keeps no session alive."""

    @functools.wraps(endpoint)
    async def checked(request: Request) -> Response:
        try:
            caller = await caller_of(request, pool, roles, is_used=is_used)
            if caller.form_key is not None and comes_from_elsewhere(request):
                raise Problem(403, "another site asks for this; open it from a page of the service")
            return await endpoint(request, caller)
        except Problem as problem:
            response = answer(ErrorAnswer(str(problem)), problem.status)
            response.headers.update(problem.headers)
            if problem.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        except asyncpg.InsufficientPrivilegeError:
            return answer(ErrorAnswer(NOT_YOURS), 403)
        except asyncpg.DataError:
            return answer(ErrorAnswer("a number or a text is not one that can be kept; correct it"), 422)
        except DATABASE_ERRORS:
            response = answer(ErrorAnswer("the database does not answer; try again"), 503)
            response.headers["Retry-After"] = "5"
            return response
        except Exception as error:
            log_fault(error, path)
            return answer(ErrorAnswer("a fault of the service; it is in its log"), 500)

    checked.roles = roles  # type: ignore[attr-defined]
    return route_without_head(path, checked, [method])


def route_without_head(
    path: str, endpoint: Callable[[Request], Awaitable[Response]], methods: Sequence[str]
) -> Route:
    """Who asks with HEAD learns nothing, so that nothing has to be put on record: 405."""
    route = Route(path, endpoint, methods=list(methods))
    assert route.methods is not None, "they are given"
    route.methods.discard("HEAD")
    return route


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
        return await judges.ask(identity_of(caller), patience, work, *arguments, **named)
    except TooManyQuestions as error:
        raise Problem(429, str(error), retry_after_s=2) from error
    except TookTooLong as error:
        raise Problem(422, str(error)) from error


def log_fault(error: Exception, path: str) -> None:
    """Where it happened, and nothing of what was asked for: that may name people."""
    log.error("request failed", path=path, error=type(error).__name__, where=origin_of(error).line)


def route_of(request: Request) -> str:
    """Its path with names in the place of what was asked for: that may name people."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "unknown"))


async def caller_of(
    request: Request,
    pool: asyncpg.Pool[Any],
    roles: frozenset[Role],
    serves: frozenset[Needs] = frozenset(),
    *,
    is_used: bool = True,
) -> Caller:
    """Who calls, if they may. `serves`: what may still be needed of a person. `is_used`: a person asks, and no page by itself.
    Raises Problem."""
    caller = await _by_token(request, pool) or await _by_session(request, pool, is_used=is_used)
    if caller is None:
        raise Problem(
            401,
            "no token that is known, and no session; send Authorization: Bearer TOKEN (`emtrack tokens add` makes one)",
        )
    if caller.role not in roles:
        # The route and the role; who asked and for whom stays out of logs.
        log.warning("refused", role=str(caller.role), method=request.method, route=route_of(request))
        raise Problem(403, f"this is for {' or '.join(sorted(roles))}; {caller.name!r} is of {caller.role}")
    if caller.needs is not None and caller.needs not in serves:
        raise Unfinished(caller.needs)
    ask_as(identity_of(caller))
    if caller.form_key is None:
        return _with_purpose(request, caller)
    if request.method != "GET":
        await _refuse_foreign_form(request, caller.form_key)
    return caller


def identity_of(caller: Caller) -> Identity:
    """For whom the database is asked."""
    return Identity(caller.name, str(caller.role), caller.agency)


def _with_purpose(request: Request, caller: Caller) -> Caller:
    """A program may say for which purpose it reads, and what that refers to. Raises Problem."""
    purpose = request.headers.get("purpose") or USUAL_PURPOSES[caller.role]
    if purpose not in PURPOSES or purpose == ALERT:
        expected = ", ".join(name for name in PURPOSES if name != ALERT)
        raise Problem(400, f"the header Purpose is {purpose[:60]!r}; expected {expected}")
    reference = (request.headers.get("purpose-reference") or "").strip()[:LONGEST_REFERENCE] or None
    if reference is not None and (trouble := unfit_text(reference)) is not None:
        raise Problem(400, f"the header Purpose-Reference cannot be kept: {trouble}")
    return caller._replace(purpose=purpose, reference=reference)


def looker_of(caller: Caller) -> Looker:
    """Who looks at people, and why. Raises NoPurpose."""
    if caller.purpose is None:
        raise NoPurpose
    return Looker(caller.name, str(caller.role), door_of(caller), caller.purpose, caller.reference)


def door_of(caller: Caller) -> Door:
    return Door.PROGRAM if caller.form_key is None else Door.PAGE


def comes_from_elsewhere(request: Request) -> bool:
    """Whether another site made the browser ask, or the browser asks before the person did: no look may come of that."""
    fetched_by, because = request.headers.get("sec-fetch-site", ""), request.headers.get("sec-purpose", "")
    return fetched_by == "cross-site" or "prefetch" in because


async def _by_token(request: Request, pool: asyncpg.Pool[Any]) -> Caller | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    async with pool.acquire() as connection:
        return await caller_by_token(connection, token.strip())


async def _by_session(request: Request, pool: asyncpg.Pool[Any], *, is_used: bool) -> Caller | None:
    cookie = session_cookie(request)
    if cookie is None:
        return None
    async with pool.acquire() as connection:
        return await session_of(connection, cookie, is_used=is_used)


async def _refuse_foreign_form(request: Request, form_key: str) -> None:
    refuse_foreign_origin(request)
    sent = request.headers.get("x-form-key")
    if sent is None:
        sent = (await read_form(request)).get(FORM_KEY, "")
    if not is_key(sent, form_key):
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
