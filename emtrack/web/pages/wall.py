"""The supervisor's wall: numbers that are read from three metres, each of which opens its list; and who is not monitored."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts import (
    LONGEST_NOTE,
    OUTCOMES,
    WALL_LISTS,
    Severity,
    WallList,
    alerts_numbered,
    answered,
    delay_of,
    flow_of,
    noise_of,
    numbers_behind,
    open_by_age,
    work_gap,
)
from emtrack.db.connect import Connection
from emtrack.forms.names import unfit_text
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import READERS, STAFF, Caller
from emtrack.reading.unmonitored import Reason, Unmonitored, unmonitored
from emtrack.record.maintenance import shown as maintenance_shown
from emtrack.web.alert_work import AlertWork
from emtrack.web.api.alerts import read_kind, read_severity
from emtrack.web.guard import Problem, looker_of, read_form, read_number
from emtrack.web.looking import look_at_alerts, look_at_queue
from emtrack.web.pages.wearers import person_or_problem
from emtrack.web.queue_rows import handover_rows
from emtrack.web.rendering import NO_STORE, Pages

SHOWN_GAPS = 8
AGES = ("under 15 min", "under 1 h", "under 8 h", "under 1 day", "older")


class WallPages:
    """/wall and what hangs on it."""

    def __init__(self, pages: Pages, work: AlertWork) -> None:
        self._pages = pages
        self._work = work

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/wall", self.wall, STAFF),
            route("/wall/parts", self.parts, STAFF),
            route("/wall/list", self.list, STAFF),
            route("/wall/unmonitored", self.unmonitored, READERS),
            route("/wall/unmonitored/{wearer_no:number}", self.take, STAFF, ["POST"]),
        ]

    async def wall(self, _: Request, caller: Caller) -> Response:
        return await self._wall(caller, "wall.html")

    async def parts(self, _: Request, caller: Caller) -> Response:
        """The part of the page that changes."""
        return await self._wall(caller, "wall_parts.html")

    async def _wall(self, caller: Caller, template: str) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_queue(connection, looker_of(caller), now_ms)
            words = await self._pages.words(connection)
            gaps = await unmonitored(connection, words.timezone, now_ms)
            shown = gaps.gaps[:SHOWN_GAPS]
            noise = await noise_of(connection, now_ms)
            people = [
                *(gap.wearer_no for gap in shown),
                *(one.wearer_no for one in noise.zones if one.wearer_no is not None),
            ]
            await look_at_people(connection, looker_of(caller), people, What.QUEUE, now_ms)
            ages = await open_by_age(connection, now_ms)
            numbers: dict[str, Any] = {
                "ages": ages,
                "maintenance": await maintenance_shown(connection, now_ms),
                "open_count": sum(map(sum, ages.values())),
                "flow": await flow_of(connection, now_ms),
                "answered": await answered(connection, now_ms),
                "delay": await delay_of(connection, now_ms),
            }
        return self._pages.render(
            template, caller, words, gaps=gaps, shown_gaps=shown, noise=noise, noise_links=noise_link, age_names=AGES,
            severities=Severity, reasons=Reason, **numbers,
        )  # fmt: skip

    async def list(self, request: Request, caller: Caller) -> Response:
        """The alerts behind a number."""
        wanted, now_ms = wanted_list(request.query_params), self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_queue(connection, looker_of(caller), now_ms)
            found = await alerts_numbered(connection, await numbers_behind(connection, wanted, now_ms))
            await look_at_alerts(connection, looker_of(caller), found, now_ms)
            words = await self._pages.words(connection)
        rows = handover_rows(found, words, now_ms)
        return self._pages.render("wall_list.html", caller, words, rows=rows, heading=heading_of(wanted))

    async def unmonitored(self, _: Request, caller: Caller) -> Response:
        """Everybody on an order whom nobody monitors."""
        return await self._unmonitored(caller)

    async def _unmonitored(self, caller: Caller, error: str | None = None, wearer_no: int | None = None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            gaps = await self._seen(connection, caller, words.timezone, now_ms)
        return self._pages.render(
            "unmonitored.html", caller, words, status=422 if error else 200, gaps=gaps, reasons=Reason, error=error,
            failed=wearer_no, may_act=caller.role in STAFF,
        )  # fmt: skip

    async def _seen(self, connection: Connection, caller: Caller, timezone: str, now_ms: int) -> Unmonitored:
        await look_at_queue(connection, looker_of(caller), now_ms)
        gaps = await unmonitored(connection, timezone, now_ms)
        people = [gap.wearer_no for gap in gaps.gaps]
        await look_at_people(connection, looker_of(caller), people, What.QUEUE, now_ms)
        return gaps

    async def take(self, request: Request, caller: Caller) -> Response:
        """Somebody sees to it, or does so no longer."""
        form, number = await read_form(request), request.path_params["wearer_no"]
        note = form.get("note", "").strip()[: LONGEST_NOTE + 1] or None
        if note is not None and (trouble := unfit_text(note)) is not None:
            return await self._unmonitored(caller, f"The note cannot be kept: {trouble}.", number)
        if note is not None and len(note) > LONGEST_NOTE:
            return await self._unmonitored(caller, f"A note has at most {LONGEST_NOTE:,} characters.", number)
        async with self._pages.pool.acquire() as connection:
            await person_or_problem(connection, number)
            await work_gap(
                connection, number, taken=form.get("done") != "left", who=caller.name, note=note,
                now_ms=self._pages.clock.now_ms(),
            )  # fmt: skip
        await self._work.tell()
        return RedirectResponse(f"/wall/unmonitored#person-{number}", 303, NO_STORE)


def wanted_list(query: QueryParams) -> WallList:
    """Of an address. Raises Problem."""
    of = query.get("of") or "open"
    if of not in WALL_LISTS:
        raise Problem(400, f"of is {of[:60]!r}; expected {', '.join(WALL_LISTS)}")
    outcome = query.get("outcome") or None
    if outcome is not None and outcome not in OUTCOMES:
        raise Problem(400, f"outcome is {outcome[:60]!r}; expected {', '.join(OUTCOMES)}")
    number = {name: read_number(query.get(name)) for name in ("age", "activation", "wearer")}
    return WallList(
        of, read_severity(query.get("severity")), number["age"], read_kind(query.get("kind")), number["activation"],
        number["wearer"], (query.get("requirement") or "")[:200] or None, outcome,
    )  # fmt: skip


_HEADINGS = {
    "open": "Open alerts", "raised": "Raised in the last 10 minutes", "late": "Latest to be raised, last 24 hours",
    "unanswered": "Not acknowledged in time, last 24 hours", "needless": "Closed without a confirmed violation, last 7 days",
}  # fmt: skip


def heading_of(wanted: WallList) -> str:
    """ "Open alerts: critical, under 15 min"."""
    narrowed = [] if wanted.severity is None else [Severity(wanted.severity).name.lower()]
    if wanted.age is not None and 0 <= wanted.age < len(AGES):
        narrowed.append(AGES[wanted.age])
    if wanted.outcome is not None:
        return f"Closed in the last 7 days: {OUTCOMES[wanted.outcome]}"
    return _HEADINGS[wanted.of] + (f": {', '.join(narrowed)}" if narrowed else "")


def noise_link(**narrowed: object) -> str:
    """The list behind a number of the ledger of false alerts."""
    return "/wall/list?" + urlencode({"of": "needless", **{k: v for k, v in narrowed.items() if v is not None}})
