"""The start of a shift: for which purpose a person looks at people in this session."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.forms.names import unfit_text
from emtrack.people.looks import CHOSEN, LONGEST_REFERENCE, MONITORING, Door, Looker
from emtrack.people.roles import EVERYBODY, STAFF, Caller
from emtrack.people.sessions import begin_work
from emtrack.web.browsers import session_cookie
from emtrack.web.guard import read_form
from emtrack.web.pages.site import local_target
from emtrack.web.rendering import NO_STORE, Pages


class ShiftPages:
    """/shift"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [self._pages.route("/shift", self.shift, EVERYBODY, ["GET", "POST"])]

    async def shift(self, request: Request, caller: Caller) -> Response:
        """Staff of the centre watch alerts; others choose."""
        is_watch = caller.role in STAFF
        if request.method == "GET":
            following = local_target(request.query_params.get("next"))
            return self._ask(caller, following, caller.purpose, caller.reference or "")
        form = await read_form(request)
        following = local_target(form.get("next"))
        purpose = MONITORING if is_watch else form.get("purpose", "")
        reference = form.get("reference", "").strip()[:LONGEST_REFERENCE]
        if not is_watch and purpose not in CHOSEN:
            return self._ask(caller, following, None, reference, "Select a reason.")
        if (trouble := unfit_text(reference)) is not None:
            return self._ask(caller, following, purpose, "", f"The reference cannot be kept: {trouble}.")
        looker = Looker(caller.name, str(caller.role), Door.PAGE, purpose, reference or None)
        async with self._pages.pool.acquire() as connection:
            await begin_work(connection, session_cookie(request) or "", looker, self._pages.clock.now_ms())
        return RedirectResponse(following, 303, NO_STORE)

    def _ask(
        self, caller: Caller, following: str, chosen: str | None, reference: str, error: str | None = None
    ) -> Response:
        return self._pages.render(
            "shift.html",
            caller,
            status=422 if error else 200,
            is_watch=caller.role in STAFF,
            following=following,
            purposes=CHOSEN,
            chosen=chosen,
            reference=reference,
            error=error,
        )
