"""Planned maintenance: what goes on and what is to come, and entering it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.forms.names import unfit_text
from emtrack.people.roles import READERS, Caller, Role
from emtrack.record.maintenance import UnfitMaintenance, announce, planned, withdraw
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import read_form, read_number
from emtrack.web.rendering import NO_STORE, Pages

PLANNERS = frozenset({Role.SUPERVISOR, Role.ADMINISTRATOR})
"""Who announces maintenance."""
HOUR_MS = 3_600_000


class MaintenancePages:
    """/maintenance."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [
            self._pages.route("/maintenance", self.page, READERS),
            self._pages.route("/maintenance/plans", self.announce, PLANNERS, ["POST"]),
            self._pages.route("/maintenance/withdrawals", self.withdraw, PLANNERS, ["POST"]),
        ]

    async def page(self, _: Request, caller: Caller) -> Response:
        return await self._page(caller, {}, None)

    async def _page(self, caller: Caller, form: dict[str, str], error: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            plans = await planned(connection, now_ms)
        usual = {"begin": words.field(now_ms + HOUR_MS), "end": words.field(now_ms + 2 * HOUR_MS), "what": ""}
        chosen = usual | form
        passes = {name: words.passes(chosen[name]) for name in ("begin", "end")}
        return self._pages.render(
            "maintenance.html", caller, words, status=422 if error else 200, plans=plans, form=chosen, error=error, passes=passes,
            may_plan=caller.role in PLANNERS,
        )  # fmt: skip

    async def announce(self, request: Request, caller: Caller) -> Response:
        form = await read_form(request)
        now_ms = self._pages.clock.now_ms()
        try:
            async with self._pages.pool.acquire() as connection:
                begin_ms, end_ms = read_times(await self._pages.words(connection), form, ("begin", "end"))
                if (trouble := unfit_text(form.get("what", ""))) is not None:
                    raise UnfitMaintenance(f"The text cannot be kept: {trouble}.")
                await announce(connection, begin_ms, end_ms, form.get("what", ""), who=caller.name, now_ms=now_ms)
        except (UnfitMaintenance, UnfitTimes) as error:
            return await self._page(caller, form, str(error))
        return RedirectResponse("/maintenance", 303, NO_STORE)

    async def withdraw(self, request: Request, caller: Caller) -> Response:
        form = await read_form(request)
        async with self._pages.pool.acquire() as connection, connection.transaction():
            number = read_number(form.get("plan")) or 0
            await withdraw(connection, number, who=caller.name, now_ms=self._pages.clock.now_ms())
        return RedirectResponse("/maintenance", 303, NO_STORE)
