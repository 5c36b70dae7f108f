"""The page of a guided shift."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.people.roles import STAFF, Caller
from emtrack.web.guide import Guide
from emtrack.web.rendering import Pages


class GuidePages:
    """/guide, where there is one."""

    def __init__(self, pages: Pages, guide: Guide | None) -> None:
        self._pages = pages
        self._guide = guide

    def routes(self) -> list[Route]:
        return [] if self._guide is None else [self._pages.route("/guide", self.guide, STAFF)]

    async def guide(self, _: Request, caller: Caller) -> Response:
        """What has happened, what happens now, and what is to come."""
        assert self._guide is not None, "the route is there only with a guide"
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
        reached = self._guide.reached(self._pages.clock.now_ms())
        return self._pages.render("guide.html", caller, words, guide=self._guide, reached=reached)
