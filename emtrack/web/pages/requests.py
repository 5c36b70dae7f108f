"""Requests for absence, excuse and variation: entered by whoever is asked, decided by those who keep orders."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts import ledger_of
from emtrack.forms.names import unfit_text
from emtrack.orders.requests import Asked, RequestKind, UnfitRequest, decide, enter_request, requests_of
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import looker_of, read_form, read_number
from emtrack.web.looking import look_at_queue
from emtrack.web.pages.wearers import person_or_problem
from emtrack.web.rendering import NO_STORE, Pages
from emtrack.web.wording import Words

DAY_MS = 86_400_000


class RequestPages:
    """/requests, and those of a person."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/requests", self.all, READERS),
            route("/wearers/{wearer_no:number}/requests", self.of_person, READERS),
            route("/wearers/{wearer_no:number}/requests/new", self.enter, READERS, ["POST"]),
            route("/requests/{request_no:number}/decision", self.decide, ORDER_KEEPERS, ["POST"]),
        ]

    async def all(self, _: Request, caller: Caller) -> Response:
        """Those that wait first."""
        return await self._all(caller)

    async def _all(self, caller: Caller, error: str | None = None, failed: int | None = None) -> Response:
        now_ms, looker = self._pages.clock.now_ms(), looker_of(caller)
        async with self._pages.pool.acquire() as connection:
            await look_at_queue(connection, looker, now_ms)
            found = await requests_of(connection)
            await look_at_people(connection, looker, [one.wearer_no for one in found], What.FINDINGS, now_ms)
            words = await self._pages.words(connection)
        return self._pages.render(
            "requests.html", caller, words, status=422 if error else 200, requests=found, error=error, failed=failed,
            may_decide=caller.role in ORDER_KEEPERS,
        )  # fmt: skip

    async def of_person(self, request: Request, caller: Caller) -> Response:
        return await self._of_person(caller, request.path_params["wearer_no"], {}, None)

    async def _of_person(self, caller: Caller, wearer_no: int, form: dict[str, str], error: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            wearer = await person_or_problem(connection, wearer_no)
            await look_at_people(connection, looker_of(caller), [wearer_no], What.FINDINGS, now_ms)
            words = await self._pages.words(connection)
            found = await requests_of(connection, wearer_no)
            ledger = await ledger_of(connection, wearer_no)
        chosen = {"begin": words.field(now_ms), "end": words.field(now_ms + DAY_MS), "kind": "absence"} | form
        passes = {name: words.passes(chosen[name]) for name in ("begin", "end")}
        return self._pages.render(
            "requests_of_person.html", caller, words, status=422 if error else 200, wearer=wearer, requests=found, form=chosen,
            error=error, passes=passes, findings=sorted({line.finding_no for line in ledger}, reverse=True), kinds=RequestKind,
            may_decide=caller.role in ORDER_KEEPERS, failed=None,
        )  # fmt: skip

    async def enter(self, request: Request, caller: Caller) -> Response:
        form, number = await read_form(request), request.path_params["wearer_no"]
        try:
            async with self._pages.pool.acquire() as connection:
                await person_or_problem(connection, number)
                asked = _asked(form, await self._pages.words(connection))
                await enter_request(connection, number, asked, who=caller.name, now_ms=self._pages.clock.now_ms())
        except (UnfitRequest, UnfitTimes) as error:
            return await self._of_person(caller, number, form, str(error))
        return RedirectResponse(f"/wearers/{number}/requests", 303, NO_STORE)

    async def decide(self, request: Request, caller: Caller) -> Response:
        form, number = await read_form(request), request.path_params["request_no"]
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                _refuse_unfit_text(form)
                decided = await decide(
                    connection, number, granted=form.get("decision") == "granted", granted_by=form.get("granted_by", "").strip(),
                    why=form.get("why", "").strip(), who=caller.name, now_ms=self._pages.clock.now_ms(),
                )  # fmt: skip
        except UnfitRequest as error:
            return await self._all(caller, str(error), number)
        return RedirectResponse(f"/wearers/{decided.wearer_no}/requests", 303, NO_STORE)


def _asked(form: dict[str, str], words: Words) -> Asked:
    """Raises UnfitRequest or UnfitTimes."""
    _refuse_unfit_text(form)
    if form.get("kind") not in list(RequestKind):
        raise UnfitRequest("Select what is asked for.")
    kind = RequestKind(form["kind"])
    begin_ms, end_ms = read_times(words, form, ("begin", "end")) if kind is RequestKind.ABSENCE else (None, None)
    finding_no = read_number(form.get("finding") or None) if kind is RequestKind.EXCUSE else None
    text = {name: form.get(name, "").strip() for name in ("asked_by", "what", "evidence")}
    return Asked(kind, text["asked_by"], text["what"], text["evidence"] or None, begin_ms, end_ms, finding_no)


def _refuse_unfit_text(form: dict[str, str]) -> None:
    for text in form.values():
        if (trouble := unfit_text(text)) is not None:
            raise UnfitRequest(f"A text cannot be kept: {trouble}.")
