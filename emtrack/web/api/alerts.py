"""Alerts over HTTP: the queue, one alert, what people do to it, and a stream that says "changed"."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from alerts import (
    ATV,
    CLOCK,
    HOME_UNIT_SILENT,
    INCIDENT,
    LONGEST_NOTE,
    LONGEST_SUSPENSION_MS,
    MOVES,
    OUTCOMES,
    AlertAnswer,
    AlertFilter,
    BadFeedPosition,
    FeedPosition,
    NoAlert,
    Overtaken,
    Severity,
    StillLasts,
    UnfitAction,
    alert_answer,
    changes_after,
    closed_alerts,
    newest_position,
    open_alerts,
)
from alerts import BadQueuePlace as BadQueuePlace
from emtrack.clock import Clock
from emtrack.people.roles import READERS, STAFF, Caller
from emtrack.web.alert_work import AlertWork, Wish
from emtrack.web.api.operation import Body, Content, Number, Operation, Parameter, served
from emtrack.web.guard import (
    LARGEST_FORM,
    CredentialState,
    Hold,
    Problem,
    answer,
    is_count,
    looker_of,
    read_json_body,
)
from emtrack.web.looking import look_at_alerts, look_at_queue
from geofence import Kind, format_instant

PAGE, LARGEST_PAGE = 100, 1000
ALERT_KINDS = (*map(str, Kind), ATV, CLOCK, INCIDENT, HOME_UNIT_SILENT)
LOOK_S = 1.0
"""The stream looks this often, and at once after a turn of this program."""

STREAMS_OF_ONE, STREAMS = 12, 300
"""That one caller, and all together, may have open."""

ACTION_ERRORS = (UnfitAction, NoAlert, Overtaken)


def problem_of(error: Exception) -> Problem:
    """One of `ACTION_ERRORS` as an answer."""
    if isinstance(error, NoAlert):
        return Problem(404, str(error))
    return Problem(409 if isinstance(error, Overtaken | StillLasts) else 422, str(error))


Action = Annotated[str, Meta(extra_json_schema={"enum": [*MOVES]})]
Outcome = Annotated[str, Meta(extra_json_schema={"enum": [*OUTCOMES]})]
Note = Annotated[str, Meta(extra_json_schema={"maxLength": LONGEST_NOTE})]
Minutes = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": LONGEST_SUSPENSION_MS // 60_000})]


class ActionForm(msgspec.Struct, forbid_unknown_fields=True):
    """What a program does to an alert. Closing takes an outcome and a note; what still goes on is closed too, unless `confirmed` is
    false. A suspension takes `for_minutes`."""

    action: Action
    outcome: Outcome | None = None
    note: Note | None = None
    for_minutes: Minutes | None = None
    confirmed: bool = True


class QueueAnswer(msgspec.Struct, frozen=True):
    """A page of the queue. `next`: after which place the next page begins; null: this one is the last."""

    alerts: list[AlertAnswer]
    next: str | None


class ActedAnswer(msgspec.Struct, frozen=True):
    """What was done to which alert."""

    alert_no: int
    action: str


def _one_of(*names: str) -> Any:
    """A text that the description says to be one of these; the code that takes it says so with words of its own."""
    return Annotated[str, Meta(extra_json_schema={"enum": list(names)})]


QUEUE = Operation(
    "listAlerts", "GET", "/v1/alerts",
    "A page of the queue: what is open, the most urgent first, or what was closed, the newest first.",
    {200: Content(QueueAnswer, "A page")},
    READERS,
    (
        Parameter("state", _one_of("open", "closed"), "Left out: open"),
        Parameter("wearer", str, "Id of a wearer"),
        Parameter("severity", _one_of(*(severity.name.lower() for severity in Severity)), "Left out: all"),
        Parameter("kind", _one_of(*ALERT_KINDS), "Left out: all"),
        Parameter("limit", Annotated[int, Meta(ge=1, le=LARGEST_PAGE)], f"Left out: {PAGE}"),
        Parameter("after", Annotated[str, Meta(pattern=r"^[0-9]+(-[0-9]+)+$")], "`next` of the page before"),
    ),
)  # fmt: skip
STREAM = Operation(
    "followAlerts", "GET", "/v1/alerts/stream",
    f"Server-sent events: which alert changed, never what it says. At most {STREAMS_OF_ONE} of one caller.",
    {200: Content(str, "Events without an end: `changed` with `alert_no` and `what`, `here` with `now`", ("text/event-stream",))},
    READERS,
    (
        Parameter("here", _one_of("yes"), "An event `here` each second, while nothing changes"),
        Parameter("Last-Event-ID", Annotated[str, Meta(pattern="^[ -~]*$")], "The last id that was seen: go on after it", "header"),
    ),
    refusals=(429,),
)  # fmt: skip
ACT = Operation(
    "actOnAlert", "POST", "/v1/alerts/{alert_no:number}/actions",
    f"What is done to an alert, appended with who and when: {', '.join(MOVES)}. Outcomes: {', '.join(OUTCOMES)}.",
    {200: Content(ActedAnswer, "It was done")},
    STAFF,
    (Parameter("alert_no", Number, "Number of the alert", "path"),),
    Body(ActionForm),
    (404, 409),
)  # fmt: skip


class AlertRoutes:
    """GET /v1/alerts, GET /v1/alerts/stream, POST /v1/alerts/{alert_no}/actions."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        work: AlertWork,
        clock: Clock,
        stop: asyncio.Event,
        credentials: CredentialState,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._work = work
        self._stop = stop
        self._credentials = credentials
        self._streams = Counter[str]()

    def routes(self) -> list[Route]:
        return [
            served(self._pool, QUEUE, self.queue),
            served(self._pool, STREAM, self.stream),
            served(self._pool, ACT, self.act),
        ]

    async def queue(self, request: Request, caller: Caller) -> Response:
        """A page of the queue: ?state=open|closed, wearer, severity, kind, limit, after (from `next` of the page before)."""
        query = request.query_params
        limit = _limit(query.get("limit"))
        wanted = AlertFilter(query.get("wearer"), read_severity(query.get("severity")), read_kind(query.get("kind")))
        read = open_alerts if _is_open(query.get("state", "open")) else closed_alerts
        looker, now_ms = looker_of(caller), self._clock.now_ms()
        try:
            async with self._pool.acquire() as connection:
                await look_at_queue(connection, looker, now_ms)
                page = await read(connection, wanted, query.get("after"), limit)
                await look_at_alerts(connection, looker, page, now_ms)
        except BadQueuePlace as error:
            raise Problem(400, str(error)) from error
        following = page[-1].place if len(page) == limit else None
        return answer(QueueAnswer([alert_answer(alert) for alert in page], following))

    async def act(self, request: Request, caller: Caller) -> Response:
        """Acknowledge, note or close: an appended record with who and when."""
        form = _action_form(await read_json_body(request, LARGEST_FORM))
        number = request.path_params["alert_no"]
        try:
            wish = Wish(form.action, form.outcome, form.note, form.for_minutes, form.confirmed)
            await self._work.act(number, caller, wish)
        except ACTION_ERRORS as error:
            raise problem_of(error) from error
        return answer(ActedAnswer(number, form.action))

    async def stream(self, request: Request, caller: Caller) -> Response:
        """Server-sent events: which alert changed, never what it says. Goes on after Last-Event-ID, and ends when the credential of
        its reader does. With ?here=yes it says with events, not comments, that it is still there, and what time it is. 429 to who
        has many open: each asks the database every second."""
        if self._streams[caller.name] >= STREAMS_OF_ONE or self._streams.total() >= STREAMS:
            raise Problem(429, "too many streams are open; close one, then open another", retry_after_s=30)
        last = request.headers.get("last-event-id")
        try:
            position = FeedPosition.read(last) if last else await here_of(self._pool)
        except BadFeedPosition as error:
            raise Problem(400, str(error)) from error
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        here = self._here_event if request.query_params.get("here") else _here_comment
        events = self._counted(caller, position, here)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def _counted(
        self, caller: Caller, position: FeedPosition, still_here: Callable[[], str]
    ) -> AsyncIterator[str]:
        self._streams[caller.name] += 1
        try:
            async for event in self._events(position, Hold(self._pool, caller, self._credentials), still_here):
                yield event
        finally:
            self._streams[caller.name] -= 1
            if not self._streams[caller.name]:
                del self._streams[caller.name]

    def _here_event(self) -> str:
        now = msgspec.json.encode({"now": format_instant(self._clock.now_ms())}).decode()
        return f"event: here\ndata: {now}\n\n"

    async def _events(self, position: FeedPosition, hold: Hold, still_here: Callable[[], str]) -> AsyncIterator[str]:
        yield f"retry: 2000\nid: {position}\n\n"
        while not self._stop.is_set():
            try:
                if not await hold.lasts():
                    return
                async with self._pool.acquire() as connection:
                    found = await changes_after(connection, position)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return  # the reader comes again with its last id
            for change in found:
                position = change.position
                data = msgspec.json.encode({"alert_no": change.alert_no, "what": change.what}).decode()
                yield f"id: {position}\nevent: changed\ndata: {data}\n\n"
            if not found:
                yield still_here()
                await self._work.wait_for_change(min(LOOK_S, max(hold.left_s(), 0)))


