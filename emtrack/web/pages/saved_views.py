"""Views of the queue that people keep, as a line above it."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.forms.names import unfit_line
from emtrack.people.roles import READERS, Caller
from emtrack.people.saved_views import UnfitView, forget_view, save_view
from emtrack.web.guard import Problem, read_form, read_number
from emtrack.web.pages.alerts import FILTERS, LISTS, wanted_alerts
from emtrack.web.rendering import NO_STORE, Pages


class SavedViewPages:
    """/alerts/views: kept and deleted; they are listed on the queue."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [
            self._pages.route("/alerts/views", self.save, READERS, ["POST"]),
            self._pages.route("/alerts/views/delete", self.delete, READERS, ["POST"]),
        ]

    async def save(self, request: Request, caller: Caller) -> Response:
        """The filter of the page, under a name; and back to it."""
        form = await read_form(request)
        query = kept_query(form.get("query", ""))
        if (trouble := unfit_line(form.get("name", "").strip())) is not None:
            raise Problem(422, f"The name of the view cannot be kept: {trouble}.")
        now_ms = self._pages.clock.now_ms()
        wanted_alerts(QueryParams(query), None, now_ms)  # one that is no filter is refused
        try:
            async with self._pages.pool.acquire() as connection:
                await save_view(connection, caller.name, form.get("name", ""), query, now_ms)
        except UnfitView as error:
            raise Problem(422, str(error)) from error
        return RedirectResponse(f"/alerts?{query}", 303, NO_STORE)

    async def delete(self, request: Request, caller: Caller) -> Response:
        form = await read_form(request)
        async with self._pages.pool.acquire() as connection:
            await forget_view(connection, caller.name, read_number(form.get("view")) or 0)
        return RedirectResponse("/alerts", 303, NO_STORE)


def kept_query(text: str) -> str:
    """Of an address what is part of a filter, so that nothing else is ever opened by it. Raises Problem."""
    given = dict(parse_qsl(text, max_num_fields=50))
    kept = {name: given[name] for name in ("state", *FILTERS) if given.get(name)}
    if kept.get("state", "open") not in LISTS:
        raise Problem(400, f"state is {kept['state'][:60]!r}; expected {', '.join(LISTS)}")
    return urlencode(kept) or "state=open"
