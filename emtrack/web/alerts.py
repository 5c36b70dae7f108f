"""Alerts over HTTP: the queue, one alert, what people do to it, and a stream that says "changed"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from alerts.grading import Severity
from emtrack.clock import Clock
from emtrack.feed import BadPlace, Place, changes_after, here
from emtrack.web.guard import EVERYBODY, STAFF, Caller, Problem, answer, guarded
from geofence.words import datetime_of, format_instant, instant_of

PAGE = 100
LOOK_S = 1.0
"""The stream looks this often, and at once after a turn of this program."""

# The queue: severity, then RAG grade, then MAPPA level, then age. Grades order people of one severity and lift nobody over
# another. Pages go on after the last row's place, so that nothing is skipped when alerts come or go.
QUEUE = """
SELECT * FROM (
    SELECT a.alert_no, w.wearer_id, a.kind, a.requirement_id, a.code, a.severity, a.raised_at, a.known_at, a.closed_at,
           a.previous_alert_no, w.iom ->> 'rag' AS rag, w.iom ->> 'mappa_level' AS mappa_level,
           CASE w.iom ->> 'rag' WHEN 'RED' THEN 1 WHEN 'AMBER' THEN 2 WHEN 'GREEN' THEN 3 ELSE 4 END::bigint AS rag_rank,
           CASE w.iom ->> 'mappa_level' WHEN '3' THEN 1 WHEN '2' THEN 2 WHEN '1' THEN 3 ELSE 4 END::bigint AS mappa_rank
    FROM alerts a JOIN wearers w USING (wearer_no)
    WHERE (a.closed_at IS NULL) = $1 AND ($2::text IS NULL OR w.wearer_id = $2) AND ($3::bigint IS NULL OR a.severity = $3)) q
WHERE $4::bigint IS NULL OR (severity, rag_rank, mappa_rank, raised_at, alert_no) > ($4, $5, $6, $7::timestamptz, $8)
ORDER BY severity, rag_rank, mappa_rank, raised_at, alert_no LIMIT $9
"""
DETAILS = """
SELECT o.alert_no, count(*) AS occurrences, bool_and(v.change = 'withdrawn') AS withdrawn,
       bool_or(v.change <> 'withdrawn' AND v.end_at IS NULL) AS lasts
FROM alert_occurrences o
CROSS JOIN LATERAL (SELECT * FROM finding_versions WHERE finding_no = o.finding_no ORDER BY version DESC LIMIT 1) v
WHERE o.alert_no = ANY($1::bigint[]) GROUP BY o.alert_no
"""
ACTIONS = """
SELECT alert_no, done_at, done_by, action, outcome, note FROM alert_actions
WHERE alert_no = ANY($1::bigint[]) ORDER BY alert_no, action_no
"""
LOCKED = "SELECT closed_at FROM alerts WHERE alert_no = $1 FOR UPDATE"
CLOSE = "UPDATE alerts SET closed_at = $2 WHERE alert_no = $1"
ACT = """
INSERT INTO alert_actions (alert_no, action_no, done_at, done_by, action, outcome, note)
SELECT $1, coalesce(max(action_no), 0) + 1, $2, $3, $4, $5, $6 FROM alert_actions WHERE alert_no = $1
"""
TELL = "INSERT INTO alert_changes (alert_no, what, changed_at) VALUES ($1, $2, $3)"


class ActionForm(msgspec.Struct, forbid_unknown_fields=True):
    """What a person does to an alert. Closing takes an outcome."""

    action: str
    outcome: str | None = None
    note: str | None = None


class AlertDesk:
    """The endpoints, and the nudge that the stream waits for."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock, nudge: asyncio.Condition, stop: asyncio.Event) -> None:
        self._pool = pool
        self._clock = clock
        self._nudge = nudge
        self._stop = stop

    def routes(self) -> list[Route]:
        """GET /v1/alerts, GET /v1/alerts/stream, POST /v1/alerts/{alert_no}/actions."""
        return [
            guarded(self._pool, "/v1/alerts", self.queue, EVERYBODY),
            guarded(self._pool, "/v1/alerts/stream", self.stream, EVERYBODY),
            guarded(self._pool, "/v1/alerts/{alert_no:int}/actions", self.act, STAFF, "POST"),
        ]

    async def queue(self, request: Request, _: Caller) -> Response:
        """A page of the queue: ?state=open|closed, wearer, severity, limit, after (from `next` of the page before)."""
        query = request.query_params
        after = _place_in_queue(query.get("after"))
        limit = _limit(query.get("limit"))
        filters = (_is_open(query.get("state", "open")), query.get("wearer"), _severity(query.get("severity")))
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(QUEUE, *filters, *after, limit)
            numbers = [row["alert_no"] for row in rows]
            details = {row["alert_no"]: row for row in await connection.fetch(DETAILS, numbers)}
            actions: dict[int, list[dict[str, Any]]] = {number: [] for number in numbers}
            for row in await connection.fetch(ACTIONS, numbers):
                actions[row["alert_no"]].append(_action(row))
        page = [_alert(row, details[row["alert_no"]], actions[row["alert_no"]]) for row in rows]
        return answer({"alerts": page, "next": _after(rows[-1]) if len(rows) == limit else None})

    async def act(self, request: Request, caller: Caller) -> Response:
        """Acknowledge, note or close: an appended record with who and when."""
        form = _action_form(await request.body())
        number = request.path_params["alert_no"]
        now = datetime_of(self._clock.now_ms())
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(LOCKED, number)
            if row is None:
                raise Problem(404, f"there is no alert {number}")
            if row["closed_at"] is not None and form.action != "noted":
                raise Problem(
                    409,
                    f"alert {number} was closed {row['closed_at']:%Y-%m-%d %H:%M:%S} UTC; a note can still be added",
                )
            await connection.execute(ACT, number, now, caller.name, form.action, form.outcome, form.note)
            if form.action == "closed":
                await connection.execute(CLOSE, number, now)
            await connection.execute(TELL, number, form.action, now)
        async with self._nudge:
            self._nudge.notify_all()
        return answer({"alert_no": number, "action": form.action})

    async def stream(self, request: Request, _: Caller) -> Response:
        """Server-sent events: which alert changed, never what it says. Goes on after Last-Event-ID."""
        last = request.headers.get("last-event-id")
        try:
            place = Place.read(last) if last else await here_of(self._pool)
        except BadPlace as error:
            raise Problem(400, str(error)) from error
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(self._events(place), media_type="text/event-stream", headers=headers)

    async def _events(self, place: Place) -> AsyncIterator[str]:
        yield f"retry: 2000\nid: {place}\n\n"
        while not self._stop.is_set():
            try:
                async with self._pool.acquire() as connection:
                    found = await changes_after(connection, place)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                return  # the reader comes again with its last id
            for change in found:
                place = change.place
                data = msgspec.json.encode({"alert_no": change.alert_no, "what": change.what}).decode()
                yield f"id: {place}\nevent: changed\ndata: {data}\n\n"
            if not found:
                yield ": still here\n\n"
                await self._wait()

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S), self._nudge:
                await self._nudge.wait()