def _here_comment() -> str:
    return ": still here\n\n"


async def here_of(pool: asyncpg.Pool[Any]) -> FeedPosition:
    async with pool.acquire() as connection:
        return await newest_position(connection)


def _is_open(state: str) -> bool:
    if state not in ("open", "closed"):
        raise Problem(400, f"state is {state[:60]!r}; expected open or closed")
    return state == "open"


def read_severity(text: str | None) -> int | None:
    if not text:
        return None
    if text.upper() not in Severity.__members__:
        raise Problem(400, f"severity is {text[:60]!r}; expected {', '.join(s.name.lower() for s in Severity)}")
    return int(Severity[text.upper()])


def read_kind(text: str | None) -> str | None:
    if not text:
        return None
    if text not in ALERT_KINDS:
        raise Problem(400, f"kind is {text[:60]!r}; expected {', '.join(ALERT_KINDS)}")
    return text


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not is_count(text) or not 1 <= int(text) <= LARGEST_PAGE:
        raise Problem(400, f"limit is {text[:60]!r}; expected 1 to {LARGEST_PAGE}")
    return int(text)


def _action_form(body: Any) -> ActionForm:
    try:
        return msgspec.convert(body, ActionForm)
    except msgspec.ValidationError as error:
        raise Problem(422, f"{error}; expected action, and perhaps outcome and note") from error
