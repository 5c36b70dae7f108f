"""Sessions of everybody, for administrators."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from emtrack.people.roles import Caller, Role
from emtrack.people.sessions import NoSession, end_numbered_session, list_sessions
from emtrack.web.guard import Problem, read_form
from emtrack.web.pages.account import read_session_no
from emtrack.web.rendering import NO_STORE, Pages
from geofence import instant_of

ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})


class SessionPages:
    """Who is logged in, from where, since when; and an end to it."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        return [self._pages.route("/sessions", self.sessions, ADMINISTRATORS, ["GET", "POST"])]

    async def sessions(self, request: Request, caller: Caller) -> Response:
        if request.method == "POST":
            return await self._end(request, caller)
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            found = await list_sessions(connection, None)
        lines = [
            {
                "number": one.session_no, "name": one.name, "from": one.begun_from, "browser": one.browser,
                "since": words.moment(instant_of(one.began_at)), "seen": words.moment(instant_of(one.seen_at)),
            }
            for one in found
        ]  # fmt: skip
        return self._pages.render("sessions.html", caller, words, sessions=lines)

    async def _end(self, request: Request, caller: Caller) -> Response:
        number = read_session_no((await read_form(request)).get("session"))
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                await end_numbered_session(connection, number, of=None, who=caller.name)
        except NoSession as error:
            raise Problem(404, f"{error}.") from error
        return RedirectResponse("/sessions", 303, NO_STORE)