async def here_of(pool: asyncpg.Pool[Any]) -> Place:
    async with pool.acquire() as connection:
        return await here(connection)


def _is_open(state: str) -> bool:
    if state not in ("open", "closed"):
        raise Problem(400, f"state is {state!r}; expected open or closed")
    return state == "open"


def _severity(text: str | None) -> int | None:
    if text is None:
        return None
    if text.upper() not in Severity.__members__:
        raise Problem(400, f"severity is {text!r}; expected {', '.join(s.name.lower() for s in Severity)}")
    return int(Severity[text.upper()])


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise Problem(400, f"limit is {text!r}; expected 1 to 1000")
    return int(text)


def _place_in_queue(text: str | None) -> tuple[Any, ...]:
    """The place after which a page begins: severity, ranks, raised_at, number; all None for the first page."""
    if text is None:
        return (None, None, None, None, None)
    parts = text.split("-")
    if len(parts) != 5 or not all(part.isdigit() and len(part) < 19 for part in parts):
        raise Problem(400, "after is no place in the queue; send what the page before gave as `next`")
    numbers = [int(part) for part in parts]
    return (*numbers[:3], datetime_of(numbers[3]), numbers[4])


def _after(row: asyncpg.Record) -> str:
    return f"{row['severity']}-{row['rag_rank']}-{row['mappa_rank']}-{instant_of(row['raised_at'])}-{row['alert_no']}"


def _alert(row: asyncpg.Record, details: asyncpg.Record, actions: list[dict[str, Any]]) -> dict[str, Any]:
    raised_ms, known_ms = instant_of(row["raised_at"]), instant_of(row["known_at"])
    return {
        "alert_no": row["alert_no"],
        "wearer_id": row["wearer_id"],
        "kind": row["kind"],
        "requirement_id": row["requirement_id"],
        "code": row["code"],
        "severity": Severity(row["severity"]).name.lower(),
        "raised_at": format_instant(raised_ms),
        "known_at": format_instant(known_ms),
        "late_s": (raised_ms - known_ms) / 1000,
        "closed_at": None if row["closed_at"] is None else format_instant(instant_of(row["closed_at"])),
        "occurrences": details["occurrences"],
        "lasts": details["lasts"],
        "withdrawn": details["withdrawn"],
        "previous_alert_no": row["previous_alert_no"],
        "place_in_queue": {"rag": row["rag"], "mappa_level": row["mappa_level"]},
        "actions": actions,
    }


def _action(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "done_at": format_instant(instant_of(row["done_at"])),
        "done_by": row["done_by"],
        "action": row["action"],
        "outcome": row["outcome"],
        "note": row["note"],
    }


def _action_form(body: bytes) -> ActionForm:
    try:
        form = msgspec.json.decode(body, type=ActionForm)
    except msgspec.DecodeError as error:
        raise Problem(422, f"{error}; expected action, and perhaps outcome and note") from error
    if form.action not in ("acknowledged", "noted", "closed"):
        raise Problem(422, f"action is {form.action!r}; expected acknowledged, noted or closed")
    if form.action == "closed" and not (form.outcome or "").strip():
        raise Problem(422, "an alert is closed with an outcome; say what came of it")
    if max(len(form.outcome or ""), len(form.note or "")) > 4000:
        raise Problem(422, "outcome and note have at most 4,000 characters each")
    return form
