"""Pages of who runs the centre: messages that did not arrive, where messages go, and who is on call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts import (
    UnfitShift,
    add_shift,
    end_shift,
    listed_channels,
    rules_in_force,
    see_to,
    shifts_from,
    try_now,
    undelivered,
)
from emtrack.db.connect import Connection
from emtrack.forms.wall_time import instant_of_wall, zone_named
from emtrack.people.accounts import list_users
from emtrack.people.roles import OVERSEERS, STAFF, Caller, Role
from emtrack.record.canary_beats import last_beat
from emtrack.web.guard import Problem, read_form, read_number
from emtrack.web.rendering import NO_STORE, Pages
from geofence import NotAnInstant

MOST_UNDELIVERED = 200
RUNS_ROTA = frozenset({Role.SUPERVISOR, Role.ADMINISTRATOR})
READS = OVERSEERS | STAFF


class CentrePages:
    """/deliveries and /rota"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/deliveries", self.deliveries, READS),
            route("/deliveries/{delivery_no:number}/{what:str}", self.see_to, RUNS_ROTA, ["POST"]),
            route("/rota", self.rota, READS),
            route("/rota/shifts", self.add, RUNS_ROTA, ["POST"]),
            route("/rota/shifts/{shift_no:number}/end", self.end, RUNS_ROTA, ["POST"]),
        ]

    async def deliveries(self, _: Request, caller: Caller) -> Response:
        """What should have arrived and did not, and where messages go at all."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            found = await undelivered(connection, now_ms, MOST_UNDELIVERED)
            channels = await listed_channels(connection)
            in_force = await rules_in_force(connection)
            beat = await last_beat(connection)
            words = await self._pages.words(connection)
        return self._pages.render(
            "deliveries.html",
            caller,
            words,
            deliveries=found,
            channels=channels,
            rules=in_force.rules,
            beat=beat,
            is_silent=beat is not None
            and (beat.trouble is not None or beat.sent_at < datetime.now(UTC) - SILENT_AFTER),
            may_act=caller.role in RUNS_ROTA,
        )

    async def see_to(self, request: Request, caller: Caller) -> Response:
        """Try again now, or: somebody has seen to it."""
        number, what = request.path_params["delivery_no"], request.path_params["what"]
        await read_form(request)
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            if what == "again":
                done = await try_now(connection, number, now_ms)
            elif what == "seen":
                done = await see_to(connection, number, caller.name, now_ms)
            else:
                raise Problem(404, "There is no such page.")
        if not done:
            raise Problem(409, "It has arrived meanwhile, or a colleague has seen to it. Nothing was changed.")
        return RedirectResponse("/deliveries", 303, NO_STORE)

    async def rota(self, _: Request, caller: Caller) -> Response:
        """Who is on call, and who will be."""
        return await self._rota(caller)

    async def _rota(self, caller: Caller, error: str | None = None, form: dict[str, str] | None = None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            shifts = await shifts_from(connection, now_ms)
            accounts = [user for user in await list_users(connection) if user.disabled is None]
            words = await self._pages.words(connection)
        return self._pages.render(
            "rota.html",
            caller,
            words,
            status=422 if error else 200,
            shifts=shifts,
            accounts=[user.name for user in accounts],
            form=form or {},
            error=error,
            may_act=caller.role in RUNS_ROTA,
        )

    async def add(self, request: Request, caller: Caller) -> Response:
        form = await read_form(request)
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                begin_ms, end_ms = [await self._instant(connection, form, name) for name in ("begin", "end")]
                await add_shift(
                    connection,
                    form.get("account", ""),
                    read_number(form.get("level")) or 0,
                    begin_ms,
                    end_ms,
                    who=caller.name,
                    now_ms=self._pages.clock.now_ms(),
                )
        except UnfitShift as error:
            return await self._rota(caller, f"{str(error)[:1].upper()}{str(error)[1:]}.", form)
        return RedirectResponse("/rota", 303, NO_STORE)

    async def _instant(self, connection: Connection, form: dict[str, str], name: str) -> int:
        """Of a date and a time of the wall clock. Raises UnfitShift."""
        words = await self._pages.words(connection)
        text = f"{form.get(f'{name}_date', '')}T{form.get(f'{name}_time', '')}"
        try:
            return instant_of_wall(text, zone_named(words.timezone))
        except NotAnInstant as error:
            raise UnfitShift(f"enter a date and a time for when the shift {name}s") from error

    async def end(self, request: Request, caller: Caller) -> Response:
        """Take a shift back."""
        await read_form(request)
        async with self._pages.pool.acquire() as connection:
            await end_shift(connection, request.path_params["shift_no"], caller.name, self._pages.clock.now_ms())
        return RedirectResponse("/rota", 303, NO_STORE)


SILENT_AFTER = timedelta(minutes=3)
