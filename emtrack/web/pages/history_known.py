"""What we knew of a history at each moment: findings, alerts and positions that came late, replayed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts import raised_for
from emtrack.people.looks import PURPOSES
from emtrack.people.roles import READERS, Caller
from emtrack.reading.becoming_known import MOST_RECEIPTS, MOST_VERSIONS, receipts_of, versions_in_view
from emtrack.reading.casefile import count_known
from emtrack.reading.found_in_view import found_in_view
from emtrack.web.known_moments import moments_of_history
from emtrack.web.pages.history import view_or_problem
from emtrack.web.pages.wearers import person_or_problem
from emtrack.web.rendering import Pages, known_at
from geofence import format_instant


class HistoryKnownPages:
    """/views/{view_no}/known."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [self._pages.route("/views/{view_no:number}/known", self.known, READERS)]

    async def known(self, request: Request, caller: Caller) -> Response:
        """Without a moment: what is known now."""
        now_ms = self._pages.clock.now_ms()
        asked_ms, known_ms = known_at(request, now_ms)
        async with self._pages.pool.acquire() as connection:
            view = await view_or_problem(connection, request, caller, now_ms)
            wearer = await person_or_problem(connection, view.wearer_no)
            words = await self._pages.words(connection)
            versions = await versions_in_view(connection, view, now_ms)
            raised = await raised_for(connection, sorted({v.finding_no for v in versions}), now_ms)
            late_ms = self._pages.history_gap_ms
            receipts = await receipts_of(connection, view, now_ms, later_than_ms=late_ms)
            found = await found_in_view(connection, view, known_ms)
            count = await count_known(connection, view, known_ms)
        moments = moments_of_history(versions, raised.values(), receipts, words)
        return self._pages.render(
            "history_known.html",
            caller,
            words,
            wearer=wearer,
            view=view,
            purpose=PURPOSES[view.purpose],
            moments=moments,
            found=found,
            known_count=count,
            known_ms=known_ms,
            late_ms=late_ms,
            is_cut=len(receipts) >= MOST_RECEIPTS or len({v.finding_no for v in versions}) >= MOST_VERSIONS,
            base=f"/views/{view.view_no}/known",
            instant=format_instant,
            asked="" if asked_ms is None else format_instant(asked_ms),
        )
