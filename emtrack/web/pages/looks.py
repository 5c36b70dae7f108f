"""The page of those who oversee: who looked at whom and why, and which restricted records were opened."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.people.limits import openings, see_opening
from emtrack.people.looks import all_looks
from emtrack.people.roles import OVERSEERS, Caller, Role
from emtrack.web.guard import read_number
from emtrack.web.rendering import NO_STORE, Pages

LOOKS = 100
OPENINGS = 100
WHO_SEES = OVERSEERS - {Role.AUDITOR}
"""Who is told of a restricted record that was opened, and says that it was seen."""


class LookPages:
    """/looks"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [
            self._pages.route("/looks", self.looks, OVERSEERS),
            self._pages.route("/looks/{look_no:number}/seen", self.seen, WHO_SEES, ["POST"]),
        ]

    async def looks(self, request: Request, caller: Caller) -> Response:
        """Every look of everybody, the newest first, in pages. It says of nobody where they were."""
        before = read_number(request.query_params.get("before"))
        async with self._pages.pool.acquire() as connection:
            found = await all_looks(connection, before, LOOKS)
            opened = await openings(connection, OPENINGS)
            words = await self._pages.words(connection)
        return self._pages.render(
            "all_looks.html",
            caller,
            words,
            looks=found,
            openings=opened,
            may_see=caller.role in WHO_SEES,
            following=found[-1][0].look_no if len(found) == LOOKS else None,
            is_first=before is None,
        )

    async def seen(self, request: Request, caller: Caller) -> Response:
        """An overseer saw that a restricted record was opened."""
        async with self._pages.pool.acquire() as connection:
            await see_opening(connection, request.path_params["look_no"], caller.name, self._pages.clock.now_ms())
        return RedirectResponse("/looks", 303, NO_STORE)
