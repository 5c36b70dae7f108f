"""Tonight's curfews as a page that is printed before it is needed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import READERS, Caller
from emtrack.reading.curfews import curfews_of, listed_people, night_of
from emtrack.web.guard import looker_of
from emtrack.web.looking import look_at_queue
from emtrack.web.rendering import Pages

PAGE = 200


class CurfewPages:
    """/curfews/tonight."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [self._pages.route("/curfews/tonight", self.tonight, READERS)]

    async def tonight(self, request: Request, caller: Caller) -> Response:
        """Who has to be at home when, where that is, and whom to ring; in pages by wearer id. Each person is a look."""
        now_ms, looker = self._pages.clock.now_ms(), looker_of(caller)
        async with self._pages.pool.acquire() as connection:
            await look_at_queue(connection, looker, now_ms)
            words = await self._pages.words(connection)
            night = night_of(now_ms, words.timezone)
            people = await listed_people(connection, night, request.query_params.get("after") or None, PAGE)
            await look_at_people(connection, looker, [row["wearer_no"] for row in people], What.DETAILS, now_ms)
            found = await curfews_of(connection, people, night, words.timezone, now_ms)
        following = people[-1]["wearer_id"] if len(people) == PAGE else None
        return self._pages.render("curfews.html", caller, words, people=found, night=night, following=following)
